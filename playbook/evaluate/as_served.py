"""A model's answers as served: probabilities after its temperature, classes after its operating point (B8, 5.3).

Temperature and threshold are fitted on validation, for every model its own, references included. Whatever is scored
goes through here, so that the figures of a page are those of the packaged model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import OperatingPoint, Score, ServedRules, ThresholdFigures
from playbook.evaluate import wording
from playbook.evaluate.calibration import fit_temperature, scaled
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers
from playbook.statistics.metric import Metric, is_met, metrics_of
from playbook.statistics.operating_point import ChosenPoint, Threshold, best_threshold, choose_point, decide
from playbook.statistics.threshold_class import threshold_class

MOST_POINTS = 80  # of a curve
Labels = npt.NDArray[np.integer[Any]]
Probabilities = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class AsServed:
    """What makes answers of a model's own probabilities."""

    temperature: float = 1.0
    threshold: Threshold | None = None

    def answers(self, probabilities: Probabilities) -> Answers:
        """Answers as served, from probabilities as trained, shape (rows, classes)."""
        calibrated = scaled(probabilities, self.temperature)
        if self.threshold is None:
            return Answers(probabilities.argmax(axis=1), calibrated)  # a temperature moves no answer
        return Answers(decide(calibrated, self.threshold), calibrated)

    def rules(self, labels: Sequence[str]) -> ServedRules:
        """As an artefact keeps it."""
        if self.threshold is None:
            return ServedRules(temperature=self.temperature)
        of_class = labels[self.threshold.number]
        return ServedRules(temperature=self.temperature, of_class=of_class, decide_from=self.threshold.value)


def served_under(rules: ServedRules, labels: Sequence[str]) -> AsServed:
    """What an artefact kept; a class that is not a label is answered as the likeliest one."""
    known = rules.of_class in labels
    return AsServed(rules.temperature, Threshold(labels.index(rules.of_class), rules.decide_from) if known else None)


def as_served(spec: TaskSpec, truth: Labels, probabilities: Probabilities) -> AsServed:
    """Temperature and threshold of a model, fitted on its answers to validation.

    Args:
        spec: the task.
        truth: true classes of validation, shape (rows,).
        probabilities: as the model was trained, shape (rows, classes).
    """
    temperature, number = fit_temperature(truth, probabilities), _number_to_choose(spec, probabilities)
    if number is None:
        return AsServed(temperature)
    return AsServed(temperature, best_threshold(metrics_of(spec), number, truth, scaled(probabilities, temperature)))


def threshold_number(spec: TaskSpec) -> int | None:
    """Number of the class that is answered from a threshold on; None where every row gets its likeliest class."""
    name = threshold_class(spec.target, spec.labels)
    return None if name is None else spec.labels.index(name)


def _number_to_choose(spec: TaskSpec, probabilities: Probabilities) -> int | None:
    """Number of the class for which a threshold is chosen; None where the model or the task gets none.

    A model that gives every row the same probabilities has no threshold: no threshold could separate its rows.
    """
    return threshold_number(spec) if np.ptp(probabilities, axis=0).any() else None


def threshold_terms(spec: TaskSpec) -> dict[str, Any] | None:
    """What a threshold depends on in the task file, for keys of results; None where the likeliest class is answered."""
    number = threshold_number(spec)
    if number is None:
        return None
    return {"class": number, "limits": [metric.limit.model_dump(mode="json") for metric in metrics_of(spec)]}


def operating_point(spec: TaskSpec, truth: Labels, probabilities: Probabilities) -> OperatingPoint | None:
    """The threshold that `as_served` takes, with its uncertainty and its curve; None where there is none."""
    number = _number_to_choose(spec, probabilities)
    if number is None:
        return None
    calibrated = scaled(probabilities, fit_temperature(truth, probabilities))
    metrics = [metric for metric in metrics_of(spec) if not metric.needs_probabilities]
    found = choose_point(metrics, number, truth, calibrated, spec.adaptation.seed)
    return None if found is None else _described(spec, metrics, found, len(truth))


def _described(spec: TaskSpec, metrics: Sequence[Metric], found: ChosenPoint, rows: int) -> OperatingPoint:
    values = found.values[:, found.place]
    figures = {
        metric.label: Score(metric=metric.label, value=float(value), low=low, high=high, n=rows)
        for metric, value, (low, high) in zip(metrics, values, found.intervals, strict=True)
    }
    places = np.unique(np.linspace(0, len(found.thresholds) - 1, MOST_POINTS).round().astype(int))
    curve = tuple(
        ThresholdFigures(
            threshold=float(found.thresholds[at]),
            values={metric.label: float(value) for metric, value in zip(metrics, found.values[:, at], strict=True)},
        )
        for at in places
    )
    point = OperatingPoint(
        of_class=spec.labels[found.threshold.number],
        threshold=found.threshold.value,
        interval=found.interval,
        rows=rows,
        met=all(is_met(metric.limit, float(value)) for metric, value in zip(metrics, values, strict=True)),
        figures=figures,
        at_argmax={metric.label: value for metric, value in zip(metrics, found.at_argmax, strict=True)},
        curve=curve,
    )
    return point.model_copy(update={"text": _in_words(spec, point)})


def _in_words(spec: TaskSpec, point: OperatingPoint) -> str:
    low, high = point.interval
    met = (
        "all limits are met there"
        if point.met
        else "not all limits are met there, and no other threshold is shown to do better"
    )
    figures = "; ".join(
        f"{name} {wording.score_range(score)}, with the likeliest class {wording.percent(point.at_argmax[name])}"
        for name, score in point.figures.items()
    )
    return (
        f"{point.of_class} is answered from a probability of {wording.percent(point.threshold)} on (chosen again on "
        f"resampled rows: {wording.percent(low)} to {wording.percent(high)}), else the likeliest other class. "
        f"Validation ({wording.size(point.rows)}) chose it; {met}: {figures}."
    )
