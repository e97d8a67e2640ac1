"""Two devices of one machine, in runs that Dagster's daemon launches: one run, both ranks, no process left behind.

The tiny base, on which an epoch takes a moment: workers are stopped (SIGSTOP) while the tests look at them. A run is
ended by the button of Dagster's pages, or its own process is killed (SIGKILL, so that it can tidy nothing up).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import RunsFilter
from play_runs import make_place
from services import (
    Dagster,
    alive,
    dagster,
    descendants,
    environment,
    kill,
    processes,
    wait_for,
)

from pipelines.tags import TASK_TAG
from playbook.adapt.job import Job
from playbook.adapt.results import PARTS
from playbook.artifacts import Rung
from playbook.settings import Settings, settings
from resources.world import World

pytestmark = [
    pytest.mark.story,
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc"),
]
UNTIL_RUNG_1 = [
    "accumulated_rows",
    "problem_statement",
    "dataset_version",
    "reference_baselines",
    "decision",
    "base_selection",
    "frozen_baseline",
    "early_end",
    "rung_1",
]
GONE_SECONDS = 60
EPOCHS = 9
TASK = "pairs"
# Three seeds only hint at the spread: one standard error of an accuracy on these rows is allowed beside.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Stage:
    """Dagster at work on a task whose runs are ended and killed before one comes to its end."""

    places: Settings
    dagster: Dagster

    def result(self) -> tuple[Rung, dict[str, Any]]:
        """The finished rung_1 and the configuration of its training."""
        store = World(self.places).store
        rung = store.current(TASK, "rung_1", Rung)
        assert rung is not None
        return rung, json.loads(store.path(rung, "rung_1", "config").read_text())

    def job(self) -> Job:
        """What the workers are told that train now."""
        [path] = (self.places.work / TASK / "rung_1").rglob("job.json")
        return Job.load(path)

    def launch(self) -> str:
        """Queue a run up to the first rung."""
        return self.dagster.launch(TASK, UNTIL_RUNG_1)

    def runs(self) -> list[str]:
        """The task's runs, latest first; not those of schedules, which begin whatever the hour of the test."""
        return [run.run_id for run in self.dagster.instance.get_runs(RunsFilter(tags={TASK_TAG: TASK}))]

    def training(self) -> tuple[int, set[int]]:
        """The process of the run whose workers train now, and all that it started."""
        found = processes(self.places.work / TASK)
        assert sorted(process.rank for process in found if process.rank) == ["0", "1"]
        [launcher] = [process for process in found if process.rank is None]
        return launcher.parent, descendants(launcher.parent)

    @contextmanager
    def held(self, epoch: int) -> Iterator[None]:
        """Workers that stand still after so many epochs, until the test has done its part, however slow it is.

        The epoch before has been reported by then.
        """
        file = f"{PARTS}/{epoch - 1}.npy"
        work = self.places.work / TASK

        def reported() -> bool:
            with suppress(FileNotFoundError):  # the training renames folders while they are walked
                return any(work.rglob(file))
            return False

        wait_for(f"epoch {epoch}", 240, reported, every=0.02)
        workers = [process.pid for process in processes(work) if process.rank]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("devices")
    with pytest.MonkeyPatch.context() as monkeypatch, environment(folder, monkeypatch, database) as places:
        two = {"devices": 2, "max_rungs": 1, "batch_size": 8, "epochs": EPOCHS, "patience": EPOCHS}
        make_place(folder, database, begun=begun_store, **two)
        monkeypatch.setenv("PLAYBOOK_TASKS", str(folder))
        with dagster(settings()) as running:
            yield Stage(places, running)
        assert not processes(places.work)


@dataclass(frozen=True)
class Resumed:
    """A run that was killed while it trained, and its retry, which ended well."""

    killed: str
    recorded: list[str]  # runs of Dagster's while it trained
    job: Job  # what its workers were told
    run_id: str


@pytest.fixture(scope="module")
def resumed(stage: Stage) -> Resumed:
    killed = stage.launch()
    with stage.held(3):
        stage.dagster.wait_said(killed, f"epoch 2/{EPOCHS}")  # the first one is on disk by now
        assert stage.dagster.status(killed) == "STARTED"
        assert not any(f"epoch {EPOCHS}/{EPOCHS}" in line for line in stage.dagster.said(killed))
        worker, started = stage.training()
        job, recorded = stage.job(), stage.runs()
        kill(worker)
    wait_for("the killed run's processes to be gone", GONE_SECONDS, lambda: not alive(started))
    assert not processes(stage.places.work)
    assert stage.dagster.wait_ended(killed) == "FAILURE"

    # A run whose process died is launched again by the daemon, from the step that it was in.
    def again() -> str | None:
        runs = [run for run in stage.dagster.instance.get_runs() if run.root_run_id == killed]
        return runs[0].run_id if runs else None

    retry = wait_for("the killed run's retry", 120, again)
    assert stage.dagster.wait_ended(retry) == "SUCCESS", "\n".join(stage.dagster.said(retry))
    return Resumed(killed, recorded, job, retry)


@pytest.mark.proof
def test_one_run_is_recorded(resumed: Resumed) -> None:
    assert resumed.recorded == [resumed.killed]


@pytest.mark.proof
def test_a_killed_run_leaves_nothing_and_is_resumed(stage: Stage, resumed: Resumed) -> None:
    result, _ = stage.result()
    assert result.resumed >= 1
    assert len(result.curve) == EPOCHS
    assert stage.runs() == [resumed.run_id, resumed.killed]


@pytest.mark.proof
def test_rank_0_alone_reports(stage: Stage, resumed: Resumed) -> None:
    def reported(run_id: str) -> list[int]:
        lines = [re.match(rf"epoch (\d+)/{EPOCHS}", line) for line in stage.dagster.said(run_id)]
        return [int(line[1]) for line in lines if line]

    result, _ = stage.result()
    first = reported(resumed.killed)
    assert first[:2] == [1, 2]
    assert len(first) == len(set(first))
    assert reported(resumed.run_id) == list(range(result.resumed + 1, EPOCHS + 1))


@pytest.mark.proof
def test_both_ranks_train(stage: Stage, resumed: Resumed) -> None:
    import pandas as pd

    result, configuration = stage.result()
    rows = configuration["rank_rows"]
    assert len(rows) == 2
    assert min(rows) > 0
    assert sum(rows) == len(pd.read_parquet(resumed.job.train))
    assert "2 processes" in result.hardware
    assert result.curve[-1].train_loss < result.curve[0].train_loss
    assert result.validation is not None and result.validation.value > 0.9  # of two classes; a proof compares the two


@pytest.mark.proof
def test_result_is_within_the_spread_of_one_device(stage: Stage, resumed: Resumed, tmp_path: Path) -> None:
    from playbook.adapt.rung import run_rung

    job, (together, _) = resumed.job, stage.result()
    assert together.validation is not None
    alone = []
    for seed in (1, 2, 3):
        one = job.adaptation.model_copy(update={"devices": 1, "seed": seed})
        single = job.model_copy(update={"adaptation": one, "out": tmp_path / str(seed)})
        alone.append(run_rung(single, lambda message: None).validation)
    assert min(alone) - TOLERANCE <= together.validation.value <= max(alone) + TOLERANCE, alone


@pytest.mark.proof
def test_a_run_that_the_button_ends_leaves_nothing_and_is_taken_up_by_the_next(stage: Stage, resumed: Resumed) -> None:
    whole, _ = stage.result()
    for asset in ("training", "rung_1"):
        shutil.rmtree(Path(stage.places.store) / TASK / asset)
    ended = stage.launch()
    with stage.held(3):
        stage.dagster.wait_said(ended, f"epoch 2/{EPOCHS}")
        _, started = stage.training()
        stage.dagster.terminate(ended)
    wait_for("the ended run's processes to be gone", GONE_SECONDS, lambda: not alive(started))
    assert stage.dagster.wait_ended(ended) == "CANCELED"
    later = stage.launch()
    assert stage.dagster.wait_ended(later) == "SUCCESS", "\n".join(stage.dagster.said(later))
    result, _ = stage.result()
    assert result.resumed >= 1
    assert result.files["weights"].sha256 == whole.files["weights"].sha256


def test_a_worker_whose_parent_died_before_it_began_ends(tmp_path: Path) -> None:
    """The kernel is asked for a signal at the parent's death; a death before that has to be noticed, too."""
    job = tmp_path / "job.json"
    os.mkfifo(job)  # whoever goes on waits here for ever
    code = (
        "import subprocess, sys, time; from pathlib import Path; from playbook.adapt.worker import launch_command\n"
        "subprocess.Popen(launch_command(Path(sys.argv[1]), 1)); print('started', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(job)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    parent.kill()
    parent.wait()
    try:
        wait_for("the worker's end", GONE_SECONDS, lambda: not processes(job))
    finally:
        for process in processes(job):
            kill(process.pid)
