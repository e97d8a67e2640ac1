"""How new rows are placed, and when the gate calls a split's fractions wrong."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_samples import rows, sample

from playbook.data.fractions import fractions
from playbook.data.placing import by_class, by_time, cuts_of, reachable
from playbook.data.prepare import prepare
from playbook.data.sides import Sides, ledger_of, read_sides
from playbook.data.split import divide
from playbook.data.tables import GROUP, LABEL, ROW_ID, SPLIT, TEXT, TIME
from playbook.data.time_order import time_order
from playbook.taskfile import Task

SHARES = {"test": 0.15, "validation": 0.15, "train": 0.7}
COLUMNS = {"text": "text", "label": "label", "id": "id"}
NOTHING = pd.DataFrame({LABEL: [], SPLIT: []})


def made(groups: list[str], labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            ROW_ID: [f"R{at}" for at in range(len(groups))],
            TEXT: [f"text {at}" for at in range(len(groups))],
            GROUP: groups,
            LABEL: labels,
            TIME: "",
            "asked_split": "",
        }
    )


def drawn(groups: list[str], seed: int, shares: dict[str, float]) -> dict[str, str]:
    """Each group on a side by chance, as splits were made before rows were placed."""
    rng = random.Random(seed)  # noqa: S311
    return {group: rng.choices(list(shares), list(shares.values()))[0] for group in dict.fromkeys(groups)}


def test_every_class_gets_its_share_to_the_row() -> None:
    frame = made([f"g{at}" for at in range(9000)], [f"class {at % 150}" for at in range(9000)])
    found = by_class(frame, NOTHING, SHARES, 7)
    counts = Counter((label, found[group]) for group, label in zip(frame[GROUP], frame[LABEL], strict=True))
    for label in set(frame[LABEL]):
        assert [counts[label, side] for side in SHARES] == [9, 9, 42]


@pytest.mark.parametrize("seed", range(4))
def test_shares_come_out_where_no_class_divides_evenly(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    labels = [f"class {int(rng.paretovariate(1))}" for _ in range(1000)]
    frame = made([f"g{at}" for at in range(1000)], labels)
    found = by_class(frame, NOTHING, SHARES, seed)
    counts = Counter(found.values())
    assert [counts[side] for side in SHARES] == [150, 150, 700]
    for label, total in Counter(labels).items():
        own = Counter(found[f"g{at}"] for at, one in enumerate(labels) if one == label)
        assert all(abs(own[side] - share * total) <= 1.5 for side, share in SHARES.items()), label


def test_groups_stay_together_and_classes_are_even_as_far_as_groups_allow() -> None:
    rng = random.Random(4)  # noqa: S311
    groups = [f"c{min(int(rng.paretovariate(0.8)), 300)}" for _ in range(3000)]
    frame = made(groups, [("rare" if rng.random() < 0.1 else "common") for _ in groups])
    found = by_class(frame, NOTHING, SHARES, 7)
    side = frame[GROUP].map(found)
    largest = frame[GROUP].value_counts().max()
    for name, share in SHARES.items():
        assert abs((side == name).sum() - share * 3000) <= largest / 2
        assert (frame.loc[side == name, LABEL] == "rare").mean() == pytest.approx(0.1, abs=0.04)


def test_many_classes_of_a_few_groups_each_do_not_take_a_side_from_its_share() -> None:
    share = 0.1
    groups = [f"g{at // 5}" for at in range(6000)]
    frame = made(groups, [f"class {at // 60}" for at in range(6000)])  # twelve groups of one class each
    shares = {"test": share, "validation": share, "train": 1 - 2 * share}
    counts = Counter(frame[GROUP].map(by_class(frame, NOTHING, shares, 7)))
    assert all(abs(counts[side] / 6000 - wanted) < 0.01 for side, wanted in shares.items()), counts


def test_a_class_of_a_single_group_is_for_training() -> None:
    groups = [f"g{at // 10}" for at in range(600)]
    for seed in range(5):
        frame = made(groups, ["alone" if at < 10 else f"class {at % 20}" for at in range(600)])
        assert by_class(frame, NOTHING, SHARES, seed)["g0"] == "train"


def test_new_rows_bring_the_shares_nearer() -> None:
    placed = pd.DataFrame({LABEL: ["a"] * 100, SPLIT: ["train"] * 90 + ["test"] * 10})
    new = made([f"g{at}" for at in range(100)], ["a"] * 100)
    found = Counter(by_class(new, placed, SHARES, 7).values())
    assert found == {"test": 20, "validation": 30, "train": 50}


def test_the_seed_alone_decides_between_equals() -> None:
    frame = made([f"g{at // 2}" for at in range(400)], ["a", "b"] * 200)
    first, second = by_class(frame, NOTHING, SHARES, 1), by_class(frame, NOTHING, SHARES, 2)
    assert by_class(frame.sample(frac=1, random_state=3), NOTHING, SHARES, 1) == first != second


# When is a split wrong? Simulations with known truth: sound splits and wrong ones of many kinds of data.


def task_of(folder: Path, **splits: object) -> Task:
    columns = {**COLUMNS, "time": "when"}
    return sample(folder, rows(3), splits={"by": "class", **splits}, gate={}, columns=columns)


def beyond(frame: pd.DataFrame, sides: dict[str, str], task: Task) -> bool:
    """Whether the gate would call the fractions wrong."""
    rows_of = frame.assign(**{SPLIT: frame[GROUP].map(sides)})
    return bool((fractions(rows_of, frame[:0].assign(**{SPLIT: ""}), Sides(), task)["beyond"] > 0).any())


KINDS = {
    "200 single rows": [f"g{at}" for at in range(200)],
    "100 customers of 10 rows": [f"c{at % 100}" for at in range(1000)],
    "30 customers of 20 rows": [f"c{at % 30}" for at in range(600)],
    "customers of very different size": [f"c{int(300 * (at / 1500) ** 3)}" for at in range(1500)],
    "9,000 single rows": [f"g{at}" for at in range(9000)],
}


@pytest.mark.parametrize("kind", list(KINDS)[:-1])
def test_sound_splits_are_green_and_a_split_with_twice_the_test_rows_is_red(tmp_path: Path, kind: str) -> None:
    task, groups = task_of(tmp_path), KINDS[kind]
    for seed in range(2):
        frame = made(groups, [f"class {at % 4}" for at in range(len(groups))])
        assert not beyond(frame, by_class(frame, NOTHING, SHARES, seed), task)
        wrong = by_class(frame, NOTHING, {"test": 0.3, "validation": 0.15, "train": 0.55}, seed)
        assert beyond(frame, wrong, task)


def test_a_tolerance_of_the_task_file_is_taken_as_it_is(tmp_path: Path) -> None:
    frame = made([f"g{at}" for at in range(200)], ["a"] * 200)
    sides = by_class(frame, NOTHING, {"test": 0.25, "validation": 0.15, "train": 0.6}, 1)
    assert beyond(frame, sides, task_of(tmp_path))
    tolerant = sample(tmp_path, rows(3), splits={"by": "class"}, gate={"split_tolerance": 0.11})
    assert not beyond(frame, sides, tolerant)


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
def test_fractions_in_hundreds_of_trials(tmp_path: Path, kind: str) -> None:
    """Of placed splits none is red; of splits that chance made, group by group, few are; of wrong ones all are."""
    task, groups = task_of(tmp_path), KINDS[kind]
    trials = 300 if len(groups) < 2000 else 50
    frame = made(groups, [f"class {at % 4}" for at in range(len(groups))])
    placed = sum(beyond(frame, by_class(frame, NOTHING, SHARES, seed), task) for seed in range(trials // 10))
    chance = sum(beyond(frame, drawn(groups, seed, SHARES), task) for seed in range(trials))
    twice = {"test": 0.3, "validation": 0.15, "train": 0.55}
    missed = sum(not beyond(frame, by_class(frame, NOTHING, twice, seed), task) for seed in range(trials // 10))
    assert (placed, missed) == (0, 0)
    few_groups = ("30 customers of 20 rows", "customers of very different size")  # by chance they are far off
    assert chance <= (0.4 if kind in few_groups else 0.1) * trials


def test_rows_that_go_do_not_turn_fractions_red(tmp_path: Path) -> None:
    task, rng = task_of(tmp_path), np.random.default_rng(3)
    frame = made([f"g{at}" for at in range(1000)], ["a", "b"] * 500)
    sides = by_class(frame, NOTHING, SHARES, 1)
    assert not any(beyond(frame[rng.random(1000) < 0.5], sides, task) for _ in range(20))


@pytest.mark.parametrize(("groups", "share"), [(2, 0.3), (7, 0.1)])
def test_a_few_huge_customers_are_green_in_whatever_order_they_are_placed(
    tmp_path: Path, groups: int, share: float
) -> None:
    task = task_of(tmp_path, test=share, validation=share)
    shares = {"test": share, "validation": share, "train": 1 - 2 * share}
    for seed in range(10):
        random = np.random.default_rng(seed)
        sizes = random.integers(50, 400, groups)
        frame = made([f"c{at}" for at in np.repeat(np.arange(groups), sizes)], ["a"] * int(sizes.sum()))
        assert not beyond(frame, by_class(frame, NOTHING, shares, seed), task), (seed, sizes)


def test_what_could_be_reached_follows_from_the_groups() -> None:
    assert max(reachable([1] * 200, SHARES, 7).values()) < 0.001
    assert max(reachable([10] * 100, SHARES, 7).values()) < 0.001
    assert max(reachable([100] * 3, SHARES, 7).values()) > 0.15


def test_other_shares_move_nothing_and_are_a_warning_until_new_rows_bring_them(tmp_path: Path) -> None:
    table = rows(200)
    data = {"columns": COLUMNS, "gate": {}}
    prepare(sample(tmp_path, table, **data), tmp_path / "out")
    asked = {"test": 0.3, "by": "class"}
    task = sample(tmp_path, table, **data, splits=asked)
    prepare(task, tmp_path / "out")
    found = judged(tmp_path / "out", task)
    assert (found["beyond"] == 0).all() and (found["beyond_now"] > 0).any()
    more = [{**row, "id": f"N{row['id']}"} for row in rows(200, seed=3)]
    task = sample(tmp_path, [*table, *more], **data, splits=asked)
    prepare(task, tmp_path / "out")
    found = judged(tmp_path / "out", task)
    assert (found[["beyond", "beyond_now"]] == 0).all().all()
    assert found.set_index(SPLIT)["fraction"]["test"] == pytest.approx(0.3, abs=0.01)


def judged(folder: Path, task: Task) -> pd.DataFrame:
    parts = [pd.read_parquet(folder / f"{s}.parquet").assign(split=s) for s in ("train", "validation", "test")]
    sides = read_sides(ledger_of(folder, "sample"))
    assert sides is not None
    return fractions(pd.concat(parts, ignore_index=True), pd.read_parquet(folder / "quarantine.parquet"), sides, task)


# By time


def dated(count: int, groups: int) -> list[dict[str, str]]:
    table = rows(count)
    return [
        {**row, "customer": f"C{at % groups}", "when": f"2025-{1 + at * 12 // count:02d}-{1 + at % 28:02d}"}
        for at, row in enumerate(table)
    ]


def test_the_newest_rows_are_test_and_nothing_in_training_is_younger_than_the_cut(tmp_path: Path) -> None:
    task = sample(tmp_path, dated(300, 300), splits={"by": "time", "test": 0.2, "validation": 0.1})
    prepare(task, tmp_path / "out")
    parts = {s: pd.read_parquet(tmp_path / "out" / f"{s}.parquet") for s in ("train", "validation", "test")}
    assert [len(parts[s]) for s in ("test", "validation", "train")] == [60, 30, 210]
    assert parts["train"][TIME].max() < parts["validation"][TIME].min()
    assert parts["validation"][TIME].max() < parts["test"][TIME].min()


def test_a_group_that_spans_times_goes_by_its_newest_row(tmp_path: Path) -> None:
    prepare(sample(tmp_path, dated(300, 60), splits={"by": "time"}), tmp_path / "out")
    parts = {s: pd.read_parquet(tmp_path / "out" / f"{s}.parquet") for s in ("train", "validation", "test")}
    groups = {s: set(table[GROUP]) for s, table in parts.items()}
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    sides = read_sides(ledger_of(tmp_path / "out", "sample"))
    assert sides is not None and parts["train"][TIME].max() < sides.cuts["validation"] < sides.cuts["test"]


def test_later_rows_go_by_the_cuts_that_were_fixed_first(tmp_path: Path) -> None:
    splits = {"by": "time", "test": 0.2, "validation": 0.1}
    table = dated(300, 300)
    prepare(sample(tmp_path, table, splits=splits), tmp_path / "out")
    before = parts_of(tmp_path / "out")
    late = [
        {**row, "id": f"L{at}", "customer": f"L{at}", "when": "2026-03-01"} for at, row in enumerate(rows(40, seed=9))
    ]
    early = [
        {**row, "id": f"E{at}", "customer": f"E{at}", "when": "2024-03-01"} for at, row in enumerate(rows(40, seed=8))
    ]
    undated = [{**row, "id": f"U{at}", "customer": f"U{at}", "when": ""} for at, row in enumerate(rows(4, seed=7))]
    prepare(sample(tmp_path, [*table, *late, *early, *undated], splits=splits), tmp_path / "out")
    after = parts_of(tmp_path / "out")
    assert {row: after[row] for row in before} == before
    assert {row[0]: side for row, side in after.items() if row[0] in "LEU"} == {"L": "test", "E": "train", "U": "train"}


def parts_of(folder: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "validation", "test"):
        found |= dict.fromkeys(pd.read_parquet(folder / f"{split}.parquet")[ROW_ID], split)
    return found


def test_cuts_lie_where_the_shares_come_out_best() -> None:
    frame = pd.DataFrame(
        {GROUP: [str(at) for at in range(10)], TIME: ["2025-01-01"] * 6 + ["2025-02-01"] * 2 + ["2025-03-01"] * 2}
    )
    assert cuts_of(frame, {"test": 0.2, "validation": 0.2, "train": 0.6}) == {
        "test": "2025-03-01",
        "validation": "2025-02-01",
    }
    assert cuts_of(frame.assign(**{TIME: "2025-01-01"}), SHARES) == {}
    zones = pd.DataFrame({GROUP: ["a", "b"], TIME: ["2025-01-01T01:00:00+09:00", "2024-12-31T20:00:00"]})
    assert by_time(zones, {"test": "2024-12-31T18:00:00"}) == {"a": "train", "b": "test"}


def test_where_most_rows_are_of_one_day_test_and_validation_share_the_others() -> None:
    days = ["2025-03-01"] * 90 + [f"2025-03-{2 + at:02d}" for at in range(10)]
    frame = made([f"g{at}" for at in range(100)], ["a"] * 100).assign(**{TIME: days})
    assert cuts_of(frame, SHARES) == {"test": "2025-03-07", "validation": "2025-03-02"}


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (["2025-03-03"], "all rows with a time are of 2025-03-03: no cut can be made for test and validation"),
        (["2025-03-03", "2025-03-04"], "are of 2025-03-03 and 2025-03-04: no cut can be made for validation"),
        ([""], "no row has a time: no cut can be made"),
        ([f"2025-03-{1 + at:02d}" for at in range(28)], "so"),
    ],
    ids=["one day", "two days", "none", "many"],
)
def test_a_split_by_time_that_is_none_is_said(tmp_path: Path, days: list[str], said: str) -> None:
    frame = made([f"g{at}" for at in range(280)], ["a"] * 280).assign(**{TIME: (days * 280)[:280]})
    data, sides = task_of(tmp_path, by="time").spec.data, Sides()
    cuts = cuts_of(frame, SHARES)
    sides.cuts |= cuts
    found = time_order(frame.assign(**{SPLIT: frame[GROUP].map(by_time(frame, cuts))}), sides, data)
    assert said in found.text and (found.faults == 0) == (said == "so")


def test_known_rows_that_were_divided_by_class_are_said_where_time_is_asked_for_later(tmp_path: Path) -> None:
    frame = made([f"g{at}" for at in range(280)], ["a"] * 280)
    frame[TIME] = [f"2025-03-{1 + at % 28:02d}" for at in range(280)]
    data = task_of(tmp_path, by="time").spec.data
    placed = frame.assign(**{SPLIT: frame[GROUP].map(by_class(frame, NOTHING, SHARES, 7))})
    assert "no cut was made for test and validation" in time_order(placed, Sides(), data).text
    found = time_order(placed, Sides(cuts=cuts_of(frame, SHARES)), data)
    assert found.faults > 20 and "test rows are older than the cut (2025-03-25)" in found.text
    assert time_order(placed, Sides(), task_of(tmp_path).spec.data).faults == 0


def test_rows_that_production_added_are_placed_by_class_where_the_source_goes_by_time(tmp_path: Path) -> None:
    task = sample(tmp_path, rows(3), splits={"by": "time"})
    frame = made([f"g{at}" for at in range(200)], ["a", "b"] * 100)
    frame[TIME] = [f"2025-01-{1 + at % 28:02d}" for at in range(200)]
    frame["asked_split"] = ["accumulated" if at >= 100 else "" for at in range(200)]
    frame.loc[100:, TIME] = "2026-01-01"
    kept, _ = divide(frame, task.spec.data)
    added = Counter(kept.loc[kept["asked_split"] != "", SPLIT])
    assert added["train"] >= 50 and added["test"] >= 10
