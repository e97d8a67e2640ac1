"""What recognises the rows of an opened test split later, without keeping what they say: hashes of ids and texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.data.tables import ROW_ID, TEXT
from playbook.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd

MARKED = (ROW_ID, TEXT)  # columns that a row is recognised by
DIGITS = 16  # hex digits of a mark: among a million rows the chance that two agree is 3e-8


def row_marks(frame: pd.DataFrame) -> list[list[str]]:
    """Marks of each row: one for its id, one for its text, as far as the table has the column."""
    columns = [name for name in MARKED if name in frame]
    rows = zip(*(frame[name].astype(str) for name in columns), strict=True)
    return [[_mark(name, text) for name, text in zip(columns, row, strict=True)] for row in rows]


def keep_marks(ledger: Path, test_sha256: str, frame: pd.DataFrame) -> None:
    """Put the marks of an opened split on record beside the ledger; what is there already stays."""
    path = _place(ledger, test_sha256)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(row_marks(frame)), encoding="utf-8")
    part.replace(path)


def marks_of(ledger: Path, test_sha256: str) -> frozenset[str]:
    """All marks of an opened split.

    Raises:
        ArtifactError: they are no longer on record.
    """
    path = _place(ledger, test_sha256)
    try:
        rows: Iterable[list[str]] = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(mark for row in rows for mark in row)
    except (OSError, ValueError, TypeError):
        raise ArtifactError(
            f"{path}: expected the rows of an opened test split, found nothing that can be read; restore the file, or "
            "put the values that were locked by that opening back into the task file"
        ) from None


def _place(ledger: Path, test_sha256: str) -> Path:
    return ledger.with_name("opened_rows") / f"{test_sha256}.json"


def _mark(column: str, text: str) -> str:
    return hashlib.sha256(f"{column}\0{' '.join(text.split())}".encode()).hexdigest()[:DIGITS]
