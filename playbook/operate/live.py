"""The metric in production, on rows whose true label arrived (6.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score
from playbook.evaluate.metrics import Floats, metric_values
from playbook.evaluate.paired import label_cells, resample_weights, score_with_interval, wilson
from playbook.spec import Limit, TaskSpec

Numbers = npt.NDArray[np.int64]


def live_metric(
    spec: TaskSpec, truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str] | None = None
) -> tuple[Score, dict[str, Score]]:
    """The target's metric on rows with outcomes, and recall by true label, with intervals as in the evaluation.

    A row whose true label is no class of the model is a wrong answer: it counts in accuracy, and against the precision
    and F1 of the class that was answered. Its label has its own recall, which is 0. Means over classes (macro F1,
    balanced accuracy) are over the model's classes alone, or one row with a strange label would cost a whole class.

    Args:
        spec: the task; target, `evaluation` and the seed are used.
        truth: true labels, any text.
        predicted: the model's answers.
        labels: the model's classes; those of the task file if not given.

    Raises:
        ValueError: no rows, or lists of different lengths.
    """
    if not truth or len(truth) != len(predicted):
        raise ValueError(f"expected as many answers as true labels, at least one, found {len(predicted)}, {len(truth)}")
    own = tuple(labels) if labels is not None else spec.labels
    further = {*truth, *predicted} - {*own} | ({spec.target.of_class or own[0]} - {*own})
    names = (*own, *sorted(further))
    number = {name: at for at, name in enumerate(names)}
    known = np.array([number[label] for label in truth], np.int64)
    answered = np.array([number[label] for label in predicted], np.int64)
    return _score(spec, names, len(own), known, answered), _recalls(spec, names, known, answered)


def _score(spec: TaskSpec, names: tuple[str, ...], own: int, truth: Numbers, predicted: Numbers) -> Score:
    rules, target = spec.evaluation, spec.target
    limit = Limit(metric=target.metric, at_least=target.at_least, of_class=target.of_class)
    if target.metric not in ("macro_f1", "balanced_accuracy"):
        return score_with_interval(
            limit, names, truth, predicted,
            confidence=rules.confidence, resamples=rules.resamples, seed=spec.adaptation.seed,
        )  # fmt: skip
    cells, counts, _ = label_cells(truth, predicted)
    weights = np.vstack([counts.astype(float), resample_weights(counts, rules.resamples, spec.adaptation.seed)])
    drawn = _mean_of_classes(target.metric, own, cells, weights, len(names))
    value, tail = float(np.nan_to_num(drawn[0])), 50 * (1 - rules.confidence)
    defined = drawn[1:][~np.isnan(drawn[1:])]
    low, high = np.percentile(defined, [tail, 100 - tail]) if len(defined) else (0.0, 1.0)
    return Score(
        metric=limit.label, value=value, low=min(float(low), value), high=max(float(high), value), n=len(truth)
    )


def _mean_of_classes(metric: str, own: int, cells: Numbers, weights: Floats, classes: int) -> Floats:
    """Mean F1 or recall of the model's classes for every weighting; a class that is not there is left out."""
    of_one = "f1" if metric == "macro_f1" else "recall"
    each = np.array([metric_values(of_one, at, cells[:, 0], cells[:, 1], weights, classes) for at in range(own)])
    defined = ~np.isnan(each)
    total: Floats = np.where(defined, each, 0.0).sum(axis=0)
    return np.divide(total, defined.sum(axis=0), out=np.full(len(total), np.nan), where=defined.any(axis=0))


def _recalls(spec: TaskSpec, names: tuple[str, ...], truth: Numbers, predicted: Numbers) -> dict[str, Score]:
    """Recall of every label that is true of some row."""
    found = {}
    for at, name in enumerate(names):
        rows = truth == at
        count, hits = int(rows.sum()), int((rows & (predicted == at)).sum())
        if count:
            low, high = wilson(hits, count, spec.evaluation.confidence)
            found[name] = Score(metric=f"recall of {name}", value=hits / count, low=low, high=high, n=count)
    return found
