"""MLflow's own pages: the command that serves them on this machine only.

Job execution is off: it would start seven idle workers (0.85 GB), and nothing here uses it. MLflow itself refuses
requests with a foreign Host or Origin; to serve others, put a proxy that authenticates in front.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playbook.database import is_postgres
from playbook.settings import QUIET_ENVIRONMENT
from resources.tracking import Tracking
from resources.tracking_database import upgrade_database

LOOPBACK = "127.0.0.1"
PORT = 5000


def server_command(tracking: Tracking, port: int = PORT) -> list[str]:
    """Command line of MLflow's server on loopback; run it with `server_environment(tracking)`. Prepares a database.

    A URL with a password is not in it, as every user of a machine can read command lines; the environment has it.
    """
    upgrade_database(tracking.uri)  # the schema is there before the server asks for it
    store = [] if is_postgres(tracking.uri) else ["--backend-store-uri", tracking.uri]
    place = ["--default-artifact-root", tracking.artifacts] if tracking.artifacts else []
    address = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *store, *place, *address]


def server_environment(tracking: Tracking | None = None) -> dict[str, str]:
    """Environment of the server: this process's, telemetry off, no job workers, no unpickling, a database's URL."""
    store = {"MLFLOW_BACKEND_STORE_URI": tracking.uri} if tracking and is_postgres(tracking.uri) else {}
    return {**os.environ, **QUIET_ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **store}


def serve_model_command(uri: str, port: int) -> list[str]:
    """Command line that answers over HTTP with a registered model (`models:/tickets@champion`), on loopback.

    This is MLflow's server as it is: it logs nothing, and resolves the alias when it starts. `playbook serve`
    (`resources.serving_app`) follows the alias and logs. Set MLFLOW_TRACKING_URI for it.
    """
    options = ["--env-manager", "local", "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri, *options]


def model_environment(tracking: Tracking) -> dict[str, str]:
    """Environment of a model's server: offline, no unpickling, the tracking store named."""
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "MLFLOW_TRACKING_URI": tracking.uri}
    return {**os.environ, **QUIET_ENVIRONMENT, **offline, "PATH": _path_with_python()}


def _path_with_python() -> str:
    """PATH with this interpreter's folder first: MLflow starts its server by name."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
