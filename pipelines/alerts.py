"""Alerts by webhook: red gate, drift, failed run, waiting sign-off.

One sensor per task looks at Dagster's own records and keeps its outbox in the cursor. Dagster's run failure sensor is
not used: it moves on when its function fails, so an alert would be lost while the receiver is away. Failures are read
from the runs instead, which shows those too whose process died and that run monitoring ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.tags import TASK_TAG
from playbook.artifacts import SignOff
from playbook.errors import PlaybookError
from playbook.operate.alerts import Alert, Outbox, make_alert, post
from playbook.plays import DATASET, DRIFT, SIGN_OFF
from playbook.settings import Settings
from playbook.store import Store
from playbook.taskfile import Task

if TYPE_CHECKING:
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

NO_DRIFT = "no_drift"
SECONDS = 30  # between two looks
MOST = 200  # records of one kind that one look reads
DECIDED = ("sign_off", "rejection")


def alerts_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """A sensor that posts; nothing where no webhook is named."""
    return dg.Definitions(sensors=[alert_sensor(task, places)]) if places.webhook else dg.Definitions()


def alert_sensor(task: Task, places: Settings) -> dg.SensorDefinition:
    """Posts each alert of a task once; what the receiver did not take is tried again, at most every 15 minutes.

    A tick never fails for a receiver that is away: its message says what was not delivered. An alert arrives twice
    only if the process dies between the receiver's answer and the end of the tick; its `id` is the same then.
    """
    name = task.spec.task

    @dg.sensor(
        name=f"{name}_alerts",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Posts to the webhook what {name}'s owners should know.",
    )
    def alert(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = time.time()
        outbox = Outbox.read(context.cursor)
        found, problems = _look(context.instance, task, places, outbox.since(now))
        outbox = outbox.put(found, now)
        outbox, answers = outbox.deliver(lambda one: post(str(places.webhook), one), now)
        said = [f"{sum(answer.delivered for answer in answers)} delivered, {len(outbox.waiting)} waiting"]
        said += sorted({answer.found for answer in answers if not answer.delivered}) + problems
        return dg.SensorResult(cursor=outbox.model_dump_json(), skip_reason=dg.SkipReason("; ".join(said)))

    return alert


def _look(instance: dg.DagsterInstance, task: Task, places: Settings, since: float) -> tuple[list[Alert], list[str]]:
    """What happened, and what could not be looked at: one broken source does not silence the others."""
    alerts: list[Alert] = []
    problems = []
    red = {one.run_id: one for one in _red_gates(instance, task, places, since)}
    alerts += red.values()
    alerts += _drifts(instance, task, places, since)
    alerts += (one for one in _failed_runs(instance, task, places, since) if one.run_id not in red)
    try:
        alerts += _waiting(task, places)
    except (PlaybookError, OSError) as error:
        problems.append(f"the sign-off could not be read: {type(error).__name__}")
    return alerts, problems


def _red_gates(instance: dg.DagsterInstance, task: Task, places: Settings, since: float) -> Iterator[Alert]:
    """One alert per run whose gate failed, however many checks did."""
    from assets.data import gate_check_names

    key = dg.AssetKey([task.spec.task, DATASET])
    checks = [dg.AssetCheckKey(key, name) for name in gate_check_names(task)]
    failed: dict[str, list[AssetCheckExecutionRecord]] = {}
    for check in _changed(instance, checks, since):
        for record in _failures(instance, check, since):
            if _is_error(record):
                failed.setdefault(record.run_id, []).append(record)
    for run_id, records in failed.items():
        names = ", ".join(sorted({record.key.name for record in records}))
        yield make_alert(
            "red_gate",
            run_id,
            task.spec.task,
            "the data gate is red",
            f"Failed: {names}. Nothing is trained on this dataset version; {task.spec.owners.data} owns the data.",
            at=min(_happened(record) for record in records),
            run_id=run_id,
            links=_links(places, run_id, key),
        )


def _drifts(instance: dg.DagsterInstance, task: Task, places: Settings, since: float) -> Iterator[Alert]:
    key = dg.AssetKey([task.spec.task, DRIFT])
    for check in _changed(instance, [dg.AssetCheckKey(key, NO_DRIFT)], since):
        for record in reversed(_failures(instance, check, since)):
            day = record.partition or _partition_of(instance, record.run_id)
            yield make_alert(
                "drift",
                day or record.run_id,  # a window that is judged again is not news
                task.spec.task,
                f"drift{f' in the window of {day}' if day else ''}",
                f"A figure is over the threshold that was set before deployment; {task.spec.owners.data} watches it.",
                at=_happened(record),
                run_id=record.run_id,
                links=_links(places, record.run_id, key),
            )


def _failed_runs(instance: dg.DagsterInstance, task: Task, places: Settings, since: float) -> Iterator[Alert]:
    from datetime import UTC, datetime

    name = task.spec.task
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.fromtimestamp(since, UTC))
    for record in instance.get_run_records(wanted, limit=MOST, order_by="update_timestamp"):
        run = record.dagster_run
        ended = record.end_time or record.update_timestamp.timestamp()
        if ended < since or not _is_of(run, name):
            continue
        steps = ", ".join(_failed_steps(instance, run.run_id))
        again = " Dagster tries it again." if run.tags.get("dagster/will_retry") == "true" else ""
        yield make_alert(
            "failed_run",
            run.run_id,
            name,
            f"run {run.run_id[:8]} of {_job(run, name)} failed",
            f"{f'Failed at {steps}.' if steps else 'Its process ended before it did.'}{again} "
            f"{task.spec.owners.model} owns the model.",
            at=ended,
            run_id=run.run_id,
            links=_links(places, run.run_id, None),
        )


def _waiting(task: Task, places: Settings) -> Iterator[Alert]:
    """A sign-off that somebody has to give, unless the log has a decision already."""
    from playbook.decide.log import open_decision_log

    name = task.spec.task
    shown = Store(places.store, places.home / "cache" / "store").current(name, SIGN_OFF, SignOff)
    if shown is None or shown.skipped or shown.state not in ("awaiting", "void") or shown.binding is None:
        return
    judged = shown.binding.evaluation
    entries = open_decision_log(places, name).entries()
    if any(entry.kind in DECIDED and entry.inputs.get("evaluation") == judged for entry in entries):
        return
    yield make_alert(
        "waiting_sign_off",
        f"{judged}:{shown.state}",
        name,
        f"a model waits for the sign-off of {task.spec.owners.sign_off}",
        f"Read the report, then: playbook approve {task.called(places)}. Until then nothing is packaged.",
        at=time.time(),
        links=_links(places, "", dg.AssetKey([name, SIGN_OFF])),
    )


def _changed(instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey], since: float) -> list[dg.AssetCheckKey]:
    """Checks with a record newer than `since`, by one query; one that is planned hides an older result."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    return [check for check, record in latest.items() if max(record.create_timestamp, _happened(record)) > since]


def _failures(instance: dg.DagsterInstance, check: dg.AssetCheckKey, since: float) -> list[AssetCheckExecutionRecord]:
    """Evaluations of a check that failed after `since`, newest first.

    Their ids tell nothing of their order: a record gets its number when it is planned.
    """
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    failed = {AssetCheckExecutionRecordStatus.FAILED}
    found = instance.event_log_storage.get_asset_check_execution_history(check, limit=MOST, status=failed)
    return [record for record in found if _happened(record) > since]


def _happened(record: AssetCheckExecutionRecord) -> float:
    return record.event.timestamp if record.event is not None else record.create_timestamp


def _partition_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Partition of a run: a check's own record has none."""
    run = instance.get_run_by_id(run_id) if run_id else None
    return run.tags.get("dagster/partition", "") if run else ""


def _is_error(record: AssetCheckExecutionRecord) -> bool:
    event = record.event.dagster_event if record.event else None
    return event is not None and event.asset_check_evaluation_data.severity == dg.AssetCheckSeverity.ERROR


def _is_of(run: dg.DagsterRun, task: str) -> bool:
    """Whether a run is the task's: by its tag, or, where somebody chose assets on Dagster's page, by those."""
    return run.tags.get(TASK_TAG) == task or any(key.path[0] == task for key in run.asset_selection or ())


def _job(run: dg.DagsterRun, task: str) -> str:
    return f"some assets of {task}" if run.job_name.startswith("__") else run.job_name


def _failed_steps(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Names of the first failed steps; error messages stay in Dagster's log, as they may quote a text."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    steps = [entry.dagster_event.step_key for entry in entries if entry.dagster_event]
    return [step for step in dict.fromkeys(steps) if step][:5]


def _links(places: Settings, run_id: str, key: dg.AssetKey | None) -> dict[str, str]:
    if not places.url:
        return {}
    base = places.url.rstrip("/")
    run = {"run": f"{base}/runs/{run_id}"} if run_id else {}
    return run | ({"asset": f"{base}/assets/{'/'.join(key.path)}"} if key else {})
