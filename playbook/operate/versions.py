"""Semantic versions of a model (6.1): major, minor and patch say what changed, not how good it is.

A changed task (its question, what its classes mean, its metric; no threshold and no other number) is major: whoever
uses the model has to look. Other data or another base is
minor: a retrained model. A refresh (the champion's own weights trained further) is a patch of the version that it
was refreshed from, and so is the same task, data and base trained again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Change = Literal["task", "data", "refresh"]
FIRST = "1.0.0"
CHALLENGER, PREVIOUS = "challenger", "previous"  # aliases beside that of the model in production
_PATTERN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True)
class Identity:
    """What a model version stands on, each as a hash: the task's definition, its data, its base."""

    task_sha256: str
    dataset_hash: str
    base_sha256: str
    earlier_task_sha256: str = ""  # the task's hash as versions of earlier releases have it

    def same_task(self, before: Identity) -> bool:
        """Whether an earlier version was made for the same task, by its hash of today's form or of the earlier one."""
        return before.task_sha256 in {self.task_sha256, self.earlier_task_sha256 or self.task_sha256}


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


def what_changed(before: Identity, now: Identity, *, refreshed: bool = False) -> Change:
    """The largest change between two model versions: `task`, `data` (or base), else `refresh`.

    A refreshed model has other data by its nature: it is a `refresh` unless task or base differ.
    """
    if not now.same_task(before):
        return "task"
    if before.base_sha256 != now.base_sha256:
        return "data"
    if refreshed or before.dataset_hash == now.dataset_hash:
        return "refresh"
    return "data"


def next_version(latest: str | None, change: Change) -> str:
    """The version after `latest`, which is the highest that exists; `1.0.0` if there is none.

    Raises:
        ValueError: `latest` is not a version.
    """
    if latest is None:
        return FIRST
    major, minor, patch = parse_version(latest)
    bumped = {"task": (major + 1, 0, 0), "data": (major, minor + 1, 0), "refresh": (major, minor, patch + 1)}
    return ".".join(str(part) for part in bumped[change])


def version_of(known: Mapping[str, Identity], now: Identity, refreshed_from: str = "") -> tuple[str, str]:
    """The next version, and the one that it is compared with (empty for the first).

    A patch goes behind the last patch of the line that it fixes: after 1.0.0 and 1.1.0, a refresh of 1.0.0 is 1.0.1.
    Anything larger goes behind the highest version there is.

    Args:
        known: identity of every version that exists.
        now: identity of the new one.
        refreshed_from: the version whose weights were trained further, if any.

    Raises:
        ValueError: `refreshed_from` is not a known version.
    """
    latest = latest_version(known)
    if latest is None and not refreshed_from:
        return FIRST, ""
    before = refreshed_from or latest or ""
    if before not in known:
        raise ValueError(
            f"refreshed_from: expected one of versions {', '.join(sorted(known, key=parse_version)) or '(none)'}, "
            f"found {refreshed_from}"
        )
    change = what_changed(known[before], now, refreshed=bool(refreshed_from))
    if change != "refresh":
        return next_version(latest, change), before
    line = parse_version(before)[:2]
    return next_version(latest_version(one for one in known if parse_version(one)[:2] == line), change), before
