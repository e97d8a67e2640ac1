"""Where does the model fail? The target's metric on parts of the test split, with intervals (5.3).

Many slices are looked at, so the worst of them looks bad by chance alone. Each slice is therefore tested against all
other rows, and the p-values are corrected for their number (Holm, Scandinavian Journal of Statistics 6 (1979) 65-70):
Fisher's exact test where the metric is a proportion, otherwise a permutation of which rows belong to the slice.
Rows are taken as independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from playbook.artifacts import SliceFigure, Slices
from playbook.data.tables import KEPT_PREFIX, TEXT
from playbook.errors import DataError
from playbook.evaluate import wording
from playbook.evaluate.metrics import Labels
from playbook.evaluate.paired import holm
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers, Given, answers_of
from playbook.statistics.metric import TOLERANCE, Metric, target_metric
from playbook.statistics.values import worst_value

if TYPE_CHECKING:
    import pandas as pd

LENGTH = "text length"
MOST_VALUES = 20  # a column with more values is not a slicing column unless the task file names it
LEAST_PERMUTATIONS = 2000
PERMUTATIONS_PER_SLICE = 40  # so that the least p-value, times the number of slices, is well under 5 %
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Answers:
    spec: TaskSpec
    truth: Labels
    shown: Answers
    baseline: Answers | None
    permutations: int = LEAST_PERMUTATIONS

    @property
    def metric(self) -> Metric:
        """The target's."""
        return target_metric(self.spec)

    def counted(self, rows: Rows) -> Rows:
        """Those of some rows that the target's metric counts."""
        counted = self.metric.proportion(self.truth, self.shown.classes)
        return rows if counted is None else rows & counted[0]

    def value(self, answers: Answers, rows: Rows) -> float:
        """The target's metric of some answers on some rows."""
        return self.metric.value(self.truth[rows], answers.take(rows))


def slices(spec: TaskSpec, frame: pd.DataFrame, truth: Labels, shown: Given, baseline: Given | None = None) -> Slices:
    """The shown model on every slice of a test split, worst first.

    Slices are the values of the columns that `evaluation.slices` names (by default every kept column with 2 to 20
    values) and terciles of the text's length in words. Slices with fewer than `evaluation.min_slice_rows` rows that
    the metric counts (rows of the class for recall) are left out and counted.

    Args:
        spec: the task.
        frame: the test split, columns of `playbook.data.tables`.
        truth: true classes, shape (rows,).
        shown: answers of the shown model, as `Metric.value` takes them.
        baseline: answers of the frozen baseline, or None where it is the shown model.

    Raises:
        DataError: a column that the task file names is not in the frame.
    """
    answers = _Answers(spec, truth, answers_of(shown), None if baseline is None else answers_of(baseline))
    looked_at: list[tuple[str, str, Rows]] = []
    left_out = 0
    for column, value, rows in _members(spec, frame):
        if not (~rows).any():
            continue  # everything is one slice: there is no rest to hold it against
        if answers.counted(rows).sum() < spec.evaluation.min_slice_rows:
            left_out += 1
            continue
        looked_at.append((column, value, rows))
    answers = replace(answers, permutations=max(LEAST_PERMUTATIONS, PERMUTATIONS_PER_SLICE * len(looked_at)))
    found = [_figure(answers, *one) for one in looked_at]
    corrected = holm([p for _, p in found])
    figures = [one.model_copy(update={"p_value": p}) for (one, _), p in zip(found, corrected, strict=True)]
    sign = answers.metric.sign
    figures.sort(key=lambda one: (sign * one.score.value, one.column, one.value))
    return Slices(figures=tuple(figures), left_out=left_out, text=_in_words(spec, figures, left_out))


def _members(spec: TaskSpec, frame: pd.DataFrame) -> Iterator[tuple[str, str, Rows]]:
    """Every slice: its column as the team calls it, its value, and which rows belong to it."""
    named = spec.evaluation.slices
    for name in named or spec.data.columns.keep:
        column = f"{KEPT_PREFIX}{name}"
        if column not in frame:
            raise DataError(
                f"evaluation.slices names {name!r}, which the prepared rows do not have; add it to data.columns.keep"
            )
        values = frame[column].fillna("").astype(str)
        distinct = sorted(values.unique())
        if named or 2 <= len(distinct) <= MOST_VALUES:
            for value in distinct:
                yield name, value or "(empty)", (values == value).to_numpy()
    yield from _length_terciles([len(text.split()) for text in frame[TEXT]])


def _length_terciles(words: Sequence[int]) -> Iterator[tuple[str, str, Rows]]:
    counts = np.array(words)
    if not len(counts):
        return
    first, second = (int(cut) for cut in np.quantile(counts, [1 / 3, 2 / 3], method="lower"))
    yield LENGTH, f"up to {first} words", counts <= first
    if second > first:
        yield LENGTH, f"{first + 1} to {second} words", (counts > first) & (counts <= second)
    if (counts > second).any():
        yield LENGTH, f"over {second} words", counts > second


def _figure(answers: _Answers, column: str, value: str, rows: Rows) -> tuple[SliceFigure, float]:
    """A slice with its uncorrected p-value."""
    figure = SliceFigure(
        column=column,
        value=value,
        score=answers.metric.score(answers.truth[rows], answers.shown.take(rows)),
        rest=answers.value(answers.shown, ~rows),
        baseline=None if answers.baseline is None else answers.value(answers.baseline, rows),
    )
    proportion = answers.metric.proportion(answers.truth, answers.shown.classes) is not None
    return figure, (_fisher if proportion else _permutation)(answers, rows)


def _fisher(answers: _Answers, rows: Rows) -> float:
    """Two-sided p-value of Fisher's exact test: hits of the metric and other rows, in the slice and elsewhere."""
    from scipy.stats import fisher_exact

    found = answers.metric.proportion(answers.truth, answers.shown.classes)
    assert found is not None
    right = found[1]
    inside, outside = answers.counted(rows), answers.counted(~rows)
    table = [[int((right & part).sum()), int((~right & part).sum())] for part in (inside, outside)]
    return float(fisher_exact(table).pvalue)


def _permutation(answers: _Answers, rows: Rows) -> float:
    """Two-sided p-value over random slices of the same size; rows with one (truth, answer) are alike, so counts do.

    Where the metric needs probabilities, every row is of its own kind.
    """
    metric = answers.metric
    kinds = metric.kinds(answers.truth, answers.shown)
    inside = np.bincount(kinds.place[rows], minlength=len(kinds.counts))
    random = np.random.default_rng(answers.spec.adaptation.seed)
    drawn = random.multivariate_hypergeometric(kinds.counts, int(rows.sum()), size=answers.permutations)
    weights = np.vstack([inside, drawn]).astype(float)
    sides = [
        np.nan_to_num(metric.values(kinds.truth, kinds.answers[0], side), nan=worst_value(metric.name))
        for side in (weights, kinds.counts - weights)
    ]
    apart = np.abs(sides[0] - sides[1])
    return float((1 + (apart[1:] >= apart[0] - TOLERANCE).sum()) / (1 + answers.permutations))


def _in_words(spec: TaskSpec, figures: Sequence[SliceFigure], left_out: int) -> str:
    if not figures:
        return f"No slice has {spec.evaluation.min_slice_rows} rows."
    metric = target_metric(spec)
    alpha = 1 - spec.evaluation.confidence
    worse = [one for one in figures if one.p_value < alpha and metric.gain(one.score.value, one.rest) > 0]
    tail = f" {wording.size(left_out, 'smaller slice')} left out." if left_out else ""
    if not worse:
        return f"None of {wording.size(len(figures), 'slice')} is worse than the other rows beyond chance.{tail}"
    one = worse[0]
    score = one.score
    others = f", and {len(worse) - 1} more beyond chance" if len(worse) > 1 else ""
    return (
        f"Worst where {one.column} is {one.value}: {score.metric} {wording.score_range(score)[:-1]}, "
        f"{wording.size(score.n)}) against {wording.amount(one.rest, score.metric)} elsewhere{others}, of "
        f"{wording.size(len(figures), 'slice')} looked at.{tail}"
    )
