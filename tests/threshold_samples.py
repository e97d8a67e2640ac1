"""Rows of a rare class whose probabilities are calibrated, for tests of decision thresholds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def rows(seed: int, count: int, share: float = 0.15) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """A rare class whose log-odds are normal, two spreads apart: calibrated, and argmax has a recall of about half."""
    random = np.random.default_rng(seed)
    truth = (random.random(count) < share).astype(np.int64)
    odds = 3.0 * random.normal(3.0 * truth, 1.0) - 4.5 + np.log(share / (1 - share))
    anger = 1 / (1 + np.exp(-odds))
    return truth, np.column_stack([1 - anger, anger])
