"""Watching and retraining: the daily job, the retrain run's sensor, and the schedule and the button that ask for one.

One sensor launches every round. Whatever wants one (the policy of a day, the schedule, the button, `playbook retrain`)
writes a trigger to the decision log; the sensor follows the log. So triggers that come together make one run, and a
trigger that nobody was there to see is seen as soon as a daemon runs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Protocol

import dagster as dg

from assets.base_trial import base_trial
from assets.factory import AssetMaker
from assets.watch import NO_PAGE_TAG, watch_assets
from pipelines.button import request_job, request_op_name
from pipelines.dead_runs import BEGUN, end_dead_runs, report_missed_failures
from pipelines.tags import ROUND_TAG, TASK_TAG, TRIGGER_TAG
from playbook.decide.log import Entry
from playbook.operate.rounds import ask_by_hand, kinds_of, last_round, pending_triggers
from playbook.plays import asset_kinds
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.world import World

if TYPE_CHECKING:
    from dagster import DagsterInstance

SECONDS = 15  # between two looks at the log
MOST_ATTEMPTS = 3  # runs that are launched for one round before somebody has to look
HOUR = 1  # of the day (UTC) at which the day before is looked at
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def monitor_job_name(task: str) -> str:
    """Name of the job that looks at one day."""
    return f"{task}_monitor_job"


def retrain_job_name(task: str) -> str:
    """Name of the job that a round runs."""
    return f"{task}_retrain_job"


def try_bases_job_name(task: str) -> str:
    """Name of the job that tries every base of the list beside the one that serves."""
    return f"{task}_try_bases_job"


def retraining_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """Daily assets with their job and schedule; the retrain job with its sensor, schedule and button."""
    watch = watch_assets(AssetMaker(task, World(places)))
    monitor = _monitor_job(task, watch)
    retrain = _retrain_job(task, assets)
    request = request_job(task, places)
    daily = dg.build_schedule_from_partitioned_job(
        monitor,
        name=f"{task.spec.task}_monitor_schedule",
        description="Looks at the day before, every day.",
        hour_of_day=HOUR,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    rounds = _retrain_schedule(task, request)
    trial = base_trial(AssetMaker(task, World(places)))
    tried = _try_bases_job(task, trial)
    asked = [*([rounds] if rounds else []), *_try_bases_schedule(task, tried)]
    return dg.Definitions(
        assets=[*watch, trial],
        jobs=[monitor, retrain, request, tried],
        schedules=[daily, *asked],
        sensors=[_retrain_sensor(task, places, retrain)],
    )


def _monitor_job(task: Task, watch: Sequence[dg.AssetsDefinition]) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        monitor_job_name(task.spec.task),
        selection=dg.AssetSelection.assets(*[key for asset in watch for key in asset.keys]),
        description="Look at one day: its window of the prediction log, drift, and the retraining policy.",
        # No TASK_TAG: looking at a day may go on beside a run of the task.
        executor_def=dg.in_process_executor,
    )


def _try_bases_job(task: Task, trial: dg.AssetsDefinition) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        try_bases_job_name(task.spec.task),
        selection=dg.AssetSelection.assets(trial.key),
        description="Try every base of the list beside the one that serves, on the current data; no model is touched.",
        # No TASK_TAG: it may go on beside a run of the task.
        executor_def=dg.in_process_executor,
    )


def _try_bases_schedule(task: Task, job: dg.UnresolvedAssetJobDefinition) -> list[dg.ScheduleDefinition]:
    """The schedule of the task file; none where there is no other base to try, or nobody asks for better ones."""
    rules, name = task.spec.retraining, task.spec.task
    if rules.try_bases is None or not rules.better_base or len(task.spec.bases) < 2:
        return []
    schedule = dg.ScheduleDefinition(
        name=f"{name}_try_bases_schedule",
        job=job,
        cron_schedule=rules.try_bases,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Tries every base of the list beside the one that serves, at the times of the task file.",
    )
    return [schedule]


def _retrain_job(task: Task, assets: Sequence[dg.AssetsDefinition]) -> dg.UnresolvedAssetJobDefinition:
    wanted = set(asset_kinds(task.spec))
    keys = [key for asset in assets for key in asset.keys if key.path[-1] in wanted]
    return dg.define_asset_job(
        retrain_job_name(task.spec.task),
        selection=dg.AssetSelection.assets(*keys),
        description="A retraining round: take up what asks for it, then every play again with the data that has grown.",
        tags={TASK_TAG: task.spec.task},
        executor_def=dg.in_process_executor,
    )


def _retrain_schedule(task: Task, request: dg.JobDefinition) -> dg.ScheduleDefinition | None:
    cron, name = task.spec.retraining.schedule, task.spec.task
    if cron is None:
        return None
    config = {"reason": f"every {cron}", "kind": "schedule"}
    return dg.ScheduleDefinition(
        name=f"{name}_retrain_schedule",  # not the sensor's name: Dagster would take the two for one
        job=request,
        cron_schedule=cron,
        execution_timezone="UTC",
        run_config={"ops": {request_op_name(name): {"config": config}}},
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Asks for a retraining round at the times of the task file.",
    )


def _retrain_sensor(task: Task, places: Settings, job: dg.UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    name = task.spec.task

    @dg.sensor(
        name=f"{name}_retrain",
        job=job,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Launches a retraining round when the decision log asks for one.",
    )
    def follow(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        begun = context.instance.get_runs(dg.RunsFilter(tags={TASK_TAG: name}, statuses=list(BEGUN)))
        for run_id in end_dead_runs(context.instance, places, begun):
            context.log.warning(f"run {run_id[:8]} is marked as failed: its process is gone")
        for run_id in report_missed_failures(context.instance, name):
            context.log.warning(f"the failure of run {run_id[:8]} is reported again: it was not retried")
        return next_round(name, World(places).decision_log(name).entries(), context.instance)

    return follow


def next_round(task: str, entries: tuple[Entry, ...], instance: DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    """The run that the decision log asks for, or why none is launched.

    A round's runs carry, as a tag, the newest trigger that waited when they were launched; retries of Dagster's carry
    it, too. A round whose process died is launched again, up to three times. One whose step failed, or that somebody
    cancelled, is not: it would end the same way, and whoever fixed what it says asks again.
    """
    waiting = pending_triggers(entries)
    unfinished = [] if waiting else _unfinished_round(task, entries, instance)
    if not waiting and not unfinished:
        return dg.SkipReason("nothing asks for a round")
    going_on = instance.get_runs(dg.RunsFilter(job_name=retrain_job_name(task), statuses=UNDER_WAY))
    if going_on:
        return dg.SkipReason(f"run {going_on[0].run_id[:8]} of a round is under way")
    asked = waiting or unfinished
    newest = asked[-1]
    runs = [run for entry in asked for run in _runs(task, entry.sha256, instance)]
    ended = next((run for run in runs if _is_final(run, instance)), None) if newest in _tagged(asked, runs) else None
    attempts = len([run for run in runs if run.tags.get(ROUND_TAG) == newest.sha256])
    if ended is not None or attempts >= MOST_ATTEMPTS:
        last = ended or runs[0]
        return dg.SkipReason(
            f"run {last.run_id[:8]} of the round ended as {last.status.value}; see why, fix it, then ask again: "
            f"playbook retrain {task}"
        )
    kinds = sorted({kind for entry in asked for kind in kinds_of(entry)})
    request = dg.RunRequest(
        run_key=f"retrain-{task}-{newest.sha256}-{attempts}",
        tags={TASK_TAG: task, ROUND_TAG: newest.sha256, TRIGGER_TAG: ",".join(kinds)},
    )
    return dg.SensorResult(run_requests=[request])


def _tagged(asked: Sequence[Entry], runs: Sequence[dg.DagsterRun]) -> list[Entry]:
    tags = {run.tags.get(ROUND_TAG) for run in runs}
    return [entry for entry in asked if entry.sha256 in tags]


def _unfinished_round(task: str, entries: tuple[Entry, ...], instance: DagsterInstance) -> list[Entry]:
    """The triggers of the latest round, where its process died before the round came to its end."""
    done = last_round(entries)
    if done is None:
        return []
    named = done.inputs.get("triggers")
    triggers = [entry for entry in entries if isinstance(named, list) and entry.sha256 in named]
    own = instance.get_run_by_id(str(done.body.get("run_id", "")))
    runs = [*([own] if own else []), *(run for entry in triggers for run in _runs(task, entry.sha256, instance))]
    if not runs or any(run.status == dg.DagsterRunStatus.SUCCESS or not run.is_finished for run in runs):
        return []
    return [] if any(_is_final(run, instance) for run in runs) else triggers


def _is_final(run: dg.DagsterRun, instance: DagsterInstance) -> bool:
    """Whether a run that did not succeed would come to the same end again: cancelled, or a step of it failed."""
    if run.status == dg.DagsterRunStatus.CANCELED:
        return True
    if run.status != dg.DagsterRunStatus.FAILURE:
        return False
    return bool(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE))


def _runs(task: str, trigger: str, instance: DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(job_name=retrain_job_name(task), tags={ROUND_TAG: trigger})))


def ask(task: Task, places: Settings, *, by: str, reason: str, day: date | None = None) -> Entry:
    """Ask for a round from the command line.

    Raises:
        ApprovalRefused: by nobody who may, or without a reason.
    """
    return ask_by_hand(World(places).decision_log(task.spec.task), task.spec, by=by, reason=reason, day=day)


def monitor_days(task: Task, places: Settings, days: Sequence[date]) -> None:
    """Materialise the daily assets of some days in this process, oldest first; the page is written with the last one.

    Raises:
        PlaybookError: a day failed; the days before it are done.
    """
    from pipelines.instance import prepare_home

    prepare_home(places)
    with dg.DagsterInstance.get() as instance:
        watch = day_watcher(task, places, instance)
        for day in sorted(days):
            watch(day, page=day == max(days))


class DayWatch(Protocol):
    """Looks at one day."""

    def __call__(self, day: date, page: bool = False) -> None:
        """Materialise its daily assets; with `page`, write the monitoring page, too."""


def day_watcher(task: Task, places: Settings, instance: DagsterInstance) -> DayWatch:
    """A function that materialises the daily assets of a day in this process."""
    from pipelines.factory import resources_of, task_definitions
    from pipelines.launch import failure_of, quietly
    from playbook.errors import PlaybookError

    quietly()
    job = task_definitions(task, places, resources_of(places)).resolve_job_def(monitor_job_name(task.spec.task))

    def watch(day: date, page: bool = False) -> None:
        done = job.execute_in_process(
            instance=instance,
            partition_key=day.isoformat(),
            raise_on_error=False,
            tags={} if page else {NO_PAGE_TAG: "replay"},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        if not done.success:
            raise PlaybookError(f"{task.spec.task}, {day}: {failure_of(done)}")

    return watch
