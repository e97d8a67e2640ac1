"""A real daemon: the sensor, the schedule and the button each launch a round; what a dead daemon missed is not lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from play_runs import make_place
from retraining_samples import PLAN
from services import Dagster, dagster, environment, wait_for

from playbook.operate.rounds import ask_for_round, last_round, pending_triggers
from playbook.settings import Settings
from resources.world import World

TASK, JOB = "pairs", "pairs_retrain_job"
LAUNCH = """mutation ($job: String!, $config: RunConfigData) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "playbook", repositoryName: "__repository__", jobName: $job},
    runConfigData: $config}) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
    ... on RunConfigValidationInvalid {errors {message}}}}"""


@dataclass
class Installation:
    """One task whose model needs seconds, and Dagster's state of it."""

    folder: Path
    places: Settings

    @property
    def log(self) -> Any:
        return World(self.places).decision_log(TASK)

    def runs(self, dagster: Dagster) -> list[Any]:
        """Runs of the retrain job, oldest first."""
        from dagster import RunsFilter

        return list(reversed(list(dagster.instance.get_runs(RunsFilter(job_name=JOB)))))

    def ended(self, dagster: Dagster, count: int, seconds: float = 150) -> list[Any]:
        """Wait for so many retrain runs to have ended."""
        wait_for(
            f"{count} retrain runs to end",
            seconds,
            lambda: sum(run.is_finished for run in self.runs(dagster)) >= count,
            every=0.5,
        )
        return self.runs(dagster)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Installation]:
    """A task whose frozen baseline ends a run in seconds, with a schedule of every minute."""
    folder = tmp_path_factory.mktemp("daemon")
    with pytest.MonkeyPatch.context() as patch, environment(folder, patch) as places:
        made = make_place(folder / "made", database, **{**PLAN, "max_rungs": 0, "epochs": 1})
        made.document["data"]["source"] = {"path": str(folder / "made" / "path.csv")}
        made.document["base"]["folder"] = str(folder / "made" / "base")
        made.document["retraining"] = {"min_new_labels": 0}
        made.task()
        (folder / "tasks" / "pairs.yaml").write_text(made.file.read_text("utf-8"), "utf-8")
        patch.setenv("PLAYBOOK_THREADS", "1")
        yield Installation(folder, places)


def test_triggers_from_everywhere_make_one_run_each_time(place: Installation) -> None:
    with dagster(place.places) as service:
        ask_for_round(place.log, TASK, {"drift": "alarm in 3 of 5 windows"}, by="playbook")
        ask_for_round(place.log, TASK, {"metric": "below its threshold"}, by="playbook")
        (both,) = place.ended(service, 1)
        assert both.status.value == "SUCCESS"
        assert both.tags["playbook/trigger"] == "drift,metric"
        assert both.tags["dagster/sensor_name"] == "pairs_retrain"
        config = {"ops": {"pairs_ask_for_a_round": {"config": {"by": "ops@example.com", "reason": "pressed"}}}}
        pressed = service.ask(LAUNCH, job="pairs_request_retrain_job", config=config)["launchRun"]
        assert pressed["__typename"] == "LaunchRunSuccess", pressed
        _, button = place.ended(service, 2)
        assert (button.status.value, button.tags["playbook/trigger"]) == ("SUCCESS", "button")
        time.sleep(20)  # more than a tick of the sensor
        assert len(place.runs(service)) == 2
    entries = place.log.entries()
    assert pending_triggers(entries) == []
    asked = next(entry for entry in reversed(entries) if entry.kind == "trigger")
    assert (asked.by, asked.body["triggers"]) == ("ops@example.com", {"button": "pressed"})
    assert [entry.body["kinds"] for entry in entries if entry.kind == "round"] == [["drift", "metric"], ["button"]]


def test_the_schedule_asks_for_rounds(place: Installation) -> None:
    file = place.folder / "tasks" / "pairs.yaml"
    document = file.read_text("utf-8")
    file.write_text(document.replace("min_new_labels: 0", "min_new_labels: 0\n  schedule: '* * * * *'"), "utf-8")
    try:
        with dagster(place.places) as service:
            before = len(place.runs(service))
            run = place.ended(service, before + 1, seconds=200)[before]
            assert (run.status.value, run.tags["playbook/trigger"]) == ("SUCCESS", "schedule")
    finally:
        file.write_text(document, "utf-8")
    asked = next(entry for entry in reversed(place.log.entries()) if entry.kind == "trigger")
    assert (asked.by, asked.body["triggers"]) == ("schedule", {"schedule": "every * * * * *"})


def test_what_comes_while_no_daemon_runs_and_what_dies_with_one_is_made_up_for(place: Installation) -> None:
    waiting = [entry.sha256 for entry in pending_triggers(place.log.entries())]  # the schedule may have asked again
    asked = ask_for_round(place.log, TASK, {"drift": "while nobody looked"}, by="playbook")
    with dagster(place.places) as service:
        before = {run.run_id for run in place.runs(service) if run.is_finished}

        def begun() -> Any:
            return next(
                (run for run in place.runs(service) if run.run_id not in before and run.status.value == "STARTED"), None
            )

        killed = wait_for("the run to begin", 90, begun)
        assert killed.tags["playbook/round"] in (asked.sha256, *waiting)
        kill_everything(place.folder)
    with dagster(place.places) as service:

        def finished() -> Any:
            done = last_round(place.log.entries())
            runs = [run for run in place.runs(service) if run.run_id not in before]
            return done is not None and any(run.status.value == "SUCCESS" for run in runs) and runs

        runs = wait_for("the round to be brought to its end", 240, finished, every=1.0)
        assert next(run for run in runs if run.run_id == killed.run_id).status.value == "FAILURE"
    assert asked.sha256 in [
        sha for entry in place.log.entries() if entry.kind == "round" for sha in entry.inputs["triggers"]
    ]


def kill_everything(folder: Path) -> None:
    """SIGKILL to every process of Dagster that works in this installation."""
    import signal

    for found in Path("/proc").iterdir():
        try:
            if not found.name.isdigit() or int(found.name) == os.getpid():
                continue
            variables = (found / "environ").read_bytes().split(b"\0")
            if (
                f"PLAYBOOK_HOME={folder / 'home'}".encode() in variables
                and b"dagster" in (found / "cmdline").read_bytes()
            ):
                os.kill(int(found.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue
