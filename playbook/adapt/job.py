"""What a training worker is told, and what it answers: plain JSON, so that it can start anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from playbook.artifacts import BasePin, Epoch
from playbook.spec import Adaptation, Limit


class DatasetRef(BaseModel):
    """Which data a training saw: number and content hash of the dataset version (0 and empty where there is none)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 0
    hash: str = ""


NO_DATASET = DatasetRef()


class Job(BaseModel):
    """One training: a rung, or a control of the staircase. Paths are local to the machine that trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["rung"] = "rung"
    task: str
    base_folder: Path
    pin: BasePin
    labels: tuple[str, ...]
    dataset: DatasetRef = NO_DATASET
    train: Path  # prepared table
    validation: Path  # prepared table
    start: Path  # weights.safetensors of the checkpoint that the rung starts from
    unfrozen: int
    embeddings: bool = False  # train them too, with all blocks: training from scratch, without an activations cache
    boundaries: tuple[int, ...]  # that the activations cache serves
    metric: Limit
    adaptation: Adaptation
    cache: Path  # folder of activations caches
    out: Path  # checkpoints while training, results at the end

    @model_validator(mode="after")
    def _nothing_frozen_between(self) -> Job:
        if self.embeddings and self.unfrozen != self.pin.blocks:
            raise ValueError(f"embeddings are trained with all {self.pin.blocks} blocks, not with {self.unfrozen}")
        return self

    def save(self, path: Path) -> Path:
        """Write the job for a worker that is started with its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read a job file."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


class JobResult(BaseModel):
    """What a worker leaves in `out/result.json`, beside weights.safetensors, predictions.parquet and config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation: float
    best_epoch: int
    curve: tuple[Epoch, ...]
    stopped: str
    resumed_epochs: int
    seconds: float
    hardware: str
    world: int
    steps_per_epoch: int  # of the optimiser
    accumulation: int = 1  # parts that a step was taken in
    rank_rows: tuple[int, ...]  # training rows that each rank took in one epoch

    @classmethod
    def load(cls, out: Path) -> JobResult | None:
        """The result in a job's folder, or None where it is not finished."""
        path = out / "result.json"
        return cls.model_validate(json.loads(path.read_text())) if path.exists() else None
