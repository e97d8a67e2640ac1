"""True labels from a file: `playbook outcomes TASK FILE` joins them to the logged predictions by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playbook.data.formats import Form, Records, read_records
from playbook.data.read import form_of
from playbook.data.times import moments
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.operate.prediction_log import Outcome, OutcomeCount, open_prediction_log
from playbook.settings import Settings
from playbook.taskfile import Task

IDS = ("id", "prediction_id")  # names of the column that says which prediction is meant
LABEL, TIME = "label", "time"


@dataclass(frozen=True)
class OutcomeReport:
    """What a file of outcomes did."""

    count: OutcomeCount
    blank: int  # rows without an id or a label
    unknown: Mapping[str, int]  # rows by label that is no class of the task; kept: a new class begins like this
    unreadable: tuple[str, ...] = ()  # records that could not be read, each with its line and what is wrong


def record_file(task: Task, places: Settings, file: Path, recorded_at: datetime | None = None) -> OutcomeReport:
    """Add the outcomes of a CSV, Parquet or JSON Lines file to the prediction log.

    Args:
        file: columns `id` (or `prediction_id`), `label`, and, if the labels became known at times of their own, `time`.
        recorded_at: when the labels became known, where the file does not say; now if not given.

    Raises:
        DataError: the file cannot be read, is empty, lacks a column, or has a time that is none.
        StorageError: the log does not answer; repeating is harmless.
    """
    found = read_file(file, form_of(task.spec.data), (*IDS, LABEL, TIME))
    table = found.rows
    name = next((column for column in IDS if column in table.columns), None)
    if name is None or LABEL not in table.columns:
        raise DataError(
            f"{file}: expected columns id (or prediction_id) and label, and time if it is known, found "
            f"{', '.join(map(str, table.columns))}; rename them"
        )
    now = recorded_at or datetime.now(UTC)
    times = (
        moments(table[TIME].tolist(), now, f"{file}: column {TIME}", task.spec.data.columns.time_format)
        if TIME in table.columns
        else [now] * len(table)
    )
    ids, labels = map(normal_form, table[name]), map(normal_form, table[LABEL])
    rows = [
        Outcome(own, label, moment, file.name)
        for own, label, moment in zip(ids, labels, times, strict=True)
        if own and label
    ]
    log = open_prediction_log(places, task.spec.task)
    try:
        count = log.record_outcomes(rows)
    finally:
        log.close()
    known = set(task.spec.labels)
    unknown = Counter(row.label for row in rows if row.label not in known)
    return OutcomeReport(count, len(table) - len(rows), dict(unknown.most_common()), tuple(map(str, found.rejected)))


def read_file(file: Path, form: Form, used: Collection[str]) -> Records:
    """Records of a local file or folder, every value as text.

    Args:
        file: to read.
        form: how the source is written: its encoding is tried where the file is not UTF-8.
        used: columns in which a list or an object makes a record unfit.

    Raises:
        DataError: it is missing, empty, or of a format that cannot be read.
    """
    if not file.exists():
        raise DataError(f"{file}: expected a file, found none; check the path")
    return read_records(str(file), form.hint(), used)
