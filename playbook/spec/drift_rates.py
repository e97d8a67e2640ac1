"""Which false-alarm rates of drift a permutation test can keep and still see every figure.

A window's p-value is a rank among random windows, and ties between figures are broken in a fixed order
(`playbook.operate.thresholds`). So a window that is more extreme than every random window in one figure alone, the last
in that order, has a p-value of `FIGURES / (random windows + 1)`, not of one over them. A task file that asks for less
would have figures that never count, however large a drift is.
"""

from __future__ import annotations

import math

FIGURES = 8  # of a window, all under one p-value (`playbook.operate.drift.FIGURES`)
FINER = 5  # times as many random windows where the p-value is near the rate
TOLERANCE = 1e-9


def finer(resamples: int) -> int:
    """Random windows of the second draw, so many that the smallest p-value is a fifth."""
    return FINER * (resamples + 1) - 1


def sure_p_value(random_windows: int) -> float:
    """p-value that every figure has at the most where it is beyond all random windows."""
    return FIGURES / (random_windows + 1)


def resamples_for(p_value: float) -> int:
    """`monitoring.resamples` from which on the second draw shows this p-value in every figure."""
    return math.ceil(FIGURES / (FINER * p_value) - 1 - TOLERANCE)


def shows(resamples: int, p_value: float) -> bool:
    """Whether every figure can have so small a p-value."""
    return resamples >= resamples_for(p_value)
