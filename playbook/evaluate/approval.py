"""Approvals, rejections and waivers: who may record them, and what stands against it (5.6, B3).

Every one is an entry of the decision log, so that none can be changed or taken away unseen. What makes an approval
hold, and whether it still does, is in `playbook.evaluate.sign_off_state`.
"""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Callable, Mapping
from datetime import date

from playbook.artifacts import (
    Adapted,
    BaseSelection,
    Candidate,
    DatasetVersion,
    Evaluation,
    Report,
    SignOff,
    Waiver,
)
from playbook.authority import WORDS, Action, explains, no_reason, not_allowed, plain_text
from playbook.decide.log import Entry, open_decision_log
from playbook.errors import ApprovalRefused
from playbook.evaluate.binding import SHOWN, Bound, damage, shipping_model, stale
from playbook.evaluate.sign_off_state import (
    NAMESPACE,
    QUESTIONS,
    RULE,
    Case,
    Mode,
    Statement,
    current_state,
    last_rejection,
    make_case,
    open_blockers,
    verify_statement,
    waivers_of,
)
from playbook.plays import BASE, CANDIDATE, DATASET, EVALUATION, REPORT, asset_kinds
from playbook.settings import Settings
from playbook.store import Store
from playbook.taskfile import Task

__all__ = [
    "NAMESPACE",
    "QUESTIONS",
    "Case",
    "Statement",
    "approve",
    "current_state",
    "make_case",
    "open_case",
    "reject",
    "settle",
    "statement_of",
    "waive",
]
Signer = Callable[[bytes], bytes]  # a statement's text -> its signature


def open_case(task: Task, places: Settings, today: date | None = None) -> Case:
    """The case that a task's catalogue shows, for whoever decides at a terminal.

    Raises:
        ApprovalRefused: there is no evaluation that could be signed off.
        ArtifactError: a manifest was altered.
    """
    store = Store(places.store, places.home / "cache" / "store")
    name, kinds = task.spec.task, asset_kinds(task.spec)
    dataset = store.current(name, DATASET, DatasetVersion)
    base = store.current(name, BASE, BaseSelection)
    choice = store.current(name, CANDIDATE, Candidate)
    evaluation = store.current(name, EVALUATION, Evaluation)
    kept = {asset: store.current(name, asset, kind) for asset, kind in kinds.items() if issubclass(kind, Adapted)}
    models = {asset: model for asset, model in kept.items() if model is not None}
    if dataset is None or base is None or choice is None or evaluation is None or not models or evaluation.skipped:
        why = evaluation.reason if evaluation is not None and evaluation.reason else "there is no evaluation yet"
        raise ApprovalRefused(
            f"{name}: there is nothing to sign off",
            [f"{why}; `playbook run {task.called(places)}` makes the evaluation"],
        )
    source, model = shipping_model(evaluation, choice, models)
    pages = store.current(name, REPORT, Report)
    bound = Bound(task, store, places.report(name), dataset, base, model, source, evaluation, pages)
    return make_case(bound, open_decision_log(places, name), today)


def statement_of(case: Case, by: str, answers: Mapping[str, str]) -> Statement:
    """What would be approved, once everything that stands against it has been looked at.

    Args:
        case: what lies on disk now.
        by: who approves; must be the sign-off owner.
        answers: an answer to each of `QUESTIONS`, by its short name.

    Raises:
        ApprovalRefused: with every reason.
        LogTampered: the decision log is broken; nothing is approved on it.
    """
    waivers = waivers_of(case, case.log.entries())
    reasons = [*_not_theirs(case, "approve", by), *_standing_against(case, waivers)]
    if case.mode == "signed" and case.same_person:
        reasons.append(
            f"sign_off.mode is signed, but the sign-off owner {case.owner} is the model owner; name somebody else in "
            "owners.sign_off"
        )
    given = {short: plain_text(answers.get(short, "")) for short in QUESTIONS}
    reasons += [text for short, said in given.items() for text in _not_answered(short, said)]
    if reasons:
        raise ApprovalRefused(f"{case.bound.task.spec.task}: not approved", reasons)
    mode: Mode = "signed" if case.mode == "signed" else "recorded"
    return _statement(case, mode, {QUESTIONS[short]: text for short, text in given.items()}, waivers)


def approve(case: Case, by: str, answers: Mapping[str, str], signer: Signer | None = None) -> Entry:
    """Record an approval, with the signature that `signer` gives to the statement's text where one is asked for.

    Raises:
        ApprovalRefused: with every reason that stands against it.
        SignatureRefused: the signature is not one of the sign-off owner, or not over this statement.
        LogTampered: the decision log is broken.
    """
    statement = statement_of(case, by, answers)
    body: dict[str, object] = {"statement": statement.model_dump(mode="json"), "account": _account()}
    if statement.mode == "signed":
        if signer is None:
            raise ApprovalRefused(
                f"{statement.task}: not approved", ["sign_off.mode is signed: expected a signature, found none"]
            )
        signature = signer(statement.text).decode(errors="replace")
        verify_statement(case, statement, signature)
        body["signature"] = signature
    who = f"{statement.by}, who is the model owner too" if statement.same_person else statement.by
    return _record_approval(case, statement, f"approved by {who}: ship {statement.ships}", body)


def settle(case: Case) -> SignOff:
    """The state of the sign-off; in automatic mode the rule approves first, where nothing stands against it."""
    state = current_state(case)
    if case.mode != "automatic" or state.state != "awaiting":
        return state
    entries = case.log.entries()
    waivers = waivers_of(case, entries)
    against = _standing_against(case, waivers)
    if against:
        return state.model_copy(update={"reason": "; ".join(against)})
    statement = _statement(case, "automatic", {}, waivers)
    body = {"statement": statement.model_dump(mode="json")}
    _record_approval(case, statement, f"approved by rule, no person looked: ship {statement.ships}", body)
    return current_state(case)


def reject(case: Case, by: str, reason: str) -> Entry:
    """Record that the sign-off owner does not approve this evaluation.

    Raises:
        ApprovalRefused: by somebody else, or without a reason.
        LogTampered: the decision log is broken.
    """
    said = plain_text(reason)
    reasons = _not_theirs(case, "reject", by) + no_reason(said, "--reason")
    if reasons:
        raise ApprovalRefused(f"{case.bound.task.spec.task}: not rejected", reasons)
    body = {"reason": said, "binding": case.now.model_dump(mode="json"), "account": _account()}
    title = f"rejected by {case.owner}: {said}"
    return case.log.append("rejection", title, by=case.owner, inputs=_inputs(case), body=body, key=_about(case))


def waive(case: Case, what: str, by: str, reason: str, expires: str) -> Entry:
    """Lift one kind of blocker of this evaluation until a day.

    Args:
        case: what lies on disk now.
        what: the blocker, as the evaluation names it.
        by: who waives; must be the sign-off owner.
        reason: why it is acceptable.
        expires: the last day on which the waiver counts, ISO date, in the future.

    Raises:
        ApprovalRefused: no such blocker, somebody else, no reason, or no day in the future.
        LogTampered: the decision log is broken.
    """
    said, standing = plain_text(reason), case.bound.evaluation.blockers
    texts = [blocker.text for blocker in standing if blocker.what == what]
    reasons = _not_theirs(case, "waive", by) + no_reason(said, "--reason")
    if not texts:
        known = ", ".join(dict.fromkeys(blocker.what for blocker in standing)) or "nothing stands against shipping"
        reasons.append(f"expected a blocker of this evaluation, found {what!r}; known: {known}")
    reasons += not_a_day(expires, case.today)
    if reasons:
        raise ApprovalRefused(f"{case.bound.task.spec.task}: not waived", reasons)
    waiver = Waiver(what=what, by=case.owner, reason=said, expires=date.fromisoformat(expires).isoformat())
    body = {"waiver": waiver.model_dump(), "blockers": texts, "account": _account()}
    title = f"{what} waived by {case.owner} until {waiver.expires}: {said}"
    return case.log.append("waiver", title, by=case.owner, inputs=_inputs(case), body=body, key=_about(case))


def _statement(case: Case, mode: Mode, answers: dict[str, str], waivers: tuple[Waiver, ...]) -> Statement:
    evaluation = case.bound.evaluation
    return Statement(
        task=case.bound.task.spec.task,
        mode=mode,
        by=RULE if mode == "automatic" else case.owner,
        same_person=mode != "automatic" and case.same_person,
        binding=case.now,
        ships=case.bound.source,
        verdict=evaluation.verdict,
        answers=answers,
        blockers=tuple(blocker.text for blocker in evaluation.blockers),
        waivers=tuple(waiver for waiver in waivers if waiver.what in {b.what for b in evaluation.blockers}),
        overrules=last_rejection(case, case.log.entries()),
    )


def _record_approval(case: Case, statement: Statement, title: str, body: Mapping[str, object]) -> Entry:
    # The same approval is not recorded twice; one after a rejection differs by what it overrules, one after a rollback
    # by that rollback: it may put the model back into production, which the approval before cannot.
    key = _about(case)
    rolled = next((entry.sha256 for entry in reversed(case.log.entries()) if entry.kind == "rollback"), "")
    body = {**body, "after_rollback": rolled} if rolled else body
    return case.log.append_once(key, "sign_off", title, by=statement.by, inputs=_inputs(case), body=body)


def _not_theirs(case: Case, action: Action, by: str) -> list[str]:
    return not_allowed(case.bound.task.spec.owners, action, by)


def _not_answered(short: str, said: str) -> list[str]:
    if explains(said):
        return []
    question, option = QUESTIONS[short], f"--answer-{short}"
    if not said:
        return [f"not answered: {question} ({option})"]
    return [f"not answered: {question} Expected at least {WORDS} words that say why, found {said!r} ({option})"]


def _standing_against(case: Case, waivers: tuple[Waiver, ...]) -> list[str]:
    evaluation, name = case.bound.evaluation, case.bound.task.called()
    if evaluation.refused or not evaluation.ships:
        return [f"nothing is to be shipped: {evaluation.verdict or evaluation.reason}"]
    blockers = [
        f"{blocker.what} stands against it: {blocker.text}; fix it, or `playbook waive {name} {blocker.what} --as "
        f"{shlex.quote(case.owner)} --reason TEXT --until DATE`"
        for blocker in open_blockers(case, waivers)
    ]
    return [*stale(case.bound), *damage(case.bound, case.now), *blockers]


def not_a_day(expires: str, today: date) -> list[str]:
    """What is wrong with the last day of a waiver, or nothing."""
    try:
        day = date.fromisoformat(expires)
    except ValueError:
        return [f"expected a date such as 2027-01-31, found {plain_text(expires)!r} (--until)"]
    return [] if day > today else [f"expected a day after {today.isoformat()}, found {expires} (--until)"]


def _inputs(case: Case) -> dict[str, object]:
    return case.now.model_dump(mode="json")


def _about(case: Case) -> str:
    return f"evaluation {case.now.evaluation[:SHOWN]}"


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
