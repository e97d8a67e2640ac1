"""MLflow: runs, their nesting and content, and several processes at once."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from play_runs import copy_database

from playbook.decide.log import DecisionLog
from playbook.decide.log_anchor import Anchor
from playbook.errors import LogTampered, PlaybookError, TaskBusy
from resources.log_anchor import TrackingAnchor
from resources.mlflow_server import server_command, server_environment
from resources.tracking import DatasetInput, Tracking, flatten
from resources.tracking_database import file_lock, sqlite_path, upgrade_database

ROOT = Path(__file__).resolve().parents[2]
DATASET = DatasetInput("tickets", "0123456789abcdef0123456789abcdef.dir", "/data/tickets", profile={"train": 700})


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Tracking:
    home = tmp_path_factory.mktemp("home")
    copy_database(database, home)
    return Tracking(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", home)


def test_database_is_in_wal_mode_and_ready(tracking: Tracking) -> None:
    assert "Default" in [experiment.name for experiment in tracking.client.search_experiments()]
    with sqlite3.connect(tracking.folder / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list(tracking.folder.glob("*.part*"))


def test_an_attempt_is_nested_with_all_that_it_did(tracking: Tracking, tmp_path: Path) -> None:
    report = tmp_path / "2f9c.html"
    report.write_text("<h1>report</h1>")
    parent = tracking.task_run("tickets", "run-1", {"dagster/run_id": "d1"})
    run_id = tracking.log_attempt(
        parent,
        "rung_1",
        params={"seed": 13, "keep": {"min_gain": 0.0}, "method": "staircase"},
        metrics={"validation": 0.91},
        metrics_by_epoch={"train_loss": [0.9, 0.5, 0.3], "validation_loss": [0.8, 0.6, 0.7]},
        config={"seed": 13, "nested": {"deep": [1, 2]}},
        tables={"ledger.json": {"step": ["frozen", "rung_1"], "gain": [0.0, 0.02]}},
        files={"reports/report.html": report},
        tags={"playbook/play_key": "k"},
        dataset=DATASET,
        hardware="cpu, 2 cores",
    )
    client = tracking.client
    run = client.get_run(run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["playbook/attempt"] == run.info.run_name == "rung_1"
    assert run.data.tags["playbook/hardware"] == "cpu, 2 cores"
    assert run.data.tags["playbook/play_key"] == "k"
    assert run.data.params == {"seed": "13", "keep.min_gain": "0.0", "method": "staircase"}
    assert run.data.metrics == {"validation": 0.91, "train_loss": 0.3, "validation_loss": 0.7}
    curve = client.get_metric_history(run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.9), (2, 0.5), (3, 0.3)]
    assert run.info.status == "FINISHED"
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("tickets", DATASET.digest)
    assert json.loads(used.dataset.source) == {"uri": "/data/tickets"}
    assert json.loads(used.dataset.profile) == {"train": 700}
    place = tracking.folder / "artifacts" / "tickets" / run_id / "artifacts"
    assert json.loads((place / "config.json").read_text()) == {"seed": 13, "nested": {"deep": [1, 2]}}
    table = json.loads((place / "ledger.json").read_text())
    assert table == {"columns": ["step", "gain"], "data": [["frozen", 0.0], ["rung_1", 0.02]]}
    assert (place / "reports" / "report.html").read_text() == "<h1>report</h1>"
    assert not (place / "reports" / "report.html").is_symlink()


def test_one_parent_per_run_of_the_task(tracking: Tracking) -> None:
    first = tracking.task_run("tickets", "run-2", {"dagster/run_id": "a"})
    again = tracking.task_run("tickets", "run-2", {"dagster/run_id": "b"})
    other = tracking.task_run("tickets", "run-3")
    assert first == again != other
    tags = tracking.client.get_run(first).data.tags
    assert (tags["playbook/task"], tags["playbook/run_key"], tags["dagster/run_id"]) == ("tickets", "run-2", "b")
    assert tracking.task_run("other_task", "run-2") != first


@pytest.mark.parametrize("key", ["", "a' OR '1'='1", "a b", "x\n"])
def test_a_run_key_cannot_change_the_search(tracking: Tracking, key: str) -> None:
    with pytest.raises(ValueError, match="expected letters, digits"):
        tracking.task_run("tickets", key)


def test_a_failed_logging_leaves_no_running_run(tracking: Tracking, tmp_path: Path) -> None:
    parent = tracking.task_run("failing", "run-1")
    with pytest.raises(PlaybookError, match=r"artifact report\.html: expected a file at .*nowhere"):
        tracking.log_attempt(parent, "evaluation", files={"report.html": tmp_path / "nowhere"})
    runs = tracking.client.search_runs([tracking.experiment("failing")], "tags.`playbook/attempt` = 'evaluation'")
    assert [run.info.status for run in runs] == ["FAILED"]


def test_more_than_one_request_carries(tracking: Tracking) -> None:
    parent = tracking.task_run("many", "run-1")
    run_id = tracking.log_attempt(
        parent,
        "rung_1",
        params={f"p{number}": number for number in range(230)},
        metrics_by_epoch={"loss": [float(epoch) for epoch in range(1900)]},
    )
    assert len(tracking.client.get_run(run_id).data.params) == 230
    history = tracking.client.get_metric_history(run_id, "loss")
    assert sorted(point.step for point in history) == list(range(1, 1901))


def test_a_binned_experiment_is_taken_out_again(tracking: Tracking) -> None:
    experiment = tracking.experiment("binned")
    tracking.client.delete_experiment(experiment)
    assert tracking.experiment("binned") == experiment
    assert tracking.task_run("binned", "run-1")


def test_a_parent_ends_with_its_figures(tracking: Tracking) -> None:
    run_id = tracking.task_run("tickets", "run-9")
    assert tracking.client.get_run(run_id).info.status == "RUNNING"
    tracking.finish(run_id, metrics={"test_delta": 0.04})
    run = tracking.client.get_run(run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"test_delta": 0.04})


def test_a_curve_of_any_length_is_written_at_once(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    write = tracking.client.log_batch

    def counted(run_id: str, *, metrics: Sequence[Any] = (), **more: Any) -> None:
        batches.append(len(metrics))
        write(run_id, metrics=metrics, **more)

    monkeypatch.setattr(tracking.client, "log_batch", counted)
    parent = tracking.task_run("quick", "run-1")
    curves = {name: [0.1 * epoch for epoch in range(10)] for name in "abcd"}
    tracking.log_attempt(parent, "rung_1", metrics_by_epoch=curves, config={"a": 1}, dataset=DATASET)
    assert batches == [40]


def test_nested_settings_become_flat() -> None:
    assert flatten({"a": {"b": {"c": None}}, "d": [1, "x"], "e": "y" * 7000}) == {
        "a.b.c": "null",
        "d": '[1, "x"]',
        "e": "y" * 6000,
    }


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////tmp/a%20b/m.db", Path("/tmp/a b/m.db")),  # noqa: S108
        ("sqlite:///m.db?timeout=5", Path.cwd() / "m.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql://host/db", None),
        ("https://tracking.example", None),
    ],
)
def test_which_stores_are_files(uri: str, path: Path | None) -> None:
    assert sqlite_path(uri) == path


COLD_START = """
import sys; from pathlib import Path; from resources.tracking import Tracking
home = Path(sys.argv[1]); tracking = Tracking(f"sqlite:///{home / 'mlflow.db'}", home)
parent = tracking.task_run("tickets", "run-1")
for number in range(5):
    tracking.log_attempt(parent, f"{sys.argv[2]}_{number}", metrics_by_epoch={"loss": [1.0] * 10})
print(parent)
"""


def test_two_processes_meet_a_missing_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db.part").write_bytes(b"half a schema, from a first start that was killed")
    (tmp_path / "mlflow.db.part-journal").write_bytes(b"x")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", COLD_START, str(tmp_path), f"child{number}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    ended = [(child.communicate(timeout=240), child.returncode) for child in children]
    assert [status for _, status in ended] == [0] * 2, ended[0][0][1]
    parents = {out.strip() for (out, _), _ in ended}
    assert len(parents) == 1
    tracking = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    runs = tracking.client.search_runs([tracking.experiment("tickets")], "tags.`mlflow.parentRunId` != ''")
    assert len(runs) == 10
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not list(tmp_path.glob("*.part*"))
    monkeypatch.setattr("resources.tracking_database.run_upgrade", None)  # nothing is upgraded a second time
    upgrade_database(tracking.uri)


def test_a_database_that_was_there_keeps_its_content(tracking: Tracking, tmp_path: Path) -> None:
    tracking.task_run("tickets", "run-1")
    old = tmp_path / "old.db"
    with sqlite3.connect(tracking.folder / "mlflow.db") as source, sqlite3.connect(old) as target:
        source.backup(target)
    upgrade_database(f"sqlite:///{old}")
    with sqlite3.connect(old) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM experiments")}
    assert "tickets" in names
    assert not (tmp_path / "old.db.before-upgrade").exists()


def test_a_database_that_cannot_be_upgraded_is_kept(tmp_path: Path) -> None:
    broken = tmp_path / "mlflow.db"
    with sqlite3.connect(broken) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('no such revision')")
    with pytest.raises(PlaybookError, match=r"expected `mlflow db upgrade` to succeed.*before-upgrade"):
        upgrade_database(f"sqlite:///{broken}")
    assert (tmp_path / "mlflow.db.before-upgrade").is_file()
    assert not (tmp_path / "mlflow.db.schema").exists()


def test_a_lock_that_is_held_is_a_clear_error(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "new" / "x.lock", 1),
        pytest.raises(TaskBusy, match=r"expected the lock within 0\.1 s"),
        file_lock(tmp_path / "new" / "x.lock", 0.1),
    ):
        pass
    with file_lock(tmp_path / "new" / "x.lock", 0.1):
        pass


def test_figures_that_are_no_numbers_are_kept(tracking: Tracking) -> None:
    parent = tracking.task_run("strange", "run-1")
    run_id = tracking.log_attempt(parent, "rung_1", metrics={"a": float("nan"), "b": float("inf")})
    found = tracking.client.get_run(run_id).data.metrics
    assert math.isnan(found["a"])
    assert found["b"] > 1e300


def test_server_is_on_loopback_without_workers(tracking: Tracking) -> None:
    command = server_command(tracking, 5123)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--backend-store-uri") + 1] == tracking.uri
    environment = server_environment()
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_the_head_of_the_decision_log_is_a_tag_of_the_experiment(tracking: Tracking, tmp_path: Path) -> None:
    place = TrackingAnchor(tracking, "anchored", "here")
    place.write(Anchor(3, "a" * 64))
    assert place.read() is None and tracking.client.get_experiment_by_name("anchored") is None, "it makes none"
    tracking.experiment("anchored")
    assert place.read() is None
    place.write(Anchor(3, "a" * 64, "2026-01-01T00:00:00+00:00", {"test_openings": "b" * 64}))
    assert place.read() == Anchor(3, "a" * 64, "2026-01-01T00:00:00+00:00", {"test_openings": "b" * 64})
    assert TrackingAnchor(tracking, "anchored", "elsewhere").read() is None, "each place of a log has its own"
    log = DecisionLog(tmp_path / "decisions.jsonl", (TrackingAnchor(tracking, "anchored", "log"),))
    log.append("scope", "Tickets are sorted", by="anna@example.org")
    log.storage.path.unlink()
    log.storage.head.unlink()
    with pytest.raises(LogTampered, match=r"as MLflow has kept it on .*found no log"):
        log.entries()
    missing = TrackingAnchor(Tracking(f"sqlite:///{tmp_path / 'none.db'}", tmp_path), "anchored", "here")
    assert missing.read() is None
