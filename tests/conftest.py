"""What all tests share: telemetry off, unpickling refused, one thread for each of several workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from playbook.settings import quiet_environment

quiet_environment()
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; torch and BLAS would each take all of them
    for name in ("PLAYBOOK_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied by whoever needs a tracking store of their own."""
    from play_runs import empty_database

    return empty_database(tmp_path_factory.mktemp("database"))
