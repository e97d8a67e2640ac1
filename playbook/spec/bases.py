"""Pretrained bases and how one of them is chosen (Play 2)."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from playbook.spec.section import Section, Sha256


class Base(Section):
    """The pretrained base, pinned (2.4): exactly one of `hub`, `folder` and `package`."""

    hub: str | None = Field(None, description="Model id on the Hugging Face hub; needs `revision`.")
    revision: str | None = Field(None, description="Commit hash on the hub.")
    folder: str | None = Field(None, description="Local folder, relative to the task file.")
    package: str | None = Field(None, description="Installed Python package that carries the model.")
    sha256: Sha256 = Field(description="SHA-256 of model.safetensors.")
    licence: str
    pretrained_on: str = Field("not stated", description="What the base was pretrained on.")
    relevance: Literal["general", "related", "same_domain"] = Field(
        "general",
        description="How close what it was pretrained on is to the task, with relevance_reason; decides close calls "
        "between bases whose measured closeness is alike (2.2).",
    )
    relevance_reason: str = Field(
        "", description="Why it is related or of the same domain, in a sentence; a claim without one counts as general."
    )
    layers: int | None = Field(None, ge=1, description="Keep only the lowest blocks, this many: a truncated base.")
    max_length: int = Field(128, ge=8, le=8192, description="Tokens per text; longer texts are cut.")

    @model_validator(mode="after")
    def _one_place(self) -> Base:
        if sum(place is not None for place in (self.hub, self.folder, self.package)) != 1:
            raise ValueError("exactly one of hub, folder and package")
        if self.hub is not None and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError("hub needs revision, a full commit hash of 40 hex digits")
        return self


class Budget(Section):
    """What production allows a model to need on this hardware; a base over it is out before its score is seen."""

    latency_p95_ms: float | None = Field(None, gt=0, description="95th percentile for one text, milliseconds.")
    memory_mb: float | None = Field(None, gt=0, description="Growth of the process when the base answers, 2**20 bytes.")
    disk_mb: float | None = Field(None, gt=0, description="Weights and tokenizer on disk, 2**20 bytes.")
    parameters_millions: float | None = Field(None, gt=0)


class BakeOff(Section):
    """Two or three candidates as frozen feature extractors, with one budget (Play 2)."""

    alternatives: tuple[Base, ...] = Field((), max_length=4, description="Further candidates beside `base`.")
    train_rows: int = Field(1000, ge=50, description="Training rows of the probe, the same for every candidate.")
    validation_rows: int = Field(500, ge=30, description="Validation rows of the probe, the same for every candidate.")
    resamples: int = Field(20, ge=2, le=200, description="Resamples of the probe's rows, for the score's spread.")
    licences: tuple[str, ...] = Field((), description="Licences that the task may use; empty: any that is stated.")
    forbidden_licences: tuple[str, ...] = Field(
        (), description="Licences that the task may not use, by the task file's word or by the base's own card."
    )
    budget: Budget = Budget()
    close_call: float = Field(
        1.0, ge=0, description="Scores that differ by fewer standard errors than this are a close call."
    )
