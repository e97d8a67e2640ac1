"""Intervals of metrics that are ratios of counts, and of their means over classes.

Recall, precision and the false-positive rate are shares of rows. The F1 of a class is one too in disguise: with h rows
that are of the class and taken for it, among m rows that are one or the other, F1 = 2q / (1 + q) with q = h / m, and
given m, h is binomial. So its interval is Wilson's for q, put through that function, and covers as often as Wilson's.

Means over classes (macro F1, balanced accuracy) combine the intervals of the classes by their distances from the
estimate (MOVER: Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702), with the correlations that the confusion
matrix implies (delta method; Takahashi, Yamamoto, Kuchiba and Koyama, Applied Intelligence 52 (2022) 4961-4972). Each
class's upper end is drawn inwards by Wilson's shift, which adds up over classes while chance averages out, so where
classes are many and the model is good the mean's upper end would be too low. It is moved most of the way to the end
that the skewness of the mean itself asks for (Wilson's interval, generalised: the shift is z^2 times the third
cumulant over twice the variance).

Differences of two models on the same rows: a normal interval from the rows' influence on the difference (delta method),
after a quarter of a row was added to every class in each of the four cells right/right, right/wrong, wrong/right,
wrong/wrong. That is the interval of Agresti and Min (Statistics in Medicine 24 (2005) 729-740) with half as much added,
carried over from shares to ratios. How much of the variance comes from what was added says how much of it was not seen:
above a tenth, the rows are too few to say, unless the difference is so large that its exact ends do not matter.

`docs/intervals.md` has the coverage, which the constants here were chosen by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.statistics.resampling import wilson
from playbook.statistics.sample_size import two_sided_z
from playbook.statistics.values import Floats, Labels

ADDED = 0.25  # rows that are added to each of the four cells of a class
CELLS = tuple((a, b) for a in (0, 1) for b in (0, 1))  # whether the first and the second model has a row right
LARGEST_SHARE = 0.1  # of a difference's variance that may come from added rows, unless it is clear (`is_clear`)
CLEAR = 1.0  # widths of its interval that a clear difference lies beyond zero
SKEWED = 0.75  # how far the upper end of a mean moves to the one that its skewness asks for
OF_ONE = {"macro_f1": "f1", "balanced_accuracy": "recall"}  # a mean over classes, and what it is the mean of


def is_clear(low: float, high: float) -> bool:
    """Whether an interval lies so far from zero that which model is better does not rest on its exact ends.

    Where one model has a class right that the other never has, hardly anything varies, and most of the variance is of
    the rows that are added. They make the interval wider than it need be, so nothing is claimed that is not there.
    """
    return max(low, -high) > CLEAR * (high - low)


@dataclass(frozen=True)
class Ratios:
    """Kinds of rows (`counts` of each), and which are hits and which are counted, for each class.

    `hits` and `counted` have shape (kinds, classes); `f1` says whether a ratio q stands for 2q / (1 + q).
    """

    counts: Floats
    hits: Floats
    counted: Floats
    f1: bool

    @property
    def rows(self) -> Floats:
        """Rows that are counted, shape (classes,)."""
        return self.counts @ self.counted

    def value(self, ratio: Floats) -> Floats:
        """The metric that a ratio stands for."""
        return 2 * ratio / (1 + ratio) if self.f1 else ratio

    def slope(self, ratio: Floats) -> Floats:
        """How fast it moves with the ratio."""
        return 2 / (1 + ratio) ** 2 if self.f1 else np.ones_like(ratio)

    def bend(self, ratio: Floats) -> Floats:
        """How fast that slope moves with the ratio."""
        return -4 / (1 + ratio) ** 3 if self.f1 else np.zeros_like(ratio)


@dataclass(frozen=True)
class Difference:
    """Second minus first: the centre's interval, its standard error, and how much of its variance was assumed.

    `assumed` has shape (classes,): each class's part of the variance that comes from added rows.
    """

    low: float
    high: float
    standard_error: float
    assumed: Floats


@dataclass(frozen=True)
class Scatter:
    """What the variance of a measured difference is made of, and how well that is known: numbers to plan with."""

    rows: int  # of the split it was measured on
    seen: float  # part of the variance that comes from those rows, in squared units; it shrinks with the rows
    added: float  # part that comes from added ones; it shrinks with their square
    step: float  # what a row on which the models differ moves the difference by, in units of the metric
    seen_error: float  # relative standard error of the root of `seen`; 0 where the models answer alike
    told_error: float  # likewise of the root of `seen / added`


def ratios(metric: str, classes: npt.NDArray[np.int64], truth: Labels, predicted: Labels, counts: Floats) -> Ratios:
    """The ratios of some classes in a metric of one class: recall, precision, f1 or false_positive_rate."""
    true, told = truth[:, None] == classes, predicted[:, None] == classes
    hits, counted = {
        "recall": (true & told, true),
        "precision": (true & told, told),
        "f1": (true & told, true | told),
        "false_positive_rate": (~true & told, ~true),
    }[metric]
    return Ratios(counts.astype(float), hits.astype(float), counted.astype(float), metric == "f1")


def interval_of_one(found: Ratios, confidence: float) -> tuple[float, float]:
    """Interval of the metric of a single class."""
    hits, rows = float(found.counts @ found.hits[:, 0]), float(found.rows[0])
    low, high = found.value(np.array(wilson(round(hits), round(rows), confidence)))
    return float(low), float(high)


def interval_of_mean(found: Ratios, confidence: float) -> tuple[float, float]:
    """Interval of the mean over classes; those without a counted row are left out."""
    present = found.rows > 0
    if not present.any():
        return 0.0, 1.0
    rows, hits = found.rows[present], (found.counts @ found.hits)[present]
    weight, ratio = 1 / len(rows), hits / rows
    ends = [wilson(round(h), round(n), confidence) for h, n in zip(hits, rows, strict=True)]
    values, lows, highs = (found.value(np.array(each)) for each in (ratio, [e[0] for e in ends], [e[1] for e in ends]))
    centre = float(values.mean())
    together = _correlations(found, present, (hits + 0.5) / (rows + 1))
    down, up = weight * (values - lows), weight * (highs - values)
    low = centre - math.sqrt(max(float(down @ together @ down), 0.0))
    high = centre + math.sqrt(max(float(up @ together @ up), 0.0))
    influence = (_influence(found, present, ratio, found.slope(ratio) / rows) * weight).sum(axis=1)
    skewed = _skewed_end(centre, found.counts, influence, two_sided_z(confidence))
    return max(low, 0.0), min(high + SKEWED * max(skewed - high, 0.0), 1.0)


def difference(first: Ratios, second: Ratios, confidence: float) -> Difference:
    """Interval of second minus first, each the mean over the same classes."""
    present = (first.rows + second.rows) > 0
    if not present.any():
        return Difference(-1.0, 1.0, 1.0, np.ones(len(present)))
    one, two = _drawn(first, present), _drawn(second, present)
    added = _added(one, two)
    error = math.sqrt(float(first.counts @ _moved(one, two) ** 2) + float(added.sum()))
    assumed = np.zeros(len(present))
    assumed[present] = added / error**2
    half, apart = two_sided_z(confidence) * error, two.value - one.value
    return Difference(max(apart - half, -1.0), min(apart + half, 1.0), error, assumed)


def scatter(first: Ratios, second: Ratios) -> Scatter | None:
    """What the variance of second minus first is made of; None where nothing is counted.

    How well it is known is the infinitesimal jackknife (Efron, The Jackknife, the Bootstrap and Other Resampling Plans
    (1982), chapter 6): how fast either part moves with the number of rows of each kind, squared and summed over rows.
    """
    counts, present = first.counts, (first.rows + second.rows) > 0
    if not present.any():
        return None
    one, two = _drawn(first, present), _drawn(second, present)
    moved, added = _moved(one, two), float(_added(one, two).sum())
    seen = float(counts @ moved**2)
    if seen <= 0:  # the models answer alike; a row of a class of middling size moves the difference by about this
        return Scatter(int(counts.sum()), 0.0, added, math.sqrt(2 * added / int(present.sum())), 0.0, 0.0)
    of_seen, of_added = moved**2, np.zeros(len(counts))
    for sign, this in ((-1, one), (1, two)):
        ratios, steps = this.rates()
        through_ratio, through_step = (counts * moved) @ this.counted * this.step, (counts * moved) @ this.off
        of_seen = of_seen + 2 * sign * (steps @ through_step - ratios @ through_ratio)
        for cell in CELLS:
            apart = 2 * ADDED * ((cell[1] - two.ratio) * two.step - (cell[0] - one.ratio) * one.step)
            right = cell[0] if this is one else cell[1]
            of_added = of_added + sign * (steps @ ((right - this.ratio) * apart) - ratios @ (this.step * apart))

    def error(of_log: Floats) -> float:
        return math.sqrt(float(counts @ (of_log - counts @ of_log / counts.sum()) ** 2)) / 2

    return Scatter(
        rows=int(counts.sum()),
        seen=seen,
        added=added,
        step=seen / float(counts @ abs(moved)),
        seen_error=error(of_seen / seen),
        told_error=error(of_seen / seen - of_added / added),
    )


@dataclass(frozen=True)
class Drawn:
    """One model's ratios drawn to a half by the added rows; arrays have shape (classes,) or (kinds, classes)."""

    ratio: Floats
    step: Floats  # what a hit moves the mean over classes by
    value: float  # of that mean
    counted: Floats
    off: Floats  # of each kind: its hit less the ratio, where it is counted
    rows: Floats  # that are counted, with those that are added
    bend: Floats  # how fast a step, times its rows, moves with the ratio

    def rates(self) -> tuple[Floats, Floats]:
        """How fast ratios and steps move with the number of rows of each kind, each of shape (kinds, classes)."""
        ratios = self.off / self.rows
        return ratios, self.bend / self.rows * ratios - self.counted * (self.step / self.rows)


def _drawn(found: Ratios, present: npt.NDArray[np.bool_]) -> Drawn:
    weight, rows, counted = 1 / int(present.sum()), found.rows[present] + 4 * ADDED, found.counted[:, present]
    ratio = ((found.counts @ found.hits)[present] + 2 * ADDED) / rows
    step, off = weight * found.slope(ratio) / rows, found.hits[:, present] - ratio * counted
    return Drawn(ratio, step, float(found.value(ratio).sum()) * weight, counted, off, rows, weight * found.bend(ratio))


def _moved(one: Drawn, two: Drawn) -> Floats:
    """What one row of each kind moves the difference by, shape (kinds,)."""
    moved: Floats = two.off @ two.step - one.off @ one.step
    return moved


def _added(one: Drawn, two: Drawn) -> Floats:
    """Each class's part of the variance that comes from added rows, shape (classes,)."""
    parts = (ADDED * ((b - two.ratio) * two.step - (a - one.ratio) * one.step) ** 2 for a, b in CELLS)
    return sum(parts, np.zeros(len(one.ratio)))


def _influence(found: Ratios, present: npt.NDArray[np.bool_], ratio: Floats, step: Floats) -> Floats:
    """What one row of each kind moves the metric of each class by, shape (kinds, classes)."""
    moved: Floats = (found.hits[:, present] - ratio * found.counted[:, present]) * step
    return moved


def _correlations(found: Ratios, present: npt.NDArray[np.bool_], ratio: Floats) -> Floats:
    """Of the metrics of the classes, shape (classes, classes); shares of disjoint rows have none."""
    if not found.f1:
        return np.eye(len(ratio))
    moved = _influence(found, present, ratio, found.slope(ratio) / found.rows[present])
    together = moved.T @ (found.counts[:, None] * moved)
    scale = np.sqrt(np.maximum(np.diag(together), 1e-300))
    correlated: Floats = together / np.outer(scale, scale)
    np.fill_diagonal(correlated, 1.0)
    return correlated


def _skewed_end(centre: float, counts: Floats, influence: Floats, z: float) -> float:
    """Upper end of Wilson's interval, generalised from a share to any mean of rows by its third cumulant."""
    variance = float(counts @ influence**2)
    if variance <= 0:
        return centre
    shift = z * z * float(counts @ influence**3) / (2 * variance)
    return centre + shift + math.sqrt(z * z * variance + shift * shift)
