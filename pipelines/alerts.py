"""Alerts by webhook: red gate, drift, failed run, waiting sign-off."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from playbook.settings import Settings
from playbook.taskfile import Task


def alerts_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """What this module adds to a task's definitions."""
    return dg.Definitions()
