"""Retraining rounds on record: who or what asked for one, and which round took it up.

Whatever asks for a round (the policy, a schedule, a button) writes a `trigger` entry to the decision log; one sensor
launches the run, whose first play takes up every trigger that waits and says so in a `round` entry. So a trigger is
never lost with the process that saw it, and triggers that come together make one round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

from playbook.artifacts import Trigger
from playbook.authority import no_reason, not_allowed, owner_named, plain_text
from playbook.decide.log import DecisionLog, Entry
from playbook.errors import ApprovalRefused
from playbook.spec import TaskSpec

Automaton = Literal["playbook", "schedule"]


def pending_triggers(entries: Sequence[Entry]) -> list[Entry]:
    """Triggers that no round has taken up, oldest first."""
    taken = {str(sha) for entry in entries if entry.kind == "round" for sha in _list(entry.inputs.get("triggers"))}
    return [entry for entry in entries if entry.kind == "trigger" and entry.sha256 not in taken]


def last_round(entries: Sequence[Entry]) -> Entry | None:
    """The latest round, or None."""
    return next((entry for entry in reversed(entries) if entry.kind == "round"), None)


def asked_by(entries: Sequence[Entry], version: str, alias: str) -> tuple[Trigger, ...]:
    """What asked for the rounds that began while a version served, in the order of `playbook.artifacts.Trigger`.

    A round that changed nothing leaves what asked for it unanswered, so all rounds of the version's time count.
    """
    serving, found = "", set()
    for entry in entries:
        if entry.kind in ("promotion", "rollback") and entry.inputs.get("alias") == alias:
            serving = str(entry.inputs.get("to") or "")
        elif entry.kind == "round" and serving == version:
            found |= {str(kind) for kind in _list(entry.body.get("kinds"))}
    return tuple(trigger for trigger in get_args(Trigger) if trigger in found)


def cool_down_until(entries: Sequence[Entry], days: int) -> date | None:
    """The first day after the cool-down of the latest round; None where there was no round."""
    done = last_round(entries)
    return day_of(done) + timedelta(days) if done is not None else None


def day_of(entry: Entry) -> date:
    """The day that an entry is about: the one in its body, else the one on which it was written."""
    said = entry.body.get("day")
    return date.fromisoformat(said) if isinstance(said, str) else datetime.fromisoformat(entry.time).date()


def ask_for_round(
    log: DecisionLog,
    task: str,
    triggers: Mapping[Trigger, str],
    *,
    by: Automaton,
    day: date | None = None,
    inputs: Mapping[str, Any] | None = None,
    false_alarms: Mapping[Trigger, str] | None = None,
) -> Entry:
    """Put a request for a round on record that no person makes; a person asks by `ask_by_hand`.

    Args:
        log: the task's decision log.
        task: its name.
        triggers: what asks, each with what was found.
        by: `playbook`, which looks at every day, or the schedule.
        day: the day that it is about; today where it is not given.
        inputs: hashes and figures that it stands on.
        false_alarms: how often each trigger holds although nothing changed.

    Raises:
        ValueError: the trigger is the button, or `by` is a person.
    """
    if "button" in triggers or by not in ("playbook", "schedule"):
        raise ValueError(
            f"expected a trigger of the product's own, found {sorted(triggers)} by {by!r}: use ask_by_hand"
        )
    return _ask(log, task, triggers, by, day, inputs, false_alarms)


def ask_by_hand(log: DecisionLog, spec: TaskSpec, *, by: str, reason: str, day: date | None = None) -> Entry:
    """Put an owner's request for a round on record: the button.

    Args:
        log: the task's decision log.
        spec: the task, which names who may ask.
        by: who asks.
        reason: why.
        day: the day that it is about; today where it is not given.

    Raises:
        ApprovalRefused: by nobody who may, or without a reason.
    """
    reasons = not_allowed(spec.owners, "retrain", by) + no_reason(reason, "--reason")
    if reasons:
        raise ApprovalRefused(f"{spec.task}: no round is asked for", reasons)
    return _ask(log, spec.task, {"button": plain_text(reason)}, owner_named(spec.owners, by), day)


def _ask(
    log: DecisionLog,
    task: str,
    triggers: Mapping[Trigger, str],
    by: str,
    day: date | None,
    inputs: Mapping[str, Any] | None = None,
    false_alarms: Mapping[Trigger, str] | None = None,
) -> Entry:
    day = day or datetime.now(UTC).date()
    said = "; ".join(f"{kind}: {found}" for kind, found in triggers.items())
    body: dict[str, Any] = {"day": day.isoformat(), "triggers": dict(triggers)}
    body |= {"false_alarms": dict(false_alarms)} if false_alarms else {}
    return log.append("trigger", f"a retraining round is asked for ({said})", by=by, inputs=inputs, body=body, key=task)


def take_up(log: DecisionLog, task: str, waiting: Sequence[Entry], said: str, body: Mapping[str, Any]) -> Entry:
    """Record that a round takes up these triggers."""
    day = max(day_of(entry) for entry in waiting)
    inputs = {"triggers": [entry.sha256 for entry in waiting]}
    return log.append("round", said, by="playbook", inputs=inputs, body={"day": day.isoformat(), **body}, key=task)


def kinds_of(entry: Entry) -> list[str]:
    """What asked for a round in a trigger entry: names of `playbook.artifacts.Trigger`."""
    found = entry.body.get("triggers")
    return sorted(found) if isinstance(found, dict) else []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
