"""How near a split comes to the fractions that were asked for, and how near it could come (3.3).

Rows come in groups, and a group is on one side: 100 customers of 10 rows can be divided to the row, 7 customers cannot.
The tolerance is what could be reached, found by placing groups of these sizes, and what chance does to a split that
was sound once: rows come and go, and a split from before rows were placed by class was drawn group by group. That is
3.3 standard deviations of such a draw, one in a thousand, but never more than half of the fraction that was asked for
(or 5 %, if that is more): a split with twice the test rows is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from playbook.data.placing import newest, reachable
from playbook.data.sides import Sides
from playbook.data.split import how_cut, shares_of, we_divide
from playbook.data.tables import GROUP, SPLIT
from playbook.spec import SPLITS, Data
from playbook.taskfile import Task

DEVIATIONS = 3.3
LEAST_CAP = 0.05


def fractions(rows: pd.DataFrame, quarantine: pd.DataFrame, sides: Sides, task: Task) -> pd.DataFrame:
    """One row per split: `rows`, `fraction`, `asked` now, `distance`, `tolerance`, `beyond`, `beyond_now`.

    Known rows do not move when other fractions are asked for, so `distance` is from the range of all that was ever
    asked for. It is the smaller one of prepared rows, and of these with the rows that were set aside. `beyond` is by
    how much it exceeds the tolerance, `beyond_now` the same from what is asked for now.

    Args:
        rows: prepared rows with their `split`.
        quarantine: rows set aside, with the `split` that they would have.
        sides: the ledger, which knows what was asked for before.
        task: the task.
    """
    data = task.spec.data
    every = pd.concat([rows, quarantine.reindex(columns=rows.columns)], ignore_index=True)
    found = [_of(part, data) for part in (rows, every[every[SPLIT].isin(SPLITS)])]
    now = _asked(data, rows)
    ranges = _ranges(now, sides)
    tolerance = _tolerances(rows, now, data)
    out = []
    for split in SPLITS:
        counts = [part[split] for part in found]
        low, high = ranges.get(split, (0.0, 1.0))
        near = [max(low - fraction, fraction - high, 0.0) for fraction in counts]
        asked = now.get(split, counts[0])
        allowed = tolerance.get(split, 1.0)
        beyond = max(min(near) - allowed, 0.0)
        beyond_now = 0.0 if beyond else max(min(abs(fraction - asked) for fraction in counts) - allowed, 0.0)
        number = int((rows[SPLIT] == split).sum())
        out.append((split, number, counts[0], asked, min(near), allowed, beyond, beyond_now))
    names = [SPLIT, "rows", "fraction", "asked", "distance", "tolerance", "beyond", "beyond_now"]
    return pd.DataFrame(out, columns=names)


def _of(rows: pd.DataFrame, data: Data) -> dict[str, float]:
    total = max(len(rows), 1)
    return {split: int((rows[SPLIT] == split).sum()) / total for split in SPLITS}


def _ours(data: Data, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that we divide: all, or those of the team's own training file."""
    if we_divide(data):
        return rows
    return rows[rows[SPLIT] != "test"] if how_cut(data) == "files" and data.source.validation is None else rows[:0]


def _asked(data: Data, rows: pd.DataFrame) -> dict[str, float]:
    """Fractions of all rows that are asked for now, of the sides that we cut; of no other side is any known."""
    own = _ours(data, rows)
    if own.empty:
        return {}
    shares = shares_of(data) if we_divide(data) else shares_of(data, ("validation", "train"))
    return {side: share * len(own) / len(rows) for side, share in shares.items()}


def _ranges(now: Mapping[str, float], sides: Sides) -> dict[str, tuple[float, float]]:
    """The least and the most that was ever asked for of each side."""
    scale = sum(now.values())
    every = [now, *({s: x * scale for s, x in one.items()} for one in sides.shares if set(one) == set(now))]
    return {side: (min(one[side] for one in every), max(one[side] for one in every)) for side in now}


def _tolerances(rows: pd.DataFrame, now: Mapping[str, float], data: Data) -> dict[str, float]:
    if data.gate.split_tolerance is not None:
        return dict.fromkeys(SPLITS, data.gate.split_tolerance)
    own = _ours(data, rows)
    if own.empty:
        return {}
    if data.splits.by == "time":
        sizes = own[GROUP].map(newest(own)).value_counts().tolist()
        reach = dict.fromkeys(now, max(sizes) / len(rows))
    else:
        sizes = own[GROUP].value_counts().tolist()
        scale = len(own) / len(rows)
        shares = {side: fraction / scale for side, fraction in now.items()}
        reach = {side: gap * scale for side, gap in reachable(sizes, shares, data.splits.seed).items()}
    spread = math.sqrt(sum(size * size for size in sizes)) / len(rows)
    return {
        side: reach[side]
        + min(DEVIATIONS * spread * math.sqrt(asked * (1 - asked)), max(LEAST_CAP, asked / 2))
        + 1 / len(rows)
        for side, asked in now.items()
    }
