"""Figures of the controls: the candidate beside each of them on validation, the verdict, and the spread of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.adapt.controls import Trained, describe_budget
from playbook.adapt.diagnosis import still_rising
from playbook.adapt.staircase import served_answers
from playbook.adapt.transfer import minutes_per_point, paired_figure, transfer_verdict
from playbook.artifacts import ControlRun, Controls, FrozenBaseline, Rung, Score, SeedSpread
from playbook.evaluate import wording
from playbook.evaluate.metrics import Floats, Labels
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers
from playbook.statistics.metric import Metric, target_metric

SPREADS = 2.0  # a gain of more sample deviations than this is larger than the spread of the seeds


@dataclass(frozen=True)
class Staircase:
    """What the controls are compared with: all steps of the staircase, and validation predictions of three of them."""

    frozen: FrozenBaseline
    rungs: Sequence[Rung]
    model: FrozenBaseline | Rung  # the candidate
    predictions: pd.DataFrame  # the candidate's
    frozen_predictions: pd.DataFrame
    start_validation: Score | None = None  # of what the last rung kept started from

    @property
    def seconds(self) -> float:
        """Training time up to the candidate, all tried rungs included: reverted ones were the price of knowing."""
        return self.frozen.seconds + sum(rung.seconds for rung in self.rungs if rung.curve)


def compare_controls(
    spec: TaskSpec, staircase: Staircase, controls: Sequence[Trained], train_rows: int, seeds: Sequence[Trained] = ()
) -> Controls:
    """Set the candidate beside its controls on validation: one entry per control, the verdict, the spread of seeds."""
    spread = seed_spread(spec, staircase, seeds)
    truth, candidate = served_answers(staircase.predictions, spec)
    answers, seconds = {"candidate": candidate}, {"candidate": staircase.seconds, "frozen": staircase.frozen.seconds}
    if isinstance(staircase.model, Rung):
        answers["frozen"] = served_answers(staircase.frozen_predictions, spec)[1]
    for control in controls:
        answers[control.name] = _answers(control, spec)
    deviation = spread.deviation if spread is not None else 0.0
    runs = [_control_run(spec, staircase, control, truth, candidate, deviation) for control in (*controls, *seeds)]
    rising = [run.name for run in runs if run.rising]
    found = transfer_verdict(spec, truth, answers, seconds, deviation, rising)
    of_epoch = next((control.steps // control.epochs for control in (*controls, *seeds) if control.epochs), 0)
    note = "On validation, which the candidate was chosen by; the evaluation repeats this on the test split."
    return Controls(
        task=spec.task,
        pin=staircase.model.pin,
        runs=tuple(runs),
        transfer=found.transfer,
        verdict=f"{found.text} {note}",
        seeds=spread,
        budget=describe_budget(staircase.rungs, spec.adaptation, train_rows, of_epoch),
        hardware=next((control.hardware for control in (*controls, *seeds) if control.hardware), ""),
    )


def _answers(control: Trained, spec: TaskSpec) -> Answers:
    return served_answers(pd.read_parquet(control.folder / "predictions.parquet"), spec)[1]


def _control_run(
    spec: TaskSpec, staircase: Staircase, control: Trained, truth: Labels, candidate: Answers, deviation: float
) -> ControlRun:
    answers = _answers(control, spec)
    ahead = paired_figure(spec, truth, answers, candidate, deviation)
    return ControlRun(
        name=control.name,
        what=control.what,
        pin=control.pin,
        validation=target_metric(spec).score(truth, answers),
        ahead=ahead,
        epochs=control.epochs,
        steps=control.steps,
        rising=still_rising(control.curve, control.allowed_epochs),
        seconds=round(control.seconds, 3),
        minutes_per_point=minutes_per_point(ahead, staircase.seconds, control.seconds),
        curve=control.curve,
        hardware=control.hardware,
    )


def seed_spread(spec: TaskSpec, staircase: Staircase, seeds: Sequence[Trained]) -> SeedSpread | None:
    """Validation scores of the last rung kept over all its seeds; None where the task file asks for one seed.

    The gain over what the rung started from is larger than the spread where its mean exceeds SPREADS sample deviations.
    """
    model = staircase.model
    if spec.adaptation.controls.seeds < 2 or model.validation is None:
        return None
    metric = target_metric(spec)
    if not isinstance(model, Rung):
        text = "No rung was kept. A frozen head has one solution, so it has no seed to vary."
        return SeedSpread(metric=metric.label, values={}, mean=model.validation.value, deviation=0.0, text=text)
    truth, _ = served_answers(staircase.predictions, spec)
    values = {str(spec.adaptation.seed): model.validation.value}
    for trained in seeds:
        values[trained.name.removeprefix("seed_")] = metric.value(truth, _answers(trained, spec))
    found = np.array(list(values.values()))
    mean, deviation = float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else 0.0
    text = _spread_text(metric, model, staircase.start_validation, found, mean, deviation)
    return SeedSpread(metric=metric.label, values=values, mean=mean, deviation=deviation, text=text)


def _spread_text(metric: Metric, rung: Rung, start: Score | None, found: Floats, mean: float, deviation: float) -> str:
    least, most, middle = (wording.amount(float(value), metric.name) for value in (found.min(), found.max(), mean))
    apart = wording.points(deviation, metric=metric.name).lstrip("+")
    spread = f"rung_{rung.index} with {len(found)} seeds: {least} to {most}, mean {middle}, deviation {apart}."
    if start is None:
        return spread
    gain, worst = metric.gain(start.value, mean), min(metric.gain(start.value, float(value)) for value in found)
    larger = gain > SPREADS * deviation and worst > 0
    said = "larger than the spread" if larger else "not larger than the spread: another seed could have undone it"
    return f"{spread} Its mean gain over what it started from, {wording.points(gain, metric=metric.name)}, is {said}."
