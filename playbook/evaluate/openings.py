"""Openings of test splits on record, in every ledger of an installation, found by the rows that were read.

A ledger is append-only JSON Lines, one for each name of a task. What was seen once is known under any name: an opening
under another name counts where its rows are in the split, and where it asked the same question: at least half of the
classes of the task that has fewer, and never a single one, agree in name and definition. So a task that was renamed is
found, with a class added or a definition reworded too. Two tasks that both say yes or no, or that both end in "other",
ask different things about the same texts, and the answers to one say nothing about the other. The very same file, texts
and labels, is the same question, whatever its classes are said to mean.

Which rows another task has read is known from the record beside its ledger. Where that is lost, its opening does not
count, with a warning: one task's lost file must not stop all others. A task's own lost record does count.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.data.text import comparison_key
from playbook.errors import ArtifactError
from playbook.evaluate.row_marks import OpenedMarks, RowMark, marks_of

COUNTED = 0.05  # share of a split's rows above which an opening of another file is an opening of this one: texts that
# are so common that they recur ("thank you") stay under it
CLASSES = "data.classes"  # name among the terms of an opening
LEAST_IN_COMMON = 2  # classes; "other", with the same few words, is a class of many tasks

Rows = Callable[[], Sequence[RowMark]]
Warn = Callable[[str], None]
PROGRESS = logging.getLogger("playbook.progress")


@dataclass(frozen=True)
class Opening:
    """One opening: its line, where that stands, and whose it is."""

    ledger: Path
    number: int  # of the line, from 1
    own: bool  # in the ledger of the task that asks
    line: Mapping[str, Any]

    @property
    def task(self) -> str:
        """Name of the task that opened the split."""
        return self.ledger.parent.name

    @property
    def test_sha256(self) -> str:
        """SHA-256 of the split's file."""
        return str(self.line.get("test_sha256", ""))

    @property
    def split(self) -> tuple[Path, str]:
        """Where the record of its rows is; openings of one file in one ledger share it."""
        return self.ledger, self.test_sha256

    def marks(self) -> tuple[RowMark, ...]:
        """Marks of the rows that it read.

        Raises:
            ArtifactError: they are no longer on record.
        """
        return marks_of(self.ledger, self.test_sha256)

    def marks_if_known(self, warn: Warn) -> tuple[RowMark, ...]:
        """Marks of the rows that it read; none, with a warning, where another task's record cannot be read.

        Raises:
            ArtifactError: the task's own record cannot be read.
        """
        try:
            return self.marks()
        except ArtifactError as error:
            if self.own:
                raise
            warn(f"opening {self.number} of the task {self.task} is left out, its rows are not known: {error}")
            return ()


def read_ledger(ledger: Path) -> list[dict[str, Any]]:
    """Every opening of one ledger, oldest first; none where there is no ledger yet.

    Raises:
        ArtifactError: a line is no JSON object; the ledger was edited or the disk was full.
    """
    if not ledger.exists():
        return []
    lines = []
    for number, text in enumerate(ledger.read_bytes().splitlines(keepends=True), start=1):
        try:
            line = json.loads(text) if text.endswith(b"\n") else None  # without: cut short
        except ValueError:
            line = None
        if not isinstance(line, dict):
            raise ArtifactError(
                f"{ledger}, line {number}: expected one JSON object per opening of the test split, found "
                f"{text[:60].decode(errors='replace')!r}; restore the file, the test split stays closed until then"
            )
        lines.append(line)
    return lines


def read_openings(ledger: Path, classes: Mapping[str, str] | None = None, test_sha256: str = "") -> list[Opening]:
    """Openings that may concern a task: its own, and those of the same question under other names; oldest first.

    Args:
        ledger: of the task; the other ledgers of the installation lie in the folders beside it.
        classes: of the task, with their definitions; without them every opening counts.
        test_sha256: of a split's file, whose openings count whatever the classes are.

    Raises:
        ArtifactError: a ledger is damaged.
    """
    others = {path for path in ledger.parent.parent.glob(f"*/{ledger.name}") if path != ledger}
    found = [
        Opening(path, number, path == ledger, line)
        for path in (ledger, *sorted(others))
        for number, line in enumerate(read_ledger(path), start=1)
        if path == ledger or (test_sha256 and line.get("test_sha256") == test_sha256) or _same_question(line, classes)
    ]
    return sorted(found, key=lambda one: str(one.line.get("time", "")))  # those of one second stay in order


def openings_of_rows(
    ledger: Path,
    test_sha256: str,
    rows: Rows,
    classes: Mapping[str, str] | None = None,
    warn: Warn = PROGRESS.warning,
) -> list[Opening]:
    """Openings that read a split: the same file, or more than `COUNTED` of its rows; oldest first.

    Args:
        ledger: of the task.
        test_sha256: of the split's file.
        rows: marks of the split's rows by `row_marks`; asked only where another file was opened.
        classes: of the task, with their definitions; without them openings under every name count.
        warn: takes a sentence on every opening of another task whose rows are not known.

    Raises:
        ArtifactError: a ledger is damaged.
    """
    found, here = [], None
    read: dict[tuple[Path, str], bool] = {}
    for one in read_openings(ledger, classes, test_sha256):
        if one.test_sha256 == test_sha256:
            found.append(one)
            continue
        here = rows() if here is None else here
        if one.split not in read:
            read[one.split] = _has_read(one, here, warn)
        if read[one.split]:
            found.append(one)
    return found


def openings_of(ledger: Path, test_sha256: str) -> list[dict[str, Any]]:
    """Openings in a task's own ledger of exactly one file, by its SHA-256, oldest first.

    Raises:
        ArtifactError: a line of the ledger is damaged.
    """
    return [line for line in read_ledger(ledger) if line.get("test_sha256") == test_sha256]


def models_of(openings: Sequence[Opening]) -> int:
    """For how many models a split was opened."""
    return len({one.line.get("opened_for") for one in openings})


def _has_read(one: Opening, rows: Sequence[RowMark], warn: Warn) -> bool:
    try:
        marks = one.marks_if_known(warn)
    except ArtifactError:
        # Rows are on record since terms are. No task gets a smaller count by taking its own record away.
        return "terms" in one.line
    return OpenedMarks(marks).count(rows) > COUNTED * len(rows)


def _same_question(line: Mapping[str, Any], classes: Mapping[str, str] | None) -> bool:
    """Whether an opening under another name asked what a task with these classes asks."""
    terms = line.get("terms")
    theirs = terms.get(CLASSES) if isinstance(terms, dict) else None
    if classes is None or not isinstance(theirs, dict):
        return True  # an opening that did not record its classes
    mine, other = _cleaned(classes), _cleaned(theirs)
    return len(mine & other) >= max(LEAST_IN_COMMON, min(len(mine), len(other)) / 2)


def _cleaned(classes: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(comparison_key(name), comparison_key(str(definition))) for name, definition in classes.items()}
