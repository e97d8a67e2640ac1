"""Metrics of the task file, for one set of answers or for thousands of resamples at once.

Definitions follow scikit-learn (https://scikit-learn.org/stable/modules/model_evaluation.html), with `zero_division=0`:
`accuracy_score`, `balanced_accuracy_score`, `f1_score` (macro and micro), `recall_score`, `precision_score`,
`roc_auc_score` and `average_precision_score` (of one class against the rest, or their unweighted mean over classes) and
`log_loss`. The false-positive rate of a class is the share of the other classes' rows that are taken for it.

| without | true rows of the class | predictions of the class | both |
| --- | --- | --- | --- |
| recall | 0 | 0 | 0 |
| precision | 0 | 0 | 0 |
| f1 | 0 if it is predicted | 0 | 0 |
| macro_f1 | counts it only where predicted | counts it as 0 | leaves the class out |
| balanced_accuracy | leaves the class out | counts it as 0 | leaves the class out |
| roc_auc, average_precision | leaves the class out | - | leaves the class out |

The false-positive rate is undefined without rows of other classes, ROC-AUC also. An undefined metric counts as its
worst value. Labels are numbers from 0 to `classes - 1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.spec import METRICS, NEED_PROBABILITIES, PER_CLASS_METRICS, RANKING_METRICS

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

LEAST_PROBABILITY = float(np.finfo(np.float64).eps)  # what scikit-learn's log_loss takes a probability of 0 for
WORST_LOG_LOSS = float(-np.log(LEAST_PROBABILITY))
CHUNK = 4_000_000  # weights that are sorted at once


def worst_value(metric: str) -> float:
    """What an undefined metric counts as."""
    return {"false_positive_rate": 1.0, "log_loss": WORST_LOG_LOSS}.get(metric, 0.0)


def metric_values(
    metric: str, of_class: int | None, truth: Labels, predicted: Labels, weights: Floats, classes: int,
    averaged: Sequence[int] | None = None,
) -> Floats:  # fmt: skip
    """A metric of classes under many weightings of the same rows, for example multiplicities of bootstrap resamples.

    Args:
        metric: a metric of the task file that needs no probabilities.
        of_class: number of the class, for the metrics of one class; otherwise None.
        truth: true classes, shape (rows,).
        predicted: predicted classes, shape (rows,).
        weights: how often each row counts, shape (resamples, rows).
        classes: how many classes there are.
        averaged: numbers of the classes that means over classes are over; all where None. Answers of the others are
            errors in the rows that have them, and no class of their own.

    Returns:
        Shape (resamples,). NaN where a resample holds no row that the metric could be computed on (no true row of the
        class for recall, neither a true nor a predicted one for f1, no row at all), so that a caller may leave it out.

    Raises:
        ValueError: unknown metric, a class out of range, or shapes that do not match.
    """
    check_metric(metric, of_class, classes)
    if metric in NEED_PROBABILITIES:
        raise ValueError(f"{metric} is computed from probabilities; expected an array of shape (rows, classes)")
    check_labels(truth, predicted, classes)
    _check_weights(weights, len(truth))
    if metric in ("accuracy", "micro_f1"):
        return ratio(weights @ (truth == predicted).astype(float), weights.sum(axis=1))
    chosen = np.array(range(classes) if averaged is None else averaged) if of_class is None else np.array([of_class])
    is_true = (truth[:, None] == chosen).astype(float)
    is_predicted = (predicted[:, None] == chosen).astype(float)
    if metric == "false_positive_rate":
        others = 1 - is_true
        return ratio(weights @ (others * is_predicted), weights @ others)[:, 0]
    hits, support, claimed = weights @ (is_true * is_predicted), weights @ is_true, weights @ is_predicted
    if metric in ("recall", "balanced_accuracy"):
        return mean_of_defined(ratio(hits, support))
    if metric == "precision":
        return np.nan_to_num(ratio(hits, claimed))[:, 0]
    return mean_of_defined(ratio(2 * hits, support + claimed))


def values_of_many(
    metric: str, of_class: int | None, truth: Labels, predicted: Labels, weights: Floats, classes: int,
    averaged: Sequence[int] | None = None,
) -> Floats:  # fmt: skip
    """As `metric_values`, for many sets of answers to the same rows at once, in a fraction of the time.

    Sums of whole numbers are exact, so where every weight is one the values are the same to the last bit.

    Args:
        metric: as for `metric_values`.
        of_class: as for `metric_values`.
        truth: true classes, shape (rows,).
        predicted: predicted classes, shape (sets, rows).
        weights: how often each row counts, shape (resamples, rows).
        classes: how many classes there are.
        averaged: as for `metric_values`.

    Returns:
        Shape (sets, resamples), NaN as for `metric_values`.

    Raises:
        ValueError: unknown metric, a class out of range, or shapes that do not match.
    """
    check_metric(metric, of_class, classes)
    if metric in NEED_PROBABILITIES:
        raise ValueError(f"{metric} is computed from probabilities; expected an array of shape (rows, classes)")
    check_labels(np.broadcast_to(truth, predicted.shape).reshape(-1), predicted.reshape(-1), classes)
    _check_weights(weights, len(truth))
    chosen = (list(range(classes)) if averaged is None else list(averaged)) if of_class is None else [of_class]
    found = np.empty((len(predicted), len(weights)))
    step = max(1, CHUNK // max(len(truth), len(weights) * len(chosen), 1))
    for start in range(0, len(predicted), step):
        part = slice(start, start + step)
        found[part] = _values_of_some(metric, chosen, truth, predicted[part], weights)
    return found


def _values_of_some(metric: str, chosen: Sequence[int], truth: Labels, predicted: Labels, weights: Floats) -> Floats:
    if metric in ("accuracy", "micro_f1"):
        return ratio((predicted == truth).astype(float) @ weights.T, weights.sum(axis=1))
    each = []
    for at in chosen:
        own, claims = truth == at, predicted == at
        if metric == "false_positive_rate":
            others = weights[:, ~own]
            return ratio(claims[:, ~own].astype(float) @ others.T, others.sum(axis=1))
        mine = weights[:, own]
        hits, support = claims[:, own].astype(float) @ mine.T, mine.sum(axis=1)
        if metric in ("recall", "balanced_accuracy"):
            each.append(ratio(hits, support))
            continue
        claimed = claims.astype(float) @ weights.T
        if metric == "precision":
            return np.nan_to_num(ratio(hits, claimed))
        each.append(ratio(2 * hits, support + claimed))
    return mean_of_defined(np.stack(each, axis=-1).reshape(-1, len(each))).reshape(each[0].shape)


def probability_values(
    metric: str, of_class: int | None, truth: Labels, probabilities: npt.NDArray[Any], weights: Floats,
    averaged: Sequence[int] | None = None,
) -> Floats:  # fmt: skip
    """As `metric_values`, for the metrics that are computed from probabilities, shape (rows, classes).

    Raises:
        ValueError: another metric, a class out of range, or shapes that do not match.
    """
    if metric not in NEED_PROBABILITIES:
        raise ValueError(f"expected one of {', '.join(NEED_PROBABILITIES)}, found {metric!r}")
    if probabilities.ndim != 2 or probabilities.shape[0] != len(truth):
        raise ValueError(f"expected probabilities of shape ({len(truth)}, classes), found {probabilities.shape}")
    classes = probabilities.shape[1]
    check_metric(metric, of_class, classes)
    check_labels(truth, truth, classes)
    _check_weights(weights, len(truth))
    if metric == "log_loss":
        return ratio(weights @ log_losses(truth, probabilities), weights.sum(axis=1))
    chosen = (range(classes) if averaged is None else averaged) if of_class is None else [of_class]
    ranked = roc_auc if metric == "roc_auc" else average_precision
    found = [ranked(truth == at, probabilities[:, at].astype(float), weights) for at in chosen]
    return mean_of_defined(np.stack(found, axis=1))


def log_losses(truth: Labels, probabilities: npt.NDArray[Any]) -> Floats:
    """Loss of every row in nats, shape (rows,)."""
    own = probabilities.astype(float)[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.clip(own, LEAST_PROBABILITY, 1.0)))


def roc_auc(positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Weighted area under the ROC curve, ties counted half, shape (resamples,); NaN where one side is empty."""
    order, starts = _tied(scores)
    found = np.full(len(weights), np.nan)
    for part in _parts(weights):
        mine = weights[part][:, order]
        above = np.add.reduceat(mine * positive[order], starts, axis=1)
        below = np.add.reduceat(mine * ~positive[order], starts, axis=1)
        lower = np.cumsum(below, axis=1) - below / 2  # negatives under each group of ties, half of those in it
        found[part] = ratio((above * lower).sum(axis=1), above.sum(axis=1) * below.sum(axis=1))
    return found


def average_precision(positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Weighted mean of precision over the steps of recall, shape (resamples,); NaN without a positive row."""
    order, starts = _tied(-scores)
    found = np.full(len(weights), np.nan)
    for part in _parts(weights):
        mine = weights[part][:, order]
        hits = np.add.reduceat(mine * positive[order], starts, axis=1)
        claimed = np.cumsum(np.add.reduceat(mine, starts, axis=1), axis=1)
        precision = np.nan_to_num(ratio(np.cumsum(hits, axis=1), claimed))
        found[part] = ratio((hits * precision).sum(axis=1), hits.sum(axis=1))
    return found


def _tied(scores: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows in rising order of their scores, and where each group of equal ones begins."""
    order = np.argsort(scores, kind="stable")
    risen = np.flatnonzero(np.diff(scores[order]) > 0) + 1
    return order, np.concatenate([[0], risen]).astype(np.int64)


def _parts(weights: Floats) -> list[slice]:
    if not weights.shape[1]:
        return []
    step = max(1, CHUNK // weights.shape[1])
    return [slice(start, start + step) for start in range(0, len(weights), step)]


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotients, NaN where nothing is below the line."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def mean_of_defined(values: Floats) -> Floats:
    """Mean of each row over the columns that are not NaN, shape (rows,); NaN where none is defined."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(float))


def check_metric(metric: str, of_class: int | None, classes: int) -> None:
    """Refuse a metric that does not exist, or a class that does not go with it.

    Raises:
        ValueError: with what was expected.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRICS)}")
    if (of_class is None and metric in PER_CLASS_METRICS) or (
        of_class is not None and metric not in (*PER_CLASS_METRICS, *RANKING_METRICS)
    ):
        raise ValueError(f"{metric}: of_class goes with {', '.join((*PER_CLASS_METRICS, *RANKING_METRICS))}")
    if of_class is not None and not 0 <= of_class < classes:
        raise ValueError(f"of_class {of_class} is not between 0 and {classes - 1}")


def check_labels(truth: Labels, predicted: Labels, classes: int) -> None:
    """Refuse labels out of range, or arrays of different shapes.

    Raises:
        ValueError: with what was expected.
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"expected two label arrays of one length, found shapes {truth.shape} and {predicted.shape}")
    for name, array in (("truth", truth), ("predicted", predicted)):
        if len(array) and (array.min() < 0 or array.max() >= classes):
            raise ValueError(f"{name} has labels from {array.min()} to {array.max()}, expected 0 to {classes - 1}")


def _check_weights(weights: Floats, rows: int) -> None:
    if weights.ndim != 2 or weights.shape[1] != rows:
        raise ValueError(f"expected weights of shape (resamples, {rows}), found {weights.shape}")
