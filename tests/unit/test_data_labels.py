"""Agreement, guideline, corrections and production-like rows, as preparing sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_samples import SCRIPT, rows, sample, write_csv

from playbook.artifacts import Agreement
from playbook.data.agreement import agreement, kappa_figure, rows_to_settle
from playbook.data.agreement import kappa as kappa_of
from playbook.data.annotations import read_second_annotator
from playbook.data.corrections import Correction, read_corrections, write_corrections
from playbook.data.guideline import judge_guideline
from playbook.data.label_rules import label_rules
from playbook.data.prepare import prepare
from playbook.data.sheets import guarded, unguarded
from playbook.data.versions import record_version
from playbook.errors import DataError, TaskFileError
from playbook.taskfile import Task

LABELS = ("billing", "delivery")
HEADER = "row_id,label,by,when,was\n"


def side(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet").set_index("row_id")


# Agreement


def test_kappa_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    random = np.random.default_rng(3)
    labels = ("a", "b", "c")
    first = {f"r{i}": labels[random.integers(3)] for i in range(200)}
    second = {row: label if random.random() < 0.7 else labels[random.integers(3)] for row, label in first.items()}
    found = agreement(first, {**second, "elsewhere": "a"}, labels)
    assert found is not None and found.rows == 200
    pair = list(first.values()), [second[row] for row in first]
    assert found.kappa.value == pytest.approx(cohen_kappa_score(*pair))
    assert found.observed == pytest.approx(np.mean([a == b for a, b in zip(*pair, strict=True)]))
    for label in labels:
        one = [[name == label for name in side] for side in pair]
        assert found.per_class[label] == pytest.approx(cohen_kappa_score(*one))
    assert sum(count for _, _, count in found.disagreements) == sum(a != b for a, b in zip(*pair, strict=True))
    assert [count for *_, count in found.disagreements] == sorted((c for *_, c in found.disagreements), reverse=True)
    assert agreement(first, second, labels) == found


def table_of(classes: int, kappa: float, even: bool, pairs: bool) -> np.ndarray:
    """Probabilities of the cells of two annotators, who agree with a kappa near the given one."""
    share = np.ones(classes) if even else 0.6 ** np.minimum(np.arange(classes), 8)
    share = share / share.sum()
    if not pairs:  # copied, or drawn alike
        return kappa * np.diag(share) + (1 - kappa) * np.outer(share, share)
    cells = np.diag(share * kappa)
    for at in range(classes):
        cells[at, at ^ 1 if at ^ 1 < classes else at - 1] += share[at] * (1 - kappa)
    return cells


def covered(cells: np.ndarray, count: int, trials: int, seed: int) -> tuple[float, float]:
    """How often the interval has the true kappa, and how often its lower end is above it."""
    drawn = np.random.default_rng(seed).multinomial(count, cells.ravel(), size=trials).reshape(trials, *cells.shape)
    truth = float(kappa_of(cells[None])[0])
    found = [kappa_figure(table.astype(float)) for table in drawn]
    held = [one.low - 1e-9 <= truth <= one.high + 1e-9 for one in found]
    return float(np.mean(held)), float(np.mean([one.low > truth + 1e-9 for one in found]))


def test_the_interval_of_kappa_covers_it() -> None:
    for classes, count in ((2, 30), (5, 60), (20, 100)):
        held, above = covered(table_of(classes, 0.9, even=False, pairs=True), count, 200, classes)
        assert held >= 0.9 and above <= 0.05


@pytest.mark.proof
@pytest.mark.parametrize("count", [30, 60, 100, 300])
@pytest.mark.parametrize("classes", [2, 5, 20])
def test_the_interval_of_kappa_covers_it_in_every_setting(classes: int, count: int) -> None:
    for kappa in (0.4, 0.6, 0.8, 0.95):
        for even, pairs in ((True, True), (True, False), (False, True), (False, False)):
            held, above = covered(table_of(classes, kappa, even, pairs), count, 1000, count)
            assert held >= 0.92 and above <= 0.05


def test_full_agreement_leaves_an_interval_with_a_width() -> None:
    for count, low in ((10, 0.44), (30, 0.77), (100, 0.92)):
        both = {str(at): LABELS[at % 2] for at in range(count)}
        found = agreement(both, both, LABELS)
        assert found is not None and found.kappa.value == found.kappa.high == 1
        assert found.kappa.low == pytest.approx(low, abs=0.01)


def test_the_rows_that_settle_it_put_the_lower_end_at_the_floor() -> None:
    def twice(count: int) -> Agreement:  # one in ten differs
        first = {str(at): LABELS[at % 2] for at in range(count)}
        second = {row: LABELS[1 - int(row) % 2] if int(row) % 10 == 0 else label for row, label in first.items()}
        found = agreement(first, second, LABELS)
        assert found is not None
        return found

    few = twice(20)
    needed = rows_to_settle(few, 0.6)
    assert needed is not None and few.kappa.low < 0.6 < few.kappa.value
    assert twice(10 * (needed // 10)).kappa.low < 0.602 and twice(10 * (needed // 10 + 2)).kappa.low > 0.6
    assert rows_to_settle(few, few.kappa.value) is None and rows_to_settle(few, 0.9) is None


def test_one_class_alone_says_nothing() -> None:
    alone = {"x": "billing", "y": "billing"}
    found = agreement(alone, alone, LABELS)
    assert found is not None and found.kappa.value == 0 and found.observed == 1
    assert (found.kappa.low, found.kappa.high) == (-1, 1) and rows_to_settle(found, 0.6) is None
    assert agreement(alone, {"z": "billing"}, LABELS) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected rows, found an empty file"),
        ("id\nx\n", "2 columns or more"),
        ("id,label\nx,billing\ny,misc\n", r"line 3: expected one of the classes billing, delivery, found misc"),
        ("id,label\nx,billing\nx,billing\n", "line 3: row x is labelled twice"),
        ("id,label\nx,billing\n ,billing\n", "line 3: expected the id of a row, found nothing"),
        ("id,label\nx\n", "line 2: 1 field where the header has 2: x"),
        (
            'id,label\n"x,billing\n',
            "not readable as CSV: line 2: a quotation mark opens a field here and is never closed",
        ),
    ],
)
def test_a_second_annotator_with_faults_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "second.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match=said):
        read_second_annotator(tmp_path / "second.csv", LABELS)


def test_undecided_rows_of_the_second_annotator_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "second.csv").write_text("who;what\nx; billing\ny;\n", "utf-8")  # as a spreadsheet may write it
    assert read_second_annotator(tmp_path / "second.csv", LABELS) == {"x": "billing"}


# Guideline


@pytest.mark.parametrize(
    ("text", "defined", "edged"),
    [
        ("# Billing\nMoney.\n", ("billing",), ()),
        ("# Billing\n\n# delivery\nParcels\n### Edge cases\n- none came", ("delivery",), ("delivery",)),
        ("- **billing**: money\n- `delivery`: parcels", LABELS, ()),
        ("| class | is |\n|---|---|\n| `billing` | money |\n| delivery | |\n", ("billing",), ()),
        ("## Edge cases\n| text | label |\n|---|---|\n| paid twice | `billing` |\n", (), ("billing",)),
        ("## Edge cases\nthe word billing, or a delivery, in passing\n", (), ()),
        ("## Edge cases\n- late: `delivery`, never **billing**\n", (), LABELS),
        ("# billing\nmoney. An edge case is a refund.\n", ("billing",), ("billing",)),
        ("# billing\n## Definition\nMoney back.\n", ("billing",), ()),
        ("# billing\n## delivery\nParcels.\n", ("delivery",), ()),
        ("# billing\n## Edge cases\n- none\n", (), ("billing",)),
        ("```\n# billing\nmoney\n```\nbilling is money", (), ()),
        ("", (), ()),
    ],
)
def test_the_rule_of_the_guideline(text: str, defined: tuple[str, ...], edged: tuple[str, ...]) -> None:
    found = judge_guideline(text, LABELS)
    assert (found.defined, found.with_edge_cases) == (defined, edged)
    assert set(found.missing) == set(LABELS) - set(defined)


def test_names_of_classes_may_be_written_as_words() -> None:
    assert judge_guideline("## Card arrival\nWhere is it?\n", ("card_arrival",)).defined == ("card_arrival",)


def test_the_guideline_of_the_sample_task_is_complete() -> None:
    path = Path(__file__).resolve().parents[2] / "data" / "tickets" / "GUIDELINE.md"
    classes = ("access", "billing", "cancellation", "delivery", "fault")
    found = judge_guideline(path.read_text("utf-8"), classes)
    assert found.defined == found.with_edge_cases == classes and not found.missing


# Corrections


def corrected_task(folder: Path, *lines: str, table: list[dict[str, str]] | None = None) -> Task:
    task = sample(folder, table, labels={"corrections": "corrections.csv"})
    (folder / "corrections.csv").write_text(HEADER + "".join(f"{line}\n" for line in lines), "utf-8")
    return task


def test_corrections_change_labels_and_no_side(tmp_path: Path) -> None:
    task = corrected_task(tmp_path)
    before = prepare(task, tmp_path / "before")
    sides = {split: side(tmp_path / "before", split) for split in ("train", "validation", "test")}
    chosen = {split: table.index[table["label"] == "billing"][0] for split, table in sides.items()}
    lines = [f"{row},delivery,ann,2026-01-02,billing" for row in chosen.values()]
    confirmed = sides["train"].index[sides["train"]["label"] == "delivery"][0]
    after = prepare(corrected_task(tmp_path, *lines, f"{confirmed},delivery,ann,2026-01-02,delivery"), tmp_path / "x")
    assert before["corrections"] == {"changed": 0, "confirmed": 0}
    assert after["corrections"] == {"changed": 3, "confirmed": 1}
    for split, row in chosen.items():
        table = side(tmp_path / "x", split)
        assert set(table.index) == set(sides[split].index)
        assert table.loc[row, "label"] == "delivery"
        assert (table["label"] != sides[split]["label"].reindex(table.index)).sum() == 1
    assert "3 corrected, 1 confirmed" in (tmp_path / "x" / "page.md").read_text("utf-8")


def test_a_corrected_label_can_free_a_quarantined_row(tmp_path: Path) -> None:
    table = rows()
    table[0]["label"] = "misc"
    assert prepare(corrected_task(tmp_path, table=table), tmp_path / "out")["quarantined"] == {"unknown label": 1}
    task = corrected_task(tmp_path, "R0000,billing,ann,2026-01-02,misc", table=table)
    assert prepare(task, tmp_path / "out")["quarantined"] == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("R9999,billing,ann,2026-01-02,delivery", r"line 2: the source has no row R9999"),
        ("R0000,misc,ann,2026-01-02,billing", r"line 2: expected one of the classes billing, delivery, found misc"),
        ("R0000,,ann,2026-01-02,billing", r"line 2: expected one of the classes .* found nothing"),
        ("R0001,billing,ann,2026-01-02,other", r"line 2: row R0001 was other when it was corrected, the source now"),
        ("R0000,billing,a,b,billing\nR0000,billing,a,b,billing", r"line 3: row R0000 is corrected twice"),
    ],
)
def test_corrections_that_do_not_fit_are_refused_with_their_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        prepare(corrected_task(tmp_path, line), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_that_was_mended_meanwhile_is_no_fault(tmp_path: Path) -> None:
    figures = prepare(corrected_task(tmp_path, "R0000,billing,ann,2026-01-02,delivery"), tmp_path / "out")
    assert figures["corrections"]["changed"] == 1 and figures["class_rows"]["train"]["billing"] > 0


def test_corrections_need_columns_and_may_be_absent(tmp_path: Path) -> None:
    task = corrected_task(tmp_path)
    (tmp_path / "corrections.csv").write_text("row_id,label\n", "utf-8")
    with pytest.raises(DataError, match=r"expected the columns row_id, label, by, when, was, .*add by, when, was"):
        read_corrections(task)
    (tmp_path / "corrections.csv").unlink()
    assert read_corrections(task) == ()


@pytest.mark.parametrize("cell", ["=1+1", "+4", "-5", "@x", "\ttab", "'=1", "''-2"])
def test_no_cell_runs_in_a_spreadsheet_and_none_is_lost(cell: str) -> None:
    assert guarded(cell).startswith("'") and unguarded(guarded(cell)) == cell


@pytest.mark.parametrize("cell", ["", "plain", "'quoted'", "a=b", "1-2"])
def test_harmless_cells_stay(cell: str) -> None:
    assert guarded(cell) == cell == unguarded(cell)


def test_written_corrections_read_back_the_same(tmp_path: Path) -> None:
    task = corrected_task(tmp_path)
    ones = [Correction("-x", "billing", "=ann", "2026-01-02", "delivery"), Correction("a", "delivery", "b", "c", "")]
    write_corrections(tmp_path / "corrections.csv", ones)
    assert [(c.row_id, c.label, c.by, c.when, c.was) for c in read_corrections(task)] == [
        (c.row_id, c.label, c.by, c.when, c.was) for c in ones
    ]


def test_the_changelog_says_how_many_labels_were_corrected(tmp_path: Path) -> None:
    figures = prepare(corrected_task(tmp_path), tmp_path / "out")
    record = tmp_path / "versions.yaml"
    assert "corrected" not in record_version(record, "a", figures)[0].changelog
    after = prepare(corrected_task(tmp_path, "R0000,delivery,ann,2026-01-02,billing"), tmp_path / "out")
    assert "labels corrected +1 (now 1)" in record_version(record, "b", after)[0].changelog
    assert "labels corrected -1 (now 0)" in record_version(record, "c", figures)[0].changelog
    assert "corrections: 1" in record.read_text("utf-8")


# The profile and the page


def labelled(folder: Path) -> Task:
    table = rows()
    write_csv(folder / "second.csv", [{"id": row["id"], "label": row["label"]} for row in table[:40]])
    (folder / "guide.md").write_text(f"# billing\n{SCRIPT}\n", "utf-8")
    return sample(folder, table, labels={"second_annotator": "second.csv", "guideline": "guide.md"})


def test_profile_and_page_tell_how_far_labels_can_be_believed(tmp_path: Path) -> None:
    figures = prepare(labelled(tmp_path), tmp_path / "out")
    assert figures["agreement"]["kappa"]["value"] == 1 and figures["agreement"]["rows"] == 40
    assert figures["guideline"]["defined"] == ["billing"] and figures["guideline"]["missing"] == ["delivery"]
    page = (tmp_path / "out" / "page.md").read_text("utf-8")
    assert "Cohen's kappa 1.00" in page and "defines 1 of 2 classes" in page
    assert "The guideline does not define delivery" in page and SCRIPT not in page
    assert json.loads((tmp_path / "out" / "profile.json").read_text("utf-8")) == figures


def test_a_page_without_label_files_says_so(tmp_path: Path) -> None:
    figures = prepare(sample(tmp_path), tmp_path / "out")
    assert figures["agreement"] is None and figures["guideline"] is None and figures["production"] is None
    page = (tmp_path / "out" / "page.md").read_text("utf-8")
    assert "Nobody knows how far two people would agree" in page and "Guideline: none named" in page
    assert "no production\\-like rows" in page


@pytest.mark.parametrize("part", ["second.csv", "guide.md"])
def test_any_change_of_a_label_file_changes_the_bytes(tmp_path: Path, part: str) -> None:
    task = labelled(tmp_path)
    prepare(task, tmp_path / "one")
    (tmp_path / part).write_text((tmp_path / part).read_text("utf-8") + "\n", "utf-8")  # changes no figure
    prepare(task, tmp_path / "two")
    one, two = ((tmp_path / out / "profile.json").read_bytes() for out in ("one", "two"))
    assert one != two


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        prepare(sample(tmp_path, labels={"guideline": "gone.csv"}), tmp_path / "out")


def test_a_file_that_is_to_keep_answers_need_not_be_there_yet(tmp_path: Path) -> None:
    task = sample(tmp_path, labels={"second_annotator": "later.csv"})
    prepare(task, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "profile.json").read_text())["agreement"] is None
    rules = {rule.name: rule for rule in label_rules(task)}
    assert "label agreement" not in rules and rules["rows labelled twice"].severity == "warning"


def test_label_files_are_local(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="a local file, relative to the task file"):
        sample(tmp_path, labels={"guideline": "https://example.com/g.md"})


# Production-like rows


def production(folder: Path, table: list[dict[str, str]], **data: Any) -> Task:
    write_csv(folder / "live.csv", table)
    return sample(folder, production={"path": "live.csv"}, **data)


def test_production_rows_are_cleaned_like_the_rest(tmp_path: Path) -> None:
    live = [{**row, "id": f"L{at}"} for at, row in enumerate(rows(40, seed=9))]
    live[0]["label"], live[1]["label"], live[2]["text"] = "", "misc", "test"
    figures = prepare(production(tmp_path, live), tmp_path / "out")
    table = side(tmp_path / "out", "production")
    assert figures["production"] == {
        "raw_rows": 40, "rows": 38, "labelled": 37, "left_out": {"test message": 1, "unknown label": 1},
    }  # fmt: skip
    assert len(table) == 38 and table.loc["L0", "label"] == "" and (table["group"] != "").all()
    assert list(table.columns) == list(side(tmp_path / "out", "train").columns)
    assert sum(figures["rows"].values()) + figures["quarantined_rows"] == figures["raw_rows"] == 240


def test_the_newest_rows_need_a_time(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"name the column of their time in columns\.time"):
        sample(tmp_path, production={"latest": 0.2}, columns={"text": "text", "label": "label"})
    timed = sample(tmp_path, production={"latest": 0.2})
    assert timed.spec.data.production is not None


def test_copies_of_training_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    prepare(sample(tmp_path), tmp_path / "first")
    texts = {split: side(tmp_path / "first", split)["text"].iloc[0] for split in ("train", "test")}
    live = [{**row, "id": f"L{at}"} for at, row in enumerate(rows(10, seed=9))]
    live[0]["text"], live[1]["text"], live[2]["text"] = texts["train"].upper(), texts["train"] + "s", texts["test"]
    figures = prepare(production(tmp_path, live), tmp_path / "out")
    assert figures["production"]["left_out"] == {"duplicate of a training row": 2}
    assert set(side(tmp_path / "out", "production").index) == {f"L{at}" for at in range(2, 10)}
    assert "left out: 2 duplicate of a training row" in (tmp_path / "out" / "page.md").read_text("utf-8")


def test_unlabelled_rows_do_not_contradict_labelled_ones(tmp_path: Path) -> None:
    live = [{**row, "id": f"L{at}"} for at, row in enumerate(rows(10, seed=9))]
    live[1] |= {"text": live[0]["text"], "label": ""}
    assert prepare(production(tmp_path, live), tmp_path / "out")["production"]["rows"] == 10


def test_a_production_file_of_copies_alone_is_refused(tmp_path: Path) -> None:
    task = sample(tmp_path)
    prepare(task, tmp_path / "first")
    train = set(side(tmp_path / "first", "train").index)
    with pytest.raises(DataError, match=r"expected rows that are fit for use and no copies .* found none of"):
        prepare(production(tmp_path, [row for row in rows() if row["id"] in train]), tmp_path / "out")
    live = [{name: value for name, value in row.items() if name != "customer"} for row in rows(5, seed=9)]
    with pytest.raises(DataError, match=r"live\.csv: column 'customer' \(group\) is missing"):
        prepare(production(tmp_path, live), tmp_path / "out")
