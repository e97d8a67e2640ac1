"""What recognises the rows of an opened test split later, without keeping what they say: hashes of ids and texts.

A row was opened before where

- its text was: the same letters, numbers and symbols in the same order, whatever their case, punctuation and blanks
  (`playbook.data.text.comparison_key`, by which the data play finds duplicates too). Other ids, another order, another
  file, another label make no fresh row of it; or
- its id was, and the text under it is much the same: one that had a typo corrected, a signature cut off, a number
  masked. How much two texts are alike is estimated from sketches (SimHash: Charikar, Similarity estimation techniques
  from rounding algorithms, STOC 2002) of their runs of four letters.

An id alone says nothing: ids that are row numbers start again in every file. Two limits follow. Fresh texts from one
template ("disk full on host 12") under row numbers count as opened where number and template meet; ids of the team's
own, or a waiver, help there. And whoever rewrites every text, or edits each a little and gives it another id, is not
found out: near copies under other ids cannot be told from fresh texts of one template. The first opening stays on
record all the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from playbook.data.tables import ROW_ID, TEXT
from playbook.data.text import clean_text, comparison_key, comparison_words
from playbook.durable import sync_folder
from playbook.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd

MARKED = (ROW_ID, TEXT)  # columns that a row is recognised by
DIGITS = 16  # hex digits of a mark: among a million rows the chance that two agree is 3e-8
FORMAT = 2  # of the record; the first one kept ids and texts as they were spelled, and no sketches
RUN = 4  # letters of a run
BITS = 128  # of a sketch
ALIKE = (
    0.6  # least cosine of two sets of runs: one typo in a text of 20 letters leaves 0.8, two strangers have 0.1 to 0.3
)
MOST_APART = math.floor(BITS * math.acos(ALIKE) / math.pi)  # bits in which sketches of texts that are alike differ


class RowMark(NamedTuple):
    """What recognises one row; a part that is blank recognises nothing."""

    row_id: str
    text: str
    sketch: str  # hex
    spelled: str = ""  # of the text as it is spelled, by which the first format knows a row


class OpenedMarks:
    """Rows that openings read.

    Args:
        marks: of all those rows, in any order.
    """

    def __init__(self, marks: Iterable[RowMark]) -> None:
        self._texts: set[str] = set()
        self._spelled: set[str] = set()
        self._sketches: dict[str, set[str]] = {}
        for mark in marks:
            self._texts.add(mark.text)
            self._spelled.add(mark.spelled)
            self._sketches.setdefault(mark.row_id, set()).add(mark.sketch)
        self._texts.discard("")
        self._spelled.discard("")

    def has(self, row: RowMark) -> bool:
        """Whether a row was read before."""
        if row.text in self._texts or row.spelled in self._spelled:
            return True
        return bool(row.row_id) and any(_alike(row.sketch, other) for other in self._sketches.get(row.row_id, ()))

    def count(self, rows: Sequence[RowMark]) -> int:
        """How many of the rows were read before."""
        return sum(self.has(row) for row in rows)


def row_marks(frame: pd.DataFrame) -> list[RowMark]:
    """Marks of each row, as far as the table has the columns `row_id` and `text`."""
    blank = [""] * len(frame)
    ids, texts = (frame[name].astype(str).tolist() if name in frame else blank for name in MARKED)
    sketches = _sketches(texts)
    return [
        RowMark(_mark(ROW_ID, name), _mark("key", _key(text)), sketch, _mark(TEXT, " ".join(text.split())))
        for name, text, sketch in zip(ids, texts, sketches, strict=True)
    ]


def are_kept(ledger: Path, test_sha256: str) -> bool:
    """Whether the marks of a split are on record beside the ledger, and can be read."""
    try:
        marks_of(ledger, test_sha256)
    except ArtifactError:
        return False
    return True


def keep_marks(ledger: Path, test_sha256: str, marks: Sequence[RowMark]) -> None:
    """Put the marks of a split on record beside the ledger, on disk when this returns.

    Raises:
        OSError: they cannot be written.
    """
    path = _place(ledger, test_sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, "rows": [mark[:3] for mark in marks]}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def marks_of(ledger: Path, test_sha256: str) -> tuple[RowMark, ...]:
    """Marks of all rows of an opened split.

    Raises:
        ArtifactError: they are no longer on record.
    """
    path = _place(ledger, test_sha256)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, list):  # the first format: the mark of the id is left out, because alone it says nothing
            return tuple(RowMark("", "", "", str(row[-1])) for row in kept)
        return tuple(RowMark(*map(str, row)) for row in kept["rows"])
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        raise ArtifactError(
            f"{path}: expected the rows of an opened test split, found nothing that can be read; restore the file, or "
            "put the values that were locked by that opening back into the task file"
        ) from None


def _place(ledger: Path, test_sha256: str) -> Path:
    return ledger.with_name("opened_rows") / f"{test_sha256}.json"


def _mark(what: str, value: str) -> str:
    return hashlib.sha256(f"{what}\0{value}".encode()).hexdigest()[:DIGITS] if value else ""


def _key(text: str) -> str:
    return comparison_key(text) or clean_text(text)  # "?!" has no letter to compare


def _alike(first: str, second: str) -> bool:
    return bool(first and second) and (int(first, 16) ^ int(second, 16)).bit_count() <= MOST_APART


def _sketches(texts: Sequence[str]) -> list[str]:
    """A sketch of each text, as hex; blank for a text without letters."""
    signs: dict[str, npt.NDArray[np.int8]] = {}
    found = []
    for text in texts:
        words = comparison_words(text)
        runs = {words[at : at + RUN] for at in range(max(len(words) - RUN, 0) + 1)} if words else set()
        for run in runs - signs.keys():
            digest = hashlib.blake2b(run.encode(), digest_size=BITS // 8).digest()
            signs[run] = 2 * np.unpackbits(np.frombuffer(digest, dtype=np.uint8)).astype(np.int8) - 1
        total = np.sum([signs[run] for run in sorted(runs)], axis=0, dtype=np.int32) if runs else None
        found.append("" if total is None else np.packbits(total > 0).tobytes().hex())
    return found
