"""What a file of outcomes says: which column has the ids, which one the truth, and which rows contradict others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from playbook.data.formats import Records
from playbook.data.text import shown
from playbook.data.times import moments
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.operate.prediction_log_rows import Outcome
from playbook.taskfile import Task

IDS = ("id", "prediction_id")  # names of the column that says which prediction is meant, beside data.columns.id
LABEL, TIME = "label", "time"
ANSWERED = ("probability", "model_version", "ask_a_person")  # columns of what `playbook predict` writes
AHEAD = timedelta(days=1)  # a clock, or a local time without its zone, may be ahead by so much
NAMED = 3  # ids or rows that a message names


@dataclass(frozen=True)
class OutcomeFile:
    """Outcomes of a file.

    Attributes:
        rows: to be recorded.
        id_column, label_column: where ids and labels were found.
        blank: rows without an id or a label.
        contradictory: ids with two labels at one moment, each with what the file says; none of these rows is recorded.
    """

    rows: tuple[Outcome, ...]
    id_column: str
    label_column: str
    blank: int
    contradictory: Mapping[str, str]


def id_columns(task: Task) -> tuple[str, ...]:
    """Names that the column of ids may have, the task's own first."""
    own = task.spec.data.columns.id
    return tuple(dict.fromkeys(name for name in (own, *IDS) if name))


def label_columns(task: Task) -> tuple[str, ...]:
    """Names that the column of true labels may have."""
    return tuple(dict.fromkeys((LABEL, task.spec.data.columns.label)))


def outcomes_in(
    task: Task,
    file: Path,
    records: Records,
    *,
    recorded_at: datetime | None,
    id_column: str | None,
    logged: Callable[[Sequence[str]], Collection[str]],
) -> OutcomeFile:
    """What the records of a file say.

    Args:
        task: whose predictions are meant.
        file: named in messages.
        records: of the file.
        recorded_at: when the labels became known, where the file does not say; now if not given.
        id_column: of the ids; None: one of `id_columns`, and where several are there, the one whose ids are logged.
        logged: which of some ids the prediction log has.

    Raises:
        DataError: these are a model's answers, a column is missing or there twice, or a time is none or in the future.
    """
    table = records.rows
    _refuse_answers(task, file, table)
    name = _id_column(task, file, table, id_column, logged)
    label = _label_column(task, file, table)
    now = datetime.now(UTC)
    default = recorded_at or now
    times = [default] * len(table)
    if TIME in table.columns:
        form = task.spec.data.columns.time_format
        times = moments(table[TIME].tolist(), default, f"{file}: column {TIME}", form)
    ids, labels = map(normal_form, table[name]), map(normal_form, table[label])
    rows = [
        (line, Outcome(own, said, moment, file.name))
        for line, own, said, moment in zip(records.lines, ids, labels, times, strict=True)
        if own and said
    ]
    _refuse_future(file, rows, now)
    contradictory = _contradictory(rows)
    kept = tuple(row for _, row in rows if row.id not in contradictory)
    return OutcomeFile(kept, name, label, len(table) - len(rows), contradictory)


def _refuse_answers(task: Task, file: Path, table: pd.DataFrame) -> None:
    figures = {f"p_{label}" for label in task.spec.labels}
    found = [str(name) for name in table.columns if name in ANSWERED or name in figures]
    if found:
        raise DataError(
            f"{file}: expected what turned out to be true, found what a model said (columns "
            f"{', '.join(map(shown, found))}): `playbook predict` writes such files. Give the file with the true "
            "labels; if they are in this one, take these columns out of it"
        )


def _id_column(
    task: Task,
    file: Path,
    table: pd.DataFrame,
    asked: str | None,
    logged: Callable[[Sequence[str]], Collection[str]],
) -> str:
    known = (normal_form(asked),) if asked else id_columns(task)
    there = [name for name in known if name in table.columns]
    if not there or not any(name in table.columns for name in label_columns(task)):
        raise DataError(
            f"{file}: expected a column of ids ({' or '.join(known)}) and one of true labels "
            f"({' or '.join(label_columns(task))}), and time if it is known, found "
            f"{', '.join(shown(str(name)) for name in table.columns)}; rename them"
        )
    if len(there) == 1:
        return there[0]
    matches = {name: len(logged([normal_form(value) for value in table[name]])) for name in there}
    return max(there, key=lambda name: matches[name])  # of equal ones the first


def _label_column(task: Task, file: Path, table: pd.DataFrame) -> str:
    there = [name for name in label_columns(task) if name in table.columns]
    if len(there) == 2:
        differ = [a != b for a, b in zip(*(map(normal_form, table[name]) for name in there), strict=True)]
        if any(differ):
            raise DataError(
                f"{file}: expected one column of true labels, found {' and '.join(there)}, which differ in "
                f"{sum(differ)} rows; take out the one that is not the truth"
            )
    return there[0]


def _refuse_future(file: Path, rows: Sequence[tuple[int, Outcome]], now: datetime) -> None:
    ahead = [(line, row) for line, row in rows if row.recorded_at > now + AHEAD]
    if ahead:
        named = ", ".join(f"{row.recorded_at:%Y-%m-%d} in line {line}" for line, row in ahead[:NAMED])
        more = f" and {len(ahead) - NAMED} more" if len(ahead) > NAMED else ""
        raise DataError(
            f"{file}: expected times at which the labels became known, found some in the future: {named}{more}. They "
            "would overrule every later correction; mend them, or leave them blank"
        )


def _contradictory(rows: Sequence[tuple[int, Outcome]]) -> dict[str, str]:
    """Ids with several labels at one moment, with what the file says of each."""
    said: dict[tuple[str, datetime], dict[str, int]] = {}
    for line, row in rows:
        said.setdefault((row.id, row.recorded_at), {}).setdefault(row.label, line)
    return {
        name: " and ".join(f"{shown(label)} in line {line}" for label, line in labels.items())
        for (name, _), labels in said.items()
        if len(labels) > 1
    }
