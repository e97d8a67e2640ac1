"""MLflow's schema in a PostgreSQL: made by whichever process comes first, under a lock; upgraded only when asked to.

Other machines may use an older MLflow on the same tables, and nothing here can make a backup of them: an upgrade is a
person's step. `python -m resources.tracking_postgres` does it, for the tracking store that the environment names.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from playbook.database import advisory_lock, ensure_schema, first_line, is_postgres, make_engine, place_of
from playbook.errors import PlaybookError, StorageError
from playbook.settings import quiet_environment, settings
from resources.tracking_upgrade import UPGRADE_SECONDS, run_upgrade

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK = "mlflow schema"


def prepare_postgres(uri: str) -> None:
    """Make sure that a PostgreSQL has the schema of the installed MLflow. Any number of machines may ask at once.

    Takes some seconds once, then a query.

    Raises:
        PlaybookError: another release's schema, or another program's tables; or MLflow could not make its own.
        StorageError: the database does not answer.
        TaskBusy: another client does not come to an end with it.
    """
    ensure_schema(uri)
    expected = _revisions()[0]
    if _revision_at(uri) == expected:
        return
    with advisory_lock(uri, LOCK, UPGRADE_SECONDS) as connection:
        found = _revision(connection)
        if found == expected:
            return
        if found:
            raise PlaybookError(_other_release(uri, found, expected))
        _run(uri)


def upgrade_postgres(uri: str) -> str:
    """Upgrade the schema to the installed MLflow's; returns what was done, in a sentence.

    Raises:
        PlaybookError: another program's tables, or MLflow could not upgrade its own; then they are as they were.
    """
    ensure_schema(uri)
    expected = _revisions()[0]
    with advisory_lock(uri, LOCK, UPGRADE_SECONDS) as connection:
        found = _revision(connection)
        if found == expected:
            return f"{place_of(uri)}: MLflow's schema is at {expected} already"
        if found and found not in _revisions()[1]:
            raise PlaybookError(_other_release(uri, found, expected))
        _run(uri)
    return f"{place_of(uri)}: MLflow's schema went from {found or 'nothing'} to {expected}"


def _run(uri: str) -> None:
    run_upgrade(uri, place_of(uri), "nothing was changed; see that its user may create tables in the schema")


def _other_release(uri: str, found: str, expected: str) -> str:
    release = importlib.metadata.version("mlflow")
    if found in _revisions()[1]:
        remedy = "make a backup, then: python -m resources.tracking_postgres"
    else:
        remedy = (
            "it is a newer MLflow's or another program's (Dagster's and MLflow's tables cannot share a schema); "
            "install that release, or name a schema of its own by ?options=-csearch_path=mlflow at the end of the URL"
        )
    return (
        f"{place_of(uri)}: expected revision {expected} of MLflow {release} in its table alembic_version, found "
        f"{found}; {remedy}"
    )


def _revision_at(uri: str) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with make_engine(uri).connect() as connection:
            return _revision(connection)
    except SQLAlchemyError as error:
        raise StorageError(
            f"{place_of(uri)}: expected MLflow's database to answer, found: {first_line(error, uri)}; start it, or "
            "correct the URL in the environment"
        ) from None


def _revision(connection: Connection) -> str:
    from sqlalchemy import text

    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return ""
    return ", ".join(connection.execute(text("SELECT version_num FROM alembic_version ORDER BY 1")).scalars())


@functools.cache
def _revisions() -> tuple[str, frozenset[str]]:
    """The newest revision of the installed MLflow, and all of them; read from its files, as importing them takes long.

    Raises:
        PlaybookError: this MLflow keeps its migrations otherwise.
    """
    package = importlib.util.find_spec("mlflow")
    folder = Path(str(package.origin)).parent / "store" / "db_migrations" / "versions" if package else Path()
    found, followed = set(), set()
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r"""^revision(?:: str)? = ["'](\w+)["']""", text, re.MULTILINE))
        followed |= set(re.findall(r"""^down_revision(?:: .*?)? = ["'](\w+)["']""", text, re.MULTILINE))
    newest = found - followed
    if len(newest) != 1:
        raise PlaybookError(
            f"{folder}: expected the migrations of MLflow 3.17 with one newest, found {len(newest)}; install the "
            "locked release, or name a tracking server in MLFLOW_TRACKING_URI"
        )
    return newest.pop(), frozenset(found)


@click.command()
def main() -> None:
    """Upgrade MLflow's schema in PostgreSQL to the installed release; make a backup first."""
    quiet_environment()
    uri = settings().mlflow_tracking_uri
    if not is_postgres(uri):
        raise click.ClickException(f"{place_of(uri)}: expected a PostgreSQL; other stores need no step by hand")
    try:
        click.echo(upgrade_postgres(uri))
    except PlaybookError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
