"""Ids of the prediction log: which of some are there, which nearly are, and which stand on another text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from playbook.operate.prediction_log_rows import Prediction
from playbook.operate.prediction_log_tables import PREDICTIONS, Database, storable

MOST_IDS = 500  # of one statement
_GUARDED = re.compile(r"^=\"(.*)\"$|^'(.+)$")  # how numbers are kept as text in spreadsheets
_DECIMAL = re.compile(r"(\d+)\.0+", re.ASCII)


def times_of(database: Database, task: str, ids: Iterable[str]) -> dict[str, datetime]:
    """When each prediction was made, of those that are logged."""
    distinct, found = sorted({storable(name) for name in ids}), {}
    with database.begin() as connection:
        for start in range(0, len(distinct), MOST_IDS):
            chosen = PREDICTIONS.c.id.in_(distinct[start : start + MOST_IDS])
            asked = sa.select(PREDICTIONS.c.id, PREDICTIONS.c.time).where(PREDICTIONS.c.task == task, chosen)
            found.update({str(name): moment for name, moment in connection.execute(asked)})
    return found


def nearly(database: Database, task: str, ids: Iterable[str]) -> dict[str, str]:
    """For ids that are not logged, a logged one that differs in leading zeros, `.0`, case or what keeps it text in a
    spreadsheet alone. 500 are looked at.

    Spreadsheets take zeros away and make decimals of numbers; databases compare without case.
    """
    bare: dict[str, str] = {}
    for name in ids:
        bare.setdefault(_bare(name), name)
    bare = dict(list(bare.items())[:MOST_IDS])
    column = sa.func.ltrim(sa.func.lower(PREDICTIONS.c.id), "0")
    wanted = [form for name in bare for form in (name, f"{name}.0")]
    with database.begin() as connection:
        asked = sa.select(PREDICTIONS.c.id).where(PREDICTIONS.c.task == task, column.in_(wanted))
        logged = connection.execute(asked).scalars()
        return {bare[_bare(name)]: name for name in map(str, logged) if _bare(name) in bare}


def _bare(name: str) -> str:
    name = _GUARDED.sub(r"\1\2", name)
    match = _DECIMAL.fullmatch(name)
    return (match[1] if match else name).lower().lstrip("0")


def other_texts(database: Database, task: str, rows: Sequence[Prediction]) -> list[str]:
    """Ids of rows, as they would be stored, that the log has with another text."""
    found: list[str] = []
    with database.begin() as connection:
        for start in range(0, len(rows), MOST_IDS):
            part = {storable(row.id): storable(row.text) for row in rows[start : start + MOST_IDS]}
            asked = sa.select(PREDICTIONS.c.id, PREDICTIONS.c.text).where(
                PREDICTIONS.c.task == task, PREDICTIONS.c.id.in_(part)
            )
            found += [str(name) for name, text in connection.execute(asked) if part[name] != text]
    return sorted(found)
