"""Intervals and paired comparisons.

Two models that answer the same rows are compared row by row: most of the noise of either score is common to both and
cancels. Sources:

- Bootstrap over rows, percentile interval: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13;
  paired, for comparing classifiers: Koehn, EMNLP 2004. Rows with the same (truth, first, second) are exchangeable, so a
  resample is one multinomial draw over these cells: the same distribution, a hundredth of the work.
- Wilson score interval of a proportion: Wilson, JASA 22 (1927) 209-212.
- Difference of paired proportions with few discordant rows: Agresti and Min, Statistics in Medicine 24 (2005) 729-740.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score
from playbook.evaluate.metrics import Floats, Labels, metric_value, metric_values
from playbook.spec import Limit
from playbook.statistics.sample_size import two_sided_z

FEWEST_DISCORDANT = 6  # on fewer rows that only one model has right, McNemar's exact test cannot reach 5 %
TOLERANCE = 1e-9  # two fractions of whole rows that differ by less are equal
Cells = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PairedDifference:
    """Second model minus first, in units of the metric, with the interval and the standard error of the difference."""

    delta: float
    low: float
    high: float
    standard_error: float


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of a proportion of `hits` in `n` rows; (0, 1) where there is no row."""
    if n == 0:
        return 0.0, 1.0
    z, p = two_sided_z(confidence), hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def score_with_interval(
    limit: Limit,
    labels: tuple[str, ...],
    truth: Labels,
    predicted: Labels,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Score:
    """The metric of a limit with its interval.

    Accuracy, recall and precision are proportions and get Wilson's interval, recall over the true rows of the class,
    precision over the predicted ones; the others get the percentile interval of a bootstrap over rows.

    Args:
        limit: what is measured; `Limit.label` becomes the score's name.
        labels: class names; the position is the class's number.
        truth: true classes, shape (rows,).
        predicted: predicted classes, shape (rows,).
        confidence: of the two-sided interval, for example 0.95.
        resamples: bootstrap resamples.
        seed: of the bootstrap; the same seed gives the same interval.
    """
    of_class = None if limit.of_class is None else labels.index(limit.of_class)
    value = metric_value(limit.metric, of_class, truth, predicted, len(labels))
    rows = counted_rows(limit.metric, of_class, truth, predicted)
    if rows is not None:
        low, high = wilson(int((truth == predicted)[rows].sum()), int(rows.sum()), confidence)
    else:
        cells, counts, _ = label_cells(truth, predicted)
        weights = resample_weights(counts, resamples, seed)
        drawn = metric_values(limit.metric, of_class, cells[:, 0], cells[:, 1], weights, len(labels))
        low, high = _percentiles(drawn, confidence, (0.0, 1.0))
        low, high = min(low, value), max(high, value)
    return Score(metric=limit.label, value=value, low=low, high=high, n=len(truth))


def counted_rows(metric: str, of_class: int | None, truth: Labels, predicted: Labels) -> npt.NDArray[np.bool_] | None:
    """The rows that a metric is a proportion of, or None where it is no proportion.

    Accuracy counts every row, recall the true rows of its class, precision the predicted ones.
    """
    if metric == "accuracy":
        return np.ones(len(truth), bool)
    if metric in ("recall", "precision"):
        return (truth if metric == "recall" else predicted) == of_class
    return None


def paired_difference(
    metric: str,
    of_class: int | None,
    truth: Labels,
    first: Labels,
    second: Labels,
    classes: int,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """How much better the second model is than the first on the same rows.

    Percentile interval of a paired bootstrap over rows. It is too short where only a handful of rows are discordant, so
    for accuracy, recall and balanced accuracy, which are proportions or a mean of them, it is widened to the interval
    of Agresti and Min where that reaches further. Where fewer than six of the rows that count are discordant
    (`discordant_rows`), no difference is claimed: McNemar's exact test could not reach 5 %, so the interval is widened
    to include zero. Resamples without a true row of the class are left out; where nothing can be known the interval is
    (-1, 1).

    Args:
        metric: a metric of the task file.
        of_class: number of the class that recall, precision and f1 speak of, otherwise None.
        truth: true classes, shape (rows,).
        first: answers of the first model, usually the baseline, shape (rows,).
        second: answers of the second model, shape (rows,).
        classes: how many classes the task has.
        confidence: of the two-sided interval.
        resamples: bootstrap resamples.
        seed: of the bootstrap; the same seed gives the same figures.

    Raises:
        ValueError: unknown metric, a class out of range, or shapes that do not match.
    """
    delta = metric_value(metric, of_class, truth, second, classes) - metric_value(
        metric, of_class, truth, first, classes
    )
    cells, counts, _ = label_cells(truth, first, second)
    weights = resample_weights(counts, resamples, seed)
    drawn = metric_values(metric, of_class, cells[:, 0], cells[:, 2], weights, classes) - metric_values(
        metric, of_class, cells[:, 0], cells[:, 1], weights, classes
    )
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return PairedDifference(delta, -1.0, 1.0, 1.0)
    low, high = _percentiles(known, confidence, (-1.0, 1.0))
    proportions = _proportions(metric, of_class, truth, classes)
    if proportions:
        wide_low, wide_high = _agresti_min(proportions, truth, first, second, confidence)
        low, high = min(low, wide_low), max(high, wide_high)
    if discordant_rows(metric, of_class, truth, first, second) < FEWEST_DISCORDANT:
        low, high = min(low, 0.0), max(high, 0.0)
    return PairedDifference(delta, min(low, delta), max(high, delta), float(known.std()))


def resample_weights(counts: Cells, resamples: int, seed: int) -> Floats:
    """Bootstrap multiplicities of cells that hold `counts` rows each, shape (resamples, cells)."""
    total = int(counts.sum())
    if total == 0:
        return np.zeros((resamples, len(counts)))
    return np.random.default_rng(seed).multinomial(total, counts / total, size=resamples).astype(float)


def label_cells(*columns: Labels) -> tuple[Cells, Cells, Cells]:
    """Distinct rows of some label columns, shape (cells, columns), how many rows each stands for, and each row's cell.

    Raises:
        ValueError: columns of different lengths.
    """
    shapes = {column.shape for column in columns}
    if len(shapes) != 1:
        raise ValueError(f"expected label arrays of one length, found shapes {sorted(shapes)}")
    cells, place, counts = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True, return_counts=True)
    return cells.astype(np.int64), counts.astype(np.int64), place.reshape(-1).astype(np.int64)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, in the order given (Holm, Scand. J. Statistics 6 (1979) 65-70)."""
    corrected, reached = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = reached
    return corrected


def _percentiles(drawn: Floats, confidence: float, unknown: tuple[float, float]) -> tuple[float, float]:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return unknown
    low, high = np.quantile(known, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _proportions(metric: str, of_class: int | None, truth: Labels, classes: int) -> list[npt.NDArray[np.bool_]]:
    """The groups of rows whose shares of right answers a metric is the mean of; none where it is no such mean."""
    if metric == "accuracy":
        return [np.ones(len(truth), bool)]
    if metric == "recall":
        return [truth == of_class]
    if metric == "balanced_accuracy":
        return [truth == at for at in range(classes) if (truth == at).any()]
    return []


def _agresti_min(
    groups: Sequence[npt.NDArray[np.bool_]], truth: Labels, first: Labels, second: Labels, confidence: float
) -> tuple[float, float]:
    """Wald interval of the mean over groups of differences of paired proportions.

    In every group half a row is added to each of the four cells; groups have no row in common, so variances add.
    """
    centre = variance = 0.0
    for group in groups:
        rows = int(group.sum()) + 2.0
        gained = float((group & (second == truth) & (first != truth)).sum()) + 0.5
        lost = float((group & (second != truth) & (first == truth)).sum()) + 0.5
        apart = (gained - lost) / rows
        centre += apart / len(groups)
        variance += ((gained + lost) / rows - apart * apart) / rows / len(groups) ** 2
    half = two_sided_z(confidence) * math.sqrt(variance)
    return max(-1.0, centre - half), min(1.0, centre + half)


def discordant_rows(metric: str, of_class: int | None, truth: Labels, first: Labels, second: Labels) -> int:
    """Rows that a metric counts and on which exactly one of two models is right.

    Where the metric speaks of a class, right is whoever tells rightly whether a row is of that class; recall counts the
    true rows of the class alone.
    """
    if of_class is None:
        return int(((first == truth) != (second == truth)).sum())
    apart = (first == of_class) != (second == of_class)
    return int((apart & (truth == of_class) if metric == "recall" else apart).sum())


def discordance(truth: Labels, a: Labels, b: Labels) -> float:
    """Fraction of rows on which exactly one of two models is right; 0 without rows."""
    return float(np.mean((a == truth) != (b == truth))) if len(truth) else 0.0


def standard_error(score: Score, confidence: float) -> float:
    """Standard error of a score, from the lower side of its interval: the side that speaks against it."""
    return max(0.0, score.value - score.low) / two_sided_z(confidence)


def meets(limit: Limit, score: Score, errors: float = 0.0, confidence: float = 0.95) -> bool:
    """Whether a score minus `errors` of its standard errors still reaches the limit."""
    return score.value - errors * standard_error(score, confidence) >= limit.at_least - TOLERANCE
