"""Failures that Dagster's daemon read before the run's status was written: their retry is not lost."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.auto_run_reexecution import auto_run_reexecution, event_log_consumer

from pipelines.dead_runs import GRACE, LOOK_BACK, MOST_REPORTS, report_missed_failures
from pipelines.tags import TASK_TAG

TASK = "sample"


@dg.op
def step() -> None: ...


@dg.job
def work() -> None:
    step()


class Daemon:
    """The part of Dagster's daemon that answers failures; it notes retries instead of launching them."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.retried: list[str] = []
        self.consumer = event_log_consumer.EventLogConsumerDaemon()
        self.consumer._logger = logging.getLogger("tests.daemon")

    def look(self) -> None:
        for _ in self.consumer.run_iteration(SimpleNamespace(instance=self.instance)):  # type: ignore[arg-type]
            pass

    def retry(self, run: dg.DagsterRun, workspace: Any) -> None:
        self.retried.append(run.run_id)
        again = {"dagster/parent_run_id": run.run_id, "dagster/root_run_id": run.run_id}
        self.instance.create_run_for_job(work, tags=again, parent_run_id=run.run_id, root_run_id=run.run_id)


@pytest.fixture
def daemon(tmp_path: Path, empty_instance: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    shutil.copytree(empty_instance, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nrun_retries: {enabled: true, max_retries: 1}\n"
    )
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        made = Daemon(instance)
        monkeypatch.setattr(auto_run_reexecution, "retry_run", made.retry)
        made.look()  # a daemon that has just begun passes over what is older
        yield made


def begun(daemon: Daemon) -> dg.DagsterRun:
    return daemon.instance.create_run_for_job(work, tags={TASK_TAG: TASK}, status=dg.DagsterRunStatus.STARTED)


def fail_while(daemon: Daemon, run: dg.DagsterRun, between: Callable[[], None]) -> None:
    """Report a run's failure; `between` happens after the event is stored and before the run's status is."""
    storage = daemon.instance.run_storage
    with pytest.MonkeyPatch.context() as patch:

        def handle(*arguments: Any) -> None:
            patch.undo()
            between()
            storage.handle_run_event(*arguments)

        patch.setattr(storage, "handle_run_event", handle)
        daemon.instance.report_run_failed(run)


def test_a_failure_that_the_daemon_passed_over_is_retried_after_all(daemon: Daemon) -> None:
    run = begun(daemon)
    fail_while(daemon, run, daemon.look)
    daemon.look()
    assert daemon.retried == []  # the retry that would never come
    now = datetime.now(UTC)
    assert report_missed_failures(daemon.instance, TASK, now) == []  # the daemon may still be about to
    assert report_missed_failures(daemon.instance, TASK, now + 2 * GRACE) == [run.run_id]
    daemon.look()
    assert daemon.retried == [run.run_id]
    assert report_missed_failures(daemon.instance, TASK, now + 4 * GRACE) == []


def test_a_failure_that_was_retried_is_left_alone(daemon: Daemon) -> None:
    run = begun(daemon)
    daemon.instance.report_run_failed(run)
    daemon.look()
    assert daemon.retried == [run.run_id]
    assert report_missed_failures(daemon.instance, TASK, datetime.now(UTC) + 2 * GRACE) == []


def test_old_failures_and_those_of_other_tasks_are_left_alone(daemon: Daemon) -> None:
    fail_while(daemon, begun(daemon), daemon.look)
    now = datetime.now(UTC)
    assert report_missed_failures(daemon.instance, "another", now + 2 * GRACE) == []
    assert report_missed_failures(daemon.instance, TASK, now + 2 * LOOK_BACK) == []


def test_a_failure_is_not_reported_for_ever(daemon: Daemon) -> None:
    fail_while(daemon, begun(daemon), daemon.look)
    now = datetime.now(UTC)
    reports = [report_missed_failures(daemon.instance, TASK, now + at * GRACE) for at in range(2, 8)]
    assert sum(map(len, reports)) == MOST_REPORTS - 1
