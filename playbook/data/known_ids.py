"""The ids that the ledger knows rows by (3.3): each in the file, or under the side, that the team brought it in.

Where a team brings its split, row 70 of the training file and row 70 of the test file are two rows, whichever of the
files comes to hold the id, or loses it. A row that leaves one file for another stays the same row, as long as no row of
its old file has its id.

Older ledgers, and those that are founded on prepared tables, know rows by what they were called: `70`, or `train/70`
where two files had the id at that time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from playbook.data.tables import ASKED, OWN_ID, ROW_ID, SHARED_BY, SPLIT
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
        role: of its file, or the side that its team asked for, as one of `SPLITS`; the team's word for it where rows
            under two words for one side have this id. Empty where the side is not the team's.
        asked: the same as the team wrote it.
        shared_by: all sides that rows with this id were asked for.
    """

    name: str
    own: str
    role: str = ""
    asked: str = ""
    shared_by: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        """What the ledger keeps of it."""
        return mark_of("id", self.role, self.own) if self.role else mark_of("id", self.name)


def row_ids(rows: pd.DataFrame) -> list[RowId]:
    """Ids of raw or cleaned rows; those of prepared tables, which do not say who asked for their side, have no role."""
    names = rows[ROW_ID].tolist()
    if ASKED not in rows or OWN_ID not in rows or SHARED_BY not in rows:
        return [RowId(name, name) for name in names]
    own, asked = rows[OWN_ID].tolist(), [normal_form(value) for value in rows[ASKED].tolist()]
    sides = {value: side_called(value) for value in set(asked)}
    words: dict[tuple[str, str], set[str]] = {}
    for name, value in zip(own, asked, strict=True):
        words.setdefault((sides[value], name), set()).add(value)
    return [
        RowId(
            name=name,
            own=one or name,
            role=(sides[value] if len(words[sides[value], one]) == 1 else value) if one and sides[value] else "",
            asked=value,
            shared_by=frozenset(shared.split()),
        )
        for name, one, value, shared in zip(names, own, asked, rows[SHARED_BY].tolist(), strict=True)
    ]


def known_sides(known: Marks, rows: Sequence[RowId]) -> list[str]:
    """The side that each row is known on; empty for a new one."""
    if not known:
        return [""] * len(rows)
    cut = not any(side_called(row.role) == "validation" for row in rows)  # validation comes out of the training rows
    return [_known_side(known, row, cut) for row in rows]


def _known_side(known: Marks, row: RowId, cut: bool) -> str:
    if not row.role:
        return _side(known, row.name) or _of_any_role(known, row.own)
    if side := _side(known, row.own, row.role):
        return side
    role = side_called(row.role)
    plain, full = _side(known, row.own), _side(known, f"{row.asked}/{row.own}") or _side(known, f"{role}/{row.own}")
    fits = plain == role or (cut and role == "train" and plain == "validation")
    left = next(filter(None, (_side(known, row.own, other) for other in SPLITS if other not in row.shared_by)), "")
    if row.name != row.own:
        return full or left or (plain if fits else "")
    if full:
        return plain if fits else full
    return left or plain


def _of_any_role(known: Marks, own: str) -> str:
    """Side of a row that a team brought, in files or under a column, before it left the split to us."""
    return next(filter(None, (_side(known, own, role) for role in SPLITS)), "")


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
    if roles and text:  # the text of a row that another file had under this id: it took the place of the row here
        before = [_side(known, rest)] if shared else [_side(known, name, role) for role in SPLITS]
        if text in before:
            return text
    if roles and not shared and not found:  # no other file has the id now: it may have had this row
        found = [one for role in SPLITS if role not in roles and (one := _side(known, name, role))]
    found = found or [one for one in (_side(known, name) or ("" if roles else _of_any_role(known, name)),) if one]
    return found[0] if found and side not in found else ""


def roles_of(side: str, data: Data) -> tuple[str, ...]:
    """Roles that rows of a side can have; none where the team brings no split."""
    if data.source.path is None:
        return ("train",) if side == "validation" and data.source.validation is None else (side,)
    if data.splits.column is None:
        return ()
    return ("validation", "train") if side == "validation" else (side,)
