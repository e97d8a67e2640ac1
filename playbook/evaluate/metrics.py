"""Confusion and figures per class of one set of answers. Metrics themselves are in `playbook.statistics`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from playbook.artifacts import ClassFigures
from playbook.statistics.values import Floats, Labels, check_labels, ratio

__all__ = ["Floats", "Labels", "confusion", "per_class"]


def confusion(truth: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts of shape (classes, classes): rows are true classes, columns predicted ones.

    Raises:
        ValueError: labels out of range, or shapes that do not match.
    """
    check_labels(truth, predicted, classes)
    pairs = truth.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def per_class(truth: Labels, predicted: Labels, labels: tuple[str, ...]) -> tuple[ClassFigures, ...]:
    """Precision, recall, F1 and support of every class, in the order of `labels`; without a denominator they are 0."""
    counts = confusion(truth, predicted, len(labels)).astype(float)
    hits, support, claimed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = np.nan_to_num(ratio(hits, claimed)), np.nan_to_num(ratio(hits, support))
    f1 = np.nan_to_num(ratio(2 * hits, support + claimed))
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
