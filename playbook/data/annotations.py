"""Small files about rows: what a second person labelled, which labels were corrected. Every fault has its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from playbook.data.formats import PLAIN, Form, read_bytes
from playbook.data.formats.cells import value_form
from playbook.data.formats.records import refuse_rejected
from playbook.data.row_names import RowNames
from playbook.data.sheets import unguarded
from playbook.data.source_form import form_beside
from playbook.data.text import shown
from playbook.errors import DataError
from playbook.names import near_name, normal_form
from playbook.taskfile import Task

ROWS_OF_A_FORM = 3  # from which values that are all built alike tell a value from a name
LabelFile = Literal["second_annotator", "guideline", "corrections", "known_errors"]


@dataclass(frozen=True)
class Line:
    """One row of such a file: the line on which it begins, and its cells in the order of the header."""

    number: int
    cells: tuple[str, ...]


def label_file(task: Task, part: LabelFile) -> Path | None:
    """Where a file of `data.labels` lies, or None where the task file names none."""
    place: str | None = getattr(task.spec.data.labels, part)
    return None if place is None else Path(task.resolve(place))


def read_lines(
    path: Path, columns: Sequence[str] | int, form: Form = PLAIN, content: bytes | None = None
) -> list[Line]:
    """Rows of a file that has the named columns (in any order), or at least so many of them.

    Cells come in the order of `columns`, without outer blanks; rows of blanks are left out. `form` is how the file may
    be written, `content` what it holds, where that was read before.

    Raises:
        DataError: the file is missing, lacks a column, or has a record that cannot be read (with the line).
    """
    try:
        found = read_bytes(str(path), path.read_bytes() if content is None else content, form)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check data.labels in the task file (paths are relative to it)"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    places = _places(path, [str(name) for name in found.rows.columns], columns)
    if isinstance(columns, int):
        _require_names(path, found.rows.iloc[:, places])
    refuse_rejected(str(path), found.rejected)
    cells = zip(*(found.rows.iloc[:, place].str.strip() for place in places), strict=True)
    every = zip(found.lines, cells, (found.rows != "").any(axis=1), strict=True)
    return [Line(number, tuple(row)) for number, row, filled in every if filled]


def _require_names(path: Path, rows: pd.DataFrame) -> None:
    """Refuse a file whose first line is a row: it has a value of its column, or is built as all of them are."""
    for name, values in rows.items():
        forms = set(map(value_form, values))
        built_alike = len(values) >= ROWS_OF_A_FORM and len(forms) == 1 and "9" in value_form(str(name))
        if name in set(map(normal_form, values)) or (built_alike and value_form(str(name)) in forms):
            raise DataError(
                f"{path}: line 1: expected the names of the columns, found {shown(str(name))}, which looks like a "
                "value of its column; write a first line with names"
            )


def _places(path: Path, header: list[str], columns: Sequence[str] | int) -> list[int]:
    if isinstance(columns, int):
        if len(header) < columns:
            raise DataError(f"{path}: expected a header with {columns} columns or more, found {', '.join(header)!r}")
        return list(range(columns))
    columns = [normal_form(name) for name in columns]
    missing = [name for name in columns if name not in header]
    if missing:
        meant = {name: near_name(name, [one for one in header if one not in columns]) for name in missing}
        remedy = [f"rename {shown(other)} to {name}" for name, other in meant.items() if other]
        absent = [name for name, other in meant.items() if not other]
        remedy += [f"add {', '.join(absent)}"] if absent else []
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}, found {', '.join(map(shown, header)) or 'none'}; "
            f"{', '.join(remedy)}"
        )
    return [header.index(name) for name in columns]


def read_second_annotator(path: Path, labels: Sequence[str], form: Form = PLAIN) -> dict[str, str]:
    """Labels of the second annotator by row id: the first column is the id, the second the label; undecided rows
    (no label) are left out.

    Raises:
        DataError: see `read_lines`; or a line without an id, a label that is not a class, or a row labelled twice.
    """
    known = {normal_form(name): name for name in labels}
    found: dict[str, str] = {}
    for line in read_lines(path, 2, form):
        label = unguarded(line.cells[1])
        if not normal_form(label):
            continue
        row = row_id(path, line)
        if row in found:
            raise DataError(f"{path}: line {line.number}: row {shown(row)} is labelled twice; keep one of the lines")
        found[row] = known_class(path, line.number, label, known)
    return found


def second_labels(task: Task, names: RowNames) -> dict[str, str] | None:
    """What the second annotator says of the rows that there are, by what they are called now; None without a file.

    Raises:
        DataError: see `read_second_annotator`; or a row is named so that it can be another one, or in two ways.
    """
    path = label_file(task, "second_annotator")
    if path is None or not path.is_file():
        return None
    found: dict[str, str] = {}
    for written, label in read_second_annotator(path, task.spec.labels, form_beside(task)).items():
        if unclear := names.unclear(written):
            raise DataError(f"{path}: {unclear}")
        if found.setdefault(names.one(written), label) != label:
            raise DataError(f"{path}: row {shown(names.one(written))} has two names and two labels; keep one of them")
    return found


def planted_errors(task: Task, names: RowNames) -> frozenset[str]:
    """Rows that are known to be labelled wrongly, by what they are called now; a file that is not there counts as none.

    Raises:
        DataError: see `read_row_ids`.
    """
    path = label_file(task, "known_errors")
    written = read_row_ids(path, form_beside(task)) if path is not None and path.is_file() else frozenset()
    return frozenset(map(names.one, written))


def row_id(path: Path, line: Line) -> str:
    """The id in the first cell of a line.

    Raises:
        DataError: it is blank.
    """
    found = normal_form(unguarded(line.cells[0]))
    if not found:
        raise DataError(f"{path}: line {line.number}: expected the id of a row, found nothing; add it, or cut the line")
    return found


def known_class(path: Path, line: int, label: str, known: dict[str, str]) -> str:
    """The class that a cell means; `known` maps normalised names to classes.

    Raises:
        DataError: it is not one.
    """
    name = known.get(normal_form(label))
    if name is None:
        near = near_name(label, known.values())
        hint = f" (did you mean {shown(near)}?)" if near else ""
        raise DataError(
            f"{path}: line {line}: expected one of the classes {', '.join(map(shown, known.values()))}, found "
            f"{shown(label) or 'nothing'}{hint}; correct the cell, or add the class under data.classes"
        )
    return name


def read_row_ids(path: Path, form: Form = PLAIN) -> frozenset[str]:
    """Row ids in the first column of a CSV file with a header.

    Raises:
        DataError: see `read_lines`.
    """
    return frozenset(normal_form(line.cells[0]) for line in read_lines(path, 1, form))
