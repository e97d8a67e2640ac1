"""Is it transfer that helps (B1)? The candidate against training from scratch, another base and the base frozen.

The rule, on the difference between the candidate and the same architecture trained from random weights with the same
budget, in the committed metric on the same rows:

- `helps`: the interval of candidate minus scratch lies above zero.
- `hurts`: it lies below zero. That is negative transfer (Rosenstein et al., NIPS 2005 workshop on transfer).
- `does nothing`: it holds zero, so these rows show neither.
- `not measured`: there was no training from scratch.

Intervals are those of `playbook.evaluate.paired`. They cover the choice of rows. What another seed would have given is
in them only where `seed_deviation` says how far trainings with other seeds lie apart.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from playbook.artifacts import Figure, Transfer, TransferVerdict
from playbook.errors import ArtifactError
from playbook.evaluate import wording
from playbook.evaluate.metrics import Labels
from playbook.evaluate.verdict import task_difference
from playbook.spec import TaskSpec
from playbook.statistics.answers import Given
from playbook.statistics.metric import target_metric
from playbook.statistics.sample_size import two_sided_z

CANDIDATE, FROZEN, SCRATCH, OTHER_BASE = "candidate", "frozen", "scratch", "other_base"
SEEDED = {FROZEN: 1, SCRATCH: 2, OTHER_BASE: 2}  # trainings with a seed in the comparison; a frozen head has none


def transfer_verdict(
    spec: TaskSpec,
    truth: Labels,
    answers: Mapping[str, Given],
    seconds: Mapping[str, float],
    seed_deviation: float = 0.0,
    rising: Collection[str] = (),
) -> TransferVerdict:
    """Say what transfer does for this task; used on validation by the controls, on the test split by the evaluation.

    Args:
        spec: the task; its metric, confidence, resamples and seed are used.
        truth: true classes, shape (rows,).
        answers: to the same rows, as `Metric.value` takes them: `candidate`, and those of `frozen`, `scratch` and
            `other_base` that exist. Leave `frozen` out where the candidate is the frozen baseline.
        seconds: training time up to a model: `candidate` with the frozen baseline and all tried rungs, `frozen` alone.
        seed_deviation: standard deviation of the metric over trainings with other seeds, where it was measured.
        rising: controls that were at their best in the last epoch of their budget
            (`playbook.adapt.diagnosis.still_rising`).

    Raises:
        ArtifactError: no answers of the candidate, or answers of another number of rows.
    """
    _check(truth, answers)

    def ahead_of(name: str) -> Figure | None:
        if name not in answers:
            return None
        return paired_figure(spec, truth, answers[name], answers[CANDIDATE], seed_deviation, SEEDED[name])

    scratch, other, frozen = ahead_of(SCRATCH), ahead_of(OTHER_BASE), ahead_of(FROZEN)
    transfer = _transfer(scratch)
    return TransferVerdict(
        transfer=transfer,
        over_scratch=scratch,
        over_other_base=other,
        over_frozen=frozen,
        minutes_per_point=minutes_per_point(frozen, seconds.get(CANDIDATE), seconds.get(FROZEN)),
        text=" ".join(
            [
                _scratch_text(transfer, scratch, spec.target.metric),
                *_other_text(other, spec.target.metric),
                *_frozen_text(frozen, spec.target.metric),
                *_rising_text([name for name in (SCRATCH, OTHER_BASE) if name in answers and name in rising]),
            ]
        ),
    )


def paired_figure(
    spec: TaskSpec, truth: Labels, first: Given, second: Given, seed_deviation: float = 0.0, trainings: int = 2
) -> Figure:
    """How much better the second is than the first in the task's metric, paired, with its interval.

    The interval is widened by the spread of seeds where that is known: `trainings` independent trainings are compared,
    so the variance of the difference grows by `trainings` times `seed_deviation` squared.
    """
    found = task_difference(spec, truth, first, second)
    extra = two_sided_z(spec.evaluation.confidence) * seed_deviation * math.sqrt(trainings)
    low = found.delta - math.hypot(found.delta - found.low, extra)
    high = found.delta + math.hypot(found.high - found.delta, extra)
    most = target_metric(spec).ends[1]
    return Figure(value=found.delta, low=max(low, -most), high=min(high, most))


def minutes_per_point(ahead: Figure | None, seconds: float | None, other_seconds: float | None) -> float | None:
    """Extra minutes of training per percentage point that a model is ahead; None where it is not ahead, or unknown.

    Zero where the model took no longer than the other.
    """
    if ahead is None or seconds is None or other_seconds is None or ahead.value <= 0:
        return None
    return max(0.0, seconds - other_seconds) / 60 / (100 * ahead.value)


def _check(truth: Labels, answers: Mapping[str, Given]) -> None:
    known = {CANDIDATE, *SEEDED}
    rows = {name: len(given) for name, given in answers.items()}
    if CANDIDATE not in answers or set(answers) - known or set(rows.values()) != {len(truth)}:
        raise ArtifactError(
            f"expected answers to {len(truth)} rows of candidate and of some of {', '.join(sorted(SEEDED))}, found "
            f"{rows}; materialise controls and candidate again on one dataset version"
        )


def _transfer(over_scratch: Figure | None) -> Transfer:
    if over_scratch is None:
        return "not measured"
    return "helps" if over_scratch.low > 0 else "hurts" if over_scratch.high < 0 else "does nothing"


def _scratch_text(transfer: Transfer, ahead: Figure | None, metric: str) -> str:
    if ahead is None:
        return "Transfer was not measured: no model was trained from random weights."
    gap = wording.difference(ahead, metric)
    said = {
        "helps": f"Transfer helps: {gap} over the same architecture trained from random weights.",
        "does nothing": f"Transfer does nothing that these rows can show: {gap} over the same architecture trained "
        "from random weights, an interval that holds zero.",
        "hurts": f"NEGATIVE TRANSFER: {gap} over the same architecture trained from random weights. What the base "
        "brings does harm here; go back to choosing a base, or train from scratch.",
    }
    return said[transfer]


def _other_text(ahead: Figure | None, metric: str) -> list[str]:
    if ahead is None:
        return []
    gap = f"{wording.difference(ahead, metric)} over the runner-up base"
    if ahead.high < 0:
        return [f"Another base does better: {gap}. Go back to choosing a base, with the runner-up in front."]
    return [f"The base was chosen well: {gap}." if ahead.low > 0 else f"No difference between bases is claimed: {gap}."]


def _frozen_text(ahead: Figure | None, metric: str) -> list[str]:
    if ahead is None:
        return []
    gap = f"{wording.difference(ahead, metric)} over the frozen base"
    if ahead.high < 0:
        return [f"Unfreezing did harm: {gap}."]
    return [f"Unfreezing adds to it: {gap}." if ahead.low > 0 else f"Unfreezing adds nothing that is shown: {gap}."]


def _rising_text(controls: Sequence[str]) -> list[str]:
    """What to hold against a lead over controls that had not settled."""
    called = {SCRATCH: "training from random weights", OTHER_BASE: "training of the runner-up base"}
    return [
        f"The {called[name]} was still rising in its last epoch: its budget ended before it settled, so with more "
        "training it may come closer."
        for name in controls
    ]
