"""Dividing rows into train, validation and test, once and for good (3.3).

A row's side follows from its group and the seed alone: rows that are added or removed never move another row. Where a
team brings its own split, that split stands.
"""

from __future__ import annotations

import hashlib

import pandas as pd

from playbook.data.accumulated import ACCUMULATED
from playbook.data.duplicates import near_duplicates
from playbook.data.read import ASKED
from playbook.data.tables import DETAIL, GROUP, REASON, ROW_ID, SPLIT, TEXT
from playbook.data.text import comparison_key
from playbook.spec import Data, Splits

UNKNOWN_SPLIT = "unknown split"
EXACT_DUPLICATE = "exact duplicate"
EXACT_ACROSS = "exact duplicate across splits"
NEAR_ACROSS = "near duplicate across splits"
TEXT_GROUP = "text:"  # begins the group of a row that has no group of its own

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
PROTECTED = ("test", "validation", "train")  # of two copies, the one further left stays


def how_cut(data: Data) -> str:
    """Who divides the rows: `files` or `column` of the team, or `hash` (this module)."""
    if data.source.path is None:
        return "files"
    return "column" if data.splits.column else "hash"


def text_group(text: str) -> str:
    """Group of a row without a group: rows of the same text stay together."""
    return TEXT_GROUP + hashlib.sha256(comparison_key(text).encode()).hexdigest()[:16]


def position_of(group: str, seed: int) -> float:
    """Place of a group in [0, 1), uniform over groups, a function of group and seed alone."""
    digest = hashlib.sha256(f"{seed}\0{group}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def side_of(group: str, splits: Splits) -> str:
    """The split of a group where nobody asked for another."""
    place = position_of(group, splits.seed)
    if place < splits.test:
        return "test"
    return "validation" if place < splits.test + splits.validation else "train"


def divide(rows: pd.DataFrame, data: Data) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every row its `split`, and set duplicates aside: (rows, quarantined).

    Of exact duplicates on one side the first stays. Of (near) duplicates on two sides the one in test stays before the
    one in validation before the one in train. With `splits.across_splits: refuse` both stay, for the gate to see; with
    `auto` they do where the team brought the more protected side.
    """
    rows = rows.copy()
    own = [group or text_group(text) for group, text in zip(rows[GROUP], rows[TEXT], strict=True)]
    rows[GROUP] = pd.Series(own, index=rows.index, dtype="str")
    rows[SPLIT] = _sides(rows, data)
    unknown = rows[rows[SPLIT] == ""]
    aside = [_aside(unknown, UNKNOWN_SPLIT, {i: f"the split column says {unknown[ASKED][i]}" for i in unknown.index})]
    rows = rows[rows[SPLIT] != ""]
    rows, copies = _first_copies(rows, brought_sides(data, rows) & {"test"})
    aside.append(copies)
    rows, copies = _added_copies(rows, data.splits.near_duplicate_similarity)
    aside.append(copies)
    refused = {"quarantine": set(), "refuse": set(PROTECTED), "auto": brought_sides(data, rows)}
    rows, copies = _across(rows, data.splits.near_duplicate_similarity, refused[data.splits.across_splits])
    aside.append(copies)
    return rows.reset_index(drop=True), pd.concat(aside, ignore_index=True)


def _sides(rows: pd.DataFrame, data: Data) -> pd.Series:
    splits = data.splits
    if how_cut(data) == "hash":
        return pd.Series([side_of(group, splits) for group in rows[GROUP]], index=rows.index, dtype="str")
    sides = [_SYNONYMS.get(asked.casefold(), "") for asked in rows[ASKED]]
    if "validation" not in sides:
        sides = [
            "validation" if side == "train" and position_of(group, splits.seed) < splits.validation else side
            for side, group in zip(sides, rows[GROUP], strict=True)
        ]
    where = {g: s for g, s, asked in zip(rows[GROUP], sides, rows[ASKED], strict=True) if asked != ACCUMULATED}
    sides = [  # an added row goes where its group is
        where.get(group) or side_of(group, splits) if asked == ACCUMULATED else side
        for side, group, asked in zip(sides, rows[GROUP], rows[ASKED], strict=True)
    ]
    return pd.Series(sides, index=rows.index, dtype="str")


def _aside(rows: pd.DataFrame, reason: str, details: dict[int, str]) -> pd.DataFrame:
    detail = pd.Series([details[i] for i in rows.index], index=rows.index, dtype="str")
    return rows.assign(**{REASON: pd.Series(reason, index=rows.index, dtype="str"), DETAIL: detail})


def brought_sides(data: Data, rows: pd.DataFrame) -> set[str]:
    """Sides of the split that the team brought, which are respected as they are."""
    if how_cut(data) == "hash":
        return set()
    asked = {_SYNONYMS.get(value.casefold(), "") for value in rows[ASKED]}
    return set(PROTECTED) if "validation" in asked else {"test"}


def _first_copies(rows: pd.DataFrame, untouched: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = pd.Series(map(comparison_key, rows[TEXT]), index=rows.index, dtype="str")
    first = rows[ROW_ID].groupby([rows[SPLIT], keys]).transform("first")
    copy = (first != rows[ROW_ID]) & ~rows[SPLIT].isin(untouched)
    details = {i: f"copy of row {first[i]} in {rows[SPLIT][i]}" for i in rows.index[copy]}
    return rows[~copy], _aside(rows[copy], EXACT_DUPLICATE, details)


def _added_copies(rows: pd.DataFrame, similarity: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of copies on two sides, a row that production added gives way to whatever was there before it.

    So an addition takes no row out of train, validation or test, and a model that is trained further is not tested on
    near copies of what it was trained on. Rows are in the order in which they came, the source's first.
    """
    if not (rows[ASKED] == ACCUMULATED).any():
        return rows, _aside(rows[:0], NEAR_ACROSS, {})
    found: dict[int, tuple[str, float, str]] = {}
    for number, side in enumerate(PROTECTED):
        for other in PROTECTED[number + 1 :]:
            one, two = rows[rows[SPLIT] == side], rows[rows[SPLIT] == other]
            for left, right, alike in near_duplicates(one[TEXT].tolist(), two[TEXT].tolist(), similarity):
                later, earlier = sorted((int(one.index[left]), int(two.index[right])), reverse=True)
                if rows[ASKED][later] == ACCUMULATED:
                    found[later] = (str(rows[ROW_ID][earlier]), alike, str(rows[SPLIT][earlier]))
    hit = rows.index.isin(list(found))
    details = {i: f"{found[i][1]:.2f} like row {found[i][0]} in {found[i][2]}" for i in rows.index[hit]}
    return rows[~hit], _aside(rows[hit], NEAR_ACROSS, details)


def _across(rows: pd.DataFrame, similarity: float, refused: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    aside = [_aside(rows[:0], EXACT_ACROSS, {})]
    for less_protected in PROTECTED[1:]:
        for reason, every in copies_elsewhere(rows, less_protected, similarity).items():
            found = {i: copy for i, copy in every.items() if copy[2] not in refused}
            hit = rows.index.isin(list(found))
            details = {i: f"{found[i][1]:.2f} like row {found[i][0]} in {found[i][2]}" for i in rows.index[hit]}
            aside.append(_aside(rows[hit], reason, details))
            rows = rows[~hit]
    return rows, pd.concat(aside)


def copies_elsewhere(rows: pd.DataFrame, side: str, similarity: float) -> dict[str, dict[int, tuple[str, float, str]]]:
    """Rows of one side with a copy on a more protected side: by reason, index -> (row id, similarity, split).

    A row is listed once, with its closest copy; exact before near, test before validation.
    """
    mine = rows[rows[SPLIT] == side]
    exact: dict[int, tuple[str, float, str]] = {}
    near: dict[int, tuple[str, float, str]] = {}
    keys = dict(zip(mine.index.tolist(), map(comparison_key, mine[TEXT]), strict=True))
    for other in PROTECTED[: PROTECTED.index(side)]:
        theirs = rows[rows[SPLIT] == other]
        ids = dict(
            zip(map(comparison_key, reversed(theirs[TEXT].tolist())), reversed(theirs[ROW_ID].tolist()), strict=True)
        )
        exact |= {i: (ids[key], 1.0, other) for i, key in keys.items() if key in ids and i not in exact}
        names = theirs[ROW_ID].tolist()
        for right, left, alike in near_duplicates(theirs[TEXT].tolist(), mine[TEXT].tolist(), similarity):
            i = mine.index[left]
            if i not in near or near[i][1] < alike:
                near[i] = (names[right], alike, other)
    return {EXACT_ACROSS: exact, NEAR_ACROSS: {i: hit for i, hit in near.items() if i not in exact}}
