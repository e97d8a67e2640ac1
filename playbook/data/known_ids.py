"""By which ids the ledger knows a row (3.3): by its own, and by the file or side that its team brought it in.

Where a team brings its split, row 70 of the training file and row 70 of the test file are two rows, whichever of the
files comes to hold the id, or loses it. A row that leaves one file for another is still one row: it is known by its id,
while no row of its old file has that.

Ledgers of before, and those that are founded on prepared tables, know rows by what they were called: `70`, or
`train/70` where two files had the id at that time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from playbook.data.tables import ASKED, OWN_ID, ROW_ID, SPLIT
from playbook.names import normal_form
from playbook.spec import SPLITS, Data

DIGITS = 12  # hex digits of a mark: among a million rows the chance that two agree is 0.002
Marks = Mapping[str, str]  # mark of an id -> side

_SYNONYMS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def side_called(name: str) -> str:
    """The side that a split column, or the role of a file, means; empty where it is not a name of one."""
    return _SYNONYMS.get(name.strip().casefold(), "")


def mark_of(kind: str, *values: str) -> str:
    """A short hash of what a row is known by."""
    return hashlib.sha256("\0".join((kind, *values)).encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class RowId:
    """What identifies a row.

    Attributes:
        name: what it is called (`playbook.data.row_names`).
        own: the id in its file.
        role: of its file, or the side that its team asked for, as one of `SPLITS`; where a column has several words for
            one side, the word. Empty where the side is not the team's.
        asked: the same as its team wrote it.
    """

    name: str
    own: str
    role: str = ""
    asked: str = ""

    @property
    def mark(self) -> str:
        """What the ledger keeps of it."""
        return mark_of("id", self.role, self.own) if self.role else mark_of("id", self.name)


def row_ids(rows: pd.DataFrame) -> list[RowId]:
    """Ids of raw or cleaned rows; those of prepared tables, which do not say who asked for their side, have no role."""
    names = rows[ROW_ID].tolist()
    if ASKED not in rows or OWN_ID not in rows:
        return [RowId(name, name) for name in names]
    asked = [normal_form(value) for value in rows[ASKED].tolist()]
    roles = {value: side_called(value) for value in set(asked)}
    said = list(roles.values())
    roles = {value: value if side and said.count(side) > 1 else side for value, side in roles.items()}
    every = zip(names, rows[OWN_ID].tolist(), asked, strict=True)
    return [RowId(name, own, roles[value] if own else "", value) for name, own, value in every]


def known_sides(known: Marks, rows: Sequence[RowId]) -> list[str]:
    """The side that each row is known on; empty for a new one."""
    if not known:
        return [""] * len(rows)
    present = {(row.role, row.own) for row in rows}
    cut = not any(side_called(row.role) == "validation" for row in rows)  # validation comes out of the training rows
    return [_known_side(known, row, present, cut) for row in rows]


def _known_side(known: Marks, row: RowId, present: Collection[tuple[str, str]], cut: bool) -> str:
    if not row.role:
        return _side(known, row.name)
    side = _side(known, row.own, row.role) or _left(known, row, present)
    if side:
        return side
    plain, full = _side(known, row.own), _side(known, f"{row.asked}/{row.own}")
    role = side_called(row.role)
    fits = plain == role or (cut and role == "train" and plain == "validation")
    if row.name != row.own:
        return full or (plain if fits else "")
    return plain if fits else full or plain


def _left(known: Marks, row: RowId, present: Collection[tuple[str, str]]) -> str:
    """Side of a row with this id that another file had, and has no more; empty where there is none."""
    found = (_side(known, row.own, role) for role in SPLITS if role != row.role and (role, row.own) not in present)
    return next(filter(None, found), "")


def _side(known: Marks, name: str, role: str = "") -> str:
    """Side of an id; one known as 123 may come as 123.0, of which a table makes decimals, or the other way round."""
    before = ("id", role) if role else ("id",)
    if side := known.get(mark_of(*before, name), ""):
        return side
    prefix, slash, number = name.rpartition("/")
    whole, dot, decimals = number.partition(".")
    if not whole.isdecimal() or decimals.strip("0") or (dot and not decimals):
        return ""
    return known.get(mark_of(*before, prefix + slash + (whole if dot else f"{whole}.0")), "")


def moved_sides(known: Marks, rows: pd.DataFrame, elsewhere: Sequence[str], data: Data) -> list[str]:
    """For each row of prepared tables the side that it was known on, where that is not its `split`; else empty.

    Args:
        known: of the ledger.
        rows: columns `row_id` and `split`.
        elsewhere: for each row another side on which alone its text was seen; else empty.
        data: of the task.
    """
    pairs = zip(rows[ROW_ID].tolist(), rows[SPLIT].tolist(), elsewhere, strict=True)
    return [_moved_from(known, name, side, text, data) for name, side, text in pairs]


def _moved_from(known: Marks, name: str, side: str, text: str, data: Data) -> str:
    roles = roles_of(side, data)
    prefix, _, rest = name.partition("/")
    shared = side_called(prefix) in roles
    ours = [(role, name) for role in roles] + ([(side_called(prefix), rest), (prefix, rest)] if shared else [])
    found = [one for role, own in ours if (one := _side(known, own, role))]
    if roles and not shared and (not found or text):  # no other file has the id now: did another one have this row?
        left = [one for role in SPLITS if role not in roles and (one := _side(known, name, role))]
        if left and not found:
            return left[0] if left[0] != side else ""
        if text in left:
            return text
    found = found or [one for one in (_side(known, name),) if one]
    return found[0] if found and side not in found else ""


def roles_of(side: str, data: Data) -> tuple[str, ...]:
    """Roles that rows of a side can have; none where the team brings no split."""
    if data.source.path is None:
        return ("train",) if side == "validation" and data.source.validation is None else (side,)
    if data.splits.column is None:
        return ()
    return ("validation", "train") if side == "validation" else (side,)
