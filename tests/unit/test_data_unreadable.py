"""What became of records that could not become rows: in the prepared folder, in the gate, and in every other file."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from data_samples import rows, sample, write_csv, write_task

from playbook.data.annotations import read_lines, read_row_ids, read_second_annotator
from playbook.data.audit import audit
from playbook.data.prepare import main, prepare
from playbook.data.production import production_rows
from playbook.data.read import read_rows, read_source
from playbook.data.snapshot import snapshot_sources
from playbook.errors import DataError
from playbook.operate.known_rows import known_rows
from playbook.taskfile import Task
from resources.scored_files import of_formulas, with_unreadable
from resources.scoring import require_named


def lines_of(table: list[dict[str, str]]) -> list[str]:
    return [json.dumps(row) + "\n" for row in table]


@pytest.fixture
def damaged(tmp_path: Path) -> Task:
    """240 records as JSON Lines, of which three cannot become rows and one has no text."""
    lines = lines_of(rows())
    lines[10] = '{"id": \n'
    lines[20] = lines[20].replace('"text": "', '"text": ["').replace('", "label"', '"], "label"')
    lines[30] = lines[30].replace('"text": "', '"text": "\\ud83d')
    lines[40] = json.dumps({**rows()[40], "text": None}) + "\n"
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    return write_task(tmp_path, {"path": "rows.jsonl"})


def test_they_are_quarantined_with_reason_and_line_and_counted(damaged: Task, tmp_path: Path) -> None:
    figures = prepare(damaged, tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")
    unread = found[found["row_id"].str.startswith("line ")]
    assert dict(zip(unread["row_id"], unread["reason"], strict=True)) == {
        "line 11": "not JSON",
        "line 21": "list or object as a value",
        "line 31": "broken character",
    }
    assert unread["detail"].str.startswith(("line 11: ", "line 21: ", "line 31: ")).all()
    assert not unread[["text", "label", "split"]].ne("").any().any()
    assert figures["quarantined"]["missing text"] == 1
    assert figures["raw_rows"] == 240 == sum(figures["rows"].values()) + figures["quarantined_rows"]
    assert audit(damaged, tmp_path / "out").overall["unaccounted"].tolist() == [0]
    reading = {"file": "rows.jsonl", "kind": "JSON Lines", "records": 240, "unreadable": 3, "found": []}
    assert figures["reading"] == [reading]
    page = (tmp_path / "out" / "page.md").read_text()
    assert "Records: 240" in page and "3 of 240 records could not be read" in page


def test_a_row_that_goes_missing_after_reading_is_noticed(damaged: Task, tmp_path: Path) -> None:
    prepare(damaged, tmp_path / "out")
    path = tmp_path / "out" / "quarantine.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    assert audit(damaged, tmp_path / "out").overall["unaccounted"].tolist() == [1]


def test_the_command_says_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame(rows())
    table.to_csv(tmp_path / "rows.csv", index=False, sep=";", encoding="utf-16")
    task = write_task(tmp_path, {"path": "rows.csv"})
    assert main([str(task.path), "--out", str(tmp_path / "out")]) == 0
    said = "rows.csv: read as CSV: UTF-16 (by its byte order mark); semicolons between the fields"
    assert said in capsys.readouterr().out
    assert "semicolons between the fields" in (tmp_path / "out" / "page.md").read_text()


def test_what_the_task_file_says_of_the_source_is_used(tmp_path: Path) -> None:
    table = pd.DataFrame([{**row, "text": f"{row['text']} für"} for row in rows(60)])
    table.to_csv(tmp_path / "rows.csv", index=False, sep="\t", encoding="cp1252")
    with pytest.raises(DataError, match=r"line 2: expected UTF-8 text.* set data\.source\.encoding"):
        read_rows(write_task(tmp_path, {"path": "rows.csv"}))
    task = write_task(tmp_path, {"path": "rows.csv", "encoding": "cp1252", "delimiter": "tab"})
    assert read_rows(task)["text"].str.endswith(" für").all()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("encoding", "klingon", "a text encoding that Python knows"),
        ("encoding", "rot13", "a text encoding that Python knows"),
        ("delimiter", ",,", "one character"),
        ("delimiter", '"', "one character"),
        ("quoting", "some", "doubled"),
        ("quote", "''", "at most 1"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, field: str, value: str, said: str) -> None:
    from playbook.errors import TaskFileError

    with pytest.raises(TaskFileError, match=said):
        write_task(tmp_path, {"path": "rows.csv", field: value})


def test_nan_is_absent_in_every_part_of_a_row(tmp_path: Path) -> None:
    table = [json.dumps(row) for row in rows(60)]
    table = [line.replace('"customer": "', '"customer": NaN, "was": "') for line in table]
    (tmp_path / "rows.jsonl").write_text("\n".join(table))
    raw = read_rows(write_task(tmp_path, {"path": "rows.jsonl"}))
    assert set(raw["group"]) == {""}


def test_production_rows_that_cannot_be_read_are_left_out_and_counted(tmp_path: Path) -> None:
    sample(tmp_path)
    fresh = lines_of([{**row, "id": f"P{n}", "text": f"{row['text']} new"} for n, row in enumerate(rows(40, seed=9))])
    (tmp_path / "new.jsonl").write_text("".join([*fresh[:20], "{\n", *fresh[20:]]))
    task = write_task(tmp_path, {"path": "rows.csv"}, production={"path": "new.jsonl"})
    train = pd.DataFrame({"text": ["nothing like it"]})
    found = production_rows(task, train)
    assert found is not None and found.raw == 41 and found.left_out["not JSON"] == 1


def test_a_folder_of_part_files_is_a_source(tmp_path: Path) -> None:
    table = rows()
    for number in range(3):
        write_csv(tmp_path / "parts" / f"part-{number}.csv", table[number * 80 : number * 80 + 80])
    task = write_task(tmp_path, {"path": "parts"})
    raw = read_source(task)
    assert raw.records == 240 and raw.rows["row_id"].tolist() == [row["id"] for row in table]
    assert len(known_rows(task).ids) == 240
    write_csv(tmp_path / "parts" / "part-3.csv", rows(10, seed=3)[5:6])
    assert len(known_rows(task).ids) == 240 and read_source(task).records == 241
    write_csv(tmp_path / "parts" / "part-4.csv", [{**table[0], "id": "other"}])
    assert "other" in known_rows(task).ids


def test_a_remote_folder_is_copied_with_its_parts_and_those_that_went_away(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe_file(f"/folder/part-{number}.csv", b"id,text\n%d,a\n" % number)
    memory.pipe_file("/folder/_SUCCESS", b"")
    task = write_task(tmp_path, {"path": "memory://folder"})
    copy = snapshot_sources(task, tmp_path / "raw")["all"]
    assert sorted(path.name for path in copy.iterdir()) == ["part-0.csv", "part-1.csv", "part-2.csv"]
    memory.rm_file("/folder/part-1.csv")
    snapshot_sources(task, tmp_path / "raw")
    assert sorted(path.name for path in copy.iterdir()) == ["part-0.csv", "part-2.csv"]


def test_small_files_about_rows_go_through_the_same_reader(tmp_path: Path) -> None:
    path = tmp_path / "second.csv"
    pd.DataFrame({"id": ["NA", "b"], "label": ["billing", "delivery"]}).to_csv(path, index=False, sep=";")
    assert read_second_annotator(path, ["billing", "delivery"]) == {"NA": "billing", "b": "delivery"}
    path.write_text('id,label\n"a\nb",billing\n\nc,delivery\n')
    assert [(line.number, line.cells) for line in read_lines(path, 2)] == [
        (2, ("a\nb", "billing")),
        (5, ("c", "delivery")),
    ]
    path.write_text("id,label\na,billing\nb,delivery,x\nc,delivery\n")
    with pytest.raises(DataError, match="line 3: 3 fields where the header has 2: b,delivery,x"):
        read_lines(path, 2)
    pd.DataFrame({"id": [2**62 + 1, 7]}).to_parquet(tmp_path / "ids.parquet")
    assert read_row_ids(tmp_path / "ids.parquet") == {str(2**62 + 1), "7"}


@pytest.mark.parametrize("text", ["a,billing\nb,billing\nc,delivery\n", "R1,x\nR2,y\nR3,z\nR4,w\n"])
def test_a_first_line_that_is_a_row_is_not_taken_for_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "second.csv").write_text(text)
    with pytest.raises(DataError, match="line 1: expected the names of the columns, found"):
        read_lines(tmp_path / "second.csv", 2)


def test_a_source_without_names_of_columns_is_named(tmp_path: Path) -> None:
    task = sample(tmp_path)
    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text.split("\n", 1)[1])
    with pytest.raises(DataError, match="The first line has to hold the names of the columns"):
        read_rows(task)


def test_answers_have_a_row_for_each_record_that_could_not_be_read(tmp_path: Path) -> None:
    from playbook.data.formats import read_records

    (tmp_path / "new.csv").write_text("id,text\n1,a\n2,b,c\n3,d\n4,e,f\n")
    found = read_records(str(tmp_path / "new.csv"))
    answers = pd.DataFrame({"id": ["1", "3"], "label": "x", "probability": 0.9, "answer": "x", "ask_a_person": False})
    answers = answers.assign(reason="", model_version="1.0.0")
    out = with_unreadable(answers, found.rejected)
    assert out["id"].tolist() == ["1", "", "3", ""] and out["ask_a_person"].tolist() == [False, True, False, True]
    assert out["reason"][1].startswith("The record cannot be read. Line 3: 3 fields where the header has 2")
    assert out["model_version"].tolist() == ["1.0.0"] * 4 and out["label"].tolist() == ["x", "", "x", ""]


def test_ids_that_look_like_formulas_stay_exact_and_are_said() -> None:
    ids = ["=cmd|'/c calc'!A1", "-5", "+49 30", "@home", "'=1", "S1", "-1.5", "=1"]
    said = "".join(of_formulas(pd.DataFrame({"id": ids})))
    assert f"kept as they are: {ids[0]}, +49 30, @home and 1 more; import the file as text" in said
    assert of_formulas(pd.DataFrame({"id": ["-5", "S1"]})) == ()


@pytest.mark.parametrize(
    ("present", "said"),
    [
        (["Body", "id"], "found no body (text) among Body, id; call Body body"),
        (["message", "id"], "name a column body"),
        (
            ["body", "number"],
            "found no ticket (id) among body, number; name a column ticket, or name the column of ids",
        ),
        (["ticket:body"], "the names seem to be parted by ':': write the file with commas"),
    ],
)
def test_a_column_that_a_file_to_predict_lacks_is_named_with_what_may_be_meant(present: list[str], said: str) -> None:
    with pytest.raises(DataError) as caught:
        require_named({"text": "body", "id": "ticket"} if "id" not in present else {"text": "body"}, present, "new.csv")
    assert str(caught.value).startswith("new.csv: ") and said in str(caught.value)
    require_named({"text": "body", "id": None}, ["body"], "new.csv")
