"""Versions in production: the rollback job, and what `playbook versions`, `rollback` and `reproduce` do."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from playbook.settings import Settings
from playbook.taskfile import Task


def versions_definitions(task: Task, places: Settings, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """What this module adds to a task's definitions."""
    return dg.Definitions()
