"""Logging beside the answers: a bounded queue and one thread that writes; an answer never waits for it, or fails by it.

What does not fit into the queue, or what the database did not take for a short while, is counted as lost, exactly.
Every prediction that was put ends as one of: in the log, lost, not in the share that is logged. A process that is
killed takes what is in its queue with it, uncounted; one that ends in order does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from playbook.errors import StorageError
from playbook.operate.prediction_log import FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, PredictionLog
from playbook.operate.prediction_log_lost import LostRows
from playbook.operate.prediction_log_rows import Prediction
from playbook.operate.prediction_log_tables import CommitUnknown, storable
from playbook.operate.redaction import Redactor
from playbook.spec import Serving

CAPACITY = 100_000  # rows that wait
MOST_CHARACTERS = 64_000_000  # of their texts
BATCH = 500  # rows of one transaction
TICK = 0.5  # seconds between looks when nothing is put
PURGE_SECONDS = 3600.0
SETTLE_SECONDS = 5.0  # between attempts to settle what was lost
MOST_DOUBTFUL = 10_000  # ids of rows in doubt that are kept; one outage leaves one batch of them
HASH_BITS = 64

logger = logging.getLogger("playbook.predictions")


def in_share(name: str, share: float) -> bool:
    """Whether a prediction is one of the share that is logged: the same answer for the same id, always."""
    if share >= 1:
        return True
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[: HASH_BITS // 8], "big") < share * 2**HASH_BITS


@dataclass(frozen=True)
class WriterCounts:
    """Where the predictions of this process are: every one that was put is in one of the four."""

    logged: int  # in the log, also where they were there before
    lost: int
    queued: int
    not_chosen: int  # outside of serving.log_share


class PredictionWriter:
    """Writes predictions to a log in a thread of its own.

    Args:
        log: of the task.
        serving: share, retention and redaction of the task file.
        redactor: blanks each row in the writing thread, before it is stored.
        capacity: rows that may wait.
        patience: seconds for which a batch is tried again while the database is away.
    """

    def __init__(
        self,
        log: PredictionLog,
        serving: Serving,
        redactor: Redactor,
        *,
        capacity: int = CAPACITY,
        patience: float = PATIENCE,
    ) -> None:
        self._log, self._serving, self._redactor = log, serving, redactor
        self._capacity, self._patience = capacity, patience
        self._changed = threading.Condition()
        self._queue: deque[Prediction] = deque()
        self._characters = 0
        self._batch: list[Prediction] = []  # taken by the thread, its fate still open
        self._logged = self._not_chosen = 0
        self._lost = LostRows()
        self._saved, self._published = self._lost, self._lost
        self._stop_by: float | None = None  # time.monotonic()
        self._abandoned = False
        self._purged_at = self._settled_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, rows: Sequence[Prediction]) -> None:
        """Queue predictions; returns at once and never raises. What finds no place is lost and counted."""
        chosen = [row for row in rows if in_share(row.id, self._serving.log_share)]
        with self._changed:
            self._not_chosen += len(rows) - len(chosen)
            for row in chosen:
                size = len(row.text) + sum(map(len, row.columns.values()))
                full = len(self._queue) >= self._capacity or self._characters + size > MOST_CHARACTERS
                if full or self._stop_by is not None:
                    self._lose(1)
                else:
                    self._queue.append(row)
                    self._characters += size
            self._changed.notify()

    @property
    def counts(self) -> WriterCounts:
        """Counts of this process."""
        with self._changed:
            waiting = len(self._queue) + len(self._batch)
            return WriterCounts(self._logged, self._lost.total, waiting, self._not_chosen)

    def close(self, seconds: float = 10.0) -> WriterCounts:
        """Write what waits, for so many seconds at most; the rest is lost and counted, also on disk."""
        with self._changed:
            if self._stop_by is None:
                self._stop_by = time.monotonic() + seconds
            self._changed.notify()
        self._thread.join(seconds + TICK)
        with self._changed:
            self._abandoned = True
            self._lose_doubtful(self._batch)  # the database holds it up: whether it is written is not known
            self._batch = []
            self._lose(len(self._queue))
            self._queue.clear()
            self._characters = 0
        self._save()
        return self.counts

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._queue and self._stop_by is None:
                    self._changed.wait(TICK)
                self._batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                self._characters -= sum(len(row.text) + sum(map(len, row.columns.values())) for row in self._batch)
                ending = self._stop_by is not None and (not self._batch or time.monotonic() > self._stop_by)
            answered = True
            if self._batch:
                answered = self._store([self._redactor.row(row) for row in self._batch])
            self._save()
            if answered:
                self._tidy(ending)
            if ending or self._abandoned:
                return

    def _store(self, rows: list[Prediction]) -> bool:
        """Write a batch, or lose it; whether the database answered."""
        end, pause, doubt = time.monotonic() + self._patience, FIRST_PAUSE, False
        while True:
            try:
                new = self._log.write_once(rows)
            except StorageError as error:
                doubt = doubt or isinstance(error, CommitUnknown)
                if time.monotonic() + pause > min(end, self._stop_by or end):
                    logger.warning("%d predictions are not logged: %s", len(rows), error)
                    self._done(lost=rows, doubt=doubt)
                    return False
            except Exception as error:  # a row that no database takes: the others are not to go with it
                if len(rows) > 1:
                    return self._store(rows[: len(rows) // 2]) & self._store(rows[len(rows) // 2 :])
                logger.warning("a prediction is not logged: %s", type(error).__name__)
                self._done(lost=rows, doubt=doubt)
                return True
            else:
                self._done(logged=len(rows))
                if new < len(rows):
                    self._say_other_texts(rows)
                return True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _say_other_texts(self, rows: list[Prediction]) -> None:
        """A caller that gives one id to two texts: the log keeps the first, and outcomes of the id join that one."""
        with contextlib.suppress(StorageError):
            names = self._log.other_texts(rows)
            if names:
                logger.warning(
                    "%d ids stand on another text in the log, which keeps the first: %s", len(names), names[0]
                )

    def _done(self, logged: int = 0, lost: Sequence[Prediction] = (), doubt: bool = False) -> None:
        """The fate of rows of the batch is known; nothing is counted once `close` has given the batch up."""
        with self._changed:
            if self._abandoned:
                return
            del self._batch[: logged + len(lost)]
            self._logged += logged
            if doubt:
                self._lose_doubtful(lost)
            else:
                self._lose(len(lost))

    def _lose(self, rows: int) -> None:
        lost = self._lost
        self._lost = LostRows(lost.writer, lost.count + rows, lost.doubtful)

    def _lose_doubtful(self, rows: Sequence[Prediction]) -> None:
        lost = self._lost
        kept = [storable(row.id) for row in rows][: MOST_DOUBTFUL - len(lost.doubtful)]
        self._lost = LostRows(lost.writer, lost.count + len(rows) - len(kept), (*lost.doubtful, *kept))

    def _save(self) -> None:
        """Keep the count on disk; if that fails it is tried again, and memory has it."""
        with self._changed:
            lost = self._lost
        if lost != self._saved:
            with contextlib.suppress(OSError):
                self._log.losses.save(lost)
                self._saved = lost

    def _tidy(self, ending: bool) -> None:
        """While the database answers: settle what was lost, and delete what is past its time."""
        with self._changed:
            lost = self._lost
        try:
            if lost != self._published and (ending or time.monotonic() - self._settled_at > SETTLE_SECONDS):
                self._settled_at = time.monotonic()
                settled = self._log.losses.settle(lost)
                with self._changed:  # rows may have been lost meanwhile, and those count on
                    found = len(lost.doubtful) - (settled.count - lost.count)
                    more = self._lost.count - lost.count
                    newer = self._lost.doubtful[len(lost.doubtful) :]
                    self._lost = LostRows(lost.writer, settled.count + more, newer)
                    self._logged += found
                self._saved = self._published = settled
            if not ending and time.monotonic() - self._purged_at > PURGE_SECONDS:
                self._purged_at = time.monotonic()
                self._log.purge(datetime.now(UTC) - timedelta(days=self._serving.retention_days))
        except (StorageError, OSError) as error:
            logger.warning("prediction log: %s", error)
        except Exception as error:  # the thread lives on
            logger.warning("prediction log: %s", type(error).__name__)
