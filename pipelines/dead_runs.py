"""What Dagster's daemon overlooks: runs whose process is gone, and failed runs that it should have retried.

After a power cut, Dagster's default launcher cannot see that a run's process died with the machine or with everything
on it. Such a run would hold its task for ever. Only on an installation of one machine is a process id enough to know;
launchers for clusters have a health check of their own.

Dagster stores a run's failure first and its status afterwards. Its daemon reads failures every five seconds and reads
each one once: where it comes in between, it takes the run for unfinished, moves on, and the retry is never launched
(https://github.com/dagster-io/dagster/issues/33741).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.tags import TASK_TAG
from playbook.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
GRACE = timedelta(seconds=20)  # in which the daemon, which looks every five seconds, should have launched a retry
LOOK_BACK = timedelta(hours=1)  # an older failure is history
MOST_REPORTS = 3  # of one failure
BEGUN = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def end_dead_runs(instance: DagsterInstance, places: Settings, runs: Sequence[dg.DagsterRun]) -> list[str]:
    """Mark runs as failed whose process is gone; returns their ids. Nothing is done where machines share storage."""
    if places.dagster_database is not None or not Path("/proc").is_dir():
        return []
    ended = []
    for run in runs:
        pid = _process_of(instance, run) if run.status in BEGUN else None
        if pid is not None and not _alive(pid):
            instance.report_run_failed(run, f"its process {pid} ended before it did")
            ended.append(run.run_id)
    return ended


def report_missed_failures(instance: DagsterInstance, task: str, now: datetime | None = None) -> list[str]:
    """Report failures again that the daemon should have answered with a retry and did not; returns the runs' ids.

    The daemon reads the second report like a first one. It launches no second retry of the same run.
    """
    now = now or datetime.now(UTC)
    wanted = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={TASK_TAG: task, "dagster/will_retry": "true"},
        updated_after=now - LOOK_BACK,
    )
    reported = []
    for record in instance.get_run_records(wanted):
        run = record.dagster_run
        if record.update_timestamp > now - GRACE or _was_retried(instance, run):
            continue
        reports = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        if len(reports) < MOST_REPORTS:
            instance.report_run_failed(run, "its failure is reported again: no retry was launched for it")
            reported.append(run.run_id)
    return reported


def _was_retried(instance: DagsterInstance, run: dg.DagsterRun) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}), limit=1))


def _process_of(instance: DagsterInstance, run: dg.DagsterRun) -> int | None:
    """Process id that Dagster wrote down when it launched a run."""
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        found = _STARTED.search(entry.message or "")
        if found:
            return int(found.group(1))
    return None


def _alive(pid: int) -> bool:
    try:
        state = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie has ended; only its parent has not looked yet
