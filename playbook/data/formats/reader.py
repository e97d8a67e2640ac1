"""Reading a place: kind, encoding and form of each file found, its records read, the parts of a folder put together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import pandas as pd

from playbook.data.formats.delimited import read_delimited
from playbook.data.formats.encoding import decoded
from playbook.data.formats.json_lines import read_json_array, read_json_lines
from playbook.data.formats.kind import kind_of, suffixes, unpacked
from playbook.data.formats.parquet import read_parquet
from playbook.data.formats.places import Part, fetch, parts_of
from playbook.data.formats.records import PLAIN, Form, Records
from playbook.data.text import counted, shown
from playbook.errors import DataError
from playbook.names import normal_form


def read_records(location: str, form: Form = PLAIN, used: Collection[str] = ()) -> Records:
    """All records of a file, or of the files of a folder.

    Args:
        location: a local path or an fsspec URL.
        form: what is known about how it is written.
        used: columns that are needed: a list or an object in one of them makes a record unfit.

    Raises:
        DataError: it is missing, empty, no table, or so damaged that nobody can tell its records; the message names
            file, line and remedy.
    """
    parts = parts_of(location)
    if len(parts) == 1 and not parts[0].name:
        found = read_bytes(location, fetch(location), form, used)
    else:
        found = _joined(location, parts, form, used)
    if not found.count:
        columns = ", ".join(map(str, found.rows.columns)) or "none"
        raise DataError(f"{location}: expected rows, found none (columns: {columns}); export the data again")
    return found


def read_bytes(location: str, data: bytes, form: Form = PLAIN, used: Collection[str] = ()) -> Records:
    """All records of a file's content, of which there may be none; `location` is for its suffix and for messages.

    Raises:
        DataError: see `read_records`.
    """
    suffix, packed = suffixes(location)
    try:
        plain, unexpected = unpacked(data, packed)
        if not plain.strip():
            raise DataError(f"{location}: expected rows, found an empty file; export the data again")
        kind, more = kind_of(plain, suffix)
        names = {normal_form(name) for name in used}
        if kind == "Parquet":
            found = read_parquet(plain, names)
        else:
            text, encoding = decoded(plain, form)
            if not text.strip():
                raise DataError(f"{location}: expected rows, found an empty file; export the data again")
            more += encoding
            if kind == "CSV":
                found = read_delimited(text, form, "\t" if suffix in (".tsv", ".tab") else ",")
            else:
                found = (read_json_lines if kind == "JSON Lines" else read_json_array)(text, names)
    except DataError:
        raise
    except (ValueError, OSError) as error:
        raise DataError(f"{location}: {' '.join(str(error).split())}") from None
    return replace(found, found=(*unexpected, *more, *found.found))


def _joined(location: str, parts: Sequence[Part], form: Form, used: Collection[str]) -> Records:
    """The records of all part files; an empty one, as Spark writes, has none."""
    read = [(part, content) for part in parts if (content := fetch(part.location)).strip()]
    if not read:
        raise DataError(f"{location}: expected rows, found empty files only; export the data again")
    tables, first = [], ""
    columns: list[str] = []
    for part, content in read:
        records = _with_keys(read_bytes(part.location, content, form, used), part)
        there = list(records.rows.columns)
        if not first:
            first, columns = part.name, there
        elif set(columns) != set(there):
            needed = {normal_form(name) for name in used}
            if not needed or not needed <= set(columns) & set(there) or not records.kind.startswith("JSON"):
                raise DataError(_unlike(location, first, columns, part.name, there))
            columns += [name for name in there if name not in columns]  # a key that is not there is absent
        named = tuple(replace(one, file=part.name) for one in records.rejected)
        tables.append(replace(records, rejected=named))
    tables = [replace(table, rows=table.rows.reindex(columns=columns, fill_value="")) for table in tables]
    said = [
        f"a folder of {counted(len(tables), 'file')}",
        *dict.fromkeys(one for table in tables for one in table.found),
    ]
    rejected, before = [], 0
    for table in tables:
        rejected += [replace(one, before=one.before + before) for one in table.rejected]
        before += len(table.lines)
    return Records(
        pd.concat([table.rows for table in tables], ignore_index=True),
        [line for table in tables for line in table.lines],
        tuple(rejected),
        " and ".join(dict.fromkeys(table.kind for table in tables)),
        tuple(said),
    )


def _with_keys(records: Records, part: Part) -> Records:
    """Columns that the names of folders add; one that the file has as well stays the file's."""
    new = {name: value for name, value in part.columns.items() if name not in records.rows}
    added = {name: pd.Series([value] * len(records.rows), dtype="str") for name, value in new.items()}
    return replace(records, rows=records.rows.assign(**added)) if added else records


def _unlike(location: str, first: str, columns: Sequence[str], name: str, found: Sequence[str]) -> str:
    lacking = [shown(one) for one in columns if one not in found]
    added = [shown(one) for one in found if one not in columns]
    what = "; ".join(
        [*([f"lacks {', '.join(lacking)}"] if lacking else []), *([f"adds {', '.join(added)}"] if added else [])]
    )
    return (
        f"{location}: expected the same columns in every file of the folder, found that {shown(name)} {what} (compared "
        f"with {shown(first)}); export the folder again, or take the file out"
    )
