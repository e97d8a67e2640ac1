"""Own train and test files that come to share ids, or cease to: every row keeps its name, its side and its labels."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_samples import rows, write_csv, write_task

from playbook.data.audit import audit
from playbook.data.prepare import prepare
from playbook.data.rules import rules
from playbook.data.sides import ledger_of
from playbook.errors import DataError
from playbook.spec import SPLITS
from playbook.taskfile import Task

Rows = list[dict[str, str]]
COLUMNS = {"text": "text", "label": "label", "id": "id"}
SPLIT = {"by": "class", "validation": 0.3}


def table(count: int, first: int, seed: int) -> Rows:
    """Rows with the ids `first`, `first` + 1 and so on."""
    return [{**row, "id": str(first + at)} for at, row in enumerate(rows(count, seed))]


def task_of(folder: Path, train: Rows, test: Rows, **data: Any) -> Task:
    write_csv(folder / "train.csv", train)
    write_csv(folder / "test.csv", test)
    places = {"train": "train.csv", "test": "test.csv"}
    return write_task(folder, places, **{"columns": COLUMNS, "splits": SPLIT, **data})


def prepared(task: Task, out: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Side of every row by its name, and the profile."""
    figures = prepare(task, out)
    tables = {side: pd.read_parquet(out / f"{side}.parquet") for side in SPLITS}
    return {row: side for side, found in tables.items() for row in found["row_id"]}, figures


def edited(table: Rows, seed: int = 9) -> Rows:
    """The same rows under other texts."""
    return [{**row, "text": new["text"]} for row, new in zip(table, rows(len(table), seed), strict=True)]


def keep_their_side(task: Task, out: Path) -> bool:
    (rule,) = (rule for rule in rules(task) if rule.name == "known rows keep their side")
    return rule.found(audit(task, out)) == "none moved"


@pytest.mark.parametrize("shared_first", [False, True], ids=["ids come to be shared", "ids cease to be shared"])
def test_rows_keep_name_and_side_while_their_texts_change_too(tmp_path: Path, shared_first: bool) -> None:
    train, apart, shared = table(120, 0, 1), table(40, 500, 2), table(40, 40, 3)
    first, second = (apart + shared, apart) if shared_first else (apart, apart + shared)
    before, _ = prepared(task_of(tmp_path, train, first), tmp_path / "out")
    assert ("train/40" in before) is shared_first and sum(side == "validation" for side in before.values()) > 20
    task = task_of(tmp_path, edited(train), second)
    after, _ = prepared(task, tmp_path / "out")
    kept = {name: side for name, side in before.items() if side != "test"}
    assert len(kept) == 120 and {name: after[name] for name in kept} == kept
    assert sum(side == "test" for side in after.values()) == len(second)
    assert keep_their_side(task, tmp_path / "out")


def test_a_test_row_keeps_its_name_where_the_training_file_comes_to_share_its_id(tmp_path: Path) -> None:
    before, _ = prepared(task_of(tmp_path, table(120, 0, 1), table(40, 500, 2)), tmp_path / "out")
    task = task_of(tmp_path, table(120, 0, 1) + table(20, 500, 4), table(40, 500, 2))
    after, _ = prepared(task, tmp_path / "out")
    assert before.items() <= after.items() and len(after) == 180
    assert all(after[f"train/{500 + at}"] in ("train", "validation") for at in range(20))
    assert keep_their_side(task, tmp_path / "out")


def test_a_row_that_changes_its_file_is_still_found(tmp_path: Path) -> None:
    train, test = table(120, 0, 1), table(40, 500, 2)
    prepared(task_of(tmp_path, train, test), tmp_path / "out")
    task = task_of(tmp_path, train + edited(test[:5]), test[5:])
    prepared(task, tmp_path / "out")
    assert not keep_their_side(task, tmp_path / "out")


def test_corrections_and_second_labels_go_on_naming_their_rows(tmp_path: Path) -> None:
    train, apart, shared = table(120, 0, 1), table(40, 500, 2), table(60, 30, 3)
    labels = {"corrections": "corrections.csv", "second_annotator": "second.csv"}
    wrong = train[70]
    other = {"billing": "delivery", "delivery": "billing"}[wrong["label"]]
    (tmp_path / "corrections.csv").write_text(f"row_id,label,by,when,was\n70,{other},Eve,2026-01-01,{wrong['label']}\n")
    second = "".join(f"{row['id']},{row['label']}\n" for row in train[40:80])
    (tmp_path / "second.csv").write_text(f"row_id,label\n{second}")
    for test in (apart, apart + shared, shared, apart):
        _, figures = prepared(task_of(tmp_path, train, test, labels=labels), tmp_path / "out")
        found = pd.concat([pd.read_parquet(tmp_path / "out" / f"{side}.parquet") for side in SPLITS])
        assert found.set_index("row_id").loc["70", "label"] == other
        assert figures["corrections"]["changed"] == 1 and figures["agreement"]["rows"] == 40
        assert figures["agreement"]["observed"] == 1.0, "the second person saw the label of before"


def test_a_correction_that_may_mean_either_row_says_so(tmp_path: Path) -> None:
    (tmp_path / "corrections.csv").write_text("row_id,label,by,when,was\n70,billing,Eve,2026-01-01,delivery\n")
    task = task_of(tmp_path, table(120, 0, 1), table(60, 30, 3), labels={"corrections": "corrections.csv"})
    with pytest.raises(DataError, match="no row 70, but train/70 and test/70: write the one that is meant"):
        prepare(task, tmp_path / "out")


def test_an_emptied_ledger_names_rows_as_it_did_at_first(tmp_path: Path) -> None:
    train, apart, shared = table(120, 0, 1), table(40, 500, 2), table(60, 30, 3)
    prepared(task_of(tmp_path, train, apart), tmp_path / "out")
    task = task_of(tmp_path, train, apart + shared)
    ledger_of(tmp_path / "out", "sample").write_text("")
    after, _ = prepared(task, tmp_path / "out")
    assert "70" not in after and {"train/70", "test/70"} <= after.keys()


def test_a_split_column_keeps_names_too_and_a_blank_side_changes_none(tmp_path: Path) -> None:
    sides = {"column": "side", "validation": 0.3}

    def prepare_with(train: Rows, test: Rows, blank: Rows) -> dict[str, str]:
        parts = (("Training", train), ("Test", test), ("", blank))
        write_csv(tmp_path / "rows.csv", [{**row, "side": side} for side, part in parts for row in part])
        task = write_task(tmp_path, {"path": "rows.csv"}, columns=COLUMNS, splits=sides)
        return prepared(task, tmp_path / "out")[0]

    train, apart, shared = table(120, 0, 1), table(40, 500, 2), table(40, 40, 3)
    before = prepare_with(train, apart + shared[:5], [])
    assert {"Training/40", "Test/40", "45"} <= before.keys()
    after = prepare_with(edited(train), apart + shared[5:], table(1, 900, 5))
    mine = {name: side for name, side in before.items() if side != "test"}
    assert len(mine) == 120 and {name: after[name] for name in mine} == mine


def test_ids_that_come_as_decimals_are_the_same_ones(tmp_path: Path) -> None:
    train, apart, shared = table(120, 0, 1), table(40, 500, 2), table(40, 40, 3)
    before, _ = prepared(task_of(tmp_path, train, apart + shared[:20]), tmp_path / "out")
    decimal = [{**row, "id": f"{row['id']}.0"} for row in edited(train)]
    after, _ = prepared(
        task_of(tmp_path, decimal, [{**row, "id": f"{row['id']}.0"} for row in shared]), tmp_path / "out"
    )
    mine = {f"{name}.0": side for name, side in before.items() if side != "test"}
    assert len(mine) == 120 and {name: after[name] for name in mine} == mine


@pytest.mark.parametrize("seed", range(3))
def test_no_row_of_a_file_changes_name_or_side_in_a_long_history(tmp_path: Path, seed: int) -> None:
    """Rows come and go in both files under ids of one range, and every text changes every time."""
    rng, texts = random.Random(seed), rows(3000, seed)  # noqa: S311
    held = {"train": set(range(60)), "test": set(range(60, 80))}
    ever: dict[str, set[int]] = {role: set(own) for role, own in held.items()}
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for number in range(5):
        for role, own in held.items():
            held[role] = {at for at in own if rng.random() < 0.85}
        for role, other in (("train", "test"), ("test", "train")):
            moved = ever[other] - held[other] - ever[role]  # a row that leaves one file for the other is a fault
            held[role] |= set(rng.sample(range(100), 20)) - moved
            ever[role] |= held[role]
        fresh = iter(texts[number * 500 :])
        files = {role: [{**next(fresh), "id": str(at)} for at in sorted(own)] for role, own in held.items()}
        task = task_of(tmp_path, files["train"], files["test"])
        sides, _ = prepared(task, tmp_path / "out")
        tables = pd.concat([pd.read_parquet(tmp_path / "out" / f"{side}.parquet") for side in SPLITS])
        name_of = dict(zip(tables["text"], tables["row_id"], strict=True))
        assert len(name_of) == len(sides) == sum(map(len, files.values())) and keep_their_side(task, tmp_path / "out")
        for role, table_ in files.items():
            for name, row_id in ((name_of[row["text"]], row["id"]) for row in table_):
                assert known.setdefault((role, row_id), (name, sides[name])) == (name, sides[name])
