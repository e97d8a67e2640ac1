"""What an entry of the decision log is, and how the chain of a whole log is verified (1.9).

The lines lie in files or in tables; the chain is the same for both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import JsonValue, ValidationError

from playbook.artifacts import canonical_hash
from playbook.artifacts.artifact import Part
from playbook.decide.log_storage import GENESIS, LogStorage, Stored, canonical, remedy
from playbook.errors import LogTampered

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


def verified(storage: LogStorage) -> tuple[Entry, ...]:
    """Every entry, oldest first, after the whole chain was verified; called under the storage's lock.

    Raises:
        LogTampered: a line was edited, taken out, moved, or the tail was cut off, and the first bad line is named.
    """
    stored = storage.read()
    entries: list[Entry] = []
    for number, text in enumerate(stored.lines, start=1):
        entries.append(_read_line(storage, number, text, entries[-1].sha256 if entries else GENESIS))
        if stored.named and stored.named[number - 1] != (number, entries[-1].sha256):
            raise _tampered(storage, number, "its row names another", f"entry {stored.named[number - 1][0]}")
    _check_head(storage, entries, stored)
    return tuple(entries)


def unbroken(storage: LogStorage, lines: tuple[bytes, ...]) -> tuple[Entry, ...]:
    """Of lines that are no longer a whole log, those before the first that breaks the chain."""
    entries: list[Entry] = []
    for number, text in enumerate(lines, start=1):
        try:
            entries.append(_read_line(storage, number, text, entries[-1].sha256 if entries else GENESIS))
        except LogTampered:
            break
    return tuple(entries)


def _read_line(storage: LogStorage, number: int, text: bytes, previous: str) -> Entry:
    try:
        entry = Entry.model_validate_json(text)
    except ValidationError:
        raise _tampered(storage, number, "no entry of the log", text[:60].decode(errors="replace")) from None
    if entry.index != number:
        raise _tampered(storage, number, "a line is missing, added or out of its order", f"entry {entry.index}")
    if entry.content_hash != entry.sha256 or entry.line != text:
        raise _tampered(storage, number, "its content was edited", f"SHA-256 {entry.content_hash[:12]}")
    if entry.previous != previous:
        why = f"it does not follow line {number - 1}, so one of the two was replaced" if number > 1 else "replaced"
        raise _tampered(storage, number, why, f"previous hash {entry.previous[:12]}")
    return entry


def _check_head(storage: LogStorage, entries: list[Entry], stored: Stored) -> None:
    """The head is exact, or behind by as much as the storage allows: its writer was killed between two files."""
    head = stored.head
    if head is None:
        if entries or stored.torn:
            missing = f"{storage.head_name}: missing beside a log of {len(entries)} entries"
            raise LogTampered(f"{missing}. {remedy(storage)}")
        return
    if head.count > len(entries):
        cut = f"the head counts {head.count} entries, the last lines were cut off"
        raise _tampered(storage, len(entries) + 1, cut, "the end of the log")
    at_head = entries[head.count - 1].sha256 if head.count > 0 else GENESIS
    if at_head != head.sha256 or head.count < 0:
        raise _tampered(storage, head.count, "it is not the entry that the head names", f"SHA-256 {at_head[:12]}")
    if len(entries) > head.count + storage.ahead:
        beyond = head.count + storage.ahead + 1
        raise _tampered(storage, beyond, f"the head counts {head.count} entries", "lines beyond it")


def _tampered(storage: LogStorage, line: int, why: str, found: str) -> LogTampered:
    return LogTampered(f"{storage.name}, line {line}: {why} (found {found}). {remedy(storage)}")


def draft_of(
    kind: Kind, key: str, title: str, by: str, inputs: Mapping[str, Any] | None, body: Mapping[str, Any] | None
) -> Entry:
    """An entry without its place in the chain; values as they come back from JSON, so that they compare equal."""
    if not title.strip() or not by.strip():
        raise ValueError(f"a decision needs a title and a name, found {title!r} by {by!r}")
    plain = json.loads(canonical({"inputs": dict(inputs or {}), "body": dict(body or {})}))
    place = {"index": 0, "time": "", "previous": "", "sha256": ""}
    return Entry.model_validate({"kind": kind, "key": key, "title": title, "by": by, **plain, **place})
