"""PostgreSQL by URL: one database for everything, each part in a schema of its own, no password in any message.

MLflow and Dagster both keep a table `alembic_version`, so they cannot share a schema. A URL says which schema it means
by libpq's `options=-csearch_path=NAME`; every library that is handed the URL obeys it without knowing. Schemas are made
on first use, under an advisory lock, by whichever process comes first.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from playbook.errors import SettingsError, StorageError, TaskBusy

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

DRIVER = "postgresql+psycopg2"
SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
SCHEMES = ("postgresql", "postgres", DRIVER)
SEARCH_PATH = re.compile(r"-c\s*search_path=(\w+)")
SECRET = re.compile(r"(password|passwd|token|secret|sslpassword)", re.IGNORECASE)
CONNECT_SECONDS = 10
# A server that vanished without a word is given up, instead of being waited for until the system's hours are over.
ALIVE = {"connect_timeout": CONNECT_SECONDS, "keepalives_idle": 10, "tcp_user_timeout": 30_000}


def is_postgres(url: str | None) -> bool:
    """Whether a URL names a PostgreSQL, with or without a driver."""
    return bool(url) and str(url).split(":", 1)[0] in SCHEMES


def postgres_url(url: str, variable: str) -> str:
    """The URL with the installed driver named: SQLAlchemy 2.1 would look for another one.

    Raises:
        SettingsError: another kind of database, or no database is named; the URL is not repeated.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in SCHEMES:
        shown = scheme if found and scheme.replace("+", "").isalnum() else "something else"
        raise SettingsError(f"{variable}: expected {SHAPE}, found {shown}; correct it or unset it")
    try:
        parts = urlsplit(f"{DRIVER}://{rest}")
        complete = bool(parts.path.strip("/")) and (parts.port is None or parts.port > 0)
    except ValueError:
        complete = False
    if not complete:
        raise SettingsError(
            f"{variable}: expected {SHAPE}, found a URL that names no database or has a character that is not "
            "percent-encoded; correct it or unset it"
        )
    return f"{DRIVER}://{rest}"


def in_schema(url: str, schema: str) -> str:
    """The URL with `schema` as the place of its tables; a URL that names one already is left as it is."""
    if schema_of(url):
        return url
    base, _, query = url.partition("?")
    options = [part for part in query.split("&") if part.startswith("options=")]
    others = [part for part in query.split("&") if part and part not in options]
    given = unquote(options[0].removeprefix("options=").replace("+", " ")) if options else ""
    joined = quote(f"{given} -csearch_path={schema}".strip(), safe="-=,")
    return f"{base}?" + "&".join([*others, f"options={joined}"])


def schema_of(url: str) -> str:
    """Schema that a URL names; empty where it names none."""
    options = [value for name, value in parse_qsl(urlsplit(url).query) if name == "options"]
    found = SEARCH_PATH.search(options[0]) if options else None
    return found.group(1) if found else ""


def place_of(url: str) -> str:
    """Where a URL leads, without user and password: what messages say and what fingerprints stand on.

    Any URL is accepted; one without user, password or a query is returned as it is.
    """
    head, found, rest = url.partition("://")
    if not found or not ("@" in rest or "?" in rest):
        return url
    place, _, query = rest.partition("?")
    if "@" in query and "@" not in place:  # a question mark in a password that is not percent-encoded
        return f"{head}://..."
    schema = schema_of(url) if is_postgres(url) else ""
    scheme = head.partition("+")[0] if is_postgres(url) else head
    return f"{scheme}://{place.rpartition('@')[2]}" + (f" (schema {schema})" if schema else "")


def without_secrets(text: str, url: str) -> str:
    """A library's message with the password of `url` blanked, in both ways in which it may be written."""
    parts = urlsplit(url)
    secrets = [parts.password or "", *(value for name, value in parse_qsl(parts.query) if SECRET.search(name))]
    for secret in secrets:
        for written in {secret, unquote(secret), quote(secret, safe="")} - {""}:
            text = text.replace(written, "***")
    return text


def first_line(error: BaseException, url: str) -> str:
    """What a database error says, in one line without secrets."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return without_secrets(lines[0] if lines else type(cause).__name__, url)


def make_engine(url: str, **options: Any) -> Engine:
    """An engine without a pool: a connection per piece of work survives forks, and holds none of the server's few."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    return create_engine(url, poolclass=NullPool, connect_args=ALIVE, **options)


@contextmanager
def advisory_lock(url: str, name: str, seconds: float) -> Iterator[Connection]:
    """Hold a lock among all clients of a database; it ends with the connection, so a killed holder frees it.

    Yields:
        The connection that holds it, in a transaction that is committed at the end.

    Raises:
        TaskBusy: somebody else held it for all of `seconds`.
        StorageError: the database does not answer.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    engine = make_engine(url)
    try:
        connection = engine.connect()
        connection.execute(text(f"SET lock_timeout = {int(seconds * 1000)}"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": lock_key(name)})
        connection.commit()
    except SQLAlchemyError as error:
        if getattr(getattr(error, "orig", None), "pgcode", "") == "55P03":  # lock_not_available
            raise TaskBusy(
                f"{place_of(url)}: expected the lock {name} within {seconds:g} s, found it held by another client; "
                "wait for it, or end it"
            ) from None
        raise _away(url, error) from None
    try:
        yield connection
        connection.commit()
    finally:
        connection.invalidate()  # closes it, which frees the lock even where a statement failed
        connection.close()


@contextmanager
def exclusive(url: str, name: str) -> Iterator[None]:
    """Hold a lock for as long as a run takes, or refuse at once; the end of the connection frees it.

    Raises:
        TaskBusy: somebody else holds it.
        StorageError: the database does not answer.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection = make_engine(url).connect()
        free = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(name)}).scalar()
        connection.commit()
    except SQLAlchemyError as error:
        raise _away(url, error) from None
    try:
        if not free:
            raise TaskBusy(f"{place_of(url)}: expected the lock {name}, found it held by another client; wait for it")
        yield
    finally:
        connection.invalidate()  # asks nothing of a server that may have gone meanwhile
        connection.close()


def lock_key(name: str) -> int:
    """A number for PostgreSQL's advisory locks, the same everywhere."""
    return zlib.crc32(f"playbook {name}".encode())


def ensure_schema(url: str) -> None:
    """Make the schema that a URL names, if there is none yet; any number of processes may ask at once.

    Raises:
        StorageError: the database does not answer, or this user may not make a schema.
        TaskBusy: another client does not come to an end with it.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    schema = schema_of(url)
    if not schema:
        return
    known = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    try:
        with make_engine(url).connect() as connection:
            if connection.execute(known, {"name": schema}).scalar():
                return
        with advisory_lock(url, f"schema {schema}", CONNECT_SECONDS * 3) as connection:
            if not connection.execute(known, {"name": schema}).scalar():
                connection.execute(text(f'CREATE SCHEMA "{schema}"'))  # \w+ by SEARCH_PATH
    except SQLAlchemyError as error:
        raise _away(url, error) from None


def _away(url: str, error: BaseException) -> StorageError:
    return StorageError(
        f"{place_of(url)}: expected PostgreSQL to answer and to let this user in, found: {first_line(error, url)}; "
        "start it, or correct the URL in the environment"
    )
