"""The decision log (1.9): append-only JSON Lines, each entry chained to the one before it by SHA-256.

An entry carries the hash of the entry before it and its own hash over its canonical form (sorted keys, no blanks), as
in Haber and Stornetta, How to Time-Stamp a Digital Document, Journal of Cryptology 3 (1991) 99-111. A head file beside
the log holds the count and the last hash, so that a tail that was cut off is seen too. What this shows is a change of
the files by hand or by accident. It has no secret: whoever rewrites every line and the head, or deletes both files, is
found only by a hash that was kept elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import JsonValue, ValidationError

from playbook.artifacts import canonical_hash
from playbook.artifacts.artifact import Part
from playbook.errors import ArtifactError, LogTampered

Kind = Literal[
    "scope",
    "decision",
    "base",
    "rung",
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
GENESIS = "0" * 64  # hash before the first entry
LOCK_SECONDS = 30.0
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
        return _canonical(self.model_dump(mode="json")) + b"\n"


class Head(Part):
    """How many entries there are, and the hash of the last one."""

    count: int = 0
    sha256: str = GENESIS


class DecisionLog:
    """The log of one task: `path` is its `.jsonl` file, the head lies beside it with the suffix `.head`."""

    def __init__(self, path: Path) -> None:
        self.path, self.head = path, path.with_suffix(".head")

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first, after the whole chain was verified; none where there is no log yet.

        Raises:
            LogTampered: a line was edited, taken out, moved, or the tail was cut off; the first bad line is named.
            ArtifactError: the log cannot be read.
        """
        if not self.path.exists() and not self.head.exists():
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
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS):
                return work()
        except (OSError, Timeout) as error:
            raise ArtifactError(
                f"{self.path}: expected to read and write the decision log, but {type(error).__name__}: {error}. "
                "Nothing was recorded; make the folder writable and run the play again"
            ) from error

    def _verified(self) -> tuple[Entry, ...]:
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, torn = content.split(b"\n")
        entries: list[Entry] = []
        for number, text in enumerate(lines, start=1):
            entries.append(self._read_line(number, text + b"\n", entries[-1].sha256 if entries else GENESIS))
        self._check_head(entries, torn)
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

    def _check_head(self, entries: list[Entry], torn: bytes) -> None:
        """The head is exact, or one entry behind: its writer was killed between the two files."""
        head = self._read_head()
        if head is None:
            if entries or torn:
                raise LogTampered(f"{self.head}: missing beside a log of {len(entries)} entries. {REMEDY}")
            return
        if head.count > len(entries):
            cut = f"the head counts {head.count} entries, the last lines were cut off"
            raise self._tampered(len(entries) + 1, cut, "the end of the log")
        at_head = entries[head.count - 1].sha256 if head.count else GENESIS
        if at_head != head.sha256:
            raise self._tampered(head.count, "it is not the entry that the head names", f"SHA-256 {at_head[:12]}")
        if len(entries) > head.count + 1:
            raise self._tampered(head.count + 2, f"the head counts {head.count} entries", "lines beyond it")

    def _read_head(self) -> Head | None:
        if not self.head.exists():
            return None
        try:
            return Head.model_validate_json(self.head.read_bytes())
        except ValidationError:
            raise LogTampered(f"{self.head}: expected a count and a hash, found something else. {REMEDY}") from None

    def _tampered(self, line: int, why: str, found: str) -> LogTampered:
        return LogTampered(f"{self.path}, line {line}: {why} (found {found}). {REMEDY}")

    def _add(self, earlier: tuple[Entry, ...], draft: Entry) -> Entry:
        last = earlier[-1].sha256 if earlier else GENESIS
        if not self.head.exists():
            self._write_head(Head())
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = draft.model_copy(update={"index": len(earlier) + 1, "time": now, "previous": last})
        entry = entry.model_copy(update={"sha256": entry.content_hash})
        self._write_line(sum(len(known.line) for known in earlier), entry.line)
        self._write_head(Head(count=entry.index, sha256=entry.sha256))
        return entry

    def _write_line(self, at: int, line: bytes) -> None:
        """Put a line behind the verified ones; half a line of a killed writer, never acknowledged, is overwritten."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, at)
            written = os.pwrite(descriptor, line, at)
            if written != len(line):
                os.ftruncate(descriptor, at)
                raise OSError("the line was cut short; is the disk full?")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write_head(self, head: Head) -> None:
        part = self.head.with_suffix(".head.part")
        with part.open("wb") as stream:
            stream.write(_canonical(head.model_dump(mode="json")) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self.head)
        _sync_folder(self.head.parent)


REMEDY = "The log is not what was written: restore both files from a backup; nothing is recorded until then"


def _draft(
    kind: Kind, key: str, title: str, by: str, inputs: Mapping[str, Any] | None, body: Mapping[str, Any] | None
) -> Entry:
    """An entry without its place in the chain; values as they come back from JSON, so that they compare equal."""
    if not title.strip() or not by.strip():
        raise ValueError(f"a decision needs a title and a name, found {title!r} by {by!r}")
    plain = json.loads(_canonical({"inputs": dict(inputs or {}), "body": dict(body or {})}))
    place = {"index": 0, "time": "", "previous": "", "sha256": ""}
    return Entry.model_validate({"kind": kind, "key": key, "title": title, "by": by, **plain, **place})


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable too, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
