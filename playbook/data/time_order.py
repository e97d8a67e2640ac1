"""Whether a split by time is one: the newest rows are test, unless rows were divided in another way before (3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from playbook.data.placing import moment, newest
from playbook.data.sides import Sides
from playbook.data.split import how_cut
from playbook.data.tables import GROUP, SPLIT, TIME
from playbook.spec import Data

SOME = 0.05  # of the test rows, that may be older than the cut: production added them, or they were corrected


@dataclass(frozen=True)
class TimeOrder:
    """What stands against it: `faults` of them, in words; none where rows are not divided by time."""

    faults: int = 0
    text: str = "so"


def time_order(rows: pd.DataFrame, sides: Sides, data: Data) -> TimeOrder:
    """Look whether the sides that are cut by time have their cuts, and test has the rows behind its own.

    Args:
        rows: prepared rows with their `split`, `group` and `time`.
        sides: the ledger, which knows the cuts.
        data: of the task.
    """
    if data.splits.by != "time" or how_cut(data) not in ("time", "files"):
        return TimeOrder()
    cut = [side for side in _cut(data) if getattr(data.splits, side) > 0]
    moments = sorted(set(rows[TIME]) - {""}, key=moment)
    lacking = [side for side in cut if side not in sides.cuts]
    if lacking and len(moments) <= len(cut):
        few = f"all rows with a time are of {' and '.join(moments)}" if moments else "no row has a time"
        return TimeOrder(1, f"{few}: no cut can be made for {' and '.join(lacking)}")
    if lacking:
        where = " and ".join(lacking)
        return TimeOrder(1, f"no cut was made for {where}: all rows were known, and divided in another way, before")
    if "test" not in cut:
        return TimeOrder()
    test, start, latest = rows[rows[SPLIT] == "test"], moment(sides.cuts["test"]), newest(rows)
    old = sum(moment(latest[group]) < start for group in test[GROUP].tolist())
    if old <= SOME * len(test):
        return TimeOrder()
    return TimeOrder(
        old, f"{old} of {len(test)} test rows are older than the cut ({sides.cuts['test']}): they were divided before"
    )


def _cut(data: Data) -> tuple[str, ...]:
    if data.source.path is not None:
        return ("test", "validation")
    return ("validation",) if data.source.validation is None else ()
