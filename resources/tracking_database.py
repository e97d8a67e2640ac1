"""MLflow's local database: created and upgraded once, safely, before anybody uses it.

Several processes that meet a missing database break it for good (MLflow 3.17), and a process killed while it migrates
leaves half a schema. So a new database is made under a lock beside its place and moved there when it is whole; an older
one is upgraded in place, with a copy beside it. It then runs in WAL mode, in which readers and a writer do not block
each other.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from playbook.database import is_postgres
from playbook.errors import TaskBusy
from resources.tracking_postgres import prepare_postgres
from resources.tracking_upgrade import UPGRADE_SECONDS, run_upgrade


def sqlite_path(uri: str) -> Path | None:
    """File of a `sqlite:///` URI; None for a server, another database, or one in memory."""
    if not uri.startswith("sqlite:///"):
        return None
    place = unquote(uri.removeprefix("sqlite:///").split("?", 1)[0])
    return Path(place).absolute() if place and place != ":memory:" else None


def upgrade_database(uri: str) -> None:
    """Make sure that a database exists with the schema of the installed MLflow. Nothing is done for a server.

    Takes some seconds once (`mlflow db upgrade`), then a file's look-up. Any number of processes may call it at once.

    Raises:
        PlaybookError: MLflow could not make or upgrade the schema; in PostgreSQL an older one is left alone.
        TaskBusy: another process does not come to an end with it.
    """
    if is_postgres(uri):
        prepare_postgres(uri)
    database = sqlite_path(uri)
    if database is None:
        return
    release = importlib.metadata.version("mlflow")
    marker = database.with_name(f"{database.name}.schema")
    if _ready(database, marker, release):
        return
    with file_lock(database.with_name(f"{database.name}.lock"), UPGRADE_SECONDS):
        if not _ready(database, marker, release):
            (_upgrade if database.is_file() else _make)(database)
            marker.write_text(release, encoding="utf-8")


@contextlib.contextmanager
def file_lock(path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock file; its folder is made.

    Raises:
        TaskBusy: another process held it for all of `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise TaskBusy(
            f"{path}: expected the lock within {seconds:g} s, found it held by another process; wait for it, or end it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _ready(database: Path, marker: Path, release: str) -> bool:
    return database.is_file() and marker.is_file() and marker.read_text(encoding="utf-8") == release


def _make(database: Path) -> None:
    """A new database beside its place, moved there when it is whole; a killed start leaves only the part."""
    part = database.with_name(f"{database.name}.part")
    for leftover in database.parent.glob(f"{part.name}*"):
        leftover.unlink()
    run_upgrade(
        f"sqlite:///{part}",
        str(part),
        "nothing was left behind; name a tracking server in MLFLOW_TRACKING_URI if it cannot be made",
    )
    _use_wal(part)
    part.replace(database)


def _upgrade(database: Path) -> None:
    """Upgrade in place (others may have it open); a copy of an older schema's database stays beside it."""
    copy = database.with_name(f"{database.name}.before-upgrade")
    copy.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(database)) as old, contextlib.closing(sqlite3.connect(copy)) as new:
        old.backup(new)  # with what is still in its write-ahead log
    run_upgrade(
        f"sqlite:///{database}",
        str(database),
        f"a copy of it as it was lies at {copy}; put that back, or move both away to start afresh",
    )
    if _revision(copy) == _revision(database):
        copy.unlink()
    _use_wal(database)


def _revision(database: Path) -> str:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        known = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return str(row[0]) if row else ""


def _use_wal(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
