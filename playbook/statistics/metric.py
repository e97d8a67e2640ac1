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
from playbook.statistics.least_rows import least_of_each
from playbook.statistics.ranking_intervals import (
    Auc,
    auc_difference_error,
    auc_interval,
    auc_of,
    logit_interval,
    loss_interval,
)
from playbook.statistics.ratio_intervals import (
    LARGEST_SHARE,
    OF_ONE,
    Ratios,
    Scatter,
    interval_of_mean,
    interval_of_one,
    is_clear,
    ratios,
)
from playbook.statistics.ratio_intervals import difference as ratio_difference
from playbook.statistics.ratio_intervals import scatter as ratio_scatter
from playbook.statistics.resampling import label_cells, percentiles, resample_weights, wilson
from playbook.statistics.sample_size import FEWEST_DISCORDANT, OF_ALL_ROWS, two_sided_z
from playbook.statistics.values import (
    Floats,
    Labels,
    log_losses,
    metric_values,
    probability_values,
    values_of_many,
    worst_value,
)

TOLERANCE = 1e-9  # two fractions of whole rows that differ by less are equal
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairedDifference:
    """Gain of the second model over the first in units of the metric, with its interval and its standard error."""

    delta: float
    low: float
    high: float
    standard_error: float
    too_few: str = ""  # which rows are too few for the interval to be relied on, and how many would do
    step: float = 0.0  # what one row moves the gain by, where the metric is a share of the same rows for both models


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
    averaged: tuple[int, ...] | None = None  # numbers of the classes that means over classes are over; all where None

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

    def values_of_many(self, truth: Labels, predicted: Labels, weights: Floats) -> Floats:
        """`values` of many sets of classes, (sets, rows) and (resamples, rows) -> (sets, resamples)."""
        return values_of_many(self.name, self.of_class, truth, predicted, weights, len(self.labels), self.averaged)

    def score(self, truth: Labels, answers: Given) -> Score:
        """The metric with its interval, which `ratio_intervals` and `ranking_intervals` describe.

        Where too few rows of a class are there for the interval to keep its promise, `Score.too_few` says so, with the
        number that would do.
        """
        return self.score_of(self.kinds(truth, answers_of(answers)))

    def score_of(self, kinds: Kinds) -> Score:
        """`score`, of rows that were counted by kind; with one set of answers."""
        value = self._value(kinds, kinds.answers[0])
        low, high = self._interval(kinds, value)
        return Score(
            metric=self.label,
            value=value,
            low=min(low, value),
            high=max(high, value),
            n=int(kinds.counts.sum()),
            too_few=self._too_few(kinds),
        )

    def difference(self, truth: Labels, first: Given, second: Given) -> PairedDifference:
        """How much better the second model is than the first on the same rows; see the module for the sign.

        Accuracy: the percentile interval of a paired bootstrap over rows, widened to that of Agresti and Min where that
        reaches further. The other metrics of classes: `ratio_intervals.difference`. Where fewer than six of the rows
        that count are discordant (`discordant`), no difference is claimed: McNemar's exact test could not reach 5 %, so
        the interval is widened to include zero. Metrics of probabilities: `ranking_intervals`. Where nothing can be
        known the interval is (-1, 1).

        Args:
            truth: true classes, shape (rows,).
            first: answers of the first model, usually the baseline, as `value` takes them.
            second: answers of the second model.
        """
        return self.difference_of(self.kinds(truth, answers_of(first), answers_of(second)))

    def difference_of(self, kinds: Kinds) -> PairedDifference:
        """`difference`, of rows that were counted by kind; with two sets of answers."""
        one, two = kinds.answers
        delta = self.gain(self._value(kinds, one), self._value(kinds, two))
        if not kinds.counts.sum():
            return PairedDifference(delta, -1.0, 1.0, 1.0)
        if self.needs_probabilities:
            error = self._ranking_error(kinds)
            reach = two_sided_z(self.confidence) * error
            return PairedDifference(delta, delta - reach, delta + reach, error, self._too_few(kinds))
        found = self._bootstrapped(kinds) if self.name in OF_ALL_ROWS else self._of_ratios(kinds)
        low, high = found.low, found.high
        if sum(self._better_and_worse(kinds)) < FEWEST_DISCORDANT:
            low, high = min(low, 0.0), max(high, 0.0)
        low, high = min(low, delta), max(high, delta)
        return PairedDifference(delta, low, high, found.standard_error, found.too_few, self._step(kinds))

    def scatter(self, truth: Labels, first: Given, second: Given) -> Scatter | None:
        """What the variance of `difference` is made of, to plan with; None where the metric is not counted as ratios.

        Args:
            truth: true classes, shape (rows,).
            first: answers of the first model, as `value` takes them.
            second: answers of the second model.
        """
        if self.needs_probabilities or self.name in OF_ALL_ROWS or not len(truth):
            return None
        kinds = self.kinds(truth, answers_of(first), answers_of(second))
        one, two = (self._ratios(kinds, answers) for answers in kinds.answers)
        return ratio_scatter(one, two)

    def _step(self, kinds: Kinds) -> float:
        own = kinds.truth == self.of_class
        counted = {"recall": own, "false_positive_rate": ~own}
        if self.name in OF_ALL_ROWS:
            counted[self.name] = np.ones(len(kinds.truth), bool)
        rows = int(kinds.counts[counted[self.name]].sum()) if self.name in counted else 0
        return 1 / rows if rows else 0.0

    def _value(self, kinds: Kinds, answers: Answers) -> float:
        found = float(self.values(kinds.truth, answers, kinds.counts[None].astype(float))[0])
        return worst_value(self.name) if math.isnan(found) else found

    def _interval(self, kinds: Kinds, value: float) -> tuple[float, float]:
        """Ends of the interval of a score; (0, 1), or (0, infinity), without a row that counts."""
        truth, given = kinds.truth, kinds.answers[0]
        if self.name == "log_loss":
            assert given.probabilities is not None
            return loss_interval(log_losses(truth, given.probabilities), self.confidence)
        if self.name == "roc_auc":
            found = self._aucs(truth, given)
            return auc_interval(found, self.confidence) if found else self.ends
        if self.name == "average_precision":
            drawn = self.values(truth, given, self._resamples(kinds))
            return logit_interval(value, drawn, int(min(self._rows_of_each(kinds), default=0)), self.confidence)
        if self.name in OF_ALL_ROWS:
            right = int(kinds.counts[truth == given.classes].sum())
            return wilson(right, int(kinds.counts.sum()), self.confidence)
        of_mean = self.name in OF_ONE
        return (interval_of_mean if of_mean else interval_of_one)(self._ratios(kinds, given), self.confidence)

    def _chosen(self) -> npt.NDArray[np.int64]:
        """Numbers of the classes that the metric is of, or the mean over."""
        if self.of_class is not None:
            return np.array([self.of_class])
        return np.array(range(len(self.labels)) if self.averaged is None else self.averaged)

    def _ratios(self, kinds: Kinds, answers: Answers) -> Ratios:
        name = OF_ONE.get(self.name, self.name)
        return ratios(name, self._chosen(), kinds.truth, answers.classes, kinds.counts.astype(float))

    def _of_ratios(self, kinds: Kinds) -> PairedDifference:
        first, second = (self._ratios(kinds, answers) for answers in kinds.answers)
        found = ratio_difference(first, second, self.confidence)
        low, high = (found.low, found.high) if self.sign > 0 else (-found.high, -found.low)
        few = self._too_few(kinds)
        if not few and not is_clear(low, high) and found.assumed.sum() > LARGEST_SHARE:
            at = int(found.assumed.argmax())
            would_do = math.ceil(max(self._rows_of_each(kinds)[at], 1) * float(found.assumed.sum()) / LARGEST_SHARE)
            label = self.labels[self._chosen()[at]]
            few = f"too few rows of {label} to tell the models apart; about {would_do:,} would do"
        return PairedDifference(0.0, low, high, found.standard_error, few)

    def _bootstrapped(self, kinds: Kinds) -> PairedDifference:
        weights = self._resamples(kinds)
        each = [self.values(kinds.truth, answers, weights) for answers in kinds.answers]
        drawn = each[1] - each[0]
        low, high = percentiles(drawn, self.confidence, (-1.0, 1.0))
        wide = agresti_min(*self._better_and_worse(kinds), int(kinds.counts.sum()), self.confidence)
        return PairedDifference(0.0, min(low, wide[0]), max(high, wide[1]), float(drawn.std()))

    def _aucs(self, truth: Labels, given: Answers) -> list[Auc]:
        assert given.probabilities is not None
        found = (auc_of(truth == at, given.probabilities[:, at].astype(float)) for at in self._chosen())
        return [one for one in found if one is not None]

    def _ranking_error(self, kinds: Kinds) -> float:
        """Standard error of a difference in a metric of probabilities."""
        truth, (one, two) = kinds.truth, kinds.answers
        assert one.probabilities is not None and two.probabilities is not None
        if self.name == "log_loss":
            apart = log_losses(truth, two.probabilities) - log_losses(truth, one.probabilities)
            return float(apart.std() / math.sqrt(max(len(truth) - 1, 1)))
        if self.name == "roc_auc":
            aucs = [self._aucs(truth, given) for given in (one, two)]
            return auc_difference_error(aucs[0], aucs[1]) if aucs[0] else 1.0
        weights = self._resamples(kinds)
        drawn = self.values(truth, two, weights) - self.values(truth, one, weights)
        known = drawn[~np.isnan(drawn)]
        return float(known.std()) if len(known) else 1.0

    def _rows_of_each(self, kinds: Kinds) -> list[int]:
        """True rows of the classes that the metric is of, or the mean over."""
        return [int(kinds.counts[kinds.truth == at].sum()) for at in self._chosen()]

    def _too_few(self, kinds: Kinds) -> str:
        """Which rows are too few for an interval that keeps its promise, and how many would do; usually empty."""
        least = least_of_each(self.name)
        if not least:
            return ""
        if self.name in OF_ONE or self.needs_probabilities:
            rows = self._rows_of_each(kinds)
        else:
            rows = [int(count) for count in self._ratios(kinds, kinds.answers[0]).rows]
        few = [self.labels[at] for at, count in zip(self._chosen(), rows, strict=True) if count < least]
        if not few:
            return ""
        named = few[0] if len(few) == 1 else f"{few[0]} and {len(few) - 1} more"
        return f"too few rows of {named} to say; {least} {'of each ' if len(few) > 1 else ''}would do"

    def proportion(self, truth: Labels, predicted: Labels) -> tuple[Rows, Rows] | None:
        """The rows that the metric is a share of, and which rows are hits; None where it is not a proportion.

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
        return self._better_and_worse(self.kinds(truth, answers_of(first), answers_of(second)))

    def _better_and_worse(self, kinds: Kinds) -> tuple[int, int]:
        truth, counts = kinds.truth, kinds.counts
        one, two = (answers.classes for answers in kinds.answers)
        if self.of_class is not None:
            counted = {"recall": truth == self.of_class, "false_positive_rate": truth != self.of_class}.get(self.name)
            counts = counts if counted is None else counts * counted
            truth, one, two = (answers == self.of_class for answers in (truth, one, two))
        right = [answers == truth for answers in (one, two)]
        return int(counts[right[1] & ~right[0]].sum()), int(counts[right[0] & ~right[1]].sum())

    def standard_error(self, score: Score) -> float:
        """Standard error of a score, from the side of its interval that speaks against it."""
        against = score.value - score.low if self.sign > 0 else score.high - score.value
        return max(0.0, against) / two_sided_z(self.confidence)

    def met(self, score: Score, errors: float = 0.0) -> bool:
        """Whether a score that is worse by `errors` of its standard errors still meets the limit.

        Never on too few rows, where how far the score can be trusted is not known.
        """
        if score.too_few:
            return False
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


def bind(
    limit: Limit,
    labels: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    averaged: tuple[int, ...] | None = None,
) -> Metric:
    """A limit bound to the classes, in the order of `TaskSpec.labels`.

    Args:
        limit: of the task file; not one on the model itself (`Limit.is_budget`).
        labels: class names; the position is the class's number.
        confidence: of two-sided intervals, for example 0.95.
        resamples: bootstrap resamples.
        seed: of the bootstrap; the same seed gives the same intervals.
        averaged: numbers of the classes that means over classes are over; all where None.

    Raises:
        ValueError: a limit on the model itself, or a class that is not among the labels.
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


def agresti_min(gained: int, lost: int, rows: int, confidence: float) -> tuple[float, float]:
    """Wald interval of a difference of paired shares, after half a row was added to each of the four cells.

    Args:
        gained: rows that only the second model has right.
        lost: rows that only the first model has right.
        rows: all rows.
        confidence: of the two-sided interval.
    """
    centre = (gained - lost) / (rows + 2)
    half = two_sided_z(confidence) * math.sqrt(((gained + lost + 1) / (rows + 2) - centre * centre) / (rows + 2))
    return max(-1.0, centre - half), min(1.0, centre + half)
