"""Are two samples of inputs alike? Validation against test, and test against rows like those of production (3.4).

Three things are looked at: the inputs, the class mix, and the score of one model on both.

- Inputs: the classifier two-sample test of Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (ICLR 2017). A
  classifier on the frozen features learns which sample a row is from; its AUC on rows that it has not seen is 0.5
  where nothing tells them apart. The classifier is ridge regression on the membership, because its answers are linear
  in the membership: it is then trained again for every permutation at next to no cost.
- Class mix: total variation distance, tested with Pearson's chi-square statistic.
- Score: second minus first in the target's metric; Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10, for
  proportions, otherwise a bootstrap.

Rows of one group (customer) resemble each other, so two samples without a common customer always differ a little.
Every p-value is therefore of a permutation of whole groups, and of rows within a group that has rows in both samples:
under no difference these are exchangeable, and the share of false alarms is what the task file asks for. Folds keep
groups together too. The samples differ where the smallest p-value, corrected by Holm, is below
`evaluation.shift_p_value`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Figure, Shift
from playbook.data.tables import GROUP, LABEL, TEXT, TIME
from playbook.evaluate import wording
from playbook.evaluate.metrics import Floats, Labels
from playbook.evaluate.paired import holm
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers, Given, answers_of, joined
from playbook.statistics.metric import TOLERANCE, Kinds, Metric, target_metric
from playbook.statistics.resampling import wilson
from playbook.statistics.two_samples import p_value, permuted, tell_apart

if TYPE_CHECKING:
    import pandas as pd

UNLABELLED = -1
LEAST_PERMUTATIONS = 999
MOST_NUMBERS = 1_000_000  # of resampled rows that are held at once
Name = Literal["validation and test", "test and production"]


@dataclass(frozen=True)
class Sample:
    """Rows of one origin. `truth` has -1 where a row has no label; `answers` is None where no model is compared."""

    features: npt.NDArray[np.floating]  # (rows, width), of the frozen base
    texts: Sequence[str]
    groups: Sequence[str]
    truth: Labels
    answers: Answers | None = None


@dataclass(frozen=True)
class _Pooled:
    """Both samples, and which rows are the second's: as found in the first line, then under every permutation."""

    first: Sample
    second: Sample
    member: npt.NDArray[np.bool_]  # (1 + permutations, rows)
    group: Labels  # number of each row's group

    @property
    def truth(self) -> Labels:
        """True classes of all rows, -1 where there is none."""
        return np.concatenate([self.first.truth, self.second.truth])


def sample_of(
    spec: TaskSpec, frame: pd.DataFrame, features: npt.NDArray[np.floating], given: Given | None = None
) -> Sample:
    """A prepared table as a sample; an empty label is not a label, a row without a group is a group of its own.

    Raises:
        ValueError: features or answers for another number of rows.
    """
    answers = None if given is None else answers_of(given)
    if len(features) != len(frame) or (answers is not None and len(answers) != len(frame)):
        raise ValueError(f"expected features and answers of {len(frame)} rows, found {len(features)} rows of features")
    number = {label: at for at, label in enumerate(spec.labels)}
    truth = np.array([number.get(label, UNLABELLED) for label in frame[LABEL]], dtype=np.int64)
    groups = [str(group) if group else f"row {at}" for at, group in enumerate(frame[GROUP].fillna(""))]
    return Sample(features, list(frame[TEXT]), groups, truth, answers)


def latest_rows(frame: pd.DataFrame, share: float) -> npt.NDArray[np.bool_]:
    """The newest rows by `time` (ISO text), this share of all, at least one; rows without a time are the oldest.

    Compare them with the other rows, not with the whole table: they would be compared with themselves.
    """
    times = frame[TIME].fillna("").astype(str).to_numpy()
    order = np.argsort(times, kind="stable")
    chosen = np.zeros(len(frame), bool)
    chosen[order[len(frame) - max(1, round(share * len(frame))) :]] = True
    return chosen


def compare_inputs(name: Name, first: Sample, second: Sample, spec: TaskSpec) -> Shift:
    """Compare two samples; see the module for what is compared and how.

    Args:
        name: which two samples these are, first and second.
        first: the sample that is stood on, for example validation.
        second: the sample in question, for example test.
        spec: the task; metric, classes, `evaluation` and the seed are used.

    Raises:
        ValueError: a sample has no rows, or features of another width.
    """
    if not len(first.texts) or not len(second.texts) or first.features.shape[1] != second.features.shape[1]:
        raise ValueError(
            f"expected two samples with features of one width, found {first.features.shape} and {second.features.shape}"
        )
    pooled = _pool(first, second, spec)
    features = np.concatenate([first.features, second.features])
    auc, p_inputs = tell_apart(features, pooled.group, pooled.member, spec.adaptation.seed)
    mix = _class_mix(pooled, len(spec.labels))
    score = _score(pooled, spec)
    lengths = [float(np.mean([len(text.split()) for text in sample.texts])) for sample in (first, second)]
    p_values = [p_inputs, *(found[1] for found in (mix, score) if found)]
    differs = min(holm(p_values)) < spec.evaluation.shift_p_value
    shift = Shift(
        name=name,
        rows=(len(first.texts), len(second.texts)),
        auc=auc,
        p_value=p_inputs,
        class_mix=mix[0] if mix else None,
        class_mix_p_value=mix[1] if mix else None,
        length_ratio=lengths[1] / max(lengths[0], TOLERANCE),
        score=score[0] if score else None,
        score_p_value=score[1] if score else None,
        differs=differs,
        text="",
    )
    return shift.model_copy(update={"text": _in_words(shift, spec)})


def _pool(first: Sample, second: Sample, spec: TaskSpec) -> _Pooled:
    found = np.repeat([False, True], [len(first.texts), len(second.texts)])
    _, group = np.unique([*first.groups, *second.groups], return_inverse=True)
    permutations = max(LEAST_PERMUTATIONS, math.ceil(4 / spec.evaluation.shift_p_value))
    drawn = permuted(found, group, permutations, np.random.default_rng(spec.adaptation.seed))
    return _Pooled(first, second, np.vstack([found, drawn]), group.astype(np.int64))


def _class_mix(pooled: _Pooled, classes: int) -> tuple[float, float] | None:
    """Total variation distance of the classes and its p-value; None where a sample has no labels."""
    known = pooled.truth != UNLABELLED
    member = pooled.member[:, known]
    if not 0 < member[0].sum() < member.shape[1]:
        return None
    second = _counts(member, pooled.truth[known], classes)
    total = np.bincount(pooled.truth[known], minlength=classes).astype(np.float64)
    first = total - second
    sizes = np.stack([first.sum(axis=1), second.sum(axis=1)])
    expected = sizes[:, :, None] * total / total.sum()
    squares = (np.stack([first, second]) - expected) ** 2 / np.where(expected > 0, expected, 1.0)
    distance = 0.5 * np.abs(first[0] / sizes[0, 0] - second[0] / sizes[1, 0]).sum()
    return float(distance), p_value(squares.sum(axis=(0, 2)))


def _counts(member: npt.NDArray[np.bool_], place: Labels, places: int) -> Floats:
    """Rows of the second sample by place under every membership, shape (memberships, places)."""
    return _summed(member, place, places)


def _summed(table: npt.NDArray[Any], place: Labels, places: int) -> Floats:
    """Sums over the columns of each place, whole numbers, shape (lines, places)."""
    order = np.argsort(place, kind="stable")
    present, starts = np.unique(place[order], return_index=True)
    found = np.zeros((len(table), places))
    if len(place):
        found[:, present] = np.add.reduceat(table[:, order], starts, axis=1, dtype=np.int64)
    return found


def _score(pooled: _Pooled, spec: TaskSpec) -> tuple[Figure, float] | None:
    """Second minus first in the target's metric with its interval, and its two-sided p-value."""
    if pooled.first.answers is None or pooled.second.answers is None:
        return None
    known = pooled.truth != UNLABELLED
    member = pooled.member[:, known]
    if not 0 < member[0].sum() < member.shape[1]:
        return None
    metric = target_metric(spec)
    kinds = metric.kinds(pooled.truth[known], joined(pooled.first.answers, pooled.second.answers).take(known))
    inside = _counts(member, kinds.place, len(kinds.counts))
    apart = _metric(metric, kinds, inside) - _metric(metric, kinds, kinds.counts - inside)
    if np.isnan(apart[0]):  # a class without a row in one sample: its recall there is unknown, not 0
        return None
    low, high = _score_interval(spec, kinds, pooled.group[known], member[0])
    value = float(apart[0])
    defined = np.abs(apart[~np.isnan(apart)])  # a permutation that says nothing is not evidence for either side
    return Figure(value=value, low=min(low, value), high=max(high, value)), p_value(defined)


def _metric(metric: Metric, kinds: Kinds, weights: Floats) -> Floats:
    return metric.values(kinds.truth, kinds.answers[0], weights)


def _score_interval(spec: TaskSpec, kinds: Kinds, group: Labels, second: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Percentile interval of a bootstrap over groups, widened to Newcombe's where that one exists and reaches further.

    Args:
        spec: the task.
        kinds: of the labelled rows.
        group: group of every labelled row, shape (rows,).
        second: which rows are the second sample's, shape (rows,).
    """
    metric, rules, drawn = target_metric(spec), spec.evaluation, []
    place, cells = kinds.place, len(kinds.counts)
    for side, rows in enumerate((~second, second)):
        times = _resampled_cells(place[rows], group[rows], cells, rules.resamples, spec.adaptation.seed + side)
        drawn.append(_metric(metric, kinds, times))
    apart = drawn[1] - drawn[0]
    apart = apart[~np.isnan(apart)]
    tail = (1 - rules.confidence) / 2
    low, high = (float(end) for end in np.quantile(apart, [tail, 1 - tail])) if len(apart) else (-1.0, 1.0)
    found = metric.proportion(kinds.truth, kinds.answers[0].classes)
    if found is None:
        return low, high
    counted, hit = found
    sides = np.stack([np.bincount(place[rows], minlength=cells) for rows in (~second, second)])[:, counted]
    hits = (sides * hit[counted]).sum(axis=1)
    wide = newcombe((int(hits[0]), int(sides[0].sum())), (int(hits[1]), int(sides[1].sum())), rules.confidence)
    return min(low, wide[0]), max(high, wide[1])


def _resampled_cells(place: Labels, group: Labels, cells: int, resamples: int, seed: int) -> Floats:
    """Rows by cell after whole groups were drawn with replacement, shape (resamples, cells).

    Some resamples at a time: all at once would need rows times resamples numbers in memory.
    """
    random = np.random.default_rng(seed)
    names, own = np.unique(group, return_inverse=True)
    step = max(1, MOST_NUMBERS // max(len(place), 1))
    drawn = np.empty((resamples, cells))
    for start in range(0, resamples, step):
        lines = min(step, resamples - start)
        chosen = random.integers(len(names), size=(lines, len(names))) + len(names) * np.arange(lines)[:, None]
        times = np.bincount(chosen.reshape(-1), minlength=lines * len(names)).reshape(lines, len(names))
        drawn[start : start + lines] = _summed(times[:, own], place, cells)
    return drawn


def newcombe(first: tuple[int, int], second: tuple[int, int], confidence: float) -> tuple[float, float]:
    """Interval of the second proportion minus the first, each (hits, rows), unpaired (Newcombe 1998, method 10)."""
    if not first[1] or not second[1]:
        return -1.0, 1.0
    p, q = first[0] / first[1], second[0] / second[1]
    (p_low, p_high), (q_low, q_high) = wilson(*first, confidence), wilson(*second, confidence)
    return q - p - math.hypot(q - q_low, p_high - p), q - p + math.hypot(q_high - q, p - p_low)


def _in_words(shift: Shift, spec: TaskSpec) -> str:
    first, second = shift.name.split(" and ")
    level = spec.evaluation.shift_p_value

    def beyond(p_value: float | None) -> str:
        return "" if not shift.differs or (p_value is not None and p_value < level) else " (within chance)"

    facts = []
    if shift.class_mix is not None:
        facts.append(f"the class mix differs by {100 * shift.class_mix:.1f} points{beyond(shift.class_mix_p_value)}")
    if shift.score is not None:
        way = "lower" if shift.score.value < 0 else "higher"
        size = wording.points(abs(shift.score.value), metric=spec.target.metric).lstrip("+")
        apart = f"{size} {way}" if round(shift.score.value, 3) else "the same"
        facts.append(f"{spec.target.label} is {apart} on {second}{beyond(shift.score_p_value)}")
    if not 0.9 < shift.length_ratio < 1 / 0.9:
        facts.append(f"texts have {shift.length_ratio:.1f} times as many words")
    rest = f", {wording.listing(facts)}" if facts else ""
    if not shift.differs:
        auc = f"a classifier tells them apart with AUC {shift.auc:.2f} (0.5 would mean no difference)"
        return f"No difference of {first} and {second} is seen beyond chance: {auc}{rest}."
    told = "tells" if shift.p_value < level else "hardly tells"
    auc = f"a classifier {told} them apart with AUC {shift.auc:.2f} (0.5 would mean no difference)"
    return f"{first.capitalize()} and {second} differ: {auc}{rest}."
