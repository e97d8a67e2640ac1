"""The ledger of sides (3.3): on which side of the split every row lies, from the day it was first seen.

A row is known by its id where the task file names a column of ids, else by its text; a new row belongs to its group,
where that is known. What is known stays where it is, whatever becomes of the row: an edited text, another label, seed
or share moves nothing, and a row that comes back after it was away comes back to its side. Docs: docs/splits.md.

The ledger lies beside the prepared folder (`data/NAME/NAME.sides.txt`), is committed, and is only ever added to. It
holds hashes: ids can be personal. An empty one is the owner's word that all rows may be divided again.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pandas as pd

from playbook.artifacts import DatasetVersion
from playbook.data.known_ids import DIGITS, known_sides, mark_of, moved_sides, row_ids
from playbook.data.tables import GROUP, ROW_ID, SPLIT, TEXT
from playbook.data.text import clean_text, comparison_key
from playbook.durable import sync_folder
from playbook.errors import DataError
from playbook.plays import DATASET
from playbook.spec import SPLITS, Data
from playbook.store import Store

PROTECTED = ("test", "validation", "train")  # of two copies, the one further left stays
TEXT_GROUP = "text:"  # begins the group of a row that has no group of its own
HEAD = (
    "# Written by playbook: the side of every row that was ever divided, by hashes of ids, groups, texts. Commit it.\n"
    "# Known rows stay where they are. To let all rows be divided again on purpose, empty this file.\n"
)
_KINDS = ("id", "group", "text")
_MARK = re.compile(rf"[0-9a-f]{{{DIGITS}}}")
_CONFLICT = ("<<<<<<< ", "=======", ">>>>>>> ", "||||||| ")  # what version control writes between two versions


def ledger_of(prepared: Path, task: str) -> Path:
    """Where the ledger of a task's prepared folder lies."""
    return prepared.with_name(f"{task}.sides.txt")


@dataclass
class Sides:
    """What is known of sides.

    Attributes:
        task: name of the task whose rows these are; empty in a ledger from before it was noted.
        ids: mark of a row's id -> side.
        groups: mark of a group -> side.
        texts: mark of a text -> sides that rows of this text were seen on, the most protected first.
        shares: share of each side that was asked for when rows were divided, every one that there was.
        cuts: first moment of validation and of test, where the split is by time; fixed when it was first made.
    """

    task: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shares: list[dict[str, float]] = field(default_factory=list)
    cuts: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids or self.groups or self.texts)

    def known(self, rows: pd.DataFrame, data: Data) -> list[str]:
        """The side of each row; empty where nothing is known of it.

        Args:
            rows: cleaned rows, columns of `playbook.data.tables`.
            data: of the task; whether rows have ids of their own.
        """
        own = _group_marks(rows)
        groups = [self.groups.get(mark, "") for mark in own]
        texts = [self.texts.get(mark, ("",))[0] for mark in _text_marks(rows)]
        if data.columns.id is None:
            return [text or group for text, group in zip(texts, groups, strict=True)]
        ids = known_sides(self.ids, row_ids(rows))
        if self.groups:  # the text of a new row says nothing of its group: many a customer writes "hello"
            texts = ["" if mark else text for mark, text in zip(own, texts, strict=True)]
        return [name or group or text for name, group, text in zip(ids, groups, texts, strict=True)]

    def moved(self, rows: pd.DataFrame, data: Data) -> list[str]:
        """For each divided row the side it was known on, where that is another one than its `split`; else empty."""
        if data.columns.id is None:
            return self.of_texts_elsewhere(rows)
        return moved_sides(self.ids, rows, self.of_texts_elsewhere(rows), data)

    def of_texts_elsewhere(self, rows: pd.DataFrame) -> list[str]:
        """For each divided row another side that its text was seen on, where it was never seen on this one."""
        seen = [self.texts.get(mark, ()) for mark in _text_marks(rows)]
        return [sides[0] if sides and now not in sides else "" for sides, now in zip(seen, rows[SPLIT], strict=True)]

    def add(self, rows: pd.DataFrame, data: Data) -> None:
        """Note the sides of divided rows; what was known before stays as it was.

        Args:
            rows: columns of `playbook.data.tables` and `split`; rows without a side are left out.
            data: of the task.
        """
        rows = rows[rows[SPLIT].isin(SPLITS)]
        self._add_texts(rows)
        if data.columns.id is not None:
            self._add_ids(rows)
        for side in PROTECTED:  # a group that is new on two sides belongs to the more protected one
            for mark in _group_marks(rows[rows[SPLIT] == side]):
                if mark:
                    self.groups.setdefault(mark, side)

    def _add_ids(self, rows: pd.DataFrame) -> None:
        """Note the side of each row by its id, except for those that are known on another side."""
        ids, sides = row_ids(rows), rows[SPLIT].tolist()
        known = known_sides(self.ids, ids)
        for side in PROTECTED:
            for row, now, before in zip(ids, sides, known, strict=True):
                if now == side and before in ("", now):
                    self.ids.setdefault(row.mark, side)

    def _add_texts(self, rows: pd.DataFrame) -> None:
        """A known text that now lies on its side and on another has a copy there; one that left its side has moved."""
        now: dict[str, set[str]] = {}
        for mark, side in zip(_text_marks(rows), rows[SPLIT].tolist(), strict=True):
            now.setdefault(mark, set()).add(side)
        for mark, sides in now.items():
            known = set(self.texts.get(mark, ()))
            if not known or known & sides:
                self.texts[mark] = tuple(side for side in PROTECTED if side in known | sides)

    def ask(self, shares: Mapping[str, float]) -> None:
        """Note the shares that rows are divided by."""
        rounded = {side: round(share, 6) for side, share in sorted(shares.items())}
        if rounded not in self.shares:
            self.shares.append(rounded)

    def digest(self, rows: pd.DataFrame, data: Data) -> str:
        """SHA-256 of the sides of these rows, whatever else is known: it belongs to a dataset version."""
        marks = _text_marks(rows) if data.columns.id is None else _id_marks(rows)
        lines = sorted({f"{mark} {side}" for mark, side in zip(marks, rows[SPLIT], strict=True) if side})
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_sides(ledger: Path) -> Sides | None:
    """The ledger as it lies there; None where there is none.

    Of a row that two branches put on two sides, the more protected side counts.

    Raises:
        DataError: the file was altered so that it is not a ledger.
    """
    try:
        text = ledger.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{ledger}: not readable ({type(error).__name__}); restore it from version control") from None
    found, kind, side = Sides(), "", ""
    marks: dict[tuple[str, str], list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(_CONFLICT):
            raise DataError(
                f"{ledger}: line {number}: found two versions that version control could not merge; keep the lines of "
                "both and remove the lines between them"
            )
        if line.startswith("["):
            kind, _, side = line.strip("[] ").partition(" ")
        elif kind == "task":
            found.task = line
        elif kind == "shares":
            found.shares.append(_shares(ledger, number, line))
        elif kind == "cut" and side in SPLITS:
            found.cuts[side] = line
        elif kind in _KINDS and side in SPLITS and _MARK.fullmatch(line):
            marks.setdefault((kind, side), []).append(line)
        else:
            raise DataError(f"{ledger}: line {number} is not a line of a ledger; restore the file from version control")
    for side in reversed(PROTECTED):
        found.ids |= dict.fromkeys(marks.get(("id", side), ()), side)
        found.groups |= dict.fromkeys(marks.get(("group", side), ()), side)
        found.texts |= {mark: (side, *found.texts.get(mark, ())) for mark in marks.get(("text", side), ())}
    return found


def _shares(ledger: Path, number: int, line: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in line.split()]
        return {name: float(share) for name, share in pairs}
    except ValueError:
        raise DataError(
            f"{ledger}: line {number}: expected shares such as test=0.15; restore it from version control"
        ) from None


def sides_of(store: Store, task: str) -> Sides:
    """What is known of sides since the task's last dataset version; nothing where there is none.

    Raises:
        ArtifactError: the store has other bytes than it kept.
    """
    found = store.current(task, DATASET, DatasetVersion)
    ledger = store.path(found, DATASET, "sides") if found is not None and "sides" in found.files else None
    return (read_sides(ledger) if ledger else None) or Sides()


def write_sides(ledger: Path, sides: Sides) -> None:
    """Write the whole ledger, sorted, so that a change reads well in version control; nothing where it is the same.

    A reader sees the old one or the new one, also after a power cut.
    """
    lines = ["[task]", sides.task] if sides.task else []
    lines += ["[shares]"] if sides.shares else []
    lines += [" ".join(f"{side}={share:g}" for side, share in asked.items()) for asked in sides.shares]
    for side, moment in sorted(sides.cuts.items()):
        lines += [f"[cut {side}]", moment]
    for kind, marks in (("id", sides.ids), ("group", sides.groups), ("text", sides.texts)):
        for side in PROTECTED:
            own = sorted(mark for mark, where in marks.items() if (side in where if kind == "text" else side == where))
            lines += [f"[{kind} {side}]", *own] if own else []
    text = HEAD + "\n".join(lines) + "\n"
    if ledger.is_file() and ledger.read_bytes() == text.encode():
        return
    ledger.parent.mkdir(parents=True, exist_ok=True)
    part = ledger.with_name(f".{ledger.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(ledger)
        sync_folder(ledger.parent)
    finally:
        part.unlink(missing_ok=True)


def text_group(text: str) -> str:
    """Group of a row without a group: rows of the same text stay together."""
    return TEXT_GROUP + hashlib.sha256(comparison_key(text).encode()).hexdigest()[:16]


@lru_cache(maxsize=1 << 16)
def _text_mark(text: str) -> str:
    return mark_of("text", comparison_key(text) or clean_text(text))  # "?!" has no letter to compare


def _text_marks(rows: pd.DataFrame) -> Sequence[str]:
    return [_text_mark(text) for text in rows[TEXT].tolist()]


def _id_marks(rows: pd.DataFrame) -> Sequence[str]:
    return [mark_of("id", name) for name in rows[ROW_ID].tolist()]


def _group_marks(rows: pd.DataFrame) -> Sequence[str]:
    """Marks of the team's own groups; empty for a row without one."""
    return ["" if not name or name.startswith(TEXT_GROUP) else mark_of("group", name) for name in rows[GROUP].tolist()]
