"""One object for each limit of the task file: value, interval, paired difference, and whether the limit is met.

A `Metric` is a limit bound to its class and to the class labels once. Everything that scores a model goes through it.

Direction: scores are in the metric's own unit. Every difference is a gain: second model minus first where more is
better, first minus second where less is better (`at_most`), so that a positive figure always says that the second model
is better, and the margin of the task file is compared with it whatever the metric.

Two models that answer the same rows are compared row by row: most of the noise of either score is common to both and
cancels. Sources:

- Bootstrap over rows, percentile interval: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13;
  paired, for comparing classifiers: Koehn, EMNLP 2004.
- Difference of paired proportions with few discordant rows: Agresti and Min, Statistics in Medicine 24 (2005) 729-740.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score
from playbook.spec import LOWER_IS_BETTER, NEED_PROBABILITIES, UNBOUNDED, Limit, TaskSpec
from playbook.statistics.answers import Answers, Given, answers_of
from playbook.statistics.resampling import label_cells, percentiles, resample_weights, wilson
from playbook.statistics.sample_size import two_sided_z
from playbook.statistics.values import Floats, Labels, metric_values, probability_values, worst_value

FEWEST_DISCORDANT = 6  # on fewer rows that only one model has right, McNemar's exact test cannot reach 5 %
TOLERANCE = 1e-9  # two fractions of whole rows that differ by less are equal
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairedDifference:
    """Gain of the second model over the first in units of the metric, with its interval and its standard error."""

    delta: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Kinds:
    """Rows that a metric cannot tell apart, as one: their truth and answers, how many they are, each row's kind.

    `truth` and `counts` have shape (kinds,), `place` has shape (rows,).
    """

    truth: Labels
    answers: tuple[Answers, ...]
    counts: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """A limit of the task file, bound to the classes; see the module for the direction of differences."""

    limit: Limit
    labels: tuple[str, ...]
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    averaged: int | None = None  # means over classes are over the first so many labels; over all where None

    def __post_init__(self) -> None:
        if self.limit.is_budget:
            raise ValueError(f"{self.limit.metric} is measured on the model, not computed from its answers")
        if self.limit.of_class is not None and self.limit.of_class not in self.labels:
            raise ValueError(f"{self.label}: the classes are {', '.join(self.labels)}")

    @property
    def name(self) -> str:
        """The metric's name in the task file, without its class."""
        return self.limit.metric

    @property
    def label(self) -> str:
        """How it is written in tables: `Limit.label`."""
        return self.limit.label

    @property
    def of_class(self) -> int | None:
        """Number of its class."""
        return None if self.limit.of_class is None else self.labels.index(self.limit.of_class)

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.name in LOWER_IS_BETTER else 1

    @property
    def needs_probabilities(self) -> bool:
        """Whether answers must have probabilities, not classes alone."""
        return self.name in NEED_PROBABILITIES

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value that it can have."""
        return (0.0, math.inf) if self.name in UNBOUNDED else (0.0, 1.0)

    def gain(self, first: float, second: float) -> float:
        """How much better one value is than another; positive where the second is better."""
        return self.sign * (second - first)

    def value(self, truth: Labels, answers: Given) -> float:
        """The metric of one set of answers; its worst value where it is undefined.

        Args:
            truth: true classes, shape (rows,).
            answers: classes of shape (rows,), probabilities of shape (rows, classes), or both (`Answers`).

        Raises:
            ValueError: probabilities are needed and missing, or shapes and classes that do not match.
        """
        found = float(self.values(truth, answers, np.ones((1, len(truth))))[0])
        return worst_value(self.name) if math.isnan(found) else found

    def values(self, truth: Labels, answers: Given, weights: Floats) -> Floats:
        """The metric under many weightings of the rows, (resamples, rows) -> (resamples,); NaN where undefined."""
        given = answers_of(answers)
        if not self.needs_probabilities:
            return metric_values(
                self.name, self.of_class, truth, given.classes, weights, len(self.labels), self.averaged
            )
        if given.probabilities is None:
            raise ValueError(f"{self.label} is computed from probabilities, and these answers have classes alone")
        if given.probabilities.shape[1:] != (len(self.labels),):
            raise ValueError(f"expected probabilities of {len(self.labels)} classes, found {given.probabilities.shape}")
        return probability_values(self.name, self.of_class, truth, given.probabilities, weights, self.averaged)

    def score(self, truth: Labels, answers: Given) -> Score:
        """The metric with its interval.

        Accuracy, micro F1, recall, precision and the false-positive rate are proportions and get Wilson's interval over
        the rows that they count (`proportion`); the others get the percentile interval of a bootstrap over rows.
        """
        given, value = answers_of(answers), self.value(truth, answers)
        counted = self.proportion(truth, given.classes)
        if counted is not None:
            rows, hits = counted
            low, high = wilson(int((rows & hits).sum()), int(rows.sum()), self.confidence)
        else:
            kinds = self.kinds(truth, given)
            drawn = self.values(kinds.truth, kinds.answers[0], self._resamples(kinds))
            low, high = percentiles(drawn, self.confidence, self.ends)
            low, high = min(low, value), max(high, value)
        return Score(metric=self.label, value=value, low=low, high=high, n=len(truth))

    def difference(self, truth: Labels, first: Given, second: Given) -> PairedDifference:
        """How much better the second model is than the first on the same rows; see the module for the sign.

        Percentile interval of a paired bootstrap over rows. It is too short where only a handful of rows are
        discordant, so for proportions and for balanced accuracy, a mean of them, it is widened to the interval of
        Agresti and Min where that reaches further. Where fewer than six of the rows that count are discordant
        (`discordant`), no difference is claimed: McNemar's exact test could not reach 5 %, so the interval is widened
        to include zero. Resamples in which the metric is undefined are left out; where nothing can be known the
        interval is (-1, 1).

        Args:
            truth: true classes, shape (rows,).
            first: answers of the first model, usually the baseline, as `value` takes them.
            second: answers of the second model.
        """
        one, two = answers_of(first), answers_of(second)
        delta = self.gain(self.value(truth, one), self.value(truth, two))
        kinds = self.kinds(truth, one, two)
        weights = self._resamples(kinds)
        each = [self.values(kinds.truth, answers, weights) for answers in kinds.answers]
        drawn = self.sign * (each[1] - each[0])
        known = drawn[~np.isnan(drawn)]
        if not len(known):
            return PairedDifference(delta, -1.0, 1.0, 1.0)
        low, high = percentiles(known, self.confidence, (-1.0, 1.0))
        groups = self._groups(truth)
        if groups:
            right = [self._right(truth, answers.classes) for answers in (one, two)]
            wide = agresti_min(groups, right[0], right[1], self.confidence)
            low, high = min(low, wide[0]), max(high, wide[1])
        if not self.needs_probabilities and self.discordant(truth, one, two) < FEWEST_DISCORDANT:
            low, high = min(low, 0.0), max(high, 0.0)
        return PairedDifference(delta, min(low, delta), max(high, delta), float(known.std()))

    def proportion(self, truth: Labels, predicted: Labels) -> tuple[Rows, Rows] | None:
        """The rows that the metric is a share of, and which rows are hits; None where it is no proportion.

        Accuracy counts every row, recall the true rows of its class, precision the predicted ones, the false-positive
        rate the true rows of all other classes.
        """
        if self.name in ("accuracy", "micro_f1"):
            return np.ones(len(truth), bool), truth == predicted
        if self.name in ("recall", "precision"):
            return (truth if self.name == "recall" else predicted) == self.of_class, truth == predicted
        if self.name == "false_positive_rate":
            return truth != self.of_class, predicted == self.of_class
        return None

    def discordant(self, truth: Labels, first: Given, second: Given) -> int:
        """Rows that the metric counts and on which exactly one of two models is right; see `better_and_worse`."""
        return sum(self.better_and_worse(truth, first, second))

    def better_and_worse(self, truth: Labels, first: Given, second: Given) -> tuple[int, int]:
        """Rows that the metric counts and only the second model has right, and those that only the first has right.

        Where the metric is of one class, right is who says rightly whether a row is of that class; recall counts the
        true rows of the class alone, the false-positive rate the others.
        """
        one, two = answers_of(first).classes, answers_of(second).classes
        if self.of_class is not None:
            counted = {"recall": truth == self.of_class, "false_positive_rate": truth != self.of_class}.get(
                self.name, np.ones(len(truth), bool)
            )
            truth, one, two = (answers[counted] == self.of_class for answers in (truth, one, two))
        right = [answers == truth for answers in (one, two)]
        return int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())

    def standard_error(self, score: Score) -> float:
        """Standard error of a score, from the side of its interval that speaks against it."""
        against = score.value - score.low if self.sign > 0 else score.high - score.value
        return max(0.0, against) / two_sided_z(self.confidence)

    def met(self, score: Score, errors: float = 0.0) -> bool:
        """Whether a score that is worse by `errors` of its standard errors still meets the limit."""
        worse = score.value - self.sign * errors * self.standard_error(score)
        return is_met(self.limit, worse)

    def kinds(self, truth: Labels, *answers: Answers) -> Kinds:
        """Rows that are alike to the metric as one; where it needs probabilities, every row is of its own kind."""
        if self.needs_probabilities:
            return Kinds(truth, answers, np.ones(len(truth), np.int64), np.arange(len(truth)))
        cells, counts, place = label_cells(truth, *(given.classes for given in answers))
        return Kinds(cells[:, 0], tuple(Answers(column) for column in cells[:, 1:].T), counts, place)

    def _resamples(self, kinds: Kinds) -> Floats:
        return resample_weights(kinds.counts, self.resamples, self.seed)

    def _right(self, truth: Labels, predicted: Labels) -> Rows:
        return predicted != self.of_class if self.name == "false_positive_rate" else predicted == truth

    def _groups(self, truth: Labels) -> list[Rows]:
        """The groups of rows whose shares of right answers the metric is the mean of; none where it is no such mean."""
        if self.name in ("accuracy", "micro_f1"):
            return [np.ones(len(truth), bool)]
        if self.name == "recall":
            return [truth == self.of_class]
        if self.name == "false_positive_rate":
            return [truth != self.of_class]
        if self.name == "balanced_accuracy":
            return [truth == at for at in range(len(self.labels)) if (truth == at).any()]
        return []


def bind(
    limit: Limit,
    labels: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    averaged: int | None = None,
) -> Metric:
    """A limit bound to the classes, in the order of `TaskSpec.labels`.

    Args:
        limit: of the task file; not one on the model itself (`Limit.is_budget`).
        labels: class names; the position is the class's number.
        confidence: of two-sided intervals, for example 0.95.
        resamples: bootstrap resamples.
        seed: of the bootstrap; the same seed gives the same intervals.
        averaged: means over classes are over the first so many labels; over all where None.

    Raises:
        ValueError: a limit on the model itself, or a class that is none of the labels.
    """
    own = Limit(metric=limit.metric, at_least=limit.at_least, at_most=limit.at_most, of_class=limit.of_class)
    return Metric(own, tuple(labels), confidence, resamples, seed, averaged)


def metrics_of(spec: TaskSpec) -> tuple[Metric, ...]:
    """Every limit on the answers of a model as the task file has it, the target first; limits on the model left out."""
    rules = spec.evaluation
    return tuple(
        bind(
            limit, spec.labels, confidence=rules.confidence, resamples=rules.resamples, seed=spec.adaptation.seed
        )
        for limit in spec.target.all_limits
        if not limit.is_budget
    )  # fmt: skip


def target_metric(spec: TaskSpec) -> Metric:
    """The target of the task file."""
    return metrics_of(spec)[0]


def is_met(limit: Limit, value: float) -> bool:
    """Whether a value meets a limit, limits on the model included."""
    if limit.direction == "at_least":
        return value >= limit.bound - TOLERANCE
    return value <= limit.bound + TOLERANCE


def agresti_min(groups: Sequence[Rows], first: Rows, second: Rows, confidence: float) -> tuple[float, float]:
    """Wald interval of the mean over groups of differences of paired proportions.

    In every group half a row is added to each of the four cells; groups have no row in common, so variances add.

    Args:
        groups: rows that each share counts, each of shape (rows,).
        first: which rows the first model has right, shape (rows,).
        second: which rows the second model has right.
        confidence: of the two-sided interval.
    """
    centre = variance = 0.0
    for group in groups:
        rows = int(group.sum()) + 2.0
        gained = float((group & second & ~first).sum()) + 0.5
        lost = float((group & ~second & first).sum()) + 0.5
        apart = (gained - lost) / rows
        centre += apart / len(groups)
        variance += ((gained + lost) / rows - apart * apart) / rows / len(groups) ** 2
    half = two_sided_z(confidence) * math.sqrt(variance)
    return max(-1.0, centre - half), min(1.0, centre + half)
