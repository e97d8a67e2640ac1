"""What the log keeps of a decision, and that a log which is gone is noticed by the store and by MLflow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from play_runs import Place, make_place

from playbook.decide.log import Entry
from resources.world import World

ANSWERS = {"novelty": "variant", "bottleneck": "judgement", "maintainers": 2, "deadline_weeks": 9}
pytestmark = pytest.mark.story


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    made = make_place(tmp_path_factory.mktemp("record"), database, max_rungs=1)
    made.document["decision"] = ANSWERS
    made.document["prices"] = {"person_hour": 60}
    made.task()
    done = made.run("--until", "decision")
    assert done.code == 0, done.said
    return made


def log_files(place: Place) -> list[Path]:
    path = place.places.decision_log("pairs")
    return [path, path.with_suffix(".head")]


def entries(place: Place) -> dict[str, Entry]:
    return {entry.kind: entry for entry in World(place.places).decision_log("pairs").entries()}


def test_the_entry_holds_answers_figures_and_baselines_under_the_owners_name(place: Place) -> None:
    found = entries(place)
    assert (found["scope"].by, found["decision"].by) == ("team:a", "team:a")
    body: dict[str, Any] = found["decision"].body
    assert body["answers"] == ANSWERS and body["prices"]["person_hour"] == 60
    assert set(body["baselines"]) == {"majority", "tfidf", "zero_shot"}
    assert all({"value", "low", "high", "rows"} <= set(score) for score in body["baselines"].values())
    assert any("rarest class" in question for question in body["figures"])
    assert body["costs"]["fine_tune"]["not priced"] == ["device time", "storage"]
    assert 0 < body["confidence"] < 1 and body["open questions"]
    assert "Confidence" in found["decision"].title
    again = place.run("--until", "decision")
    assert again.code == 0 and len(World(place.places).decision_log("pairs").entries()) == len(found), "nothing twice"


def test_store_and_mlflow_have_the_head(place: Place) -> None:
    log = World(place.places).decision_log("pairs")
    kept = [anchor.read() for anchor in log.anchors]
    assert len(kept) == 2 and all(one is not None for one in kept)
    assert all(one.sha256 in {entry.sha256 for entry in log.entries()} for one in kept if one is not None)
    store = kept[0]
    assert store is not None and (store.count, store.sha256) == (log.head.count, log.head.sha256)
    client = World(place.places).tracking.client
    experiment = client.get_experiment_by_name("pairs")
    runs = client.search_runs([experiment.experiment_id])
    assert any("playbook/decision_log" in run.data.tags for run in runs), "each attempt says which head it saw"


@pytest.mark.parametrize("emptied", [False, True], ids=["store and MLflow know", "MLflow alone knows"])
def test_a_deleted_log_is_noticed_by_every_command(place: Place, emptied: bool) -> None:
    kept = {path: path.read_bytes() for path in log_files(place)}
    anchors = Path(place.places.store) / "pairs" / "decision_log"
    for path in kept:
        path.unlink()
    if emptied:
        shutil.move(anchors, anchors.with_name("away"))
    try:
        where = "MLflow" if emptied else "the store"
        for command in ("run", "show", "log"):
            done = place.do(command, str(place.file))
            assert done.code == 1, command
            assert f"as {where} has kept it" in done.err and "found no log: it was deleted" in done.err
            assert "Restore it from a backup" in done.err and "--accept-loss" in done.err
        said = place.do("run", str(place.file), "--json")
        assert "found no log" in said.status["failure"]
        assert not log_files(place)[0].exists(), "no new log is begun in its place"
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        if emptied:
            shutil.move(anchors.with_name("away"), anchors)
    assert place.do("log", str(place.file), "--verify").code == 0, "restored, all is well"


def test_a_base_that_cannot_be_loaded_ends_the_run_before_anything_is_fitted(place: Place) -> None:
    before = place.current()
    right = dict(place.document["base"])
    place.document["base"] = {**right, "sha256": "1" * 64}
    place.task()
    try:
        done = place.run("--until", "decision")
    finally:
        place.document["base"] = right
        place.task()
    assert done.code == 1 and "expected SHA-256 1111" in done.status["failure"]
    assert place.current()["decision"] == before["decision"], "no decision is taken without it"


def test_a_red_gate_is_an_entry_and_so_is_a_green_one_after_it(place: Place) -> None:
    kept = (place.folder / "path.csv").read_bytes()
    (place.folder / "path.csv").write_text("row_id,text,labels\n1,a b,same\n")
    try:
        assert place.run("--until", "decision").code == 3
    finally:
        (place.folder / "path.csv").write_bytes(kept)
    red = entries(place)["gate"]
    assert "the gate is red" in red.title and red.body["red"]
    assert json.dumps(red.body).count("labels")
    for _ in range(2):
        assert place.run("--until", "dataset_version").code == 0
    gates = [entry.title for entry in World(place.places).decision_log("pairs").entries() if entry.kind == "gate"]
    assert len(gates) == 2 and "green again" in gates[-1], "once each"


def test_a_loss_is_accepted_by_the_sign_off_owner_alone(place: Place) -> None:
    for path in log_files(place):
        path.unlink()
    command = ["log", str(place.file), "--accept-loss", "--reason", "the disk broke and no backup was kept"]
    assert "nobody else may decide this" in place.do(*command, "--as", "team:b").err
    assert place.do("log", str(place.file), "--accept-loss").code == 2
    done = place.do(*command, "--as", "team:c")
    assert done.code == 0 and "An earlier decision log is lost; 0 decisions of this one are left" in done.out
    assert "nothing is lost" in place.do(*command, "--as", "team:c").err
    assert place.run("--until", "decision").code == 0
    assert World(place.places).decision_log("pairs").entries()[0].kind == "lost_log"
