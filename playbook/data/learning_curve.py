"""Is more data worth it? A learning curve on the cached features of the frozen base (3.10).

Heads are trained on nested subsamples of the training rows, in several independent series, and scored on validation.
The scores follow score(n) = a - b n^-c, a power law with a ceiling (Cortes et al., NIPS 1993; it is among the laws that
fit most often, Viering and Loog, IEEE TPAMI 45 (2023) 7799-7819, first published 2022). It is bounded: the ceiling a is
at most 1, b at least 0, c between 0.1 and 2. A point counts by one over its variance: all series are drawn from the
same N rows, so with R series of n rows, f = n / N, and s the deviation of a score between samples of n rows drawn from
the world, the variance of the point is s^2 (f + (1 - f) / R); at n = N there is one sample and no more.

The predicted gain of twice the rows is score(2n) - score(n) of the fitted law. Its interval is a percentile bootstrap
that draws the series and the validation rows again and adds the part of the variance that series from the same rows
cannot show, s^2 f, each time fitting the law again. Where less of the metric is better, the law is fitted to the metric
with its sign turned, whose ceiling is 0, so that a gain is positive for every metric. The interval does not know what
the law does not know: data of another kind, or a base that is adapted, may bend the curve.

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
from playbook.spec import Limit
from playbook.statistics.answers import Answers, answers_of
from playbook.statistics.metric import Metric, bind
from playbook.statistics.values import worst_value

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
RESAMPLES = 1000
CONFIDENCE = 0.95
EXPONENTS = np.geomspace(0.1, 2.0, 60)
SMALLEST_DEVIATION = 1e-3  # between samples, of a score at all rows
FEWEST_PER_CLASS = 3  # rows per class, on average, in the smallest subsample
FEWEST_ROWS = 24  # in the smallest subsample
SPAN = 32  # the smallest subsample is not under this fraction of all rows


@dataclass(frozen=True)
class CurveRows:
    """Cached features float32 (rows, width) with class numbers (rows,); `train`, `validation` are row numbers."""

    features: npt.NDArray[np.float32]
    labels: Numbers
    train: Numbers
    validation: Numbers


@dataclass(frozen=True)
class CurveRules:
    """What is asked: the metric, the class names, the head's strength and class weights, and how often to draw."""

    metric: Limit
    labels: tuple[str, ...]
    l2: float
    class_weights: Callable[[Numbers], npt.NDArray[np.float32]]  # of the training rows at hand -> (classes,)
    sizes: int
    repeats: int
    worth: float
    seed: int

    @property
    def bound(self) -> Metric:
        """The metric bound to the classes."""
        return bind(self.metric, self.labels)


@dataclass(frozen=True)
class Law:
    """sign * score(n) = a - b n^-c for many resamples at once, a, b and c each of shape (resamples,)."""

    a: Floats
    b: Floats
    c: Floats
    sign: int = 1  # -1 where less of the metric is better

    def __call__(self, rows: npt.ArrayLike) -> Floats:
        """Scores, shape (resamples, sizes)."""
        n = np.atleast_1d(np.asarray(rows, dtype=np.float64))
        return self.sign * (self.a[:, None] - self.b[:, None] * n[None] ** -self.c[:, None])


@dataclass(frozen=True)
class MeasuredCurve:
    """The artefact's part, the fitted law, and the laws of all resamples, for the plot's band."""

    curve: LearningCurve
    law: Law
    resampled: Law


def learning_curve(rows: CurveRows, rules: CurveRules) -> MeasuredCurve | None:
    """Measure and judge the curve; None where there are too few training rows for four sizes.

    Deterministic: the same rows and rules give the same curve.
    """
    from threadpoolctl import threadpool_limits

    began = time.perf_counter()
    sizes = subsample_sizes(len(rows.train), len(rules.labels), rules.sizes)
    if len(sizes) < 4:
        return None
    with threadpool_limits(1):  # small matrices: threads gain nothing, and wait for each other on a busy machine
        answers = _answers(rows, rules, sizes)
    measured = _judged(rows.labels[rows.validation], answers, sizes, rules)
    seconds = round(time.perf_counter() - began, 2)
    curve = measured.curve.model_copy(update={"seconds": seconds})
    return MeasuredCurve(curve, measured.law, measured.resampled)


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


def _answers(rows: CurveRows, rules: CurveRules, sizes: list[int]) -> list[list[Answers]]:
    """Answers to the validation rows by repeat and size. All rows give one head for all series."""
    random = np.random.default_rng(rules.seed)
    labels, inputs = rows.labels[rows.train], rows.features[rows.validation]
    found: list[list[Answers]] = []
    whole = _predicted(rows, rules, rows.train, inputs)
    for _ in range(rules.repeats):
        order = rows.train[nested_order(labels, random)]
        found.append([*(_predicted(rows, rules, order[:size], inputs) for size in sizes[:-1]), whole])
    return found


def _predicted(rows: CurveRows, rules: CurveRules, chosen: Numbers, inputs: npt.NDArray[np.float32]) -> Answers:
    """Of a head as the frozen baseline's; its penalty stays the same in total, so that it weighs less the more rows."""
    from sklearn.linear_model import LogisticRegression

    features, labels = rows.features[chosen], rows.labels[chosen]
    if len(np.unique(labels)) == 1:
        return answers_of(np.tile(np.eye(len(rules.labels))[labels[0]], (len(inputs), 1)))
    centre, scale = features.mean(0), float(features.std()) or 1.0
    head = LogisticRegression(C=1 / (rules.l2 * len(rows.train)), max_iter=300, tol=1e-3)
    head.fit((features - centre) / scale, labels, sample_weight=rules.class_weights(labels)[labels])
    scaled = (inputs - centre) / scale
    probabilities = np.zeros((len(inputs), len(rules.labels)))
    probabilities[:, head.classes_] = head.predict_proba(scaled)
    return Answers(np.asarray(head.predict(scaled), dtype=np.int64), probabilities)


def _judged(truth: Numbers, answers: Sequence[Sequence[Answers]], sizes: list[int], rules: CurveRules) -> MeasuredCurve:
    scores = _scores(truth, answers, np.ones((1, len(truth))), rules)[0]  # (repeats, sizes)
    mean, deviation = scores.mean(axis=0), scores.std(axis=0, ddof=1)
    share = np.array(sizes) / sizes[-1]
    between = between_samples(deviation, share)
    weights = 1 / (between**2 * (share + (1 - share) / rules.repeats))
    sign = rules.bound.sign
    law = fit_law(np.array(sizes), mean[None], weights, sign)
    unseen = np.random.default_rng([rules.seed, 2]).normal(0, between * np.sqrt(share), (RESAMPLES, len(sizes)))
    resampled = fit_law(np.array(sizes), _resampled(truth, answers, rules) + unseen, weights, sign)
    now = sizes[-1]
    gains = sign * np.diff(resampled([now, 2 * now]), axis=1)[:, 0]
    low, high = np.quantile(gains, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    value = sign * float(np.diff(law([now, 2 * now]), axis=1)[0, 0])
    gain = Figure(value=value, low=min(float(low), value), high=max(float(high), value))
    verdict = judge_gain(gain, rules.worth)
    a, b, c = sign * float(law.a[0]), sign * float(law.b[0]), float(law.c[0])
    curve = LearningCurve(
        metric=rules.metric.label,
        points=tuple(
            LearningPoint(rows=n, score=sign * float(m), deviation=float(d), repeats=1 if n == now else rules.repeats)
            for n, m, d in zip(sizes, mean, deviation, strict=True)
        ),
        law=f"score(n) = {a:.4f} {'-' if sign > 0 else '+'} {abs(b):.4f} n^-{c:.3f}",
        parameters={"a": a, "b": b, "c": c},
        rows_now=now,
        gain_of_twice=gain,
        verdict=verdict,
        text=_in_words(rules, now, sign * float(mean[-1]), gain, verdict),
    )
    return MeasuredCurve(curve, law, resampled)


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


def fit_law(rows: npt.NDArray[np.int64], scores: Floats, weights: Floats, sign: int = 1) -> Law:
    """Weighted least squares of the bounded law, by a grid over c and the closed form for a and b.

    Args:
        rows: sizes, shape (sizes,).
        scores: with the sign that makes more better, shape (resamples, sizes).
        weights: of the sizes, shape (sizes,).
        sign: -1 where less of the metric is better; the ceiling is then 0 and not 1.
    """
    highest = 1.0 if sign > 0 else 0.0
    best = np.full(len(scores), np.inf)
    a, b, c = (np.zeros(len(scores)) for _ in range(3))
    share = weights / weights.sum()
    for exponent in EXPONENTS:
        fall = rows.astype(np.float64) ** -exponent
        scale = fall.mean()
        fall = fall / scale  # of order one, for conditioning
        middle, centre = share @ fall, scores @ share
        slope = -((scores - centre[:, None]) * (fall - middle)) @ share / (share @ (fall - middle) ** 2)
        slope = np.maximum(slope, 0.0)
        ceiling = centre + slope * middle
        over = ceiling > highest  # then the ceiling is fixed and only b is free
        pinned = np.maximum(((highest - scores) * fall) @ share / (share @ fall**2), 0.0)
        slope, ceiling = np.where(over, pinned, slope), np.where(over, highest, ceiling)
        error = ((scores - ceiling[:, None] + slope[:, None] * fall[None]) ** 2) @ share
        better = error < best - 1e-15
        best, a = np.where(better, error, best), np.where(better, ceiling, a)
        b, c = np.where(better, slope / scale, b), np.where(better, exponent, c)
    return Law(a, b, c, sign)


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
        f"With {now} training rows the head on frozen features reaches {rules.metric.label} {score:.3f} on validation. "
        f"{_gained(rules, gain)}; {_points(rules.worth)} worth it, so {meaning}."
    )


def _gained(rules: CurveRules, gain: Figure) -> str:
    if rules.bound.ends[1] > 1:
        return f"Twice the rows would better it by about {gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"
    verb = "add" if rules.bound.sign > 0 else "take off"
    interval = f"({100 * gain.low:.1f} to {100 * gain.high:.1f})"
    return f"Twice the rows would {verb} about {100 * gain.value:.1f} points {interval}"


def _points(worth: float) -> str:
    count = f"{100 * worth:.3g}"
    return f"{count} point counts as" if count == "1" else f"{count} points count as"
