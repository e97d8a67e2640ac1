"""Can the probabilities be believed? Reliability on the test split, before and after temperature scaling (5.3).

Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks (ICML 2017): one temperature, fitted on
validation by its negative log-likelihood, divides all log-probabilities. It changes no answer, only how sure the model
says that it is. The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) is the mean distance of
confidence and accuracy over bins of equal width, weighted by rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Calibration, CalibrationBin
from playbook.evaluate import wording
from playbook.evaluate.metrics import Floats, Labels
from playbook.spec import TaskSpec

# A probability that was rounded to zero still has a logarithm; smaller ones than this have no exact float32.
SMALLEST = float(np.finfo(np.float32).tiny)
TEMPERATURES = (0.05, 20.0)  # searched on a logarithmic scale
NOTICEABLE = 0.02  # differences of confidence and accuracy under two points are called small
Probabilities = npt.NDArray[np.floating]


def calibrate(
    spec: TaskSpec,
    validation_truth: Labels,
    validation_probabilities: Probabilities,
    test_truth: Labels,
    test_probabilities: Probabilities,
) -> Calibration:
    """Calibration on test with the temperature of validation.

    Args:
        spec: the task; `evaluation.calibration_bins` is used.
        validation_truth: true classes, shape (validation rows,).
        validation_probabilities: shape (validation rows, classes).
        test_truth: true classes, shape (test rows,).
        test_probabilities: shape (test rows, classes).

    Raises:
        ValueError: no rows, or probabilities that do not fit the rows or are not probabilities.
    """
    temperature = fit_temperature(validation_truth, validation_probabilities)
    _check(test_truth, test_probabilities)
    bins = spec.evaluation.calibration_bins
    before = reliability(test_truth, test_probabilities, bins)
    after = reliability(test_truth, scaled(test_probabilities, temperature), bins)
    first, second = expected_error(before), expected_error(after)
    return Calibration(
        temperature=temperature,
        ece_before=first,
        ece_after=second,
        before=before,
        after=after,
        text=_in_words(test_truth, test_probabilities, temperature, first, second),
    )


def scaled(probabilities: Probabilities, temperature: float) -> Floats:
    """Probabilities whose logarithms are divided by a temperature, shape (rows, classes); answers stay the same."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def fit_temperature(truth: Labels, probabilities: Probabilities) -> float:
    """The temperature of the least negative log-likelihood, between 0.05 and 20; over 1 the model was too sure.

    Raises:
        ValueError: no rows, or probabilities that do not fit the rows or are not probabilities.
    """
    from scipy.optimize import minimize_scalar

    _check(truth, probabilities)
    rows, logs = np.arange(len(truth)), np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))

    def loss(log_temperature: float) -> float:
        logits = logs / float(np.exp(log_temperature))  # `scaled`, of which the true classes alone are needed
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        told = raised[rows, truth] / raised.sum(axis=1)
        return float(-np.log(np.maximum(told, SMALLEST)).mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


def reliability(truth: Labels, probabilities: Probabilities, bins: int) -> tuple[CalibrationBin, ...]:
    """Mean confidence (largest probability) and accuracy in bins of equal width; empty bins are left out."""
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)  # (low, high]
    return tuple(
        CalibrationBin(
            low=float(edges[at]),
            high=float(edges[at + 1]),
            confidence=float(sure[place == at].mean()),
            accuracy=float(right[place == at].mean()),
            rows=int((place == at).sum()),
        )
        for at in range(bins)
        if (place == at).any()
    )


def expected_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Expected calibration error of reliability bins, in [0, 1]."""
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.confidence - one.accuracy) for one in bins) / rows if rows else 0.0


def _check(truth: Labels, probabilities: Probabilities) -> None:
    if probabilities.ndim != 2 or len(probabilities) != len(truth) or not len(truth):
        raise ValueError(f"expected one row of probabilities per row, found {probabilities.shape} for {len(truth)}")
    sums = probabilities.sum(axis=1)
    if not np.isfinite(probabilities).all() or probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError("expected probabilities that are not negative and sum to 1 in every row")


def _in_words(truth: Labels, probabilities: Probabilities, temperature: float, first: float, second: float) -> str:
    sure = float(probabilities.max(axis=1).mean())
    right = float((probabilities.argmax(axis=1) == truth).mean())
    gap = sure - right
    figures = f"it is {wording.percent(sure)} sure on average and right on {wording.percent(right)} of rows"
    if abs(gap) < NOTICEABLE:
        said = f"On average the model is about as sure as it is right: {figures}."
    else:
        said = f"The model is too {'sure' if gap > 0 else 'unsure'} of itself: {figures}."
    errors = f"from {wording.percent(first)} to {wording.percent(second)}"
    moved = "brings the expected calibration error" if second < first else "does not help: the error goes"
    return f"{said} Temperature scaling (T = {temperature:.2f}, fitted on validation) {moved} {errors}."
