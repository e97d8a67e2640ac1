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
from playbook.data.formats import Form, read_bytes
from playbook.data.prepare import prepare
from playbook.data.source_form import form_beside
from playbook.errors import DataError
from playbook.evaluate.capabilities import load_capabilities
from playbook.relabel import apply_queue
from playbook.settings import settings
from playbook.spec import SPLITS
from playbook.taskfile import Task, load_task

# The first article of the Universal Declaration of Human Rights, or its beginning.
ARTICLE = {
    "cp1252": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison.",
    "cp850": "Alle Menschen sind frei und gleich an Würde und Rechten geboren und sollen einander begegnen. Größe.",
    "cp1250": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím.",
    "cp1251": "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю.",
    "koi8-r": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом.",
    "iso8859-7": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "cp1254": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler.",
    "cp1255": "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון",
    "cp1256": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا",
    "shift_jis": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "euc_jp": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "gb18030": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "big5": "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。",
    "euc_kr": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 이성과 양심을 부여받았다.",
}
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


@pytest.mark.parametrize("encoding", ARTICLE)
def test_what_the_source_is_written_in_is_read_elsewhere_too(encoding: str) -> None:
    text = ARTICLE[encoding]
    found = read_bytes("rows.csv", f'id,text\n1,"{text}"\n'.encode(encoding), Form(encoding).hint())
    assert found.rows["text"].tolist() == [text] and encoding in found.found[0]


@pytest.mark.parametrize("encoding", ARTICLE)
def test_a_damaged_file_in_utf_8_is_not_read_in_another_encoding(encoding: str) -> None:
    data = f"id,text\n1,{ARTICLE[encoding]}\n2,caf".encode() + b"\xe9\n"
    with pytest.raises(DataError, match=r"line 3: expected UTF-8 text, found byte 0xe9"):
        read_bytes("rows.csv", data, Form(encoding).hint())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp037"])
def test_an_encoding_that_makes_something_of_any_bytes_is_not_tried(encoding: str) -> None:
    with pytest.raises(DataError, match=r"line 2: expected UTF-8 text"):
        read_bytes("rows.csv", "id,text\n1,caf\xe9s\n".encode("cp1252"), Form(encoding).hint())
    marked = "\ufeffid,text\n1,caf\xe9\n".encode("utf-16-le")
    assert read_bytes("rows.csv", marked, Form(encoding).hint()).rows["text"].tolist() == ["caf\xe9"]


def test_how_added_rows_were_read_is_reported(task: Task, tmp_path: Path) -> None:
    if told(task):
        prepare(task, tmp_path / "out")
        assert "more.csv: read as CSV: cp1252" in (tmp_path / "out" / "page.md").read_text()
