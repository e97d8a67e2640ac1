"""The encoding of the source is tried for every other file of the task that is not UTF-8."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
import yaml
from data_samples import rows, task_document, write_task

from playbook.annotate import draw, read_back
from playbook.data.annotations import read_row_ids
from playbook.data.corrections import read_corrections
from playbook.data.prepare import prepare
from playbook.data.source_form import form_beside
from playbook.errors import DataError
from playbook.evaluate.capabilities import load_capabilities
from playbook.relabel import apply_queue
from playbook.settings import settings
from playbook.spec import SPLITS
from playbook.taskfile import Task, load_task

ANGER, ORDER = "colère", "commande"
CLASSES = {ANGER: "Anger", ORDER: "An order"}


def write(path: Path, *lines: tuple[str, ...], encoding: str = "cp1252") -> None:
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(lines)


@pytest.fixture(params=["cp1252", None], ids=["a source in cp1252", "a source in UTF-8"])
def task(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """All files beside the source are in cp1252 and have semicolons between the fields."""
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
    table = [(f"é{n}", f"{one['text']} été", (ANGER, ORDER)[n % 2]) for n, one in enumerate(rows(120))]
    write(tmp_path / "rows.csv", ("id", "text", "label"), *table, encoding=request.param or "utf-8")
    write(tmp_path / "fixes.csv", ("row_id", "label", "by", "when", "was"), ("é0", ORDER, "Zoé", "2026-01-01", ANGER))
    write(tmp_path / "second.csv", ("row_id", "label"), *((row, label) for row, _, label in table[:30]))
    added = [(f"n{n}", f"{one['text']} hiver", ANGER) for n, one in enumerate(rows(10, seed=5))]
    write(tmp_path / "more.csv", ("id", "text", "label"), *added)
    document = {
        "columns": {"text": "text", "label": "label", "id": "id"},
        "classes": CLASSES,
        "labels": {"corrections": "fixes.csv", "second_annotator": "second.csv"},
        "accumulated": {"rows": "more.csv"},
    }
    source = {"path": "rows.csv", **({"encoding": request.param} if request.param else {})}
    return write_task(tmp_path, source, **document)


def told(task: Task) -> bool:
    return task.spec.data.source.encoding is not None


def test_corrections_second_labels_and_added_rows_are_read(task: Task, tmp_path: Path) -> None:
    if not told(task):
        with pytest.raises(DataError, match=r"fixes\.csv: line 2: expected UTF-8"):
            prepare(task, tmp_path / "out")
        return
    figures = prepare(task, tmp_path / "out")
    assert figures["corrections"] == {"changed": 1, "confirmed": 0} and figures["agreement"]["rows"] == 30
    assert [one.by for one in read_corrections(task)] == ["Zoé"]
    tables = [pd.read_parquet(tmp_path / "out" / f"{side}.parquet") for side in SPLITS]
    found = pd.concat(tables).set_index("row_id")
    assert len(found) == 130 and found.loc["é0", "label"] == ORDER and found.loc["n9", "label"] == ANGER


def test_a_sheet_and_a_queue_that_a_spreadsheet_saved_are_read(task: Task, tmp_path: Path) -> None:
    if not told(task):
        return
    prepare(task, tmp_path / "out")
    places = settings()
    place, _, count = draw(task, 20, places)
    with place.open(encoding="utf-8-sig", newline="") as stream:
        header, *cells = csv.reader(stream)
    write(place, tuple(header), *((row, text, ANGER, "à voir") for row, text, *_ in cells))
    assert read_back(task, place, "Zoé", places).new == count == 20
    train = pd.read_parquet(tmp_path / "out" / "train.parquet")
    row = next(one for one in train[train["label"] == ORDER]["row_id"] if one != "é0")
    write(tmp_path / "queue.csv", ("row_id", "label", "new_label"), (row, ORDER, ANGER))
    assert apply_queue(task, tmp_path / "queue.csv", by="Zoé", places=places).changed == 1
    assert {one.row_id for one in read_corrections(task)} == {"é0", row}, "the old ones are kept"


def test_planted_errors_and_capabilities_are_read(task: Task, tmp_path: Path) -> None:
    write(tmp_path / "planted.csv", ("row_id",), ("é7",))
    write(tmp_path / "able.csv", ("text", "label"), *((f"où est {n} ?", (ANGER, ORDER)[n % 2]) for n in range(24)))
    document = task_document({"path": "rows.csv", **({"encoding": "cp1252"} if told(task) else {})})
    document["data"]["classes"] = CLASSES
    document["evaluation"] = {"capabilities": "able.csv"}
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump(document))
    found = load_task(tmp_path / "sample.yaml")
    if not told(task):
        with pytest.raises(DataError, match="expected UTF-8"):
            read_row_ids(tmp_path / "planted.csv", form_beside(found))
        with pytest.raises(DataError, match="expected UTF-8"):
            load_capabilities(found)
        return
    assert read_row_ids(tmp_path / "planted.csv", form_beside(found)) == {"é7"}
    able = load_capabilities(found)
    assert able is not None and able.texts[0] == "où est 0 ?" and able.truth[:2].tolist() == [0, 1]
