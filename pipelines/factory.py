"""Definitions of one task: its assets, the gate's checks, and a job."""

from __future__ import annotations

import dagster as dg

from assets.graph import task_assets
from pipelines.alerts import alerts_definitions
from pipelines.retraining import retraining_definitions
from pipelines.sensors import package_job, sign_off_sensor
from pipelines.serving import serving_definitions
from pipelines.tags import TASK_TAG
from pipelines.versions import versions_definitions
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.artifact_io import ArtifactIOManager
from resources.world import World


def job_name(task: str) -> str:
    """Name of the job that materialises a whole task."""
    return f"{task}_job"


def resources_of(places: Settings) -> dict[str, object]:
    """What the assets ask Dagster for; one set serves all tasks."""
    return {"artifacts": ArtifactIOManager(World(places))}


def task_definitions(task: Task, places: Settings, resources: dict[str, object]) -> dg.Definitions:
    """Everything that Dagster knows about one task."""
    assets, checks = task_assets(task, World(places))
    name = task.spec.task
    job = dg.define_asset_job(
        job_name(name),
        # Objects, never strings: beside DVC a string selection does not parse.
        selection=dg.AssetSelection.assets(*[key for asset in assets for key in asset.keys]),
        description=task.spec.question,
        tags={TASK_TAG: name},
        executor_def=dg.in_process_executor,
    )
    package = package_job(task, assets)
    sensor = sign_off_sensor(task, places, package)
    graph = dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[job, package],
        sensors=[sensor] if sensor else [],
        resources=resources,
    )
    parts = (serving_definitions, versions_definitions, retraining_definitions, alerts_definitions)
    return dg.Definitions.merge(graph, *(part(task, places, assets) for part in parts))
