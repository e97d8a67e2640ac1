"""What several files of quick tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def migrations_read_once() -> Iterator[None]:
    """Dagster reads the scripts of its migrations again for every database that it opens, and each run has one."""
    from alembic.script import ScriptDirectory

    read, known = ScriptDirectory.from_config, dict[str | None, Any]()

    def kept(config: Any) -> Any:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", staticmethod(kept))
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
