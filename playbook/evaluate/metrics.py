"""Metrics of the task file, for one set of answers or for thousands of resamples at once.

Definitions follow scikit-learn (`accuracy_score`, `f1_score`, `balanced_accuracy_score`, `recall_score`,
`precision_score`, https://scikit-learn.org/stable/modules/model_evaluation.html), with `zero_division=0`:

| without | recall of the class | precision of the class | f1 of the class | macro_f1 | balanced_accuracy |
| --- | --- | --- | --- | --- | --- |
| true rows of a class | 0 | 0 | 0 if it is predicted | counts it only where predicted | leaves the class out |
| predictions of a class | 0 | 0 | 0 | counts it as 0 | counts it as 0 |
| both | 0 | 0 | 0 | leaves the class out | leaves the class out |

Without any row every metric is 0. Labels are numbers from 0 to `classes - 1`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import ClassFigures

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

METRIC_NAMES = ("accuracy", "macro_f1", "balanced_accuracy", "recall", "precision", "f1")


def metric_value(limit_metric: str, of_class: int | None, truth: Labels, predicted: Labels, classes: int) -> float:
    """One metric of one set of answers, a fraction between 0 and 1.

    Args:
        limit_metric: a metric of the task file.
        of_class: number of the class that recall, precision and f1 speak of, otherwise None.
        truth: true classes, shape (rows,).
        predicted: predicted classes, shape (rows,).
        classes: how many classes the task has.

    Raises:
        ValueError: unknown metric, a class out of range, or shapes that do not match.
    """
    weights = np.ones((1, len(truth)))
    return float(np.nan_to_num(metric_values(limit_metric, of_class, truth, predicted, weights, classes)[0]))


def metric_values(
    limit_metric: str, of_class: int | None, truth: Labels, predicted: Labels, weights: Floats, classes: int
) -> Floats:
    """One metric under many weightings of the same rows, for example the multiplicities of bootstrap resamples.

    Args:
        limit_metric: a metric of the task file.
        of_class: number of the class that recall, precision and f1 speak of, otherwise None.
        truth: true classes, shape (rows,).
        predicted: predicted classes, shape (rows,).
        weights: how often each row counts, shape (resamples, rows).
        classes: how many classes the task has.

    Returns:
        Shape (resamples,). NaN where a resample holds no row that the metric could speak of (no true row of the class
        for recall, neither a true nor a predicted one for f1, no row at all), so that a caller may leave it out.

    Raises:
        ValueError: unknown metric, a class out of range, or shapes that do not match.
    """
    _check(limit_metric, of_class, truth, predicted, classes)
    if weights.ndim != 2 or weights.shape[1] != len(truth):
        raise ValueError(f"expected weights of shape (resamples, {len(truth)}), found {weights.shape}")
    if limit_metric == "accuracy":
        return _ratio(weights @ (truth == predicted).astype(float), weights.sum(axis=1))
    chosen = np.arange(classes) if of_class is None else np.array([of_class])
    is_true = (truth[:, None] == chosen).astype(float)
    is_predicted = (predicted[:, None] == chosen).astype(float)
    hits, support, claimed = weights @ (is_true * is_predicted), weights @ is_true, weights @ is_predicted
    if limit_metric in ("recall", "balanced_accuracy"):
        return _mean_of_defined(_ratio(hits, support))
    if limit_metric == "precision":
        return np.nan_to_num(_ratio(hits, claimed))[:, 0]
    return _mean_of_defined(_ratio(2 * hits, support + claimed))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _mean_of_defined(values: Floats) -> Floats:
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(float))


def _check(metric: str, of_class: int | None, truth: Labels, predicted: Labels, classes: int) -> None:
    if metric not in METRIC_NAMES:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRIC_NAMES)}")
    if (of_class is None) != (metric in METRIC_NAMES[:3]):
        raise ValueError(f"{metric}: of_class goes with recall, precision and f1, and only with them")
    if of_class is not None and not 0 <= of_class < classes:
        raise ValueError(f"of_class {of_class} is not between 0 and {classes - 1}")
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"expected two label arrays of one length, found shapes {truth.shape} and {predicted.shape}")
    for name, array in (("truth", truth), ("predicted", predicted)):
        if len(array) and (array.min() < 0 or array.max() >= classes):
            raise ValueError(f"{name} has labels from {array.min()} to {array.max()}, expected 0 to {classes - 1}")


def confusion(truth: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts of shape (classes, classes): rows are true classes, columns predicted ones.

    Raises:
        ValueError: labels out of range, or shapes that do not match.
    """
    _check("accuracy", None, truth, predicted, classes)
    pairs = truth.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def per_class(truth: Labels, predicted: Labels, labels: tuple[str, ...]) -> tuple[ClassFigures, ...]:
    """Precision, recall, F1 and support of every class, in the order of `labels`; without a denominator they are 0."""
    counts = confusion(truth, predicted, len(labels)).astype(float)
    hits, support, claimed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = np.nan_to_num(_ratio(hits, claimed)), np.nan_to_num(_ratio(hits, support))
    f1 = np.nan_to_num(_ratio(2 * hits, support + claimed))
    return tuple(
        ClassFigures(
            label=label,
            precision=float(precision[at]),
            recall=float(recall[at]),
            f1=float(f1[at]),
            support=int(support[at]),
        )
        for at, label in enumerate(labels)
    )
