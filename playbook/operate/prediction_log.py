"""The prediction log (6.3): what was asked of a model, what it answered, and what turned out to be true.

One log holds all tasks, in SQLite or PostgreSQL. A prediction is written once, however often it is sent; outcomes are
only ever added, and the newest counts, so that any earlier state of knowledge can be asked for.
"""

from __future__ import annotations

import json
import time as clock
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from playbook.errors import StorageError
from playbook.operate.prediction_log_ids import nearly, other_texts, times_of
from playbook.operate.prediction_log_lost import LostStore
from playbook.operate.prediction_log_outcomes import record
from playbook.operate.prediction_log_read import labelled_frame, window_frame
from playbook.operate.prediction_log_rows import Outcome, OutcomeCount, Prediction, Purged
from playbook.operate.prediction_log_tables import (
    OUTCOMES,
    PREDICTIONS,
    CommitUnknown,
    Database,
    insert_into,
    storable,
)
from playbook.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Outcome", "OutcomeCount", "Prediction", "PredictionLog", "Purged", "open_prediction_log"]

MOST_ROWS = 500  # of one statement
PATIENCE = 10.0  # seconds for which a database that is away is asked again
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


def open_prediction_log(places: Settings, task: str) -> PredictionLog:
    """The log of a task where the settings say; nothing is asked of the database yet.

    Raises:
        SettingsError: PLAYBOOK_PREDICTION_LOG is no URL of SQLite or PostgreSQL.
    """
    database = Database(places.prediction_log)
    return PredictionLog(database, task, LostStore(places.home / "predictions" / "lost", database, task))


class PredictionLog:
    """The log of one task.

    Args:
        database: where all tasks' rows are; nothing is asked of it before the first call.
        task: name of the task.
        losses: counts of what writers could not write.

    Every method raises StorageError where the database does not answer.
    """

    def __init__(self, database: Database, task: str, losses: LostStore) -> None:
        self.database, self.task, self.losses = database, task, losses

    def write(self, rows: Sequence[Prediction], patience: float = PATIENCE) -> int:
        """Log predictions; returns how many the log did not have. Repeating is harmless, in part or as a whole.

        Args:
            patience: seconds for which a database that is away is asked again.

        Raises:
            StorageError: it stayed away; rows before the ones that failed are written.
            CommitUnknown: it stayed away, and some of the rest may be written, too.
        """
        new, end = 0, clock.monotonic() + patience
        for start in range(0, len(rows), MOST_ROWS):
            new += self._write_patiently(rows[start : start + MOST_ROWS], end)
        return new

    def _write_patiently(self, rows: Sequence[Prediction], end: float) -> int:
        pause, doubt = FIRST_PAUSE, False
        while True:
            try:
                return self.write_once(rows)
            except StorageError as error:
                doubt = doubt or isinstance(error, CommitUnknown)
                if clock.monotonic() + pause > end:
                    raise (CommitUnknown(str(error)) if doubt else error) from None
            clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def write_once(self, rows: Sequence[Prediction]) -> int:
        """`write` in one transaction and one attempt.

        Raises:
            StorageError: nothing was written; the database is away or busy.
            CommitUnknown: nobody knows whether it was written.
        """
        # In one order everywhere: two writers of the same rows wait for each other rather than both for ever.
        values = sorted((self._values(row) for row in rows), key=lambda value: str(value["id"]))
        if not values:
            return 0
        with self.database.begin(writing=True) as connection:
            insert = insert_into(connection, PREDICTIONS).on_conflict_do_nothing().returning(PREDICTIONS.c.id)
            return len(connection.execute(insert, values).all())

    def _values(self, row: Prediction) -> dict[str, Any]:
        return {
            "task": self.task,
            "id": storable(row.id),
            "time": row.time,
            "day": row.time.astimezone(UTC).date().isoformat(),
            "version": row.version,
            "source": row.source,
            "label": storable(row.label),
            "probability": float(row.probability),
            "probabilities": json.dumps({name: round(float(p), 7) for name, p in row.probabilities.items()}),
            "text": storable(row.text),
            "columns": json.dumps({storable(name): storable(value) for name, value in row.columns.items()}),
            "logged_at": row.logged_at or datetime.now(UTC),
            "silent": row.silent,
        }

    def record_outcomes(self, rows: Sequence[Outcome]) -> OutcomeCount:
        """Add true labels: late, repeated and changed ones, and those whose prediction is not logged (yet)."""
        return record(self.database, self.task, rows)

    def times_of(self, ids: Sequence[str]) -> dict[str, datetime]:
        """When each prediction was made, of those ids that are logged."""
        return times_of(self.database, self.task, ids)

    def nearly(self, ids: Sequence[str]) -> dict[str, str]:
        """For ids that are not logged, a logged one that differs in leading zeros, `.0` or case alone."""
        return nearly(self.database, self.task, ids)

    def other_texts(self, rows: Sequence[Prediction]) -> list[str]:
        """Ids of rows that are logged with another text; the first one stays, and outcomes of the id join it."""
        return other_texts(self.database, self.task, rows)

    def window(self, first: date, last: date, known_by: datetime | None = None) -> pd.DataFrame:
        """Predictions of the days `first` to `last` (UTC, both included), oldest first.

        Args:
            known_by: outcomes that became known later than this are not seen.

        Returns:
            Columns id, time (UTC), day (ISO), text, label, probability, version, silent (a person was asked), outcome
            ('' where none is known), outcome_at (NaT where none), columns (dict of text), and `p_<class>` for each
            class that any row's model knew (NaN where its own did not). All are there when there are no rows.
        """
        days = PREDICTIONS.c.day.between(first.isoformat(), last.isoformat())
        return window_frame(self.database, self.task, days, known_by)

    def labelled(self, known_by: datetime | None = None) -> pd.DataFrame:
        """As `window`, of all days, only rows with an outcome."""
        return labelled_frame(self.database, self.task, known_by)

    def rows_per_day(self, first: date, last: date) -> dict[date, int]:
        """Logged predictions of each day from `first` to `last`, 0 where there are none."""
        asked = (
            sa.select(PREDICTIONS.c.day, sa.func.count())
            .where(PREDICTIONS.c.task == self.task, PREDICTIONS.c.day.between(first.isoformat(), last.isoformat()))
            .group_by(PREDICTIONS.c.day)
        )
        with self.database.begin() as connection:
            found = {str(day): int(count) for day, count in connection.execute(asked)}
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return {day: found.get(day.isoformat(), 0) for day in days}

    def latest_day(self) -> date | None:
        """The day of the newest prediction; None of an empty log."""
        with self.database.begin() as connection:
            asked = sa.select(sa.func.max(PREDICTIONS.c.day)).where(PREDICTIONS.c.task == self.task)
            found = connection.execute(asked).scalar_one()
        return date.fromisoformat(found) if found else None

    def purge(self, before: datetime) -> Purged:
        """Delete predictions that were logged before a moment, with their outcomes.

        What counts is when a row was logged, not its own time: old rows that are scored today are kept from today.
        Outcomes that never found a prediction go by the time at which they were added.
        """
        mine, theirs = PREDICTIONS.c.task == self.task, OUTCOMES.c.task == self.task
        same = sa.and_(PREDICTIONS.c.task == OUTCOMES.c.task, PREDICTIONS.c.id == OUTCOMES.c.id)
        old = sa.exists().where(same, PREDICTIONS.c.logged_at < before)
        alone = sa.and_(OUTCOMES.c.added_at < before, ~sa.exists().where(same))
        with self.database.begin(writing=True) as connection:
            outcomes = connection.execute(sa.delete(OUTCOMES).where(theirs, sa.or_(old, alone))).rowcount
            gone = connection.execute(sa.delete(PREDICTIONS).where(mine, PREDICTIONS.c.logged_at < before)).rowcount
        if gone or outcomes:
            self.database.forget()
        return Purged(int(gone), int(outcomes))

    def lost(self) -> int:
        """Predictions that could not be logged, of all writers that this machine or the database knows."""
        return self.losses.total()

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()
