"""The target's metric of a window without labels, from how sure the model is (6.4).

A calibrated model that is 80 % sure is right on 80 % of such rows, so its probabilities say what to expect of the
confusion matrix: a row adds its probability of every class to the column of its answer. Accuracy is then the mean
confidence (Guo et al., On Calibration of Modern Neural Networks, ICML 2017; Hendrycks and Gimpel, ICLR 2017), and every
other metric follows from the expected counts. What the estimate is off by on the reference, whose labels are known, is
taken off again (difference of confidences: Guillory et al., Predicting with Confidence on Unseen Distributions, ICCV
2021). Garg et al., Leveraging Unlabeled Data to Predict Out-of-Distribution Performance (ICLR 2022), compare such
estimates, and show that without assumptions none can work. The assumptions here:

- Covariate shift only: production may ask other questions than the reference, but the right answer to a question is the
  same. A new kind of row, a new class or a changed meaning of a class breaks this, and the estimate is then too high.
- Calibration holds on the window's rows as it does on the reference's.

The interval is the percentile interval of a bootstrap over the rows of the window and those of the reference, so it has
the chance in the window and what is not known of the calibration. It is about the rows that the window is drawn from,
and it does not cover a broken assumption: look at the drift figures beside it. Of ROC-AUC, average precision and log
loss no estimate is made.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Figure
from playbook.evaluate.calibration import scaled
from playbook.evaluate.metrics import Floats
from playbook.operate.reference import Reference, checked_probabilities
from playbook.spec import NEED_PROBABILITIES, TaskSpec
from playbook.statistics.operating_point import Threshold, decide

ASSUMPTIONS = (
    "Production asks other questions than the reference at most; the right answer to a question is the same (covariate "
    "shift). A new kind of row, a new class or a class whose meaning changed breaks this, and the estimate is then too "
    "high.",
    "The model's confidence, after temperature scaling, is as well calibrated on the window as on the reference.",
)
Probabilities = npt.NDArray[np.floating[Any]]
_RESAMPLES = 1000
_Kind = tuple[str, int | None]


def estimate_metric(spec: TaskSpec, reference: Reference, probabilities: Probabilities, seed: int = 0) -> Figure:
    """The target's metric of a window without its labels, with an interval; see the module for what is assumed.

    Args:
        spec: the task; target, `evaluation.confidence` and the names of classes are used.
        reference: rows with labels, and the temperature.
        probabilities: of the window as logged, shape (rows, classes of the reference); the reference's temperature is
            applied to them, which is 1 where the model's bundle has applied its own.
        seed: of the bootstrap.

    Raises:
        ValueError: no rows, probabilities that do not fit, a target of a class that the model does not know, or of a
            metric that cannot be estimated (`NEED_PROBABILITIES`).
    """
    if spec.target.metric in NEED_PROBABILITIES:
        raise ValueError(f"{spec.target.metric} cannot be estimated without labels")
    checked_probabilities(probabilities, len(probabilities), len(reference.labels))
    if not len(probabilities):
        raise ValueError("expected a window with at least one row, found none")
    of_class = spec.target.of_class
    if of_class is not None and of_class not in reference.labels:
        raise ValueError(f"the target names {of_class!r}, but the model knows only {', '.join(reference.labels)}")
    kind = spec.target.metric, None if of_class is None else reference.labels.index(of_class)
    table = expected_rows(scaled(probabilities, reference.temperature), reference.threshold)
    gap, gaps = _gap(reference, kind, seed)
    value = float(_of_counts(kind, table.sum(axis=0)[None])[0]) + gap
    drawn = _of_counts(kind, _weights(len(table), seed + 1) @ table) + gaps
    tail = 50 * (1 - spec.evaluation.confidence)
    low, high = np.clip(np.percentile(drawn, [tail, 100 - tail]), 0.0, 1.0)
    value = min(max(value, 0.0), 1.0)
    return Figure(value=value, low=min(float(low), value), high=max(float(high), value))


def expected_rows(probabilities: Floats, threshold: Threshold | None = None) -> Floats:
    """What each row is expected to add to hits, true rows and answers of every class, shape (rows, 3 * classes)."""
    answers = np.eye(probabilities.shape[1])[decide(probabilities, threshold)]
    return np.hstack([answers * probabilities, probabilities, answers])


@lru_cache(maxsize=8)
def _gap(reference: Reference, kind: _Kind, seed: int) -> tuple[float, Floats]:
    """True minus expected metric on the reference: the value, and its bootstrap, shape (resamples,)."""
    calibrated = scaled(reference.probabilities, reference.temperature)
    true = np.eye(len(reference.labels))[reference.truth]
    answers = np.eye(len(reference.labels))[decide(calibrated, reference.threshold)]
    both = np.hstack([np.hstack([answers * true, true, answers]), expected_rows(calibrated, reference.threshold)])
    weights = np.vstack([np.ones(len(both)), _weights(len(both), seed)])
    counts = weights @ both
    half = counts.shape[1] // 2
    gaps = _of_counts(kind, counts[:, :half]) - _of_counts(kind, counts[:, half:])
    return float(gaps[0]), gaps[1:]


def _weights(rows: int, seed: int) -> Floats:
    """How often each row is drawn in every resample, shape (resamples, rows)."""
    drawn = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=_RESAMPLES)
    return drawn.astype(np.float64)


def _of_counts(kind: _Kind, counts: Floats) -> Floats:
    """The metric from hits, true rows and answers of every class, shape (resamples,); definitions as in `metrics`."""
    metric, of_class = kind
    hits, support, claimed = np.split(counts, 3, axis=1)
    if metric in ("accuracy", "micro_f1"):
        found: Floats = hits.sum(axis=1) / support.sum(axis=1)
        return found
    if metric == "false_positive_rate":
        others = support.sum(axis=1, keepdims=True) - support
        found = np.divide(claimed - hits, others, out=np.ones_like(hits), where=others > 0)[:, of_class]
        return found
    below = {"recall": support, "balanced_accuracy": support, "precision": claimed}.get(metric, support + claimed)
    above = hits if metric in ("recall", "balanced_accuracy", "precision") else 2 * hits
    shares = np.divide(above, below, out=np.zeros_like(hits), where=below > 0)
    if of_class is not None:
        return np.asarray(shares[:, of_class])
    present = np.maximum((below > 0).sum(axis=1), 1)
    return np.asarray(shares.sum(axis=1) / present)
