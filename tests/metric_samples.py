"""Metrics of the task file bound to made-up classes, for tests of what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.spec import LOWER_IS_BETTER, Limit
from playbook.statistics.answers import Given
from playbook.statistics.metric import Metric, PairedDifference, bind

Labels = npt.NDArray[np.int64]


def limit_of(name: str, of_class: str | None = None, bound: float = 0.5) -> Limit:
    """A limit on the side that the metric has."""
    side = "at_most" if name in LOWER_IS_BETTER else "at_least"
    return Limit.model_validate({"metric": name, side: bound, "of_class": of_class})


def metric_of(name: str, of_class: int | None = None, classes: int = 2, bound: float = 0.5, **rules: Any) -> Metric:
    """A metric over classes that are called 0, 1, ...; `rules` are confidence, resamples and seed."""
    limit = limit_of(name, None if of_class is None else str(of_class), bound)
    return bind(limit, tuple(str(at) for at in range(classes)), **rules)


def metric_value(name: str, of_class: int | None, truth: Labels, answers: Given, classes: int) -> float:
    """One metric of one set of answers."""
    return metric_of(name, of_class, classes).value(truth, answers)


def paired_difference(
    name: str,
    of_class: int | None,
    truth: Labels,
    first: Given,
    second: Given,
    classes: int,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """Gain of the second model over the first."""
    metric = metric_of(name, of_class, classes, confidence=confidence, resamples=resamples, seed=seed)
    return metric.difference(truth, first, second)
