"""What all parts of a task file share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SPLITS = ("train", "validation", "test")
Split = Literal["train", "validation", "test"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MetricName = Literal["accuracy", "macro_f1", "balanced_accuracy", "recall", "precision", "f1"]
PER_CLASS_METRICS = ("recall", "precision", "f1")


class Section(BaseModel):
    """A part of the task file: frozen, and an unknown field is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
