"""LogME: how well a linear model could explain the labels from frozen features, without training one.

You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021
(https://arxiv.org/abs/2102.11005): the logarithm of the maximum evidence of Bayesian linear regression from features to
each class's 0/1 labels, per row, averaged over classes. Higher is better; values compare candidates on the same rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

METHOD = "LogME (You et al. 2021, ICML)"
MAX_ITERATIONS = 200
SETTLED = 1e-8  # relative change of the ratio of the two precisions
TINY = 1e-12
Floats = npt.NDArray[np.float64]


def log_me(features: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]) -> float:
    """LogME of features, shape (rows, width), for class numbers, shape (rows,); classes without rows are left out.

    Raises:
        ValueError: no rows, or shapes that do not match.
    """
    if features.ndim != 2 or labels.shape != (len(features),) or not len(labels):
        raise ValueError(f"expected features of (rows, width) and labels of (rows,), found {features.shape} and "
                         f"{labels.shape}")  # fmt: skip
    vectors, values, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    spectrum = values**2
    found = [_evidence(vectors, spectrum, features.shape[1], (labels == label)) for label in np.unique(labels)]
    return float(np.mean(found))


def _evidence(vectors: Floats, spectrum: Floats, width: int, is_class: npt.NDArray[np.bool_]) -> float:
    """Maximum of log p(y | features, alpha, beta) / rows over both precisions (algorithm 1 of the paper).

    In the basis of the left singular vectors (rows, rank) everything is a sum over the rank: the squared length of the
    posterior mean m of the weights, and the squared residual |F m - y|^2 with its part outside the features' span.
    """
    y = is_class.astype(np.float64)
    rows, projected = len(y), (vectors.T @ y) ** 2
    outside = max(float(y @ y - projected.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(MAX_ITERATIONS):
        ratio = alpha / beta
        weight_norm, residual = _mean_and_residual(spectrum, projected, outside, ratio)
        gamma = float((spectrum / (spectrum + ratio)).sum())
        alpha, beta = gamma / max(weight_norm, TINY), max(rows - gamma, TINY) / max(residual, TINY)
        if abs(alpha / beta - ratio) <= SETTLED * ratio:
            break
    weight_norm, residual = _mean_and_residual(spectrum, projected, outside, alpha / beta)
    log_determinant = float(np.log(alpha + beta * spectrum).sum()) + (width - len(spectrum)) * math.log(alpha)
    evidence = (
        rows / 2 * math.log(beta)
        + width / 2 * math.log(alpha)
        - rows / 2 * math.log(2 * math.pi)
        - beta / 2 * residual
        - alpha / 2 * weight_norm
        - log_determinant / 2
    )
    return evidence / rows


def _mean_and_residual(spectrum: Floats, projected: Floats, outside: float, ratio: float) -> tuple[float, float]:
    weight_norm = float((spectrum * projected / (spectrum + ratio) ** 2).sum())
    residual = float((projected * (ratio / (spectrum + ratio)) ** 2).sum()) + outside
    return weight_norm, residual
