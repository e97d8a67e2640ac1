"""Dividing rows into train, validation and test, once and for good (3.3).

A row that is known stays on its side (`playbook.data.sides`). A new one goes where its group is, else where it is
placed (`playbook.data.placing`): by class as far as groups allow, or by time. Where a team brings its own split, that
split stands; the gate is red where it moves a known row. Rows that production added are placed by class in any case: a
model that is trained again has to learn from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from playbook.data.accumulated import ACCUMULATED
from playbook.data.duplicates import Comparison
from playbook.data.known_ids import side_called
from playbook.data.placing import by_class, by_time, cuts_of
from playbook.data.sides import PROTECTED, TEXT_GROUP, Sides, text_group
from playbook.data.tables import ASKED, DETAIL, GROUP, LABEL, REASON, ROW_ID, SPLIT, TEXT
from playbook.data.text import duplicate_key, shown
from playbook.spec import Data

UNKNOWN_SPLIT = "unknown split"
EXACT_DUPLICATE = "exact duplicate"
EXACT_ACROSS = "exact duplicate across splits"
NEAR_ACROSS = "near duplicate across splits"
GROUP_ACROSS = "group on two sides"

_OURS = "ours"  # stands for a side that nobody asked for


def how_cut(data: Data) -> str:
    """Who divides the rows: `files` or `column` of the team, or this module by `class` or `time`."""
    if data.source.path is None:
        return "files"
    return "column" if data.splits.column else data.splits.by or "class"


def we_divide(data: Data) -> bool:
    """Whether nobody brought a split."""
    return how_cut(data) in ("class", "time")


def shares_of(data: Data, sides: Sequence[str] = PROTECTED) -> dict[str, float]:
    """The share of each side among rows that go to these sides; validation's is of what is not test."""
    asked = {"test": data.splits.test, "validation": data.splits.validation}
    return {side: asked[side] if side != "train" else 1.0 - sum(asked[s] for s in sides if s != side) for side in sides}


def divide(rows: pd.DataFrame, data: Data, sides: Sides | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every row its `split`, and set duplicates aside: (rows, quarantined).

    Of exact duplicates on one side the first stays. Of (near) duplicates on two sides the one in test stays before the
    one in validation before the one in train. Of a group on two sides, which comes of a row whose group changed or a
    group column that came later, the larger part stays. With `splits.across_splits: refuse` all stay, for the gate to
    see; with `auto` they do where the team brought the more protected side.

    Args:
        rows: cleaned rows.
        data: of the task.
        sides: what is known of sides; the sides of these rows are added to it.
    """
    sides = Sides() if sides is None else sides
    rows = rows.copy()
    own = [group or text_group(text) for group, text in zip(rows[GROUP].tolist(), rows[TEXT].tolist(), strict=True)]
    rows[GROUP] = pd.Series(own, index=rows.index, dtype="str")
    rows[SPLIT] = pd.Series(_sides(rows, data, sides), index=rows.index, dtype="str")
    sides.add(rows, data)
    unknown = rows[rows[SPLIT] == ""]
    aside = [_aside(unknown, UNKNOWN_SPLIT, {i: f"the split column says {unknown[ASKED][i]}" for i in unknown.index})]
    rows = rows[rows[SPLIT] != ""]
    rows, copies = _first_copies(rows, brought_sides(data, rows) & {"test"})
    aside.append(copies)
    refused = {"quarantine": set(), "refuse": set(PROTECTED), "auto": brought_sides(data, rows)}
    kept = refused[data.splits.across_splits]
    rows, parts = _groups_apart(rows, kept | brought_sides(data, rows))
    aside.append(parts)
    compared = Compared(rows, data.splits.near_duplicate_similarity)
    rows, copies = _added_copies(rows, compared)
    aside.append(copies)
    rows, copies = _across(rows, compared, kept)
    aside.append(copies)
    return rows.reset_index(drop=True), pd.concat(aside, ignore_index=True)


class _Pool(NamedTuple):
    """Rows that are placed among each other: the sides that they may go to, none where the team says it; by what."""

    sides: tuple[str, ...]
    by: str = "class"


def _sides(rows: pd.DataFrame, data: Data, sides: Sides) -> list[str]:
    """The side of each row: what the team says, else what is known, else where it is placed; '' for no split's name."""
    brought, pools = _brought(rows, data)
    found = [
        (side if side in pool.sides else "train") if said == _OURS and side else said
        for said, side, pool in zip(brought, sides.known(rows, data), pools, strict=True)
    ]
    where, groups = _where_groups_are(rows, found), rows[GROUP].tolist()
    found = [
        where[group] if side == _OURS and where.get(group) in pool.sides else side
        for side, group, pool in zip(found, groups, pools, strict=True)
    ]
    for pool in dict.fromkeys(pools):
        among = np.array([own == pool for own in pools], dtype=bool)
        new = among & (np.array(found, dtype=object) == _OURS)
        if new.any():
            placed = _place(rows.assign(**{SPLIT: found})[among], new[among], data, sides, pool)
            found = [
                placed[group] if is_new else side
                for side, group, is_new in zip(found, groups, new.tolist(), strict=True)
            ]
    return found


def _brought(rows: pd.DataFrame, data: Data) -> tuple[list[str], list[_Pool]]:
    """What the team says of each row (or that it is ours to say), and among which rows it is then placed."""
    by = data.splits.by or "class"
    added = [asked == ACCUMULATED for asked in rows[ASKED].tolist()]
    if we_divide(data):
        return [_OURS] * len(rows), [_Pool(PROTECTED, "class" if own else by) for own in added]
    said = [side_called(asked) for asked in rows[ASKED].tolist()]
    cut = "validation" not in said
    ours = [own or (cut and side == "train") for own, side in zip(added, said, strict=True)]
    train = _Pool(("validation", "train"), by)
    pools = [_Pool(PROTECTED) if own else train if mine else _Pool(()) for own, mine in zip(added, ours, strict=True)]
    return [_OURS if mine else side for mine, side in zip(ours, said, strict=True)], pools


def _where_groups_are(rows: pd.DataFrame, found: Sequence[str]) -> dict[str, str]:
    """The most protected side that each group has rows on already."""
    where: dict[str, str] = {}
    for side in PROTECTED:
        for group, own in zip(rows[GROUP].tolist(), found, strict=True):
            if own == side:
                where.setdefault(group, side)
    return where


def _place(rows: pd.DataFrame, new: npt.NDArray[np.bool_], data: Data, sides: Sides, pool: _Pool) -> dict[str, str]:
    """The side of each group of new rows of a pool."""
    shares = shares_of(data, pool.sides)
    if pool.by == "time":
        for side, first in cuts_of(rows, shares).items():
            sides.cuts.setdefault(side, first)
        return by_time(rows[new], {side: first for side, first in sides.cuts.items() if side in pool.sides})
    sides.ask(shares)
    return by_class(rows.loc[new, [GROUP, LABEL]], rows.loc[~new, [LABEL, SPLIT]], shares, data.splits.seed)


def _aside(rows: pd.DataFrame, reason: str, details: dict[int, str]) -> pd.DataFrame:
    detail = pd.Series([details[i] for i in rows.index], index=rows.index, dtype="str")
    return rows.assign(**{REASON: pd.Series(reason, index=rows.index, dtype="str"), DETAIL: detail})


def brought_sides(data: Data, rows: pd.DataFrame) -> set[str]:
    """Sides of the split that the team brought, which are respected as they are."""
    if we_divide(data):
        return set()
    asked = {side_called(value) for value in rows[ASKED].tolist()}
    return set(PROTECTED) if "validation" in asked else {"test"}


def _first_copies(rows: pd.DataFrame, untouched: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = pd.Series(map(duplicate_key, rows[TEXT].tolist()), index=rows.index, dtype="str")
    first = rows[ROW_ID].groupby([rows[SPLIT], keys]).transform("first")
    copy = (first != rows[ROW_ID]) & ~rows[SPLIT].isin(untouched)
    details = {i: f"copy of row {first[i]} in {rows[SPLIT][i]}" for i in rows.index[copy]}
    return rows[~copy], _aside(rows[copy], EXACT_DUPLICATE, details)


def _groups_apart(rows: pd.DataFrame, kept: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of a group of the team's own on two sides the smaller part is set aside, except from sides that are kept."""
    own = rows[~rows[GROUP].str.startswith(TEXT_GROUP)]
    count = own.groupby([GROUP, SPLIT]).size()
    spread = count.groupby(level=0).size()
    found: dict[int, str] = {}
    for group in spread[spread > 1].index:
        parts = {side: int(n) for side, n in count[group].items()}
        stays = max(parts, key=lambda side: (side in kept, parts[side], -PROTECTED.index(side)))
        for i in own.index[own[GROUP] == group]:
            if rows[SPLIT][i] != stays and rows[SPLIT][i] not in kept:
                found[i] = f"group {shown(group)} has {parts[stays]} rows in {stays}, {parts[rows[SPLIT][i]]} here"
    hit = rows.index.isin(list(found))
    return rows[~hit], _aside(rows[hit], GROUP_ACROSS, found)


class Compared:
    """Rows whose texts were read once, to find near duplicates between any two parts of them.

    Rows of two classes are never near copies: what their texts differ in is what their labels are about, and a model
    that learned one of them answers the other wrongly, which makes no score too good.

    Args:
        rows: with `text` and `label`; parts of it are asked for by index later.
        similarity: see `Comparison.near`.
    """

    def __init__(self, rows: pd.DataFrame, similarity: float | None) -> None:
        texts = rows[TEXT].tolist()
        self._comparison = Comparison(texts)
        self._keys = list(map(duplicate_key, texts))
        self._labels = rows[LABEL].tolist()
        self._index = rows.index
        self._similarity = similarity

    def keys(self, part: pd.DataFrame) -> list[str]:
        """What exact duplicates of each row have in common."""
        return [self._keys[at] for at in self._index.get_indexer(part.index).tolist()]

    def near(self, one: pd.DataFrame, two: pd.DataFrame) -> list[tuple[int, int, float]]:
        """Index of a row of each part, and how alike the two are."""
        left, right = self._index.get_indexer(one.index), self._index.get_indexer(two.index)
        pairs = self._comparison.near(left.tolist(), right.tolist(), self._similarity)
        same = (pair for pair in pairs if self._labels[pair.left] == self._labels[pair.right])
        return [(int(self._index[a]), int(self._index[b]), alike) for a, b, alike in same]


def _added_copies(rows: pd.DataFrame, compared: Compared) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of copies on two sides, a row that production added gives way to whatever was there before it.

    So an addition takes no row out of train, validation or test, and a model that is trained further is not tested on
    near copies of what it was trained on. Rows are in the order in which they came, the source's first.
    """
    if not (rows[ASKED] == ACCUMULATED).any():
        return rows, _aside(rows[:0], NEAR_ACROSS, {})
    found: dict[int, tuple[str, float, str]] = {}
    for number, side in enumerate(PROTECTED):
        for other in PROTECTED[number + 1 :]:
            for left, right, alike in compared.near(rows[rows[SPLIT] == side], rows[rows[SPLIT] == other]):
                later, earlier = sorted((left, right), reverse=True)
                if rows[ASKED][later] == ACCUMULATED:
                    found[later] = (str(rows[ROW_ID][earlier]), alike, str(rows[SPLIT][earlier]))
    hit = rows.index.isin(list(found))
    details = {i: f"{found[i][1]:.2f} like row {found[i][0]} in {found[i][2]}" for i in rows.index[hit]}
    return rows[~hit], _aside(rows[hit], NEAR_ACROSS, details)


def _across(rows: pd.DataFrame, compared: Compared, refused: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    aside = [_aside(rows[:0], EXACT_ACROSS, {})]
    for less_protected in PROTECTED[1:]:
        for reason, every in copies_elsewhere(rows, less_protected, compared).items():
            found = {i: copy for i, copy in every.items() if copy[2] not in refused}
            hit = rows.index.isin(list(found))
            details = {i: f"{found[i][1]:.2f} like row {found[i][0]} in {found[i][2]}" for i in rows.index[hit]}
            aside.append(_aside(rows[hit], reason, details))
            rows = rows[~hit]
    return rows, pd.concat(aside)


def copies_elsewhere(rows: pd.DataFrame, side: str, compared: Compared) -> dict[str, dict[int, tuple[str, float, str]]]:
    """Rows of one side with a copy on a more protected side: by reason, index -> (row id, similarity, split).

    A row is listed once, with its closest copy; exact before near, test before validation.
    """
    mine = rows[rows[SPLIT] == side]
    exact: dict[int, tuple[str, float, str]] = {}
    near: dict[int, tuple[str, float, str]] = {}
    keys = dict(zip(mine.index.tolist(), compared.keys(mine), strict=True))
    for other in PROTECTED[: PROTECTED.index(side)]:
        theirs = rows[rows[SPLIT] == other]
        names = dict(zip(theirs.index.tolist(), theirs[ROW_ID].tolist(), strict=True))
        ids = dict(zip(reversed(compared.keys(theirs)), reversed(list(names.values())), strict=True))
        exact |= {i: (ids[key], 1.0, other) for i, key in keys.items() if key in ids and i not in exact}
        for right, i, alike in compared.near(theirs, mine):
            if i not in near or near[i][1] < alike:
                near[i] = (names[right], alike, other)
    return {EXACT_ACROSS: exact, NEAR_ACROSS: {i: hit for i, hit in near.items() if i not in exact}}
