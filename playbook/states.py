"""Where a task stands: one state machine, derived from the artefacts that stand on today's data. Decides nothing.

Read from the top; the first line that holds is the state:

| state | holds when |
| --- | --- |
| not_run | there is no dataset version |
| gate_red | its gate is red |
| refused | its test split is too small for what was asked; it stays closed |
| target_already_met | a reference meets the target on test, so nothing is trained and nothing ships |
| other_path | the decision gate took another path than fine-tuning |
| in_progress | there is no evaluation of today's data, baseline and target yet |
| nothing_shipped | neither model earned it |
| rejected | the sign-off owner said no |
| awaiting_sign_off | the sign-off is awaited, or void |
| in_progress | approved, and not yet registered |
| shipped, baseline_shipped, incumbent_stays | registered and promoted, or what serves stays |

What was made of an older dataset, of another baseline or against another target is not there any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from playbook.artifacts import (
    Artifact,
    DatasetVersion,
    Decision,
    Evaluation,
    PackagedModel,
    ReferenceBaselines,
    Ship,
    SignOff,
)
from playbook.evaluate.constant import always
from playbook.plays import DATASET, DECISION, EVALUATION, PACKAGED, REFERENCES, SIGN_OFF

State = Literal[
    "not_run",
    "gate_red",
    "refused",
    "target_already_met",
    "other_path",
    "in_progress",
    "nothing_shipped",
    "rejected",
    "awaiting_sign_off",
    "shipped",
    "baseline_shipped",
    "incumbent_stays",
]
STATES: tuple[State, ...] = get_args(State)
HEADLINES: dict[State, str] = {
    "shipped": "SHIPPED: the adapted model",
    "baseline_shipped": "SHIPPED: the frozen baseline",
    "incumbent_stays": "NOTHING CHANGES: the version that serves stays",
    "target_already_met": "DONE EARLY: a simple reference meets the target, confirmed on the test split",
    "nothing_shipped": "NOTHING SHIPPED",
    "refused": "NO ANSWER: the test split is too small for what was asked; it stays closed",
    "awaiting_sign_off": "WAITING FOR SIGN-OFF: nothing is registered until somebody says yes",
    "rejected": "REJECTED: the sign-off owner said no",
    "other_path": "NOT FINE-TUNED: the decision gate took another path",
    "gate_red": "STOPPED BY THE GATE: nothing was trained",
    "in_progress": "IN PROGRESS: not all plays have run",
    "not_run": "NOT RUN YET",
}
RED_GATE = "the gate is red for dataset version"  # how the reason begins why a play was skipped behind it
LOCKED = "NO ANSWER: what decides changed after the test split was opened"  # `refused` for its terms
TOO_SMALL_NOW = "NO ANSWER: the test split is too small for this comparison; it is not opened for it"
SERVED: frozenset[State] = frozenset(
    {"shipped", "baseline_shipped", "incumbent_stays"}
)  # the registry has today's model
SHIPPED: dict[Ship, State] = {
    "candidate": "shipped",
    "baseline": "baseline_shipped",
    "incumbent": "incumbent_stays",
    "nothing": "nothing_shipped",
}


A = TypeVar("A", bound=Artifact)


def ends_early(references: ReferenceBaselines, decided: Decision) -> bool:
    """Whether a reference ended the task: the test split confirmed that it meets the target, and nobody overrode it."""
    confirmed = decided.claim is not None and decided.claim.confirmed
    return bool(references.meets_target) and confirmed and decided.path == "no_model"


@dataclass(frozen=True)
class Standing:
    """A task's state, its headline, and why in a sentence."""

    state: State
    headline: str
    reason: str


def standing_of(found: Mapping[str, Artifact | None]) -> Standing:
    """The state that a task's artefacts come to.

    Args:
        found: by asset, those that stand on today's data, baseline and target; None or absent where there is none.
    """
    state = _state(found)
    evaluation = _done(found, EVALUATION, Evaluation)
    why = _nothing_why(evaluation) if state == "nothing_shipped" else ""
    headline = HEADLINES[state] + (f": {why}" if why else "")
    if state == "refused" and evaluation is not None and evaluation.locked is not None:
        headline = LOCKED
    elif state == "refused" and evaluation is not None and evaluation.openings:
        headline = TOO_SMALL_NOW
    return Standing(state, headline, _reason(state, found))


def _state(found: Mapping[str, Artifact | None]) -> State:
    dataset = _done(found, DATASET, DatasetVersion)
    evaluation = _done(found, EVALUATION, Evaluation)
    if dataset is None:
        return "not_run"
    if dataset.gate is None or not dataset.gate.passed:
        return "gate_red"
    if evaluation is None:
        return _before_evaluation(found)
    if evaluation.refused:
        return "refused"
    return "nothing_shipped" if evaluation.ship == "nothing" else _after_verdict(found, evaluation)


def _before_evaluation(found: Mapping[str, Artifact | None]) -> State:
    references, decided = _done(found, REFERENCES, ReferenceBaselines), _done(found, DECISION, Decision)
    if decided is None:
        return "in_progress"
    if references is not None and ends_early(references, decided):
        return "target_already_met"
    return "in_progress" if decided.path == "fine_tune" else "other_path"


def _after_verdict(found: Mapping[str, Artifact | None], evaluation: Evaluation) -> State:
    approval = _done(found, SIGN_OFF, SignOff)
    if evaluation.ship == "incumbent":  # what serves was signed off when it was promoted
        return "incumbent_stays"
    if approval is not None and approval.state == "rejected":
        return "rejected"
    if approval is not None and approval.state != "approved":
        return "awaiting_sign_off"
    if approval is None or _done(found, PACKAGED, PackagedModel) is None:
        return "in_progress"
    return SHIPPED[evaluation.ship]


def _nothing_why(evaluation: Evaluation | None) -> str:
    """In a few words why nothing ships, so that the headline never contradicts the verdict below it."""
    side = evaluation.candidate or evaluation.baseline if evaluation is not None else None
    if evaluation is None or side is None:
        return ""
    if not evaluation.missed and always(side):
        return "a constant answer meets the target, and is not a model"
    if evaluation.candidate is not None and not evaluation.missed:
        return "the target is met, but not by the gain that was asked for"
    return "the target is missed"


def _reason(state: State, found: Mapping[str, Artifact | None]) -> str:
    dataset, evaluation = _done(found, DATASET, DatasetVersion), _done(found, EVALUATION, Evaluation)
    if state == "gate_red" and dataset is not None and dataset.gate is not None:
        return "; ".join(f"{c.name}: expected {c.expected}, found {c.found}" for c in dataset.gate.failures)
    if evaluation is not None:
        return evaluation.verdict
    references, decided = _done(found, REFERENCES, ReferenceBaselines), _done(found, DECISION, Decision)
    if state == "target_already_met" and references is not None:
        return references.reason
    return decided.why if state == "other_path" and decided is not None else ""


def _done(found: Mapping[str, Artifact | None], asset: str, kind: type[A]) -> A | None:
    artifact = found.get(asset)
    return artifact if isinstance(artifact, kind) and not artifact.skipped else None
