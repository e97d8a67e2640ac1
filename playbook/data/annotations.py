"""Small CSV files about rows: what a second person labelled, which labels were corrected. Every fault has its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playbook.data.text import shown
from playbook.errors import DataError
from playbook.names import near_name, normal_form
from playbook.taskfile import Task

LabelFile = Literal["second_annotator", "guideline", "corrections", "known_errors"]


@dataclass(frozen=True)
class Line:
    """One row of such a file: the line on which it ends, and its cells in the order of the header."""

    number: int
    cells: tuple[str, ...]


def label_file(task: Task, part: LabelFile) -> Path | None:
    """Where a file of `data.labels` lies, or None where the task file names none."""
    place: str | None = getattr(task.spec.data.labels, part)
    return None if place is None else Path(task.resolve(place))


def read_lines(path: Path, columns: Sequence[str] | int, content: bytes | None = None) -> list[Line]:
    """Rows of a CSV file that has the named columns (in any order), or at least so many of them.

    Cells come in the order of `columns`, without outer blanks; blank lines are left out. `content` is what the file
    holds, where that was read before.

    Raises:
        DataError: the file is missing, not UTF-8, malformed, or lacks a column.
    """
    try:
        text = (path.read_bytes() if content is None else content).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), _dialect(text), strict=True)
        header = [normal_form(name) for name in next(reader, [])]
        places = _places(path, header, columns)
        return [_line(path, reader.line_num, cells, places) for cells in reader if any(c.strip() for c in cells)]
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; check data.labels in the task file (paths are relative to it)"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected UTF-8 text, found other bytes; save the file as CSV in UTF-8") from None
    except (csv.Error, OSError) as error:
        raise DataError(f"{path}: not readable as CSV ({error}); save it as CSV with commas again") from None


def _dialect(text: str) -> type[csv.excel]:
    """Commas, or the semicolons that spreadsheets write where the comma is the decimal mark."""
    header = text.split("\n", 1)[0]

    class Semicolons(csv.excel):
        delimiter = ";"

    return Semicolons if ";" in header and "," not in header else csv.excel


def _places(path: Path, header: list[str], columns: Sequence[str] | int) -> list[int]:
    if isinstance(columns, int):
        if len(header) < columns:
            raise DataError(f"{path}: expected a header with {columns} columns or more, found {', '.join(header)!r}")
        return list(range(columns))
    columns = [normal_form(name) for name in columns]
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}, found {', '.join(map(shown, header)) or 'none'}; "
            f"add {', '.join(missing)}"
        )
    return [header.index(name) for name in columns]


def _line(path: Path, number: int, cells: list[str], places: list[int]) -> Line:
    if len(cells) <= max(places):
        raise DataError(f"{path}: line {number}: expected {max(places) + 1} cells or more, found {len(cells)}")
    return Line(number, tuple(cells[place].strip() for place in places))


def read_second_annotator(path: Path, labels: Sequence[str]) -> dict[str, str]:
    """Labels of the second annotator by row id: the first column is the id, the second the label; undecided rows
    (no label) are left out.

    Raises:
        DataError: see `read_lines`; or a label that is no class, or a row labelled twice (with the line).
    """
    known = {normal_form(name): name for name in labels}
    found: dict[str, str] = {}
    for line in read_lines(path, 2):
        row, label = normal_form(line.cells[0]), line.cells[1]
        if row in found:
            raise DataError(f"{path}: line {line.number}: row {shown(row)} is labelled twice; keep one of the lines")
        if normal_form(label):
            found[row] = known_class(path, line.number, label, known)
    return found


def known_class(path: Path, line: int, label: str, known: dict[str, str]) -> str:
    """The class that a cell means; `known` maps normalised names to classes.

    Raises:
        DataError: it is none.
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


def read_row_ids(path: Path) -> frozenset[str]:
    """Row ids in the first column of a CSV file with a header.

    Raises:
        DataError: see `read_lines`.
    """
    return frozenset(normal_form(line.cells[0]) for line in read_lines(path, 1))
