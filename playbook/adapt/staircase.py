"""The rules of the staircase: keep or revert a rung, choose the candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.adapt.diagnosis import diagnose
from playbook.artifacts import FrozenBaseline, LedgerRow, Rung
from playbook.data.tables import LABEL
from playbook.evaluate.paired import TOLERANCE, paired_difference
from playbook.spec import TaskSpec

__all__ = ["Decision", "decide_rung", "diagnose", "make_ledger", "read_answers"]


@dataclass(frozen=True)
class Decision:
    """Whether a rung stays, with the figures that decided it."""

    kept: bool
    gain: float
    error: float
    rule: str
    reason: str


def read_answers(predictions: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class numbers, each (rows,), of a predictions table."""
    number = {label: place for place, label in enumerate(labels)}
    columns = [f"p_{place}" for place in range(len(labels))]
    return predictions[LABEL].map(number).to_numpy(np.int64), predictions[columns].to_numpy().argmax(1)


def decide_rung(spec: TaskSpec, before: pd.DataFrame, after: pd.DataFrame) -> Decision:
    """Apply the task file's rule: the validation gain against `keep.standard_errors` of its paired bootstrap error.

    `before` and `after` are predictions tables of the same validation rows, in the same order.
    """
    truth, first = read_answers(before, spec.labels)
    _, second = read_answers(after, spec.labels)
    of_class = spec.labels.index(spec.target.of_class) if spec.target.of_class else None
    found = paired_difference(
        spec.target.metric,
        of_class,
        truth,
        first,
        second,
        len(spec.labels),
        confidence=spec.evaluation.confidence,
        resamples=spec.evaluation.resamples,
        seed=spec.adaptation.seed,
    )
    keep = spec.adaptation.keep
    needed = max(keep.min_gain, keep.standard_errors * found.standard_error)
    kept = found.delta > TOLERANCE and found.delta >= needed - TOLERANCE
    rule = f"gain > 0 and at least max({keep.min_gain:g}, {keep.standard_errors:g} x paired standard error)"
    verb = "kept" if kept else "reverted"
    reason = f"{verb}: gain {found.delta:+.4f}, needed {needed:.4f} (paired standard error {found.standard_error:.4f})"
    return Decision(kept, found.delta, found.standard_error, rule, reason)


def make_ledger(frozen: FrozenBaseline, rungs: Sequence[Rung]) -> tuple[LedgerRow, ...]:
    """All attempts in order; rungs that were not tried are left out."""
    rows = [
        LedgerRow(
            step="frozen_baseline",
            unfrozen=0,
            validation=frozen.validation.value if frozen.validation else 0.0,
            gain=0.0,
            gain_error=0.0,
            kept=True,
            seconds=frozen.seconds,
            reason="the number to beat",
        )
    ]
    for rung in rungs:
        if rung.validation is not None and not rung.skipped:
            rows.append(
                LedgerRow(
                    step=rung.step,
                    unfrozen=rung.unfrozen,
                    validation=rung.validation.value,
                    gain=rung.gain,
                    gain_error=rung.gain_error,
                    kept=rung.kept,
                    seconds=rung.seconds,
                    reason=rung.reason,
                )
            )
    return tuple(rows)
