"""Dagster's instance of this installation: DAGSTER_HOME with its configuration, made on first use.

`python -m pipelines.instance COMMAND ...` prepares Dagster's and MLflow's databases and then becomes the command, with
what it needs in the environment: `python -m pipelines.instance dagster-daemon run`. Without a command it only prepares.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
from pathlib import Path

import click
import yaml
from filelock import FileLock

from playbook.database import advisory_lock, ensure_schema, first_line, make_engine, place_of
from playbook.errors import PlaybookError, SettingsError, StorageError
from playbook.settings import DAGSTER_DATABASE, Settings, quiet_environment, settings

MADE = ".made"  # SQLite's files are there
CONFIGURATION = Path(__file__).with_name("dagster.yaml")
BEGIN, END = "# storage, written by playbook: the environment decides", "# end of storage"
STORAGE = f"""{BEGIN}
storage:
  postgres:
    postgres_url:
      env: {DAGSTER_DATABASE} # the URL with its password is in the environment only
{END}
"""
MAKE_SECONDS = 120


def prepare_home(places: Settings) -> Path:
    """Make DAGSTER_HOME with a dagster.yaml, if there is none yet, and name it in the environment.

    Where a PostgreSQL is asked for, dagster.yaml names the variable that has its URL, and its tables are made. A home
    that was made for the other kind of storage is switched; the log says so.

    Raises:
        SettingsError: dagster.yaml was edited so that it cannot be switched.
        StorageError: PostgreSQL does not answer.
        TaskBusy: another machine does not come to an end with making the tables.
    """
    home = places.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    if places.dagster_database:
        os.environ[DAGSTER_DATABASE] = places.dagster_database  # with driver and schema
    with FileLock(home / ".prepare.lock"):
        _write_configuration(home, places.dagster_database)
        _require_in_force(home / "dagster.yaml")
        if places.dagster_database:
            _make_tables(home, places.dagster_database)
        elif not (home / MADE).exists():
            _open_once(home)
            (home / MADE).touch()
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _write_configuration(home: Path, database: str | None) -> None:
    file = home / "dagster.yaml"
    if not file.exists():
        text = CONFIGURATION.read_text(encoding="utf-8")
        _replace(file, text + STORAGE if database else text)
        return
    text = file.read_text(encoding="utf-8")
    ours = BEGIN in text and END in text
    if ours and not database:
        head, _, rest = text.partition(BEGIN)
        _replace(file, head + rest.partition(END)[2].lstrip("\n"))
        _say(f"{file}: back to SQLite in {home}, as no PostgreSQL is named; runs recorded in PostgreSQL stay there")
    elif database and not ours:
        if "storage" in _sections(file, text):
            return  # somebody's own storage
        _replace(file, text.rstrip("\n") + "\n" + STORAGE)
        if (home / MADE).exists():
            _say(f"{file}: switched to {place_of(database)}; runs recorded in SQLite stay in {home} and are not shown")


def _require_in_force(file: Path) -> None:
    """Refuse a configuration that Dagster would not find, or that leaves it to Dagster whether usage is reported.

    Dagster looks for the file with a glob, and takes its defaults, telemetry among them, where it finds none.
    """
    if glob.glob(str(file)) != [str(file)]:  # noqa: PTH207 - the same search as Dagster's
        raise SettingsError(
            f"{file}: expected Dagster to find this file, found that the folder's name reads as a pattern; set "
            "DAGSTER_HOME, or PLAYBOOK_HOME, to another folder"
        )
    found = _sections(file, file.read_text(encoding="utf-8")).get("telemetry")
    if not isinstance(found, dict) or not isinstance(found.get("enabled"), bool):
        raise SettingsError(
            f"{file}: expected `telemetry: {{enabled: false}}`, found none, and Dagster then reports how it is used; "
            "write that line, or `true` if you want it"
        )


def _sections(file: Path, text: str) -> dict[str, object]:
    try:
        return dict(yaml.safe_load(text) or {})
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise SettingsError(
            f"{file}: expected Dagster's configuration, found no such YAML ({' '.join(str(error).split())}); fix it, "
            "or move it away to have it written again"
        ) from None


def _replace(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _say(text: str) -> None:
    logging.getLogger("playbook.progress").warning(text)


def _make_tables(home: Path, database: str) -> None:
    """Make Dagster's tables once, whichever machine comes first."""
    ensure_schema(database)
    if _has_tables(database):
        return
    with advisory_lock(database, "dagster schema", MAKE_SECONDS):
        if not _has_tables(database):
            _open_once(home)


def _has_tables(database: str) -> bool:
    """Whether the last table that Dagster makes is there."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    asked = "SELECT to_regclass('runs') IS NOT NULL AND to_regclass('event_logs') IS NOT NULL "
    try:
        with make_engine(database).connect() as connection:
            return bool(connection.execute(text(f"{asked} AND to_regclass('job_ticks') IS NOT NULL")).scalar())
    except SQLAlchemyError as error:
        raise StorageError(
            f"{place_of(database)}: expected Dagster's database to answer, found: {first_line(error, database)}; start "
            "it, or correct the URL in the environment"
        ) from None


def _open_once(home: Path) -> None:
    """Open the instance: processes that open a new one at the same time break each other's tables."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
        instance.event_log_storage.get_maximum_record_id()
        instance.all_instigator_state()


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def main(command: tuple[str, ...]) -> None:
    """Prepare the databases, then become COMMAND."""
    from resources.mlflow_server import server_environment
    from resources.tracking import Tracking
    from resources.tracking_database import upgrade_database

    quiet_environment()
    logging.basicConfig(format="%(message)s")
    try:
        places = settings()
        prepare_home(places)
        tracking = Tracking.from_settings(places)
        if tracking.artifacts:  # a database, and not somebody's server
            upgrade_database(tracking.uri)
            os.environ.setdefault("MLFLOW_DEFAULT_ARTIFACT_ROOT", tracking.artifacts)
            os.environ.setdefault("MLFLOW_BACKEND_STORE_URI", tracking.uri)
        os.environ["MLFLOW_TRACKING_URI"] = tracking.uri
        os.environ.update(server_environment(tracking))
    except PlaybookError as error:
        raise click.ClickException(str(error)) from None
    if command:
        program = shutil.which(command[0])
        if program is None:
            raise click.ClickException(f"{command[0]}: expected a program of this environment, found none")
        os.execv(program, command)  # noqa: S606 - the command is the operator's own


if __name__ == "__main__":
    main()
