"""Heads like the frozen baseline's on fewer training rows: what a learning curve is made of (3.10)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from playbook.adapt.frozen import FrozenFeatures, validated_by
from playbook.adapt.head import fit_head, strengths_near
from playbook.adapt.rows import class_weights
from playbook.statistics.metric import Metric


def heads_with_fewer_rows(
    found: FrozenFeatures, metric: Metric, weighting: str, l2: float
) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]:
    """Probabilities for the validation rows, float32 of shape (rows, classes), of a head on the rows that are given.

    The strength is chosen on validation, as the baseline's is, out of those near to the one that keeps the baseline's
    penalty the same in total.

    Args:
        found: features of all rows.
        metric: that chooses the strength, bound to the classes.
        weighting: of classes, as in the task file.
        l2: strength of the baseline's head.
    """
    data, classes = found.data, len(metric.labels)
    validate = validated_by(found, metric)

    def fitted(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        labels = data.labels[rows]
        weights = class_weights(labels, classes, weighting)
        strengths = strengths_near(l2 * len(data.train) / len(rows))
        head = fit_head(found.features[rows], labels, classes, weights, validate, _quiet, metric.sign, strengths).head
        return head.probabilities(found.features[data.validation])

    return fitted


def _quiet(said: str) -> None:
    """Forty heads are not reported one by one."""
