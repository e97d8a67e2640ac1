"""The main job from a task file to a registered model, on a tiny base: how it ends, and that it does nothing twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from called import Called, missed, watch_plays
from data_samples import rows
from play_runs import Ended, Place, make_place

from playbook.settings import settings

pytestmark = pytest.mark.story
TRAINED = ("frozen_baseline", "rung_1", "rung_2")
CONTRACT: dict[str, tuple[str, ...]] = {
    "task": (), "state": (), "dataset": ("version", "hash", "rows"), "target": ("metric", "value"),
    "reference_baselines": ("majority", "tfidf"), "frozen_baseline": ("validation", "test"), "rungs": (),
    "test": ("candidate", "baseline", "delta", "interval", "openings"), "ship": (),
    "model": ("name", "version", "alias"), "seconds": ("total", "training"), "report": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, database: Path) -> tuple[Place, Ended]:
    """A run that ships its candidate; shared, so no test may leave it with other results."""
    place = make_place(tmp_path_factory.mktemp("finished"), database, controls={"other_base": False})
    return place, place.run()


def versions(place: Place) -> list[str]:
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=place.places.mlflow_tracking_uri).search_model_versions("name = 'pairs'")
    return [version.tags["playbook/version"] for version in found]


def weights(place: Place) -> dict[str, str]:
    current = place.current()
    return {name: current[name].files["weights"].sha256 for name in TRAINED}


def test_a_task_ends_with_a_shipped_model(finished: tuple[Place, Ended]) -> None:
    place, ended = finished
    status = ended.status
    assert ended.code == 0 and status["state"] == "shipped" and status["ship"] == "candidate"
    for key, parts in CONTRACT.items():
        assert key in status, key
        assert all(part in status[key] for part in parts), key
    assert [rung["kept"] for rung in status["rungs"]] == [True, False]
    assert all({"unfrozen", "validation", "kept", "seconds"} <= set(rung) for rung in status["rungs"])
    test = status["test"]
    assert test["delta"] == pytest.approx(test["candidate"] - test["baseline"])
    assert test["delta"] >= 0.25 and test["candidate"] >= 0.9 and test["interval"][0] > 0
    assert status["frozen_baseline"]["test"] == test["baseline"] < 0.7
    assert status["candidate"] == "rung_1" and status["model"]["version"] == "1.0.0"
    assert sum(status["dataset"]["rows"].values()) == 900 and status["gate"]["passed"]
    assert "<html" in Path(status["report"]).read_text("utf-8")
    assert [json.loads(line)["purpose"] for line in place.ledger][:1] == ["evaluation"] and test["openings"] == 1
    others = ["controls: scratch", "evaluation", "packaged_model", "reference_baselines"]
    assert place.attempts() == sorted([*TRAINED, *others])
    assert versions(place) == ["1.0.0"]


def test_what_is_packaged_answers_with_the_reported_temperature(finished: tuple[Place, Ended]) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    from playbook.operate.reference import load_reference

    place, _ = finished
    uri = place.places.mlflow_tracking_uri
    source = MlflowClient(tracking_uri=uri).get_model_version_by_alias("pairs", "champion").source
    (about,) = Path(download_artifacts(artifact_uri=source, tracking_uri=uri)).rglob("bundle.json")
    calibration = place.current()["evaluation"].calibration
    assert json.loads(about.read_text())["temperature"] == pytest.approx(calibration.temperature)
    assert load_reference(about.parent / "reference.safetensors").temperature == 1.0  # not applied a second time


def test_show_says_the_same_and_runs_nothing(finished: tuple[Place, Ended]) -> None:
    place, ended = finished
    before = {name: artifact.digest for name, artifact in place.current().items()}
    shown = place.do("show", str(place.file), "--json")
    assert shown.code == 0 and shown.err == ""
    extra = {"run_id", "wall_seconds"}
    first = {name: value for name, value in ended.status.items() if name not in extra}
    settled = ("state", "dataset", "target", "rungs", "ship", "model", "candidate")
    assert {name: shown.status[name] for name in settled} == {name: first[name] for name in settled}
    assert set(shown.status) == set(first)
    assert {name: artifact.digest for name, artifact in place.current().items()} == before


def test_the_same_command_again_trains_nothing(finished: tuple[Place, Ended]) -> None:
    place, _ = finished
    before = {name: (artifact.digest, artifact.made_at) for name, artifact in place.current().items()}
    attempts, ledger = place.attempts(), place.ledger
    again = place.run()
    assert again.code == 0 and again.status["state"] == "shipped"
    for name, artifact in place.current().items():
        said = f"skipped: {artifact.reason}" if name == "refresh" else "unchanged, not run again"
        assert f"{name}: {said}" in again.err
    assert "epoch" not in again.err and "head with L2" not in again.err
    assert {name: (artifact.digest, artifact.made_at) for name, artifact in place.current().items()} == before
    assert place.ledger == ledger, "the test split stays closed"
    assert place.attempts() == attempts and versions(place) == ["1.0.0"]


@pytest.mark.proof
def test_with_the_store_emptied_the_same_weights_come_out(finished: tuple[Place, Ended]) -> None:
    place, _ = finished
    before, openings = weights(place), len(place.ledger)
    for folder in (Path(place.places.store), place.places.work):
        shutil.rmtree(folder)
    again = place.run()
    assert again.code == 0 and "rung_1: epoch 1/" in again.err
    assert weights(place) == before
    assert len(place.ledger) == openings + 1, "it was opened again, and that is on record"
    assert again.status["test"]["openings"] == openings + 1
    assert versions(place) == ["1.0.0"] and again.status["model"]["version"] == "1.0.0"


def test_a_damaged_result_is_made_again(finished: tuple[Place, Ended]) -> None:
    place, _ = finished
    before, reason = weights(place), place.current()["rung_1"].reason
    path = place.store.path(place.current()["rung_1"], "rung_1", "weights")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    again = place.run("--until", "rung_1")
    assert again.code == 0 and "rung_1: the stored result is damaged and is made again" in again.err
    assert weights(place) == before
    assert "training: unchanged, not run again" in again.err and "as the best of 8 epochs" in reason
    assert place.current()["rung_1"].reason == reason, "the choice of its best epoch counts as it did"


def test_a_killed_run_is_taken_up_again_by_the_same_command(
    finished: tuple[Place, Ended], tmp_path: Path, database: Path, begun_store: Path
) -> None:
    place = make_place(tmp_path, database, begun=begun_store)
    for asset in ("training", "rung_1", "rung_2"):
        shutil.rmtree(Path(place.places.store) / "pairs" / asset)
    command = [sys.executable, "-m", "playbook.cli", "run", str(place.file), "--until", "rung_2"]
    with subprocess.Popen(command, env=place.environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        assert any("rung_1: epoch 2/" in line for line in first.stderr), "it is in the middle of a rung"
        first.kill()
    again = place.run("--until", "rung_2")  # in this process, which has done the imports
    assert again.code == 0, again.said
    assert "rung_1: resuming after epoch" in again.err and "frozen_baseline: unchanged" in again.err
    assert place.current()["rung_1"].resumed >= 1
    assert weights(place) == weights(finished[0]), "the result of a run that nobody disturbed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(place.places.dagster_home))
        with dg.DagsterInstance.get() as instance:
            ends = sorted(run.status.value for run in instance.get_runs())
    assert ends == ["FAILURE", "SUCCESS"], "the dead run does not look as if it went on"


def test_a_second_run_of_the_task_is_turned_away(finished: tuple[Place, Ended]) -> None:
    place, _ = finished
    command = [sys.executable, "-m", "playbook.cli", "run", str(place.file), "--until", "reference_baselines"]
    log = (place.folder / "first.out").open("w")
    with subprocess.Popen(
        command, env=place.environment, cwd=place.folder, stdout=log, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr is not None
        assert any("problem_statement" in line for line in first.stderr)
        first.send_signal(signal.SIGSTOP)  # so that it is surely still at it
        try:
            second = place.run()
        finally:
            first.send_signal(signal.SIGCONT)
        first.communicate()
    assert second.code == 1 and "another run of pairs is under way" in second.err
    assert first.returncode == 0
    assert place.run("--until", "problem_statement").code == 0, "and the lock is free again"


def test_a_test_split_too_small_for_the_margin_stays_closed(tmp_path: Path, database: Path) -> None:
    place = make_place(tmp_path, database, max_rungs=1)
    place.task(target={"margin": 0.02})
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "refused"
    assert ended.status["test"] is None and ended.status["model"] is None and ended.status["ship"] == "nothing"
    assert place.attempts() == ["evaluation"], "nothing was trained, not even a reference"
    assert "label" in ended.status["next_steps"][0] and "land in the test split" in ended.status["next_steps"][0]
    assert "cannot show the gain of 2 points" in ended.status["verdict"] and place.ledger == []
    current: dict[str, Any] = dict(place.current())
    evaluation, test_rows = current["evaluation"], current["dataset_version"].class_rows["test"]
    assert evaluation.rows_needed > evaluation.rows == sum(test_rows.values())
    assert "test split opened" not in ended.err and "Read the report" not in ended.out
    assert current["packaged_model"].skipped


def test_a_target_that_counting_words_meets_ends_the_task(tmp_path: Path, database: Path) -> None:
    table = [{"row_id": row["id"], "text": row["text"], "label": row["label"]} for row in rows(240)]
    place = make_place(tmp_path, database, {"path": table})
    place.task(data={"classes": {"billing": "Money.", "delivery": "Parcels."}}, target={"at_least": 0.7})
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "target_already_met"
    assert "TF-IDF with logistic regression meets the target: accuracy" in ended.status["early_end"]["text"]
    current = place.current()
    assert all(
        current[name].skipped for name in ("base_selection", *TRAINED, "candidate", "evaluation", "packaged_model")
    )
    assert all("tfidf" in current[name].reason for name in TRAINED)
    assert place.attempts() == ["reference_baselines"]
    assert [json.loads(line)["purpose"] for line in place.ledger] == ["early end"], "confirmed on test, on record"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, database: Path) -> tuple[Place, Ended, Called]:
    """A run of every play whose only rung changes next to nothing, and what its plays called."""
    still: dict[str, Any] = {"learning_rate": 1e-9, "head_learning_rate": 1e-9, "epochs": 1}
    place = make_place(tmp_path_factory.mktemp("watched"), database, **still, controls={"other_base": False})
    place.task(target={"at_least": 0.3}, evaluation={"early_end_standard_errors": 30.0})
    called = Called()
    with pytest.MonkeyPatch.context() as patch:
        watch_plays(patch, called)
        return place, place.run(), called


def test_a_rung_that_does_not_help_ships_the_baseline(watched: tuple[Place, Ended, Called]) -> None:
    place, ended, _ = watched
    status = ended.status
    assert ended.code == 0 and status["state"] == "baseline_shipped" and status["ship"] == "baseline"
    assert [rung["status"] for rung in status["rungs"]] == ["done", "skipped"] and not status["rungs"][0]["kept"]
    assert "rung_1 did not help" in status["rungs"][1]["reason"]
    assert status["test"]["candidate"] is None and status["test"]["baseline"] >= 0.3
    assert status["model"]["source"] == "frozen_baseline" and len(place.ledger) == 1


def test_a_run_calls_nothing_that_its_parts_do_not_count(watched: tuple[Place, Ended, Called]) -> None:
    """Code versions held against a real run: every function of ours that a play called is in its closure."""
    called = watched[2]
    ran = {"references", "decision", "base", "head", "frozen", "training", "rung", "candidate", "audit"}
    ran |= {"controls", "answers", "reference_answers", "evaluate", "report", "sign_off", "package", "handoff"}
    assert ran <= set(called.found), f"parts that were not seen at work: {sorted(ran - set(called.found))}"
    assert missed(called) == {}


def test_the_environment_of_other_tests_is_left_alone(finished: tuple[Place, Ended]) -> None:
    assert not settings().home.is_relative_to(finished[0].folder)
