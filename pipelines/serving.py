"""Serving: batch predictions as a Dagster job, and what `playbook serve`, `predict` and `outcomes` do."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from playbook.settings import Settings
from playbook.taskfile import Task


def serving_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """What this module adds to a task's definitions."""
    return dg.Definitions()
