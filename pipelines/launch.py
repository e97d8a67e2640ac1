"""Materialise a task from the command line, through the same definitions that Dagster's pages show."""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, cast

from filelock import FileLock, Timeout

from pipelines.tags import LAUNCHER_TAG, TASK_TAG
from playbook.database import exclusive
from playbook.errors import TaskBusy, TaskFileError
from playbook.plays import asset_kinds
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.world import World

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its Dagster run id, the message of what failed, and the assets that it materialised."""

    run_id: str
    succeeded: bool
    failure: str
    materialized: frozenset[str]


def run_task(task: Task, places: Settings, until: str | None = None) -> Outcome:
    """Materialise all plays of a task, or those up to the asset `until`, in this process.

    Raises:
        TaskFileError: there is no asset `until`.
        TaskBusy: another `playbook run` of the task is under way.
        LogTampered: the decision log is not what was written, or is gone.
    """
    known = asset_kinds(task.spec)
    if until is not None and until not in known:
        raise TaskFileError("--until", [f"found {until!r}; allowed: {', '.join(known)}"])
    lock = FileLock(places.home / "locks" / f"{task.spec.task}.lock")
    (places.home / "locks").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.acquire(timeout=0))
            if places.dagster_database:  # other machines record their runs there too
                stack.enter_context(exclusive(places.dagster_database, f"run {task.spec.task}"))
        except (Timeout, TaskBusy):
            raise TaskBusy(
                f"another run of {task.spec.task} is under way; wait for it, or watch it with `playbook show`"
            ) from None
        World(places).decision_log(task.spec.task).entries()  # nothing is done beside a log that is lost
        return _materialise(task, places, until)


def _materialise(task: Task, places: Settings, until: str | None) -> Outcome:
    import dagster as dg

    from pipelines.factory import job_name, resources_of, task_definitions
    from pipelines.instance import prepare_home

    prepare_home(places)
    quietly()
    definitions = task_definitions(task, places, resources_of(places))
    job = definitions.resolve_job_def(job_name(task.spec.task))
    with redirect_stderr(cast("TextIO", WithoutStatements(sys.stderr))), dg.DagsterInstance.get() as instance:
        _end_dead_runs(instance, task.spec.task)
        done = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={TASK_TAG: task.spec.task, LAUNCHER_TAG: "cli"},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=_upstream_of(definitions, task, until) if until else None,
        )
    made = {event.asset_key.path[-1] for event in done.all_events if event.is_step_materialization and event.asset_key}
    return Outcome(done.run_id, done.success, "" if done.success else failure_of(done), frozenset(made))


class WithoutStatements:
    """A stream to which Dagster reports a database that fails: the reason is kept, the statement that failed is not."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, without the statement and parameters that SQLAlchemy appends to its errors."""
        reason, found, _ = text.partition("\n[SQL: ")
        self._stream.write(f"{reason}\n" if found else text)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def quietly() -> None:
    """Leave Dagster's warnings and log lines out of a command's output."""
    import dagster as dg

    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    logging.getLogger("dagster").setLevel(logging.CRITICAL)


def _end_dead_runs(instance: dg.DagsterInstance, task: str) -> None:
    """Mark earlier runs of the command line as failed: we hold the task's lock, so their processes are gone.

    A run that looks started would hold up every run of the task that Dagster's daemon launches.
    """
    import dagster as dg

    under_way = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    for run in instance.get_runs(dg.RunsFilter(tags={TASK_TAG: task, LAUNCHER_TAG: "cli"}, statuses=under_way)):
        instance.report_run_failed(run, "its process ended before it did")


def _upstream_of(definitions: dg.Definitions, task: Task, until: str) -> list[dg.AssetKey]:
    import dagster as dg

    graph = definitions.resolve_asset_graph()
    selection = dg.AssetSelection.assets(dg.AssetKey([task.spec.task, until])).upstream()
    return sorted(selection.resolve(graph), key=str)


def failure_of(done: dg.ExecuteInProcessResult) -> str:
    """The innermost message of the first failed step, without Dagster's wrapping."""
    for event in done.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                name = error.cls_name or "Error"
                message = error.message.strip()
                return _told_once(name, message)
    return "the run failed; Dagster's log has the reason"


def _told_once(name: str, message: str) -> str:
    """`Name: text`, where the message may begin with the name already, or with module and name."""
    head, colon, text = message.partition(": ")
    if colon and " " not in head and head.rpartition(".")[2] == name:
        message = text
    return f"{name}: {message}" if message and message != name else name
