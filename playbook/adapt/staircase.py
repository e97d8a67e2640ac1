"""The rules of the staircase: keep or revert a rung, choose the candidate.

A rung is kept when its gain on validation is beyond chance, as `adaptation.keep` sets it. Validation has also chosen
the best epoch, and the best of ten epochs without a true gain looks better than any one of them: the chance counts them
all (`playbook.statistics.best_of`). It is that of one rung, and also that of keeping any rung without a true gain on
the whole staircase: the first such rung either is reverted, which ends the climb, or is the one kept by chance (testing
in a fixed order: Maurer, Hothorn and Lehmacher 1995). docs/keeping_rungs.md has the simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from playbook.adapt.diagnosis import diagnose
from playbook.artifacts import FrozenBaseline, LedgerRow, Rung
from playbook.data.tables import LABEL
from playbook.evaluate.as_served import as_served
from playbook.spec import Adaptation, TaskSpec
from playbook.statistics.answers import Answers, answers_of
from playbook.statistics.best_of import chance_of_best
from playbook.statistics.metric import TOLERANCE, Metric, target_metric
from playbook.statistics.resampling import resample_weights
from playbook.statistics.sample_size import FEWEST_DISCORDANT
from playbook.statistics.sign_test import sign_test

__all__ = ["Decision", "decide_rung", "describe_rule", "diagnose", "make_ledger", "read_answers", "served_answers"]


@dataclass(frozen=True)
class Decision:
    """Whether a rung stays, with the figures that decided it."""

    kept: bool
    gain: float
    error: float
    rule: str
    reason: str
    chance: float = 1.0  # of a gain as large where no epoch has a true one; 1 where there is no gain


def read_answers(predictions: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, Answers]:
    """True class numbers, (rows,), and the answers of a predictions table."""
    number = {label: place for place, label in enumerate(labels)}
    # Column by column, and from lists: pandas takes ten times as long to pick columns and to map strings.
    probabilities = np.stack([predictions[f"p_{place}"].to_numpy() for place in range(len(labels))]).T
    truth = np.array([number[label] for label in predictions[LABEL].tolist()], dtype=np.int64)
    return truth, answers_of(probabilities)


def served_answers(predictions: pd.DataFrame, spec: TaskSpec) -> tuple[np.ndarray, Answers]:
    """As `read_answers`, of validation: the answers that the model would serve, after its temperature and threshold."""
    truth, trained = read_answers(predictions, spec.labels)
    assert trained.probabilities is not None
    return truth, as_served(spec, truth, trained.probabilities).answers(trained.probabilities)


def decide_rung(
    spec: TaskSpec, before: pd.DataFrame, after: pd.DataFrame, epochs: Sequence[np.ndarray] = ()
) -> Decision:
    """Apply the task file's rule to the gain on validation.

    `keep.chance`: kept where a gain as large as that of the best epoch comes by chance at most so often when no epoch
    has a true gain. `keep.standard_errors`, the older rule: kept where the gain reaches so many paired errors.

    Args:
        spec: the task.
        before: predictions table of what the rung started from.
        after: that of the rung's best epoch, of the same validation rows in the same order.
        epochs: validation probabilities after each epoch, each (rows, classes), which the best one was chosen from.
    """
    truth, first = served_answers(before, spec)
    _, second = served_answers(after, spec)
    metric = target_metric(spec)
    found = metric.difference(truth, first, second)
    keep, gained = spec.adaptation.keep, found.delta > TOLERANCE
    chance = (
        _chance(metric, truth, first, [second, *(as_served(spec, truth, table).answers(table) for table in epochs)])
        if gained
        else 1.0
    )
    if keep.standard_errors is None:
        needed = keep.min_gain
        enough = chance <= keep.chance_without_gain + TOLERANCE
    else:
        needed, enough = max(keep.min_gain, keep.standard_errors * found.standard_error), True
    kept = gained and enough and found.delta >= needed - TOLERANCE
    reason = (
        f"{'kept' if kept else 'reverted'}: gain {found.delta:+.4f}, needed {needed:.4f} (paired standard error "
        f"{found.standard_error:.4f})"
    )
    if gained:
        chosen = f", as the best of {len(epochs)} epochs," if epochs else ""
        reason += f"; a gain as large{chosen} comes by chance in {100 * chance:.1f} % of cases"
    return Decision(kept, found.delta, found.standard_error, describe_rule(spec.adaptation), reason, chance)


def describe_rule(plan: Adaptation) -> str:
    """The rule for keeping a rung, in words, with the chance that it goes wrong."""
    keep, chance = plan.keep, f"{100 * plan.keep.chance_without_gain:.2g} %"
    if keep.standard_errors is not None:
        return (
            f"gain > 0 and at least max({keep.min_gain:g}, {keep.standard_errors:g} x paired standard error). A rung "
            f"without a true gain is kept with a chance of {chance} where one epoch is looked at, and more often where "
            "the best of several is: adaptation.keep.chance counts them"
        )
    return (
        f"gain > 0, at least {keep.min_gain:g}, and as large by chance in at most {chance} of cases, the choice of the "
        f"best epoch counted ({keep.errors_needed:.3g} x paired standard error where one epoch is looked at). A rung "
        f"without a true gain is kept with a chance of at most {chance}; so is any among up to {plan.max_rungs}, as "
        "the first that is reverted ends the climb"
    )


def _chance(metric: Metric, truth: np.ndarray, first: Answers, models: Sequence[Answers]) -> float:
    """How often the best of `models` gains by chance what the first of them, the epoch that is kept, has gained."""
    kinds = metric.kinds(truth, first, *models)
    drawn = resample_weights(kinds.counts, metric.resamples, metric.seed)
    weights = np.vstack([kinds.counts[None].astype(float), drawn])  # the rows themselves, then their resamples
    each = [metric.values(kinds.truth, answers, weights) for answers in kinds.answers]
    gains = np.stack([metric.sign * (values - each[0]) for values in each[1:]], axis=1)
    chance = chance_of_best(gains[0], gains[1:], len(truth))
    better, worse = metric.better_and_worse(truth, first, models[0])
    if metric.needs_probabilities or better + worse >= FEWEST_DISCORDANT:
        return chance
    return max(chance, sign_test(better, worse))


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
