"""The one reader of tables, case by case: what is read, what is set aside with its line, what is refused and why."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import io
import json
import lzma
import pickle
import random
import re
import time
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import SHARED

from playbook.data.formats import Form, Records, read_bytes, read_records
from playbook.data.formats.cells import column_names
from playbook.data.formats.places import parts_of
from playbook.errors import DataError

COLUMNS = ("id", "text", "label")
ROWS = [(f"S{n}", f"Where is parcel {n}", ("money", "parcel")[n % 2]) for n in range(20)]
SETTABLE = Form(settable=True)
LONG = 2**63 + 1
QUOTES = "quotation marks out of place"


def written(rows: list[tuple[str, ...]] = ROWS, delimiter: str = ",", end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in [COLUMNS, *rows])


CSV = written()
JSONL = "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in ROWS)


def read(data: str | bytes, name: str = "a.csv", form: Form = Form(), used: tuple[str, ...] = COLUMNS) -> Records:  # noqa: B008
    return read_bytes(
        f"/here/{name}", data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, form, used
    )


def refused(data: str | bytes, name: str = "a.csv", form: Form = Form()) -> str:  # noqa: B008
    with pytest.raises(DataError) as caught:
        read(data, name, form)
    assert str(caught.value).startswith(f"/here/{name}: ")
    return str(caught.value)


def tuples(found: Records) -> list[tuple[str, ...]]:
    return [tuple(row) for row in found.rows[list(COLUMNS)].itertuples(index=False)]


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, **options)
    return target.getvalue()


PARQUET = parquet({name: [row[n] for row in ROWS] for n, name in enumerate(COLUMNS)})
DIALECTS = [
    (CSV, "a.csv", []),
    (CSV.replace("\n", "\r\n"), "a.csv", []),
    (CSV.replace("\n", "\r\r\n"), "a.csv", []),
    (CSV.replace("\n", "\r"), "a.csv", []),
    ("\ufeff" + CSV, "a.csv", []),
    (CSV[:-1], "a.csv", []),
    (CSV.replace("\nS5", "\n\n   \nS5"), "a.csv", []),
    (CSV.replace("\nS5", "\n\ufeffS5"), "a.csv", []),
    (CSV + "\x1a", "a.csv", []),
    ('"' + CSV[:-1].replace(",", '", "').replace("\n", '"\n"') + '"', "a.csv", ["blanks before quotation marks"]),
    (written(delimiter=";"), "a.csv", ["semicolons between the fields"]),
    (written(delimiter="\t"), "a.csv", ["tabs between the fields"]),
    (written(delimiter="\t"), "a.tsv", []),
    (written(delimiter="|"), "a.txt", ["vertical bars between the fields"]),
    ("sep=;\n" + written(delimiter=";"), "a.csv", ["semicolons between the fields"]),
    (CSV, "without-suffix", []),
    (CSV.encode("utf-16"), "a.csv", ["UTF-16 (by its byte order mark)"]),
    (re.sub(r"[^,\n]+", lambda cell: f"'{cell[0]}'", CSV), "a.csv", ["fields quoted by '"]),
    (written([(*row, "") for row in ROWS]), "a.csv", ["a comma at the end of every row but the header"]),
    (gzip.compress(CSV.encode(), mtime=0), "a.csv", ["compressed with gzip, which its name does not say"]),
    (CSV, "a.csv.gz", ["not compressed, although its name ends in .gz"]),
    (bz2.compress(CSV.encode()), "a.csv.bz2", []),
    (lzma.compress(CSV.encode()), "a.csv.xz", []),
    (pa.compress(CSV.encode(), "zstd", asbytes=True), "a.csv.zst", []),
    (JSONL, "a.jsonl", []),
    (JSONL, "a.csv", ["JSON Lines, although its name ends in .csv"]),
    (JSONL, "a.json", []),
    (JSONL.replace("\n", "\r"), "a.jsonl", []),
    (JSONL.replace("}\n{", "}{", 3), "a.jsonl", []),
    (JSONL.replace("}\n", "},\n"), "a.jsonl", ["commas between the objects"]),
    (JSONL.replace("}\n", "},", 7), "a.jsonl", ["commas between the objects"]),
    (JSONL.encode("utf-16"), "a.jsonl", ["UTF-16 (by its byte order mark)"]),
    (f"[{','.join(JSONL.splitlines())}]", "a.json", []),
    (f"[\n{','.join(JSONL.splitlines())}\n]", "a.jsonl", ["a JSON array, although its name ends in .jsonl"]),
    (PARQUET, "a.parquet", []),
    (PARQUET, "a.csv", ["Parquet, although its name ends in .csv"]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "name", "said"), DIALECTS)
def test_every_form_gives_the_same_rows_and_says_what_is_unusual(data: str | bytes, name: str, said: list[str]) -> None:
    found = read(data, name)
    assert tuples(found) == ROWS and not found.rejected and found.count == 20
    assert list(found.found) == said


def test_commas_in_texts_do_not_hide_semicolons() -> None:
    rows = [(own, f"{text}, please", label) for own, text, label in ROWS]
    assert tuples(read(written(rows, ";"))) == rows


def test_spark_and_mysql_mark_quotation_marks_by_a_backslash() -> None:
    rows = [(own, f'"He said \\"{text}\\", twice"', label) for own, text, label in ROWS]
    found = read(written(rows))
    assert found.rows["text"][0] == 'He said "Where is parcel 0", twice'
    assert found.found == ("quotation marks inside of fields marked by a backslash",)


def test_other_backslashes_stay_in_the_texts_of_such_a_file() -> None:
    rows = [(own, f'"He said \\"{text}\\"; see D:\\new, please"', label) for own, text, label in ROWS]
    found = read(written([*rows, ("S99", "C:\\temp", "money")]))
    assert found.rows["text"].tolist()[0] == 'He said "Where is parcel 0"; see D:\\new, please'
    assert found.rows["text"].tolist()[-1] == "C:\\temp" and not found.rejected
    bad = read(written([*rows, ("S98", '"one "two" three"', "money")]), form=Form(quoting="backslash"))
    assert [(one.first, one.reason) for one in bad.rejected] == [(22, QUOTES)] and len(bad.rows) == 20


def test_one_bad_record_does_not_turn_doubled_marks_into_backslashes() -> None:
    rows = [(own, f'"He said ""{text}"" to me"', label) for own, text, label in ROWS]
    odd = [("X1", '"the folder ""C:\\"" is full"', "money"), ("X2", '"say "hi" now"', "money")]
    found = read(written([*rows, *odd]))
    assert found.rows["text"][0] == 'He said "Where is parcel 0" to me'
    assert found.rows["text"].tolist()[-1] == 'the folder "C:\\" is full'
    assert [(one.first, one.reason) for one in found.rejected] == [(23, QUOTES)]


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("line", ["Kostet 12,50 Euro,\n", "I paid 1,000 for it,\n"])
def test_a_comma_of_the_texts_is_no_delimiter_at_the_end_of_the_rows(line: str, count: int) -> None:
    with pytest.raises(DataError, match="line 2: 3 fields where the header has 2"):
        read("text,id\n" + line * count)


def test_a_comma_at_the_end_of_many_rows_is_one() -> None:
    found = read("text,id\n" + "yes,R1,\n" * 40)
    assert found.found == ("a comma at the end of every row but the header",) and set(found.rows["id"]) == {"R1"}
    dated = read("id,when,text\n" + "".join(f"S{at},2024-01-02 10:00,at gate {at},\n" for at in range(40)))
    assert dated.rows["text"].tolist()[7] == "at gate 7"
    with pytest.raises(DataError, match="line 2: 3 fields where the header has 2"):
        read("text,id\nyes,R1,\n")


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, gzip.compress])
def test_all_streams_of_a_packed_file_count(pack: Any) -> None:
    half = len(CSV) // 2
    one, two = pack(CSV[:half].encode()), pack(CSV[half:].encode())
    assert tuples(read(one + two)) == ROWS
    for damaged in (one + bytes([two[0] ^ 1]) + two[1:], one + two[:-6], one + two + b"junk"):
        with pytest.raises(DataError, match=r"is damaged|is cut off"):
            read(damaged)


def test_between_tabs_a_quotation_mark_may_stand_for_itself() -> None:
    rows = [(own, f'"{text}', label) for own, text, label in ROWS]
    found = read(written(rows, "\t"), "a.tsv")
    assert tuples(found) == rows and "no field is quoted" in found.found[0]


def test_what_the_task_file_says_is_believed() -> None:
    odd = written([(own, f"{text};ä", label) for own, text, label in ROWS], "§").encode("cp1252")
    found = read(odd, form=Form("cp1252", "§"))
    assert found.rows["text"][0] == "Where is parcel 0;ä"
    raw = CSV.replace("Where", '"Where')
    assert read(raw, form=Form(quoting="none")).rows["text"][3] == '"Where is parcel 3'
    assert (
        read(CSV.replace("parcel 3", "~parcel, 3~").replace("Where is ~", "~"), form=Form(quote="~")).rows["text"][3]
        == "parcel, 3"
    )


@pytest.mark.parametrize(
    ("data", "lines", "reason", "detail"),
    [
        (CSV + "S99,a, b,parcel\nS98,c,money\n", (22, 22), "too many fields", "4 fields where the header has 3: S99,a"),
        (CSV + "S99,a\nS98,c,money\n", (22, 22), "too few fields", "2 fields where the header has 3: S99,a"),
        (CSV + 'S99,"a\nb",c,d\nS98,c,money\n', (22, 23), "too many fields", "4 fields"),
        (CSV + 'S99,"Hello" she said,parcel\nS98,c,money\n', (22, 22), QUOTES, "found more text"),
        (CSV.replace("parcel 7", "par\rcel 7"), (9, 9), QUOTES, "carriage return in the middle"),
        (CSV + CSV.splitlines()[0] + "\nS98,c,money\n", (22, 22), "header again", "the names of the columns again"),
        (CSV + "\ufeffid,text ,label\nS98,c,money\n", (22, 22), "header again", "the names of the columns again"),
        (CSV.replace("parcel 3", "\ud83d"), (5, 5), "broken character", "half of a surrogate pair"),
        (JSONL + '{"id": \n{"id": "S98"}\n', (21, 21), "not JSON", "Expecting value"),
        (JSONL + '{"id": "S99", "id": "S98"}\n', (21, 21), "repeated key", "'id' comes twice"),
        (JSONL + '{"te\\u0301xt": 1, "t\u00e9xt": 2}\n', (21, 21), "repeated key", "'t\u00e9xt' comes twice"),
        (JSONL + "[1, 2]\n", (21, 21), "no JSON object", "expected one JSON object per line, found list"),
        (JSONL + '{"text": ["a"]}\n', (21, 21), "list or object as a value", "in text, found list"),
        (JSONL + '{"label": {"a": 1}}\n', (21, 21), "list or object as a value", "in label, found object"),
        (JSONL + '{"text": "a \\ud83d"}\n', (21, 21), "broken character", "half of a surrogate pair"),
        (JSONL + "[" * 100_000 + "\n", (21, 21), "not JSON", "nested too deeply"),
        (JSONL + '{"id": "S99"} and more\n', (21, 21), "not JSON", "found more behind it"),
    ],
)  # fmt: skip
def test_one_bad_row_costs_one_row(data: str, lines: tuple[int, int], reason: str, detail: str) -> None:
    found = read(data, "a.jsonl" if data.startswith("{") else "a.csv")
    assert len(found.rejected) == 1
    one = found.rejected[0]
    assert ((one.first, one.last), one.reason) == (lines, reason) and detail in one.detail
    assert found.count == len(found.rows) + 1
    assert set(tuples(found)) >= {
        row for row in ROWS if f"parcel {row[0][1:]}" in row[1] and int(row[0][1:]) not in (3, 7)
    }


UNCLOSED = CSV.replace("Where is parcel 5", '"Where is parcel 5')


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (UNCLOSED, r"line 7: .* is never closed, up to the end of the file \(line 21\)"),
        (UNCLOSED.replace("parcel 15,", 'parcel 15",'), "line 7: .* closes on line 17 only, and lines between them"),
        (UNCLOSED.replace("parcel 6,", 'parcel 6",'), "line 7: .* closes on line 8 only"),
        (UNCLOSED.replace("is parcel 9", 'is "parcel" 9'), "line 7: .* runs on to line 11, where more text follows"),
        ('"id,text,label\n' + CSV + '"\n', "line 1: a quotation mark in the header opens .* closes on line 23"),
        (written([(own, f"Hello, {text}", label) for own, text, label in ROWS]), r"line 2: 4 .*\(19 more records"),
        (CSV + "a,b\n" * 25, r"line 22: 2 fields where the header has 3: a,b \(25 of 45 records are unfit\)"),
        (CSV + "S99,a", "line 22: the file ends in the middle of a record"),
        (CSV.replace("id,text,label", "id,label,label"), r"2 columns are called label \(columns 2, 3\)"),
        (CSV.replace("id,text,label", "id,label, label "), r"called label \(columns 2, 3, in different spellings"),
        (CSV.encode("utf-16-le"), "many NUL bytes: UTF-16 without a byte order mark"),
        (CSV.replace("parcel 4", "paqu\u00eat 4").encode("cp1252"), "line 6: expected UTF-8 text, found byte 0xea at"),
        (JSONL[:-10], "line 20: the file ends in the middle of a record"),
        ("text\nWhere, now?\n", "line 2: 2 fields where the header has 1: Where, now"),
        ("Tickets of May\n\n" + CSV, "line 3: 3 fields .* take out what stands above the names of the columns"),
        (CSV.replace("\nS0,", "\n--+--\nS0,"), "line 2: .* take it out if it is not a record"),
        (CSV + CSV[14:].replace("\n", "\r") + "\n", "line 22: records are separated by carriage returns alone here"),
        (json.dumps({"rows": [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]}), r"jq -c '.\[.rows.\]\[\]'"),
        (json.dumps({"rows": [{"id": "1"}]}, indent=1), r"jq -c '.\[.rows.\]\[\]'"),
        (json.dumps({name: {"0": name} for name in COLUMNS}), "one object of columns: .* orient='records'"),
    ],
)  # fmt: skip
def test_a_file_whose_records_nobody_can_tell_is_refused(data: str | bytes, said: str) -> None:
    assert re.search(said, refused(data, "a.jsonl" if str(data).startswith("{") else "a.csv"))


def test_the_remedy_names_the_task_file_only_where_that_helps() -> None:
    for data, field in (
        (CSV.replace("parcel", "p\u00e4rcel").encode("cp1252"), "data.source.encoding"),
        (written([(own, f"Hello, {text}", label) for own, text, label in ROWS]), "data.source.delimiter"),
        (UNCLOSED, "data.source.quoting"),
    ):
        assert field in refused(data, form=SETTABLE)
        assert "data.source" not in refused(data)


def test_the_encoding_of_the_source_is_tried_for_other_files_too() -> None:
    data = CSV.replace("parcel", "p\u00e4rcel").encode("cp1252")
    found = read(data, form=Form("cp1252").hint())
    assert found.rows["text"][0] == "Where is p\u00e4rcel 0" and "cp1252" in found.found[0]
    assert (
        read(CSV.replace("parcel", "p\u00e4rcel"), form=Form("cp1252").hint()).rows["text"][0]
        == "Where is p\u00e4rcel 0"
    )


def test_a_mark_against_the_task_file_is_refused() -> None:
    assert "found the byte order mark of UTF-8" in refused("\ufeff" + CSV, form=Form("cp1252"))
    assert read("\ufeff" + CSV, form=Form("utf-8")).count == 20


def test_texts_over_lines_and_with_marks_inside_are_texts() -> None:
    letter = 'S99,"Dear team,\nI was charged twice, money\nBye, parcel",parcel\n'
    found = read(CSV + letter + 'S98,a 5" disk,money\n' + f"S97,{'x' * 200_000},money\n")
    assert found.rows["text"].tolist()[20:22] == ["Dear team,\nI was charged twice, money\nBye, parcel", 'a 5" disk']
    assert len(found.rows["text"].iloc[22]) == 200_000 and found.lines[20:] == [22, 25, 26]


def test_absent_is_absent_and_words_are_words() -> None:
    words = ["NA", "null", "None", "nan", "N/A", "NaN"]
    assert read("id,text,label\n" + "".join(f"1,{word},\n" for word in words)).rows["text"].tolist() == words
    assert read("".join(json.dumps({"text": word}) + "\n" for word in words), "a.jsonl").rows["text"].tolist() == words
    absent = '{"id": 1, "text": null}\n{"id": 2, "text": NaN}\n{"id": 3, "text": -Infinity}\n{"id": 4}\n'
    assert read(absent, "a.jsonl").rows["text"].tolist() == [""] * 4
    table = parquet({"text": ["NA", None, ""], "n": pa.array([1.0, float("nan"), None])})
    assert read(table, "a.parquet").rows.to_dict("list") == {"text": ["NA", "", ""], "n": ["1", "", ""]}


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("text", ["a \\N b", 'he said ""ho""', 'he said \\"ho\\"'])
def test_the_mark_of_databases_for_an_absent_value_is_one(delimiter: str, text: str) -> None:
    rows = [("\\N", f'"{text}"', "\\N"), ("S2", "\\N", "money"), ("\\N", "\\N", "\\N"), ("S4", "d", "\\Nile")]
    found = tuples(read(written(rows, delimiter)))
    quoted = text.replace('""', '"').replace('\\"', '"')
    assert found == [("", quoted, ""), ("S2", "", "money"), ("", "", ""), ("S4", "d", "\\Nile")]


def test_numbers_are_exact_also_beside_absent_ones() -> None:
    tokens = (str(LONG), "null", "12.0", "1.50", "9007199254740993.0", "true")
    lines = "".join(f'{{"id": {token}}}\n' for token in tokens)
    assert read(lines, "a.jsonl").rows["id"].tolist() == [str(LONG), "", "12", "1.5", "9007199254740993", "true"]
    table = parquet(
        {
            "id": pa.array([LONG, None], pa.uint64()),
            "double": pa.array([123.0, None]),
            "single": pa.array([0.1, 2.0], pa.float32()),
            "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("123.00")], pa.decimal128(10, 2)),
            "moment": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5), None], pa.timestamp("ns")),
            "day": pa.array([datetime.date(2024, 1, 2), None]),
            "yes": pa.array([True, None]),
        }
    )
    assert read(table, "a.parquet").rows.to_dict("list") == {
        "id": [str(LONG), ""],
        "double": ["123", ""],
        "single": ["0.1", "2"],
        "decimal": ["1.5", "123"],
        "moment": ["2024-01-02 03:04:05", ""],
        "day": ["2024-01-02", ""],
        "yes": ["true", ""],
    }


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.large_string())],
)
def test_texts_of_every_parquet_type(kind: Any) -> None:
    texts = ["Grüße", None, "NA", "日本"]
    found = read(parquet({"text": pa.array(texts).cast(kind)}), "a.parquet")
    assert found.rows["text"].tolist() == ["Grüße", "", "NA", "日本"]


def test_a_parquet_value_that_is_no_text_costs_its_row() -> None:
    half = "a\ud83d".encode("utf-8", "surrogatepass")
    table = {"id": [1, 2, 3], "text": pa.array([b"ok", half, b"\xff"]), "tags": [["a"], None, []]}
    found = read(parquet({**table, "text": pa.array([b"ok", half, b"fine"])}), "a.parquet")
    assert found.rows.to_dict("list") == {"id": ["1", "3"], "text": ["ok", "fine"], "tags": ['["a"]', "[]"]}
    assert [(one.place, one.reason, one.before) for one in found.rejected] == [("row 2", "broken character", 1)]
    lists = parquet({"id": [1, 2, 3], "text": [["a"], None, None]})
    assert [one.place for one in read(lists, "a.parquet").rejected] == ["row 1"]
    assert "list" in refused(parquet({"id": [1, 2], "text": [["a"], ["b"]]}), "a.parquet")
    assert "2 columns are called id" in refused(
        _bytes_of(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id "])), "a.parquet"
    )


def _bytes_of(table: pa.Table) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target)
    return target.getvalue()


OTHERS = [
    (b"PK\x03\x04....xl/workbook.xml", "an Excel workbook; save the sheet as CSV"),
    (b"PK\x03\x04application/vnd.oasis.opendocument.spreadsheet", "an OpenDocument spreadsheet; save the sheet as CSV"),
    (b"PK\x03\x04anything", "a ZIP archive; unpack it"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
    (b"SQLite format 3\x00", "an SQLite database; export the rows"),
    (b"%PDF-1.7", "a PDF document"),
    (b"<!DOCTYPE html><html>Please log in</html>", "a web page"),
    (b"\n<html><body>404</body></html>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
    (b"ARROW1\x00\x00", "an Arrow"),
    (b"<table><tr><td>id</td></tr></table>", "a table saved as one"),
    (b'<?xml version="1.0"?><rows/>', "an XML document; export the rows"),
    (b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>', "an Excel workbook (XML); save the sheet"),
    (b"rows.csv".ljust(257, b"\0") + b"ustar", "a tar archive; unpack it"),
    (gzip.compress(b"rows.csv".ljust(257, b"\0") + b"ustar", mtime=0), "a tar archive; unpack it"),
    (gzip.compress(gzip.compress(CSV.encode(), mtime=0), mtime=0), "compressed twice; unpack it once"),
    (pickle.dumps([1]), "a Python pickle"),
    (b"outs:\n- md5: 0123\n  path: rows.csv\n", "dvc pull"),
    (b"/annex/objects/SHA256E-s1--0.csv\n", "git annex get"),
    (gzip.compress(CSV.encode(), mtime=0)[:-20], "the gzip file is cut off"),
    (bz2.compress(CSV.encode())[:-9], "the bzip2 file is cut off"),
    (lzma.compress(CSV.encode())[:-9], "the xz file is cut off"),
    (pa.compress(CSV.encode(), "zstd", asbytes=True)[:-6], "the zstd file is damaged"),
    (parquet({"a": [1]})[:-4], "the file is cut off"),
    (b"", "an empty file"),
    (b" \n\n", "an empty file"),
    (gzip.compress(b"", mtime=0), "an empty file"),
]


@pytest.mark.parametrize(("data", "said"), OTHERS)
@pytest.mark.parametrize("name", ["a.csv", "a"])
def test_other_kinds_of_file_are_named_by_their_content(data: bytes, said: str, name: str) -> None:
    assert said in refused(data, name)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_that_unpacks_to_no_end_is_refused(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.data.formats.kind.SURELY_FINE", 1 << 20)
    many = CSV + f"S,{'a' * (1 << 21)},money\n"
    assert "unpacks to more than 100 times its size (1 MiB)" in refused(pack(many.encode()))
    monkeypatch.undo()
    assert read(pack(many.encode())).count == len(ROWS) + 1


@pytest.mark.parametrize(
    "column",
    [
        pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), pa.array(["a" * 1000])),
        pa.array(["a" * 1000] * 3000),
        pa.array([b"a" * 1000] * 3000),
        pa.array(["a" * 1000] * 3000, pa.string_view()),
        pa.array([["a" * 1000]] * 3000),
        pa.nulls(300_000),
    ],
    ids=["dictionary", "text", "bytes", "view", "list", "absent"],
)
def test_a_parquet_file_that_unpacks_to_no_end_is_refused(column: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet({"a.b": column})
    assert read(data, "a.parquet").count == len(column)
    monkeypatch.setattr("playbook.data.formats.kind.SURELY_FINE", 1 << 20)
    assert len(data) < 10_000 and "unpacks to more than 100 times its size (1 MiB)" in refused(data, "a.parquet")


def test_a_wrong_delimiter_is_named_with_the_one_that_seems_right() -> None:
    told = Form(delimiter=";", settable=True)
    said = refused(CSV.replace("is parcel", "is; parcel"), form=told)
    assert "data.source.delimiter says semicolons, the file seems to have commas between its fields" in said


def test_a_table_of_many_columns_is_read_in_time() -> None:
    names = [f"c{number}" for number in range(40_000)]
    started = time.process_time()
    assert column_names(names) == names
    assert time.process_time() - started < 2  # 15 s where each name is looked for among all before it


def test_a_name_that_promises_another_kind_is_said() -> None:
    assert "expected a file that begins with PAR1" in refused(CSV, "a.parquet")
    assert "if the file is no JSON Lines, name it for what it is" in refused(CSV, "a.jsonl")
    pretty = "".join(json.dumps(json.loads(line), indent=1) + "\n" for line in JSONL.splitlines())
    assert "write each object on one line" in refused(pretty, "a.jsonl")
    assert "take away what stands behind the objects" in refused(JSONL.replace("}\n", "};\n"), "a.jsonl")


def _folder(root: Path) -> Path:
    for number, rows in enumerate((ROWS[:8], ROWS[8:])):
        (root / f"part-{number}.csv").write_text(written(rows))
    (root / "_SUCCESS").touch()
    (root / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (root / ".part-0.csv.crc").write_bytes(b"\0\1")
    (root / "part-2.csv").touch()  # Spark writes empty ones
    return root


def test_a_folder_of_part_files_is_read_in_order(tmp_path: Path) -> None:
    found = read_records(str(_folder(tmp_path)))
    assert tuples(found) == ROWS and found.found == ("a folder of 2 files",)
    (tmp_path / "part-3.csv").write_text(written(ROWS[:3]) + "S99,a\nS98,b,money\n")
    again = read_records(str(tmp_path))
    assert [one.place for one in again.rejected] == ["part-3.csv, line 5"] and again.rejected[0].before == 23
    (tmp_path / "part-4.csv").write_text("id,text\n1,a\n")
    with pytest.raises(DataError, match=r"found that part-4\.csv lacks label \(compared with part-0\.csv\)"):
        read_records(str(tmp_path))


def test_part_files_behind_links_count_and_what_is_not_there_is_named(tmp_path: Path) -> None:
    folder, other = tmp_path / "rows", tmp_path / "other"
    folder.mkdir(), other.mkdir()
    (folder / "a.csv").write_text("x", "utf-8")
    (other / "b.csv").write_text("y", "utf-8")
    (folder / "more").symlink_to(other)
    assert [part.name for part in parts_of(str(folder))] == ["a.csv", "more/b.csv"]
    (folder / "c.csv").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"c\.csv: a link to a file that is not there"):
        parts_of(str(folder))
    (folder / "c.csv").unlink()
    (folder / "up").symlink_to("..")
    with pytest.raises(DataError, match="a link to a folder that is read already"):
        parts_of(str(folder))


@pytest.mark.parametrize(("log", "said"), [("_delta_log", "a Delta table"), (".hoodie", "a Hudi table")])
def test_a_table_with_a_log_of_its_files_is_refused(tmp_path: Path, log: str, said: str) -> None:
    (tmp_path / log).mkdir()
    for name in (f"{log}/0.json", "part-0.csv"):
        (tmp_path / name).write_text(CSV, "utf-8")
    for place in (str(tmp_path), tmp_path.as_uri()):
        with pytest.raises(DataError, match=f"found {said} .*deleted rows lie beside"):
            parts_of(place)


def test_what_lies_beside_part_files_is_no_part_of_them(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    for name in ("rows.csv~", "rows.csv.bak", "~$rows.xlsx"):
        (tmp_path / name).write_text(CSV)
    assert tuples(read_records(str(tmp_path))) == ROWS
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    with pytest.raises(DataError, match=r"found rows\.csv and rows\.csv\.gz, which seem to be one"):
        read_records(str(tmp_path))
    with pytest.raises(DataError, match="a pattern names no files, a folder does"):
        read_records(str(tmp_path / "*.csv"))


def test_a_key_that_no_row_of_a_part_has_is_absent_there_unless_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "a", "channel": "web"}\n')
    (tmp_path / "b.jsonl").write_text('{"agent": "Ann", "text": "b", "id": "2"}\n')
    found = read_records(str(tmp_path), used=("id", "text"))
    assert found.rows.to_dict("list") == {
        "id": ["1", "2"],
        "text": ["a", "b"],
        "channel": ["web", ""],
        "agent": ["", "Ann"],
    }
    for used in (("id", "text", "channel"), ()):
        with pytest.raises(DataError, match=r"found that b\.jsonl lacks channel; adds agent"):
            read_records(str(tmp_path), used=used)


def test_folders_named_by_key_and_value_add_a_column(tmp_path: Path) -> None:
    for label in ("money", "parcel", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / f"label={label}").mkdir()
        (tmp_path / f"label={label}" / "0.parquet").write_bytes(parquet({"id": ["1"], "text": [label]}))
    assert read_records(str(tmp_path)).rows["label"].tolist() == ["", "money", "parcel"]
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/parts", recursive=True)
    assert read_records("memory://parts").rows["label"].tolist() == ["", "money", "parcel"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected files of rows in this folder, found none"):
        read_records(str(tmp_path / "empty"))


def _swallowing(lines: list[str], rng: random.Random) -> str:
    """Two marks that make one record of up to seven: one before a text, one behind a later one."""
    plain = [number for number, line in enumerate(lines) if number and '"' not in line and line.count(",") == 1]
    first = rng.choice(plain[:-7])
    last = rng.choice([number for number in plain if first < number][:6])
    out = list(lines)
    out[first] = f'"{lines[first]}'
    out[last] = lines[last].replace(",", '",', 1)
    return "\n".join(out) + "\n"


def _missed(path: Path, draws: int) -> int:
    if not path.is_file():
        pytest.skip(f"{path} is not there; point PLAYBOOK_SHARED_DATA at the folder that has it")
    lines, rng = path.read_text(encoding="utf-8").splitlines(), random.Random(7)  # noqa: S311
    missed = 0
    for _ in range(draws):
        try:
            read(_swallowing(lines, rng), used=("text", "category"))
            missed += 1
        except DataError as error:
            missed += "opens a field here" not in str(error)
    return missed


def test_swallowed_records_of_real_texts_are_found_and_no_others() -> None:
    assert _missed(SHARED / "banking77" / "test.csv", 10) == 0
    for split in ("train", "test"):
        found = read_records(str(SHARED / "banking77" / f"{split}.csv"))
        assert not found.rejected and found.found == ()


@pytest.mark.proof
@pytest.mark.parametrize("split", ["train", "test"])
def test_hundreds_of_swallowed_records_are_found(split: str) -> None:
    assert _missed(SHARED / "banking77" / f"{split}.csv", 300) == 0


@pytest.mark.parametrize("name", ["ORCID", "PARENT", "PAR1", "FEA1", "BZh9", "Rar!", "ARROW1"])
def test_a_column_may_be_called_like_the_mark_of_another_kind(name: str) -> None:
    assert read(f"{name},text\n1,a\n").rows.to_dict("list") == {name: ["1"], "text": ["a"]}
