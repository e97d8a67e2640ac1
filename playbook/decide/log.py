"""The decision log (1.9): append-only lines of JSON, each entry chained to the one before it by SHA-256.

An entry carries the hash of the entry before it and its own hash over its canonical form (sorted keys, no blanks), as
in Haber and Stornetta, How to Time-Stamp a Digital Document, Journal of Cryptology 3 (1991) 99-111. A head beside the
log holds the count and the last hash, so that a tail that was cut off is seen too. The lines lie in files, or in tables
of a PostgreSQL; the chain is verified the same for both (`playbook.decide.log_chain`). What it shows is a change by
hand or by accident. It has no secret: whoever rewrites every line and the head, or deletes both, is found by the
anchors, which are kept elsewhere (`playbook.decide.log_anchor`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from playbook.database import place_of
from playbook.decide.log_anchor import Anchor, AnchorPlace, StoreAnchor, hold_against, name_of_place, now, write_down
from playbook.decide.log_chain import Entry, Kind, draft_of, unbroken, verified
from playbook.decide.log_files import LogFiles
from playbook.decide.log_storage import GENESIS, Head, LogStorage
from playbook.errors import LogTampered
from playbook.settings import Settings
from playbook.store import Store

__all__ = ["GENESIS", "DecisionLog", "Entry", "Kind", "open_decision_log"]

SHORTEST_PREFIX = 8  # hexadecimal digits that `find` asks for
T = TypeVar("T")


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
        """Put on record that a log is lost, whole or in part, and go on with what is left of it, or with nothing.

        What is left is every entry before the first that breaks the chain. A log that is broken is set aside first, as
        it was found; the new one begins with what is left of it.

        Raises:
            ValueError: the log is whole and what its anchors say: nothing is lost.
        """
        kept = self._anchored()

        def add() -> Entry:
            aside: dict[str, str] = {}
            try:
                left = verified(self.storage)
                hold_against(self.storage.name, left, self.anchors)
            except LogTampered as error:
                left, aside = self._left()
                fault = str(error)
            else:
                raise ValueError("the decision log is whole and what its anchors say: nothing is lost")
            title = f"An earlier decision log is lost; {len(left)} decisions of this one are left"
            body = {"reason": reason, "found": fault, **aside}
            return self._add(left, draft_of("lost_log", "", title, by, {"kept": kept}, body))

        entry = self._locked(add)
        self._write_down(entry, whatever_was=True)
        return entry

    def _anchored(self) -> dict[str, Any]:
        """What every anchor says, for the record."""
        kept: dict[str, Any] = {}
        for place in self.anchors:
            try:
                anchor = place.read()
            except LogTampered as error:
                kept[place.name] = str(error)
                continue
            if anchor is not None:
                kept[place.name] = {"count": anchor.count, "sha256": anchor.sha256}
        return kept

    def _left(self) -> tuple[tuple[Entry, ...], dict[str, str]]:
        """Entries that can be gone on with; a log that is broken is set aside, and it is said where."""
        try:
            return verified(self.storage), {}
        except LogTampered:
            aside, lines = self.storage.set_aside()
        left = unbroken(self.storage, lines)
        for at, entry in enumerate(left):
            head = Head(count=entry.index, sha256=entry.sha256)
            self.storage.add(tuple(known.line for known in left[:at]), entry.line, head)
        return left, {"set aside": aside}

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
        draft = draft_of(kind, key, title, by, inputs, body)
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
        draft = draft_of(kind, key, title, by, inputs, body)

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
        entries = verified(self.storage)
        hold_against(self.storage.name, entries, self.anchors)
        return entries

    def _write_down(self, last: Entry, *, whatever_was: bool = False) -> None:
        """After the log is written and its lock is gone: what is only in a transaction yet is not a decision."""
        if self.anchors:
            write_down(Anchor(last.index, last.sha256, now()), self.anchors, whatever_was=whatever_was)

    def _locked(self, work: Callable[[], T]) -> T:
        with self.storage.locked():
            return work()

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
