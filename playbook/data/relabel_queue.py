"""The relabel queue (3.1): a CSV of rows whose label is to be checked, likeliest errors first, for the data owner.

The owner writes a class into `new_label` where a row was looked at (the same class confirms it), anything into `note`,
and hands the file to `playbook relabel`. Cells that begin like a formula carry a quote (`sheets.guarded`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from playbook.artifacts import Figure, QueueReview
from playbook.data.annotations import read_lines
from playbook.data.corrections import Correction
from playbook.data.formats import PLAIN, Form
from playbook.data.label_errors import AuditRows, Suspicion, likeliest_other
from playbook.data.sheets import csv_text, unguarded, write_whole
from playbook.errors import DataError
from playbook.names import normal_form

COLUMNS = (
    "row_id", "split", "text", "label", "suggested", "probability_wrong", "probability_of_label",
    "probability_of_suggested", "second_annotator", "new_label", "note",
)  # fmt: skip
NEEDED = ("row_id", "label", "new_label")  # columns that a file must have when it comes back


@dataclass(frozen=True)
class Entry:
    """One row of the queue."""

    row_id: str
    split: str
    text: str
    label: str
    suggested: str
    probability_wrong: float  # estimated
    probability_of_label: float
    probability_of_suggested: float
    second_annotator: str

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of COLUMNS; new label and note are for the owner."""
        found = (self.probability_wrong, self.probability_of_label, self.probability_of_suggested)
        probabilities = tuple(f"{probability:.4f}" for probability in found)
        names = (self.row_id, self.split, self.text, self.label, self.suggested)
        return (*names, *probabilities, self.second_annotator, "", "")


@dataclass(frozen=True)
class Queue:
    """Entries, likeliest errors first; `wrong` is the estimate of how many of them carry a wrong label."""

    entries: tuple[Entry, ...]
    wrong: Figure

    @property
    def by_class(self) -> dict[str, int]:
        """Entries by the label that they carry, most first."""
        carried = [entry.label for entry in self.entries]
        return dict(
            sorted(((name, carried.count(name)) for name in set(carried)), key=lambda item: (-item[1], item[0]))
        )


def build_queue(
    rows: AuditRows,
    found: Suspicion,
    labels: Sequence[str],
    second: Mapping[str, str],
    reviewed: Collection[str],
    check_from: float,
    seed: int = 0,
) -> Queue:
    """Rows whose label is wrong with a probability of `check_from` or more; reviewed rows do not come again.

    Args:
        rows: the rows that were looked at.
        found: their order of suspicion.
        labels: class names.
        second: row id -> label of the second annotator.
        reviewed: ids of rows that a person has looked at since they were labelled.
        check_from: estimated probability of an error from which a row is worth a look; the queue ends there.
        seed: of the estimate's range.
    """
    suggested = likeliest_other(found.probabilities, rows.labels)
    wrong = found.noise.wrong
    chosen = [int(at) for at in found.order if rows.row_ids[at] not in reviewed and wrong[at] >= check_from]
    entries = [
        Entry(
            row_id=rows.row_ids[at],
            split=rows.splits[at],
            text=rows.texts[at],
            label=labels[rows.labels[at]],
            suggested=labels[suggested[at]],
            probability_wrong=float(wrong[at]),
            probability_of_label=float(found.probabilities[at, rows.labels[at]]),
            probability_of_suggested=float(found.probabilities[at, suggested[at]]),
            second_annotator=second.get(rows.row_ids[at], ""),
        )
        for at in chosen
    ]
    return Queue(tuple(entries), found.noise.among(np.array(chosen, dtype=np.int64), seed))


def write_queue(queue: Queue, path: Path) -> Path:
    """Write the queue as CSV in UTF-8; returns the path."""
    write_whole(path, csv_text(COLUMNS, [entry.cells for entry in queue.entries]))
    return path


def publish_queue(written: Path, place: Path, corrections: Sequence[Correction], form: Form = PLAIN) -> bool:
    """Copy a written queue to where the owner finds it; false, and nothing is done, where the owner's edits are there
    that no correction has taken up yet, or what is there cannot be read (a spreadsheet saved it in its own way)."""
    known = {one.row_id: normal_form(one.label) for one in corrections}
    try:
        if place.is_file() and any(known.get(row) != label for row, label in edits(place, form).items()):
            return False
    except (DataError, OSError):  # somebody's work may be in it
        return False
    write_whole(place, "\ufeff" + written.read_text(encoding="utf-8"))  # a mark by which spreadsheets know UTF-8
    return True


def edits(path: Path, form: Form = PLAIN) -> dict[str, str]:
    """Filled-in labels of a queue file, row id -> new label.

    Raises:
        DataError: the file is not a queue.
    """
    cells = (map(unguarded, line.cells) for line in read_lines(path, NEEDED, form))
    return {normal_form(row): normal_form(new) for row, _, new in cells if normal_form(new)}


def review(queue: Queue, rows: AuditRows, planted: Collection[str], corrections: Sequence[Correction]) -> QueueReview:
    """How precise the queue is. Call it after the queue is written: what makes a queue must not know the planted ids.

    Planted errors count where they are among the rows looked at and not yet reviewed; of n, the first 2 n entries are
    looked at.
    """
    here = set(planted) & (set(rows.row_ids) - {one.row_id for one in corrections})
    first = queue.entries[: 2 * len(here)]
    return QueueReview(
        planted=len(here),
        looked_at=len(first),
        found=sum(entry.row_id in here for entry in first),
        reviewed=len(corrections),
        changed=sum(one.changes for one in corrections),
    )


def _to_check(queue: Queue, rows: int) -> str:
    """How many rows are to be checked, and what is estimated of them: they are to check, not known to be wrong."""
    count, wrong = len(queue.entries), queue.wrong
    if not count:
        return f"None of {rows} training and validation labels stands out as one to check."
    return (
        f"{count} of {rows} training and validation labels {'is' if count == 1 else 'are'} to be checked: an estimated "
        f"{wrong.value:.0f} of them ({wrong.value / count:.0%}) {'is' if round(wrong.value) == 1 else 'are'} wrong, "
        f"{wrong.low:.0f} to {wrong.high:.0f} by how errors may fall."
    )


def in_words(queue: Queue, reviewed: QueueReview, rows: int) -> str:
    """What the audit says of the labels, in a few sentences."""
    said = [_to_check(queue, rows)]
    if reviewed.planted:
        precision = reviewed.found / reviewed.looked_at if reviewed.looked_at else 0.0
        said.append(
            f"Of {reviewed.planted} errors planted among them, {reviewed.found} are in the first {reviewed.looked_at} "
            f"entries of the relabel queue (precision {precision:.0%}, recall {reviewed.found / reviewed.planted:.0%})."
        )
    if reviewed.reviewed:
        said.append(
            f"A person has reviewed {reviewed.reviewed} labels so far and changed {reviewed.changed} of them "
            f"({reviewed.changed / reviewed.reviewed:.0%})."
        )
    return " ".join(said)
