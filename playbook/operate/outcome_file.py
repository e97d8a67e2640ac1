"""What a file of outcomes says: which column has the ids, which one the truth, and which rows contradict others."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from playbook.data.formats import Records
from playbook.data.text import counted, is_spreadsheet_error, shown
from playbook.data.times import moments
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.operate.model_answers import OWN_LABELS, seem_predicted, written_by_predict
from playbook.operate.prediction_log_rows import Outcome
from playbook.taskfile import Task

IDS = ("id", "prediction_id")  # names of the column that says which prediction is meant, beside data.columns.id
LABEL, TIME = "label", "time"
AHEAD = timedelta(days=1)  # a clock, or a local time without its zone, may be ahead by so much
NAMED = 3  # ids or rows that a message names


@dataclass(frozen=True)
class OutcomeFile:
    """Outcomes of a file.

    Attributes:
        rows: to be recorded.
        id_column, label_column: where ids and labels were found.
        blank: rows without an id or a label, or with what a spreadsheet writes where it found none.
        contradictory: ids with two labels at one moment, each with what the file says; none of these rows is recorded.
        time_column: where times were found; '' where all labels became known at once.
    """

    rows: tuple[Outcome, ...]
    id_column: str
    label_column: str
    blank: int
    contradictory: Mapping[str, str]
    time_column: str = ""


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
    label_column: str | None = None,
    logged: Callable[[Sequence[str]], Collection[str]],
) -> OutcomeFile:
    """What the records of a file say.

    Args:
        task: whose predictions are meant.
        file: named in messages.
        records: of the file.
        recorded_at: when the labels became known, where the file does not say; now if not given.
        id_column: of the ids; None: one of `id_columns`, and where several are there, the one whose ids are logged.
        label_column: of the true labels, where somebody says so; None: one of `label_columns`, and its values are
            looked at: they have to be truth, of this task.
        logged: which of some ids the prediction log has.

    Raises:
        DataError: these are a model's answers or another task's labels, a column is missing or there twice, or a time
            cannot be read or is in the future.
    """
    table = records.rows
    _refuse_answers(task, file, table, label_column)
    known = (normal_form(label_column),) if label_column else label_columns(task)
    name = _id_column(task, file, table, id_column, known, logged)
    label = _label_column(known, file, table)
    if not label_column:
        _refuse_no_truth(task, file, table, name, label)
    now = datetime.now(UTC)
    default = recorded_at or now
    times = [default] * len(table)
    time = _time_column(table, {name, label})
    if time:
        form = task.spec.data.columns.time_format
        times = moments(table[time].tolist(), default, f"{file}: column {time}", form)
    ids, labels = map(normal_form, table[name]), map(normal_form, table[label])
    rows = [
        (line, Outcome(own, said, moment, file.name))
        for line, own, said, moment in zip(records.lines, ids, labels, times, strict=True)
        if own and said and not is_spreadsheet_error(own) and not is_spreadsheet_error(said)
    ]
    _refuse_future(file, rows, now)
    contradictory = _contradictory(rows)
    kept = tuple(row for _, row in rows if row.id not in contradictory)
    return OutcomeFile(kept, name, label, len(table) - len(rows), contradictory, time)


def _refuse_answers(task: Task, file: Path, table: pd.DataFrame, label_column: str | None) -> None:
    found = written_by_predict(table, task.spec.labels)
    if found and (label_column is None or normal_form(label_column) in OWN_LABELS):
        raise DataError(
            f"{file}: expected what turned out to be true, found what a model said (columns "
            f"{', '.join(map(shown, found))}): `playbook predict` writes such files. Give the file with the true "
            "labels; if they are in this one, name their column (--label-column)"
        )


def _refuse_no_truth(task: Task, file: Path, table: pd.DataFrame, ids: str, label: str) -> None:
    """Refuse labels that nobody named as the truth, and that seem to be a model's or another task's."""
    why = seem_predicted(table, label, ids, task.spec.labels)
    if why:
        raise DataError(
            f"{file}: expected what turned out to be true, found labels in column {label} that seem to be a model's: "
            f"{why}. Give the file with the true labels; if these are the true ones, say so (--label-column {label})"
        )
    given = dict.fromkeys(filter(None, map(normal_form, table[label])))
    if len(given) > 1 and not given.keys() & set(task.spec.labels):
        named = ", ".join(map(shown, list(given)[:NAMED]))
        meant = _other_forms(given, task.spec.labels)
        if meant:
            raise DataError(
                f"{file}: expected classes of {task.spec.task} in column {label}, found other forms of their names: "
                f"{', '.join(meant[:NAMED])}; write them as the task file does"
            )
        raise DataError(
            f"{file}: expected classes of {task.spec.task} in column {label}, found none of them, but {named}; give "
            f"the outcomes of this task. If all of these are new classes, say so (--label-column {label})"
        )


def _other_forms(given: Collection[str], classes: Collection[str]) -> list[str]:
    """Labels that are a class in other capitals, or the same number, as formats write them: `true`, `1.0`."""
    known = {_folded(name): name for name in classes}
    return [f"{shown(label)} for {shown(known[_folded(label)])}" for label in given if _folded(label) in known]


def _folded(name: str) -> str:
    return re.sub(r"(?<=\d)\.0+$", "", name.casefold())


def _id_column(
    task: Task,
    file: Path,
    table: pd.DataFrame,
    asked: str | None,
    labels: Sequence[str],
    logged: Callable[[Sequence[str]], Collection[str]],
) -> str:
    known = (normal_form(asked),) if asked else id_columns(task)
    there = [name for name in known if name in table.columns]
    if not there or not any(name in table.columns for name in labels):
        raise DataError(
            f"{file}: expected a column of ids ({' or '.join(known)}) and one of true labels ({' or '.join(labels)}), "
            f"and time if it is known, found {', '.join(shown(str(name)) for name in table.columns)}; rename them, or "
            "name them (--id-column, --label-column)"
        )
    if len(there) == 1:
        return there[0]
    matches = {name: len(logged([normal_form(value) for value in table[name]])) for name in there}
    return max(there, key=lambda name: matches[name])  # of equal ones the first


def _label_column(known: Sequence[str], file: Path, table: pd.DataFrame) -> str:
    there = [name for name in known if name in table.columns]
    if len(there) == 2:
        differ = [a != b for a, b in zip(*(map(normal_form, table[name]) for name in there), strict=True)]
        if any(differ):
            raise DataError(
                f"{file}: expected one column of true labels, found {' and '.join(there)}, which differ in "
                f"{counted(sum(differ), 'row')}; name the one that is the truth (--label-column)"
            )
    return there[0]


def _time_column(table: pd.DataFrame, taken: Collection[str]) -> str:
    """The column of times, also in capitals; '' where there is none."""
    found = [str(name) for name in table.columns if str(name).casefold() == TIME and name not in taken]
    return TIME if TIME in found else next(iter(found), "")


def _refuse_future(file: Path, rows: Sequence[tuple[int, Outcome]], now: datetime) -> None:
    ahead = [(line, row) for line, row in rows if row.recorded_at > now + AHEAD]
    if ahead:
        named = ", ".join(f"{row.recorded_at:%Y-%m-%d} in line {line}" for line, row in ahead[:NAMED])
        more = f" and {len(ahead) - NAMED} more" if len(ahead) > NAMED else ""
        raise DataError(
            f"{file}: expected times at which the labels became known, found some in the future: {named}{more}. They "
            "would overrule every later correction; fix them, or leave them blank"
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
