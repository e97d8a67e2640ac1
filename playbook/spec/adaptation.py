"""Freeze, then unfreeze, and what that is compared with (Play 4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from playbook.spec.section import Fraction, Section


class Keep(Section):
    """A rung is kept when its validation gain exceeds `min_gain` and `standard_errors` times its paired error."""

    min_gain: float = Field(0.0, ge=0, le=0.5)
    standard_errors: float = Field(1.0, ge=0, le=4)


class Controls(Section):
    """What the adapted model must not lose to: the same budget without transfer, and another base (4.6)."""

    scratch: bool = Field(True, description="The same architecture from random weights.")
    other_base: bool = Field(True, description="The runner-up of the bake-off, where there is one.")
    budget: Literal["steps", "compute"] = Field(
        "steps",
        description="What a control gets as much of as all tried rungs together. steps: optimiser steps. compute: "
        "epochs times trained blocks, so that a control that trains more blocks takes fewer steps.",
    )
    scratch_learning_rate: float = Field(5e-4, gt=0, lt=1, description="Of all blocks and embeddings from scratch.")
    seeds: int = Field(1, ge=1, le=20, description="Trainings of the last rung kept, each with another seed.")


class Adaptation(Section):
    """Freeze, then unfreeze (Play 4)."""

    max_rungs: int = Field(3, ge=0, le=48, description="At most this many blocks are unfrozen, one per rung.")
    learning_rate: float = Field(
        1e-3, gt=0, lt=1, description="Of the topmost unfrozen block; a tenth of the head's, which is new (4.3)."
    )
    head_learning_rate: float = Field(1e-2, gt=0, lt=1)
    block_decay: float = Field(0.7, gt=0, le=1, description="Factor on the learning rate per block further down.")
    weight_decay: float = Field(0.01, ge=0, lt=1)
    warmup: Fraction = Field(0.1, description="Fraction of all steps in which the learning rate rises.")
    epochs: int = Field(10, ge=1, le=1000, description="At most, per rung.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation metric or loss before a rung stops.")
    batch_size: int = Field(64, ge=1, description="Rows per step, over all devices.")
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    dropout: float = Field(0.1, ge=0, le=0.9, description="In unfrozen blocks.")
    class_weighting: Literal["none", "balanced"] = Field("none", description="Weight of classes in the loss (4.4).")
    keep: Keep = Keep()
    controls: Controls = Controls()
    seed: int = Field(13, ge=0, lt=2**31)
    devices: int = Field(1, ge=1, le=1024, description="Processes of one machine that train together.")
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["auto", "bf16", "float32"] = Field("auto", description="auto: bf16 where it is fast.")
    cache_activations: bool = Field(True, description="Compute frozen blocks once instead of in every step.")

    @model_validator(mode="after")
    def _rows_for_all(self) -> Adaptation:
        if self.batch_size < 2 * self.devices:
            raise ValueError(f"batch_size of at least two rows per device, {2 * self.devices}, not {self.batch_size}")
        return self
