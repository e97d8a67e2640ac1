"""What training curves say (4.7), in plain words with the next thing to do.

Read in this order: the loss broke down; too few epochs to read; nothing was learnt; validation stalls while training
goes on (overfitting); the best epoch is the last one allowed; both improve. The signs are the usual ones, for example
Goodfellow, Bengio and Courville, Deep Learning (2016), sections 5.2 and 11.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from playbook.adapt.curve import best_epoch
from playbook.artifacts import Epoch, Rung

Case = Literal["diverging", "too short", "wrong base", "overfitting", "stalled", "unfinished", "improving"]
MOVED = 0.02  # relative fall of a loss, or rise of the metric, that counts as learning
DIVERGING = 1.2  # a loss that ends at more than this many times its lowest value has left the rails
OVERFITTING_GAP = 0.5  # training loss below this part of the validation loss, while validation loss rises


@dataclass(frozen=True)
class Diagnosis:
    """What a curve says, and the next thing to do."""

    case: Case
    finding: str
    next_thing: str

    @property
    def text(self) -> str:
        """Both as one paragraph."""
        return f"{self.finding} {self.next_thing}"


@dataclass(frozen=True)
class StaircaseDiagnosis:
    """Every tried rung's curve in words (by `rung_1`, ...), what the last one says, and the next thing to do."""

    diagnosis: str = ""
    diagnoses: dict[str, str] = field(default_factory=dict)
    next_thing: str = ""


def smoothing_floor(label_smoothing: float, classes: int) -> float:
    """The lowest training loss that smoothed labels allow, in nats: their entropy (Szegedy et al., CVPR 2016).

    Without it a smoothed training loss cannot be set beside a validation loss, which is not smoothed.
    """
    if label_smoothing <= 0:
        return 0.0
    other = label_smoothing / classes
    true = 1 - label_smoothing + other
    return -true * math.log(true) - (classes - 1) * other * math.log(other)


def read_curve(curve: Sequence[Epoch], allowed_epochs: int | None = None, floor: float = 0.0) -> Diagnosis:
    """Diagnose one training curve.

    Args:
        curve: epochs in order.
        allowed_epochs: as many as training was allowed; None where that is not known.
        floor: lowest possible training loss (`smoothing_floor`).
    """
    if any(not math.isfinite(loss) for epoch in curve for loss in (epoch.train_loss, epoch.validation_loss)):
        return _BROKEN
    if len(curve) < 2:
        return _TOO_SHORT
    train = [max(epoch.train_loss - floor, 0.0) for epoch in curve]
    improves, last = _validation_improves(curve), curve[-1].validation_loss
    rising = last > min(epoch.validation_loss for epoch in curve) * (1 + MOVED)
    cut_short = len(curve) == allowed_epochs and best_epoch(curve) == len(curve) - 1
    learns = train[-1] < train[0] * (1 - MOVED)
    cases = (
        (not learns and train[-1] > DIVERGING * min(train), _DIVERGING),
        (not learns and improves, _SLOW),
        (not learns, _WRONG_BASE),
        (rising and (train[-1] < OVERFITTING_GAP * last or _ends_worse(curve)), _OVERFITTING),
        (not improves, _STALLED),
        (cut_short, _UNFINISHED),
    )
    return next((diagnosis for applies, diagnosis in cases if applies), _IMPROVING)


def diagnose(curve: Sequence[Epoch], allowed_epochs: int | None = None, floor: float = 0.0) -> str:
    """`read_curve` as one paragraph."""
    return read_curve(curve, allowed_epochs, floor).text


def diagnose_staircase(rungs: Sequence[Rung], allowed_epochs: int, floor: float, max_rungs: int) -> StaircaseDiagnosis:
    """Diagnose every tried rung; what to do next follows from the last curve and from whether that rung was kept.

    Args:
        rungs: all rungs in order; those that were not tried have no curve.
        allowed_epochs: epochs that a rung was allowed.
        floor: lowest possible training loss (`smoothing_floor`).
        max_rungs: how many rungs the task file allows.
    """
    read = {rung.index: read_curve(rung.curve, allowed_epochs, floor) for rung in rungs if rung.curve}
    if not read:
        return StaircaseDiagnosis()
    last = [rung for rung in rungs if rung.curve][-1]
    found = read[last.index]
    return StaircaseDiagnosis(
        diagnosis=f"rung_{last.index}: {found.text}",
        diagnoses={f"rung_{index}": diagnosis.text for index, diagnosis in read.items()},
        next_thing=_next_thing(found, last, max_rungs),
    )


def _next_thing(found: Diagnosis, last: Rung, max_rungs: int) -> str:
    if found.case != "improving":
        return found.next_thing
    if not last.kept:
        return (
            f"The curves are healthy, but rung_{last.index} gained no more than its error: keep the rung before it. "
            "More labelled rows are the next thing to try, in validation too, where a gain of this size could be told."
        )
    if last.index >= max_rungs:
        return f"Every rung allowed was kept: raise adaptation.max_rungs above {max_rungs} and climb on."
    return found.next_thing


def _ends_worse(curve: Sequence[Epoch]) -> bool:
    """Whether validation loss ends well above its lowest and the metric gained nothing after that epoch either."""
    lowest = min(range(len(curve)), key=lambda at: curve[at].validation_loss)
    later = max(epoch.validation for epoch in curve[lowest:])
    rose = curve[-1].validation_loss > DIVERGING * curve[lowest].validation_loss
    return rose and later <= curve[lowest].validation + MOVED


def _validation_improves(curve: Sequence[Epoch]) -> bool:
    """Whether any later epoch beats the first by loss or by the committed metric."""
    first = curve[0]
    return (
        min(epoch.validation_loss for epoch in curve) < first.validation_loss * (1 - MOVED)
        or max(epoch.validation for epoch in curve) > first.validation + MOVED
    )


_BROKEN = Diagnosis(
    "diverging",
    "The loss is no finite number: training broke down.",
    "Lower adaptation.learning_rate and head_learning_rate to a third; if that does not help, set precision: float32.",
)
_DIVERGING = Diagnosis(
    "diverging",
    "The training loss rises: training diverges.",
    "Lower adaptation.learning_rate and head_learning_rate to a third, or lengthen adaptation.warmup.",
)
_TOO_SHORT = Diagnosis("too short", "Too few epochs to read a curve from.", "Allow more adaptation.epochs.")
_WRONG_BASE = Diagnosis(
    "wrong base",
    "Neither training nor validation improves: the base does not fit this task.",
    "Go back to choosing a base (Play 2). Before that, rule out a learning rate that is far too low.",
)
_SLOW = Diagnosis(
    "unfinished",
    "Validation improves although the training loss hardly moves: learning has only begun.",
    "Allow more adaptation.epochs, or raise adaptation.learning_rate.",
)
_OVERFITTING = Diagnosis(
    "overfitting",
    "Training goes on improving while validation stalls and gets worse: overfitting. The best epoch was kept.",
    "More labelled rows, a higher weight decay or dropout, or a lower learning rate are the next things to try; more "
    "blocks are not.",
)
_STALLED = Diagnosis(
    "stalled",
    "Training improves while validation does not move: overfitting begins. The best epoch was kept.",
    "The next gain is in the data, in more and cleaner labels, not in more blocks.",
)
_UNFINISHED = Diagnosis(
    "unfinished",
    "Training and validation both improve, and the best epoch is the last one allowed: training was cut short.",
    "Allow more adaptation.epochs.",
)
_IMPROVING = Diagnosis("improving", "Training and validation both improve.", "Go on: one more block may help.")
