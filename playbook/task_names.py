"""One task file for each name in an installation: results, logs, versions and the champion are kept by name alone.

The first run of a task writes down which file the name belongs to. A file that has moved, or was given another name
since, frees its name.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from playbook.errors import TaskFileError
from playbook.settings import Settings
from playbook.taskfile import Task, load_task, locate_task, named_in

RECORD = "task_file"  # in the task's folder of ledgers: the path of the file that the name belongs to


def open_task(name_or_path: str, places: Settings) -> Task:
    """The task that a command names, by its name or the path of its file.

    Raises:
        TaskFileError: there is no such task, its file has faults, or its name belongs to another file here.
    """
    task = load_task(locate_task(name_or_path, places))
    require_own_name(task, places)
    return task


def require_own_name(task: Task, places: Settings) -> None:
    """Refuse a task whose name belongs to another file of this installation.

    Raises:
        TaskFileError: with both paths.
    """
    owner = _owner(task.spec.task, places)
    if owner is not None and owner != task.path and _claims(owner, task.spec.task):
        name = task.spec.task
        raise TaskFileError(
            str(task.path),
            [
                f"task: expected a name of its own, found {name!r}, which belongs to {owner} in {places.home}: data, "
                "versions, decisions and the champion are kept by name. Give one of the two another name, or this one "
                "another PLAYBOOK_HOME; if the file has moved here, remove the one there"
            ],
        )


def claim_name(task: Task, places: Settings) -> None:
    """Write down that the task's name belongs to its file.

    Raises:
        TaskFileError: it belongs to another one.
    """
    require_own_name(task, places)
    record = _record(task.spec.task, places)
    if _owner(task.spec.task, places) == task.path:
        return
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_name(f".{record.name}.{uuid.uuid4().hex}.part")
    part.write_text(str(task.path), encoding="utf-8", errors="surrogateescape")
    try:
        os.link(part, record)  # of two first runs at the same time, one comes first
    except FileExistsError:
        require_own_name(task, places)
        part.replace(record)
    finally:
        part.unlink(missing_ok=True)


def _record(name: str, places: Settings) -> Path:
    return places.ledgers / name / RECORD


def _owner(name: str, places: Settings) -> Path | None:
    try:
        return Path(_record(name, places).read_text(encoding="utf-8", errors="surrogateescape"))
    except FileNotFoundError:
        return None


def _claims(path: Path, name: str) -> bool:
    """Whether a file is still there under this name; one that cannot be read just now may be."""
    try:
        return named_in(path.read_text(encoding="utf-8")) in (name, None)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
