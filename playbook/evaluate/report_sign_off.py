"""What the report asks of the sign-off owner: blockers, three questions with their evidence, how to answer (5.6)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from playbook.artifacts import Blocker, BlockerName, Decision, Evaluation
from playbook.evaluate import wording
from playbook.evaluate.report_content import ReportInputs, opened, shown_side
from playbook.evaluate.report_price import path_cost, without
from playbook.evaluate.sign_off_state import QUESTIONS
from playbook.evaluate.verdict import failing_classes

NOBODY = "No person looked at this: the task file asks for automatic sign-off, by rule."
LIFTS: dict[BlockerName, str] = {
    "regression_budget": "Train again so that less is lost, net, than is gained; the section on what it no longer can "
    "names the rows and classes.",
    "capability": "Add training rows like those of the capability set and train again, or correct an answer in the "
    "file that is wrong.",
    "behavioural_tests": "Add training rows of the kind that fails and train again, or correct a test that asks for "
    "the wrong thing.",
    "production_slice": "Label rows like those of production and train on them, or show that the slice is not typical.",
    "shifted_test": "Cut the splits again from one population, or collect test rows that resemble production.",
    "label_agreement": "Sharpen the labelling guideline, have the disputed rows labelled again, and measure agreement "
    "again.",
    "negative_transfer": "Choose another base, or ship the model that does better.",
    "incumbent": "Keep the version that serves; train again with more rows of the kind on which it is worse.",
}


@dataclass(frozen=True)
class Question:
    """One of the three questions, what this page knows about it, and where to read on (section ids)."""

    text: str
    evidence: tuple[str, ...]
    sections: tuple[str, ...]


@dataclass(frozen=True)
class SignOffView:
    """Who has to do what."""

    mode: str
    says: str
    commands: tuple[tuple[str, str], ...]  # what it does, the command
    same_person: bool


def lifts(context: ReportInputs, blocker: Blocker) -> tuple[str, str]:
    """What would lift a blocker: the remedy in words, and the command that waives it."""
    task, owner = shlex.quote(context.called or context.spec.task), context.spec.owners.sign_off
    command = f"playbook waive {task} {blocker.what} --as {shlex.quote(owner)} --reason TEXT --until YYYY-MM-DD"
    return LIFTS[blocker.what], command


def sign_off_view(context: ReportInputs) -> SignOffView:
    """How the approval is given in the task's mode; no command where there is nothing to approve."""
    spec, evaluation = context.spec, opened(context)
    task, owner = shlex.quote(context.called or spec.task), shlex.quote(spec.owners.sign_off)
    same = spec.owners.sign_off == spec.owners.model
    reject = ("Say no", f"playbook reject {task} --as {owner} --reason TEXT")
    if evaluation is None:
        return SignOffView(spec.sign_off.mode, "There is nothing to approve: no model was evaluated.", (), same)
    if not evaluation.ships:
        return SignOffView(spec.sign_off.mode, "There is nothing to approve: nothing ships from this result.", (), same)
    if spec.sign_off.mode == "automatic":
        return SignOffView("automatic", NOBODY, (reject,), same)
    key = " --key PATH_OF_YOUR_SSH_KEY" if spec.sign_off.mode == "signed" else ""
    approve = ("Say yes; it asks the three questions", f"playbook approve {task} --as {owner}{key}")
    says = f"{spec.owners.sign_off} answers the three questions and approves or rejects."
    if key:
        if same:
            says += " The model owner may not sign for the sign-off owner: name another one, or use mode recorded."
        says += " The approval is signed with that person's SSH key, which the file of allowed signers names."
    return SignOffView(spec.sign_off.mode, says, (approve, reject), same)


def questions(evaluation: Evaluation, decision: Decision | None = None) -> tuple[Question, ...]:
    """The three questions to the sign-off owner with the figures that bear on each; `decision` has the estimates."""
    return (
        Question(
            QUESTIONS["gain"],
            (*_worth(evaluation), *_price(evaluation, decision)),
            ("gain", "transfer", "speed"),
        ),
        Question(
            QUESTIONS["failures"],
            _failures(evaluation),
            ("classes", "slices", "behaviour", "regressions", "examples"),
        ),
        Question(
            QUESTIONS["production"],
            _holds(evaluation),
            ("shift", "calibration", "silence", "data"),
        ),
    )


def _worth(evaluation: Evaluation) -> tuple[str, ...]:
    lines = []
    if evaluation.candidate is None:
        lines.append("Validation chose the frozen baseline: nothing is added to it.")
    else:
        metric, (low, high) = evaluation.metric, evaluation.interval
        gain = wording.points(evaluation.delta, metric=metric)
        lines.append(
            f"The candidate gains {gain} of {metric} over the frozen baseline "
            f"({wording.interval(low, high, metric)}); {wording.margin(evaluation.margin, metric)} were asked for."
        )
    if evaluation.over_reference is not None:
        lines.append(evaluation.over_reference.text)
    if evaluation.transfer.minutes_per_point is not None:
        took = wording.duration(60 * evaluation.transfer.minutes_per_point)
        lines.append(f"A point over the frozen baseline took {took} of training.")
    return tuple(lines)


def _price(evaluation: Evaluation, decision: Decision | None) -> tuple[str, ...]:
    """What was measured is the device alone; work and labels are known only as the estimate made before."""
    lines, cost = [], evaluation.cost
    if cost is not None:
        took = wording.duration(cost.actual_seconds)
        if cost.actual_money is None:
            lines.append(f"All training took {took}; device time is not priced.")
        else:
            lines.append(
                f"All training took {took} and {wording.money(cost.actual_money, cost.currency)}, device time only."
            )
    path = path_cost(decision)
    if decision is not None and path is not None:
        money = wording.money_around(path.money, path.money_interval, decision.currency)
        told = f"Estimated before for {wording.PATH_NAMES[path.path]}, with work and labels: {money}{without(path)}."
        lines.append(told)
    return tuple(lines)


def _failures(evaluation: Evaluation) -> tuple[str, ...]:
    side = shown_side(evaluation)
    worst = min(side.per_class, key=lambda f: (f.recall, f.label))
    failing = failing_classes(side.per_class)
    lines = [
        f"Weakest class: {worst.label}, {wording.percent(worst.recall, 0)} of its {wording.size(worst.support)} found"
        + (f"; {len(failing)} of {len(side.per_class)} classes are failing." if failing else "; no class is failing.")
    ]
    if evaluation.slices.text:
        lines.append(evaluation.slices.text)
    if evaluation.behaviour:
        failed = sum(not test.passed for test in evaluation.behaviour)
        lines.append(f"Behavioural tests: {failed} of {len(evaluation.behaviour)} failed.")
    else:
        lines.append("No behavioural tests were written.")
    lines += [
        f"Against the {found.against}: {wording.size(found.broken, 'answer')} broken, {found.mended:,} fixed"
        f"{f', net {wording.difference(found.net)}' if found.net else ''}."
        for found in evaluation.regressions
        if found.against == "champion" or evaluation.ship != "baseline"
    ]
    lines += [able.text for able in evaluation.capabilities]
    return tuple(lines)


def _holds(evaluation: Evaluation) -> tuple[str, ...]:
    lines = [found.text for found in evaluation.shifts]
    if evaluation.production is not None:
        score = evaluation.production
        lines.append(
            f"On {wording.size(score.n)} like those of production: {score.metric} {wording.score_range(score)}, "
            f"{wording.requirement(evaluation.target, evaluation.direction, evaluation.metric)} asked."
        )
    if not production_seen(evaluation):
        lines.append("No rows from production were given, so nothing measured speaks to this; you know the data.")
    if evaluation.opened_for > 1:
        count = evaluation.opened_for
        lines.append(f"The test split was opened for {count} models; each makes it a little less fresh.")
    return tuple(lines)


def production_seen(evaluation: Evaluation) -> bool:
    """Whether anything was measured on rows like those of production."""
    return evaluation.production is not None or any(found.name == "test and production" for found in evaluation.shifts)
