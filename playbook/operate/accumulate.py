"""From the prediction log into the dataset (6.6, 3.7): labelled rows are added to the task's file of accumulated rows.

Rows are only ever added, and a label that came back changed is changed: nothing that a dataset version had is taken
away, so rows keep their side. Left out, and counted, is what could do harm: rows that the source has already, copies of
a known text, rows without the group that keeps them on one side, texts that redaction blanked. A class that the task
does not know is added once the gate would have enough rows of it in every split, in a file beside the task file, with a
description that its owner is asked to write. A class that the source or earlier rows have, and the task has not, was
left out by its owner: it is not new.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from playbook.data.accumulated import read_accumulated
from playbook.data.placing import by_class
from playbook.data.sides import Sides, text_group
from playbook.data.split import shares_of
from playbook.data.tables import GROUP, LABEL, ROW_ID, SPLIT, TEXT
from playbook.data.text import comparison_key
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.operate.accumulated_files import write_classes, write_rows
from playbook.operate.known_rows import KnownRows, known_rows
from playbook.operate.redaction import REDACTED
from playbook.spec import Columns
from playbook.taskfile import Task


@dataclass(frozen=True)
class Labelled:
    """A logged input with its true label, whose names are in their normal form.

    `columns` are further columns of the source, by name.
    """

    id: str
    text: str
    label: str
    time: str
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", normal_form(self.id))
        object.__setattr__(self, "label", normal_form(self.label))
        object.__setattr__(self, "columns", {normal_form(name): value for name, value in self.columns.items()})


@dataclass(frozen=True)
class Grown:
    """What accumulating came to."""

    rows: int  # in the file now
    added: int
    relabelled: int
    by_class: dict[str, int]  # added rows
    new_classes: dict[str, int]  # added to the label set now -> rows
    unknown: dict[str, int]  # labels that are not classes (yet) -> rows, which were left in the log
    left_out: dict[str, int] = field(default_factory=dict)  # why -> rows


@dataclass(frozen=True)
class Usable:
    """Labelled rows that no dataset version has and a round would take, and why others are left out."""

    rows: tuple[Labelled, ...]
    new_classes: dict[str, int]  # classes that would be added with them
    unknown: dict[str, int]
    left_out: dict[str, int]


def require_place(task: Task) -> Path:
    """The task's file of accumulated rows.

    Raises:
        DataError: the task file names none.
    """
    named = task.spec.data.accumulated
    if named is None:
        raise DataError(
            f"{task.path}: expected data.accumulated.rows, a CSV that labelled rows of production are added to, found "
            "none; name one (relative to the task file), for example `accumulated: {rows: accumulated.csv, classes: "
            "accumulated_classes.yaml}`"
        )
    return Path(task.resolve(named.rows))


def usable_rows(task: Task, labelled: Sequence[Labelled], sides: Sides | None = None) -> Usable:
    """What a round would add, oldest first.

    Args:
        task: as its file says now.
        labelled: labelled rows of the prediction log.
        sides: what is known of sides, so that groups of a new class are counted where they are.

    Raises:
        DataError: the source or the file of accumulated rows cannot be read.
    """
    known, columns = known_rows(task), task.spec.data.columns
    new = [row for row in sorted(labelled, key=lambda one: (one.time, one.id)) if row.id not in known.ids]
    left_out: Counter[str] = Counter()
    fit, texts = [], set(known.texts)
    for row in new:
        why = _unfit(row, columns, texts)
        if why:
            left_out[why] += 1
            continue
        texts.add(_key(row.text))
        fit.append(row)
    classes = _new_classes(task, fit, known, sides)
    allowed = {*task.spec.labels, *classes}
    unknown = Counter(row.label for row in fit if row.label not in allowed)
    rows = tuple(row for row in fit if row.label in allowed)
    return Usable(rows, classes, dict(sorted(unknown.items())), dict(left_out))


def accumulate(task: Task, labelled: Sequence[Labelled], sides: Sides | None = None) -> Grown:
    """Add labelled rows to the task's file, and new classes to its label set.

    Args:
        task: as its file says now.
        labelled: all labelled rows of the prediction log, old ones included.
        sides: as for `usable_rows`.

    Raises:
        DataError: the task names no file for them, or the file lacks a column of the source.
    """
    place, columns = require_place(task), _with_id(task)
    rows = _rows_by_id(task)
    found = usable_rows(task, labelled, sides)
    relabelled = 0
    for row in labelled:
        before = normal_form(rows[row.id][columns.label]) if row.id in rows else row.label
        if before != row.label and row.label in task.spec.labels:
            rows[row.id][columns.label] = row.label
            relabelled += 1
    rows |= {row.id: _as_source(row, columns) for row in found.rows}
    if found.new_classes:
        write_classes(task, found.new_classes)
    if found.rows or relabelled:
        write_rows(place, columns, list(rows.values()))
    by_class = dict(Counter(row.label for row in found.rows))
    return Grown(len(rows), len(found.rows), relabelled, by_class, found.new_classes, found.unknown, found.left_out)


@lru_cache(maxsize=1 << 16)
def _key(text: str) -> str:
    """`comparison_key`, remembered: the policy looks at the same rows every day."""
    return comparison_key(text)


def _unfit(row: Labelled, columns: Columns, texts: set[str]) -> str:
    """Why a row cannot join the data; empty where it can."""
    if not row.text.strip() or row.text == REDACTED:
        return "no text in the log"
    group = _group(row, columns)
    if columns.group and (not group or REDACTED in group):
        return f"no {columns.group} in the log, so nobody knows on which side of the split it belongs"
    return "a copy of a known text" if _key(row.text) in texts else ""


def _new_classes(task: Task, fit: Sequence[Labelled], known: KnownRows, sides: Sides | None) -> dict[str, int]:
    named, gate = task.spec.data.accumulated, task.spec.data.gate
    if named is None or named.classes is None:
        return {}
    counts = Counter(row.label for row in fit if row.label not in task.spec.data.classes)
    least = {"validation": gate.min_evaluation_rows_per_class, "test": gate.min_evaluation_rows_per_class}
    least["train"] = gate.min_rows_per_class
    found = {}
    for label, n in sorted(counts.items()):
        if n < task.spec.retraining.new_class_rows or label in known.labels or not label:
            continue
        there = _sides(task, [row for row in fit if row.label == label], sides or Sides())
        if all(there[side] >= rows for side, rows in least.items()):
            found[label] = n
    return found


def _sides(task: Task, rows: Sequence[Labelled], sides: Sides) -> Counter[str]:
    """How many rows of a new class the data play would put on each side."""
    import pandas as pd

    data = task.spec.data
    groups = [_group(row, data.columns) or text_group(row.text) for row in rows]
    frame = pd.DataFrame({ROW_ID: [row.id for row in rows], TEXT: [row.text for row in rows], GROUP: groups, LABEL: ""})
    frame[SPLIT] = sides.known(frame, data)
    new = frame[SPLIT] == ""
    placed = by_class(frame[new], frame[~new], shares_of(data), data.splits.seed)
    return Counter(side or placed[group] for side, group in zip(frame[SPLIT], groups, strict=True))


def _group(row: Labelled, columns: Columns) -> str:
    """The row's group as the data play will write it; '' where there is none."""
    return normal_form(row.columns.get(columns.group, "")) if columns.group else ""


def _with_id(task: Task) -> Columns:
    columns = task.spec.data.columns
    if columns.id is None:  # the task file is refused without it; a task made in code may lack it
        raise DataError(f"{task.path}: expected data.columns.id, by which rows of production are known, found none")
    return columns


def _rows_by_id(task: Task) -> dict[str, dict[str, str]]:
    added = read_accumulated(task)
    if added is None:
        return {}
    table = added.rows
    name = _with_id(task).id
    if name not in table:
        place = os.fspath(require_place(task))
        raise DataError(f"{place}: expected a column {name!r}, found {', '.join(table.columns)}; fix its first line")
    return {normal_form(str(row[name])): {str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")}


def _as_source(row: Labelled, columns: Columns) -> dict[str, str]:
    named = {columns.text: row.text, columns.label: row.label}
    further = {name: row.columns.get(name, "") for name in (columns.group, *columns.keep) if name}
    named |= {columns.id: row.id} if columns.id else {}
    named |= {columns.time: row.time} if columns.time else {}
    return {**further, **named}
