"""What all tests share: telemetry off, unpickling refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbook.settings import quiet_environment

quiet_environment()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied by whoever needs a tracking store of their own."""
    from play_runs import empty_database

    return empty_database(tmp_path_factory.mktemp("database"))
