"""Which rows the data has already, so that production adds none twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from playbook.data.accumulated import accumulated_files
from playbook.data.formats.places import is_url, parts_of
from playbook.data.read import read_rows
from playbook.data.tables import LABEL, ROW_ID, TEXT
from playbook.data.text import clean_text, comparison_key
from playbook.names import normal_form
from playbook.taskfile import Task


@dataclass(frozen=True)
class KnownRows:
    """Ids, comparison keys of texts, and labels of all raw rows."""

    ids: frozenset[str]
    texts: frozenset[str]
    labels: frozenset[str]


def known_rows(task: Task) -> KnownRows:
    """What the task's source and its accumulated rows have; kept for as long as the files stay as they are.

    A source at a URL is read once per process.

    Raises:
        DataError: a file cannot be read.
    """
    return _known(_Files(task), _signature(task))


class _Files:
    """A task that is told from others by its file alone: its rows are known by the signature."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __hash__(self) -> int:
        return hash(self.task.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Files) and self.task.path == other.task.path


@lru_cache(maxsize=4)
def _known(files: _Files, signature: tuple[str, ...]) -> KnownRows:
    rows = read_rows(files.task)
    texts = frozenset(comparison_key(clean_text(text)) for text in rows[TEXT])
    return KnownRows(frozenset(rows[ROW_ID]), texts, frozenset(normal_form(label) for label in rows[LABEL]))


def _signature(task: Task) -> tuple[str, ...]:
    places: Mapping[str, str] = task.spec.data.source.locations
    local = [Path(task.resolve(place)) for place in places.values() if not is_url(place)]
    files = [Path(part.location) for path in local if path.exists() for part in parts_of(str(path))]
    found = [path.stat() for path in (*files, *accumulated_files(task)) if path.is_file()]
    data = task.spec.data
    written = data.source.model_dump_json(include={"encoding", "delimiter", "quoting", "quote"})
    return (
        data.columns.model_dump_json(),
        written,
        *places.values(),
        *(f"{one.st_ino}:{one.st_size}:{one.st_mtime_ns}" for one in found),
    )
