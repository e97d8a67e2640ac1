"""A real Dagster daemon on a real PostgreSQL: queue, run monitoring, retries, pools, and what it tells by webhook."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import DagsterInstance
from ports import free_port
from postgres import PostgresServer, postgres_server
from receiver import Receiver, receiver
from services import Dagster, alive, descendants, hurried, kill, located, wait_for
from sign_off_samples import ANNA, waiting

from pipelines.ui import dagster_service, running, wait_until_ready
from playbook.evaluate.approval import current_state
from playbook.plays import SIGN_OFF
from playbook.settings import settings

SECRET = "s3cret"  # noqa: S105 - the test's own server lets everybody in
# A code location with a red gate and a slow step in a pool; `go` ends the step.
LOCATION = """
import os, time
from pathlib import Path
import dagster as dg
import pipelines.alerts
from pipelines.alerts import alert_sensor
from pipelines.dead_runs import report_missed_failures
from pipelines.tags import TASK_TAG
from playbook.settings import settings
from playbook.taskfile import load_task

pipelines.alerts.SECONDS = 5  # the least that Dagster keeps
HERE = Path(__file__).parent
DATA, RUNG = dg.AssetKey(["demo", "dataset_version"]), dg.AssetKey(["demo", "rung_1"])

@dg.asset(key=DATA, check_specs=[dg.AssetCheckSpec("source_readable", asset=DATA, blocking=True)])
def data():
    yield dg.MaterializeResult(asset_key=DATA)
    shown = {"found": "SECRET ROW"}
    yield dg.AssetCheckResult(asset_key=DATA, check_name="source_readable", passed=False, metadata=shown)

@dg.asset(key=RUNG, pool="device")
def rung(context: dg.AssetExecutionContext):
    (HERE / f"{context.run_id}.pid").write_text(str(os.getpid()))
    while not (HERE / "go").exists():
        time.sleep(0.1)

job = dg.define_asset_job("demo_job", dg.AssetSelection.assets(DATA, RUNG), tags={TASK_TAG: "demo"},
                          executor_def=dg.in_process_executor)
sensor = alert_sensor(load_task(HERE / "demo.yaml"), settings())

@dg.sensor(job=job, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def missed(context: dg.SensorEvaluationContext):
    return dg.SkipReason(", ".join(report_missed_failures(context.instance, "demo")) or "none")

defs = dg.Definitions(assets=[data, rung], jobs=[job], sensors=[sensor, missed])
"""


@dataclass
class Shop:
    """A webserver with its daemon on PostgreSQL, a task that waits for its sign-off, and a receiver of alerts."""

    folder: Path
    server: PostgresServer
    dagster: Dagster
    hook: Receiver
    service: int  # process of the services

    def pid(self, run_id: str) -> int:
        """The process in which a run's slow step is."""
        file = self.folder / f"{run_id}.pid"
        wait_for("the slow step", 180, lambda: file.exists() and file.read_text())
        return int(file.read_text())


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI", "PLAYBOOK_STORE", "PLAYBOOK_TASKS", "PLAYBOOK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    with postgres_server() as server, receiver() as hook:
        monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path / "home"))
        place = waiting(tmp_path)
        place.put(SIGN_OFF, current_state(place.case()))
        monkeypatch.setenv("PLAYBOOK_DATABASE", server.url("all").replace("playbook@", f"playbook:{SECRET}@"))
        monkeypatch.setenv("PLAYBOOK_DAGSTER_DATABASE", "")  # what the instance names is taken back afterwards
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
        monkeypatch.setenv("PLAYBOOK_WEBHOOK", hook.address)
        places = settings()
        service = located(hurried(dagster_service(places, free_port()), places), tmp_path, LOCATION)
        with running(service) as child, DagsterInstance.get() as instance:
            wait_until_ready(service, child)
            yield Shop(tmp_path, server, Dagster(service.address, instance), hook, child.pid)


def test_the_daemon_keeps_its_rules_on_postgresql_and_tells_what_happened(shop: Shop) -> None:
    dagster = shop.dagster
    red = dagster.launch("demo", ["dataset_version"])
    assert dagster.wait_ended(red) == "FAILURE"

    first, second = dagster.launch("demo", ["rung_1"]), dagster.launch("demo", ["rung_1"])
    worker = shop.pid(first)
    commands = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(shop.service))
    assert b"dagster" in commands and SECRET.encode() not in commands
    time.sleep(3)  # the queue is looked at every second
    assert (dagster.status(first), dagster.status(second)) == ("STARTED", "QUEUED")  # one run per task

    kill(worker)
    assert dagster.wait_ended(first) == "FAILURE"  # run monitoring, or the code server before it
    worker = shop.pid(second)  # the killed run's slot of the pool is free again
    dagster.terminate(second)
    assert dagster.wait_ended(second) == "CANCELED"
    wait_for("the ended run's process to be gone", 60, lambda: not alive({worker}))
    (shop.folder / "go").touch()

    def again() -> str | None:
        runs = [run for run in dagster.instance.get_runs() if run.root_run_id == first]
        return runs[0].run_id if runs else None

    assert dagster.wait_ended(wait_for("the killed run's retry", 120, again)) == "SUCCESS"
    assert shop.server.query("SELECT count(*) FROM dagster.runs", "all") == "4"

    wait_for("the alerts", 180, lambda: len(shop.hook.got) >= 3)
    told = {body["kind"]: body for body in shop.hook.got}
    assert sorted(shop.hook.kinds()) == ["failed_run", "red_gate", "waiting_sign_off"]
    assert told["red_gate"]["run_id"] == red and "source_readable" in told["red_gate"]["text"]
    assert told["failed_run"]["run_id"] == first
    assert "Its process ended before it did. Dagster tries it again." in told["failed_run"]["text"]
    assert ANNA in told["waiting_sign_off"]["text"]
    assert "SECRET ROW" not in str(shop.hook.got)
    (ticks,) = shop.server.query("SELECT count(*) FROM dagster.job_ticks WHERE status = 'FAILURE'", "all").split()
    assert ticks == "0"
    assert not (shop.folder / "home" / "dagster" / "history").exists()  # nothing went to SQLite
