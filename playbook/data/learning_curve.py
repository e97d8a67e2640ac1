"""Is more data worth it? A learning curve on the cached features of the frozen base (3.10).

Heads are trained on nested subsamples of the training rows, in several independent series, and scored on validation.
They are made and chosen as the frozen baseline's head is, which is the last point: the curve ends where the baseline
stands. What the curve says of twice the rows is worked out in `playbook.data.twice_the_rows`.

Verdict, with `worth` from the task file: data-limited where the whole interval is above it, plateau where the whole
interval is below it, otherwise unclear.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Figure, LearningCurve, LearningPoint
from playbook.data.twice_the_rows import Outlook, Steps, outlook
from playbook.spec import Limit
from playbook.statistics.answers import Answers
from playbook.statistics.metric import Metric, bind
from playbook.statistics.values import worst_value

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
RESAMPLES = 1000
CONFIDENCE = 0.95
SMALLEST_DEVIATION = 1e-3  # between samples, of a score at all rows
FEWEST_PER_CLASS = 3  # rows per class, on average, in the smallest subsample
FEWEST_ROWS = 24  # in the smallest subsample
MANY_CLASSES, MANY_ROWS, FEW_REPEATS = 20, 5000, 4  # from either on, so many series
SPAN = 32  # the smallest subsample is not under this fraction of all rows


@dataclass(frozen=True)
class CurveRows:
    """Class numbers (rows,) of all rows; `train`, `validation` are row numbers."""

    labels: Numbers
    train: Numbers
    validation: Numbers


@dataclass(frozen=True)
class CurveHeads:
    """Answers to the validation rows: of the frozen baseline, and of a head like it on some of the training rows."""

    whole: Answers
    fewer: Callable[[Numbers], Answers]  # of row numbers


@dataclass(frozen=True)
class CurveRules:
    """What is asked: the metric, the class names, and how often to draw."""

    metric: Limit
    labels: tuple[str, ...]
    sizes: int
    repeats: int
    worth: float
    seed: int

    @property
    def bound(self) -> Metric:
        """The metric bound to the classes."""
        return bind(self.metric, self.labels)


@dataclass(frozen=True)
class MeasuredCurve:
    """The artefact's part, and what is known of twice the rows, for the plot."""

    curve: LearningCurve
    outlook: Outlook


def learning_curve(rows: CurveRows, rules: CurveRules, heads: CurveHeads) -> MeasuredCurve | None:
    """Measure and judge the curve; None where there are too few training rows for four sizes.

    Deterministic: the same rows, rules and heads give the same curve.
    """
    began = time.perf_counter()
    sizes = subsample_sizes(len(rows.train), len(rules.labels), rules.sizes)
    if len(sizes) < 4:
        return None
    measured = _judged(rows.labels[rows.validation], _answers(rows, rules, heads, sizes), sizes, rules)
    seconds = round(time.perf_counter() - began, 2)
    return MeasuredCurve(measured.curve.model_copy(update={"seconds": seconds}), measured.outlook)


def default_repeats(asked: int, rows: int, classes: int) -> int:
    """How many series are drawn where the task file does not say: `asked`, or few where each head takes long."""
    return min(asked, FEW_REPEATS) if classes >= MANY_CLASSES or rows >= MANY_ROWS else asked


def subsample_sizes(rows: int, classes: int, count: int) -> list[int]:
    """At most `count` growing sizes in equal ratios up to `rows`; fewer where sizes would coincide or be too small."""
    smallest = max(FEWEST_ROWS, FEWEST_PER_CLASS * classes, -(-rows // SPAN))
    if rows < 2 * smallest:
        return []
    return sorted({round(size) for size in np.geomspace(smallest, rows, count)})


def nested_order(labels: Numbers, random: np.random.Generator) -> Numbers:
    """Positions in an order of which every beginning has the classes in proportion, as far as whole rows allow."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        mine = random.permutation(np.flatnonzero(labels == label))
        place[mine] = (np.arange(len(mine)) + random.random()) / len(mine)
    return np.argsort(place, kind="stable").astype(np.int64)


def _answers(rows: CurveRows, rules: CurveRules, heads: CurveHeads, sizes: list[int]) -> list[list[Answers]]:
    """Answers to the validation rows by repeat and size. All rows give one head for all series."""
    random = np.random.default_rng(rules.seed)
    labels = rows.labels[rows.train]
    found: list[list[Answers]] = []
    for _ in range(rules.repeats):
        order = rows.train[nested_order(labels, random)]
        found.append([*(heads.fewer(order[:size]) for size in sizes[:-1]), heads.whole])
    return found


def _judged(truth: Numbers, answers: Sequence[Sequence[Answers]], sizes: list[int], rules: CurveRules) -> MeasuredCurve:
    scores = _scores(truth, answers, np.ones((1, len(truth))), rules)[0]  # (repeats, sizes)
    mean, deviation = scores.mean(axis=0), scores.std(axis=0, ddof=1)
    mean[-1], deviation[-1] = scores[0, -1], 0.0  # one head: no mean, and none of its rounding
    between = between_samples(deviation, np.array(sizes) / sizes[-1])
    sign, now = rules.bound.sign, sizes[-1]
    highest = 1.0 if sign > 0 else 0.0
    noise = np.cov(np.diff(_resampled(truth, answers, rules), axis=1).T)
    steps = Steps(np.array(sizes, dtype=np.float64), mean, noise, float(between[-1]), highest, sign)
    found = outlook(steps, rules.seed)
    low, high = np.quantile(found.gains, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    gain = Figure(value=found.gain, low=min(float(low), found.gain), high=max(float(high), found.gain))
    verdict = judge_gain(gain, rules.worth)
    curve = LearningCurve(
        metric=rules.metric.label,
        points=tuple(
            LearningPoint(rows=n, score=sign * float(m), deviation=float(d), repeats=1 if n == now else rules.repeats)
            for n, m, d in zip(sizes, mean, deviation, strict=True)
        ),
        law=f"each doubling of the rows adds {found.ratio:.2f} times what the one before added",
        parameters={"c": found.exponent, "ratio": found.ratio},
        rows_now=now,
        gain_of_twice=gain,
        verdict=verdict,
        text=_in_words(rules, now, sign * float(mean[-1]), gain, verdict) + _again(rules, found.again),
    )
    return MeasuredCurve(curve, found)


def between_samples(deviation: Floats, share: Floats) -> Floats:
    """Deviation of a score between samples drawn from the world, of each size, shape (sizes,).

    `deviation` is what series from the same rows show, smaller by sqrt(1 - f) because they overlap (`share` is f). The
    deviation is taken to fall with the root of the size, and what each size says of it is averaged.
    """
    part = share < 1
    at_all_rows = deviation[part] / np.sqrt(1 - share[part]) * np.sqrt(share[part])
    return max(float(np.mean(at_all_rows)), SMALLEST_DEVIATION) / np.sqrt(share)


def _scores(truth: Numbers, answers: Sequence[Sequence[Answers]], weights: Floats, rules: CurveRules) -> Floats:
    """Metric of every head under every weighting of the validation rows, shape (weightings, repeats, sizes).

    With the sign that makes more better.
    """
    metric, sizes = rules.bound, len(answers[0])
    found = np.zeros((len(weights), len(answers), sizes))
    for repeat, series in enumerate(answers):
        for size, given in enumerate(series):
            known = size == sizes - 1 and repeat
            found[:, repeat, size] = found[:, 0, size] if known else metric.values(truth, given, weights)
    return metric.sign * np.nan_to_num(found, nan=worst_value(metric.name))


def _resampled(truth: Numbers, answers: Sequence[Sequence[Answers]], rules: CurveRules) -> Floats:
    """Mean scores per size of resamples of series and validation rows together, shape (resamples, sizes)."""
    random = np.random.default_rng([rules.seed, 1])
    rows = len(truth)
    weights = random.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES).astype(np.float64)
    scores = _scores(truth, answers, weights, rules)
    series = random.multinomial(rules.repeats, np.full(rules.repeats, 1 / rules.repeats), size=RESAMPLES)
    return np.einsum("drs,dr->ds", scores, series / rules.repeats)


def judge_gain(gain: Figure, worth: float) -> Literal["data-limited", "plateau", "unclear"]:
    """The verdict by the rule that the module's text states."""
    if gain.low > worth:
        return "data-limited"
    return "plateau" if gain.high < worth else "unclear"


def _in_words(rules: CurveRules, now: int, score: float, gain: Figure, verdict: str) -> str:
    meaning = {
        "data-limited": "labelling more rows pays: data-limited",
        "plateau": "labelling more rows of this kind does not pay: plateau",
        "unclear": "the rows at hand cannot say whether labelling more pays: unclear",
    }[verdict]
    return (
        f"With {now} training rows the frozen baseline reaches {rules.metric.label} {score:.3f} on validation. "
        f"{_gained(rules, gain)}; {_points(rules.worth)} worth it, so {meaning}."
    )


def _again(rules: CurveRules, again: float) -> str:
    """The interval is of new rows: what it leaves out of a second measurement on the same validation rows."""
    shown = f"{again:.3f}" if rules.bound.ends[1] > 1 else f"{100 * again:.1f} points"
    return f" That is on new rows; measured on these validation rows again, it scatters by another {shown} either way."


def _gained(rules: CurveRules, gain: Figure) -> str:
    if rules.bound.ends[1] > 1:
        return f"Twice the rows would better it by about {gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"
    verb = "add" if rules.bound.sign > 0 else "take off"
    interval = f"({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    return f"Twice the rows would {verb} about {100 * gain.value:.1f} points {interval}"


def _points(worth: float) -> str:
    count = f"{100 * worth:.3g}"
    return f"{count} point counts as" if count == "1" else f"{count} points count as"
