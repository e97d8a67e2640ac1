"""A question that is asked every day: how sure each answer must be so that all of them together keep a stated rate.

Windows of several days overlap, all of them are held against one reference, and a metric near its threshold stays near
it: the days are anything but independent. What holds all the same is Boole's inequality: the chance that any of the
days fires without cause is at most the sum of the days' own chances. Where an alarm in `alarms` of `windows` days is
asked for, the expected number of days with an alarm is that sum, and Markov's inequality bounds the chance that there
are so many. Neither needs to know how the days depend on each other, so the rate is an upper bound, over references and
streams; days that resemble each other fire less often (docs/drift.md has what was measured).
"""

from __future__ import annotations

import math
from statistics import NormalDist

from playbook.artifacts import Score

PERIOD_DAYS = 60  # that a trigger's false-alarm rate is about
Interval = tuple[float, float]


def rate_of_a_day(rate: float, alarms: int = 1, windows: int = 1, days: int = PERIOD_DAYS) -> float:
    """Chance of an alarm without cause that one day may have, so that the whole period keeps `rate`.

    Args:
        rate: chance that anything fires within the period although nothing changed.
        alarms: days with an alarm that are needed.
        windows: last days that they are counted over.
        days: of the period.
    """
    return min(1.0, rate * alarms / (days + windows - 1))


def rate_of_all_days(rate: float, alarms: int = 1, windows: int = 1, days: int = PERIOD_DAYS) -> float:
    """Bound on the chance that anything fires within the period, where each day alarms at `rate` without cause."""
    return min(1.0, rate * (days + windows - 1) / alarms)


def reaching(score: Score, confidence: float, rate: float) -> Interval:
    """Interval of a score whose either end is wrong at `rate`, from its interval at `confidence`.

    Both arms of the interval grow like normal quantiles. For proportions of 30 to 500 rows the ends made from Wilson's
    interval at 95 % are wrong in 0.0 to 1.9 times one in 1,200, while Wilson's own reach up to ten times that.
    """
    stretch = NormalDist().inv_cdf(1 - rate) / NormalDist().inv_cdf((1 + confidence) / 2)
    return score.value - stretch * (score.value - score.low), score.value + stretch * (score.high - score.value)


def difference(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """Interval of `first - second` of independent samples, from the intervals of both at the same confidence.

    Square-and-add: Newcombe, Interval Estimation for the Difference between Independent Proportions, Statistics in
    Medicine 17 (1998) 873-890; Zou and Donner, Construction of Confidence Limits about Effect Measures, Statistics in
    Medicine 27 (2008) 1693-1702.
    """
    apart = first - second
    low = apart - math.hypot(first - of_first[0], of_second[1] - second)
    high = apart + math.hypot(of_first[1] - first, second - of_second[0])
    return low, high
