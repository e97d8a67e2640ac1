"""Who may have a test split judged by terms that changed after it was opened, and how that goes on record (5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import ValidationError

from playbook.artifacts import DatasetVersion, LockedTerms, Waiver
from playbook.authority import no_reason, not_allowed, plain_text, same_name
from playbook.decide.log import Entry, open_decision_log
from playbook.errors import ApprovalRefused
from playbook.evaluate.approval import not_a_day
from playbook.evaluate.locked_terms import locked_by, refusal, terms_of_task
from playbook.evaluate.openings import PROGRESS, Warn
from playbook.evaluate.sign_off_state import holds
from playbook.evaluate.test_split import closed_marks
from playbook.plays import DATASET
from playbook.settings import Settings
from playbook.store import SEALED, Store
from playbook.taskfile import Task, grown

LOCKED_TERMS = "locked_terms"  # what is waived


def lock_of(
    task: Task, store: Store, dataset: DatasetVersion, ledger: Path, warn: Warn = PROGRESS.warning
) -> LockedTerms | None:
    """The opening that binds the test split of a dataset version to other terms than the task file's, or None.

    Raises:
        ArtifactError: a ledger, or the task's own record of an opened split's rows, is damaged.
        DataError: the capability set has faults.
    """
    sealed = dataset.files.get(SEALED)
    if sealed is None:
        return None
    terms = terms_of_task(task)
    return locked_by(ledger, sealed.sha256, terms, lambda: closed_marks(store, dataset, DATASET), warn)


def waiver_of(lock: LockedTerms, entries: Sequence[Entry], owner: str, today: date) -> tuple[Waiver, str] | None:
    """The sign-off owner's waiver of exactly these changes that holds today, and the hash of its entry, or None."""
    for entry in reversed(entries):
        if entry.kind == "waiver" and entry.inputs.get("lock") == lock.key and same_name(entry.by, owner):
            try:
                waiver = Waiver.model_validate(entry.body.get("waiver"))
            except ValidationError:
                continue  # an entry that nobody can read lifts nothing
            return (waiver, entry.sha256) if holds(waiver, today) else None
    return None


def waive_terms(task: Task, places: Settings, by: str, reason: str, until: str, today: date | None = None) -> Entry:
    """Record that the sign-off owner lets a test split be judged by terms that changed after it was opened.

    Args:
        task: its file as it is now: the changes that are waived are those that it has.
        places: of this installation.
        by: who waives; must be the sign-off owner.
        reason: why the terms changed.
        until: the last day on which the waiver counts, ISO date, in the future.
        today: for tests.

    Raises:
        ApprovalRefused: nothing is locked, somebody else, no reason, or no day in the future.
        ArtifactError: the ledger is damaged.
        LogTampered: the decision log is broken.
    """
    task, name = grown(task), task.spec.task
    store, today = Store(places.store, places.home / "cache" / "store"), today or datetime.now(UTC).date()
    dataset = store.current(name, DATASET, DatasetVersion)
    ledger = places.ledgers / name / "test_openings.jsonl"
    lock = lock_of(task, store, dataset, ledger) if dataset is not None else None
    owner, said = task.spec.owners.sign_off, plain_text(reason)
    reasons = [*not_allowed(task.spec.owners, "waive", by), *no_reason(said, "--reason")]
    reasons += not_a_day(until, today)
    if lock is None:
        reasons.append("the terms of the task file are those that the test split was opened under, if it was opened")
    if reasons or lock is None:
        raise ApprovalRefused(f"{name}: not waived", reasons)
    waiver = Waiver(what=LOCKED_TERMS, by=owner, reason=said, expires=date.fromisoformat(until).isoformat())
    body = {"waiver": waiver.model_dump(), "changed": [one.model_dump() for one in lock.changed]}
    title = f"{LOCKED_TERMS} waived by {owner} until {waiver.expires}: {said}"
    log = open_decision_log(places, name)
    return log.append("waiver", title, by=owner, inputs={"lock": lock.key}, body=body, key=f"lock {lock.key[:12]}")


def locked_text(lock: LockedTerms, task: Task) -> tuple[str, tuple[str, ...]]:
    """The verdict and next steps of an evaluation that the lock refuses."""
    return refusal(lock, task.called(), task.spec.owners.sign_off)
