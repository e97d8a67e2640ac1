"""Which rows make an epoch, and which a step: bucketed by length, shuffled by seed and epoch, shared out over ranks."""

from __future__ import annotations

import numpy as np

LENGTH_JITTER = 0.03  # rows of one length are shuffled anyway; more would mean more spans, so slower attention
GRADIENT_CLIP = 1.0  # largest norm of the gradient of a step
RESAMPLE = "resample"  # the choice of `adaptation.class_weighting` that draws rows instead of weighing them


def resampled(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Places of one epoch's rows when every class is to have as many as the most frequent one: random oversampling.

    Each row of a class is taken equally often, up to one; which rows are taken once more is drawn again in every epoch,
    from seed and epoch alone, so that ranks agree and a resumed epoch equals an undisturbed one. A survey of this and
    other methods: He and Garcia, IEEE TKDE 21 (2009) 1263-1284.

    Args:
        labels: class number of each row, shape (rows,).
        seed: of the training.
        epoch: number of the epoch.

    Returns:
        int64, shape (classes that have rows * rows of the most frequent class,), ordered by class.
    """
    rng = np.random.default_rng([seed, epoch, 1])
    most = int(np.bincount(labels).max())
    parts = []
    for number in np.unique(labels):
        rows = np.flatnonzero(labels == number)
        whole, rest = divmod(most, len(rows))
        parts += [np.repeat(rows, whole), np.sort(rng.choice(rows, rest, replace=False))]
    return np.concatenate(parts)


def epoch_rows(labels: np.ndarray, weighting: str) -> int:
    """Rows of one epoch: all of them once, or as many as `resampled` draws."""
    if weighting != RESAMPLE:
        return len(labels)
    counts = np.bincount(labels)
    return int(counts.max()) * int((counts > 0).sum())


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


def parts_per_step(rows: int, batch_size: int, world: int, accumulation: int) -> int:
    """Parts that each rank takes its share of a step in: `accumulation`, or fewer where a share has fewer rows."""
    smallest = rows // steps_per_epoch(rows, batch_size) // world
    return max(1, min(accumulation, smallest))
