"""What the whole suite says: what stands against shipping, and what belongs into the report's headline.

The rules, each on its own; a waiver with a reason, a name and an expiry may lift a blocker, nothing else does:

| blocker | stands when |
| --- | --- |
| regression_budget | a net loss beyond `evaluation.regression` is shown; against the champion whatever ships |
| capability | a net loss beyond the tolerance is shown on `evaluation.capabilities`; likewise |
| behavioural_tests | more cases of a test fail than it allows, or it has no case; unless it is only reported |
| production_slice | on rows like those of production the whole interval of the score lies under the target |
| shifted_test | validation and test differ by the rule of `playbook.evaluate.shift` |
| label_agreement | the lower end of kappa with the second annotator is under `data.labels.min_kappa` |
| negative_transfer | the candidate loses to a control that had no transfer |
| incumbent | what would ship is worse than the model that serves: the whole interval is below zero |

A score on production rows that is under the target with an interval that still reaches it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbook.artifacts import Agreement, BaseSelection, BehaviourTest, Blocker, Evaluation, Score, Waiver
from playbook.evaluate import wording
from playbook.evaluate.runner_up import runner_up_text
from playbook.spec import TaskSpec

NO_BEHAVIOUR = (
    "No behavioural tests were written: nothing says what must not change an answer, what must, and what must never be "
    "answered (name a file under evaluation.behaviour)."
)


def blockers(spec: TaskSpec, evaluation: Evaluation, agreement: Agreement | None = None) -> tuple[Blocker, ...]:
    """Everything that stands against shipping, in the order of the table above; nothing where nothing changes.

    Args:
        spec: the task.
        evaluation: with all parts of the suite filled in.
        agreement: with the second annotator, from the dataset version; None where nobody labelled twice.
    """
    return tuple(_found(spec, evaluation, agreement)) if evaluation.ship != "incumbent" else ()


def _found(spec: TaskSpec, evaluation: Evaluation, agreement: Agreement | None) -> Iterator[Blocker]:
    for one in evaluation.regressions:
        if not one.passed and (one.against == "champion" or evaluation.ship != "baseline"):
            yield Blocker(what="regression_budget", text=one.text)
    for able in evaluation.capabilities:
        if not able.passed and (able.against == "champion" or evaluation.ship != "baseline"):
            yield Blocker(what="capability", text=able.text)
    failed = [test for test in evaluation.behaviour if not test.passed and test.blocks]
    if failed:
        yield Blocker(what="behavioural_tests", text=_failed(failed))
    score = evaluation.production
    if score is not None and _wholly_worse(evaluation, score):
        yield Blocker(what="production_slice", text=_under_target(evaluation, _worse_side(evaluation)))
    for shift in evaluation.shifts:
        if shift.differs and shift.name == "validation and test":
            yield Blocker(what="shifted_test", text=shift.text)
    floor = spec.data.labels.min_kappa
    if agreement is not None and agreement.kappa.low < floor:
        kappa = agreement.kappa
        figures = f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})"
        said = f"Cohen's kappa {figures} on {wording.size(agreement.rows)}"
        yield Blocker(what="label_agreement", text=f"Two people agree too little on labels: {said}, floor {floor:g}.")
    if evaluation.transfer.transfer == "hurts":
        text = evaluation.transfer.text or "The candidate loses to a control that had no transfer."
        yield Blocker(what="negative_transfer", text=text)
    served = evaluation.incumbent
    if served is not None and served.delta.high < 0:
        yield Blocker(what="incumbent", text=f"It is worse than what serves. {served.text}")


def headline_warnings(evaluation: Evaluation, base: BaseSelection | None = None) -> tuple[str, ...]:
    """Sentences for the report's headline: shifts with their size, production under the target, failed tests.

    Args:
        evaluation: with all parts of the suite filled in.
        base: the bake-off, which says why a runner-up base that does better was not taken.
    """
    found = [waived_text(evaluation.waived)] if evaluation.waived is not None else []
    found += [shift.text for shift in evaluation.shifts if shift.differs]
    score = evaluation.production
    if score is not None and not _reaches(evaluation, score.value):
        reach = _worse_side(evaluation) if _wholly_worse(evaluation, score) else "its interval still reaches it"
        found.append(_under_target(evaluation, reach))
    other = runner_up_text(evaluation, base)
    found += [other] if other else []
    if evaluation.baseline is not None and not evaluation.behaviour:
        found.append(NO_BEHAVIOUR)
    failed = [test for test in evaluation.behaviour if not test.passed]
    return (*found, _failed(failed)) if failed else tuple(found)


def waived_text(waiver: Waiver) -> str:
    """That terms changed after an opening, by whose leave and why."""
    return (
        f"The terms were changed after the test split was opened; {waiver.by} let that pass until {waiver.expires}: "
        f"{waiver.reason}"
    )


def _under_target(evaluation: Evaluation, reach: str) -> str:
    score = evaluation.production
    if score is None:
        return ""
    side = "over" if evaluation.direction == "at_most" else "under"
    return (
        f"On {wording.size(score.n)} like those of production {score.metric} is {wording.score_range(score)}, {side} "
        f"the target of {wording.written(evaluation.target, evaluation.metric)}; {reach}."
    )


def _reaches(evaluation: Evaluation, value: float) -> bool:
    return value <= evaluation.target if evaluation.direction == "at_most" else value >= evaluation.target


def _wholly_worse(evaluation: Evaluation, score: Score) -> bool:
    """Whether not even the better end of the interval reaches the target."""
    return not _reaches(evaluation, score.low if evaluation.direction == "at_most" else score.high)


def _worse_side(evaluation: Evaluation) -> str:
    return f"the whole interval lies {'over' if evaluation.direction == 'at_most' else 'under'} it"


def _failed(tests: list[BehaviourTest]) -> str:
    noun = "Behavioural tests failed" if len(tests) > 1 else "A behavioural test failed"
    return f"{noun}: {wording.listing([_one(test) for test in tests])}."


def _one(test: BehaviourTest) -> str:
    if not test.cases:
        return f"“{test.name}” (no case to test)"
    failures = test.failed_baseline if test.shown == "baseline" else test.failed_candidate
    return f"“{test.name}” ({failures} of {test.cases} cases, allowed {wording.asked(test.allowed)})"
