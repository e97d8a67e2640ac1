"""What all tests share: telemetry off, unpickling refused, one thread, an environment of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from playbook.settings import quiet_environment

quiet_environment()
# Tests train on tiny tensors in several processes: more threads would only wait for each other. To be set before
# torch and BLAS are imported; children inherit it.
for name in ("PLAYBOOK_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# Tests make their own places; the caller's database or webhook is none of theirs.
for name in ("DATABASE", "DAGSTER_DATABASE", "PREDICTION_LOG", "DECISION_LOG", "WEBHOOK"):
    os.environ.pop(f"PLAYBOOK_{name}", None)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a test leaves in the environment, such as the database that a run names, is not there for the next one."""
    before = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied by whoever needs a tracking store of their own."""
    from play_runs import empty_database

    return empty_database(tmp_path_factory.mktemp("database"))
