"""Rows that production added (3.7, 6.6): labelled inputs from the prediction log, beside the source.

They are read after the source and never take anything from it: a row of the source keeps its id, its label and its
side. They go where their group is, else where they are placed by class, also where the team brought the split of the
source.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from playbook.data.formats import Records, read_records
from playbook.data.formats.records import refuse_rejected
from playbook.data.source_form import form_beside
from playbook.document import QUOTE, parsed
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.spec import Data
from playbook.taskfile import Task

ACCUMULATED = "accumulated"  # what `asked_split` says of these rows: no team asked for a side
_CLASSES = TypeAdapter(dict[str, str])


def accumulated_files(task: Task) -> list[Path]:
    """The files of `data.accumulated` that are there: rows, then classes."""
    named = task.spec.data.accumulated
    if named is None:
        return []
    places = [named.rows, *([named.classes] if named.classes else [])]
    return [path for path in (Path(task.resolve(place)) for place in places) if path.is_file()]


def read_accumulated(task: Task) -> Records | None:
    """Rows of production in the columns of the source, all as strings; None where there are none yet.

    Raises:
        DataError: the file, or a record of it, cannot be read.
    """
    named = task.spec.data.accumulated
    if named is None:
        return None
    path = Path(task.resolve(named.rows))
    if not path.is_file() or path.read_bytes().strip().count(b"\n") == 0:  # nothing, or only the names of columns
        return None
    found = read_records(str(path), form_beside(task))
    refuse_rejected(str(path), found.rejected)
    return found


def read_classes(path: Path) -> dict[str, str]:
    """Classes that were found in outcomes, by the normal form of their names, each with its description; none where the
    file is not there. Of two spellings of one name the first counts.

    Raises:
        DataError: the file is not a mapping of names to descriptions.
    """
    if not path.is_file():
        return {}
    try:
        read = parsed(path.read_text(encoding="utf-8"))
        found = _CLASSES.validate_python(read.content or {})
    except (yaml.YAMLError, ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: expected a mapping of class names to descriptions, found something else ({reason}); fix the "
            "file, retraining adds to it"
        ) from None
    unquoted = [fault for fault in read.faults if QUOTE in fault]  # of two spellings the parser keeps the first
    if unquoted:
        raise DataError(f"{path}: {'; '.join(unquoted)}")
    return {normal_form(name): text for name, text in found.items()}


def with_classes(data: Data, found: dict[str, str]) -> Data:
    """The data section with classes from production added; what the task file says of a class stands."""
    added = {name: text for name, text in found.items() if name not in data.classes}
    return data.model_copy(update={"classes": {**data.classes, **added}}) if added else data
