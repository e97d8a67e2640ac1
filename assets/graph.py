"""All assets and checks of one task."""

from __future__ import annotations

import dagster as dg

from assets.accumulated import accumulated_rows
from assets.adaptation import frozen_baseline, rung
from assets.base import base_selection
from assets.candidate import candidate
from assets.controls import controls
from assets.data import dataset_version, gate_checks
from assets.decision import decision
from assets.early_end import early_end
from assets.evaluation import evaluation
from assets.factory import AssetMaker
from assets.handoff import handoff
from assets.label_audit import label_audit
from assets.packaging import packaged_model
from assets.refresh import refresh
from assets.scope import problem_statement, reference_baselines
from assets.sign_off import sign_off
from playbook.taskfile import Task
from resources.world import World


def task_assets(task: Task, world: World) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """Assets in the order of the plays, and the gate's checks."""
    maker = AssetMaker(task, world)
    rungs = [rung(maker, index) for index in range(1, task.spec.adaptation.max_rungs + 1)]
    assets = [
        accumulated_rows(maker),
        problem_statement(maker),
        dataset_version(maker),
        reference_baselines(maker),
        decision(maker),
        base_selection(maker),
        frozen_baseline(maker),
        early_end(maker),
        label_audit(maker),
        *rungs,
        refresh(maker),
        candidate(maker),
        controls(maker),
        evaluation(maker),
        sign_off(maker),
        packaged_model(maker),
        handoff(maker),
    ]
    return assets, [gate_checks(maker)]
