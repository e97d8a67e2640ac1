"""Reading raw rows: CSV, Parquet or JSON Lines, from a local path or any fsspec URL, every value as a string."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pandas as pd

from playbook.data.accumulated import ACCUMULATED, read_accumulated
from playbook.data.tables import GROUP, KEPT_PREFIX, LABEL, ROW_ID, TEXT, TIME
from playbook.data.text import shown
from playbook.errors import DataError
from playbook.names import near_name, normal_form, spelled_twice
from playbook.spec import Columns, Data
from playbook.taskfile import Task

ASKED = "asked_split"  # what the team's split column says, or the role of the team's own file
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
PRODUCTION = "production"  # role of the file of production-like rows
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
CHEAP_HASH = 16  # hex digits of a content id: 64 bits


def is_url(location: str) -> bool:
    """Whether a location is an fsspec URL rather than a local path."""
    return "://" in location


def suffix_of(location: str) -> str:
    """File suffix that names the format, with a compression suffix where there is one, for example `.csv.gz`.

    Raises:
        DataError: the suffix is none that can be read.
    """
    path = urlsplit(location).path if is_url(location) else location
    stem, last = posixpath.splitext(posixpath.basename(path))
    first = posixpath.splitext(stem)[1].lower() if last.lower() in COMPRESSIONS else ""
    kind = first or last.lower()
    if kind not in FORMATS or (first and FORMATS[kind] == "parquet"):
        raise DataError(
            f"{location}: expected a file that ends in {', '.join(FORMATS)} (text may be compressed: "
            f"{', '.join(COMPRESSIONS)}), found {posixpath.basename(path)!r}; convert or rename it"
        )
    return first + last.lower()


def read_table(location: str) -> pd.DataFrame:
    """All rows of one file, every column as strings; an absent value is the empty string.

    Raises:
        DataError: the file is missing, empty, of an unknown format, not UTF-8, or malformed.
    """
    suffix = suffix_of(location)
    kind = FORMATS["." + suffix.split(".")[1]]
    data = _fetch(location)
    if not data.strip():
        raise DataError(f"{location}: expected rows, found an empty file; export the data again")
    try:
        frame = {"csv": _csv, "tsv": _tsv, "jsonl": _jsonl, "parquet": _parquet}[kind](data)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{location}: expected UTF-8 text, found byte {error.object[error.start]:#04x} at position "
            f"{error.start}; save the file as UTF-8"
        ) from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{location}: not readable as {kind}: {reason}; mend that row or export again") from None
    if frame.empty:
        columns = ", ".join(map(str, frame.columns)) or "none"
        raise DataError(f"{location}: expected rows, found none (columns: {columns}); export the data again")
    return _named_columns(frame, location)


def _named_columns(frame: pd.DataFrame, location: str) -> pd.DataFrame:
    """The table with its columns' names in their normal form."""
    twice = spelled_twice(map(str, frame.columns))
    if twice:
        named = "; ".join(f"{len(names)} columns are called {shown(normal_form(names[0]))}" for names in twice)
        raise DataError(f"{location}: expected every column's name once, found: {named}; rename or drop all but one")
    return frame.rename(columns=lambda name: normal_form(str(name)))


def _fetch(location: str) -> bytes:
    try:
        with fsspec.open(location, "rb", compression="infer") as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        raise DataError(
            f"{location}: no such file; check data.source in the task file (paths are relative to it)"
        ) from None
    except Exception as error:  # every filesystem, codec and network has errors of its own
        reason = " ".join(str(error).split())
        raise DataError(
            f"{location}: cannot be read ({type(error).__name__}: {reason}); check the address and your access to it"
        ) from None


def _csv(data: bytes, separator: str = ",") -> pd.DataFrame:
    text = data.decode("utf-8-sig")
    frame = pd.read_csv(
        io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False, on_bad_lines="error"
    )
    return frame.fillna("")


def _tsv(data: bytes) -> pd.DataFrame:
    return _csv(data, "\t")


def _jsonl(data: bytes) -> pd.DataFrame:
    rows: list[dict[str, str]] = []
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: expected one JSON object per line, found {type(row).__name__}")
        rows.append({normal_form(str(name)): _as_text(value) for name, value in row.items()})
    return pd.DataFrame(rows, dtype="str").fillna("")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _parquet(data: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns[name] = column.cast(pa.string()).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            columns[name] = [_as_text(value) for value in column.to_pylist()]
    return pd.DataFrame({name: ["" if v is None else v for v in values] for name, values in columns.items()}, dtype=str)


def sources_of(data: Data) -> dict[str, str]:
    """Every file of rows by role: those of the source, and `production` where the task file names one."""
    production = data.production.path if data.production is not None else None
    return {**data.source.locations, **({PRODUCTION: production} if production is not None else {})}


def read_rows(task: Task, raw_override: Mapping[str, Path] | None = None) -> pd.DataFrame:
    """Raw rows of a task under the names of `playbook.data.tables`, with `asked_split`, in the order of the source.

    `raw_override` gives local copies by role (`all`, or `train`, `validation`, `test`) in place of the source.

    Raises:
        DataError: a file cannot be read, or lacks a column that the task file names (all of them are listed).
    """
    data = task.spec.data
    frames = []
    for role, place in data.source.locations.items():
        location = str((raw_override or {}).get(role) or task.resolve(place))
        asked = role if role != "all" else ""
        column = data.splits.column if role == "all" else None
        table = read_table(location)
        _require(table, data.columns, column, location)
        frames.append(_canonical(table, data.columns, asked, column))
    rows = _with_ids(pd.concat(frames, ignore_index=True), data.columns.id is not None)
    return _with_accumulated(task, rows)


def _with_accumulated(task: Task, rows: pd.DataFrame) -> pd.DataFrame:
    """The source's rows, then those that production added; an id that the source has already is a repeated one."""
    named = task.spec.data.accumulated
    added = read_accumulated(task)
    if named is None or added is None:
        return rows
    columns = task.spec.data.columns
    _require(added, columns, None, task.resolve(named.rows))
    more = _with_ids(_canonical(added, columns, ACCUMULATED, None), columns.id is not None)
    return pd.concat([rows, more], ignore_index=True)


def read_production(task: Task, place: str, raw_override: Mapping[str, Path] | None = None) -> pd.DataFrame:
    """Production-like rows under the names of `read_rows`; a split column is not asked for.

    Raises:
        DataError: see `read_rows`.
    """
    columns = task.spec.data.columns
    location = str((raw_override or {}).get(PRODUCTION) or task.resolve(place))
    table = read_table(location)
    _require(table, columns, None, location)
    return _with_ids(_canonical(table, columns, "", None), columns.id is not None)


def _named(columns: Columns, split_column: str | None) -> dict[str, str]:
    fields = {"text": columns.text, "label": columns.label, "id": columns.id, "group": columns.group}
    fields |= {"time": columns.time, "splits.column": split_column}
    fields |= {f"keep ({name})": name for name in columns.keep}
    return {field: name for field, name in fields.items() if name is not None}


def _require(table: pd.DataFrame, columns: Columns, split_column: str | None, location: str) -> None:
    present = [str(name) for name in table.columns]
    faults = []
    for field, name in _named(columns, split_column).items():
        if name not in present:
            near = near_name(name, present)
            hint = f"; did you mean {near!r}?" if near else ""
            faults.append(f"column {name!r} ({field}) is missing{hint}")
    if faults:
        raise DataError(
            f"{location}: {'; '.join(faults)} (columns found: {', '.join(present)}); "
            "name the right columns under data.columns in the task file, or rename them in the source"
        )


def _canonical(table: pd.DataFrame, columns: Columns, asked: str, split_column: str | None) -> pd.DataFrame:
    blank = pd.Series("", index=table.index, dtype="str")
    named = {ROW_ID: columns.id, TEXT: columns.text, LABEL: columns.label, GROUP: columns.group, TIME: columns.time}
    out = {name: table[source] if source else blank for name, source in named.items()}
    out[ASKED] = table[split_column] if split_column else blank + asked
    out |= {KEPT_PREFIX + name: table[name] for name in columns.keep}
    return pd.DataFrame(out, dtype="str")


def _with_ids(rows: pd.DataFrame, own_ids: bool) -> pd.DataFrame:
    """Rows without an id are named by their content; ids that several own files share get the file's role before them.

    Rows of the same content are numbered; a second one of them is a duplicate and will be quarantined.
    """
    ids = [normal_form(value) for value in rows[ROW_ID]]
    if own_ids:
        roles: dict[str, set[str]] = {}
        for name, role in zip(ids, rows[ASKED], strict=True):
            roles.setdefault(name, set()).add(role)
        by_file = rows[ASKED].ne("").all()
        ids = [
            f"{role}/{name}" if by_file and name and len(roles[name]) > 1 else name
            for name, role in zip(ids, rows[ASKED], strict=True)
        ]
    seen: dict[str, int] = {}
    for position, (name, *content) in enumerate(
        zip(ids, rows[ASKED], rows[TEXT], rows[LABEL], rows[GROUP], rows[TIME], strict=True)
    ):
        if not name:
            digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:CHEAP_HASH]
            seen[digest] = seen.get(digest, 0) + 1
            ids[position] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return rows.assign(**{ROW_ID: pd.Series(ids, index=rows.index, dtype="str")})
