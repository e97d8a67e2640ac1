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
above a tenth, the rows are too few to say.

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
LARGEST_SHARE = 0.1  # of a difference's variance that may come from added rows
SKEWED = 0.75  # how far the upper end of a mean moves to the one that its skewness asks for
OF_ONE = {"macro_f1": "f1", "balanced_accuracy": "recall"}  # a mean over classes, and what it is the mean of


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


@dataclass(frozen=True)
class Difference:
    """Second minus first: the centre's interval, its standard error, and how much of its variance was assumed.

    `assumed` has shape (classes,): each class's part of the variance that comes from added rows.
    """

    low: float
    high: float
    standard_error: float
    assumed: Floats


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
    weight, total, parts = 1 / int(present.sum()), np.zeros(len(first.counts)), []
    for one in (first, second):
        rows = one.rows[present] + 4 * ADDED
        ratio = ((one.counts @ one.hits)[present] + 2 * ADDED) / rows
        parts.append((ratio, weight * one.slope(ratio) / rows, float(one.value(ratio).sum()) * weight))
        influence = _influence(one, present, ratio, parts[-1][1]).sum(axis=1)
        total = total + (influence if one is second else -influence)
    (ratio_1, step_1, value_1), (ratio_2, step_2, value_2) = parts
    seen = float(first.counts @ total**2)
    cells = [(a, b) for a in (0, 1) for b in (0, 1)]
    added = sum(
        (ADDED * ((b - ratio_2) * step_2 - (a - ratio_1) * step_1) ** 2 for a, b in cells), np.zeros(len(ratio_1))
    )
    error, assumed = math.sqrt(seen + float(added.sum())), np.zeros(len(present))
    assumed[present] = added / error**2
    half, apart = two_sided_z(confidence) * error, value_2 - value_1
    return Difference(max(apart - half, -1.0), min(apart + half, 1.0), error, assumed)


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
