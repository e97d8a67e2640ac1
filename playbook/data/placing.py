"""Where new rows go: by class as far as groups allow, or by time (3.3).

By class: rows come in groups that stay together, and every side is to have its share of each class. Groups are placed
one after the other, the larger ones first, each on the side that lacks its rows most; what is left are single rows,
which are dealt out class by class so that the shares come out to the row. It is the iterative stratification of
Sechidis, Tsoumakas and Vlahavas (ECML PKDD 2011, LNCS 6913, 145-158), whose labels are here the classes of a whole
group. Which of two equal groups comes first follows from the seed and the group's name alone.

By time: the newest groups are test, those before them validation. A group that spans times goes by its newest row, so
that nothing that is trained on is younger than the cut. The cuts are fixed when rows are first divided.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from playbook.data.tables import GROUP, LABEL, SPLIT, TIME

Counts = npt.NDArray[np.float64]
FEW_GROUPS, ORDERS = 50, 10  # up to so many groups, several orders are tried to see what could be reached


def position_of(group: str, seed: int) -> float:
    """Place of a group in [0, 1), uniform over groups, a function of group and seed alone."""
    digest = hashlib.sha256(f"{seed}\0{group}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def by_class(new: pd.DataFrame, placed: pd.DataFrame, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The side of each group of new rows.

    Args:
        new: rows to place, columns `group` and `label`.
        placed: rows that have their side already, columns `label` and `split`; the shares count them in.
        shares: share of all these rows that each side is to have; their sum is 1.
        seed: decides which of two equal groups is placed first.
    """
    if new.empty:
        return {}
    sides = list(shares)
    labels = sorted({*new[LABEL], *placed[LABEL]})
    number = {label: at for at, label in enumerate(labels)}
    have = np.zeros((len(sides), len(labels)))
    for side, label in zip(placed[SPLIT].tolist(), placed[LABEL].tolist(), strict=True):
        if side in shares:
            have[sides.index(side), number[label]] += 1
    groups, code = np.unique(new[GROUP].to_numpy(dtype=object).astype(str), return_inverse=True)
    classes = np.array([number[one] for one in new[LABEL].tolist()])
    total = have.sum(axis=0) + np.bincount(classes, minlength=len(labels))
    state = _State(sides, np.array([shares[side] for side in sides]), total, have)
    size = np.bincount(code)
    place = np.array([position_of(group, seed) for group in groups])
    found = _place_groups(state, code, classes, size, place)
    alone = np.flatnonzero(size == 1)
    own = np.empty(len(groups), dtype=np.int64)
    own[code] = classes
    found |= _deal_out(state, alone, own[alone], place)
    return {str(groups[at]): sides[side] for at, side in found.items()}


class _State:
    """Rows of each class that each side has and is to have, shape (sides, classes)."""

    def __init__(self, sides: Sequence[str], shares: Counts, total: Counts, have: Counts) -> None:
        self.sides, self.shares, self.have = sides, shares, have
        self.wanted = shares[:, None] * total[None, :]

    def neediest(self, classes: npt.NDArray[np.int64], rows: Counts) -> int:
        """The side on which these rows bring the counts nearest to what is wanted, by chi-square.

        All rows together weigh as the root of the number of classes does: else many classes of a few groups each, which
        all round up or all round down, take a side far from its share.
        """
        have, wanted = self.have[:, classes], np.maximum(self.wanted[:, classes], self.shares[:, None])
        worth = (rows * (2 * (have - wanted) + rows) / wanted).sum(axis=1)
        all_have, all_wanted, count = self.have.sum(axis=1), self.wanted.sum(axis=1), rows.sum()
        every = count * (2 * (all_have - all_wanted) + count) / np.maximum(all_wanted, self.shares)
        return int(np.argmin(worth + math.sqrt(self.have.shape[1]) * every))


def _place_groups(state: _State, code: Any, label: Any, size: Any, place: Any) -> dict[int, int]:
    """Groups of several rows: the larger ones first, by powers of two, at random among those of a like size."""
    order = _order(size, place)
    by_group = np.argsort(code, kind="stable")
    ends = np.cumsum(size)
    found = {}
    for at in order.tolist():
        classes, rows = np.unique(label[by_group[ends[at] - size[at] : ends[at]]], return_counts=True)
        side = state.neediest(classes, rows.astype(float))
        state.have[side, classes] += rows
        found[at] = side
    return found


def _order(size: Any, place: Any) -> Any:
    """Groups of several rows in the order in which they are placed."""
    several = np.flatnonzero(size > 1)
    return several[np.lexsort((place[several], -np.floor(np.log2(size[several]))))]


def _deal_out(state: _State, alone: Any, label: Any, place: Any) -> dict[int, int]:
    """Single rows, class by class; what a class cannot give to the row is carried on to the next."""
    found: dict[int, int] = {}
    carried = np.zeros(len(state.sides))
    for one in np.unique(label).tolist():
        rows = alone[label == one]
        rows = rows[np.argsort(place[rows], kind="stable")]
        lacking = np.maximum(state.wanted[:, one] - state.have[:, one], 0.0)
        if lacking.sum() <= 0:
            lacking = state.shares
        exact = lacking * len(rows) / lacking.sum() + carried
        given = _whole(exact, len(rows))
        carried = exact - given
        state.have[:, one] += given
        found |= dict(zip(rows.tolist(), np.repeat(np.arange(len(given)), given).tolist(), strict=True))
    return found


def _whole(exact: Counts, total: int) -> npt.NDArray[np.int64]:
    """Whole numbers of this sum, nearest to the exact ones (largest remainders)."""
    given = np.floor(np.maximum(exact, 0.0) + 1e-9).astype(np.int64)
    while given.sum() > total:
        given[np.argmax(given - exact)] -= 1
    while given.sum() < total:
        given[np.argmax(exact - given)] += 1
    return given


def reachable(sizes: Sequence[int], shares: Mapping[str, float], seed: int) -> dict[str, float]:
    """How near to its share each side comes where groups of these sizes are placed: distances, as shares of all rows.

    Few groups come out well or badly with the order in which they are placed, so the worst of several orders counts.

    Args:
        sizes: rows of each group.
        shares: as for `by_class`.
        seed: as for `by_class`.
    """
    if not sum(sizes):
        return dict.fromkeys(shares, 0.0)
    orders = ORDERS if len(sizes) <= FEW_GROUPS else 1
    found = [_reached(np.asarray(sizes), shares, seed + order) for order in range(orders)]
    return {side: float(distance) for side, distance in zip(shares, np.max(found, axis=0), strict=True)}


def _reached(size: npt.NDArray[np.int64], shares: Mapping[str, float], seed: int) -> Counts:
    """Distance of each side from its share, as `reachable` has it, for one order."""
    total, wanted = float(size.sum()), np.array(list(shares.values()))
    place = np.array([position_of(f"{at}", seed) for at in range(len(size))])
    state = _State(list(shares), wanted, np.array([total]), np.zeros((len(wanted), 1)))
    one_class = np.zeros(1, dtype=np.int64)
    for at in _order(size, place).tolist():
        state.have[state.neediest(one_class, size[at : at + 1].astype(float)), 0] += size[at]
    alone = np.flatnonzero(size == 1)
    _deal_out(state, alone, np.zeros(len(alone), dtype=np.int64), place)
    return np.asarray(np.abs(state.have[:, 0] / total - wanted))


def moment(value: str) -> float:
    """Seconds since 1970 of an ISO date or time, for comparing; one without a zone counts as UTC, none as the first.

    Raises:
        ValueError: it is no ISO date or time.
    """
    if not value:
        return -np.inf
    if len(value) <= 10:
        return datetime.combine(date.fromisoformat(value), time(), UTC).timestamp()
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def newest(rows: pd.DataFrame) -> dict[str, str]:
    """The newest time of each group; empty for a group without any."""
    found: dict[str, str] = {}
    for group, value in zip(rows[GROUP].tolist(), rows[TIME].tolist(), strict=True):
        if group not in found or moment(value) > moment(found[group]):
            found[group] = value
    return found


def cuts_of(rows: pd.DataFrame, shares: Mapping[str, float]) -> dict[str, str]:
    """First moment of test, and of validation before it, by which the shares come out best; groups stay together.

    Args:
        rows: all rows, columns `group` and `time`.
        shares: of the sides that are cut; `train` is what is left.
    """
    latest = newest(rows)
    size = rows[GROUP].value_counts().to_dict()
    weight: dict[str, int] = {}
    for group, value in latest.items():
        if value:
            weight[value] = weight.get(value, 0) + size[group]
    order = sorted(weight, key=moment, reverse=True)
    after = np.cumsum([weight[value] for value in order])
    cuts, wanted, last = {}, 0.0, -1
    for side in ("test", "validation"):
        wanted += shares.get(side, 0.0) * len(rows)
        if side not in shares or last + 1 >= len(order) - 1:
            continue
        last = last + 1 + int(np.argmin(np.abs(after[last + 1 : -1] - wanted)))
        cuts[side] = order[last]
    if "test" in cuts and "validation" in shares and "validation" not in cuts and len(order) > len(shares) - 1:
        test, validation = _both(after[:-1], *(shares[side] * len(rows) for side in ("test", "validation")))
        return {"test": order[test], "validation": order[validation]}
    return cuts


def _both(after: Any, test: float, validation: float) -> tuple[int, int]:
    """Places of both cuts where most rows are of the oldest moment, and test alone would take all the others.

    `after` are the rows from each moment on, the newest first.
    """
    best = (np.inf, 0, 1)
    for one in range(len(after) - 1):
        for two in range(one + 1, len(after)):
            part = after[two] - after[one]
            cost = (after[one] - test) ** 2 / test + (part - validation) ** 2 / validation
            best = min(best, (float(cost), one, two))
            if part > validation:
                break
    return best[1], best[2]


def by_time(rows: pd.DataFrame, cuts: Mapping[str, str]) -> dict[str, str]:
    """The side of each group, by its newest row; a group without any time is train's."""
    first = {side: moment(cuts[side]) for side in ("test", "validation") if side in cuts}
    return {
        group: next((side for side, start in first.items() if value and moment(value) >= start), "train")
        for group, value in newest(rows).items()
    }
