"""True labels from a file: `playbook outcomes TASK FILE` joins them to the logged predictions by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from playbook.data.formats import Form, Records, read_records
from playbook.data.identity import spoilt_ids
from playbook.data.source_form import form_of
from playbook.errors import DataError
from playbook.operate.outcome_file import TIME, OutcomeFile, id_columns, label_columns, outcomes_in
from playbook.operate.prediction_log import OutcomeCount, PredictionLog, open_prediction_log
from playbook.settings import Settings
from playbook.taskfile import Task


@dataclass(frozen=True)
class OutcomeReport:
    """What a file of outcomes did.

    Attributes:
        count: of the recorded rows.
        blank: rows without an id or a label.
        unknown: rows by label that is not a class of the task; kept: a new class begins like this.
        unreadable: records that could not be read, each with its line and what is wrong.
        id_column, label_column: where ids and labels were found.
        contradictory: ids with two labels at one moment, with what the file says; none of these rows is recorded.
        unmatched: ids without a logged prediction.
        nearly: of these, ids that a logged one is like but for leading zeros, `.0` or case.
        early: ids whose label became known on a day before the prediction was made.
        time_column: where times were found; '' where there are none.
        spoilt: what a spreadsheet made of the unmatched ids, in words.
    """

    count: OutcomeCount
    blank: int
    unknown: Mapping[str, int]
    unreadable: tuple[str, ...] = ()
    id_column: str = ""
    label_column: str = ""
    contradictory: Mapping[str, str] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    nearly: Mapping[str, str] = field(default_factory=dict)
    early: tuple[str, ...] = ()
    time_column: str = ""
    spoilt: str = ""


def record_file(
    task: Task,
    places: Settings,
    file: Path,
    recorded_at: datetime | None = None,
    id_column: str | None = None,
    label_column: str | None = None,
) -> OutcomeReport:
    """Add the outcomes of a CSV, Parquet or JSON Lines file to the prediction log.

    Args:
        file: a column of ids (that of data.columns.id, `id` or `prediction_id`), one of true labels (`label`, or that
            of data.columns.label), and, if the labels became known at times of their own, `time`.
        recorded_at: when the labels became known, where the file does not say; now if not given.
        id_column: of the ids, where it has another name.
        label_column: of the true labels, where it has another name, or where labels that look like a model's or like
            another task's are the true ones.

    Raises:
        DataError: the file cannot be read, is empty, holds a model's answers or no class of the task, lacks a column,
            or has a time that cannot be read or lies in the future.
        StorageError: the log does not answer; repeating is harmless.
    """
    used = [name for name in (id_column, label_column, *id_columns(task), *label_columns(task), TIME) if name]
    found = read_file(file, form_of(task.spec.data), used)
    log = open_prediction_log(places, task.spec.task)
    try:
        said = outcomes_in(
            task,
            file,
            found,
            recorded_at=recorded_at,
            id_column=id_column,
            label_column=label_column,
            logged=log.times_of,
        )
        return _recorded(task, log, said, tuple(map(str, found.rejected)))
    finally:
        log.close()


def _recorded(task: Task, log: PredictionLog, said: OutcomeFile, unreadable: tuple[str, ...]) -> OutcomeReport:
    made = log.times_of([row.id for row in said.rows])
    count = log.record_outcomes(said.rows)
    strange = tuple(dict.fromkeys(row.id for row in said.rows if row.id not in made))
    early = [row.id for row in said.rows if row.id in made and row.recorded_at.date() < made[row.id].date()]
    known = set(task.spec.labels)
    unknown = Counter(row.label for row in said.rows if row.label not in known)
    return OutcomeReport(
        count=count,
        blank=said.blank,
        unknown=dict(unknown.most_common()),
        unreadable=unreadable,
        id_column=said.id_column,
        label_column=said.label_column,
        contradictory=said.contradictory,
        unmatched=strange,
        nearly=log.nearly(strange) if strange else {},
        early=tuple(dict.fromkeys(early)),
        time_column=said.time_column,
        spoilt=spoilt_ids(strange),
    )


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
