"""What of the held-out rows is like production today: the newest rows, as far back as nothing changed (6.9).

After a round the held-out rows are those of the first data and those that production added. Where production has
changed in between, most of them are of a world that is gone: held against all of them every later window would raise
the alarm, although the model has learned what is new. So all rows of the dataset, which are more than those held out,
are put in the order in which they came, and cut at the point where the inputs after it are most unlike those before it,
if that is more than chance. The held-out rows after that point are the reference.

The test is one for a change at an unknown point: the three figures of the features are computed for ever longer
stretches of newest rows, each put in units of its own spread over random orders of the rows, and the largest counts.
(Figures of rare events have no part in it: their spread says little of their largest values.)
Its p-value is exact, because without a change the order in which rows came is one random order like any other (Antoch
and Huskova, Permutation tests in change point analysis, Statistics and Probability Letters 53 (2001) 37-46). The newest
part is looked at again, until no change is found. Answers have no part in it: the model has seen most of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from playbook.operate.drift import CLASSIFIER, FIGURES, MEAN_SHIFT, MMD, Pool
from playbook.operate.figures import RowFigures

LEAST_RECENT = 30  # rows on either side of a change
RATE = 0.05  # of changes that are seen where there is none: that costs rows, to miss one costs false alarms for ever
NEWEST, OLDER = 1000, 1000  # rows that are looked at: so many newest ones, and so many of the older ones at random
_LOOKED_FOR = [FIGURES.index(name) for name in (MEAN_SHIFT, CLASSIFIER, MMD)]
_STEP = 1.25  # from one stretch of newest rows to the next
_ORDERS = 399
_MOST_CHANGES = 5
Rows = npt.NDArray[np.int64]


def looked_at(rows: int, seed: int = 0) -> Rows:
    """Places of the rows that a change is looked for in, of `rows` rows in their order, oldest first."""
    older = max(0, rows - NEWEST)
    chosen = np.random.default_rng(seed).permutation(older)[:OLDER]
    return np.concatenate([np.sort(chosen), np.arange(older, rows)])


def last_change(figures: RowFigures, times: Sequence[str], seed: int = 0) -> str | None:
    """The time of the first row after the last change; None where no change is seen.

    Args:
        figures: of rows in the order in which they came, oldest first.
        times: when each row came, in a form that sorts; rows of one time (a day, an unknown time) are not taken apart.
        seed: of the random orders.
    """
    begin, no_values = 0, np.zeros((len(figures), 4))
    for attempt in range(_MOST_CHANGES):
        pool = Pool(figures.features[begin:], no_values[begin:])
        newest = _after_change(pool, stretches(times[begin:]), np.random.default_rng([seed, attempt]))
        if newest is None:
            break
        begin = len(figures) - newest
    return times[begin] if begin else None


def _after_change(pool: Pool, sizes: Sequence[int], random: np.random.Generator) -> int | None:
    """How many of the newest rows come after the largest change; None where there is no change."""
    total = len(pool.features)
    if not sizes:
        return None
    age = np.argsort(random.random((_ORDERS, total)), axis=1)  # 0 is the newest
    ages = np.vstack([np.arange(total)[::-1], age]).T
    figures = pool.figures([np.ascontiguousarray(ages < size) for size in sizes], int(random.integers(1 << 31)))
    # Sums of squares are skewed; their cube roots are nearly normal (Wilson and Hilferty, PNAS 17 (1931) 684-688).
    table = np.cbrt(figures[:, _LOOKED_FOR]).reshape(len(sizes), _ORDERS + 1, -1)
    spread = table.std(axis=1, keepdims=True)
    apart = np.divide(table - table.mean(axis=1, keepdims=True), spread, out=np.zeros_like(table), where=spread > 1e-12)
    largest = apart.max(axis=2)  # (sizes, orders)
    most = largest.max(axis=0)
    p_value = float((most >= most[0] - 1e-9).mean())
    return sizes[int(largest[:, 0].argmax())] if p_value <= RATE else None


def stretches(times: Sequence[str]) -> Sequence[int]:
    """Lengths of the stretches of newest rows that are looked at: each at least a quarter longer than the one before.

    Args:
        times: of the rows, oldest first; a stretch begins where the time changes.
    """
    rows, found = len(times), [0]
    begins = [rows - at for at in range(rows - 1, 0, -1) if times[at] != times[at - 1]]
    for size in begins:
        if max(LEAST_RECENT, _STEP * found[-1]) <= size <= rows - LEAST_RECENT:
            found.append(size)
    return found[1:]
