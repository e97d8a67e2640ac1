"""MLflow's own pages: the command that serves them on this machine only.

Job execution is off: it would start seven idle workers (0.85 GB), and nothing here uses it. MLflow itself refuses
requests with a foreign Host or Origin; to serve others, put a proxy that authenticates in front.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playbook.settings import QUIET_ENVIRONMENT
from resources.tracking import Tracking

LOOPBACK = "127.0.0.1"
PORT = 5000


def server_command(tracking: Tracking, port: int = PORT) -> list[str]:
    """Command line of MLflow's server on loopback; run it with `server_environment()`. Prepares a local database."""
    _ = tracking.client  # the schema is there before the server asks for it
    artifacts = tracking.artifacts
    place = ["--default-artifact-root", artifacts.as_uri()] if artifacts else []
    address = ["--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking.uri, *place, *address]


def server_environment() -> dict[str, str]:
    """Environment of the server: this process's, telemetry off, no job workers, no unpickling."""
    return {**os.environ, **QUIET_ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_model_command(uri: str, port: int) -> list[str]:
    """Command line that answers over HTTP with a registered model (`models:/tickets@champion`), on loopback.

    The alias is resolved when the server starts: start it again after a promotion. Set MLFLOW_TRACKING_URI for it.
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
