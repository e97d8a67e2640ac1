"""Files of known records, written in many ways and then damaged, for tests of the reader.

A mutation is applied to the file, and the records whose own bytes it touched are noted. Of every other record it is
known by construction what has to be read: a reader may read it as it is, set it aside with its line, or refuse the file
with an error that names it. It may not lose it, and may not put its text under another label.

What no reader can know: a mutation that gives another valid file. A byte changed inside of a text gives another text, a
label turned into another label is a label. Such records count as touched, and nothing is asked of their content; a
record that a mutation adds (a line doubled, a line break put into a field that is not quoted) may add to the count.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("id", "text", "label")
LABELS = ("parcel", "money", "access")
_WORDS = ["where", "is", "my", "parcel", "refund", "the", "invoice", "please", "again", "courier", "box", "street"]
_ODD = (
    "NA",
    "null",
    "None",
    'he said "hello"',
    "a, b; c",
    'Grüße, 5" disk',
    "two\nlines",
    "tab\there",
    "naïve",
    "日本",
)

Record = dict[str, str]


@dataclass
class Mutant:
    """A damaged file and what is known about it.

    Attributes:
        name: of the file; its suffix says what it claims to be.
        data: its bytes.
        records: all records that were written.
        touched: numbers of those that the mutation reached.
        added: how many records it may have added.
        exact: whether it cannot have changed how many there are.
        said: what was done.
    """

    name: str
    data: bytes
    records: list[Record]
    touched: set[int] = field(default_factory=set)
    added: int = 0
    exact: bool = False
    said: str = ""


def records(rng: random.Random, count: int) -> list[Record]:
    """Records with ids of one form, distinct texts, some of them odd, and one label of three."""
    out = []
    for number in range(count):
        text = " ".join(rng.choices(_WORDS, k=rng.randint(3, 9))) + f" {number}"
        if rng.random() < 0.15:
            text = f"{rng.choice(_ODD)} {text}"
        out.append({"id": f"R{number:04d}", "text": text, "label": rng.choice(LABELS)})
    return out


def _csv(rng: random.Random, rows: list[Record]) -> tuple[str, list[bytes]]:
    """Each record of a CSV file as bytes, the header first."""
    delimiter, name = rng.choice([(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv"), ("|", "a.csv")])
    end, quoting = rng.choice(["\n", "\r\n"]), rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    return name, [_line(row, delimiter, end, quoting) for row in (dict(zip(COLUMNS, COLUMNS, strict=True)), *rows)]


def _line(row: Record, delimiter: str, end: str, quoting: Any) -> bytes:
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter, lineterminator=end, quoting=quoting).writerow(row[c] for c in COLUMNS)
    return target.getvalue().encode()


def _jsonl(rng: random.Random, rows: list[Record]) -> tuple[str, list[bytes]]:
    ascii_only = rng.random() < 0.5
    return "a.jsonl", [b"", *(json.dumps(row, ensure_ascii=ascii_only).encode() + b"\n" for row in rows)]


# Mutations of files of lines. Each takes the records as bytes (the first is the header) and damages them in place.
Lines = list[bytes]


def _at(rng: random.Random, lines: Lines) -> int:
    """A record that is there, by its place in `lines`."""
    return rng.randrange(1, len(lines))


def _insert(rng: random.Random, lines: Lines, what: bytes) -> set[int]:
    number = _at(rng, lines)
    line = lines[number]
    place = rng.randrange(len(line))  # not behind its end, where the next record begins
    lines[number] = line[:place] + what + line[place:]
    return {number}


def _drop(rng: random.Random, lines: Lines, what: bytes) -> set[int]:
    having = [number for number in range(1, len(lines)) if what in lines[number]]
    if not having:
        return set()
    number = rng.choice(having)
    places = [place for place in range(len(lines[number])) if lines[number].startswith(what, place)]
    place = rng.choice(places)
    lines[number] = lines[number][:place] + lines[number][place + len(what) :]
    return {number, number + 1} if what == b"\n" else {number}


def _quote(rng: random.Random, lines: Lines) -> set[int]:
    return _insert(rng, lines, b'"')


def _two_quotes(rng: random.Random, lines: Lines) -> set[int]:
    """A mark at the beginning of one field and one at the end of another: the records between them are swallowed."""
    first, second = sorted(rng.sample(range(1, len(lines)), 2))
    for number, side in ((first, 0), (second, 1)):
        cut = _text_bounds(lines[number])[side]
        lines[number] = lines[number][:cut] + b'"' + lines[number][cut:]
    return {first, second}


def _text_bounds(line: bytes) -> tuple[int, int]:
    """Where the second field of a line begins and ends, roughly: after the first and before the last delimiter."""
    found = [place for place, byte in enumerate(line) if byte in b",;\t|:"]
    return (found[0] + 1, found[-1]) if len(found) > 1 else (0, len(line))


def _two_at_random(rng: random.Random, lines: Lines) -> set[int]:
    return _quote(rng, lines) | _quote(rng, lines)


def _byte(rng: random.Random, lines: Lines) -> set[int]:
    number = _at(rng, lines)
    line = bytearray(lines[number])
    line[rng.randrange(len(line))] = rng.randrange(256)
    lines[number] = bytes(line)
    return {number, number + 1}


def _without_byte(rng: random.Random, lines: Lines) -> set[int]:
    number = _at(rng, lines)
    place = rng.randrange(len(lines[number]))
    lines[number] = lines[number][:place] + lines[number][place + 1 :]
    return {number, number + 1}


def _cut(rng: random.Random, lines: Lines) -> set[int]:
    """The end of the file is missing, from the middle of a record on."""
    number = _at(rng, lines)
    gone = set(range(number, len(lines)))
    lines[number] = lines[number][: rng.randrange(1, len(lines[number]))]
    del lines[number + 1 :]
    return gone


def _twice(rng: random.Random, lines: Lines) -> set[int]:
    number = _at(rng, lines)
    lines[number] = lines[number] * 2
    return {number}


def _blank(rng: random.Random, lines: Lines) -> set[int]:
    number = _at(rng, lines)
    lines[number] += rng.choice([b"\n", b"  \n", b"\n\n\n"])
    return set()


def _inserts(what: bytes) -> Callable[[random.Random, Lines], set[int]]:
    return lambda rng, lines: _insert(rng, lines, what)


def _drops(what: bytes) -> Callable[[random.Random, Lines], set[int]]:
    return lambda rng, lines: _drop(rng, lines, what)


LINE_MUTATIONS: dict[str, Callable[[random.Random, Lines], set[int]]] = {
    "a quotation mark more": _quote,
    "a quotation mark less": _drops(b'"'),
    "two quotation marks around records": _two_quotes,
    "two quotation marks anywhere": _two_at_random,
    "a comma more": _inserts(b","),
    "a comma less": _drops(b","),
    "a semicolon more": _inserts(b";"),
    "a tab more": _inserts(b"\t"),
    "a line break more": _inserts(b"\n"),
    "a line break less": _drops(b"\n"),
    "a carriage return more": _inserts(b"\r"),
    "a byte changed": _byte,
    "a byte less": _without_byte,
    "NUL": _inserts(b"\0"),
    "half of a surrogate pair": _inserts("\ud83d".encode("utf-8", "surrogatepass")),
    "an escaped half": _inserts(b"\\ud83d"),
    "a byte that is not UTF-8": _inserts(b"\xff"),
    "a backslash": _inserts(b"\\"),
    "braces": _inserts(b"}{"),
    "cut off": _cut,
    "a record twice": _twice,
    "blank lines": _blank,
}
# One line more or less is nothing to these, so there are as many records as were written.
KEEPING = {
    "a comma more", "a semicolon more", "a tab more", "NUL", "half of a surrogate pair", "an escaped half",
    "a backslash", "blank lines",
}  # fmt: skip
ADDING = {"a record twice": 1, "a line break more": 1, "a carriage return more": 1, "a byte changed": 1, "braces": 1}


def _of_lines(rng: random.Random, name: str, lines: Lines, rows: list[Record]) -> Mutant:
    said = rng.choice(list(LINE_MUTATIONS))
    if rng.random() < 0.08 and lines[0]:
        return _other_header(rng, name, lines, rows)
    touched = {number - 1 for number in LINE_MUTATIONS[said](rng, lines)}
    broad = any("\n" in rows[number]["text"] for number in touched if number < len(rows))
    return Mutant(
        name, b"".join(lines), rows, touched, ADDING.get(said, 0), exact=said in KEEPING and not broad, said=said
    )


def _other_header(rng: random.Random, name: str, lines: Lines, rows: list[Record]) -> Mutant:
    header = lines[0]
    lines[0] = rng.choice(
        [
            header.replace(b"text", b"label"),
            header.replace(b"id", b" label"),
            header.replace(b"text", b""),
            header.replace(b"label", b"label" + header[2:3] + b"label", 1),
            b"",
            header[:-3] + b"\n",
            header + header,
        ]
    )
    return Mutant(name, b"".join(lines), rows, set(), 1, said="another header")


def _typed(rng: random.Random, rows: list[Record]) -> Mutant:
    """JSON Lines in which one value is of another kind."""
    number = rng.randrange(len(rows))
    values: list[dict[str, Any]] = [dict(row) for row in rows]
    name = rng.choice(COLUMNS)
    values[number][name] = rng.choice([None, float("nan"), ["a"], {"a": 1}, 2**63 + 1, 12.0, True, float("inf")])
    if rng.random() < 0.2:
        del values[number][name]
    data = "".join(json.dumps(value) + "\n" for value in values).encode()
    return Mutant("a.jsonl", data, rows, {number}, exact=True, said="a value of another kind")


def _bytes(rng: random.Random, rows: list[Record]) -> Mutant:
    """A Parquet file with damaged bytes, or without its end."""
    data = bytearray(_parquet(_columns(rng, rows)))
    if rng.random() < 0.4:
        return Mutant("a.parquet", bytes(data[: rng.randrange(1, len(data))]), rows, set(), said="Parquet cut off")
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(4, len(data))] = rng.randrange(256)
    return Mutant("a.parquet", bytes(data), rows, set(range(len(rows))), len(rows), said="Parquet with damaged bytes")


def _columns(rng: random.Random, rows: list[Record]) -> dict[str, pa.Array]:
    kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string()))
    return {name: pa.array([row[name] for row in rows]).cast(rng.choice(kinds)) for name in COLUMNS}


def _parquet(columns: dict[str, pa.Array]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, compression="none")
    return target.getvalue()


def _values(rng: random.Random, rows: list[Record]) -> Mutant:
    """A Parquet file in which some values are absent, or bytes that are not text."""
    columns = _columns(rng, rows)
    name, number = rng.choice(COLUMNS), rng.randrange(len(rows))
    values: list[Any] = [row[name].encode() for row in rows]
    values[number] = rng.choice([None, b"\xff\xfe", "\ud83d".encode("utf-8", "surrogatepass"), b""])
    columns[name] = pa.array(values, pa.binary())
    return Mutant("a.parquet", _parquet(columns), rows, {number}, exact=True, said="a Parquet value of another kind")


def _nested(rng: random.Random, rows: list[Record]) -> Mutant:
    columns = _columns(rng, rows)
    columns[rng.choice(COLUMNS)] = pa.array([["a"] for _ in rows])
    return Mutant(
        "a.parquet", _parquet(columns), rows, set(range(len(rows))), exact=True, said="a Parquet column of lists"
    )


def mutant(seed: int) -> Mutant:
    """One damaged file; the same seed gives the same file."""
    rng = random.Random(seed)  # noqa: S311
    rows = records(rng, rng.choice([8, 25, 60]))
    kind = rng.random()
    if kind < 0.6:
        name, lines = _csv(rng, rows)
        return _of_lines(rng, name, lines, rows)
    if kind < 0.8:
        name, lines = _jsonl(rng, rows)
        return _typed(rng, rows) if rng.random() < 0.3 else _of_lines(rng, name, lines, rows)
    return rng.choice([_bytes, _bytes, _values, _nested])(rng, rows)


def sound(seed: int) -> list[tuple[str, bytes, Sequence[Record]]]:
    """The same records undamaged in every form."""
    rng = random.Random(seed)  # noqa: S311
    rows = records(rng, 30)
    made = [_csv(rng, rows) for _ in range(4)] + [_jsonl(rng, rows)]
    return [
        *((name, b"".join(lines), rows) for name, lines in made),
        ("a.parquet", _parquet(_columns(rng, rows)), rows),
    ]
