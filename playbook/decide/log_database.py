"""The decision log in two tables of a PostgreSQL, for installations of more than one machine.

A row of `decision_entries` is one line, byte for byte as the file would have it; a row of `decision_heads` counts them.
Both are written in one transaction, under an advisory lock per task, so that any number of machines may append. A log
that lies in files while the database has none of the task is read from there, and goes over with its chain as soon as
something is added.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playbook.database import ensure_schema, first_line, lock_key, make_engine, place_of
from playbook.decide.log_files import LogFiles
from playbook.decide.log_storage import Head, Stored
from playbook.errors import ArtifactError, StorageError, TaskBusy

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

LOCK_SECONDS = 30
LOCK_TABLES = "decision tables"
MAKE = (
    "CREATE TABLE IF NOT EXISTS decision_entries (task text NOT NULL, index integer NOT NULL, line bytea NOT NULL, "
    "sha256 text NOT NULL, PRIMARY KEY (task, index))",
    "CREATE TABLE IF NOT EXISTS decision_heads (task text PRIMARY KEY, count integer NOT NULL, sha256 text NOT NULL)",
)
READ = "SELECT index AS number, line, sha256 FROM decision_entries WHERE task = :task ORDER BY index"
READ_HEAD = "SELECT count AS lines, sha256 FROM decision_heads WHERE task = :task"
KEEP = (
    "CREATE TABLE IF NOT EXISTS decision_entries_lost (task text NOT NULL, set_aside timestamptz NOT NULL, "
    "index integer NOT NULL, line bytea NOT NULL, sha256 text NOT NULL)"
)
MOVE = (
    "WITH gone AS (DELETE FROM decision_entries WHERE task = :task RETURNING *) INSERT INTO decision_entries_lost "
    "SELECT task, transaction_timestamp(), index, line, sha256 FROM gone"
)
ADD = "INSERT INTO decision_entries (task, index, line, sha256) VALUES (:task, :index, :line, :sha256)"
ADD_HEAD = (
    "INSERT INTO decision_heads (task, count, sha256) VALUES (:task, :count, :sha256) "
    "ON CONFLICT (task) DO UPDATE SET count = excluded.count, sha256 = excluded.sha256"
)


class LogTables:
    """The lines of one task.

    Args:
        url: PostgreSQL, with its driver and schema.
        task: whose log it is.
        files: where the log of this task lay before there was a database.
    """

    ahead = 0  # lines and head are written in one transaction
    remedy = "restore the tables decision_entries and decision_heads from a backup"

    def __init__(self, url: str, task: str, files: LogFiles) -> None:
        self.url, self.task, self.files = url, task, files
        self.name = f"decision log of {task} in {place_of(url)}"
        self.head_name = f"head of the {self.name}"
        self._connection: Connection | None = None
        self._added = False
        self._in_files = 0  # lines that were read from files, not yet in the tables

    def exists(self) -> bool:
        """Whether anything was ever written.

        Raises:
            ArtifactError: the database does not answer.
        """
        with self._transaction():
            return self._has_rows() or self.files.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One transaction that holds the task's lock.

        Raises:
            ArtifactError: the database does not answer, or another client holds the log; nothing is recorded.
        """
        with self._transaction():
            self._ask(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            self._ask("SELECT pg_advisory_xact_lock(:key)", key=lock_key(f"log {self.task}"))
            yield

    def read(self) -> Stored:
        """Every line in the order of its index, and the head."""
        self._in_files = 0
        if not self._has_rows():
            return self._read_files()
        rows = self._ask(READ, task=self.task).all()
        head = self._ask(READ_HEAD, task=self.task).one_or_none()
        return Stored(
            tuple(bytes(row.line) for row in rows),
            Head(count=head.lines, sha256=head.sha256) if head is not None else None,
            named=tuple((int(row.number), str(row.sha256)) for row in rows),
        )

    def _read_files(self) -> Stored:
        if not self.files.exists():
            return Stored((), None)
        with self.files.locked():
            stored = self.files.read()
        self._in_files = len(stored.lines)
        # A head one behind its lines is allowed in files only: the lines are verified by their chain all the same.
        behind = stored.head is not None and len(stored.lines) == stored.head.count + 1
        head = Head(count=len(stored.lines), sha256=_hash_in(stored.lines[-1])) if behind else stored.head
        return Stored(stored.lines, head, stored.torn)

    def set_aside(self) -> tuple[str, tuple[bytes, ...]]:
        """Move the task's rows into `decision_entries_lost`; a log that is in files yet is renamed."""
        if not self._has_rows():
            with self.files.locked():
                self._in_files = 0
                return self.files.set_aside()
        lines = tuple(bytes(row.line) for row in self._ask(READ, task=self.task).all())
        self._ask(KEEP)
        self._ask(MOVE, task=self.task)
        self._ask("DELETE FROM decision_heads WHERE task = :task", task=self.task)
        return f"decision_entries_lost in {place_of(self.url)}", lines

    def add(self, earlier: tuple[bytes, ...], line: bytes, head: Head) -> None:
        """Insert a line and move the head; lines that were read from files are inserted before it."""
        if not self._has_tables():
            self._make_tables()
        first = len(earlier) - self._in_files
        for index, text in enumerate((*earlier[first:], line), start=first + 1):
            self._ask(ADD, task=self.task, index=index, line=text, sha256=_hash_in(text))
        self._ask(ADD_HEAD, task=self.task, count=head.count, sha256=head.sha256)
        if self._in_files:
            taken = f"took over {self._in_files} decisions from {self.files.path} into the {self.name}"
            logging.getLogger("playbook.progress").info(taken)
        self._added = True

    def _make_tables(self) -> None:
        ensure_schema(self.url)
        self._ask("SELECT pg_advisory_xact_lock(:key)", key=lock_key(LOCK_TABLES))
        for statement in MAKE:
            self._ask(statement)

    def _has_tables(self) -> bool:
        return self._ask("SELECT to_regclass('decision_heads')").scalar() is not None

    def _has_rows(self) -> bool:
        if not self._has_tables():
            return False
        known = (
            "SELECT EXISTS (SELECT 1 FROM decision_heads WHERE task = :task) "
            "OR EXISTS (SELECT 1 FROM decision_entries WHERE task = :task)"
        )
        return bool(self._ask(known, task=self.task).scalar())

    def _ask(self, statement: str, **values: Any) -> CursorResult[Any]:
        from sqlalchemy import text

        if self._connection is None:
            raise ArtifactError(f"{self.name}: expected to be asked under its lock, found no transaction")
        return self._connection.execute(text(statement), values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        self._added = committing = False
        try:
            with make_engine(self.url).connect() as self._connection:
                yield
                committing = self._added
                self._connection.commit()
        except (SQLAlchemyError, StorageError, TaskBusy) as error:
            known = "Whether it was recorded, `playbook log` shows" if committing else "Nothing was recorded"
            raise ArtifactError(
                f"{self.name}: expected to read and write it, but {type(error).__name__}: "
                f"{first_line(error, self.url)}. {known}; see that the database runs and that its user may write to "
                "it, and run the play again"
            ) from None
        finally:
            self._connection = None


def _hash_in(line: bytes) -> str:
    """The hash that a verified line carries."""
    try:
        return str(json.loads(line)["sha256"])
    except (ValueError, KeyError, TypeError):
        return ""  # verified a moment later, and refused then
