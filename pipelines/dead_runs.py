"""Runs whose process is gone although Dagster takes them for started: after a power cut nobody else would end them.

Dagster's default launcher cannot see that a run's process died with the machine or with everything on it. Such a run
would hold its task for ever. Only on an installation of one machine is a process id enough to know; launchers for
clusters have a health check of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from playbook.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")
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
