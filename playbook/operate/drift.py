"""Is a window of production unlike the reference? Figures with thresholds that are calibrated at its size (6.4, B5).

The thresholds are those of pseudo windows: as many rows as the window has are drawn from the reference, and compared
with the rest of it. The window itself is compared with as many rows of the reference, drawn at random. Without drift
its figures are then distributed like those of the pseudo windows, whatever the features, and the alarm over all figures
is raised at the rate of the task file (see `thresholds`).

What is promised is a rate over references and windows. One reference is itself a sample: a window nearly as large as
half of it sees that sample's own luck, and such windows alarm somewhat more or less often than promised for as long as
that reference is used. A reference of ten windows leaves little of that. And it is a rate for windows of rows like the
reference's: where rows of one customer resemble each other, a large window of other customers is a shift, and is found.
docs/drift.md has the measured rates.

A window of more rows than half of the reference is cut at random to that half.
"""

from __future__ import annotations

from collections.abc import Sequence
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

# In this order: the first win where ranks tie.
MEAN_SHIFT, CLASSIFIER, MMD, CLASSES, CONFIDENCE, WORDS, UNKNOWN, SCRIPT = FIGURES = (
    "mean_shift", "classifier", "mmd", "predicted_classes", "confidence", "words", "unknown_tokens", "other_scripts",
)  # fmt: skip
ROWS_PER_DAY = "rows_per_day"  # has a flag of its own, and no part in the alarm
LEAST_DAYS = 14
MOST_ROWS = 4000  # of the reference that windows are compared with
_BATCH = 1000  # pseudo windows at a time
_MEANS = 4  # columns of row values before the shares of classes: confidence, words, unknown, other scripts
Probabilities = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]


class Judge:
    """One reference, made ready for many windows; thresholds are kept by size.

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
        self.width = two_sample.bandwidth(self.features, seed)
        self.gram = two_sample.gaussian(self.features, self.features, self.width)
        self.seen: dict[int, float | None] = {}  # what `detectable` found, by size
        self._known: dict[int, Thresholds] = {}

    @property
    def most_rows(self) -> int:
        """Rows of the largest window that is judged whole."""
        return len(self.reference) // 2

    def thresholds(self, rows: int) -> Thresholds:
        """Thresholds for windows of that many rows, or of the most that can be judged; the same seed gives the same.

        Raises:
            ValueError: a window without rows.
        """
        if rows < 1:
            raise ValueError(f"expected a window with at least one row, found {rows}")
        rows = min(rows, self.most_rows)
        if rows not in self._known:
            found = self.null(rows, self.monitoring.resamples)
            self._known[rows] = thresholds_of(found, self.monitoring.false_alarm_rate, rows, self.digest)
        return self._known[rows]

    def null(self, rows: int, resamples: int) -> Floats:
        """Figures of pseudo windows of `rows` rows of the reference, shape (resamples, figures)."""
        return self.resampled(np.arange(len(self.reference)), rows, resamples, np.random.default_rng([self.seed, rows]))

    def resampled(self, pool: Rows, rows: int, resamples: int, random: np.random.Generator) -> Floats:
        """Figures of pseudo windows of `rows` rows of `pool`, which are places in the reference, against its rest."""
        parts = [min(_BATCH, resamples - start) for start in range(0, resamples, _BATCH)]
        return self.marked(pool, [drawn(random, len(pool), rows, count) for count in parts])

    def marked(self, pool: Rows, markings: Sequence[Members]) -> Floats:
        """Figures of the marked rows of `pool` against those not marked, shape (markings, figures)."""
        features, values = self.features[pool], self.values[pool]
        centred = two_sample.doubly_centred(self.gram[np.ix_(pool, pool)])
        found = [_figures(features, values, members, two_sample.squared_mmd(centred, members)) for members in markings]
        return np.concatenate(found)

    def judge(self, window: RowFigures, probabilities: Probabilities, seed: int = 0) -> tuple[DriftFigure, ...]:
        """The window's figures beside their thresholds, in the order of `FIGURES`.

        Args:
            window: figures of the window's inputs.
            probabilities: the model's answers as logged, shape (rows, classes).
            seed: of the rows of the reference that it is compared with, and of those it is cut to; give another one
                for every window.

        Raises:
            ValueError: no rows, or answers and features that do not fit the reference.
        """
        self._fits(window, probabilities)
        thresholds = self.thresholds(_few_sizes(len(window)))
        random = np.random.default_rng([self.seed, seed])
        chosen = random.permutation(len(window))[: thresholds.rows]
        part = random.permutation(len(self.reference))[thresholds.rows :]
        cut = window.take(chosen)
        values = self._values(cut, probabilities[chosen])
        return self._described(thresholds, self.compare(cut.features, values, part), values, part)

    def compare(self, features: npt.NDArray[np.float32], values: Floats, part: Rows) -> Floats:
        """Figures of a window against the rows `part` of the reference, shape (figures,)."""
        rows, rest = len(features), len(part)
        members = np.zeros((rows + rest, 1), bool)
        members[:rows] = True
        marks = np.zeros(len(self.reference), np.float32)
        marks[part] = 1
        kernel = two_sample.gaussian(features, self.features, self.width)
        own = two_sample.gaussian(features, features, self.width).sum(dtype=np.float64) / rows**2
        across = (kernel @ marks).sum(dtype=np.float64) / (rows * rest)
        others = float((self.gram @ marks).astype(np.float64) @ marks) / rest**2
        mmd = np.array([max(0.0, own - 2 * across + others)])
        pooled = np.concatenate([features, self.features[part]])
        found: Floats = _figures(pooled, np.concatenate([values, self.values[part]]), members, mmd)[0]
        return found

    def _values(self, figures: RowFigures, probabilities: Probabilities) -> Floats:
        sure = scaled(probabilities, self.reference.temperature).max(axis=1)
        answers = np.eye(len(self.reference.labels))[probabilities.argmax(axis=1)]
        means = (sure, figures.words, figures.unknown, figures.foreign(self.script))
        return np.column_stack([*means, answers]).astype(np.float64)

    def _described(self, thresholds: Thresholds, found: Floats, values: Floats, part: Rows) -> tuple[DriftFigure, ...]:
        """Distances stand beside one threshold; means stand between two, around the mean of the reference's part."""
        usual = self.values[part].mean(axis=0)
        shown = []
        for at, (name, p_value) in enumerate(zip(FIGURES, thresholds.p_values(found), strict=True)):
            reach, column = thresholds.threshold(at), at - (len(FIGURES) - _MEANS)
            value = found[at] if column < 0 else values[:, column].mean()
            centre = 0.0 if column < 0 else usual[column]
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


def _figures(features: npt.NDArray[np.float32], values: Floats, members: Members, mmd: Floats) -> Floats:
    """Figures of every marking in the order of `FIGURES`, shape (markings, figures); large values speak for drift."""
    apart = np.abs(two_sample.differences(values, members))
    shares = apart[:, _MEANS:].sum(axis=1) / 2
    rows = two_sample.Standardised(features)
    found = (rows.mean_shift(members), rows.classifier_auc(members), mmd, shares)
    return np.column_stack([*found, apart[:, :_MEANS]])


def _few_sizes(rows: int) -> int:
    """The size that a window is cut to at random, so that daily windows share thresholds: a sixteenth less at most.

    Thresholds are those of exactly that size, so nothing is promised less.
    """
    return rows - rows % (rows // 16) if rows >= 64 else rows


def calibrate(reference: Reference, rows: int, monitoring: Monitoring, seed: int = 0) -> Thresholds:
    """Thresholds for windows of `rows` rows. For many windows of one reference keep a `Judge`."""
    return Judge(reference, monitoring, seed).thresholds(rows)


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
    members = np.zeros((markings, rows), bool)
    order = np.argpartition(random.random((markings, rows), dtype=np.float32), max(inside - 1, 0), axis=1)
    np.put_along_axis(members, order[:, :inside], values=True, axis=1)
    return np.ascontiguousarray(members.T)
