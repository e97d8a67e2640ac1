"""Semantic versions of a model (6.1): major, minor and patch say what changed, not how good it is.

A changed task (its labels, its metric) is major: whoever uses the model has to look. Other data or another base is
minor. The same task, data and base trained again is a patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Change = Literal["task", "data", "refresh"]
FIRST = "1.0.0"
_PATTERN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True)
class Identity:
    """What a model version stands on, each as a hash: the task's definition, its data, its base."""

    task_sha256: str
    dataset_hash: str
    base_sha256: str


def parse_version(version: str) -> tuple[int, int, int]:
    """Major, minor and patch of a version such as `1.4.0`.

    Raises:
        ValueError: not three whole numbers with dots.
    """
    match = _PATTERN.fullmatch(version)
    if match is None:
        raise ValueError(f"expected a version such as {FIRST}, found {version!r}")
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def latest_version(versions: Iterable[str]) -> str | None:
    """The highest of some versions, by number rather than by letter (1.10.0 after 1.9.0); None of none."""
    return max(versions, key=parse_version, default=None)


def what_changed(before: Identity, now: Identity) -> Change:
    """The largest change between two model versions: `task`, `data` (or base), else `refresh`."""
    if before.task_sha256 != now.task_sha256:
        return "task"
    if (before.dataset_hash, before.base_sha256) != (now.dataset_hash, now.base_sha256):
        return "data"
    return "refresh"


def next_version(latest: str | None, change: Change) -> str:
    """The version after `latest`, which is the highest that exists; `1.0.0` if there is none.

    Raises:
        ValueError: `latest` is no version.
    """
    if latest is None:
        return FIRST
    major, minor, patch = parse_version(latest)
    bumped = {"task": (major + 1, 0, 0), "data": (major, minor + 1, 0), "refresh": (major, minor, patch + 1)}
    return ".".join(str(part) for part in bumped[change])
