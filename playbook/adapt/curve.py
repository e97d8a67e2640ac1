"""Where a training curve is at its best, and when it is at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from playbook.artifacts import Epoch


def best_epoch(curve: Sequence[Epoch]) -> int:
    """Position of the epoch with the best committed metric; a tie goes to the lower validation loss.

    An epoch whose loss is not a finite number comes last: its model always answers the same, which may score well.
    """
    return max(range(len(curve)), key=lambda place: (_is_whole(curve[place]), curve[place].merit, -_loss(curve[place])))


def _is_whole(epoch: Epoch) -> bool:
    return math.isfinite(epoch.train_loss) and math.isfinite(epoch.validation_loss)


def _loss(epoch: Epoch) -> float:
    return epoch.validation_loss if math.isfinite(epoch.validation_loss) else math.inf


def diverged(curve: Sequence[Epoch]) -> bool:
    """Whether the last epoch's loss, in training or validation, is not a finite number; nothing fixes that."""
    return bool(curve) and not _is_whole(curve[-1])


def stalled(curve: Sequence[Epoch], patience: int) -> bool:
    """Whether neither the metric nor the loss of validation has improved for `patience` epochs."""
    if not curve:
        return False
    lowest_loss = min(range(len(curve)), key=lambda place: _loss(curve[place]))
    return len(curve) - 1 - max(best_epoch(curve), lowest_loss) >= patience
