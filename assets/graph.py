"""All assets and checks of one task."""

from __future__ import annotations

import dagster as dg

from assets.adaptation import frozen_baseline, rung
from assets.base import base_selection
from assets.data import dataset_version, gate_checks
from assets.evaluation import candidate, evaluation
from assets.factory import AssetMaker
from assets.packaging import packaged_model
from assets.scope import problem_statement, reference_baselines
from playbook.taskfile import Task
from resources.world import World


def task_assets(task: Task, world: World) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """Assets in the order of the plays, and the gate's checks."""
    maker = AssetMaker(task, world)
    rungs = [rung(maker, index) for index in range(1, task.spec.adaptation.max_rungs + 1)]
    assets = [
        problem_statement(maker),
        dataset_version(maker),
        reference_baselines(maker),
        base_selection(maker),
        frozen_baseline(maker),
        *rungs,
        candidate(maker),
        evaluation(maker),
        packaged_model(maker),
    ]
    return assets, [gate_checks(maker)]
