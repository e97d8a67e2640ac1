"""What can be said about the labels of a dataset version (3.1, 3.2): agreement, guideline, corrections.

The figures go into the profile. The SHA-256 of each file that they rest on goes along, so that another file is another
dataset version even where it changes no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from playbook.artifacts import Agreement, Guideline
from playbook.data.agreement import agreement
from playbook.data.annotations import LabelFile, label_file, second_labels
from playbook.data.corrections import Correction, before_review, read_corrections, with_current_names
from playbook.data.guideline import no_guideline, read_guideline
from playbook.data.row_names import RowNames
from playbook.data.tables import LABEL, ROW_ID
from playbook.store import file_sha256
from playbook.taskfile import Task

RESTS_ON: tuple[LabelFile, ...] = ("second_annotator", "guideline", "corrections")
WRITTEN_HERE: tuple[LabelFile, ...] = ("second_annotator", "corrections")  # by commands, with the first answer


def agreement_of(task: Task, rows: pd.DataFrame, aside: Iterable[str] = ()) -> Agreement | None:
    """Agreement of the second annotator with the labels of prepared rows as they were before any review; None where no
    second annotator is named, the file that is to keep the answers is not there yet, or no row is common to both.
    `aside` are the ids of quarantined rows.

    Raises:
        DataError: the second annotator's file, or that of corrections, cannot be read.
    """
    names, labels = RowNames(rows, task.spec.data, aside), task.spec.labels
    second = second_labels(task, names)
    if second is None:
        return None
    reviewed = with_current_names(read_corrections(task), names)
    first = before_review(dict(zip(rows[ROW_ID], rows[LABEL], strict=True)), reviewed, labels)
    return agreement(first, second, labels)


def guideline_of(task: Task) -> Guideline:
    """What the task's guideline defines; nothing where none is named.

    Raises:
        DataError: the guideline cannot be read.
    """
    path = label_file(task, "guideline")
    return no_guideline(task.spec.labels) if path is None else read_guideline(path, task.spec.labels)


def labelling(
    task: Task, rows: pd.DataFrame, corrections: Sequence[Correction], aside: Iterable[str] = ()
) -> dict[str, Any]:
    """Agreement, guideline and corrections as plain values, for the profile; `rows` are all prepared rows, `aside` the
    ids of quarantined ones.

    Raises:
        DataError: a file of `data.labels` is named and cannot be read.
    """
    agreed = agreement_of(task, rows, aside)
    named = {part: label_file(task, part) for part in RESTS_ON}
    changed = sum(one.changes for one in corrections)
    return {
        "agreement": agreed.model_dump(mode="json") if agreed else None,
        "guideline": guideline_of(task).model_dump(mode="json") if named["guideline"] else None,
        "corrections": {"changed": changed, "confirmed": len(corrections) - changed},
        "label_files": {part: file_sha256(path) for part, path in named.items() if path and path.is_file()},
    }
