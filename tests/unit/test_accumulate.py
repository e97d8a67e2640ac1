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
from playbook.operate.accumulate import Labelled, accumulate, not_yet_accumulated
from playbook.taskfile import Task, load_task

ACCUMULATED = {"rows": "more.csv", "classes": "classes.yaml"}


def task_in(folder: Path, count: int = 240, **data: Any) -> Task:
    write_csv(folder / "rows.csv", rows(count))
    return write_task(folder, {"path": "rows.csv"}, accumulated=ACCUMULATED, **data)


def labelled(count: int, seed: int = 9, label: str = "", prefix: str = "P") -> list[Labelled]:
    found = rows(count, seed)
    return [
        Labelled(f"{prefix}{at}", row["text"], label or row["label"], "2026-01-05", {"customer": row["customer"]})
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
    assert not_yet_accumulated(task, labelled(12)) == labelled(12)[10:]


def test_what_production_says_takes_nothing_from_the_source(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    first = rows(240)[0]
    contrary = "delivery" if first["label"] == "billing" else "billing"
    accumulate(
        task, [Labelled("P1", first["text"], contrary, "", {}), Labelled("R0001", "same id as a row", contrary, "")]
    )
    prepare(task, tmp_path / "after")
    assert first["id"] in split_of(tmp_path / "after")
    assert "P1" not in split_of(tmp_path / "after")
    aside = pd.read_parquet(tmp_path / "after" / "quarantine.parquet")
    reasons = dict(zip(aside["row_id"], aside["reason"], strict=True))
    assert reasons == {"P1": "same text, different labels", "R0001": "repeated row id"}


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


def test_a_new_class_joins_the_label_set_once_it_has_enough_rows(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    few = accumulate(task, labelled(49, label="returns"))
    assert (few.added, few.new_classes, few.unknown) == (0, {}, {"returns": 49})
    assert load_task(task.path).spec.labels == ("billing", "delivery")
    enough = accumulate(task, labelled(50, label="returns"))
    assert (enough.added, enough.new_classes, enough.unknown) == (50, {"returns": 50}, {})
    grown = load_task(task.path)
    assert grown.spec.labels == ("billing", "delivery", "returns")
    assert "50 rows" in grown.spec.data.classes["returns"]
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
    with pytest.raises(DataError, match="expected a column 'id'"):
        accumulate(task, labelled(3))
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(["returns"]), "utf-8")
    with pytest.raises(TaskFileError, match="mapping of class names to descriptions"):
        load_task(task.path)


def test_a_file_with_its_header_only_adds_nothing(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    (tmp_path / "more.csv").write_text("id,text,label,customer,when,channel\n", "utf-8")
    assert prepare(task, tmp_path / "out")["raw_rows"] == 240
