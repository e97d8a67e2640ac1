"""Train a rung or a control: from a job to weights, validation predictions and a curve. Resumes after a kill."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file, save_file
from torch import nn

from playbook.adapt.batches import GRADIENT_CLIP, RESAMPLE
from playbook.adapt.cache import Activations, Recomputed, TokenIds, build_cache
from playbook.adapt.checkpoint import WEIGHTS, FolderCheckpointIO, whole_folder
from playbook.adapt.curve import best_epoch, diverged, stalled
from playbook.adapt.encoder import Encoder, load_encoder
from playbook.adapt.job import Job, JobResult
from playbook.adapt.module import RungModule, TrainBatches
from playbook.adapt.precision import compute_dtype, describe_hardware, set_threads, training_device
from playbook.adapt.results import HEAD, PARTS, join_epochs, versions, write_epoch, write_predictions
from playbook.adapt.rows import cache_folder, class_weights, read_rows
from playbook.adapt.tokens import Tokens
from playbook.artifacts import Epoch, canonical_hash
from playbook.settings import settings
from playbook.statistics.metric import bind

Report = Callable[[str], None]


class SaveAndStop(Callback):
    """After each epoch: keep the last and the best checkpoint, and stop when validation has stalled."""

    def __init__(self, out: Path, patience: int) -> None:
        self.out, self.patience = out, patience

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """See the class."""
        assert isinstance(module, RungModule)
        module.close_epoch()
        if trainer.is_global_zero:
            write_epoch(self.out, len(module.curve) - 1, module.probabilities)
        if best_epoch(module.curve) == len(module.curve) - 1:
            trainer.save_checkpoint(self.out / "best")
        trainer.save_checkpoint(self.out / "last")
        if stalled(module.curve, self.patience) or diverged(module.curve):
            trainer.should_stop = True


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int
    local_rank: int
    size: int

    @classmethod
    def from_environment(cls) -> World:
        """As torch.distributed.run sets it; a process of its own otherwise."""
        read = os.environ.get
        return cls(int(read("RANK", "0")), int(read("LOCAL_RANK", "0")), int(read("WORLD_SIZE", "1")))


def run_rung(job: Job, report: Report) -> JobResult:
    """Train (or finish) the rung that `job` describes; the result is in `job.out`, and is returned on every rank."""
    done = JobResult.load(job.out)
    if done is not None:
        return done
    began = time.perf_counter()
    world = World.from_environment()
    set_threads(settings().threads, world.size)
    device = training_device(job.adaptation.accelerator, world.local_rank)
    module, trainer = _prepare(job, world, device, report)
    resumed = _fit(job, module, trainer, report)
    result = _finish(job, module, world, device, resumed, time.perf_counter() - began)
    trainer.strategy.teardown()
    return result


def _prepare(job: Job, world: World, device: torch.device, report: Report) -> tuple[RungModule, pl.Trainer]:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its hints and adverts are not the run's progress
    pl.seed_everything(job.adaptation.seed, workers=False, verbose=False)
    dtype = compute_dtype(job.adaptation.precision, device)
    tokens, data, _ = read_rows(job)
    encoder = load_encoder(job.base_folder, job.pin.pooling).requires_grad_(False).to(device)
    source = _source(job, encoder, tokens, dtype, report)
    encoder.set_dropout(job.adaptation.dropout)
    head = _load_start(encoder, load_file(job.start), len(job.labels))
    boundary = len(encoder.blocks) - job.unfrozen
    batches = TrainBatches(data, source, boundary, job.adaptation, world.rank, world.size)
    weighting = job.adaptation.class_weighting
    in_loss = "none" if weighting == RESAMPLE else weighting  # where the epochs are balanced, the loss is not again
    weights = class_weights(data.labels[data.train], len(job.labels), in_loss)
    embed_in = dtype if job.embeddings else None
    committed = bind(job.metric, job.labels)
    module = RungModule(encoder, head, batches, torch.from_numpy(weights), committed, report, embed_in)
    module.requires_grad_(True).train()  # the encoder comes in evaluation mode; dropout is for the unfrozen blocks
    return module, _trainer(job, world, device, batches.parts)


def _source(job: Job, encoder: Encoder, tokens: Tokens, dtype: torch.dtype, report: Report) -> Activations:
    if job.embeddings:
        return TokenIds(tokens)
    if not job.adaptation.cache_activations:
        return Recomputed(encoder, tokens, dtype)
    folder = cache_folder(job.cache, canonical_hash(job.pin.model_dump(mode="json")), tokens, job.boundaries, dtype)
    return build_cache(folder, encoder, tokens, job.boundaries, dtype, report)


def _load_start(encoder: Encoder, start: dict[str, torch.Tensor], classes: int) -> nn.Linear:
    """Put the checkpoint that the rung starts from into the encoder; returns its head."""
    head = nn.Linear(encoder.width, classes).to(next(encoder.parameters()).device)
    with torch.no_grad():
        head.weight.copy_(start[f"{HEAD}weight"])
        head.bias.copy_(start[f"{HEAD}bias"])
    encoder.load_tensors({name: tensor for name, tensor in start.items() if not name.startswith(HEAD)})
    return head


def _trainer(job: Job, world: World, device: torch.device, parts: int) -> pl.Trainer:
    warnings.filterwarnings("ignore", message=".*(num_workers|does not have many workers|barebones|IterableDataset).*")
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=world.size,
        strategy="ddp" if world.size > 1 else "auto",
        precision="32-true",  # master weights; the encoder itself computes in bf16, in training as in serving
        max_epochs=job.adaptation.epochs,
        gradient_clip_val=GRADIENT_CLIP,
        accumulate_grad_batches=parts,
        callbacks=[SaveAndStop(job.out, job.adaptation.patience)],
        plugins=[FolderCheckpointIO()],
        default_root_dir=job.out,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic="warn" if device.type == "cuda" else True,
    )


def _fit(job: Job, module: RungModule, trainer: pl.Trainer, report: Report) -> int:
    """Train from the last checkpoint on, if there is one; returns the epochs that it had behind it."""
    last = whole_folder(job.out / "last")
    # Its own generator: a loader draws a number whenever it is iterated, which is before the epoch is seeded in a fresh
    # or resumed run and after it in later epochs; from the common one, dropout would differ after a resume.
    own = torch.Generator()
    loader = torch.utils.data.DataLoader(module._batches, batch_size=None, num_workers=0, generator=own)
    if last is None:
        trainer.fit(module, loader)
        return 0
    curve = [Epoch(**epoch) for epoch in FolderCheckpointIO().load_checkpoint(last)["curve"]]
    report(f"resuming after epoch {len(curve)}")
    if len(curve) >= job.adaptation.epochs or stalled(curve, job.adaptation.patience) or diverged(curve):
        module.curve = curve
        if module._batches.world > 1:  # the trainer, which would have made the group, has nothing left to do
            torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    else:
        trainer.fit(module, loader, ckpt_path=last, weights_only=True)
    return len(curve)


def _finish(
    job: Job, module: RungModule, world: World, device: torch.device, resumed: int, seconds: float
) -> JobResult:
    """Score the best epoch's weights and write the result; rank 0 writes, result.json last."""
    best = whole_folder(job.out / "best")
    assert best is not None
    module.load_state_dict(load_file(best / WEIGHTS))
    module.to(device)
    _, metric = module.score()
    ended_early = len(module.curve) < job.adaptation.epochs
    early = "the loss was not a finite number" if diverged(module.curve) else "validation stalled"
    dtype = compute_dtype(job.adaptation.precision, device)
    result = JobResult(
        validation=metric,
        best_epoch=best_epoch(module.curve),
        curve=tuple(module.curve),
        stopped=early if ended_early else "all epochs done",
        resumed_epochs=resumed,
        seconds=seconds,
        hardware=describe_hardware(device, dtype, world.size),
        world=world.size,
        steps_per_epoch=module._batches.steps,
        accumulation=module._batches.parts,
        rank_rows=module._batches.rank_rows(),
    )
    if world.rank == 0:
        _write(job, module, result)
    return result


def _write(job: Job, module: RungModule, result: JobResult) -> None:
    encoder = module._encoder[0]
    tensors = dict(encoder.named_tensors(len(encoder.blocks) - job.unfrozen, job.embeddings))
    tensors |= {f"{HEAD}weight": module.head.weight, f"{HEAD}bias": module.head.bias}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, job.out / WEIGHTS)
    write_predictions(
        job.out / "predictions.parquet", pd.read_parquet(job.validation), job.labels, module.probabilities
    )
    join_epochs(job.out, len(result.curve))
    (job.out / "config.json").write_text(json.dumps(run_configuration(job, result), indent=1, sort_keys=True))
    part = job.out / "result.json.part"
    part.write_text(json.dumps(result.model_dump(mode="json"), indent=1))  # model_dump_json would lose a loss of NaN
    part.replace(job.out / "result.json")
    for name in ("last", "best", PARTS):
        shutil.rmtree(job.out / name, ignore_errors=True)


def run_configuration(job: Job, result: JobResult) -> dict[str, Any]:
    """Everything that reproduces the run (4.8); nothing in it depends on when or where it ran."""
    return {
        "method": "from scratch" if job.embeddings else "staircase",
        "base": job.pin.model_dump(),
        "dataset": job.dataset.model_dump(),
        "unfrozen_blocks": job.unfrozen,
        "adaptation": job.adaptation.model_dump(),
        "metric": {"metric": job.metric.metric, "of_class": job.metric.of_class},  # no limit: none is trained to
        "labels": list(job.labels),
        "optimizer": "AdamW",
        "schedule": "linear warm-up, cosine decay",
        "gradient_clip": GRADIENT_CLIP,
        "gradient_accumulation": result.accumulation,
        "evaluation_every": "epoch",
        "steps_per_epoch": result.steps_per_epoch,
        "rank_rows": list(result.rank_rows),
        "best_epoch": result.best_epoch,
        "versions": versions(),
        "hardware": result.hardware,
    }
