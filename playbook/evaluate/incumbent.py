"""The model that is to be replaced, on the same test rows (6.6): what is gained, and what is forgotten.

A test split that grew has rows that the incumbent's own test split had (old) and rows that are new. Forgetting is
candidate minus incumbent on the old rows: a refreshed model may win on what is new by unlearning what was known
(McCloskey and Cohen, Catastrophic Interference in Connectionist Networks, 1989).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Figure, Incumbent, RecallChange
from playbook.evaluate import wording
from playbook.evaluate.compare import describe_side
from playbook.evaluate.metrics import Labels
from playbook.evaluate.verdict import task_difference
from playbook.spec import RANKING_METRICS, TaskSpec
from playbook.statistics.answers import Given, answers_of
from playbook.statistics.metric import PairedDifference, target_metric

LEAST_ROWS = 20  # fewer old or new rows give no figure of their own


def answers_under(
    probabilities: npt.NDArray[np.floating], known: tuple[str, ...], labels: tuple[str, ...]
) -> npt.NDArray[np.floating]:
    """Probabilities of a model that knows other classes, in the order of `labels`.

    A class that the model does not know has probability 0; one that the task no longer has is left out.

    Args:
        probabilities: shape (rows, classes of the model).
        known: the model's classes, in order.
        labels: the task's classes, in order.
    """
    place = {label: at for at, label in enumerate(known)}
    out = np.zeros((len(probabilities), len(labels)), probabilities.dtype)
    for at, label in enumerate(labels):
        if label in place:
            out[:, at] = probabilities[:, place[label]]
    return out


def compare_incumbent(
    spec: TaskSpec,
    version: str,
    truth: Labels,
    incumbent: Given,
    shown: Given,
    old: npt.NDArray[np.bool_] | None,
    known: tuple[str, ...],
) -> Incumbent:
    """The model that would ship against the one that serves, paired, on one test split.

    Args:
        spec: the task.
        version: semantic version of the incumbent.
        truth: true classes, shape (rows,).
        incumbent: its answers, as `Metric.value` takes them.
        shown: answers of the model that would ship.
        old: which rows the incumbent's own test split had, shape (rows,); None where that is not known.
        known: classes of the incumbent.
    """
    before, after = answers_of(incumbent), answers_of(shown)
    score = describe_side(spec, truth, before).scores[spec.target.label]
    parts = {"forgetting": old, "on_new": ~old} if old is not None else {}
    figures = {name: gain_on(spec, truth, before, after, rows) for name, rows in parts.items()}
    whole = _figure(task_difference(spec, truth, before, after)) if _has_figure(spec, truth) else None
    recall = {
        label: _recall(truth == at, before.classes == at, after.classes == at, label in known)
        for at, label in enumerate(spec.labels)
    }
    found = Incumbent(
        version=version,
        score=score,
        delta=whole if whole is not None else Figure(value=0.0, low=0.0, high=0.0),
        old_rows=int(old.sum()) if old is not None else 0,
        new_rows=int((~old).sum()) if old is not None else 0,
        recall=recall,
        text="",
        **figures,
    )
    return found.model_copy(update={"text": _in_words(spec, found)})


def gain_on(
    spec: TaskSpec, truth: Labels, before: Given, after: Given, rows: npt.NDArray[np.bool_] | None
) -> Figure | None:
    """Gain of one model over another in the target's metric on some rows of a test split.

    Means over classes are over the classes that have true rows there. Otherwise a single answer of a class without any,
    as a class that is new has none among the old rows, would count as an F1 of 0 and cost a whole class. So counted,
    such an answer is the error that it is in the row that has it, and no more.

    Args:
        spec: the task.
        truth: true classes of the whole split, shape (rows,).
        before: answers of the first model to it, as `Metric.value` takes them.
        after: those of the second.
        rows: which rows count, shape (rows,); None where that is not known.

    Returns:
        The gain; None where the rows are not known, fewer than `LEAST_ROWS`, or lack the classes that the target is
        computed from.
    """
    found = difference_on(spec, truth, before, after, rows)
    return _figure(found) if found is not None else None


def difference_on(
    spec: TaskSpec, truth: Labels, before: Given, after: Given, rows: npt.NDArray[np.bool_] | None
) -> PairedDifference | None:
    """As `gain_on`, and whether the figure can be relied on (`PairedDifference.too_few`)."""
    if rows is None or not _has_figure(spec, truth[rows]):
        return None
    there = truth[rows]
    metric = replace(target_metric(spec), averaged=tuple(int(at) for at in np.unique(there)))
    return metric.difference(there, answers_of(before).take(rows), answers_of(after).take(rows))


def _has_figure(spec: TaskSpec, truth: Labels) -> bool:
    """Whether rows are enough for a difference, and have the classes that the target is computed from.

    The false-positive rate is a share of the other classes' rows; a ranking needs rows to rank above others; the other
    metrics of one class need rows of it.
    """
    metric, of_class = spec.target.metric, spec.target.of_class
    if len(truth) < LEAST_ROWS:
        return False
    if of_class is None:
        return metric not in RANKING_METRICS or len(np.unique(truth)) > 1
    own = truth == spec.labels.index(of_class)
    if metric == "false_positive_rate":
        return not own.all()
    return bool(own.any()) and not (metric in RANKING_METRICS and own.all())


def _figure(found: PairedDifference) -> Figure:
    return Figure(value=found.delta, low=found.low, high=found.high)


def _recall(
    rows: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_], known: bool
) -> RecallChange:
    n = int(rows.sum())
    if not n:
        return RecallChange(before=None, after=None, rows=0)
    return RecallChange(before=float(before[rows].mean()) if known else None, after=float(after[rows].mean()), rows=n)


def _in_words(spec: TaskSpec, found: Incumbent) -> str:
    metric = spec.target.metric
    text = (
        f"Against version {found.version}, which serves: {wording.difference(found.delta, metric)} in "
        f"{spec.target.label} on the whole test split"
    )
    if found.forgetting is not None:
        gap = wording.difference(found.forgetting, metric)
        text += f", {gap} on the {wording.size(found.old_rows)} that it was tested on"
    if found.on_new is not None:
        gap = wording.difference(found.on_new, metric)
        text += f", {gap} on the {wording.size(found.new_rows)} that are new"
    fresh = [label for label, change in found.recall.items() if change.before is None and change.rows]
    if fresh:
        named = [f"{label} (recall {wording.percent(found.recall[label].after or 0.0)})" for label in fresh]
        text += f". New classes: {wording.listing(named)}"
    return text + "."
