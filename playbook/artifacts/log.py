"""The decision log's head, as the store keeps it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from playbook.artifacts.artifact import Artifact


class LogHead(Artifact):
    """How many decisions were on record, and the hash of the last one: what a deleted log is noticed by."""

    kind: ClassVar[str] = "log_head"
    count: int = 0
    sha256: str = ""
    further: dict[str, str] = Field(default_factory=dict)  # heads of further records, by name
