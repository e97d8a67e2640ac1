"""The metric in production, on rows whose true label arrived (6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Score
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers
from playbook.statistics.metric import Metric, bind
from playbook.statistics.resampling import wilson

Numbers = npt.NDArray[np.int64]


def live_metric(
    spec: TaskSpec,
    truth: Sequence[str],
    predicted: Sequence[str],
    labels: Sequence[str] | None = None,
    probabilities: npt.NDArray[np.floating[Any]] | None = None,
) -> tuple[Score | None, dict[str, Score]]:
    """The target's metric on rows with outcomes, and recall by true label, with intervals as in the evaluation.

    A row whose true label is not a class of the model counts as a wrong answer: in accuracy, and against the precision
    and F1 of the class that was answered; it is one of the rest in ROC-AUC and average precision. Its label has its own
    recall, which is 0. Means over classes (macro F1, balanced accuracy, ROC-AUC and average precision of no class) are
    over the model's classes alone, or one row with a strange label would cost a whole class; log loss leaves such rows
    out, or one of them would be infinite.

    Args:
        spec: the task; target, `evaluation` and the seed are used.
        truth: true labels, any text.
        predicted: the model's answers.
        labels: the model's classes; those of the task file if not given.
        probabilities: of the same rows, shape (rows, classes of the model), where they are known.

    Returns:
        The score, None where the target needs probabilities and none are known or no row is left; and the recalls.

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
    score = _score(_metric(spec, names, len(own)), known, answered, probabilities)
    return score, _recalls(spec, names, known, answered)


def _metric(spec: TaskSpec, names: tuple[str, ...], own: int) -> Metric:
    rules = spec.evaluation
    return bind(
        spec.target, names, confidence=rules.confidence, resamples=rules.resamples, seed=spec.adaptation.seed,
        averaged=tuple(range(own)),
    )  # fmt: skip


def _score(
    metric: Metric, truth: Numbers, predicted: Numbers, probabilities: npt.NDArray[np.floating[Any]] | None
) -> Score | None:
    if not metric.needs_probabilities:
        return metric.score(truth, predicted)
    if probabilities is None:
        return None
    strange = np.zeros((len(truth), len(metric.labels) - probabilities.shape[1]))
    answers = Answers(predicted, np.hstack([probabilities, strange]))
    if metric.name == "log_loss":
        rows = truth < probabilities.shape[1]
        truth, answers = truth[rows], answers.take(rows)
    return metric.score(truth, answers) if len(truth) else None


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
