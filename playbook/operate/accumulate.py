"""From the prediction log into the dataset (6.6, 3.7): labelled rows are added to the task's file of accumulated rows.

Rows are only ever added, and a label that came back changed is changed: nothing that a dataset version had is taken
away, so rows keep their side. A class that the task does not know is added once it has enough rows, in a file beside
the task file, with a description that its owner is asked to write.
"""

from __future__ import annotations

import csv
import io
import os
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from playbook.data.accumulated import read_accumulated, read_classes
from playbook.errors import DataError
from playbook.spec import Columns
from playbook.taskfile import Task

CLASSES_HEAD = (
    "# Classes found in outcomes, added by retraining. Write what each one means, and define it in the guideline;\n"
    "# then move it to data.classes of the task file.\n"
)


@dataclass(frozen=True)
class Labelled:
    """A logged input with its true label; `columns` are further columns of the source, by name."""

    id: str
    text: str
    label: str
    time: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grown:
    """What accumulating came to."""

    rows: int  # in the file now
    added: int
    relabelled: int
    by_class: dict[str, int]  # added rows
    new_classes: dict[str, int]  # added to the label set now -> rows
    unknown: dict[str, int]  # labels that are no class (yet) -> rows, which were left in the log


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


def not_yet_accumulated(task: Task, labelled: Sequence[Labelled]) -> list[Labelled]:
    """Labelled rows that no dataset version has: their id is not in the file of accumulated rows."""
    known = set(_rows_by_id(task))
    return [row for row in labelled if row.id not in known]


def accumulate(task: Task, labelled: Sequence[Labelled]) -> Grown:
    """Add labelled rows to the task's file, and new classes to its label set.

    Args:
        task: as its file says now.
        labelled: all labelled rows of the prediction log, old ones included.

    Raises:
        DataError: the task names no file for them, or the file lacks a column of the source.
    """
    place, columns = require_place(task), _id_column(task)
    rows = _rows_by_id(task)
    before = len(rows)
    counts = Counter(row.label for row in labelled)
    new_classes = _new_classes(task, counts)
    known = {*task.spec.labels, *new_classes}
    unknown = {label: n for label, n in sorted(counts.items()) if label not in known}
    added: Counter[str] = Counter()
    relabelled = 0
    for row in sorted(labelled, key=lambda one: (one.time, one.id)):
        if row.label not in known:
            continue
        if row.id not in rows:
            rows[row.id] = _as_source(row, columns)
            added[row.label] += 1
        elif rows[row.id][columns.label] != row.label:
            rows[row.id][columns.label] = row.label
            relabelled += 1
    if new_classes:
        _write_classes(task, new_classes)
    if added or relabelled:
        _write_rows(place, columns, list(rows.values()))
    return Grown(len(rows), len(rows) - before, relabelled, dict(added), new_classes, unknown)


def _id_column(task: Task) -> Columns:
    columns = task.spec.data.columns
    if columns.id is None:
        raise DataError(
            f"{task.path}: expected data.columns.id, by which rows of production are known, found none; name the "
            "source's column of ids (give it one first, if it has none)"
        )
    return columns


def _rows_by_id(task: Task) -> dict[str, dict[str, str]]:
    table = read_accumulated(task)
    if table is None:
        return {}
    name = _id_column(task).id
    if name not in table:
        place = require_place(task)
        raise DataError(f"{place}: expected a column {name!r}, found {', '.join(table.columns)}; mend its first line")
    return {str(row[name]): {str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")}


def _as_source(row: Labelled, columns: Columns) -> dict[str, str]:
    named = {columns.text: row.text, columns.label: row.label}
    further = {name: row.columns.get(name, "") for name in (columns.group, *columns.keep) if name}
    named |= {columns.id: row.id} if columns.id else {}
    named |= {columns.time: row.time} if columns.time else {}
    return {**further, **named}


def _new_classes(task: Task, counts: Mapping[str, int]) -> dict[str, int]:
    named = task.spec.data.accumulated
    if named is None or named.classes is None:
        return {}
    enough = task.spec.retraining.new_class_rows
    return {
        label: n
        for label, n in sorted(counts.items())
        if label not in task.spec.data.classes and n >= enough and label.strip() == label and label
    }


def _write_classes(task: Task, new: Mapping[str, int]) -> None:
    named = task.spec.data.accumulated
    assert named is not None and named.classes is not None
    path = Path(task.resolve(named.classes))
    text = "Found in outcomes ({} rows when it was added); its meaning is not written down yet."
    classes = {**read_classes(path), **{label: text.format(n) for label, n in new.items()}}
    _replace(path, CLASSES_HEAD + yaml.safe_dump(classes, sort_keys=True, allow_unicode=True, width=120))


def _write_rows(path: Path, columns: Columns, rows: Sequence[Mapping[str, str]]) -> None:
    order = [columns.id, columns.text, columns.label, columns.group, columns.time, *columns.keep]
    names = list(dict.fromkeys(name for name in order if name))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, extrasaction="ignore", restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)  # in the order in which they came: of two copies the earlier one stays
    _replace(path, out.getvalue())


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
