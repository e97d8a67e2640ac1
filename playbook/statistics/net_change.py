"""Net change between two models on the same rows: rows fixed minus rows broken, with its interval.

A row is fixed where only the second model has it right, broken where only the first has. Both models err somewhere, so
rows change sides even where nothing gets worse; the net is what counts. Sources:

- Score interval and test of the difference of paired proportions: Tango, Statistics in Medicine 17 (1998) 891-908. Its
  test of no difference is McNemar's.
- With few discordant rows McNemar's test rejects too often, so harm is claimed only where the exact sign test
  (`playbook.statistics.sign_test`) agrees, and the interval is widened to reach zero where that does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from playbook.statistics.sign_test import sign_test

STEPS = 60  # bisections of an interval's end: far below one row


@dataclass(frozen=True)
class NetChange:
    """Fixed and broken of `rows` rows; the net as a share of them, positive where more is fixed, and its interval."""

    fixed: int
    broken: int
    rows: int
    value: float
    low: float
    high: float


def net_change(fixed: int, broken: int, rows: int, confidence: float) -> NetChange:
    """The net change with its two-sided interval.

    Args:
        fixed: rows that only the second model has right.
        broken: rows that only the first model has right.
        rows: that both answered.
        confidence: of the interval, for example 0.95.

    Raises:
        ValueError: no rows, or counts that do not fit.
    """
    if rows < 1 or min(fixed, broken) < 0 or fixed + broken > rows:
        raise ValueError(f"expected counts within {rows} rows, found {fixed} fixed and {broken} broken")
    z, beyond = NormalDist().inv_cdf(0.5 + confidence / 2), 0.5 - confidence / 2
    value = (fixed - broken) / rows
    low = _end(fixed, broken, rows, -z, (-1.0, value))
    high = _end(fixed, broken, rows, z, (value, 1.0))
    low = min(low, 0.0) if sign_test(fixed, broken) > beyond else low
    high = max(high, 0.0) if sign_test(broken, fixed) > beyond else high
    return NetChange(fixed, broken, rows, value, low, high)


def harm_p_value(change: NetChange, budget: float) -> float:
    """One-sided p-value of the claim that more is lost, net, than a share `budget` of the rows.

    Where it is at most half of what a two-sided interval leaves out, the interval lies wholly beyond the budget.
    """
    harm = NormalDist().cdf(_score(change.fixed, change.broken, change.rows, -budget))
    return max(harm, sign_test(change.broken, change.fixed))


def _end(fixed: int, broken: int, rows: int, z: float, between: tuple[float, float]) -> float:
    """The difference at which the score is z, by bisection: the score falls as the difference grows."""
    low, high = between
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _score(fixed, broken, rows, middle) > -z:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _score(fixed: int, broken: int, rows: int, difference: float) -> float:
    """Tango's statistic for a true net change of `difference`; standard normal where that holds."""
    apart = fixed - broken - rows * difference
    share = _broken_share(fixed, broken, rows, difference)
    variance = rows * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if abs(apart) < 1e-12 else math.copysign(math.inf, apart)
    return apart / math.sqrt(variance)


def _broken_share(fixed: int, broken: int, rows: int, difference: float) -> float:
    """Likeliest share of broken rows where the net change is `difference` (Tango 1998, equation 5)."""
    a = 2.0 * rows
    b = -fixed - broken + (2 * rows - fixed + broken) * difference
    c = -broken * difference * (1 - difference)
    return max(0.0, (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a))
