"""Gaussian rows for the tests of drift."""

from __future__ import annotations

import numpy as np

from playbook.operate.figures import SCRIPTS, RowFigures
from playbook.operate.reference import Reference

LABELS = ("access", "billing", "cancellation", "delivery", "fault")
WIDTH = 16


def rows(
    random: np.random.Generator, count: int, new: float = 0.0, width: int = WIDTH
) -> tuple[RowFigures, np.ndarray]:
    """Figures and calibrated probabilities; a share `new` of the rows is of another kind."""
    features = random.normal(0, np.linspace(2, 0.2, width), (count, width))
    strange = np.arange(count) < round(new * count)
    features[strange, -4:] += 3.0
    letters = np.zeros((count, len(SCRIPTS)), np.int32)
    letters[:, 0] = 60
    unknown = np.where(random.random(count) < 0.1, 0.05, 0.0)
    figures = RowFigures(
        features.astype(np.float32), random.poisson(20, count).astype(np.int32), unknown.astype(np.float32), letters
    )
    return figures, random.dirichlet(np.full(len(LABELS), 0.3), count).astype(np.float32)


def drawn_truth(random: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """True classes that the probabilities are right about."""
    reach = np.cumsum(probabilities, axis=1) / probabilities.sum(axis=1, keepdims=True)
    return (random.random((len(probabilities), 1)) > reach).sum(axis=1).clip(max=len(LABELS) - 1).astype(np.int32)


def reference(random: np.random.Generator, count: int = 300, width: int = WIDTH) -> Reference:
    figures, probabilities = rows(random, count, width=width)
    return Reference(figures, probabilities, drawn_truth(random, probabilities), LABELS, 1.0, "tiny", "5" * 64)
