"""Where the sign-off of an evaluation stands, read from the decision log and proven again each time (5.6, B3).

An approval is believed only while it holds: its entry is in an unbroken log, its statement is about the files on disk
now, its waivers have not run out, and where a signature is asked for, that signature verifies today. A key that has
expired or was revoked since makes the approval void.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from playbook.artifacts import Binding, Blocker, Part, SignOff, Waiver
from playbook.authority import explains, not_allowed, same_name
from playbook.decide.log import DecisionLog, Entry
from playbook.errors import LogTampered, SignatureRefused
from playbook.evaluate.binding import Bound, binding_of, damage, differences, stale
from playbook.evaluate.ssh_signature import belongs_to, key_of, verify

NAMESPACE = "playbook-sign-off"  # a signature made for anything else does not count
QUESTIONS = {
    "gain": "Is the gain worth the complexity?",
    "failures": "Where does it fail, and is that acceptable?",
    "production": "Does it hold on data like production?",
}
RULE = "playbook"  # the name under which a rule approves
Mode = Literal["automatic", "recorded", "signed"]
STRENGTH: dict[Mode, int] = {"automatic": 0, "recorded": 1, "signed": 2}


class Statement(Part):
    """What is approved, by whom, and with which answers: the text that is signed."""

    format: Literal[1] = 1
    task: str
    mode: Mode
    by: str
    same_person: bool  # the sign-off owner is the model owner
    binding: Binding
    ships: str  # the asset
    verdict: str
    answers: dict[str, str] = Field(default_factory=dict)  # question -> answer
    blockers: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    overrules: str = ""  # hash of the rejection of the same evaluation before it, so that no older approval comes back

    @property
    def text(self) -> bytes:
        """The one form in which it is written and signed: JSON, sorted keys, indented for the person who reads it."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Case:
    """One decision to be made: what lies on disk, the log, and the day."""

    bound: Bound
    log: DecisionLog
    now: Binding
    today: date

    @property
    def owner(self) -> str:
        """Who decides."""
        return self.bound.task.spec.owners.sign_off

    @property
    def same_person(self) -> bool:
        """Whether the sign-off owner is the model owner."""
        return same_name(self.owner, self.bound.task.spec.owners.model)

    @property
    def mode(self) -> Mode:
        """What the task file asks for."""
        return self.bound.task.spec.sign_off.mode


def make_case(bound: Bound, log: DecisionLog, today: date | None = None) -> Case:
    """A case as things are now: every bound file is hashed."""
    return Case(bound, log, binding_of(bound), today or datetime.now(UTC).date())


def current_state(case: Case) -> SignOff:
    """The sign-off as it stands: approved, awaiting, rejected, or void with the reasons. Nothing is written."""
    try:
        entries = case.log.entries()
    except LogTampered as error:
        return _sign_off(case, state="void", reason=str(error), awaits="the decision log has to be restored")
    latest = latest_decision(case, entries)
    if latest is None:
        return _sign_off(case, reason=_earlier(case, entries), awaits=awaited(case, entries))
    if latest.kind == "rejection":
        reason = f"rejected by {latest.by}: {latest.body.get('reason', '')}"
        record = {"by": latest.by, "at": latest.time, "log_entry": latest.sha256}
        return _sign_off(case, state="rejected", reason=reason, awaits=awaited(case, entries), **record)
    return _judged(case, entries, latest)


def latest_decision(case: Case, entries: Sequence[Entry]) -> Entry | None:
    """The last approval or rejection of this evaluation."""
    return next((entry for entry in reversed(decisions_of(case, entries)) if entry.kind != "waiver"), None)


def decisions_of(case: Case, entries: Sequence[Entry]) -> list[Entry]:
    """Approvals, rejections and waivers of this evaluation, oldest first."""
    kinds, digest = ("sign_off", "rejection", "waiver"), case.bound.evaluation.digest
    return [entry for entry in entries if entry.kind in kinds and entry.inputs.get("evaluation") == digest]


def last_rejection(case: Case, entries: Sequence[Entry]) -> str:
    """Hash of the last rejection of this evaluation, or nothing."""
    return next((e.sha256 for e in reversed(decisions_of(case, entries)) if e.kind == "rejection"), "")


def waivers_of(case: Case, entries: Sequence[Entry]) -> tuple[Waiver, ...]:
    """Waivers of this evaluation by the sign-off owner that have not run out; a later one takes an earlier one's place.

    A waiver is for one evaluation: what was waived for one model is asked again for the next.
    """
    found: dict[str, Waiver] = {}
    for entry in decisions_of(case, entries):
        if entry.kind == "waiver" and not not_allowed(case.bound.task.spec.owners, "waive", entry.by):
            try:
                waiver = Waiver.model_validate(entry.body.get("waiver"))
            except ValidationError:
                continue  # an entry that nobody can read lifts nothing
            if explains(waiver.reason):
                found[waiver.what] = waiver
    return tuple(found[what] for what in sorted(found) if holds(found[what], case.today))


def holds(waiver: Waiver, today: date) -> bool:
    """Whether a waiver has not run out; its last day counts."""
    try:
        return date.fromisoformat(waiver.expires) >= today
    except ValueError:
        return False


def open_blockers(case: Case, waivers: Sequence[Waiver]) -> tuple[Blocker, ...]:
    """What stands against shipping and no waiver lifts today."""
    lifted = {waiver.what for waiver in waivers if holds(waiver, case.today)}
    return tuple(blocker for blocker in case.bound.evaluation.blockers if blocker.what not in lifted)


def awaited(case: Case, entries: Sequence[Entry]) -> str:
    """Who has to do what, with the command."""
    name, owner = case.bound.task.called(), shlex.quote(case.owner)
    blockers = open_blockers(case, waivers_of(case, entries))
    waive = "".join(
        f"`playbook waive {name} {what} --as {owner} --reason TEXT --until DATE`, or fix it; then "
        for what in dict.fromkeys(blocker.what for blocker in blockers)
    )
    if case.mode == "automatic" and latest_decision(case, entries) is None:
        return f"{case.owner}: {waive}`playbook run {name}`"
    key = " --key FILE" if case.mode == "signed" else ""
    no = f"`playbook reject {name} --as {owner} --reason TEXT`"
    return f"{case.owner}: {waive}`playbook approve {name} --as {owner}{key}`, or {no}"


def verify_statement(case: Case, statement: Statement, signature: str) -> str:
    """Verify the signature of the sign-off owner over a statement; returns the key's fingerprint.

    Raises:
        SignatureRefused: with the reason: who may not sign, which key is wrong, or what was altered.
    """
    spec, owners = case.bound.task.spec.sign_off, case.bound.task.spec.owners
    if case.same_person:
        raise SignatureRefused(
            f"sign_off.mode is signed, but the sign-off owner {owners.sign_off} is the model owner; name somebody else "
            "in owners.sign_off"
        )
    if spec.allowed_signers is None:
        raise SignatureRefused("sign_off.allowed_signers is not set; name an OpenSSH allowed-signers file there")
    signers = Path(case.bound.task.resolve(spec.allowed_signers))
    revoked = Path(case.bound.task.resolve(spec.revoked_keys)) if spec.revoked_keys else None
    content = signature.encode()
    if signers.is_file() and belongs_to(content, signers, owners.model):
        raise SignatureRefused(
            f"the key {key_of(content).fingerprint} is listed for the model owner {owners.model}, who may not sign off "
            f"the own model; {owners.sign_off} has to sign with a key of their own"
        )
    verify(statement.text, content, signers, owners.sign_off, NAMESPACE, revoked)
    return key_of(content).fingerprint


def _judged(case: Case, entries: Sequence[Entry], entry: Entry) -> SignOff:
    """An approval on record, believed or not."""
    try:
        statement = Statement.model_validate(entry.body.get("statement"))
    except ValidationError:
        reason = f"entry {entry.index} of the decision log holds no statement that can be read"
        awaits = awaited(case, entries)
        return _sign_off(case, state="void", reason=reason, awaits=awaits, log_entry=entry.sha256)
    record = {
        "mode": statement.mode,
        "binding": statement.binding,
        "by": statement.by,
        "at": entry.time,
        "answers": {q: statement.answers[q] for q in QUESTIONS.values() if q in statement.answers},
        "same_person": statement.same_person,
        "log_entry": entry.sha256,
        "waivers": statement.waivers,
    }
    void, key = _void(case, entries, entry, statement)
    if void:
        return _sign_off(case, state="void", reason="; ".join(void), awaits=awaited(case, entries), **record)
    lapsed = _lapsed(case, entries, statement)
    if lapsed:
        return _sign_off(case, reason=lapsed, awaits=awaited(case, entries), **record)
    nobody = "approved by rule; no person looked" if statement.mode == "automatic" else ""
    openly = f"approved by {statement.by}, who is the model owner too" if statement.same_person else ""
    return _sign_off(case, state="approved", reason=nobody or openly, key=key, **record)


def _void(case: Case, entries: Sequence[Entry], entry: Entry, statement: Statement) -> tuple[list[str], str]:
    """Why an approval is not to be believed, and the key that signed it."""
    found = list(differences(statement.binding, case.now)) or [*stale(case.bound), *damage(case.bound, case.now)]
    earlier = [known for known in entries if known.index < entry.index]
    if statement.task != case.bound.task.spec.task or statement.ships != case.bound.source:
        found.append(f"it is for {statement.task}/{statement.ships}, not for {case.bound.source}")
    if statement.overrules != last_rejection(case, earlier):
        found.append("it was made before a rejection of the same evaluation, and does not overrule it")
    key = ""
    signature = entry.body.get("signature")
    if statement.mode == "signed":
        try:
            key = verify_statement(case, statement, signature if isinstance(signature, str) else "")
        except SignatureRefused as error:
            found.append(str(error))
    return found, key


def _lapsed(case: Case, entries: Sequence[Entry], statement: Statement) -> str:
    """Why an approval that was good is not enough today."""
    name = case.bound.task.spec.task
    if statement.mode != "automatic" and not_allowed(case.bound.task.spec.owners, "approve", statement.by):
        return f"approved by {statement.by}, but the sign-off owner of {name} is {case.owner}"
    if STRENGTH[statement.mode] < STRENGTH[case.mode]:
        return f"the approval on record is {statement.mode}, the task file asks for {case.mode}"
    if statement.mode != "automatic" and any(not explains(statement.answers.get(q, "")) for q in QUESTIONS.values()):
        return "the approval on record does not answer the three questions"
    known = {waiver.what for waiver in waivers_of(case, entries)}  # one that was shortened since has its new day
    blockers = open_blockers(case, [waiver for waiver in statement.waivers if waiver.what in known])
    if blockers:
        return "no waiver holds today for " + ", ".join(f"{blocker.what} ({blocker.text})" for blocker in blockers)
    return ""


def _earlier(case: Case, entries: Sequence[Entry]) -> str:
    """What changed since the last approval of this task, where there was one of another evaluation."""
    for entry in reversed(entries):
        if entry.kind == "sign_off":
            try:
                signed = Statement.model_validate(entry.body.get("statement")).binding
            except ValidationError:
                return ""
            changed = "; ".join(differences(signed, case.now))
            return f"the approval of {entry.time} by {entry.by} is for another evaluation: {changed}"
    return ""


def _sign_off(case: Case, **fields: object) -> SignOff:
    given = {"task": case.bound.task.spec.task, "mode": case.mode, "binding": case.now, **fields}
    return SignOff.model_validate(given)
