"""The decision log (1.9): append-only lines of JSON, each entry chained to the one before it by SHA-256.

An entry carries the hash of the entry before it and its own hash over its canonical form (sorted keys, no blanks), as
in Haber and Stornetta, How to Time-Stamp a Digital Document, Journal of Cryptology 3 (1991) 99-111. A head beside the
log holds the count and the last hash, so that a tail that was cut off is seen too. The lines lie in files, or in tables
of a PostgreSQL; the chain is verified here, the same for both. What it shows is a change by hand or by accident. It has
no secret: whoever rewrites every line and the head, or deletes both, is found by the anchors, which are kept elsewhere
(`playbook.decide.log_anchor`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import JsonValue, ValidationError

from playbook.artifacts import canonical_hash
from playbook.artifacts.artifact import Part
from playbook.database import place_of
from playbook.decide.log_anchor import Anchor, AnchorPlace, StoreAnchor, hold_against, name_of_place, now, write_down
from playbook.decide.log_files import LogFiles
from playbook.decide.log_storage import GENESIS, Head, LogStorage, Stored, canonical, remedy
from playbook.errors import LogTampered
from playbook.settings import Settings
from playbook.store import Store

Kind = Literal[
    "scope",
    "decision",
    "base",
    "rung",
    "early_end",
    "candidate",
    "controls",
    "evaluation",
    "ship",
    "sign_off",
    "rejection",
    "waiver",
    "relabel",
    "cost",
    "gate",  # the data gate is red, or green again
    "lost_log",  # an earlier log is gone, and somebody goes on without it
    "trigger",  # the retraining policy fired, or somebody asked for a round
    "round",  # a retraining round took up triggers
    "promotion",
    "rollback",
]
SHORTEST_PREFIX = 8  # hexadecimal digits that `find` asks for
T = TypeVar("T")


class Entry(Part):
    """One decision on record. `index` counts from 1; `key` is what it is about, for example an asset."""

    index: int
    time: str  # UTC, ISO 8601, seconds
    kind: Kind
    key: str = ""
    title: str
    by: str
    inputs: dict[str, JsonValue]  # hashes and figures that it stands on
    body: dict[str, JsonValue]
    previous: str
    sha256: str

    @property
    def content_hash(self) -> str:
        """SHA-256 of the canonical form of everything but the hash itself."""
        return canonical_hash(self.model_dump(mode="json", exclude={"sha256"}))

    @property
    def line(self) -> bytes:
        """The one way in which this entry is written."""
        return canonical(self.model_dump(mode="json")) + b"\n"


class DecisionLog:
    """The log of one task: in a storage, or in files of which `storage` is the path of the `.jsonl` one.

    `anchors` are places that keep its head too; the log is held against them whenever it is read or written.
    """

    def __init__(self, storage: LogStorage | Path, anchors: Sequence[AnchorPlace] = ()) -> None:
        self.storage: LogStorage = LogFiles(storage) if isinstance(storage, Path) else storage
        self.anchors = tuple(anchors)

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first, after the whole chain was verified; none where there is no log yet.

        Raises:
            LogTampered: a line was edited, taken out, moved, or the tail was cut off, and the first bad line is named;
                or the log is gone, shorter or another than an anchor says.
            ArtifactError: the log cannot be read.
        """
        if not self.storage.exists():
            try:
                hold_against(self.storage.name, (), self.anchors)
                return ()
            except LogTampered:
                if not self.storage.exists():  # or somebody wrote its first line just now
                    raise
        return self._locked(self._held)

    @property
    def head(self) -> Head:
        """Count and last hash of the verified log."""
        entries = self.entries()
        return Head(count=len(entries), sha256=entries[-1].sha256) if entries else Head()

    def anchor(self) -> None:
        """Bring the anchors up to the log as it is."""
        entries = self.entries()
        if entries:
            self._write_down(entries[-1])

    def accept_loss(self, *, by: str, reason: str) -> Entry:
        """Put on record that an earlier log is lost, and go on with what is left of it, or with nothing.

        Raises:
            ValueError: the anchors are not ahead of the log: nothing is lost.
            LogTampered: what is left is no unbroken chain.
        """
        lost = [(place.name, anchor) for place in self.anchors if (anchor := place.read()) is not None]

        def add() -> Entry:
            left = self._verified()
            try:
                hold_against(self.storage.name, left, self.anchors)
            except LogTampered:
                kept = {name: {"count": anchor.count, "sha256": anchor.sha256} for name, anchor in lost}
                title = f"An earlier decision log is lost; {len(left)} decisions of this one are left"
                return self._add(left, _draft("lost_log", "", title, by, {"kept": kept}, {"reason": reason}))
            raise ValueError("the decision log is what its anchors say: nothing is lost")

        entry = self._locked(add)
        self._write_down(entry, whatever_was=True)
        return entry

    def append(
        self,
        kind: Kind,
        title: str,
        *,
        by: str,
        inputs: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> Entry:
        """Verify the log, add an entry, and return it once it is on disk.

        Args:
            kind: what is decided, one of a closed list.
            title: the decision in one sentence.
            by: who decided; a rule of this program is `playbook`.
            inputs: hashes and figures that the decision stands on, JSON values.
            body: whatever else belongs to it, JSON values.
            key: what it is about within its kind, for example the asset.

        Raises:
            LogTampered: the log is not what was written; nothing is added.
            ArtifactError: the log cannot be written; the decision is not on record.
            ValueError: an unknown kind, an empty title or name, or a value that JSON cannot hold.
        """
        draft = _draft(kind, key, title, by, inputs, body)
        entry = self._locked(lambda: self._add(self._held(), draft))
        self._write_down(entry)
        return entry

    def append_once(
        self,
        key: str,
        kind: Kind,
        title: str,
        *,
        by: str,
        inputs: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Entry:
        """As `append`, unless the latest entry of this kind and key says the same already: that one is returned."""
        draft = _draft(kind, key, title, by, inputs, body)

        def add() -> tuple[Entry, Entry]:
            earlier = self._held()
            latest = next((e for e in reversed(earlier) if (e.kind, e.key) == (draft.kind, draft.key)), None)
            same = ("title", "inputs", "body")
            if latest is not None and all(getattr(latest, name) == getattr(draft, name) for name in same):
                return latest, earlier[-1]
            entry = self._add(earlier, draft)
            return entry, entry

        entry, last = self._locked(add)
        self._write_down(last)
        return entry

    def find(self, sha256: str) -> Entry | None:
        """The entry whose hash begins with `sha256`; None where there is none.

        Raises:
            ValueError: fewer than eight digits, or more than one entry begins so.
        """
        if len(sha256) < SHORTEST_PREFIX:
            raise ValueError(f"expected at least {SHORTEST_PREFIX} digits of a hash, found {sha256!r}")
        found = [entry for entry in self.entries() if entry.sha256.startswith(sha256)]
        if len(found) > 1:
            raise ValueError(f"{len(found)} entries begin with {sha256}; give more digits")
        return found[0] if found else None

    def _held(self) -> tuple[Entry, ...]:
        entries = self._verified()
        hold_against(self.storage.name, entries, self.anchors)
        return entries

    def _write_down(self, last: Entry, *, whatever_was: bool = False) -> None:
        """After the log is written and its lock is gone: what is only in a transaction yet is no decision."""
        if self.anchors:
            write_down(Anchor(last.index, last.sha256, now()), self.anchors, whatever_was=whatever_was)

    def _locked(self, work: Callable[[], T]) -> T:
        with self.storage.locked():
            return work()

    def _verified(self) -> tuple[Entry, ...]:
        stored = self.storage.read()
        entries: list[Entry] = []
        for number, text in enumerate(stored.lines, start=1):
            entries.append(self._read_line(number, text, entries[-1].sha256 if entries else GENESIS))
            if stored.named and stored.named[number - 1] != (number, entries[-1].sha256):
                raise self._tampered(number, "its row names another", f"entry {stored.named[number - 1][0]}")
        self._check_head(entries, stored)
        return tuple(entries)

    def _read_line(self, number: int, text: bytes, previous: str) -> Entry:
        try:
            entry = Entry.model_validate_json(text)
        except ValidationError:
            raise self._tampered(number, "no entry of the log", text[:60].decode(errors="replace")) from None
        if entry.index != number:
            raise self._tampered(number, "a line is missing, added or out of its order", f"entry {entry.index}")
        if entry.content_hash != entry.sha256 or entry.line != text:
            raise self._tampered(number, "its content was edited", f"SHA-256 {entry.content_hash[:12]}")
        if entry.previous != previous:
            why = f"it does not follow line {number - 1}, so one of the two was replaced" if number > 1 else "replaced"
            raise self._tampered(number, why, f"previous hash {entry.previous[:12]}")
        return entry

    def _check_head(self, entries: list[Entry], stored: Stored) -> None:
        """The head is exact, or behind by as much as the storage allows: its writer was killed between two files."""
        head = stored.head
        if head is None:
            if entries or stored.torn:
                missing = f"{self.storage.head_name}: missing beside a log of {len(entries)} entries"
                raise LogTampered(f"{missing}. {remedy(self.storage)}")
            return
        if head.count > len(entries):
            cut = f"the head counts {head.count} entries, the last lines were cut off"
            raise self._tampered(len(entries) + 1, cut, "the end of the log")
        at_head = entries[head.count - 1].sha256 if head.count > 0 else GENESIS
        if at_head != head.sha256 or head.count < 0:
            raise self._tampered(head.count, "it is not the entry that the head names", f"SHA-256 {at_head[:12]}")
        if len(entries) > head.count + self.storage.ahead:
            beyond = head.count + self.storage.ahead + 1
            raise self._tampered(beyond, f"the head counts {head.count} entries", "lines beyond it")

    def _tampered(self, line: int, why: str, found: str) -> LogTampered:
        return LogTampered(f"{self.storage.name}, line {line}: {why} (found {found}). {remedy(self.storage)}")

    def _add(self, earlier: tuple[Entry, ...], draft: Entry) -> Entry:
        last = earlier[-1].sha256 if earlier else GENESIS
        entry = draft.model_copy(update={"index": len(earlier) + 1, "time": now(), "previous": last})
        entry = entry.model_copy(update={"sha256": entry.content_hash})
        head = Head(count=entry.index, sha256=entry.sha256)
        self.storage.add(tuple(known.line for known in earlier), entry.line, head)
        return entry


def open_decision_log(places: Settings, task: str, further: Callable[[str], AnchorPlace] | None = None) -> DecisionLog:
    """The log of a task where the environment wants it: in PostgreSQL, or in files of the state folder.

    Its head is anchored in the store, and in the place that `further` makes, given the name of where the log lies.
    """
    files, database = LogFiles(places.decision_log(task)), places.decision_database
    lies = name_of_place(place_of(database) if database else str(files.path.resolve()))
    anchors: list[AnchorPlace] = [StoreAnchor(Store(places.store, places.home / "cache" / "store"), task, lies)]
    anchors += [further(lies)] if further is not None else []
    if database is None:
        return DecisionLog(files, anchors)
    from playbook.decide.log_database import LogTables

    return DecisionLog(LogTables(database, task, files), anchors)


def _draft(
    kind: Kind, key: str, title: str, by: str, inputs: Mapping[str, Any] | None, body: Mapping[str, Any] | None
) -> Entry:
    """An entry without its place in the chain; values as they come back from JSON, so that they compare equal."""
    if not title.strip() or not by.strip():
        raise ValueError(f"a decision needs a title and a name, found {title!r} by {by!r}")
    plain = json.loads(canonical({"inputs": dict(inputs or {}), "body": dict(body or {})}))
    place = {"index": 0, "time": "", "previous": "", "sha256": ""}
    return Entry.model_validate({"kind": kind, "key": key, "title": title, "by": by, **plain, **place})
