"""The form of a gate rule: a named demand with conditions that a gate engine evaluates on the frames of an audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from playbook.data.audit import Audit


@dataclass(frozen=True)
class Condition:
    """One expectation on one frame: a split by its name, or `rows`, `classes`, `splits`, `overall`."""

    frame: str
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A named demand with its conditions; `found` puts into words what an audit saw."""

    name: str
    severity: Literal["error", "warning"]
    expected: str
    found: Callable[[Audit], str]
    remedy: str
    conditions: tuple[Condition, ...]
