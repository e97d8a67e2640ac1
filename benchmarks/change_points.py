"""Is the day found on which production changed? `playbook.operate.recent.last_change` with known truth.

Its settings were chosen on one replayed year of the sample tickets. Here it looks at Banking77: rows of a hundred days,
drawn at random, and from a known day on a share of each day's rows is of intents that had no row before. Everything is
as packaging does it: features of the frozen base, rows in the order of their days, newest change first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from benchmarks.real_texts import Texts
from playbook.operate.recent import last_change

SEED, DAYS, ROWS_PER_DAY = 23, 100, 10
QUIET, CHANGED = 200, 40  # trials of a line without and with a change
AFTER = ((7, 13), (20, 40), (45, 65))  # days since the change, from and to; each trial draws its own
NEW = ((1, 0.1), (1, 0.2), (5, 0.4))  # intents that are new, and their share of the rows from that day on
FIRST = date(2025, 3, 1)
NEAR = 7  # days
LEAST_OF_INTENT = 160  # rows of an intent that may be new
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """What came of the trials of one line; days are counted from the true day, negative ones are too early."""

    kind: str
    intents: int  # that are new; 0 where nothing changed
    share: float  # of the rows from that day on
    after: tuple[int, int]  # days from the change to the last row, from and to
    trials: int
    found: int  # trials in which a change was found
    near: int  # those of them within a week of the true day
    off: tuple[float, float, float] | None  # 10 %, median and 90 % of the days between the true and the found one


def change_points(texts: Texts, quiet: int = QUIET, changed: int = CHANGED) -> Iterator[Changes]:
    """Without a change first, then every kind of change at every age."""
    yield _line(texts, 0, 0.0, (0, 0), quiet)
    for intents, share in NEW:
        yield from (_line(texts, intents, share, after, changed) for after in AFTER)


def _line(texts: Texts, intents: int, share: float, after: tuple[int, int], trials: int) -> Changes:
    off = []
    for trial in range(trials):
        random = np.random.default_rng([SEED, intents, round(100 * share), after[0], trial])
        since = int(random.integers(after[0], after[1] + 1)) if intents else 0
        found = last_change(texts.figures.take(drawn(texts, intents, share, since, random)), days(), trial)
        if found is not None:
            off.append((date.fromisoformat(found) - FIRST).days - (DAYS - since))
    if not intents or not off:
        return Changes(texts.name, intents, share, after, trials, len(off), 0, None)
    low, middle, high = (float(np.quantile(off, at)) for at in (0.1, 0.5, 0.9))
    near = sum(abs(one) <= NEAR for one in off)
    return Changes(texts.name, intents, share, after, trials, len(off), near, (low, middle, high))


def days() -> list[str]:
    """The day of every row, oldest first."""
    return [(FIRST + timedelta(at // ROWS_PER_DAY)).isoformat() for at in range(DAYS * ROWS_PER_DAY)]


def drawn(texts: Texts, intents: int, share: float, after: int, random: np.random.Generator) -> Rows:
    """Places of the rows of all days, no row twice; `share` of the rows of the last `after` days is of new intents."""
    total, begins = DAYS * ROWS_PER_DAY, (DAYS - after) * ROWS_PER_DAY
    large = np.flatnonzero(np.bincount(texts.truth) >= LEAST_OF_INTENT)
    strange = np.isin(texts.truth, random.permutation(large)[:intents])
    usual, new = random.permutation(np.flatnonzero(~strange)), random.permutation(np.flatnonzero(strange))
    rows = usual[:total].copy()
    places = begins + np.flatnonzero(random.random(total - begins) < share)
    if len(places) > len(new):
        raise ValueError(f"expected {len(places)} rows of new intents, found {len(new)}; ask for more intents")
    rows[places] = new[: len(places)]
    return rows
