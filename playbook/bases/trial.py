"""Whether another base of the list would now do better than the one that serves (6.5).

The bake-off's rule chooses one base for a task that has none; its close calls may go either way. A model that serves
has been paid for, so the question here is asked with a stated error: another base is preferred only where the rule
chooses it and its frozen probe beats that of the serving base with an interval above zero, or where the serving base is
out (licence, modality, budget). The interval's confidence is raised by the number of bases that could win (Bonferroni),
so that one trial prefers another base in at most (1 - confidence) / 2 of all cases in which none is better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from playbook.artifacts import BasePin, BaseTrial, Figure
from playbook.bases.admission import Found
from playbook.bases.bake_off import Measured, Report, measure_bases
from playbook.bases.choice import Standing, choose
from playbook.spec import TaskSpec
from playbook.statistics.metric import PairedDifference, target_metric
from playbook.statistics.values import Labels

RULE = (
    "Another base is preferred where the rule of the bake-off chooses it and its frozen probe beats that of the base "
    "that serves, the whole interval above zero, or where the base that serves is out."
)


def try_bases(
    spec: TaskSpec,
    found: Sequence[Found],
    serving: BasePin,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    report: Report,
) -> BaseTrial:
    """Measure every base of the list beside the one that serves; no model is touched and no test row read.

    Args:
        spec: the task.
        found: its bases, in order, from `playbook.bases.admission.find_bases`.
        serving: the base of the model that serves.
        train: prepared training rows, columns of `playbook.data.tables`.
        validation: prepared validation rows, likewise.
        report: takes lines of progress.

    Raises:
        PinMismatch: every base of the list is out, or one cannot be loaded.
        DataError: a table without rows, or with other classes than the task's.
    """
    measured = measure_bases(spec, found, train, validation, report)
    truth, standings = measured.rows.validation.labels, measured.standings
    refused = len(measured.candidates) - len(standings)
    chosen = choose(spec, truth, standings, refused=refused).order[0]
    pin = measured.candidates[chosen].pin
    trial = BaseTrial(
        task=spec.task,
        serving=serving.title,
        serving_weights=serving.weights_sha256,
        false_alarm_rate=round((1 - spec.evaluation.confidence) / 2, 6),
        candidates=measured.candidates,
        rule=RULE,
        hardware=measured.hardware,
    )
    mine = _standing_of(serving, measured)
    name = measured.candidates[chosen].name
    if mine is None:
        out = _out(serving, measured)
        why = f"{name} instead of {serving.title}, which is out: {out}"
        return trial.model_copy(update={"preferred": pin, "why": why})
    if mine.place == chosen:
        return trial.model_copy(update={"why": f"{serving.title} stays: the rule of the bake-off chooses it again"})
    gain = _gain(spec, truth, mine, next(one for one in standings if one.place == chosen), len(standings) - 1)
    figure = Figure(value=gain.delta, low=gain.low, high=gain.high)
    said = f"{gain.delta:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) in {spec.target.label} as a frozen base"
    if gain.low > 0:
        why = f"{name} instead of {serving.title}: {said}"
        return trial.model_copy(update={"preferred": pin, "gain": figure, "why": why})
    why = f"{serving.title} stays: {name} is {said} beside it, which may be chance"
    return trial.model_copy(update={"gain": figure, "why": why})


def _standing_of(serving: BasePin, measured: Measured) -> Standing | None:
    pins = {one.place: measured.candidates[one.place].pin for one in measured.standings}
    return next((one for one in measured.standings if _same(pins[one.place], serving)), None)


def _out(serving: BasePin, measured: Measured) -> str:
    found = next((one.out for one in measured.candidates if _same(one.pin, serving)), "")
    return found or "it is no longer a base of the task file"


def _same(pin: BasePin | None, serving: BasePin) -> bool:
    return pin is not None and pin.weights_sha256 == serving.weights_sha256


def _gain(spec: TaskSpec, truth: Labels, mine: Standing, other: Standing, rivals: int) -> PairedDifference:
    """Gain of another base's probe over the serving one's, its confidence raised by the number of rivals."""
    metric = target_metric(spec)
    raised = 1 - (1 - metric.confidence) / max(rivals, 1)
    return dataclasses.replace(metric, confidence=raised).difference(truth, mine.answers, other.answers)
