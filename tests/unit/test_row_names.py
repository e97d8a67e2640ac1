"""Own train and test files that come to share ids, or cease to: every row keeps its side, and its labels follow it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_samples import rows, write_csv, write_task

from playbook.annotate import draw, read_back
from playbook.data.audit import audit
from playbook.data.known_ids import mark_of
from playbook.data.prepare import prepare
from playbook.data.rules import rules
from playbook.data.sides import Sides, ledger_of, read_sides, write_sides
from playbook.errors import DataError
from playbook.relabel import apply_queue
from playbook.settings import settings
from playbook.spec import SPLITS
from playbook.taskfile import Task

Rows = list[dict[str, str]]
COLUMNS = {"text": "text", "label": "label", "id": "id"}
SPLIT = {"by": "class", "validation": 0.3}
LABELS = {"corrections": "corrections.csv", "second_annotator": "second.csv"}
OTHER = {"billing": "delivery", "delivery": "billing"}
TRAIN, APART, SHARED = 1, 2, 3  # seeds


def table(count: int, first: int, seed: int) -> Rows:
    """Rows with the ids `first`, `first` + 1 and so on."""
    return [{**row, "id": str(first + at)} for at, row in enumerate(rows(count, seed))]


def edited(table: Rows, seed: int = 9) -> Rows:
    """The same rows under other texts."""
    return [{**row, "text": new["text"]} for row, new in zip(table, rows(len(table), seed), strict=True)]


def task_of(folder: Path, train: Rows, test: Rows, validation: Rows | None = None, **data: Any) -> Task:
    files = {"train": train, "test": test} | ({"validation": validation} if validation else {})
    for role, own in files.items():
        write_csv(folder / f"{role}.csv", own)
    places = {role: f"{role}.csv" for role in files}
    return write_task(folder, places, **{"columns": COLUMNS, "splits": SPLIT, **data})


def prepared(task: Task, out: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Side of every row by its name, and the profile."""
    figures = prepare(task, out)
    tables = {side: pd.read_parquet(out / f"{side}.parquet") for side in SPLITS}
    return {row: side for side, found in tables.items() for row in found["row_id"]}, figures


def of_training(sides: dict[str, str]) -> dict[str, str]:
    """Sides of the rows of the training file, by the id that they have there."""
    return {name.removeprefix("train/"): side for name, side in sides.items() if side != "test"}


def found_by(task: Task, out: Path, name: str) -> str:
    (rule,) = (rule for rule in rules(task) if rule.name == name)
    return rule.found(audit(task, out))


def moved(task: Task, out: Path) -> str:
    return found_by(task, out, "known rows keep their side")


@pytest.mark.parametrize("shared_first", [False, True], ids=["ids come to be shared", "ids cease to be shared"])
def test_rows_keep_their_side_while_their_texts_change_too(tmp_path: Path, shared_first: bool) -> None:
    train, apart, shared = table(120, 0, TRAIN), table(40, 500, APART), table(40, 40, SHARED)
    first, second = (apart + shared, apart) if shared_first else (apart, apart + shared)
    before, _ = prepared(task_of(tmp_path, train, first), tmp_path / "out")
    assert sum(side == "validation" for side in before.values()) > 20
    task = task_of(tmp_path, edited(train), second)
    after, _ = prepared(task, tmp_path / "out")
    assert ("train/40" in before) is shared_first and ("train/40" in after) is not shared_first
    assert of_training(before) == of_training(after) and len(of_training(after)) == 120
    assert (
        sum(side == "test" for side in after.values()) == len(second) and moved(task, tmp_path / "out") == "none moved"
    )


def test_a_training_row_under_the_id_of_a_test_row_is_a_new_row(tmp_path: Path) -> None:
    prepared(task_of(tmp_path, table(120, 0, TRAIN), table(40, 500, APART)), tmp_path / "out")
    task = task_of(tmp_path, table(120, 0, TRAIN) + table(20, 500, SHARED), table(40, 500, APART))
    after, _ = prepared(task, tmp_path / "out")
    assert len(after) == 180 and all(after[f"test/{500 + at}"] == "test" for at in range(20))
    assert all(after[f"train/{500 + at}"] in ("train", "validation") for at in range(20))
    assert moved(task, tmp_path / "out") == "none moved"


@pytest.mark.parametrize("shared_before", [False, True])
@pytest.mark.parametrize("to_train", [True, False])
def test_a_row_that_leaves_one_file_for_the_other_is_found(tmp_path: Path, shared_before: bool, to_train: bool) -> None:
    """Also where the other file has had a row of that id itself, which it lost."""
    train, test = table(120, 0, TRAIN), table(60, 500, APART)
    prepared(task_of(tmp_path, train, test), tmp_path / "out")
    if shared_before:
        twins = (train + table(5, 500, 8), test) if to_train else (train, test + table(5, 0, 8))
        prepared(task_of(tmp_path, *twins), tmp_path / "out")
    after = (train + test[:5], test[5:]) if to_train else (train[5:], test + train[:5])
    for _ in range(2):  # it does not become known by being there
        task = task_of(tmp_path, *after)
        prepared(task, tmp_path / "out")
        assert moved(task, tmp_path / "out").startswith("5 rows moved")
    task = task_of(tmp_path, train, test)
    prepared(task, tmp_path / "out")
    assert moved(task, tmp_path / "out") == "none moved"


def test_an_edited_row_that_leaves_its_file_is_found(tmp_path: Path) -> None:
    train, test = table(120, 0, TRAIN), table(40, 500, APART)
    prepared(task_of(tmp_path, train, test), tmp_path / "out")
    task = task_of(tmp_path, train + edited(test[:5]), test[5:])
    prepared(task, tmp_path / "out")
    assert "5 rows moved: 500 was in test, is in " in moved(task, tmp_path / "out")


def write_labels(folder: Path, corrected: Iterable[tuple[str, str, str]], second: Iterable[tuple[str, str]]) -> None:
    """Corrections (row, label, was), and the second person's labels (row, label)."""
    fixes = "".join(f"{row},{label},Eve,2026-01-01,{was}\n" for row, label, was in corrected)
    (folder / "corrections.csv").write_text(f"row_id,label,by,when,was\n{fixes}")
    (folder / "second.csv").write_text("row_id,label\n" + "".join(f"{row},{label}\n" for row, label in second))


def test_labels_written_for_a_shared_id_follow_their_row_when_no_other_has_it(tmp_path: Path) -> None:
    train, apart, shared = table(120, 0, TRAIN), table(40, 500, APART), table(60, 30, SHARED)
    was = train[70]["label"]
    second = [(f"train/{row['id']}", row["label"]) for row in train[40:80]]
    write_labels(tmp_path, [("train/70", OTHER[was], was)], second)
    for test in (apart + shared, apart, shared):
        _, figures = prepared(task_of(tmp_path, train, test, labels=LABELS), tmp_path / "out")
        found = pd.concat([pd.read_parquet(tmp_path / "out" / f"{side}.parquet") for side in SPLITS])
        name = "70" if test is apart else "train/70"
        assert found.set_index("row_id").loc[name, "label"] == OTHER[was]
        assert figures["corrections"]["changed"] == 1 and figures["agreement"]["rows"] == 40
        assert figures["agreement"]["observed"] == 1.0, "the second person saw the label of before"


def test_a_name_that_may_be_either_row_is_refused_with_both(tmp_path: Path) -> None:
    train, shared = table(120, 0, TRAIN), table(60, 30, SHARED)
    was = train[70]["label"]
    write_labels(tmp_path, [("70", OTHER[was], was)], [])
    task = task_of(tmp_path, train, shared, labels=LABELS)
    with pytest.raises(DataError, match=r"line 2: row 70 may be train/70 or test/70: write the one that is meant$"):
        prepare(task, tmp_path / "out")
    write_labels(tmp_path, [], [("70", was)])
    with pytest.raises(DataError, match=r"second\.csv: row 70 may be train/70 or test/70"):
        prepare(task, tmp_path / "out")
    write_labels(tmp_path, [("train/70", OTHER[was], was)], [("train/70", was), ("20", train[20]["label"])])
    assert prepare(task, tmp_path / "out")["agreement"]["rows"] == 2


def test_one_row_under_two_names_is_one_row(tmp_path: Path) -> None:
    train = table(120, 0, TRAIN)
    was = train[70]["label"]
    task = task_of(tmp_path, train, table(40, 500, APART), labels=LABELS)
    write_labels(tmp_path, [("train/70", OTHER[was], was), ("70", was, was)], [])
    with pytest.raises(DataError, match="line 3: row 70 is corrected twice"):
        prepare(task, tmp_path / "out")
    write_labels(tmp_path, [], [("train/70", OTHER[was]), ("70", was)])
    with pytest.raises(DataError, match="row 70 has two names and two labels"):
        prepare(task, tmp_path / "out")
    write_labels(tmp_path, [("test/70", was, was)], [])
    with pytest.raises(DataError, match="the source has no row test/70"):
        prepare(task, tmp_path / "out")


def test_a_sheet_and_a_queue_that_were_out_meanwhile_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    train, apart, shared = table(120, 0, TRAIN), table(40, 500, APART), table(120, 0, SHARED)
    places, label = settings(), {row["id"]: row["label"] for row in train}
    task = task_of(tmp_path, train, apart, labels=LABELS)
    prepare(task, tmp_path / "out")
    sheet, _, count = draw(task, 30, places)
    given = pd.read_csv(sheet, dtype="str").fillna("")
    given.assign(label=[label[row] for row in given["row_id"]]).to_csv(sheet, index=False)
    row = given["row_id"][0]
    queue = tmp_path / "queue.csv"
    queue.write_text(f"row_id,label,new_label\ntrain/{row},{label[row]},{OTHER[label[row]]}\n")
    task = task_of(tmp_path, train, apart + shared, labels=LABELS)
    assert read_back(task, sheet, "Eve", places).new == count == 30
    assert (tmp_path / "second.csv").read_text().count("\ntrain/") == 30
    assert apply_queue(task, queue, by="Dora", places=places).changed == 1
    task = task_of(tmp_path, train, apart, labels=LABELS)
    figures = prepare(task, tmp_path / "out")
    assert figures["corrections"]["changed"] == 1 and figures["agreement"]["rows"] == 30
    again, _, count = draw(task, 120, places)
    assert not set(pd.read_csv(again, dtype="str")["row_id"]) & set(given["row_id"]) and count == 90


def test_a_split_column_keeps_sides_however_it_is_written(tmp_path: Path) -> None:
    sides = {"column": "side", "validation": 0.3}

    def prepare_with(words: dict[str, Rows]) -> dict[str, str]:
        write_csv(tmp_path / "rows.csv", [{**row, "side": side} for side, part in words.items() for row in part])
        task = write_task(tmp_path, {"path": "rows.csv"}, columns=COLUMNS, splits=sides)
        found = prepared(task, tmp_path / "out")[0]
        assert moved(task, tmp_path / "out") == "none moved"
        return {name.rpartition("/")[2]: side for name, side in found.items() if side != "test"}

    train, apart, shared = table(120, 0, TRAIN), table(40, 500, APART), table(40, 40, SHARED)
    before = prepare_with({"Training": train, "Test": apart + shared[:5]})
    assert len(before) == 120 and set(before.values()) == {"train", "validation"}
    assert prepare_with({"train ": edited(train), "testing": apart + shared[5:], "": table(1, 900, 5)}) == before


def test_two_words_for_one_side_that_number_their_rows_alike_are_told_apart(tmp_path: Path) -> None:
    sides = {"column": "side", "validation": 0.3}
    parts = {"train": table(60, 0, 1), "training": table(60, 0, 2), "test": table(40, 500, 3)}
    write_csv(tmp_path / "rows.csv", [{**row, "side": side} for side, part in parts.items() for row in part])
    task = write_task(tmp_path, {"path": "rows.csv"}, columns=COLUMNS, splits=sides)
    before, _ = prepared(task, tmp_path / "out")
    assert len(before) == 160 and prepared(task, tmp_path / "out")[0] == before
    assert moved(task, tmp_path / "out") == "none moved"


def column_task(folder: Path, words: dict[str, Rows], **splits: Any) -> Task:
    write_csv(folder / "rows.csv", [{**row, "side": side} for side, part in words.items() for row in part])
    return write_task(folder, {"path": "rows.csv"}, columns=COLUMNS, splits=splits)


@pytest.mark.parametrize("before", ["files", "column"])
def test_a_team_that_leaves_the_split_to_us_keeps_its_sides(tmp_path: Path, before: str) -> None:
    """With the ledger alone, as in a fresh clone."""
    train, test = table(120, 0, TRAIN), table(40, 500, APART)
    if before == "files":
        first = task_of(tmp_path, train, test)
    else:
        first = column_task(tmp_path, {"train": train, "test": test}, column="side", validation=0.3)
    sides, _ = prepared(first, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    task = column_task(tmp_path, {"": edited(train + test)}, by="class")
    assert prepared(task, tmp_path / "out")[0] == sides
    assert moved(task, tmp_path / "out") == "none moved"


def test_words_for_one_side_that_become_one_word_move_nothing(tmp_path: Path) -> None:
    train, test, how = table(120, 0, TRAIN), table(40, 500, APART), {"column": "side", "validation": 0.3}
    words = {"train": train[:60], "training": train[60:], "test": test}
    sides, _ = prepared(column_task(tmp_path, words, **how), tmp_path / "out")
    for word in ("Training", "train"):
        shutil.rmtree(tmp_path / "out")
        task = column_task(tmp_path, {word: edited(train), "test": test}, **how)
        assert prepared(task, tmp_path / "out")[0] == sides
        assert moved(task, tmp_path / "out") == "none moved"


def test_a_row_that_changes_its_side_of_a_column_is_found_where_the_other_had_its_id(tmp_path: Path) -> None:
    train, validation, test = table(60, 0, 1), table(40, 40, 2), table(40, 500, 3)
    before = {"train": train, "validation": validation, "test": test}
    prepared(column_task(tmp_path, before, column="side"), tmp_path / "out")
    after = {"train": train[:50], "validation": validation[20:] + train[50:], "test": test}
    task = column_task(tmp_path, after, column="side")
    prepared(task, tmp_path / "out")
    assert moved(task, tmp_path / "out").startswith("10 rows moved")


def test_test_rows_that_come_into_a_training_file_under_taken_ids_are_found(tmp_path: Path) -> None:
    """One file first, which we divided; then own files, whose test file numbers other rows alike."""
    whole = table(160, 0, TRAIN)
    sides, _ = prepared(column_task(tmp_path, {"": whole}, by="class"), tmp_path / "out")
    of_test = [row for row in whole if sides[row["id"]] == "test"]
    others = [row for row in whole if sides[row["id"]] == "train"]
    task = task_of(tmp_path, others + of_test[:5], edited(of_test))
    prepared(task, tmp_path / "out")
    assert moved(task, tmp_path / "out").startswith("5 rows moved")


def test_a_row_that_is_set_aside_for_a_while_causes_no_alarm(tmp_path: Path) -> None:
    train, apart, twin = table(120, 0, TRAIN), table(40, 500, APART), table(1, 65, SHARED)
    blank = [{**row, "text": ""} if row["id"] == "65" else row for row in train]
    without = [row for row in train if row["id"] != "65"]
    after: dict[str, str] = {}
    for mine, theirs in ((train, apart), (blank, apart + twin), (without, apart + twin), (train, apart + twin)):
        task = task_of(tmp_path, mine, theirs)
        after, _ = prepared(task, tmp_path / "out")
        assert moved(task, tmp_path / "out") == "none moved"
    assert after["test/65"] == "test" and after["train/65"] in ("train", "validation")


@pytest.mark.parametrize("blank", ["train", "test"])
def test_a_second_label_may_be_of_a_row_that_is_set_aside(tmp_path: Path, blank: str) -> None:
    files = {"train": table(120, 0, TRAIN), "test": table(60, 30, SHARED)}
    files[blank] = [{**row, "text": ""} if row["id"] == "70" else row for row in files[blank]]
    write_labels(tmp_path, [], [("70", "billing")])
    task = task_of(tmp_path, files["train"], files["test"], labels=LABELS)
    with pytest.raises(DataError, match=r"second\.csv: row 70 may be (train|test)/70 or (train|test)/70"):
        prepare(task, tmp_path / "out")


def test_a_name_of_before_counts_more_than_a_row_that_left_another_file(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path / "out", "sample")
    ids = {mark_of("id", "train/70"): "validation", mark_of("id", "test/70"): "test"}
    write_sides(ledger, Sides(task="sample", ids=ids))
    train, apart, twin = table(120, 0, TRAIN), table(40, 500, APART), table(1, 70, SHARED)
    prepared(task_of(tmp_path, [row for row in train if row["id"] != "70"], apart + twin), tmp_path / "out")
    task = task_of(tmp_path, edited(train), apart)
    assert prepared(task, tmp_path / "out")[0]["70"] == "validation"
    assert moved(task, tmp_path / "out") == "none moved"


def test_ids_that_look_like_names_with_a_role_are_ids(tmp_path: Path) -> None:
    mine = [*table(118, 0, TRAIN), {**rows(2, 77)[0], "id": "train/5"}, {**rows(2, 77)[1], "id": "train/6"}]
    before, _ = prepared(task_of(tmp_path, mine, table(40, 500, APART)), tmp_path / "out")
    task = task_of(tmp_path, edited(mine), table(40, 500, APART) + table(1, 5, SHARED))
    after, _ = prepared(task, tmp_path / "out")
    assert len(before) == 160 and len(after) == 161 and moved(task, tmp_path / "out") == "none moved"
    assert after["train/train/5"] == before["5"]
    assert {name: side for name, side in after.items() if name in ("6", "train/5", "train/6")}.items() <= before.items()


def test_ids_that_come_as_decimals_are_the_same_ones(tmp_path: Path) -> None:
    train, apart, shared = table(120, 0, TRAIN), table(40, 500, APART), table(40, 40, SHARED)
    before, _ = prepared(task_of(tmp_path, train, apart + shared[:20]), tmp_path / "out")
    decimal = [[{**row, "id": f"{row['id']}.0"} for row in own] for own in (edited(train), shared)]
    after, _ = prepared(task_of(tmp_path, *decimal), tmp_path / "out")
    assert {f"{name}.0": side for name, side in of_training(before).items()} == of_training(after)


@pytest.mark.parametrize("named", [("train/70", "70"), ("70",), ("train/70",)])
@pytest.mark.parametrize("shared", [True, False])
def test_no_row_moves_when_a_ledger_of_names_alone_is_taken_over(
    tmp_path: Path, named: tuple[str, ...], shared: bool
) -> None:
    """It knows 70 by the name, or the names, that it had: the one that it has now counts, then the other."""
    now = "train/70" if shared else "70"
    sides = {name: "validation" if name == (now if now in named else named[0]) else "train" for name in named}
    ledger = ledger_of(tmp_path / "out", "sample")
    write_sides(ledger, Sides(task="sample", ids={mark_of("id", name): side for name, side in sides.items()}))
    test = table(40, 500, APART) + (table(1, 70, SHARED) if shared else [])
    for seed in (0, 1, 2):
        task = task_of(tmp_path, edited(table(120, 0, TRAIN), 20 + seed), test)
        after, _ = prepared(task, tmp_path / "out")
        assert after[now] == "validation" and moved(task, tmp_path / "out") == "none moved"


def test_the_ledger_keeps_ids_by_their_file(tmp_path: Path) -> None:
    prepared(task_of(tmp_path, table(120, 0, TRAIN), table(40, 100, APART)), tmp_path / "out")
    known = read_sides(ledger_of(tmp_path / "out", "sample"))
    assert known is not None and len(known.ids) == 160
    assert known.ids[mark_of("id", "test", "100")] == "test" != known.ids[mark_of("id", "train", "100")]


@pytest.mark.parametrize("files", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_no_row_of_a_file_changes_its_side_in_a_long_history(tmp_path: Path, seed: int, files: int) -> None:
    """Rows come and go in all files under ids of one range, and every text changes every time."""
    rng, texts = random.Random(seed), rows(3000, seed)  # noqa: S311
    held = {"train": set(range(60)), "test": set(range(60, 80)), "validation": set(range(20, 40))}
    held = dict(list(held.items())[:files])
    ever: dict[str, set[int]] = {role: set(own) for role, own in held.items()}
    known: dict[tuple[str, str], str] = {}
    for number in range(5):
        for role, own in held.items():
            held[role] = {at for at in own if rng.random() < 0.85}
        for role in held:
            gone = set().union(*(ever[other] - held[other] for other in held if other != role))
            held[role] |= set(rng.sample(range(100), 20)) - (gone - ever[role])  # no row leaves one file for another
            ever[role] |= held[role]
        fresh = iter(texts[number * 500 :])
        tables = {role: [{**next(fresh), "id": str(at)} for at in sorted(own)] for role, own in held.items()}
        task = task_of(tmp_path, tables["train"], tables["test"], tables.get("validation"))
        sides, _ = prepared(task, tmp_path / "out")
        found = pd.concat([pd.read_parquet(tmp_path / "out" / f"{side}.parquet") for side in SPLITS])
        name_of = dict(zip(found["text"], found["row_id"], strict=True))
        assert len(name_of) == len(sides) == sum(map(len, tables.values()))
        assert moved(task, tmp_path / "out") == "none moved"
        for role, own_rows in tables.items():
            for row in own_rows:
                side = sides[name_of[row["text"]]]
                assert known.setdefault((role, row["id"]), side) == side
