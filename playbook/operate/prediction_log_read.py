"""Logged predictions beside the outcomes that were known at some moment, as a table."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from playbook.names import normal_form
from playbook.operate.prediction_log_tables import OUTCOMES, PREDICTIONS, Database

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("id", "time", "day", "text", "label", "probability", "version", "silent")
COLUMNS = (*FIELDS, "outcome", "outcome_at", "columns")


def window_frame(
    database: Database, task: str, chosen: sa.ColumnElement[bool], known_by: datetime | None
) -> pd.DataFrame:
    """Predictions that `chosen` chooses, each with its newest outcome; see `PredictionLog.window`.

    Names come in their normal form, also those that an earlier release kept as they were spelled.
    """
    return _frame(database, task, chosen, known_by, labelled_only=False)


def labelled_frame(database: Database, task: str, known_by: datetime | None) -> pd.DataFrame:
    """All predictions that have an outcome; see `PredictionLog.labelled`."""
    return _frame(database, task, sa.true(), known_by, labelled_only=True)


def _frame(
    database: Database, task: str, chosen: sa.ColumnElement[bool], known_by: datetime | None, labelled_only: bool
) -> pd.DataFrame:
    mine = sa.and_(PREDICTIONS.c.task == task, chosen)
    newest = _newest(mine, known_by)
    fields = [PREDICTIONS.c[name] for name in (*FIELDS, "columns", "probabilities")]
    asked = (
        sa.select(*fields, newest.c.label.label("outcome"), newest.c.recorded_at.label("outcome_at"))
        .join_from(PREDICTIONS, newest, newest.c.id == PREDICTIONS.c.id, isouter=not labelled_only)
        .where(mine)
        .order_by(PREDICTIONS.c.time, PREDICTIONS.c.id)
    )
    with database.begin() as connection:
        return _tabled([dict(row) for row in connection.execute(asked).mappings()])


def _newest(mine: sa.ColumnElement[bool], known_by: datetime | None) -> sa.Subquery:
    """id, label and recorded_at of the outcome that counts, of the predictions asked for."""
    rank = sa.func.row_number().over(
        partition_by=OUTCOMES.c.id, order_by=(OUTCOMES.c.recorded_at.desc(), OUTCOMES.c.number.desc())
    )
    same = sa.and_(OUTCOMES.c.task == PREDICTIONS.c.task, OUTCOMES.c.id == PREDICTIONS.c.id)
    ranked = sa.select(OUTCOMES.c.id, OUTCOMES.c.label, OUTCOMES.c.recorded_at, rank.label("rank"))
    ranked = ranked.join_from(OUTCOMES, PREDICTIONS, same).where(mine)
    if known_by is not None:
        ranked = ranked.where(OUTCOMES.c.recorded_at <= known_by)
    inner = ranked.subquery()
    return sa.select(inner.c.id, inner.c.label, inner.c.recorded_at).where(inner.c.rank == 1).subquery()


def _tabled(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    probabilities = [_named(row["probabilities"]) for row in rows]
    classes = dict.fromkeys(name for by_class in probabilities for name in by_class)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in FIELDS}
    columns["label"] = [normal_form(label) for label in columns["label"]]
    for name in ("id", "day", "text", "label", "version"):
        columns[name] = pd.Series(columns[name], dtype="str")
    columns["silent"] = pd.Series(columns["silent"], dtype="bool")
    columns["time"] = _times(columns["time"])
    columns["probability"] = pd.Series(columns["probability"], dtype="float64")
    columns["outcome"] = pd.Series([normal_form(row["outcome"] or "") for row in rows], dtype="str")
    columns["outcome_at"] = _times([row["outcome_at"] for row in rows])
    columns["columns"] = pd.Series([_named(row["columns"]) for row in rows], dtype="object")
    for name in classes:
        columns[f"p_{name}"] = pd.Series([by_class.get(name) for by_class in probabilities], dtype="float64")
    return pd.DataFrame(columns)


def _named(stored: str) -> dict[str, Any]:
    return {normal_form(name): value for name, value in json.loads(stored).items()}


def _times(values: list[datetime | None]) -> pd.Series[Any]:
    """One unit whatever is in it, so that windows can be put together."""
    import pandas as pd

    return pd.to_datetime(pd.Series(values, dtype="object"), utc=True).astype("datetime64[us, UTC]")
