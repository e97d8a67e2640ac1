"""What several files of quick tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster_storage import read_migrations_once


@pytest.fixture(scope="session")
def migrations_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        read_migrations_once(patch)
        yield


@pytest.fixture(scope="session")
def empty_instance(tmp_path_factory: pytest.TempPathFactory, migrations_read_once: None) -> Path:
    """Databases of a Dagster instance without runs, to be copied: making them takes longer than most tests."""
    import dagster as dg

    folder = tmp_path_factory.mktemp("empty-instance")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.local_temp(str(folder)):
        pass
    (folder / "dagster.yaml").unlink()
    return folder
