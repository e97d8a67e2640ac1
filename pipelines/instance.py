"""Dagster's instance of this installation: DAGSTER_HOME with its configuration, made on first use."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from playbook.settings import Settings

CONFIGURATION = Path(__file__).with_name("dagster.yaml")


def prepare_home(places: Settings) -> Path:
    """Make DAGSTER_HOME with a dagster.yaml, if there is none yet, and name it in the environment."""
    home = places.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".prepare.lock"):
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(CONFIGURATION.read_text(encoding="utf-8"), encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home
