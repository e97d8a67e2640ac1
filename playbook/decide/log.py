"""The decision log (1.9): append-only lines of JSON, each entry chained to the one before it by SHA-256.

An entry carries the hash of the entry before it and its own hash over its canonical form (sorted keys, no blanks), as
in Haber and Stornetta, How to Time-Stamp a Digital Document, Journal of Cryptology 3 (1991) 99-111. A head beside the
log holds the count and the last hash, so that a tail that was cut off is seen too. The lines lie in files, or in tables
of a PostgreSQL; the chain is verified here, the same for both. What it shows is a change by hand or by accident. It has
no secret: whoever rewrites every line and the head, or deletes both, is found only by a hash that was kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import JsonValue, ValidationError

from playbook.artifacts import canonical_hash
from playbook.artifacts.artifact import Part
from playbook.decide.log_files import LogFiles
from playbook.decide.log_storage import GENESIS, Head, LogStorage, Stored, canonical, remedy
from playbook.errors import LogTampered
from playbook.settings import Settings

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
    """The log of one task: in a storage, or in files of which `storage` is the path of the `.jsonl` one."""

    def __init__(self, storage: LogStorage | Path) -> None:
        self.storage: LogStorage = LogFiles(storage) if isinstance(storage, Path) else storage

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first, after the whole chain was verified; none where there is no log yet.

        Raises:
            LogTampered: a line was edited, taken out, moved, or the tail was cut off; the first bad line is named.
            ArtifactError: the log cannot be read.
        """
        if not self.storage.exists():
            return ()
        return self._locked(self._verified)

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
        return self._locked(lambda: self._add(self._verified(), draft))

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

        def add() -> Entry:
            earlier = self._verified()
            latest = next((e for e in reversed(earlier) if (e.kind, e.key) == (draft.kind, draft.key)), None)
            same = ("title", "inputs", "body")
            if latest is not None and all(getattr(latest, name) == getattr(draft, name) for name in same):
                return latest
            return self._add(earlier, draft)

        return self._locked(add)

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
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = draft.model_copy(update={"index": len(earlier) + 1, "time": now, "previous": last})
        entry = entry.model_copy(update={"sha256": entry.content_hash})
        head = Head(count=entry.index, sha256=entry.sha256)
        self.storage.add(tuple(known.line for known in earlier), entry.line, head)
        return entry


def open_decision_log(places: Settings, task: str) -> DecisionLog:
    """The log of a task where the environment wants it: in PostgreSQL, or in files of the state folder."""
    files = LogFiles(places.decision_log(task))
    if places.decision_database is None:
        return DecisionLog(files)
    from playbook.decide.log_database import LogTables

    return DecisionLog(LogTables(places.decision_database, task, files))


def _draft(
    kind: Kind, key: str, title: str, by: str, inputs: Mapping[str, Any] | None, body: Mapping[str, Any] | None
) -> Entry:
    """An entry without its place in the chain; values as they come back from JSON, so that they compare equal."""
    if not title.strip() or not by.strip():
        raise ValueError(f"a decision needs a title and a name, found {title!r} by {by!r}")
    plain = json.loads(canonical({"inputs": dict(inputs or {}), "body": dict(body or {})}))
    place = {"index": 0, "time": "", "previous": "", "sha256": ""}
    return Entry.model_validate({"kind": kind, "key": key, "title": title, "by": by, **plain, **place})
