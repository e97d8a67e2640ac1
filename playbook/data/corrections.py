"""Corrected labels (3.1): a small CSV beside the data, applied whenever the data is prepared.

The source stays as it is. A correction names the label that it replaces; where the source has come to say something
else, nobody knows which of the two is right, and preparing stops until somebody decides. Corrections change labels
before rows are divided, and a known row keeps its side whatever its label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from playbook.data.annotations import known_class, label_file, read_lines, row_id
from playbook.data.row_names import RowNames
from playbook.data.sheets import csv_text, unguarded, write_whole
from playbook.data.source_form import form_beside
from playbook.data.tables import LABEL, ROW_ID
from playbook.data.text import shown
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.taskfile import Task

NAMED = 10  # faults that a message names
COLUMNS = ("row_id", "label", "by", "when", "was")


@dataclass(frozen=True)
class Correction:
    """One reviewed label: `label` is right, `was` is what the source says; both alike where the review confirmed it."""

    row_id: str
    label: str
    by: str
    when: str  # ISO date
    was: str
    line: int = 0  # in the file that it was read from

    @property
    def changes(self) -> bool:
        """Whether the review found another label."""
        return normal_form(self.label) != normal_form(self.was)


def read_corrections(task: Task) -> tuple[Correction, ...]:
    """The task's corrections in the order of the file; none where no file is named or none is there yet.

    Raises:
        DataError: the file is malformed, or a line names no class or a row a second time.
    """
    path = label_file(task, "corrections")
    if path is None or not path.is_file():
        return ()
    known = {normal_form(name): name for name in task.spec.labels}
    found: dict[str, Correction] = {}
    for line in read_lines(path, COLUMNS, form_beside(task)):
        row, (label, by, when, was) = row_id(path, line), (normal_form(unguarded(cell)) for cell in line.cells[1:])
        if row in found:
            raise DataError(f"{path}: line {line.number}: row {shown(row)} is corrected twice; keep one of the lines")
        found[row] = Correction(row, known_class(path, line.number, label, known), by, when, was, line.number)
    return tuple(found.values())


def write_corrections(path: Path, corrections: Iterable[Correction]) -> None:
    """Replace the file of corrections, ordered by row id so that a change reads well in version control."""
    ordered = sorted(corrections, key=lambda one: one.row_id)
    write_whole(path, csv_text(COLUMNS, [(c.row_id, c.label, c.by, c.when, c.was) for c in ordered]))


def before_review(
    labels: Mapping[str, str], corrections: Sequence[Correction], classes: Sequence[str]
) -> dict[str, str]:
    """Labels as the first person gave them, by row id: what a review changed since is taken back.

    The reviewer may have seen what the second person said, so agreement is asked of the labels before. A row that had
    no class of the task then is left out.
    """
    known = {normal_form(name): name for name in classes}
    was = {one.row_id: known.get(normal_form(one.was)) for one in corrections}
    given = {row: was.get(row, label) for row, label in labels.items()}
    return {row: label for row, label in given.items() if label is not None and label in classes}


def with_current_names(corrections: Sequence[Correction], names: RowNames) -> tuple[Correction, ...]:
    """The same corrections under the names that their rows have now."""
    return tuple(replace(one, row_id=names.one(one.row_id)) for one in corrections)


def corrected(rows: pd.DataFrame, corrections: Sequence[Correction], task: Task) -> pd.DataFrame:
    """Raw rows with their corrected labels.

    Raises:
        DataError: a row that the source does not have, that is named in two ways, or whose label there is neither the
            one that was corrected nor the corrected one (every such line is named).
    """
    if not corrections:
        return rows
    names, path = RowNames(rows, task.spec.data), label_file(task, "corrections")
    ids = [normal_form(row) for row in rows[ROW_ID]]
    labels = dict(zip(reversed(ids), reversed(rows[LABEL].tolist()), strict=True))  # of the first row with the id
    new: dict[str, Correction] = {}
    unclear, unfit = [], []
    for one in with_current_names(corrections, names):
        said = f"line {one.line}: "
        if which := names.unclear(one.row_id):
            unclear.append(said + which)
        elif new.setdefault(one.row_id, one) is not one:
            unclear.append(f"{said}row {shown(one.row_id)} is corrected twice; keep one of the lines")
        elif one.row_id not in labels:
            unfit.append(f"{said}the source has no row {shown(one.row_id)}")
        elif normal_form(labels[one.row_id]) not in (normal_form(one.was), normal_form(one.label)):
            now = shown(labels[one.row_id]) or "none"
            unfit.append(
                f"{said}row {shown(one.row_id)} was {shown(one.was) or 'without label'} when it was corrected, the "
                f"source now says {now}"
            )
    if faults := unclear + unfit:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        remedy = ". Take these lines out, or review the rows again" if unfit else ""
        raise DataError(f"{path}: {'; '.join(faults[:NAMED])}{more}{remedy}")
    labels_now = [new[row].label if row in new else label for row, label in zip(ids, rows[LABEL], strict=True)]
    return rows.assign(**{LABEL: pd.Series(labels_now, index=rows.index, dtype="str")})
