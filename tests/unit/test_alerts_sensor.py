"""The alert sensor on a real instance of Dagster and a real receiver: what is told, once, and what is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from receiver import Receiver, receiver
from sign_off_samples import ANNA, ANSWERS, Waiting, waiting

from assets.data import gate_check_names
from pipelines.alerts import NO_DRIFT, alert_sensor, alerts_definitions
from pipelines.tags import TASK_TAG
from playbook.artifacts import SignOff
from playbook.evaluate.approval import approve, current_state
from playbook.plays import DATASET, DRIFT, SIGN_OFF

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
GATE, WATCHED = dg.AssetKey(["demo", DATASET]), dg.AssetKey(["demo", DRIFT])
SECRET_TEXT = "Mrs Miller's ticket about her account"  # noqa: S105 - a text that must not leave


class Watch:
    """A task, an instance, a receiver, and the sensor's cursor."""

    def __init__(self, place: Waiting, instance: dg.DagsterInstance, hook: Receiver) -> None:
        self.place, self.instance, self.hook = place, instance, hook
        self.cursor: str | None = None
        self.said = ""

    def tick(self) -> list[str]:
        """One evaluation; kinds of what arrived during it."""
        before = len(self.hook.got)
        places = replace(self.place.places, webhook=self.hook.address, url="https://dagster.example/")
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = alert_sensor(self.place.task, places)(context)
        assert isinstance(result, dg.SensorResult) and not result.run_requests
        self.cursor = result.cursor
        assert result.skip_reason is not None
        self.said = str(result.skip_reason.skip_message)
        return self.hook.kinds()[before:]

    def check(self, key: dg.AssetKey, name: str, passed: bool, severity: str = "ERROR", **more: str) -> None:
        """A check's result on record, as if its run had reported it."""
        evaluation = dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=passed,
            severity=dg.AssetCheckSeverity(severity),
            metadata={"found": SECRET_TEXT},
            **more,
        )
        self.instance.report_runless_asset_event(evaluation)


@pytest.fixture
def watch(tmp_path: Path, empty_instance: Path) -> Iterator[Watch]:
    shutil.copytree(empty_instance, tmp_path / "dagster")
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with receiver() as hook, dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield Watch(waiting(tmp_path / "task"), instance, hook)


def job(name: str, fails: bool, **tags: str) -> dg.JobDefinition:
    @dg.op(name=f"{name}_step")
    def step() -> None:
        if fails:
            raise ValueError(SECRET_TEXT)

    @dg.job(name=name, tags=tags, executor_def=dg.in_process_executor)
    def made() -> None:
        step()

    return made


def test_nothing_is_said_while_all_is_well(watch: Watch) -> None:
    for name in gate_check_names(watch.place.task):
        watch.check(GATE, name, passed=True)
    watch.check(WATCHED, NO_DRIFT, passed=True, partition="2025-10-01")
    job("demo_job", False, **{TASK_TAG: "demo"}).execute_in_process(instance=watch.instance)
    assert watch.tick() == [] and watch.said == "0 delivered, 0 waiting"


def test_a_red_gate_is_told_once_with_all_its_checks(watch: Watch) -> None:
    first, second, warned, *_ = gate_check_names(watch.place.task)
    watch.check(GATE, first, passed=False)
    watch.check(GATE, second, passed=False)
    watch.check(GATE, warned, passed=False, severity="WARN")
    assert watch.tick() == ["red_gate"]
    assert watch.tick() == []
    (body,) = watch.hook.got
    assert body["title"] == "demo: the data gate is red"
    assert first in body["text"] and second in body["text"] and warned not in body["text"]
    assert body["links"]["asset"] == "https://dagster.example/assets/demo/dataset_version"
    assert SECRET_TEXT not in str(body)


def test_a_warning_of_the_gate_is_no_red_gate(watch: Watch) -> None:
    watch.check(GATE, gate_check_names(watch.place.task)[0], passed=False, severity="WARN")
    assert watch.tick() == []


def test_every_window_that_drifted_is_reported(watch: Watch) -> None:
    watch.check(WATCHED, NO_DRIFT, passed=False, severity="WARN", partition="2025-10-01")
    watch.check(WATCHED, NO_DRIFT, passed=False, severity="WARN", partition="2025-10-02")
    watch.check(WATCHED, NO_DRIFT, passed=True, partition="2025-10-03")
    assert watch.tick() == ["drift", "drift"]
    assert [body["title"][-10:] for body in watch.hook.got] == ["2025-10-01", "2025-10-02"]
    assert SECRET_TEXT not in str(watch.hook.got)


def test_a_window_judged_by_a_real_run_is_told_with_its_day_once(watch: Watch) -> None:
    @dg.asset(
        key=WATCHED,
        partitions_def=dg.DailyPartitionsDefinition("2025-10-01"),
        check_specs=[dg.AssetCheckSpec(NO_DRIFT, asset=WATCHED)],
    )
    def drift() -> Iterator[object]:
        yield dg.MaterializeResult(asset_key=WATCHED)
        yield dg.AssetCheckResult(
            asset_key=WATCHED, check_name=NO_DRIFT, passed=False, severity=dg.AssetCheckSeverity.WARN
        )

    for day in ("2025-10-05", "2025-10-05", "2025-10-06"):
        assert dg.materialize([drift], instance=watch.instance, partition_key=day).success
    assert watch.tick() == ["drift", "drift"]
    assert [body["title"] for body in watch.hook.got] == [
        "demo: drift in the window of 2025-10-05",
        "demo: drift in the window of 2025-10-06",
    ]


def test_failed_and_crashed_runs_are_reported_and_no_error_leaves(watch: Watch) -> None:
    failing = job("demo_job", True, **{TASK_TAG: "demo"})
    failed = failing.execute_in_process(instance=watch.instance, raise_on_error=False)
    crashed = watch.instance.create_run_for_job(failing, tags={TASK_TAG: "demo"}, status=dg.DagsterRunStatus.STARTED)
    watch.instance.report_run_failed(crashed, "its process ended")
    job("other_job", True, **{TASK_TAG: "other"}).execute_in_process(instance=watch.instance, raise_on_error=False)
    assert watch.tick() == ["failed_run", "failed_run"]
    assert watch.tick() == []
    texts = {body["run_id"]: body["text"] for body in watch.hook.got}
    assert "Failed at demo_job_step." in texts[failed.run_id]
    assert "Its process ended before it did." in texts[crashed.run_id]
    assert SECRET_TEXT not in str(watch.hook.got)
    assert f"https://dagster.example/runs/{failed.run_id}" in texts[failed.run_id]


def test_a_run_of_assets_chosen_on_the_page_is_the_tasks_too(watch: Watch) -> None:
    @dg.asset(key=["demo", "frozen_baseline"])
    def broken() -> None:
        raise ValueError(SECRET_TEXT)

    @dg.asset(key=["other", "frozen_baseline"])
    def unchosen() -> None:
        raise AssertionError("this is never run")

    page = dg.define_asset_job(
        "__page", dg.AssetSelection.assets(broken, unchosen), executor_def=dg.in_process_executor
    )
    made = dg.Definitions(assets=[broken, unchosen], jobs=[page]).resolve_job_def("__page")
    made.execute_in_process(instance=watch.instance, asset_selection=[broken.key], raise_on_error=False)
    assert watch.tick() == ["failed_run"]
    assert "some assets of demo" in watch.hook.got[0]["title"]


def test_a_waiting_sign_off_is_told_until_somebody_decides(watch: Watch) -> None:
    place = watch.place
    state = current_state(place.case())
    place.put(SIGN_OFF, state if isinstance(state, SignOff) else SignOff(**state))
    assert watch.tick() == ["waiting_sign_off"]
    assert watch.tick() == []
    assert ANNA in watch.hook.got[0]["text"] and "playbook approve" in watch.hook.got[0]["text"]
    watch.cursor = None  # a new sensor would tell it again ...
    approve(place.case(), ANNA, ANSWERS, None)
    assert watch.tick() == []  # ... but a decision is there


def test_a_broken_log_silences_nothing_else(watch: Watch) -> None:
    place = watch.place
    place.put(SIGN_OFF, current_state(place.case()))
    approve(place.case(), ANNA, ANSWERS, None)
    place.log.storage.path.write_bytes(b"edited\n")
    watch.check(GATE, gate_check_names(place.task)[0], passed=False)
    assert watch.tick() == ["red_gate"]
    assert "the sign-off could not be read: LogTampered" in watch.said


def test_an_alert_survives_a_receiver_that_is_away(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.check(GATE, gate_check_names(watch.place.task)[0], passed=False)
    watch.hook.status = 503
    assert watch.tick() == [] and watch.said == "0 delivered, 1 waiting; status 503"
    watch.hook.status = 200
    assert watch.tick() == []  # half a minute has not passed
    import pipelines.alerts

    later = pipelines.alerts.time.time() + 60
    monkeypatch.setattr(pipelines.alerts.time, "time", lambda: later)
    assert watch.tick() == ["red_gate"]
    assert watch.tick() == []


def test_no_webhook_no_sensor(watch: Watch) -> None:
    place = watch.place
    assert not list(alerts_definitions(place.task, place.places, []).sensors or [])
    named = alerts_definitions(place.task, replace(place.places, webhook=watch.hook.address), [])
    (sensor,) = named.sensors or []
    assert isinstance(sensor, dg.SensorDefinition) and sensor.name == "demo_alerts"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
