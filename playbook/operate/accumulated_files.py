"""Writing what production adds: rows as CSV, classes as YAML; readers see whole files."""

from __future__ import annotations

import csv
import io
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from playbook.data.accumulated import read_classes
from playbook.data.definitions import UNWRITTEN
from playbook.data.text import counted
from playbook.spec import Columns
from playbook.taskfile import Task

CLASSES_HEAD = (
    "# Classes found in outcomes, added by retraining. Write what each one means, and define it in the guideline;\n"
    "# then move it to data.classes of the task file.\n"
)


def write_classes(task: Task, new: Mapping[str, int]) -> None:
    """Add classes, with the rows that each was found in, to the task's file of classes."""
    named = task.spec.data.accumulated
    assert named is not None and named.classes is not None
    path = Path(task.resolve(named.classes))
    text = "Found in outcomes ({} when it was added); " + UNWRITTEN
    classes = {**read_classes(path), **{label: text.format(counted(n, "row")) for label, n in new.items()}}
    _replace(path, CLASSES_HEAD + yaml.safe_dump(classes, sort_keys=True, allow_unicode=True, width=120))


def write_rows(path: Path, columns: Columns, rows: Sequence[Mapping[str, str]]) -> None:
    """Write all accumulated rows, in the order in which they came: of two copies the earlier one stays."""
    order = [columns.id, columns.text, columns.label, columns.group, columns.time, *columns.keep]
    names = list(dict.fromkeys(name for name in order if name))
    out = io.StringIO()
    # Everything in quotes: a lone carriage return in a text would end the row otherwise.
    writer = csv.DictWriter(out, names, extrasaction="ignore", restval="", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({name: _one_kind_of_break(value) for name, value in row.items()} for row in rows)
    _replace(path, out.getvalue())


def _one_kind_of_break(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
