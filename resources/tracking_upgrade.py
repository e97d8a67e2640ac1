"""`mlflow db upgrade` in a process of its own, which names no database in its arguments: a URL may carry a password."""

from __future__ import annotations

import os
import subprocess
import sys

from playbook.database import without_secrets
from playbook.errors import PlaybookError
from playbook.settings import QUIET_ENVIRONMENT

UPGRADE_SECONDS = 300
URL = "MLFLOW_TRACKING_URI"
# Of MLflow's command line only this part: all of it takes a second longer to import.
UPGRADE = f"import os; from mlflow.db import commands; commands(['upgrade', os.environ['{URL}']])"


def run_upgrade(uri: str, shown: str, remedy: str) -> None:
    """Make or upgrade MLflow's schema at `uri`.

    Args:
        shown: the database in messages.
        remedy: what to do where it fails, and what was left behind.

    Raises:
        PlaybookError: MLflow could not, or took too long.
    """
    environment = {**os.environ, **QUIET_ENVIRONMENT, URL: uri}
    command = [sys.executable, "-c", UPGRADE]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=UPGRADE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise PlaybookError(
            f"{shown}: expected MLflow's schema within {UPGRADE_SECONDS} s, found none; try again on a quieter "
            "machine, or name a tracking server in MLFLOW_TRACKING_URI"
        ) from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise PlaybookError(
            f"{shown}: expected `mlflow db upgrade` to succeed, found status {done.returncode}: "
            f"{without_secrets(lines[-1], uri)}; {remedy}"
        )
