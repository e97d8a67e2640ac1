"""Dagster starts packaging when an approval arrives (5.6): nobody has to run the task again."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from pipelines.tags import TASK_TAG, TRIGGER_TAG
from playbook.artifacts import SignOff
from playbook.decide.log import Entry
from playbook.plays import HANDOFF, PACKAGED, SIGN_OFF
from playbook.settings import Settings
from playbook.store import Store
from playbook.taskfile import Task

DECIDED = ("sign_off", "rejection")
SECONDS = 30  # between two looks at the log


def package_job_name(task: str) -> str:
    """Name of the job that a sign-off starts."""
    return f"{task}_package_job"


def package_job(task: Task, assets: Sequence[dg.AssetsDefinition]) -> dg.UnresolvedAssetJobDefinition:
    """The job that reads the sign-off again and packages, or skips packaging after a rejection."""
    keys = [key for asset in assets for key in asset.keys if key.path[-1] in (SIGN_OFF, PACKAGED, HANDOFF)]
    return dg.define_asset_job(
        package_job_name(task.spec.task),
        # Objects, never strings: beside DVC a string selection does not parse.
        selection=dg.AssetSelection.assets(*keys),
        description="Read the sign-off and package what was approved.",
        tags={TASK_TAG: task.spec.task},
        executor_def=dg.in_process_executor,
    )


def sign_off_sensor(task: Task, places: Settings, job: dg.UnresolvedAssetJobDefinition) -> dg.SensorDefinition | None:
    """A sensor that follows the decision log; none in automatic mode, where nobody is waited for.

    The cursor is the hash of the last entry that was seen. A broken log fails the tick with the line that is broken.
    """
    if task.spec.sign_off.mode == "automatic":
        return None
    name = task.spec.task

    @dg.sensor(
        name=f"{name}_sign_off",
        job=job,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Packages {name} when {task.spec.owners.sign_off} has decided.",
    )
    def follow(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from playbook.decide.log import open_decision_log

        entries = open_decision_log(places, name).entries()
        if not entries:
            return dg.SkipReason("no decision is on record yet")
        cursor = entries[-1].sha256
        decided = next((entry for entry in reversed(_new(entries, context.cursor)) if entry.kind in DECIDED), None)
        if decided is None or _known(name, places, decided):
            return dg.SensorResult(cursor=cursor, skip_reason=dg.SkipReason("no new sign-off or rejection"))
        request = dg.RunRequest(
            run_key=f"sign-off-{name}-{decided.sha256}", tags={TASK_TAG: name, TRIGGER_TAG: decided.kind}
        )
        return dg.SensorResult(cursor=cursor, run_requests=[request])

    return follow


def _new(entries: tuple[Entry, ...], cursor: str | None) -> tuple[Entry, ...]:
    """Entries after the cursor; all of them where the log no longer has it."""
    seen = next((entry.index for entry in entries if entry.sha256 == cursor), 0)
    return entries[seen:]


def _known(task: str, places: Settings, decided: Entry) -> bool:
    """Whether the catalogue shows this decision already."""
    shown = Store(places.store, places.home / "cache" / "store").current(task, SIGN_OFF, SignOff)
    return shown is not None and shown.log_entry == decided.sha256
