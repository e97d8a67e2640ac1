"""From which confidence on a model may answer, so that at most a stated share of its answers is wrong (B9).

Learn-then-Test (Angelopoulos, Bates, Candès, Jordan and Lei, Learn then Test: Calibrating Predictive Algorithms to
Achieve Risk Control, arXiv 2110.01052, 2021). The risk is the error among answered rows. For every threshold of a fixed
grid the hypothesis "the risk is above the stated error" is tested with an exact binomial p-value: of the n answered
rows k are wrong, and P(Binomial(n, error) <= k) is small only if the risk is lower. Thresholds are tested in a fixed
order, from sure to unsure, until the first that cannot be rejected (fixed-sequence testing). Several sequences with
fixed starts share the allowed chance of a failure, so that few very sure rows do not end the search. The
threshold that is returned then has a risk above the stated error with at most that chance, whatever the model is.

The promise holds for rows like the calibration rows. These must not have trained the model, and as far as they also
chose it (rungs, regularisation, temperature) the promise is weaker than stated; docs/silence.md has the measured size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
STEP = 0.005  # of the grid below the first start
# Sequences begin where a calibrated model errs on this share of the stated error; each has its part of the chance of a
# failure. The others are for models of which too few rows reach the first one, or that are too sure of themselves.
STARTS = {0.5: 0.8, 1.0: 0.1, 0.125: 0.1}
MOST_ROWS = 10_000_000  # more rows than this are not worth naming


@dataclass(frozen=True)
class Guarantee:
    """A confidence from which on the model may answer; nothing is promised where `threshold` is None.

    `error` and `failure` are what was asked for: at most this share of answers is wrong, but for this chance. `rows`
    were tested; `answered` of them reach the threshold, and of these `wrong` are wrong.
    """

    error: float
    failure: float
    threshold: float | None
    rows: int
    answered: int = 0
    wrong: int = 0
    rows_needed: int | None = (
        None  # calibration rows that would probably do; None: no number would, or there are enough
    )


@dataclass(frozen=True)
class RiskCurve:
    """Error among answered rows by how many are answered: the surest `answered` rows, down to `threshold`.

    All arrays have one entry per distinct confidence, highest first.
    """

    threshold: Floats
    answered: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.int64]


def guarantee(confidence: Floats, right: npt.NDArray[np.bool_], error: float, failure: float) -> Guarantee:
    """The lowest threshold of the grid whose risk is at most `error`, but for a chance of `failure`.

    Args:
        confidence: of every calibration row, in [0, 1], shape (rows,); -1 where the model is silent anyway.
        right: whether the answer is right, shape (rows,).
        error: highest allowed share of wrong answers among answered rows, in (0, 1).
        failure: highest allowed chance that the threshold breaks the promise, in (0, 1).

    Raises:
        ValueError: arrays that do not fit each other, or a share that is not a number between 0 and 1.
    """
    if confidence.shape != right.shape or confidence.ndim != 1:
        raise ValueError(f"expected a confidence for every answer, found {confidence.shape} for {right.shape}")
    if not (0 < error < 1 and 0 < failure < 1):
        raise ValueError(f"expected an error and a chance of failure between 0 and 1, found {error} and {failure}")
    grid, starts = grid_of(error)
    answered, wrong = (len(part) - np.searchsorted(np.sort(part), grid) for part in (confidence, confidence[~right]))
    found = p_values(answered, wrong, error)
    reached = [_last(found <= failure * part, start) for start, part in zip(starts, STARTS.values(), strict=True)]
    best = max((place for place in reached if place is not None), default=None)
    if best is None:
        needed = _rows_needed(answered, wrong, len(confidence), error, failure * max(STARTS.values()))
        return Guarantee(error, failure, None, len(confidence), rows_needed=needed)
    return Guarantee(error, failure, float(grid[best]), len(confidence), int(answered[best]), int(wrong[best]))


@lru_cache(maxsize=32)
def grid_of(error: float) -> tuple[Floats, tuple[int, ...]]:
    """Thresholds from sure to unsure, and the places at which sequences start. Neither depends on any row."""
    above = 1 - error * np.geomspace(min(STARTS), 1, 13)
    below = np.arange(np.floor((1 - error) / STEP) * STEP, -STEP / 2, -STEP)
    grid = np.unique(np.abs(np.round(np.concatenate([above, below]), 9)))[::-1]
    grid.flags.writeable = False
    return grid, tuple(int(np.argmin(np.abs(grid - (1 - error * share)))) for share in STARTS)


def p_values(answered: npt.NDArray[np.int64], wrong: npt.NDArray[np.int64], error: float) -> Floats:
    """P(Binomial(answered, error) <= wrong), shape as given: small where the risk is below `error`; 1 without rows."""
    from scipy.stats import binom

    found: Floats = np.asarray(binom.cdf(wrong, answered, error), np.float64)
    return np.where(answered > 0, found, 1.0)


def risk_curve(confidence: Floats, right: npt.NDArray[np.bool_]) -> RiskCurve:
    """Answered and wrong rows at every distinct confidence; rows with a negative one are never answered."""
    order = np.argsort(-confidence, kind="stable")
    order = order[confidence[order] >= 0]
    sure, mistakes = confidence[order], np.cumsum(~right[order])
    last = np.flatnonzero(np.diff(sure, append=-1.0))  # the last row of every run of equal confidence
    return RiskCurve(sure[last].astype(np.float64), (last + 1).astype(np.int64), mistakes[last].astype(np.int64))


def _last(passed: npt.NDArray[np.bool_], start: int) -> int | None:
    """The last place of the unbroken run of rejections that begins at `start`; None where there is no rejection."""
    broken = np.flatnonzero(~passed[start:])
    end = start + (int(broken[0]) if len(broken) else len(passed) - start)
    return end - 1 if end > start else None


def _rows_needed(
    answered: npt.NDArray[np.int64], wrong: npt.NDArray[np.int64], rows: int, error: float, level: float
) -> int | None:
    """Calibration rows with which some threshold would pass, if the shares seen stayed what they are."""
    needed = [
        _answered_needed(int(bad), int(count), error, level) * rows / count
        for count, bad in zip(answered, wrong, strict=True)
        if count and bad < error * count
    ]
    best = min(needed, default=float("inf"))
    return int(np.ceil(best)) if best <= MOST_ROWS else None


def _answered_needed(wrong: int, answered: int, error: float, level: float) -> float:
    """Answered rows at which that share of wrong ones is significantly below `error`; infinite beyond ten million."""
    counts = np.unique(np.geomspace(answered, MOST_ROWS, 600).astype(np.int64))
    enough = p_values(counts, np.ceil(wrong / answered * counts).astype(np.int64), error) <= level
    return float(counts[enough.argmax()]) if enough.any() else float("inf")
