"""Raw rows of a task under the names that every play reads them by, from whatever files hold them.

The files themselves are read by `playbook.data.formats`, which accounts for every record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from playbook.data.accumulated import ACCUMULATED, read_accumulated
from playbook.data.formats import PLAIN, Form, Records, Rejected, read_records
from playbook.data.formats.dialect import DELIMITERS, OTHER_MARKS, delimiter_of_names
from playbook.data.formats.records import refuse_rejected
from playbook.data.row_names import with_names
from playbook.data.source_form import form_beside, form_of
from playbook.data.tables import ASKED, DETAIL, GROUP, KEPT_PREFIX, LABEL, REASON, ROW_ID, TEXT, TIME
from playbook.data.text import shown
from playbook.errors import DataError
from playbook.names import near_name
from playbook.spec import Columns, Data
from playbook.taskfile import Task

PRODUCTION = "production"  # role of the file of production-like rows
HEADLESS = ". The first line has to hold the names of the columns"


@dataclass(frozen=True)
class RawRows:
    """What the files of a task hold.

    Attributes:
        rows: under the names of `playbook.data.tables`, with `asked_split`, in the order of the files.
        unreadable: records that could not become rows, under the same names, with reason and detail.
        readings: for each file how it was read, as plain values for the profile.
    """

    rows: pd.DataFrame
    unreadable: pd.DataFrame
    readings: tuple[dict[str, Any], ...]

    @property
    def records(self) -> int:
        """Records of all files."""
        return sum(int(one["records"]) for one in self.readings)


def read_table(location: str, form: Form = PLAIN, used: Collection[str] = ()) -> pd.DataFrame:
    """All rows of a file or folder, every column as text; an absent value is the empty string.

    Raises:
        DataError: see `playbook.data.formats.read_records`; or a record could not be read (with its line).
    """
    found = read_records(location, form, used)
    refuse_rejected(location, found.rejected)
    return found.rows


def sources_of(data: Data) -> dict[str, str]:
    """Every file of rows by role: those of the source, and `production` where the task file names one."""
    production = data.production.path if data.production is not None else None
    return {**data.source.locations, **({PRODUCTION: production} if production is not None else {})}


def read_rows(task: Task, raw_override: Mapping[str, Path] | None = None) -> pd.DataFrame:
    """The rows of `read_source`, for those who need no account of the others.

    Raises:
        DataError: see `read_source`.
    """
    return read_source(task, raw_override).rows


def read_source(task: Task, raw_override: Mapping[str, Path] | None = None) -> RawRows:
    """Raw rows of a task's source, then those that production added.

    `raw_override` gives local copies by role (`all`, or `train`, `validation`, `test`) in place of the source.

    Raises:
        DataError: a file cannot be read, or lacks a column that the task file names (all of them are listed).
    """
    data = task.spec.data
    frames, unreadable, readings = [], [], []
    for role, place in data.source.locations.items():
        location = str((raw_override or {}).get(role) or task.resolve(place))
        asked = role if role != "all" else ""
        column = data.splits.column if role == "all" else None
        found = _records(location, data.columns, column, form_of(data))
        frames.append(_canonical(found.rows, data.columns, asked, column))
        unreadable.append(_unreadable(found.rejected, data.columns, asked))
        readings.append(_reading(place, found))
    rows = with_names(pd.concat(frames, ignore_index=True), data.columns.id is not None)
    rows, added = _with_accumulated(task, rows)
    return RawRows(rows, pd.concat(unreadable, ignore_index=True), (*readings, *added))


def _records(location: str, columns: Columns, split_column: str | None, form: Form) -> Records:
    found = read_records(location, form, _named(columns, split_column).values())
    require_columns(found.rows, columns, split_column, location, form)
    return found


def _reading(place: str, found: Records) -> dict[str, Any]:
    return {
        "file": place,
        "kind": found.kind,
        "records": found.count,
        "unreadable": len(found.rejected),
        "found": list(found.found),
    }


def _with_accumulated(task: Task, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The source's rows, then those that production added; an id that the source has already is a repeated one."""
    named = task.spec.data.accumulated
    added = read_accumulated(task)
    if named is None or added is None:
        return rows, []
    columns = task.spec.data.columns
    require_columns(added.rows, columns, None, task.resolve(named.rows))
    more = with_names(_canonical(added.rows, columns, ACCUMULATED, None), columns.id is not None)
    return pd.concat([rows, more], ignore_index=True), [_reading(named.rows, added)]


def read_production(task: Task, place: str, raw_override: Mapping[str, Path] | None = None) -> RawRows:
    """Production-like rows under the names of `read_rows`; a split column is not asked for.

    Raises:
        DataError: see `read_source`.
    """
    columns = task.spec.data.columns
    location = str((raw_override or {}).get(PRODUCTION) or task.resolve(place))
    found = _records(location, columns, None, form_beside(task))
    rows = with_names(_canonical(found.rows, columns, "", None), columns.id is not None)
    return RawRows(rows, _unreadable(found.rejected, columns, ""), (_reading(place, found),))


def _named(columns: Columns, split_column: str | None) -> dict[str, str]:
    fields = {"text": columns.text, "label": columns.label, "id": columns.id, "group": columns.group}
    fields |= {"time": columns.time, "splits.column": split_column}
    fields |= {f"keep ({name})": name for name in columns.keep}
    return {field: name for field, name in fields.items() if name is not None}


def require_columns(
    table: pd.DataFrame, columns: Columns, split_column: str | None, location: str, form: Form = PLAIN
) -> None:
    """Refuse a table without a column that the task file names; `form` is what was said about how it is written.

    Raises:
        DataError: every such column is named, with what it may be called.
    """
    present = [str(name) for name in table.columns]
    faults = []
    for field, name in _named(columns, split_column).items():
        if name not in present:
            near = near_name(name, present)
            hint = f"; did you mean {near!r}?" if near else ""
            faults.append(f"column {name!r} ({field}) is missing{hint}")
    if faults:
        named = _named(columns, split_column)
        remedy = "name the right columns under data.columns in the task file, or rename them in the source"
        if len(faults) == len(named):
            remedy = _parting(present, tuple(named.values()), form) or remedy + HEADLESS
        raise DataError(f"{location}: {'; '.join(faults)} (columns found: {', '.join(map(shown, present))}); {remedy}")


def _parting(present: list[str], wanted: tuple[str, ...], form: Form) -> str:
    """What to do where all names of the columns stand in one, because another mark parts them; '' where none does."""
    mark = delimiter_of_names(present, wanted)
    if not mark:
        return ""
    seems = (DELIMITERS | OTHER_MARKS)[mark]
    if form.delimiter and form.certain:
        told = DELIMITERS.get(form.delimiter, repr(form.delimiter))
        return f"data.source.delimiter says {told}, the names seem to be separated by {seems}: set that one"
    if mark in DELIMITERS:
        return (
            f"the names are separated by {seems}, but read as one: take away quotation marks around whole lines, or a "
            "first line sep= with another mark"
        )
    advice = form.or_set("delimiter")
    return f"the names seem to be separated by {seems}: export the rows with commas{advice}"


def _canonical(table: pd.DataFrame, columns: Columns, asked: str, split_column: str | None) -> pd.DataFrame:
    blank = pd.Series("", index=table.index, dtype="str")
    named = {ROW_ID: columns.id, TEXT: columns.text, LABEL: columns.label, GROUP: columns.group, TIME: columns.time}
    out = {name: table[source] if source else blank for name, source in named.items()}
    out[ASKED] = table[split_column] if split_column else blank + asked
    out |= {KEPT_PREFIX + name: table[name] for name in columns.keep}
    return pd.DataFrame(out, dtype="str")


def _unreadable(rejected: tuple[Rejected, ...], columns: Columns, asked: str) -> pd.DataFrame:
    """Records that could not be read, named by their place; nothing else is known of them."""
    names = (ROW_ID, TEXT, LABEL, GROUP, TIME, ASKED, *(KEPT_PREFIX + name for name in columns.keep), REASON, DETAIL)
    known = {
        ROW_ID: [f"{asked}/{one.place}" if asked else one.place for one in rejected],
        ASKED: [asked] * len(rejected),
        REASON: [one.reason for one in rejected],
        DETAIL: [str(one) for one in rejected],
    }
    blank = [""] * len(rejected)
    return pd.DataFrame({name: pd.Series(known.get(name, blank), dtype="str") for name in names})
