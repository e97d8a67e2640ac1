"""The relabel queue (3.1): a CSV of rows whose label is likely wrong, worst first, that the data owner edits.

The owner writes a class into `new_label` where a row was looked at (the same class confirms it), anything into `note`,
and hands the file to `playbook relabel`. Cells that begin like a formula carry a quote (`corrections.guarded`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from playbook.artifacts import QueueReview
from playbook.data.annotations import read_lines, read_row_ids
from playbook.data.corrections import Correction, csv_text, unguarded, write_whole
from playbook.data.label_errors import AuditRows, Suspicion, likeliest_other
from playbook.errors import DataError
from playbook.names import normal_form

COLUMNS = (
    "row_id", "split", "text", "label", "suggested", "probability_of_label", "probability_of_suggested",
    "second_annotator", "new_label", "note",
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
    probability_of_label: float
    probability_of_suggested: float
    second_annotator: str

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of COLUMNS; new label and note are for the owner."""
        probabilities = (f"{self.probability_of_label:.4f}", f"{self.probability_of_suggested:.4f}")
        names = (self.row_id, self.split, self.text, self.label, self.suggested)
        return (*names, *probabilities, self.second_annotator, "", "")


@dataclass(frozen=True)
class Queue:
    """Entries worst first; the first `suspects` are likely errors, the rest comes next in the same order."""

    entries: tuple[Entry, ...]
    suspects: int

    @property
    def suspects_by_class(self) -> dict[str, int]:
        """Suspects by the label that they carry, most first."""
        carried = [entry.label for entry in self.entries[: self.suspects]]
        return dict(
            sorted(((name, carried.count(name)) for name in set(carried)), key=lambda item: (-item[1], item[0]))
        )


def build_queue(
    rows: AuditRows,
    found: Suspicion,
    labels: Sequence[str],
    second: Mapping[str, str],
    reviewed: Collection[str],
) -> Queue:
    """All suspects, then the next rows in order until there are twice as many; reviewed rows do not come again.

    Args:
        rows: the rows that were looked at.
        found: their order of suspicion.
        labels: class names.
        second: row id -> label of the second annotator.
        reviewed: ids of rows that a person has looked at since they were labelled.
    """
    suggested = likeliest_other(found.probabilities, rows.labels)
    open_rows = [int(at) for at in found.order if rows.row_ids[at] not in reviewed]
    doubted = {int(at) for at in found.order[: found.suspects]}
    suspects = sum(at in doubted for at in open_rows)
    entries = [
        Entry(
            row_id=rows.row_ids[at],
            split=rows.splits[at],
            text=rows.texts[at],
            label=labels[rows.labels[at]],
            suggested=labels[suggested[at]],
            probability_of_label=float(found.probabilities[at, rows.labels[at]]),
            probability_of_suggested=float(found.probabilities[at, suggested[at]]),
            second_annotator=second.get(rows.row_ids[at], ""),
        )
        for at in open_rows[: 2 * suspects]
    ]
    return Queue(tuple(entries), suspects)


def write_queue(queue: Queue, path: Path) -> Path:
    """Write the queue as CSV in UTF-8; returns the path."""
    write_whole(path, csv_text(COLUMNS, [entry.cells for entry in queue.entries]))
    return path


def publish_queue(written: Path, place: Path, corrections: Sequence[Correction]) -> bool:
    """Copy a written queue to where the owner finds it; false, and nothing is done, where the owner's edits are there
    that no correction has taken up yet, or what is there cannot be read (a spreadsheet saved it in its own way)."""
    known = {one.row_id: normal_form(one.label) for one in corrections}
    try:
        if place.is_file() and any(known.get(row) != label for row, label in edits(place).items()):
            return False
    except (DataError, OSError):  # somebody's work may be in it
        return False
    write_whole(place, written.read_text(encoding="utf-8"))
    return True


def edits(path: Path) -> dict[str, str]:
    """Filled-in labels of a queue file, row id -> new label.

    Raises:
        DataError: the file is no queue.
    """
    cells = (map(unguarded, line.cells) for line in read_lines(path, NEEDED))
    return {normal_form(row): normal_form(new) for row, _, new in cells if normal_form(new)}


def review(queue: Queue, rows: AuditRows, planted: Path | None, corrections: Sequence[Correction]) -> QueueReview:
    """How precise the queue is. Call it after the queue is written: what makes a queue must not know the planted ids.

    Planted errors count where they are among the rows looked at and not yet reviewed; of n, the first 2 n entries are
    looked at. A file of planted ids that is not there counts as none.

    Raises:
        DataError: the file of planted ids cannot be read.
    """
    ids = read_row_ids(planted) if planted is not None and planted.is_file() else frozenset()
    here = ids & (set(rows.row_ids) - {one.row_id for one in corrections})
    first = queue.entries[: 2 * len(here)]
    return QueueReview(
        planted=len(here),
        looked_at=len(first),
        found=sum(entry.row_id in here for entry in first),
        reviewed=len(corrections),
        changed=sum(one.changes for one in corrections),
    )


def in_words(queue: Queue, reviewed: QueueReview, rows: int) -> str:
    """What the audit says of the labels, in a few sentences."""
    said = [f"{queue.suspects} of {rows} training and validation rows carry a label that is likely wrong."]
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
