"""Dagster's instance of this installation: DAGSTER_HOME with its configuration, made on first use."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from playbook.settings import Settings

MADE = ".made"  # the database is there
CONFIGURATION = Path(__file__).with_name("dagster.yaml")


def prepare_home(places: Settings) -> Path:
    """Make DAGSTER_HOME with a dagster.yaml, if there is none yet, and name it in the environment."""
    home = places.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".prepare.lock"):
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(CONFIGURATION.read_text(encoding="utf-8"), encoding="utf-8")
        if not (home / MADE).exists():
            _make_database(home)
            (home / MADE).touch()
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _make_database(home: Path) -> None:
    """Open the instance once: processes that open a new one at the same time break each other's tables."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()
