"""What shift could have been seen in a window of this size? (B5)

"No alarm" says little where nothing could have been seen. A kind of row that the reference does not know is modelled by
the reference itself: its rows are clustered (k-means on the features), one cluster after the other is taken out, and
pseudo windows of the remaining rows get a share of the missing cluster mixed in. The share that raises the alarm in
four of five such windows, over all clusters, is what could have been seen. Production may of course bring a kind that
is more or less strange than that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from playbook.operate.drift import Judge, drawn
from playbook.operate.reference import LEAST_ROWS
from playbook.operate.thresholds import thresholds_of

SHARES = (0.05, 0.1, 0.2, 0.4, 0.6)
WANTED = 0.8
_CLUSTERS = 5
_WINDOWS = 25  # per cluster and share
_MOST_ROWS = 1000  # of the reference that clusters are taken out of, more where the window is larger
_MOST_SHARE = 0.35  # of the reference in a pseudo window
_BUCKET = 1.25  # sizes within this factor share an answer, that of the smallest
Rows = npt.NDArray[np.int64]


def detectable(judge: Judge, rows: int) -> float | None:
    """Smallest of the shares 5, 10, 20, 40 and 60 % that is seen four times in five; None if even 60 % is not.

    The answer is that of a window somewhat smaller: sizes are cut to a grid, whose answers are kept with the judge, and
    to what the reference can give when a cluster is taken out of it.
    """
    most = max(1, int(_MOST_SHARE * len(judge.reference)))
    size = max(1, int(_BUCKET ** int(np.log(max(min(rows, most), 1)) / np.log(_BUCKET) + 1e-9)))
    if size not in judge.seen:
        judge.seen[size] = _smallest_share(judge, size)
    return judge.seen[size]


def _smallest_share(judge: Judge, rows: int) -> float | None:
    """Power grows with the share, so the place in `SHARES` is found by halving."""
    random = np.random.default_rng([judge.seed, rows])
    trials = [_Trial(judge, cluster, pool, rows, random) for cluster, pool in _clusters(judge, rows, random)]
    low, high = 0, len(SHARES)
    while low < high and trials:
        middle = (low + high) // 2
        seen = np.mean([trial.alarms(SHARES[middle], random) for trial in trials])
        low, high = (low, middle) if seen >= WANTED else (middle + 1, high)
    return SHARES[low] if trials and low < len(SHARES) else None


class _Trial:
    """A reference without one cluster, and windows that it shows up in."""

    def __init__(self, judge: Judge, cluster: Rows, others: Rows, rows: int, random: np.random.Generator) -> None:
        self.judge, self.cluster, self.others, self.rows = judge, cluster, others, rows
        rules = judge.monitoring
        null = judge.pool(others).figures([drawn(random, len(others), rows, rules.resamples)])
        self.thresholds = thresholds_of(null, rules.false_alarm_rate, rows)

    def alarms(self, share: float, random: np.random.Generator) -> float:
        """Share of windows with this share of rows of the cluster that raise the alarm.

        All windows have the same rows of the cluster, which keeps them markings of one pool: fast. Of the other rows
        as many are left out, so that sizes are those of the thresholds. A small cluster gives rows twice. Thresholds
        are those of windows without the cluster, drawn once; a window's own test has nearly the same.
        """
        strange = max(1, round(share * self.rows))
        chosen = random.choice(self.cluster, strange, replace=strange > len(self.cluster))
        pool = np.concatenate([chosen, random.permutation(self.others)[strange:]])
        members = np.ones((len(pool), _WINDOWS), bool)
        members[strange:] = drawn(random, len(pool) - strange, self.rows - strange, _WINDOWS)
        found = self.judge.pool(pool).figures([members])
        least = np.array([self.thresholds.p_values(one).min() for one in found])
        return float(np.mean(least <= self.thresholds.rate + 1e-12))


def _clusters(judge: Judge, rows: int, random: np.random.Generator) -> list[tuple[Rows, Rows]]:
    """Rows of each cluster and all other rows, of a part of the reference."""
    from scipy.cluster.vq import kmeans2

    most = max(_MOST_ROWS, round(2.5 * rows * _CLUSTERS / (_CLUSTERS - 1)))
    chosen = random.permutation(len(judge.reference))[:most]
    features = judge.features[chosen].astype(np.float64)
    if not features.std(axis=0).any():
        return []
    _, place = kmeans2(features, min(_CLUSTERS, len(features)), minit="++", rng=random, iter=20)
    numbers = np.unique(place)
    sides = [(chosen[place == at], chosen[place != at]) for at in numbers]
    return [(inside, outside) for inside, outside in sides if len(outside) >= max(LEAST_ROWS, 2 * rows)]
