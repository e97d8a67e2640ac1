"""Freeze, then unfreeze, and what that is compared with (Play 4)."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

from pydantic import Field, model_validator

from playbook.spec.section import Fraction, Section

CHANCE = 0.16  # of keeping a rung without a true gain, where the task file says nothing


class Keep(Section):
    """A rung is kept when its validation gain reaches `min_gain` and is beyond chance, as `chance` sets it.

    `standard_errors` is the older rule: one standard error is a chance of 16 %, half of one 31 %, but for one epoch.
    The best of several looks better by chance more often, which only `chance` counts. A task file gives one of the two.
    """

    min_gain: float = Field(0.0, ge=0, le=0.5)
    chance: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="At most this often a rung that has no true gain is kept, the choice of its best epoch counted; "
        f"{CHANCE:g} where nothing is given.",
    )
    standard_errors: float | None = Field(
        None,
        ge=0,
        le=4,
        description="Instead of chance, the older rule: paired standard errors that a gain reaches.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Keep:
        if self.chance is not None and self.standard_errors is not None:
            raise ValueError(
                f"chance or standard_errors, not both: chance {self.chance:g} is "
                f"{NormalDist().inv_cdf(1 - self.chance):.2f} standard errors; leave out standard_errors"
            )
        return self

    @property
    def chance_without_gain(self) -> float:
        """Probability of keeping a rung without a true gain: the upper tail of the normal distribution."""
        if self.standard_errors is not None:
            return 1 - NormalDist().cdf(self.standard_errors)
        return CHANCE if self.chance is None else self.chance

    @property
    def errors_needed(self) -> float:
        """Paired standard errors that a gain must reach."""
        if self.standard_errors is not None:
            return self.standard_errors
        return NormalDist().inv_cdf(1 - self.chance_without_gain)


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
        1e-3,
        gt=0,
        lt=1,
        description="Of the topmost unfrozen block; a tenth of the head's, which is new (4.3). Above that of training "
        "from scratch, which the run reports: docs/learning_rates.md shows where lower rates were no better.",
    )
    head_learning_rate: float = Field(1e-2, gt=0, lt=1)
    block_decay: float = Field(0.7, gt=0, le=1, description="Factor on the learning rate per block further down.")
    weight_decay: float = Field(0.01, ge=0, lt=1)
    warmup: Fraction = Field(0.1, description="Fraction of all steps in which the learning rate rises.")
    epochs: int = Field(10, ge=1, le=1000, description="At most, per rung.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation metric or loss before a rung stops.")
    batch_size: int = Field(64, ge=1, description="Rows per optimiser step, over all devices.")
    accumulation: int = Field(
        1,
        ge=1,
        le=1024,
        description="Parts that a step's rows are taken in, one after the other, to save memory; the gradient is the "
        "same (4.8).",
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    dropout: float = Field(0.1, ge=0, le=0.9, description="In unfrozen blocks.")
    class_weighting: Literal["none", "balanced", "resample"] = Field(
        "none",
        description="Against imbalance (4.4). balanced: classes weigh the same in the loss. resample: rows of rarer "
        "classes are drawn more often, so that every epoch has as many of each class as of the most frequent one; "
        "heads on frozen features, which have no epochs, take the equivalent weights.",
    )
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
        fewest = 2 * self.devices * self.accumulation
        if self.batch_size < fewest:
            raise ValueError(
                f"batch_size of at least two rows per device and part of a step, {fewest}, not {self.batch_size}; "
                f"accumulation: {self.accumulation} takes a step's rows in that many parts"
            )
        return self
