"""Reading task files: all faults together, each with file, line, field, what was found and what is allowed."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from playbook.errors import DataError, TaskFileError
from playbook.folder_names import control_characters
from playbook.settings import Settings, settings
from playbook.spec import TaskSpec

D = TypeVar("D", bound=BaseModel)
FOUND_WIDTH = 60


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


def load_document(path: Path, kind: type[D], remedy: str) -> D:
    """Read and validate a YAML file of a team; all of its faults come together, each with its line.

    Args:
        path: the file.
        kind: what it must hold.
        remedy: what to do where the file is missing.

    Raises:
        TaskFileError: the file is missing, is no YAML mapping, or has faults.
    """
    if not path.is_file():
        raise TaskFileError(str(path), [f"no such file; {remedy}"])
    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        document = None if node is None else loader.construct_document(node)
        # Constructing writes merged keys into the nodes; only then are they read again.
        lines = _field_lines(yaml.compose(text, Loader=yaml.SafeLoader) if "<<" in text else node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TaskFileError(str(path), [f"not readable as YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(document, dict):
        fields = ", ".join([name for name, field in kind.model_fields.items() if field.is_required()][:3])
        raise TaskFileError(str(path), [f"expected a mapping of fields ({fields}, ...); this is none"])
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise TaskFileError(str(path), [_fault(item, lines) for item in error.errors(include_url=False)]) from None


def _field_lines(node: yaml.Node | None, prefix: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Line number (from 1) of every field of a YAML document."""
    lines: dict[tuple[str | int, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if (*prefix, str(key.value)) in lines:
                place = ".".join(str(part) for part in (*prefix, key.value))
                raise ValueError(f"line {key.start_mark.line + 1}, {place}: written twice; keep one of the two")
            lines[(*prefix, str(key.value))] = key.start_mark.line + 1
            lines |= _field_lines(value, (*prefix, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            lines[(*prefix, position)] = value.start_mark.line + 1
            lines |= _field_lines(value, (*prefix, position))
    return lines


def _fault(item: Any, lines: dict[tuple[str | int, ...], int]) -> str:
    place: tuple[str | int, ...] = ()
    for at, part in enumerate(item["loc"], 1):  # a kind that pydantic chose among several is no field of the file
        if at == len(item["loc"]) or (*place, part) in lines or isinstance(part, int):
            place = (*place, part)
    known = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), 1)
    field = ".".join(str(part) for part in place) or "(whole file)"
    return f"line {known}, {field}: {_allowed(item)}"


def _allowed(item: Any) -> str:
    try:
        found = json.dumps(item["input"], default=str, ensure_ascii=False)
    except (TypeError, ValueError):  # keys that are no text
        found = repr(item["input"])
    found = found if len(found) <= FOUND_WIDTH else found[:FOUND_WIDTH] + "…"
    if item["type"] == "missing":
        return "missing; the task cannot start without it"
    if item["type"] == "extra_forbidden":
        return f"found {found}, but there is no such field"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"found {found}; allowed: {message.removeprefix('Input should be ')}"


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
