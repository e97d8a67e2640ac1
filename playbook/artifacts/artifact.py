"""What all artefacts share: a manifest with a digest, and small parts."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["done", "skipped"]


def canonical_hash(value: Any) -> str:
    """SHA-256 of a JSON-compatible value in one canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Part(BaseModel):
    """A piece of an artefact."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRef(Part):
    """A file beside a manifest: its name there and the SHA-256 of its bytes."""

    name: str
    sha256: str
    size: int


class Score(Part):
    """A metric on one split with its interval; `n` rows.

    `too_few` says which rows are too few for the interval to be relied on, and how many would do; usually empty.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    too_few: str = ""


class Figure(Part):
    """A number with its interval: a difference, a gain, an error."""

    value: float
    low: float
    high: float


class Artifact(Part):
    """Base of everything that plays exchange."""

    kind: ClassVar[str]
    # Fields that tell how a result was made, not what it is.
    circumstances: ClassVar[frozenset[str]] = frozenset({"seconds", "made_at", "hardware", "play_key", "mlflow_run_id"})

    task: str
    status: Status = "done"
    reason: str = ""  # why it was skipped, or what there is to say about a result
    files: dict[str, FileRef] = Field(default_factory=dict)
    play_key: str = ""  # hash of everything that went in; an unchanged play is recognised by it
    made_at: str = ""
    seconds: float = 0.0
    hardware: str = ""
    mlflow_run_id: str = ""

    @property
    def digest(self) -> str:
        """Hash of the content, files included."""
        content = self.model_dump(mode="json", exclude=set(self.circumstances))
        return canonical_hash({"kind": self.kind, **content})

    @property
    def skipped(self) -> bool:
        """Whether the play had nothing to do; `reason` says why."""
        return self.status == "skipped"
