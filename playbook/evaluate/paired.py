"""Corrections for many comparisons, and how often two models differ. Intervals are in `playbook.statistics`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from playbook.statistics.metric import TOLERANCE, PairedDifference
from playbook.statistics.resampling import label_cells, resample_weights, wilson
from playbook.statistics.values import Labels

__all__ = [
    "TOLERANCE",
    "PairedDifference",
    "discordance",
    "holm",
    "label_cells",
    "resample_weights",
    "wilson",
]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, in the order given (Holm, Scand. J. Statistics 6 (1979) 65-70)."""
    corrected, reached = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = reached
    return corrected


def discordance(truth: Labels, a: Labels, b: Labels) -> float:
    """Fraction of rows on which exactly one of two models is right; 0 without rows."""
    return float(np.mean((a == truth) != (b == truth))) if len(truth) else 0.0
