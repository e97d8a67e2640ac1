from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from data_samples import rows, sample, write_csv, write_task

from playbook.data.read import read_rows, read_table
from playbook.data.snapshot import snapshot_sources
from playbook.errors import DataError

ODD = [
    {"id": "001", "text": "NA", "label": "null", "n": ""},
    {"id": "2", "text": 'line\nbreak, "quoted"', "label": "x", "n": "1.50"},
]


def test_every_format_gives_the_same_strings(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ODD)
    pd.DataFrame(ODD).to_csv(tmp_path / "a.csv.gz", index=False)
    pd.DataFrame(ODD).to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    pd.DataFrame(ODD).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ODD)), encoding="utf-8")
    for name in ("a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.jsonl"):
        assert read_table(str(tmp_path / name)).to_dict("records") == ODD, name


def test_values_of_other_types_become_strings_and_absent_ones_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": null, "c": true}\n\n{"a": "x", "c": [1, "é"]}\n', encoding="utf-8")
    assert read_table(str(tmp_path / "a.jsonl")).to_dict("records") == [
        {"a": "1", "b": "", "c": "true"},
        {"a": "x", "b": "", "c": '[1, "é"]'},
    ]
    pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [1.5, 2.0], "c": [["x"], []]}).to_parquet(
        tmp_path / "a.parquet"
    )
    assert read_table(str(tmp_path / "a.parquet")).to_dict("list") == {
        "a": ["1", ""],
        "b": ["1.5", "2"],
        "c": ['["x"]', "[]"],
    }


def test_urls_are_read_through_fsspec(tmp_path: Path) -> None:
    with fsspec.open("memory://read/rows.csv", "wb") as stream:
        stream.write(b"\xef\xbb\xbfid,text\n1,hello\n")
    assert read_table("memory://read/rows.csv").to_dict("records") == [{"id": "1", "text": "hello"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "empty file"),
        ("a.csv", b"  \n", "empty file"),
        ("a.csv", b"id,text\n", "expected rows, found none (columns: id, text)"),
        ("a.csv", b"id,text\n1,a\n2,b,c,d\n", "line 3: 4 fields where the header has 2: 2,b,c,d"),
        ("a.csv", b"id,text\n1,\xff\xfe\n", "expected UTF-8 text, found byte 0xff"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2"),
        ("a.jsonl", b'["a"]\n', "expected one JSON object per line, found list"),
        ("a.parquet", b"no parquet at all", "not readable as Parquet"),
        ("a.csv.gz", b"id,text\n", "expected rows, found none"),
        ("a.xlsx", b"PK\x03\x04 xl/workbook.xml", "found an Excel workbook; save the sheet as CSV UTF-8"),
        (None, b"", "no such file; check data.source"),
    ],
)
def test_unreadable_files_say_what_is_wrong(tmp_path: Path, name: str | None, content: bytes, said: str) -> None:
    path = tmp_path / (name or "gone.csv")
    if name:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(str(path))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_columns_are_named_together_with_the_nearest_match(tmp_path: Path) -> None:
    table = [{**row, "labels": row["label"]} for row in rows(20)]
    for row in table:
        del row["label"], row["when"]
    task = sample(tmp_path, table)
    with pytest.raises(DataError) as caught:
        read_rows(task)
    message = str(caught.value)
    assert "column 'label' (label) is missing; did you mean 'labels'?" in message
    assert "column 'when' (time) is missing" in message
    assert "columns found: id, text, customer, channel, labels" in message


@pytest.mark.parametrize(
    ("mark", "delimiter", "said"),
    [
        (",", ";", "data.source.delimiter says semicolons, the names seem to be separated by commas: set that one"),
        (":", None, "separated by colons: export the rows with commas, or set data.source.delimiter"),
        ('"', None, "The first line has to hold the names"),
    ],
)
def test_names_that_stand_in_one_are_told_by_what_parts_them(
    tmp_path: Path, mark: str, delimiter: str | None, said: str
) -> None:
    (tmp_path / "rows.csv").write_text(f"id{mark}text{mark}label\n1{mark}hello{mark}a\n")
    source = {"path": "rows.csv", **({"delimiter": delimiter} if delimiter else {})}
    task = write_task(tmp_path, source, columns={"text": "text", "label": "label", "id": "id"})
    with pytest.raises(DataError) as caught:
        read_rows(task)
    assert said in str(caught.value)


def test_rows_without_ids_are_named_by_their_content(tmp_path: Path) -> None:
    columns = {"text": "text", "label": "label"}
    table = rows(20)
    first = read_rows(sample(tmp_path, table, columns=columns))
    again = read_rows(sample(tmp_path, [*reversed(table), table[0]], columns=columns))
    assert first["row_id"].is_unique and again["row_id"].is_unique
    assert set(first["row_id"]) < set(again["row_id"])


def test_ids_that_own_files_share_are_told_apart(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", rows(10, seed=1))
    write_csv(tmp_path / "test.csv", rows(12, seed=2))
    ids = read_rows(write_task(tmp_path, {"train": "train.csv", "test": "test.csv"}))["row_id"].tolist()
    assert ids[0] == "train/R0000" and ids[10] == "test/R0000" and ids[-1] == "R0011"
    assert len(set(ids)) == 22


def test_remote_sources_are_copied_and_fetched_again_only_when_they_changed(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", rows(20))
    memory = fsspec.filesystem("memory")
    memory.put_file(str(tmp_path / "rows.csv"), "/snap/rows.csv")
    task = write_task(tmp_path, {"path": "memory://snap/rows.csv"})
    copy = snapshot_sources(task, tmp_path / "raw")["all"]
    assert copy.name == "all.csv" and copy.read_bytes() == (tmp_path / "rows.csv").read_bytes()
    made = copy.stat().st_mtime_ns
    snapshot_sources(task, tmp_path / "raw")
    assert copy.stat().st_mtime_ns == made
    memory.pipe_file("/snap/rows.csv", b"id,text\n1,other\n")
    assert snapshot_sources(task, tmp_path / "raw")["all"].read_bytes() == b"id,text\n1,other\n"


def test_a_mark_of_content_spares_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/mark/rows.csv", b"id\n1\n")
    info = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda self, path, **kw: {**info(self, path, **kw), "ETag": "one"})
    task = write_task(tmp_path, {"path": "memory://mark/rows.csv"})
    copy = snapshot_sources(task, tmp_path / "raw")["all"]
    memory.pipe_file("/mark/rows.csv", b"id\n2\n")
    assert snapshot_sources(task, tmp_path / "raw")["all"].read_bytes() == b"id\n1\n"
    copy.write_bytes(b"altered")
    assert snapshot_sources(task, tmp_path / "raw")["all"].read_bytes() == b"id\n2\n"


def test_an_unreachable_source_is_a_data_error(tmp_path: Path) -> None:
    task = write_task(tmp_path, {"path": "memory://nowhere/rows.csv"})
    with pytest.raises(DataError, match=r"memory://nowhere/rows\.csv: cannot be fetched"):
        snapshot_sources(task, tmp_path / "raw")
