"""Anchors of the decision log: its count and last hash, kept where the log itself does not lie (1.9).

A chain of hashes shows an edited line, and a head beside the log a tail that was cut off; neither shows that both were
deleted, or replaced by another log that is whole. So after every decision the head is written down in other places too:
in the store, and in MLflow (`resources.log_anchor`). Whoever reads the log holds it against each of them. An anchor may
lag behind, when its writer was killed or its place was away; it is never ahead of what was acknowledged.

An anchor belongs to a place where a log lies, a path or a database: installations that share a store each have theirs.
It can carry the heads of further records beside the log's, by name.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from playbook.artifacts import LogHead
from playbook.decide.log_storage import WITHOUT_A_BACKUP
from playbook.errors import ArtifactError, LogTampered, StorageError
from playbook.plays import DECISION_LOG
from playbook.store import Store

if TYPE_CHECKING:
    from playbook.decide.log_chain import Entry

WAYS_OUT = f"Restore it from a backup. {WITHOUT_A_BACKUP}"
PROGRESS = logging.getLogger("playbook.progress")


@dataclass(frozen=True)
class Anchor:
    """How many decisions there were at a time (UTC, ISO 8601), and the hash of the last of them."""

    count: int
    sha256: str
    time: str = ""
    further: Mapping[str, str] = field(default_factory=dict)  # heads of further records: name -> hash


class AnchorPlace(Protocol):
    """A place that keeps one log's anchor."""

    name: str  # in messages

    def read(self) -> Anchor | None:
        """What was written last; None where nothing ever was, or nobody can be asked."""
        ...

    def write(self, anchor: Anchor) -> None:
        """Keep this anchor in place of the one before."""
        ...


class StoreAnchor:
    """The anchor as an artefact of the store: one manifest per head, with its digest, and a pointer to the latest."""

    name = "the store"

    def __init__(self, store: Store, task: str, log: str) -> None:
        self.store, self.task, self.log = store, task, log  # `log` names the place where the log lies

    def read(self) -> Anchor | None:
        """The head that the store names.

        Raises:
            LogTampered: what the store keeps of it was altered.
        """
        try:
            found = self.store.current(self.task, DECISION_LOG, LogHead, self.log)
        except ArtifactError as error:
            raise LogTampered(f"the decision log's anchor in {self.name}: {error}") from None
        return Anchor(found.count, found.sha256, found.made_at, found.further) if found is not None else None

    def write(self, anchor: Anchor) -> None:
        """Add a manifest and move the pointer to it."""
        head = LogHead(
            task=self.task,
            count=anchor.count,
            sha256=anchor.sha256,
            further=dict(anchor.further),
            made_at=anchor.time,
            play_key=f"{anchor.count:08d}-{anchor.sha256[:24]}",
        )
        self.store.put(DECISION_LOG, head, {})
        self.store.set_current(self.task, DECISION_LOG, head.play_key, self.log)


def hold_against(name: str, entries: Sequence[Entry], places: Sequence[AnchorPlace]) -> None:
    """Compare a verified log with its anchors.

    Args:
        name: how messages call the log.
        entries: all of it, none where there is no log.
        places: where anchors may be.

    Raises:
        LogTampered: the log is gone, shorter than an anchor says, or another one: expected, found, and what to do.
    """
    for place in places:
        anchor = place.read()
        if anchor is None or anchor.count == 0:
            continue
        when = f" on {anchor.time}" if anchor.time else ""
        expected = (
            f"{name}: expected {anchor.count} decisions, the last of them with SHA-256 {anchor.sha256[:12]}, as "
            f"{place.name} has kept it{when}"
        )
        if not entries:
            raise LogTampered(f"{expected}; found no log: it was deleted, or is elsewhere. {WAYS_OUT}")
        if len(entries) < anchor.count:
            raise LogTampered(f"{expected}; found {len(entries)}: the log is shorter than it was. {WAYS_OUT}")
        found = entries[anchor.count - 1].sha256
        if found != anchor.sha256:
            raise LogTampered(f"{expected}; found SHA-256 {found[:12]} at that place: this is another log. {WAYS_OUT}")


def write_down(head: Anchor, places: Sequence[AnchorPlace], *, whatever_was: bool = False) -> None:
    """Bring every anchor up to a head. A place that is away is told of and catches up with the next decision.

    An anchor that is as far already stays: two processes may come by in either order.
    """
    for place in places:
        try:
            before = None if whatever_was else place.read()
            if before is None or before.count < head.count:
                place.write(head)
        except (OSError, ArtifactError, StorageError) as error:
            PROGRESS.warning("the decision log's head could not be written down in %s: %s", place.name, error)


def name_of_place(place: str) -> str:
    """A short name for the place where a log lies, fit for a file's or a tag's name; it tells no path."""
    return hashlib.sha256(place.encode()).hexdigest()[:12]


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
