"""The rules of the staircase: keep or revert a rung, choose the candidate.

A rung is kept when its gain on validation is beyond chance, as `adaptation.keep` sets it. The chance is that of one
rung without a true gain. It is also that of keeping any such rung on the whole staircase, however many are allowed: the
first rung without a gain either is reverted, which ends the climb, or is the one kept by chance (testing in a fixed
order: Maurer, Hothorn and Lehmacher 1995). docs/keeping_rungs.md has the simulation, and where the promise stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.adapt.diagnosis import diagnose
from playbook.artifacts import FrozenBaseline, LedgerRow, Rung
from playbook.data.tables import LABEL
from playbook.evaluate.paired import FEWEST_DISCORDANT, TOLERANCE, discordant_rows, paired_difference
from playbook.spec import Adaptation, TaskSpec
from playbook.statistics.sign_test import sign_test

__all__ = ["Decision", "decide_rung", "describe_rule", "diagnose", "make_ledger", "read_answers"]


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
    """Apply the task file's rule: the validation gain against as many paired bootstrap errors as `keep` asks for.

    Where hardly any row tells the two models apart, the bootstrap's error is too small. There the exact sign test has
    to agree.

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
    needed = max(keep.min_gain, keep.errors_needed * found.standard_error)
    kept = found.delta > TOLERANCE and found.delta >= needed - TOLERANCE
    figures = f"gain {found.delta:+.4f}, needed {needed:.4f} (paired standard error {found.standard_error:.4f})"
    apart = discordant_rows(spec.target.metric, of_class, truth, first, second)
    if kept and apart < FEWEST_DISCORDANT:
        chance = sign_test(*_better_and_worse(spec.target.metric, of_class, truth, first, second))
        kept = chance <= keep.chance_without_gain + TOLERANCE
        figures += f"; on {apart} rows that tell the models apart, a chance of {chance:.0%} without a true gain"
    return Decision(
        kept,
        found.delta,
        found.standard_error,
        describe_rule(spec.adaptation),
        f"{'kept' if kept else 'reverted'}: {figures}",
    )


def describe_rule(plan: Adaptation) -> str:
    """The rule for keeping a rung, in words, with the chance that it goes wrong."""
    keep, chance = plan.keep, f"{plan.keep.chance_without_gain:.0%}"
    return (
        f"gain > 0 and at least max({keep.min_gain:g}, {keep.errors_needed:.3g} x paired standard error): a rung "
        f"without a true gain is kept with a chance of {chance}, and so is any such rung among up to {plan.max_rungs}, "
        f"as the first that is reverted ends the climb. Below {FEWEST_DISCORDANT} rows that tell the models apart, the "
        "exact sign test has to agree. That validation also chose the best epoch comes on top of this chance."
    )


def _better_and_worse(
    metric: str, of_class: int | None, truth: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[int, int]:
    """Rows that only the second model has right, and that only the first has, counted as `discordant_rows` does."""
    if of_class is not None:
        counted = truth == of_class if metric == "recall" else np.ones(len(truth), bool)
        truth, first, second = (answers[counted] == of_class for answers in (truth, first, second))
    better, worse = (second == truth) & (first != truth), (first == truth) & (second != truth)
    return int(better.sum()), int(worse.sum())


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
