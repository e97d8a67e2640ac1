"""Is a window of production unlike the reference? Figures with an exact test of each window (6.4, B5).

Permutation test: the window's rows and the reference's are pooled, and the figures are computed again for as many
random windows of the pooled rows as the task file names (`resamples`). Without drift the real window is one such draw
like any other, so its p-value is exact whatever the features, the sizes and the ties: the alarm over all figures is
raised at most at the rate of the task file, over references and windows (see `thresholds`). Thresholds that are drawn
from the reference alone do not have this: where it has no row of another script, one foreign word would be more than
all that it can draw. In the pooled rows that word falls into the window as often as the window is large (Fisher's exact
test is this test for a yes-or-no figure; Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005).

Rare figures (unknown tokens, letters of other scripts) count from three rows on: an alarm of one or two rows is nothing
that anybody could act on. The same floor holds for the random windows, so it costs the test none of its exactness.

A window whose p-value comes near the rate is drawn for again, five times as often, and the second p-value counts: the
retraining policy asks for p-values far smaller than the alarm's, and ranks of eight figures need room for them: what
is extreme in one figure alone comes to eight over the random windows (`playbook.spec.drift_rates`), so the task file is
held to as many as its rates need, and windows with such a p-value count as near, whatever the rate. The alarm still
needs a second p-value at or under the rate, so its rate stays what it is.

What is promised is a rate over references and windows. One reference is itself a sample, and all windows that are held
against it share its luck, good or bad. And it is a rate for windows of rows like the reference's: where rows of one
customer resemble each other, a large window of other customers is a shift, and is found. docs/drift.md has the measured
rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import DriftFigure
from playbook.evaluate.calibration import scaled
from playbook.operate import two_sample
from playbook.operate.figures import RowFigures
from playbook.operate.reference import Reference, checked_probabilities
from playbook.operate.thresholds import Floats, Thresholds, thresholds_of
from playbook.operate.two_sample import Members
from playbook.spec import Monitoring
from playbook.spec.drift_rates import finer, sure_p_value
from playbook.statistics.operating_point import decide

# In this order: the first win where ranks tie.
MEAN_SHIFT, CLASSIFIER, MMD, CLASSES, CONFIDENCE, WORDS, UNKNOWN, SCRIPT = FIGURES = (
    "mean_shift", "classifier", "mmd", "predicted_classes", "confidence", "words", "unknown_tokens", "other_scripts",
)  # fmt: skip
ROWS_PER_DAY = "rows_per_day"  # has a flag of its own, and no part in the alarm
LEAST_DAYS = 14
MOST_ROWS = 4000  # of the reference that windows are compared with
LARGE_WINDOW = 1000  # rows that are compared whole with any reference; more than that up to half of the reference
LEAST_EVENTS = 3  # rows with a rare figure that are needed before it counts
_NEAR = 2  # times the rate
_BATCH = 1000  # random windows at a time
_MEANS = 4  # columns of row values before the shares of classes: confidence, words, unknown, other scripts
_RARE = (2, 3)  # of those columns: unknown tokens, other scripts
Probabilities = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows that windows are marked in: features float32 (n, width), values float64 (n, 4 + classes)."""

    features: npt.NDArray[np.float32]
    values: Floats

    def figures(self, markings: Sequence[Members], seed: int = 0) -> Floats:
        """Figures of the marked rows against those not marked, in the order of `FIGURES`; large values speak for drift.

        All statistics depend on the rows alone and treat marked and other rows alike, which the permutation test needs.

        Args:
            markings: each of shape (rows, windows), its windows with the same number of marked rows.
            seed: of the rows that the width of the kernel is measured on.

        Returns:
            Shape (windows of all markings, figures).
        """
        squares = two_sample.squared_distances(self.features, self.features)
        width = two_sample.median_distance(squares, seed)
        centred = two_sample.doubly_centred(two_sample.kernel(squares, width))
        rows = two_sample.Standardised(self.features)
        return np.concatenate([self._marked(rows, centred, members) for members in markings])

    def _marked(self, rows: two_sample.Standardised, centred: npt.NDArray[np.float32], members: Members) -> Floats:
        apart = np.abs(two_sample.differences(self.values, members))
        for column in _RARE:
            apart[:, column] *= two_sample.frequent(self.values[:, column] > 0, members, LEAST_EVENTS)
        found = (
            rows.mean_shift(members),
            rows.classifier_auc(members),
            two_sample.squared_mmd(centred, members),
            apart[:, _MEANS:].sum(axis=1) / 2,
        )
        return np.column_stack([*found, apart[:, :_MEANS]])


class Judge:
    """One reference, made ready for many windows.

    A reference of more than 4,000 rows is cut to that many at random.
    """

    def __init__(self, reference: Reference, monitoring: Monitoring, seed: int = 0) -> None:
        self.digest, self.monitoring, self.seed = reference.digest, monitoring, seed
        if len(reference) > MOST_ROWS:
            reference = reference.take(np.random.default_rng(seed).permutation(len(reference))[:MOST_ROWS])
        self.reference = reference
        self.features = reference.figures.features
        self.script = reference.figures.script
        self.values = self._values(reference.figures, reference.probabilities)
        self.seen: dict[int, float | None] = {}  # what `detectable` found, by size

    @property
    def most_rows(self) -> int:
        """Rows of the largest window that is judged whole; a larger one is cut to them at random."""
        return max(len(self.reference) // 2, LARGE_WINDOW)

    def pool(self, rows: Rows) -> Pool:
        """The rows of the reference at these places."""
        return Pool(self.features[rows], self.values[rows])

    def judge(self, window: RowFigures, probabilities: Probabilities, seed: int = 0) -> tuple[DriftFigure, ...]:
        """The window's figures beside their thresholds, in the order of `FIGURES`.

        Args:
            window: figures of the window's inputs.
            probabilities: the model's answers as logged, shape (rows, classes).
            seed: of the random windows, and of the rows that a large window is cut to; give another one for every
                window.

        Raises:
            ValueError: no rows, or answers and features that do not fit the reference.
        """
        self._fits(window, probabilities)
        random = np.random.default_rng([self.seed, seed])
        chosen = random.permutation(len(window))[: self.most_rows]
        cut = window.take(chosen)
        values = self._values(cut, probabilities[chosen])
        pool = Pool(np.concatenate([cut.features, self.features]), np.concatenate([values, self.values]))
        rules, found = self.monitoring, np.empty(0)
        for resamples in (rules.resamples, finer(rules.resamples)):
            found, drawn_figures = _permuted(pool, len(cut), resamples, random)
            thresholds = thresholds_of(drawn_figures, rules.false_alarm_rate, len(cut), self.digest)
            near = max(_NEAR * rules.false_alarm_rate, sure_p_value(resamples))  # what any figure alone can reach
            if thresholds.p_values(found).min() > near + 1e-12:
                break
        return self._described(thresholds, found, values)

    def _values(self, figures: RowFigures, probabilities: Probabilities) -> Floats:
        sure = scaled(probabilities, self.reference.temperature).max(axis=1)
        answers = np.eye(len(self.reference.labels))[decide(probabilities, self.reference.threshold)]
        means = (sure, figures.words, figures.unknown, figures.foreign(self.script))
        return np.column_stack([*means, answers]).astype(np.float64)

    def _described(self, thresholds: Thresholds, found: Floats, values: Floats) -> tuple[DriftFigure, ...]:
        """Distances stand beside one threshold; means stand between two, around the mean of the reference."""
        usual = self.values.mean(axis=0)
        shown = []
        for at, (name, p_value) in enumerate(zip(FIGURES, thresholds.p_values(found), strict=True)):
            reach, column = thresholds.threshold(at), at - (len(FIGURES) - _MEANS)
            value = found[at] if column < 0 else values[:, column].mean()
            centre = 0.0 if column < 0 else usual[column]
            if column in _RARE and found[at] == 0:  # too few rows have it to count
                reach = float("inf")
            low = float(centre - reach) if column >= 0 and centre - reach >= 0 else None
            shown.append(
                DriftFigure(
                    name=name,
                    value=float(value),
                    threshold=float(centre + reach) if np.isfinite(reach) else None,
                    low=low,
                    usual=float(thresholds.usual(at) if column < 0 else centre),
                    alarm=bool(p_value <= thresholds.rate + 1e-12),
                    p_value=float(p_value),
                )
            )
        return tuple(shown)

    def _fits(self, window: RowFigures, probabilities: Probabilities) -> None:
        width = self.features.shape[1]
        if window.features.shape[1] != width:
            found = f"{window.features.shape[1]} numbers per row"
            raise ValueError(f"expected features of the reference's base ({width} numbers per row), found {found}")
        checked_probabilities(probabilities, len(window), len(self.reference.labels))
        if not len(window):
            raise ValueError("expected a window with at least one row, found none")


def _permuted(pool: Pool, rows: int, resamples: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Figures of the first `rows` rows, shape (figures,), and of random windows, shape (resamples, figures)."""
    total = len(pool.features)
    window = np.zeros((total, 1), bool)
    window[:rows] = True
    parts = [min(_BATCH, resamples - start) for start in range(0, resamples, _BATCH)]
    markings = [drawn(random, total, rows, count) for count in parts]
    markings[0] = np.ascontiguousarray(np.hstack([window, markings[0]]))
    found = pool.figures(markings, int(random.integers(1 << 31)))
    return found[0], found[1:]


def rows_per_day(counts: Sequence[int], window_days: int, monitoring: Monitoring, seed: int = 0) -> DriftFigure | None:
    """Rows per day of the window against the log's own earlier days; None with fewer than 14 of those.

    Means of as many days drawn from the earlier ones give the thresholds, two-sided, at the task's rate. This figure
    is apart from the alarm, and its rate is its own: a reference knows nothing of how many rows a day brings.

    Args:
        counts: rows of each day, oldest first; days without rows count as 0. The last `window_days` are the window.
        window_days: days of the window.
        monitoring: rate and resamples.
        seed: of the drawing.
    """
    earlier, now = np.array(counts[:-window_days], np.float64), np.array(counts[-window_days:], np.float64)
    if len(earlier) < LEAST_DAYS:
        return None
    means = np.random.default_rng(seed).choice(earlier, (monitoring.resamples, len(now))).mean(axis=1)
    apart, centre = np.abs(means - earlier.mean()), float(earlier.mean())
    value, reach = float(now.mean()), float(np.quantile(apart, 1 - monitoring.false_alarm_rate, method="higher"))
    p_value = (1 + int((apart >= abs(value - centre) - 1e-9).sum())) / (1 + len(apart))
    low, high = max(0.0, centre - reach), centre + reach
    alarm = not low - 1e-9 <= value <= high + 1e-9
    return DriftFigure(
        name=ROWS_PER_DAY, value=value, threshold=high, low=low, usual=centre, alarm=alarm, p_value=p_value
    )


def drawn(random: np.random.Generator, rows: int, inside: int, markings: int) -> Members:
    """Markings of `inside` random rows each, shape (rows, markings)."""
    numbers, last = random.random((markings, rows), dtype=np.float32), max(inside - 1, 0)
    # Numbers are parted in a third of the time of places. Only where numbers tie do places have to be chosen.
    members = numbers <= np.partition(numbers, last, axis=1)[:, last : last + 1]
    tied = np.flatnonzero(members.sum(axis=1) != inside)
    if len(tied):
        order = np.argpartition(numbers[tied], last, axis=1)
        members[tied] = False
        members[tied[:, None], order[:, :inside]] = True
    return np.ascontiguousarray(members.T)
