"""CSV files that people open in a spreadsheet: no cell runs there, and no reader sees a part of one."""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

# A spreadsheet takes a cell that begins like this for a formula (OWASP, CSV Injection).
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.,]+")
_QUOTED = re.compile(r"'+[=+\-@\t\r]")


def guarded(cell: str) -> str:
    """A cell that no spreadsheet runs: one that begins like a formula gets a quote before it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell as it was before `guarded`."""
    return cell[1:] if _QUOTED.match(cell) else cell


def formulas(cells: Iterable[str]) -> list[str]:
    """Cells that a spreadsheet takes for formulas, numbers with a sign not counted."""
    return [cell for cell in cells if _FORMULA.match(cell) and not cell.startswith("'") and not _NUMBER.fullmatch(cell)]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A CSV file with a header, plain newlines, and cells that no spreadsheet runs."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return target.getvalue()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
