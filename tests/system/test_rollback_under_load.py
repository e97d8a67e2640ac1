"""A worse model was promoted; one command goes back while the server is under load, and no request fails (6.1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from adapt_samples import pairs
from data_samples import write_csv
from play_runs import Place, make_place
from served_load import Load, serving
from served_models import ServedPlace
from services import wait_for

from playbook.taskfile import load_task

pytestmark = pytest.mark.proof  # two models are trained and a server is hammered; the parts have tests of their own


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Place]:
    """A task whose second version is in production."""
    place = make_place(tmp_path_factory.mktemp("load"), database)
    assert place.run().status["model"]["version"] == "1.0.0"
    write_csv(place.folder / "path.csv", pairs(960, 1))
    # A changed task is no longer what serves answers: an equally good model takes its place.
    place.document["question"] = "Do both words of this text agree with each other?"
    place.task()
    second = place.run()
    assert second.status["model"]["previous"] == "1.0.0", second.said
    yield place


def test_one_command_goes_back_and_no_request_fails(place: Place) -> None:
    second = place.run().status["model"]["version"]
    with serving(ServedPlace(place.folder, load_task(place.file))) as server:
        assert server.health["model_version"] == second
        with Load(server) as load:
            wait_for("answers", 120, lambda: len(load.versions) > 50)
            done = place.command("rollback", str(place.file), "--as", "team:c", "--reason", "it is worse")
            assert done.code == 0, done.said
            wait_for("the old version", 120, lambda: server.health["model_version"] == "1.0.0")
            back, wanted = time.monotonic(), len(load.versions) + 100
            wait_for("answers of the old version", 120, lambda: len(load.versions) > wanted)
        assert load.failures == []
        assert {version for _, version in load.versions} == {second, "1.0.0"}
        after = [version for asked, version in load.versions if asked > back]
        assert len(after) > 50
        assert set(after) == {"1.0.0"}
        assert server.health["lost"] == 0
