"""One alarm for many figures, with one stated rate of false alarms: min-p by resampling (B5).

Westfall and Young, Resampling-Based Multiple Testing (1993): every figure of a pseudo window is turned into its rank
among all pseudo windows, and a pseudo window is as extreme as its most extreme figure. Figures move together (long
texts, strange features), and because all of them come from the same pseudo windows that costs nothing, unlike
Bonferroni's correction.

Ranks of several figures tie, and at a rate of one in a hundred the first ranks are all there is. Ties are broken by a
fixed order of the figures: the level of a figure with rank r (1 is the largest) is `r * figures + place`, so levels are
used up one figure after the other, and the rate is met as closely as whole windows allow.

Why the rate holds: let W be a window that is exchangeable with the B pseudo windows, and l its level. The p-value of
min-p is the share of the B + 1, W included, that are at or under l when all are ranked together; it is at most `rate`
with a probability of at most `rate`. (They are exchangeable where the pseudo windows are drawn from the rows of window
and reference together, see `drift`.) Here the pseudo windows are ranked among themselves, so that thresholds are known
before there is a window. W beside them pushes their ranks only up, and the one whose level is l exactly, which W has
overtaken, goes over it. So 1 + (pseudo windows under l) is at least the number wanted, and the p-value from it is on
the safe side. Equal values rank low: a figure that never moves raises no alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DECIMALS = 9  # figures that differ by less are equal: the same sum in another order


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds of all figures at one size of the window.

    `drawn` is float64 of shape (figures, resamples), each figure's values over the pseudo windows, ascending; `levels`
    is int64 of shape (resamples,), the pseudo windows' levels, ascending.
    """

    rows: int  # of the window; a larger one is cut to it at random
    rate: float
    drawn: Floats
    levels: npt.NDArray[np.int64]
    reference: str = ""  # digest

    @property
    def figures(self) -> int:
        """How many figures there are."""
        return len(self.drawn)

    @property
    def highest_level(self) -> int:
        """The largest level that is an alarm; 0 where the resamples are too few for the rate."""
        under = int(self.rate * (len(self.levels) + 1) + 1e-9) - 1
        return int(self.levels[under]) if under >= 0 else 0

    def threshold(self, figure: int) -> float:
        """The value above which a figure raises the alarm; infinite where it cannot."""
        rank = (self.highest_level - figure) // self.figures
        return float(self.drawn[figure, -rank]) if rank >= 1 else float("inf")

    def usual(self, figure: int) -> float:
        """Where a figure lies without drift: its median over the pseudo windows."""
        return float(np.median(self.drawn[figure]))

    def p_values(self, values: Floats) -> Floats:
        """p-value of each figure of a window, corrected for how many there are: an alarm where at most `rate`.

        Args:
            values: a window's figures, shape (figures,).
        """
        levels = [self._level(at, value) for at, value in enumerate(np.round(values, DECIMALS))]
        found: Floats = (1 + np.searchsorted(self.levels, levels, side="left")) / (len(self.levels) + 1)
        return found

    def _level(self, figure: int, value: float) -> int:
        rank = 1 + len(self.levels) - int(np.searchsorted(self.drawn[figure], value, side="left"))
        return rank * self.figures + figure


def thresholds_of(statistics: Floats, rate: float, rows: int, reference: str = "") -> Thresholds:
    """Thresholds from the figures of pseudo windows; large values speak for drift.

    Args:
        statistics: shape (resamples, figures), the figure that is to win ties first.
        rate: of false alarms, for a window as a whole.
        rows: of each pseudo window.
        reference: digest of what they were drawn from.
    """
    drawn = np.round(statistics, DECIMALS)
    ascending = np.sort(drawn, axis=0).T.copy()
    levels = np.min(
        [_levels(*both, at, drawn.shape[1]) for at, both in enumerate(zip(drawn.T, ascending, strict=True))], axis=0
    )
    return Thresholds(rows, rate, ascending, np.sort(levels), reference)


def _levels(values: Floats, ascending: Floats, figure: int, figures: int) -> npt.NDArray[np.int64]:
    """Level of every value among all, given ascending too: how many are at least as large, itself included; then the
    figure's place.
    """
    ranks: npt.NDArray[Any] = len(values) - np.searchsorted(ascending, values, side="left")
    return (ranks * figures + figure).astype(np.int64)
