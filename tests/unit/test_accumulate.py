"""Rows of production join the data: nothing that was there moves, and a new class needs enough rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from data_samples import rows, write_csv, write_task

from playbook.data.prepare import prepare
from playbook.errors import DataError, TaskFileError
from playbook.operate.accumulate import Labelled, accumulate, usable_rows
from playbook.operate.redaction import REDACTED
from playbook.taskfile import Task, load_task

ACCUMULATED = {"rows": "more.csv", "classes": "classes.yaml"}


def task_in(folder: Path, count: int = 120, **data: Any) -> Task:
    write_csv(folder / "rows.csv", rows(count))
    return write_task(folder, {"path": "rows.csv"}, accumulated=ACCUMULATED, **data)


def labelled(count: int, seed: int = 9, label: str = "", prefix: str = "P") -> list[Labelled]:
    found = rows(count, seed)
    return [
        Labelled(f"{prefix}{at:02d}", row["text"], label or row["label"], "2026-01-05", {"customer": row["customer"]})
        for at, row in enumerate(found)
    ]


def split_of(folder: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "validation", "test"):
        table = pd.read_parquet(folder / f"{split}.parquet")
        found |= dict.fromkeys(table["row_id"], split)
    return found


def test_added_rows_join_every_split_and_no_row_of_the_source_moves(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    prepare(task, tmp_path / "before")
    grown = accumulate(task, labelled(200))
    assert (grown.rows, grown.added, grown.relabelled, grown.unknown) == (200, 200, 0, {})
    assert grown.by_class == {"billing": 100, "delivery": 100}
    prepare(task, tmp_path / "after")
    before, after = split_of(tmp_path / "before"), split_of(tmp_path / "after")
    assert {row: after[row] for row in before} == before
    new = [split for row, split in after.items() if row not in before]
    assert {split: new.count(split) > 5 for split in ("train", "validation", "test")} == dict.fromkeys(
        ("train", "validation", "test"), True
    )


def test_a_customer_of_the_source_keeps_to_its_side(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    prepare(task, tmp_path / "before")
    table = pd.concat([pd.read_parquet(tmp_path / "before" / f"{s}.parquet").assign(s=s) for s in ("train", "test")])
    sides = dict(zip(table["group"], table["s"], strict=True))
    customer, side = next((group, s) for group, s in sides.items() if s == "test")
    accumulate(task, [Labelled("P1", "my parcel never came to the street", "delivery", "", {"customer": customer})])
    prepare(task, tmp_path / "after")
    assert split_of(tmp_path / "after")["P1"] == side


def test_adding_again_adds_nothing_and_a_changed_label_is_changed(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    accumulate(task, labelled(10))
    content = (tmp_path / "more.csv").read_bytes()
    again = accumulate(task, labelled(10))
    assert (again.added, again.relabelled) == (0, 0)
    assert (tmp_path / "more.csv").read_bytes() == content
    one = labelled(1)[0]
    other = Labelled(one.id, one.text, "delivery" if one.label == "billing" else "billing", one.time, one.columns)
    changed = accumulate(task, [other])
    assert (changed.rows, changed.added, changed.relabelled) == (10, 0, 1)
    assert sorted(row.id for row in usable_rows(task, labelled(12)).rows) == ["P10", "P11"]


def test_what_production_says_takes_nothing_from_the_source(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    prepare(task, tmp_path / "before")
    before = split_of(tmp_path / "before")
    first = rows(240)[0]
    contrary = "delivery" if first["label"] == "billing" else "billing"
    customer = {"customer": "C1"}
    found = accumulate(
        task,
        [
            Labelled("P1", first["text"], contrary, "", customer),  # a copy of a row of the source
            Labelled("R0001", "the id of a row of the source", contrary, "", customer),
        ],
    )
    assert (found.added, found.left_out) == (0, {"a copy of a known text": 1})
    near = [
        Labelled(f"N{at}", f"{row['text']} x", row["label"], "", {"customer": f"new {at}"})
        for at, row in enumerate(rows(240))
    ]
    assert accumulate(task, near).added == 240
    prepare(task, tmp_path / "after")
    after = split_of(tmp_path / "after")
    assert {row: after[row] for row in before} == before  # near copies on another side give way, whatever their side
    aside = pd.read_parquet(tmp_path / "after" / "quarantine.parquet")
    assert set(aside["reason"]) == {"near duplicate across splits"}
    assert aside["row_id"].str.startswith("N").all()
    assert len(aside) > 30


def test_rows_that_could_do_harm_are_left_out_and_counted(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    group = {"customer": "C1"}
    found = accumulate(
        task,
        [
            Labelled("P1", "a parcel came to another street", "delivery", "", group),
            Labelled("P2", "A parcel came to another  street", "delivery", "", group),
            Labelled("P3", REDACTED, "delivery", "", group),
            Labelled("P4", "nobody knows whose parcel this is", "delivery", "", {}),
            Labelled("P5", "a parcel of somebody hidden", "delivery", "", {"customer": REDACTED}),
        ],
    )
    assert found.added == 1
    assert found.left_out == {
        "a copy of a known text": 1,
        "no text in the log": 1,
        "no customer in the log, so nobody knows on which side of the split it belongs": 2,
    }


def test_breaks_and_quotes_in_texts_stay_one_row(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    texts = ["hello\rworld of parcels", 'she said "late"\r\nand left', "one, two\nthree parcels"]
    accumulate(task, [Labelled(f"P{at}", text, "delivery", "", {"customer": "C1"}) for at, text in enumerate(texts)])
    assert accumulate(task, []).rows == 3
    prepare(task, tmp_path / "after")
    assert {row for row in split_of(tmp_path / "after") if row.startswith("P")} == {"P0", "P1", "P2"}


def test_a_class_that_its_owner_left_out_does_not_come_back(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    assert accumulate(task, labelled(90, label="returns")).new_classes == {"returns": 90}
    (tmp_path / "classes.yaml").write_text("{}\n", "utf-8")  # it was a typing error
    again = accumulate(load_task(task.path), labelled(80, seed=10, label="returns", prefix="Q"))
    assert (again.added, again.new_classes, again.unknown) == (0, {}, {"returns": 80})


def test_a_class_waits_until_every_split_has_enough_of_it(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    one_customer = [Labelled(row.id, row.text, "returns", row.time, {"customer": "C1"}) for row in labelled(90)]
    assert accumulate(task, one_customer).new_classes == {}
    assert accumulate(task, labelled(90, label="returns")).new_classes == {"returns": 90}


def test_rows_find_their_side_where_the_team_brought_the_split(tmp_path: Path) -> None:
    table = rows(300)
    for name, part in (("train", table[:200]), ("test", table[200:])):
        write_csv(tmp_path / f"{name}.csv", part)
    task = write_task(tmp_path, {"train": "train.csv", "test": "test.csv"}, accumulated=ACCUMULATED)
    prepare(task, tmp_path / "before")
    accumulate(task, labelled(200))
    prepare(task, tmp_path / "after")
    before, after = split_of(tmp_path / "before"), split_of(tmp_path / "after")
    assert {row: after[row] for row in before} == before
    assert {split for row, split in after.items() if row.startswith("P")} == {"train", "validation", "test"}
    sides: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for group in pd.read_parquet(tmp_path / "after" / f"{split}.parquet")["group"]:
            sides.setdefault(group, set()).add(split)
    old = {row["customer"] for row in table}
    new = {row.columns["customer"] for row in labelled(200)} - old
    assert all(len(sides[group]) == 1 for group in new if group in sides)


def test_a_new_class_joins_the_label_set_once_it_has_enough_rows(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    few = accumulate(task, labelled(49, label="returns"))
    assert (few.added, few.new_classes, few.unknown) == (0, {}, {"returns": 49})
    assert load_task(task.path).spec.labels == ("billing", "delivery")
    enough = accumulate(task, labelled(90, label="returns"))
    assert (enough.added, enough.new_classes, enough.unknown) == (90, {"returns": 90}, {})
    grown = load_task(task.path)
    assert grown.spec.labels == ("billing", "delivery", "returns")
    assert "90 rows" in grown.spec.data.classes["returns"]
    figures = prepare(grown, tmp_path / "after")
    assert figures["class_rows"]["train"]["returns"] > 20


def test_a_new_class_stays_out_without_a_file_for_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", rows())
    task = write_task(tmp_path, {"path": "rows.csv"}, accumulated={"rows": "more.csv"})
    found = accumulate(task, labelled(80, label="returns"))
    assert (found.added, found.new_classes, found.unknown) == (0, {}, {"returns": 80})


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", rows())
    with pytest.raises(DataError, match=r"expected data\.accumulated\.rows"):
        accumulate(write_task(tmp_path, {"path": "rows.csv"}), labelled(3))
    task = task_in(tmp_path)
    (tmp_path / "more.csv").write_text("name,words\nP1,hello\n", "utf-8")
    with pytest.raises(DataError, match="column 'id'"):
        accumulate(task, labelled(3))
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(["returns"]), "utf-8")
    with pytest.raises(TaskFileError, match="mapping of class names to descriptions"):
        load_task(task.path)


def test_a_file_with_its_header_only_adds_nothing(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    (tmp_path / "more.csv").write_text("id,text,label,customer,when,channel\n", "utf-8")
    assert prepare(task, tmp_path / "out")["raw_rows"] == 120
