"""Which rows make a step: bucketed by length, shuffled by seed and epoch, shared out over ranks."""

from __future__ import annotations

import numpy as np

LENGTH_JITTER = 0.03  # rows of one length are shuffled anyway; more would mean more spans, so slower attention


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Rows of every step of one epoch; within a step they are ordered by length.

    Rows of like length go together, so that attention runs over few spans; the order of steps is random. The result
    follows from the arguments alone, which is what makes a resumed epoch equal to an undisturbed one.
    """
    rng = np.random.default_rng([seed, epoch])
    blurred = lengths * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(lengths)) + rng.random(len(lengths))
    order = np.argsort(blurred, kind="stable")
    steps = steps_per_epoch(len(order), batch_size)
    batches = [part[np.argsort(lengths[part], kind="stable")] for part in np.array_split(order, steps)]
    return [batches[place] for place in rng.permutation(len(batches))]


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Steps of near equal size; each has at least two thirds of the batch size, so no rank of DDP goes without rows."""
    return max(1, round(rows / batch_size))


def share(rows: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The rows of one step that a rank takes: every `world`-th, so that lengths stay balanced."""
    return rows[rank::world]
