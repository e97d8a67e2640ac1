"""Task files: reading them, and finding them by name or path."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from playbook.document import load_document
from playbook.errors import DataError, TaskFileError
from playbook.folder_names import control_characters
from playbook.settings import Settings, settings
from playbook.spec import TaskSpec


@dataclass(frozen=True)
class Task:
    """A validated task file and where it lies; relative paths in it are relative to `path.parent`."""

    spec: TaskSpec
    path: Path

    def resolve(self, location: str) -> str:
        """Absolute path of a relative location in the task file; URLs are returned as they are."""
        if "://" in location:
            return location
        return str((self.path.parent / location).resolve())

    def called(self, places: Settings | None = None) -> str:
        """How a command line names this task: by its name where that finds this file, else by the file's path.

        The path is relative to the working folder where that is shorter; it is quoted for a shell.
        """
        name = self.spec.task
        try:
            known = find_tasks(places or settings()).get(name)
        except TaskFileError:  # two files claim one name: only a path is sure
            known = None
        if known is not None and known.resolve() == self.path:
            return name
        try:
            relative = os.path.relpath(self.path)
        except (OSError, ValueError):  # no working folder, or another drive
            relative = str(self.path)
        return shlex.quote(min(str(self.path), relative, key=len))


def load_task(path: str | Path) -> Task:
    """Read and validate one task file.

    Raises:
        TaskFileError: the file is missing, is no YAML mapping, or has faults; every fault is listed.
    """
    path = Path(path).resolve()
    if controls := control_characters(str(path)):  # DVC cannot keep such a path
        raise TaskFileError(
            repr(str(path)), [f"expected a path without control characters, found {controls}; rename it"]
        )
    remedy = "`playbook tasks` lists known tasks, `playbook init` writes one"
    return grown(Task(load_document(path, TaskSpec, remedy), path))


def grown(task: Task) -> Task:
    """The task with the classes that retraining found in outcomes and wrote beside the task's data, as they are now.

    Raises:
        TaskFileError: the file with these classes cannot be read.
    """
    from playbook.data.accumulated import read_classes, with_classes

    named = task.spec.data.accumulated
    if named is None or named.classes is None:
        return task
    try:
        data = with_classes(task.spec.data, read_classes(Path(task.resolve(named.classes))))
    except DataError as error:
        raise TaskFileError(str(task.path), [f"data.accumulated.classes: {error}"]) from None
    return Task(task.spec.model_copy(update={"data": data}), task.path)


def find_tasks(places: Settings) -> dict[str, Path]:
    """Task files of the project and of `PLAYBOOK_TASKS`, by task name.

    Raises:
        TaskFileError: two files claim one name. A file with other faults is listed under its stem, so that it is seen.
    """
    found: dict[str, Path] = {}
    for folder in places.task_folders:
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            if not path.is_file():  # a folder, or a link to nowhere
                continue
            name = _name_of(path)
            if name in found and found[name] != path:
                raise TaskFileError(str(path), [f"task: {name!r} is taken by {found[name]}; names must differ"])
            found[name] = path
    return found


def _name_of(path: Path) -> str:
    try:
        named = named_in(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.stem
    return path.stem if named is None else named


@lru_cache(maxsize=256)
def named_in(text: str) -> str | None:
    """The name that a task file gives itself. A text is parsed once: tasks are looked up more often than edited."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return str(document["task"]) if isinstance(document, dict) and "task" in document else None


def locate_task(name_or_path: str, places: Settings) -> Path:
    """The task file for a name, or for the path of any task file.

    Raises:
        TaskFileError: neither a known task nor a file.
    """
    if name_or_path.endswith((".yaml", ".yml")) or Path(name_or_path).is_file():
        return Path(name_or_path).resolve()
    known = find_tasks(places)
    if name_or_path not in known:
        raise TaskFileError(
            name_or_path,
            [f"no such task; known: {', '.join(sorted(known)) or 'none'}; or give the path of a task file (.yaml)"],
        )
    return known[name_or_path]


def json_schema() -> dict[str, Any]:
    """JSON Schema of the task file, so that editors complete and check it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TaskSpec.model_json_schema()}
