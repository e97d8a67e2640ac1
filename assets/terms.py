"""Whether a task's test split may be judged by the terms of its task file, asked before any answer to it is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from assets.play import Play
from playbook.artifacts import DatasetVersion, LockedTerms, Waiver
from playbook.errors import TermsLocked
from playbook.evaluate.terms_waiver import lock_of, locked_text, waiver_of


@dataclass(frozen=True)
class Terms:
    """What binds a test split: nothing, an opening under other terms, or such an opening with a waiver that holds."""

    lock: LockedTerms | None = None
    waiver: Waiver | None = None
    entry: str = ""  # hash of the waiver's entry in the decision log

    @property
    def key(self) -> list[str]:
        """What a result that is judged by these terms depends on."""
        return [self.lock.key if self.lock is not None else "", self.entry]

    @property
    def refused(self) -> bool:
        """Whether no answer may be used."""
        return self.lock is not None and self.waiver is None


def terms_now(play: Play, dataset: DatasetVersion) -> Terms:
    """What binds the split of a dataset version today."""
    world, spec = play.world, play.task.spec
    lock = lock_of(play.task, world.store, dataset, world.test_ledger(spec.task), play.warn)
    if lock is None:
        return Terms()
    entries = world.decision_log(spec.task).entries()
    found = waiver_of(lock, entries, spec.owners.sign_off, datetime.now(UTC).date())
    return Terms(lock, *found) if found is not None else Terms(lock)


def require_terms(play: Play, dataset: DatasetVersion) -> Terms:
    """What binds the split, where it may be judged.

    Raises:
        TermsLocked: the terms changed after an opening, and nobody waived that.
    """
    found = terms_now(play, dataset)
    if found.lock is not None and found.refused:
        raise TermsLocked(*locked_text(found.lock, play.task))
    return found
