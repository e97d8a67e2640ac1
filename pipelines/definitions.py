"""The code location: every task file of the project and of `PLAYBOOK_TASKS`."""

from __future__ import annotations

import logging

import dagster as dg

from pipelines.factory import resources_of, task_definitions
from playbook.errors import TaskFileError
from playbook.settings import quiet_environment, settings
from playbook.taskfile import find_tasks, load_task


@dg.definitions
def defs() -> dg.Definitions:
    """Merge the graphs of all tasks; a faulty task file is reported and left out, the others stay usable."""
    quiet_environment()
    places = settings()
    resources = resources_of(places)
    parts = [dg.Definitions(resources=resources)]
    for path in find_tasks(places).values():
        try:
            parts.append(task_definitions(load_task(path), places, resources))
        except (TaskFileError, dg.DagsterInvalidDefinitionError) as error:
            logging.getLogger("playbook").error("left out of the code location: %s", error)
    return dg.Definitions.merge(*parts)
