"""`playbook annotate`: rows for a second person drawn from a task's data, and the answers read back (3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from playbook.data.annotate import Read, draw_sample, kept_answers, read_sheet, write_sheet
from playbook.data.corrections import read_corrections
from playbook.data.prepare import divided
from playbook.data.read import read_rows
from playbook.data.row_names import RowNames
from playbook.data.sides import sides_of
from playbook.data.tables import ROW_ID
from playbook.errors import DataError
from playbook.settings import Settings
from playbook.store import Store
from playbook.taskfile import Task


def sheet_place(task: Task, places: Settings) -> Path:
    """Where the sheet for the second person lies."""
    return places.home / "reports" / f"{task.spec.task}-annotate.csv"


def draw(task: Task, count: int, places: Settings, out: Path | None = None) -> tuple[Path, Path, int]:
    """Write a sheet of `count` rows and the page with the classes; returns both places and how many rows there are.

    Raises:
        DataError: the data cannot be read, every row is labelled twice, or answers lie there that were not read yet.
    """
    with _alone(task, places):
        rows, aside = _rows(task, places)
        names = RowNames(rows, task.spec.data, aside[ROW_ID].tolist())
        done = sorted(map(names.one, kept_answers(task)))
        sample = draw_sample(rows, count, done, task.spec.data.splits.seed)
        if sample.empty:
            raise DataError(
                f"{task.spec.task}: expected training or validation rows that nobody has labelled twice, found none"
            )
        place = out or sheet_place(task, places)
        return place, write_sheet(task, sample, place, names), len(sample)


def read_back(task: Task, sheet: Path, by: str, places: Settings) -> Read:
    """Merge a sheet's answers into the second annotator's file, one caller at a time; see `read_sheet`.

    Raises:
        DataError: the data or the sheet cannot be read, or the sheet has faults (all of them are named).
    """
    if not sheet.is_file():
        raise DataError(
            f"{sheet}: expected the sheet that was given out and filled in, found no such file; check the path given "
            "to --read (`playbook annotate TASK --rows N` writes a sheet)"
        )
    with _alone(task, places):
        rows, aside = _rows(task, places)
        return read_sheet(task, sheet, rows, aside[ROW_ID].tolist(), by)


def _rows(task: Task, places: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The task's rows as the next run prepares them, and those that it sets aside."""
    sides = sides_of(Store(places.store, places.home / "cache" / "store"), task.spec.task)
    return divided(task, read_rows(task), read_corrections(task), sides)


@contextmanager
def _alone(task: Task, places: Settings) -> Iterator[None]:
    from filelock import FileLock

    lock = places.home / "data" / ".locks" / f"{task.spec.task}.second_annotator.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield
