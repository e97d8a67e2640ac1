"""Tables of the prediction log, and the connection to them, on SQLite and on PostgreSQL.

Text and times are made storable here: PostgreSQL knows no NUL, neither database knows half a surrogate pair, and
SQLite knows no time zone, so that times are kept in UTC without one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.dialects import postgresql, sqlite

from playbook.database import ensure_schema, first_line, is_postgres, place_of, postgres_url
from playbook.errors import SettingsError, StorageError

VARIABLE = "PLAYBOOK_PREDICTION_LOG"
METADATA = sa.MetaData()
LOCK_SECONDS = 60
CONNECT_SECONDS = 3
SILENT_MILLISECONDS = 10_000  # a server that says nothing for so long is taken for dead
ADVISORY = 0x706C6179  # PostgreSQL's lock while tables are made; "play"


AWAY = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.TimeoutError,
)  # the database's trouble, not that of what was asked of it


class CommitUnknown(StorageError):
    """The connection broke while a transaction was committed: it may be in the database, or not. Write it again."""


class UtcTime(sa.TypeDecorator[datetime]):
    """An aware time, kept in UTC."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """To the database; a time without a zone is a mistake of the caller."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"expected a time with a zone, found {value}; say datetime(..., tzinfo=UTC)")
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("time", UtcTime, nullable=False),
    sa.Column("day", sa.String(10), nullable=False),  # of `time`, ISO
    sa.Column("version", sa.Text, nullable=False),  # semantic version of the model
    sa.Column("source", sa.String(16), nullable=False),  # serve or batch
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("probabilities", sa.Text, nullable=False),  # JSON, by class
    sa.Column("text", sa.Text, nullable=False),  # redacted
    sa.Column("columns", sa.Text, nullable=False),  # JSON, further columns of the input, redacted
    sa.Column("logged_at", UtcTime, nullable=False),
    sa.Column("silent", sa.Boolean, nullable=False, server_default=sa.false()),  # a person was asked
    sa.Index("predictions_by_day", "task", "day"),
)
OUTCOMES = sa.Table(
    "outcomes",  # append-only: the newest by recorded_at counts, of equal ones the one written last
    METADATA,
    sa.Column(
        "number",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.Identity(),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("recorded_at", UtcTime, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("added_at", UtcTime, nullable=False),
    sa.Index("outcomes_by_prediction", "task", "id"),
)
LOST = sa.Table(
    "lost_predictions",  # rows that a writer could not write; its own count, which only grows
    METADATA,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("writer", sa.String(64), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
)


def storable(text: str) -> str:
    """Text that both databases take: without NUL and half surrogate pairs, which become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def insert_into(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT, for the database at hand."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


class Database:
    """The log's database; nothing is asked of it before the first `begin`.

    Args:
        url: SQLAlchemy URL, `sqlite:///FILE` or `postgresql://...`; never shown, it may hold a password.
        busy_seconds: how long SQLite waits for another writer.

    Raises:
        SettingsError: no URL of these two databases.
    """

    def __init__(self, url: str, busy_seconds: float = 10.0) -> None:
        if is_postgres(url):
            url = postgres_url(url, VARIABLE)
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):
            raise _not_usable("something that is no URL") from None
        backend = parsed.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise _not_usable(f"a URL of {backend}")
        if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise _not_usable("a database in memory, which no other process would see")
        self._url = url
        self.file = Path(str(parsed.database)).absolute() if backend == "sqlite" else None
        self._busy_seconds = busy_seconds
        self._engine = self._make_engine()
        self._ready = False

    def __repr__(self) -> str:
        return f"Database({self.place})"

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return str(self.file) if self.file is not None else place_of(self._url)

    def _make_engine(self) -> sa.Engine:
        if self.file is None:
            arguments = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": SILENT_MILLISECONDS}
            # Parameters are people's texts: they stay out of error messages.
            return sa.create_engine(self._url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)
        engine = sa.create_engine(self._url, connect_args={"timeout": self._busy_seconds}, hide_parameters=True)

        @sa.event.listens_for(engine, "connect")
        def _(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # BEGIN is ours
            connection.execute("PRAGMA secure_delete=ON")  # what retention deletes is overwritten, too

        @sa.event.listens_for(engine, "begin")
        def _(connection: sa.Connection) -> None:
            # A transaction that began by reading could not write when another one has written meanwhile.
            options = connection.get_execution_options()
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing") else "BEGIN")

        return engine

    @contextmanager
    def begin(self, writing: bool = False) -> Iterator[sa.Connection]:
        """A transaction, committed at the end; the tables are there. Of two writers one waits for the other.

        Raises:
            StorageError: the database is away, busy or read-only; nothing was changed.
            CommitUnknown: the connection broke while it committed.
        """
        try:
            if not self._ready or (self.file is not None and not self.file.exists()):
                self._make_tables()
                self._ready = True
            with self._engine.connect() as connection:
                transaction = connection.execution_options(writing=writing).begin()
                with _rolled_back(transaction):
                    yield connection
                try:
                    transaction.commit()
                except sa.exc.DBAPIError as error:
                    raise CommitUnknown(self._away(error)) from None
        except AWAY as error:
            raise StorageError(self._away(error)) from None

    def _away(self, error: Exception) -> str:
        return (
            f"prediction log {self.place}: expected it to answer, found: {first_line(error, self._url)}; check that it "
            f"runs and may be written, and {VARIABLE}"
        )

    def _make_tables(self) -> None:
        """Any number of processes may come here at once."""
        if self.file is None:
            ensure_schema(self._url)
            with self._engine.begin() as connection:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY})
                METADATA.create_all(connection)
                _add_columns(connection)
            return
        self._engine.dispose()  # connections to a file that was taken away would go on writing into it
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.file}.lock", timeout=LOCK_SECONDS):
                with contextlib.closing(sqlite3.connect(self.file, timeout=self._busy_seconds)) as connection:
                    connection.execute("PRAGMA journal_mode=WAL")  # stays with the file
                with self._engine.connect().execution_options(writing=True) as connected, connected.begin():
                    METADATA.create_all(connected)
                    _add_columns(connected)
        except (OSError, Timeout, sqlite3.Error) as error:
            raise StorageError(self._away(error)) from None

    def forget(self) -> None:
        """Overwrite what was deleted in SQLite's journal, too, as far as nobody is reading there."""
        if self.file is not None:
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self.file, timeout=1)) as link:
                link.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _add_columns(connection: sa.Connection) -> None:
    """Columns that tables of an earlier release lack; what was written without them has their default.

    Raises:
        StorageError: the table belongs to somebody else, who has to add them.
    """
    known = {column["name"] for column in sa.inspect(connection).get_columns(PREDICTIONS.name)}
    if PREDICTIONS.c.silent.name in known:
        return
    default = "false" if connection.dialect.name == "postgresql" else "0"
    alter = f"ALTER TABLE {PREDICTIONS.name} ADD COLUMN silent BOOLEAN NOT NULL DEFAULT {default}"
    try:
        connection.execute(sa.text(alter))
    except sa.exc.ProgrammingError as error:
        raise StorageError(
            f"prediction log: expected the column silent in the table {PREDICTIONS.name}, found a table of an earlier "
            f"release and {first_line(error, '')}; let the table's owner run: {alter}"
        ) from None


@contextmanager
def _rolled_back(transaction: sa.Transaction) -> Iterator[None]:
    """Roll back where the body fails; a connection that is gone has done so by itself."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(sa.exc.DBAPIError):
            transaction.rollback()
        raise


def _not_usable(found: str) -> SettingsError:
    return SettingsError(
        f"{VARIABLE}: expected sqlite:///FILE or postgresql://USER@HOST/DATABASE, found {found}; correct it or unset it"
    )
