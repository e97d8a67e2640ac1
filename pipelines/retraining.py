"""Watching and retraining: daily assets' schedule, the retrain job, its sensor, its schedule and its button."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from playbook.settings import Settings
from playbook.taskfile import Task


def retraining_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """What this module adds to a task's definitions."""
    return dg.Definitions()
