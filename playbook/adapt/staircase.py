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
from playbook.spec import Adaptation, TaskSpec
from playbook.statistics.answers import Answers, answers_of
from playbook.statistics.metric import FEWEST_DISCORDANT, TOLERANCE, target_metric
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


def read_answers(predictions: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, Answers]:
    """True class numbers, (rows,), and the answers of a predictions table."""
    number = {label: place for place, label in enumerate(labels)}
    columns = [f"p_{place}" for place in range(len(labels))]
    return predictions[LABEL].map(number).to_numpy(np.int64), answers_of(predictions[columns].to_numpy())


def decide_rung(spec: TaskSpec, before: pd.DataFrame, after: pd.DataFrame) -> Decision:
    """Apply the task file's rule: the validation gain against as many paired bootstrap errors as `keep` asks for.

    Where hardly any row tells the two models apart, the bootstrap's error is too small. There the exact sign test has
    to agree.

    `before` and `after` are predictions tables of the same validation rows, in the same order.
    """
    truth, first = read_answers(before, spec.labels)
    _, second = read_answers(after, spec.labels)
    metric = target_metric(spec)
    found = metric.difference(truth, first, second)
    keep = spec.adaptation.keep
    needed = max(keep.min_gain, keep.errors_needed * found.standard_error)
    kept = found.delta > TOLERANCE and found.delta >= needed - TOLERANCE
    figures = f"gain {found.delta:+.4f}, needed {needed:.4f} (paired standard error {found.standard_error:.4f})"
    better, worse = metric.better_and_worse(truth, first, second)
    apart = better + worse
    if kept and apart < FEWEST_DISCORDANT and not metric.needs_probabilities:
        chance = sign_test(better, worse)
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
