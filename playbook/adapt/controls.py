"""Controls of the staircase (4.6): the same budget without transfer, another base, and other seeds.

Each control trains on the same rows, in batches of the same size, with as many optimiser steps as all tried rungs took
together, the same early stopping and its best epoch by validation. So what the candidate is ahead of a control is not
effort. Training from scratch moves everything, embeddings included; its learning rate is its own
(`adaptation.controls.scratch_learning_rate`), for what suits pretrained blocks would make a weak control.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from playbook.adapt.batches import RESAMPLE, steps_per_epoch
from playbook.adapt.frozen import FrozenJob, boundaries_of, train_frozen
from playbook.adapt.job import NO_DATASET, DatasetRef, Job, JobResult
from playbook.adapt.results import HEAD
from playbook.artifacts import BasePin, Epoch, Rung
from playbook.evaluate import wording
from playbook.spec import Adaptation, TaskSpec
from playbook.store import file_sha256

SCRATCH, OTHER_BASE = "scratch", "other_base"
HEAD_DEVIATION = 0.02  # of a fresh head's weights, as BERT starts its own (Devlin et al. 2019, transformers)
FILES = {"weights": ".safetensors", "predictions": ".parquet", "config": ".json"}

Train = Callable[[Job], JobResult]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """What all controls of a task share. Paths are local; each control has its own folder below `work`."""

    spec: TaskSpec
    train: Path  # prepared table
    validation: Path  # prepared table
    cache: Path  # activations
    work: Path
    dataset: DatasetRef = NO_DATASET

    def job(
        self,
        name: str,
        pin: BasePin,
        base_folder: Path,
        plan: Adaptation,
        start: Path,
        unfrozen: int,
        boundaries: tuple[int, ...] = (),
        embeddings: bool = False,
    ) -> Job:
        """One training of a control; its activations cache serves its own boundary unless others are given."""
        return Job(
            task=self.spec.task,
            base_folder=base_folder,
            pin=pin,
            labels=self.spec.labels,
            dataset=self.dataset,
            train=self.train,
            validation=self.validation,
            start=start,
            unfrozen=unfrozen,
            embeddings=embeddings,
            boundaries=boundaries or (pin.blocks - unfrozen,),
            metric=self.spec.target.all_limits[0],
            adaptation=plan,
            cache=self.cache,
            out=self.work / name,
        )


@dataclass(frozen=True)
class Trained:
    """A trained control: its folder holds weights.safetensors, predictions.parquet and config.json."""

    name: str
    what: str
    pin: BasePin
    folder: Path
    seconds: float
    epochs: int = 0
    steps: int = 0
    curve: tuple[Epoch, ...] = ()
    hardware: str = ""
    allowed_epochs: int = 0  # its budget

    def files(self, folder: Path) -> dict[str, Path]:
        """Its files by role (`weights_scratch`), copied to `folder` under names of their own."""
        found = {}
        for role, ending in FILES.items():
            found[f"{role}_{self.name}"] = folder / f"{role}_{self.name}{ending}"
            shutil.copyfile(self.folder / f"{role}{ending}", found[f"{role}_{self.name}"])
        return found


def budget_epochs(rungs: Sequence[Rung], plan: Adaptation, blocks: int) -> int:
    """Epochs of a control that trains `blocks` blocks.

    `controls.budget: steps` gives the epochs that all tried rungs took together, those of one rung where none was
    tried. `compute` gives as many as come to the rungs' epochs times their trained blocks, never more than `steps`.
    """
    steps = sum(len(rung.curve) for rung in rungs) or plan.epochs
    compute = sum(len(rung.curve) * rung.unfrozen for rung in rungs)
    if plan.controls.budget == "steps" or not compute:
        return steps
    return min(steps, math.ceil(compute / max(blocks, 1)))


def other_base_epochs(rungs: Sequence[Rung], plan: Adaptation, unfrozen: int, blocks: int) -> int:
    """Epochs of another base with `blocks` blocks, of which it trains `unfrozen`, or all where it has fewer."""
    return budget_epochs(rungs, plan, min(unfrozen, blocks))


def describe_budget(rungs: Sequence[Rung], plan: Adaptation, train_rows: int, of_epoch: int = 0) -> str:
    """The budget of each control in words: steps or compute, rows, and what else was the same.

    `of_epoch`: optimiser steps of an epoch, where a training says so; else they follow from the rows.
    """
    tried = len([rung for rung in rungs if rung.curve])
    taken = f"as {tried} tried rung{'s' if tried > 1 else ''} took together" if tried else "as one rung may take"
    compute = sum(len(rung.curve) * rung.unfrozen for rung in rungs)
    if plan.controls.budget == "compute" and compute:
        given = f"Up to {compute:,} epochs times trained blocks each"
    else:
        epochs, steps = budget_epochs(rungs, plan, 1), of_epoch or steps_per_epoch(train_rows, plan.batch_size)
        given = f"Up to {epochs * steps:,} optimiser steps each ({epochs} epochs of {steps})"
    rows = wording.size(train_rows, "training row")
    drawn = f"{rows}, rarer classes drawn more often," if plan.class_weighting == RESAMPLE else rows
    return (
        f"{given}, {taken}, on the same {drawn} in batches of {plan.batch_size}, "
        f"stopped after {plan.patience} epochs without progress, best epoch by validation."
    )


def further_seeds(plan: Adaptation) -> range:
    """Seeds of the trainings beside the original one."""
    return range(plan.seed + 1, plan.seed + plan.controls.seeds)


def scratch_plan(plan: Adaptation, epochs: int) -> Adaptation:
    """The adaptation section for training from scratch: its own learning rate, the same for all blocks."""
    own = {"learning_rate": plan.controls.scratch_learning_rate, "block_decay": 1.0, "epochs": epochs}
    return plan.model_copy(update=own)


def write_fresh_head(path: Path, width: int, classes: int, seed: int) -> Path:
    """A head that knows nothing yet: small normal weights from the seed, no bias."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, width, generator=generator) * HEAD_DEVIATION
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"{HEAD}weight": weight, f"{HEAD}bias": torch.zeros(classes)}, path)
    return path


def train_scratch(setting: Setting, pin: BasePin, folder: Path, epochs: int, train: Train) -> Trained:
    """Train everything of the architecture in `folder`, whose weights are random: embeddings, all blocks and the head.

    Args:
        setting: rows and places.
        pin: the base whose architecture and tokenizer it has.
        folder: that architecture with random weights (`playbook.bases.derive.random_weights`).
        epochs: the budget.
        train: starts a job and waits for it.
    """
    plan = scratch_plan(setting.spec.adaptation, epochs)
    head = write_fresh_head(
        setting.work / f"{SCRATCH}_start.safetensors", pin.width, len(setting.spec.labels), plan.seed
    )
    drawn = {"name": f"{pin.name}, random weights", "weights_sha256": file_sha256(folder / "model.safetensors")}
    of_start = pin.model_copy(update=drawn)  # so that the run's configuration names what it started from
    job = setting.job(SCRATCH, of_start, folder, plan, head, pin.blocks, embeddings=True)
    what = f"the architecture of {pin.title} from random weights, everything trained"
    return replace(_trained(SCRATCH, what, job, train(job)), pin=pin)


def train_other_base(
    setting: Setting, pin: BasePin, folder: Path, unfrozen: int, epochs: int, train: Train, report: Report
) -> Trained:
    """Another base: a head on its frozen features, then as many blocks unfrozen at once as the candidate has."""
    spec = setting.spec
    unfrozen = min(unfrozen, pin.blocks)
    frozen = FrozenJob(
        base_folder=folder,
        pin=pin,
        labels=spec.labels,
        train=setting.train,
        validation=setting.validation,
        boundaries=(pin.blocks - unfrozen,) if unfrozen else (),
        metric=spec.target.all_limits[0],
        adaptation=spec.adaptation,
        cache=setting.cache,
        out=setting.work / f"{OTHER_BASE}_frozen",
        dataset=setting.dataset,
    )
    began = time.perf_counter()
    settled = train_frozen(frozen, report)
    seconds = time.perf_counter() - began
    if not unfrozen:
        what = f"{pin.title}, frozen, with a fresh head"
        return Trained(OTHER_BASE, what, pin, frozen.out, seconds, hardware=settled.hardware)
    plan = spec.adaptation.model_copy(update={"epochs": epochs})
    job = setting.job(OTHER_BASE, pin, folder, plan, settled.files["weights"], unfrozen)
    what = f"{pin.title}, {unfrozen} of {pin.blocks} blocks unfrozen at once after its own frozen head"
    return _trained(OTHER_BASE, what, job, train(job), seconds)


def train_seed(
    setting: Setting, pin: BasePin, folder: Path, rung: Rung, start: Path, seed: int, train: Train
) -> Trained:
    """The last rung kept once more, from the same start (`start` is its weights file), with another seed."""
    plan = setting.spec.adaptation.model_copy(update={"seed": seed})
    cached = boundaries_of(pin.blocks, plan.max_rungs)  # as the staircase has them, so that its cache serves again
    job = setting.job(f"seed_{seed}", pin, folder, plan, start, rung.unfrozen, cached)
    return _trained(job.out.name, f"rung_{rung.index} with seed {seed}", job, train(job))


def _trained(name: str, what: str, job: Job, result: JobResult, before: float = 0.0) -> Trained:
    """`before`: seconds spent on what the training started from."""
    epochs = len(result.curve)
    in_epochs = sum(epoch.seconds for epoch in result.curve)  # of a resumed job, the earlier attempt's too
    return Trained(
        name,
        what,
        pin=job.pin,
        folder=job.out,
        seconds=before + max(result.seconds, in_epochs),
        epochs=epochs,
        allowed_epochs=job.adaptation.epochs,
        steps=epochs * result.steps_per_epoch,
        curve=result.curve,
        hardware=result.hardware,
    )
