"""A real daemon: the sensor, the schedule and the button each launch a round; what a dead daemon missed is not lost.

Two daemons and five rounds take minutes. What is launched, and when, is asked at once by test_retrain_rounds.py and
test_dead_runs.py among the unit tests and by test_definitions.py; that a daemon looks and launches,
by test_alerts.py and test_devices.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from play_runs import make_place
from retraining_samples import PLAN
from services import Dagster, dagster, environment, wait_for

from playbook.decide.log import Entry
from playbook.operate.rounds import ask_for_round
from playbook.settings import Settings
from resources.world import World

pytestmark = pytest.mark.proof
SOON = """
import pipelines.retraining
pipelines.retraining.SECONDS = 5  # the least that Dagster keeps
from pipelines.definitions import defs
"""
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

    def ended(self, dagster: Dagster, count: int, seconds: float = 300) -> list[Any]:
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
    """A task whose frozen baseline ends a run in seconds; no schedule yet."""
    folder = tmp_path_factory.mktemp("daemon")
    with pytest.MonkeyPatch.context() as patch, environment(folder, patch, database) as places:
        made = make_place(folder / "made", database, **{**PLAN, "max_rungs": 0, "epochs": 1})
        made.document["data"]["source"] = {"path": str(folder / "made" / "path.csv")}
        made.document["base"]["folder"] = str(folder / "made" / "base")
        made.document["retraining"] = {"min_new_labels": 0, "cool_down_days": 0}
        made.task()
        (folder / "tasks" / "pairs.yaml").write_text(made.file.read_text("utf-8"), "utf-8")
        patch.setenv("PLAYBOOK_THREADS", "1")
        yield Installation(folder, places)


@dataclass
class First:
    """What a daemon did until it was killed in the middle of a round."""

    together: Any  # the run after two triggers at once
    counted: int  # runs that were there one tick of the sensor later
    killed: Any  # the run after the button, which was under way


@pytest.fixture(scope="module")
def first(place: Installation) -> First:
    """A daemon with two triggers at once, then the button, whose run dies with the daemon."""
    with dagster(place.places, SOON) as service:
        ask_for_round(place.log, TASK, {"drift": "alarm in 3 of 5 windows"}, by="playbook")
        ask_for_round(place.log, TASK, {"metric": "below its threshold"}, by="playbook")
        (together,) = place.ended(service, 1)
        wait_for_a_look(service, together)
        counted = len(place.runs(service))
        config = {"ops": {"pairs_ask_for_a_round": {"config": {"by": "team:b", "reason": "somebody pressed it"}}}}
        answer = service.ask(LAUNCH, job="pairs_request_retrain_job", config=config)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer

        def begun() -> Any:
            runs = [run for run in place.runs(service) if "button" in kinds_of_run(run)]
            return next((run for run in runs if run.status.value == "STARTED"), None)

        killed = wait_for("the run to begin", 180, begun)
        kill_everything(place.folder)
    return First(together, counted, killed)


@dataclass
class Second:
    """What the next daemon made of it, with a schedule of every minute in the task file."""

    while_dead: Entry  # the trigger that came while no daemon ran
    runs: list[Any]


@pytest.fixture(scope="module")
def second(place: Installation, first: First) -> Second:
    """Another trigger and a schedule while no daemon runs, then a daemon until both have had their rounds."""
    while_dead = ask_for_round(place.log, TASK, {"drift": "while nobody looked"}, by="playbook")
    file = place.folder / "tasks" / "pairs.yaml"
    file.write_text(file.read_text("utf-8").replace("days: 0", "days: 0\n  schedule: '* * * * *'"), "utf-8")
    with dagster(place.places, SOON) as service:

        def finished() -> Any:
            done = [run for run in place.runs(service) if run.status.value == "SUCCESS"][1:]
            over = {run.run_id for run in done}
            rounds = [entry for entry in place.log.entries() if entry.kind == "round"]
            ended = {sha for entry in rounds if entry.body["run_id"] in over for sha in entry.inputs["triggers"]}
            made_up = any(run.tags["playbook/round"] == first.killed.tags["playbook/round"] for run in done)
            return made_up and while_dead.sha256 in ended and any("schedule" in kinds_of_run(run) for run in done)

        wait_for("the rounds to be brought to their end", 300, finished, every=1.0)
        return Second(while_dead, place.runs(service))


def kinds_of_run(run: Any) -> set[str]:
    return set(run.tags["playbook/trigger"].split(","))


def wait_for_a_look(service: Dagster, run: Any) -> None:
    """Wait until the sensor has looked at the log after a run had ended."""
    from dagster import DagsterInstance

    instance: DagsterInstance = service.instance
    ended = instance.get_run_stats(run.run_id).end_time
    (state,) = [state for state in instance.all_instigator_state() if state.instigator_name == "pairs_retrain"]

    def looked() -> bool:
        (tick,) = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        return ended is not None and tick.timestamp > ended and tick.status.value == "SKIPPED"

    wait_for("the sensor's next look", 180, looked, every=0.5)


def test_two_triggers_at_once_make_one_run(first: First) -> None:
    assert first.together.status.value == "SUCCESS"
    assert kinds_of_run(first.together) == {"drift", "metric"}
    assert first.together.tags["dagster/sensor_name"] == "pairs_retrain"
    assert first.counted == 1


def test_the_button_makes_one_run_with_its_reason_on_record(place: Installation, first: First, second: Second) -> None:
    assert kinds_of_run(first.killed) == {"button"}
    asked = next(entry for entry in place.log.entries() if entry.kind == "trigger" and entry.by == "team:b")
    assert asked.body["triggers"] == {"button": "somebody pressed it"}
    assert first.killed.tags["playbook/round"] == asked.sha256
    rounds = [entry.body["kinds"] for entry in place.log.entries() if entry.kind == "round"]
    assert rounds[0] == ["drift", "metric"]
    assert sum("button" in kinds for kinds in rounds) == 1


def test_a_round_that_dies_with_the_daemon_is_made_up_for(place: Installation, first: First, second: Second) -> None:
    mine = [run for run in second.runs if run.tags["playbook/round"] == first.killed.tags["playbook/round"]]
    assert mine[0].run_id == first.killed.run_id
    *before, last = [run.status.value for run in mine]
    assert last == "SUCCESS" and set(before) <= {"FAILURE"}


def test_every_trigger_has_one_round(place: Installation, second: Second) -> None:
    entries = place.log.entries()
    taken = [sha for entry in entries if entry.kind == "round" for sha in entry.inputs["triggers"]]
    assert len(taken) == len(set(taken))
    asked = [entry.sha256 for entry in entries if entry.kind == "trigger"]
    assert asked[: asked.index(second.while_dead.sha256) + 1] == taken[: asked.index(second.while_dead.sha256) + 1]


def test_the_schedule_makes_runs(place: Installation, second: Second) -> None:
    assert any(run.status.value == "SUCCESS" and "schedule" in kinds_of_run(run) for run in second.runs)
    asked = next(entry for entry in place.log.entries() if entry.kind == "trigger" and entry.by == "schedule")
    assert asked.body["triggers"] == {"schedule": "every * * * * *"}


def kill_everything(folder: Path) -> None:
    """SIGKILL to every process of the installation, the runs that its services started too, as a power cut does."""
    import signal

    for found in Path("/proc").iterdir():
        try:
            if not found.name.isdigit() or int(found.name) == os.getpid():
                continue
            variables = (found / "environ").read_bytes().split(b"\0")
            mine = f"PLAYBOOK_HOME={folder / 'home'}".encode() in variables
            if mine:
                os.kill(int(found.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue
