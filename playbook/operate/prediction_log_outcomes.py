"""Adding outcomes: append-only, so that what was known at any moment can be asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from playbook.names import normal_form
from playbook.operate.prediction_log_rows import Outcome, OutcomeCount
from playbook.operate.prediction_log_tables import OUTCOMES, PREDICTIONS, Database, storable

MOST_ROWS = 500  # of one transaction
RECORDING = 0x706C6F75  # PostgreSQL's lock while outcomes are compared with those there; with the task's hash


@dataclass
class _History:
    """Outcomes of one prediction: (recorded_at, position) to label, and those to be added."""

    labels: list[tuple[datetime, int, str]] = field(default_factory=list)

    def at(self, moment: datetime) -> str | None:
        """The label that counted at a moment."""
        known = [entry for entry in self.labels if entry[0] <= moment]
        return max(known)[2] if known else None

    @property
    def now(self) -> str | None:
        """The label that counts."""
        return max(self.labels)[2] if self.labels else None

    def add(self, moment: datetime, label: str) -> None:
        """One more; among equal moments the later one counts."""
        self.labels.append((moment, len(self.labels), label))


def record(database: Database, task: str, rows: Sequence[Outcome]) -> OutcomeCount:
    """Add outcomes in the order of `rows`; one that says what was known at its time already is not stored again.

    Raises:
        StorageError: the database does not answer; what was counted up to there is in it, and repeating is harmless.
        ValueError: a time has no zone.
    """
    bare = next((row for row in rows if row.recorded_at.tzinfo is None), None)
    if bare is not None:
        raise ValueError(f"expected recorded_at with a zone, found {bare.recorded_at}; say datetime(..., tzinfo=UTC)")
    total = OutcomeCount()
    for start in range(0, len(rows), MOST_ROWS):
        with database.begin(writing=True) as connection:
            total += _record(connection, task, rows[start : start + MOST_ROWS])
    return total


def _record(connection: sa.Connection, task: str, rows: Sequence[Outcome]) -> OutcomeCount:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        key = sa.func.pg_advisory_xact_lock(RECORDING, sa.func.hashtext(task))
        connection.execute(sa.select(key))
    ids = sorted({storable(row.id) for row in rows})
    histories, logged = _histories(connection, task, ids), _logged(connection, task, ids)
    added: list[dict[str, Any]] = []
    counts = {"new": 0, "repeated": 0, "changed": 0}
    now = datetime.now(UTC)
    for row in rows:
        name, label, moment = storable(row.id), storable(row.label), row.recorded_at.astimezone(UTC)
        history = histories[name]
        before = history.now
        if history.at(moment) != label:
            history.add(moment, label)
            stored = {"task": task, "id": name, "label": label, "recorded_at": moment}
            added.append({**stored, "source": row.source, "added_at": now})
        counts["new" if before is None else "repeated" if history.now == before else "changed"] += 1
    if added:
        connection.execute(sa.insert(OUTCOMES), added)
    return OutcomeCount(**counts, unmatched=sum(storable(row.id) not in logged for row in rows))


def _histories(connection: sa.Connection, task: str, ids: Sequence[str]) -> dict[str, _History]:
    asked = (
        sa.select(OUTCOMES.c.id, OUTCOMES.c.recorded_at, OUTCOMES.c.label)
        .where(OUTCOMES.c.task == task, OUTCOMES.c.id.in_(ids))
        .order_by(OUTCOMES.c.number)
    )
    histories = {name: _History() for name in ids}
    for name, moment, label in connection.execute(asked):
        histories[name].add(moment, normal_form(label))  # earlier releases kept labels as they were spelled
    return histories


def _logged(connection: sa.Connection, task: str, ids: Sequence[str]) -> set[str]:
    asked = sa.select(PREDICTIONS.c.id).where(PREDICTIONS.c.task == task, PREDICTIONS.c.id.in_(ids))
    return set(connection.execute(asked).scalars())
