"""The box at the top of the report: what to ship, or why there is nothing to say yet."""

from __future__ import annotations

from dataclasses import dataclass

from playbook.artifacts import Decision, EarlyEndClaim
from playbook.decide.cost import saved
from playbook.evaluate import wording
from playbook.evaluate.report_content import ReportInputs, claims
from playbook.evaluate.verdict import FAILING


@dataclass(frozen=True)
class Headline:
    """The box at the top: `tone` is its colour (good, simple, stop), `mark` a sign that needs no colour."""

    tone: str
    mark: str
    title: str
    text: str


def headline(context: ReportInputs) -> Headline:
    """What to ship, or why there is nothing to say yet."""
    evaluation, gate = context.evaluation, context.dataset.gate
    if gate is not None and not gate.passed:
        faults = "; ".join(f"{check.name}: found {check.found}" for check in gate.failures)
        return Headline("stop", "■", "Stopped by the data gate", f"Nothing was trained. {faults}.")
    if evaluation is None or evaluation.skipped:
        return _early_end(context)
    if evaluation.locked is not None:
        return Headline("stop", "■", "Refused: the terms changed after the test split was opened", evaluation.verdict)
    if evaluation.refused:
        return Headline("stop", "?", "No answer: the test split is too small", evaluation.verdict)
    tone, mark, title = {
        "candidate": ("good", "✓", "Ship the candidate"),
        "baseline": ("simple", "✓", "Ship the frozen baseline"),
        "nothing": ("stop", "✕", "Ship nothing yet"),
        "incumbent": ("simple", "=", "Keep the version that serves"),
    }[evaluation.ship]
    if evaluation.blockers and evaluation.ships:
        tone, mark = "simple", "!"
        title += f", once {wording.size(len(evaluation.blockers), 'blocker')} {_are(len(evaluation.blockers))} lifted"
    shown = evaluation.verdict.partition(FAILING)[0].strip()  # the box lists failing classes by itself
    if context.early is not None and context.early.ends and evaluation.ship == "baseline":
        shown += " " + _saved(context.decision, "the frozen baseline")
    _, found, why = shown.partition(": ")
    return Headline(tone, mark, title, why[:1].upper() + why[1:] if found else shown)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _early_end(context: ReportInputs) -> Headline:
    said = context.evaluation.reason if context.evaluation else ""
    met, decision = _target_met(context), context.decision
    if met is not None:
        text = f"{met.text} {_saved(decision, wording.model_name(met.baseline))}"
        title = "by the frozen baseline" if met.baseline == "frozen_baseline" else "without fine-tuning"
        return Headline("simple", "✓", f"The target is already met {title}", " ".join(text.split()))
    if decision is not None and not decision.skipped and decision.path != "fine_tune":
        return _other_path(decision)
    return Headline("stop", "…", "Ended before the evaluation", said or "The test split was not opened.")


def _saved(decision: Decision | None, reference: str) -> str:
    if decision is not None and decision.saved:
        return decision.saved
    costs = decision.costs if decision is not None else ()
    if {"fine_tune", "no_model"} <= {cost.path for cost in costs} and decision is not None:
        return saved(costs, decision.currency, reference)
    return "Nothing was fine-tuned."


def _target_met(context: ReportInputs) -> EarlyEndClaim | None:
    """The claim that the test split confirmed, where the task ended with it."""
    ended = context.decision is None or context.decision.path == "no_model"
    confirmed = [claim for claim in claims(context) if claim.confirmed]
    return next((claim for claim in confirmed if ended or claim.baseline == "frozen_baseline"), None)


def _other_path(decision: Decision) -> Headline:
    text = f"{decision.why} Nothing was fine-tuned."
    return Headline("simple", "→", f"Decided: {wording.PATH_NAMES[decision.path]}", text)
