"""What training curves say (4.7), in plain words with the next thing to do.

Read in this order: the loss broke down; too few epochs to read; nothing was learnt; validation has turned, by metric
and by loss, while training goes on (overfitting); validation does not move; the best epoch is the last one allowed;
only the loss has turned (too sure of itself); both improve. The signs are the usual ones, for example Goodfellow,
Bengio and Courville, Deep Learning (2016), sections 5.2 and 11.4; that loss may rise while accuracy holds is described
by Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 3.

A single epoch shows no trend: validation has turned where it ends worse than its best for two epochs or more, by more
than the metric's standard error on the validation rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from playbook.adapt.curve import best_epoch
from playbook.artifacts import Epoch, Refresh, Rung
from playbook.evaluate.paired import TOLERANCE
from playbook.spec import UNBOUNDED

Case = Literal[
    "diverging", "too short", "wrong base", "overfitting", "stalled", "unfinished", "overconfident", "improving"
]
MOVED = 0.02  # relative fall of a loss, or rise of the metric, that counts as learning
DIVERGING = 1.2  # a loss that ends at more than this many times its lowest value has left the rails
TREND = 2  # epochs after the best one that make a turn; one may be noise


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


@dataclass(frozen=True)
class Reading:
    """What is known of a training beside its curve."""

    allowed_epochs: int | None = None  # as many as training was allowed; None where that is not known
    floor: float = 0.0  # lowest possible training loss (`smoothing_floor`)
    rows: int | None = None  # validation rows, which say how exact the metric is; None where that is not known
    start: float | None = None  # validation metric of what training started from; any gain on it counts
    metric: str = ""  # `Limit.label` of the committed metric


NOTHING_KNOWN = Reading()


def read_curve(curve: Sequence[Epoch], known: Reading = NOTHING_KNOWN) -> Diagnosis:
    """Diagnose one training curve: epochs in order, and what else is known of the training."""
    if any(not math.isfinite(loss) for epoch in curve for loss in (epoch.train_loss, epoch.validation_loss)):
        return _BROKEN
    if len(curve) < 2:
        return _TOO_SHORT
    train = [max(epoch.train_loss - known.floor, 0.0) for epoch in curve]
    learns, improves = train[-1] < train[0] * (1 - MOVED), _validation_improves(curve, known)
    metric_turned, loss_turned = _metric_turned(curve, known), _loss_turned(curve)
    cases = (
        (not learns and train[-1] > DIVERGING * min(train), _DIVERGING),
        (not learns and improves, _SLOW),
        (not learns, _WRONG_BASE),
        (metric_turned and loss_turned and _falls_since_the_best(curve, train), _OVERFITTING),
        (not improves, _STALLED),
        (still_rising(curve, known.allowed_epochs), _RISING_LESS_SURE if loss_turned else _UNFINISHED),
        (loss_turned, _OVERCONFIDENT),
    )
    found = next((diagnosis for applies, diagnosis in cases if applies), _IMPROVING)
    return replace(found, finding=f"{found.finding} {_evidence(curve)}")


def diagnose(curve: Sequence[Epoch], known: Reading = NOTHING_KNOWN) -> str:
    """`read_curve` as one paragraph."""
    return read_curve(curve, known).text


def still_rising(curve: Sequence[Epoch], allowed_epochs: int | None) -> bool:
    """Whether training used all epochs that it was allowed and was at its best in the last one: it had not settled."""
    return len(curve) > 1 and len(curve) == allowed_epochs and best_epoch(curve) == len(curve) - 1


def diagnose_refresh(refreshed: Refresh, allowed_epochs: int, floor: float) -> Diagnosis:
    """Diagnose the champion's further training; what it starts from has learned already, and no block is added to it.

    Args:
        refreshed: with its curve, and with its gain over the champion on validation.
        allowed_epochs: epochs that it was allowed.
        floor: lowest possible training loss (`smoothing_floor`).
    """
    found = read_curve(refreshed.curve, _known(refreshed, allowed_epochs, floor))
    own = _OF_A_REFRESH.get(found.case)
    return replace(own, finding=f"{own.finding} {_evidence(refreshed.curve)}") if own else found


def with_refresh(
    staircase: StaircaseDiagnosis, refreshed: Refresh, allowed_epochs: int, floor: float, *, stands: bool
) -> StaircaseDiagnosis:
    """The diagnosis of a round: the refresh beside the rungs; it says what to do next where it is the candidate.

    Args:
        staircase: what `diagnose_staircase` says of the rungs.
        refreshed: the champion trained further.
        allowed_epochs: epochs that it was allowed.
        floor: lowest possible training loss (`smoothing_floor`).
        stands: whether it is the candidate.
    """
    found = diagnose_refresh(refreshed, allowed_epochs, floor)
    diagnoses = {**staircase.diagnoses, refreshed.step: found.text}
    if staircase.diagnosis and not stands:
        return replace(staircase, diagnoses=diagnoses)
    return StaircaseDiagnosis(f"{refreshed.step}: {found.text}", diagnoses, found.next_thing)


def diagnose_staircase(rungs: Sequence[Rung], allowed_epochs: int, floor: float, max_rungs: int) -> StaircaseDiagnosis:
    """Diagnose every tried rung; what to do next follows from the last curve and from whether that rung was kept.

    Args:
        rungs: all rungs in order; those that were not tried have no curve.
        allowed_epochs: epochs that a rung was allowed.
        floor: lowest possible training loss (`smoothing_floor`).
        max_rungs: how many rungs the task file allows.
    """
    read = {rung.index: read_curve(rung.curve, _known(rung, allowed_epochs, floor)) for rung in rungs if rung.curve}
    if not read:
        return StaircaseDiagnosis()
    last = [rung for rung in rungs if rung.curve][-1]
    found = read[last.index]
    return StaircaseDiagnosis(
        diagnosis=f"rung_{last.index}: {found.text}",
        diagnoses={f"rung_{index}": diagnosis.text for index, diagnosis in read.items()},
        next_thing=_next_thing(found, last, max_rungs),
    )


def _known(rung: Rung, allowed_epochs: int, floor: float) -> Reading:
    score = rung.validation
    if score is None:
        return Reading(allowed_epochs, floor)
    gain = -rung.gain if rung.curve[0].lower_is_better else rung.gain
    return Reading(allowed_epochs, floor, score.n or None, score.value - gain, score.metric)


def _next_thing(found: Diagnosis, last: Rung, max_rungs: int) -> str:
    if found.case not in ("improving", "overconfident"):
        return found.next_thing
    if not last.kept:
        return (
            f"The curves are healthy, but rung_{last.index} gained no more than its error: keep the rung before it. "
            "More labelled rows are the next thing to try, in validation too, where a gain of this size could be seen."
        )
    if last.index >= max_rungs:
        return f"Every rung allowed was kept: raise adaptation.max_rungs above {max_rungs} and climb on."
    return found.next_thing


def _noise(value: float, known: Reading) -> float:
    """Standard error of the committed metric on the validation rows; MOVED where their number is not known.

    A share of rows has the error of a share. A log loss is a mean over rows whose losses spread about as widely as
    their mean (an exponential distribution's do); a change of less than MOVED of it counts for nothing in any case.
    """
    if known.rows is None:
        return MOVED
    if known.metric in UNBOUNDED:
        return value * max(MOVED, 1 / math.sqrt(known.rows))
    return math.sqrt(value * (1 - value) / known.rows)


def _metric_turned(curve: Sequence[Epoch], known: Reading) -> bool:
    """Whether the last epochs lie below the best one by more than chance."""
    best = best_epoch(curve)
    ends = sum(epoch.merit for epoch in curve[-TREND:]) / TREND
    top = curve[best].merit
    return len(curve) - 1 - best >= TREND and top - ends > _noise(abs(top), known)


def _loss_turned(curve: Sequence[Epoch]) -> bool:
    """Whether each of the last epochs has a higher validation loss than the lowest one before them."""
    lowest = min(range(len(curve)), key=lambda at: curve[at].validation_loss)
    above = curve[lowest].validation_loss * (1 + MOVED)
    return len(curve) - 1 - lowest >= TREND and all(epoch.validation_loss > above for epoch in curve[-TREND:])


def _falls_since_the_best(curve: Sequence[Epoch], train: Sequence[float]) -> bool:
    """Whether training loss went on falling after the best epoch."""
    return train[-1] < train[best_epoch(curve)]


def _validation_improves(curve: Sequence[Epoch], known: Reading) -> bool:
    """Whether validation gets beyond what training started from; where that is not known, beyond the first epoch.

    A first epoch at a high rate breaks much, so that getting beyond it shows little where the start is known.
    """
    first, best = curve[0], max(epoch.merit for epoch in curve)
    if known.start is not None:
        return best > (-known.start if first.lower_is_better else known.start) + TOLERANCE
    return (
        min(epoch.validation_loss for epoch in curve) < first.validation_loss * (1 - MOVED)
        or best > first.merit + MOVED
    )


def _evidence(curve: Sequence[Epoch]) -> str:
    """The figures that a reading stands on."""
    best = best_epoch(curve)
    lowest = min(range(len(curve)), key=lambda at: curve[at].validation_loss)
    return (
        f"(Best in epoch {best + 1} of {len(curve)}, lowest validation loss in epoch {lowest + 1}; training loss "
        f"{curve[0].train_loss:.2f} to {curve[-1].train_loss:.2f}.)"
    )


_BROKEN = Diagnosis(
    "diverging",
    "The loss is not a finite number: training broke down.",
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
    "Training goes on improving while validation has turned, by its metric and by its loss: overfitting. The best "
    "epoch was kept.",
    "More labelled rows, a higher weight decay or dropout, or a lower learning rate are the next things to try; more "
    "blocks are not.",
)
_STALLED = Diagnosis(
    "stalled",
    "Training improves while validation does not get beyond where it began: overfitting begins. The best epoch was "
    "kept.",
    "The next gain is in the data, in more and cleaner labels, not in more blocks.",
)
_UNFINISHED = Diagnosis(
    "unfinished",
    "Training and validation both improve, and the best epoch is the last one allowed: training was cut short.",
    "Allow more adaptation.epochs.",
)
_RISING_LESS_SURE = Diagnosis(
    "unfinished",
    "The metric is at its best in the last epoch allowed, so training was cut short, while the validation loss rises: "
    "the answers get better and too sure of themselves.",
    "Allow more adaptation.epochs; a fitted temperature takes back the confidence.",
)
_OVERCONFIDENT = Diagnosis(
    "overconfident",
    "Validation has gained and its metric holds, while its loss rises: the answers are as good but too sure of "
    "themselves. The best epoch was kept.",
    "Go on: one more block may help. More label smoothing or fewer epochs would keep confidence honest; a fitted "
    "temperature takes it back.",
)
_IMPROVING = Diagnosis("improving", "Training and validation both improve.", "Go on: one more block may help.")
# A refresh goes on from weights that have learned, at lower rates and with the blocks that it has.
_REFRESHED = Diagnosis(
    "improving",
    "Training and validation both improve on the champion.",
    "More labelled rows of what is new are the next thing to try; more blocks are tried by training from the base.",
)
_OF_A_REFRESH: dict[Case, Diagnosis] = {
    "diverging": Diagnosis(
        "diverging",
        "The loss rises or is not a finite number: the refresh leaves what the champion had learned.",
        "Lower retraining.refresh.learning_rate_factor to a third; if that does not help, set precision: float32.",
    ),
    "wrong base": Diagnosis(
        "wrong base",
        "Neither training nor validation improves on the champion: the rows are learned already, or the rates are too "
        "low to learn more.",
        "If production brought something new, raise retraining.refresh.learning_rate_factor; otherwise nothing is "
        "missing.",
    ),
    "improving": _REFRESHED,
    "overconfident": replace(
        _REFRESHED,
        case="overconfident",
        finding="Validation has gained on the champion and its metric holds, while its loss rises: the answers are as "
        "good but too sure of themselves. The best epoch was kept.",
        next_thing="Fewer epochs or more label smoothing would keep confidence honest; a fitted temperature takes it "
        "back. " + _REFRESHED.next_thing,
    ),
}
