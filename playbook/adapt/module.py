"""The rung as Lightning sees it: the unfrozen blocks and the head, trained on what comes out of the frozen ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from playbook.adapt.batches import (
    RESAMPLE,
    epoch_batches,
    epoch_rows,
    parts_per_step,
    resampled,
    share,
    steps_per_epoch,
)
from playbook.adapt.cache import Activations, chunks_of
from playbook.adapt.encoder import Encoder, Span
from playbook.adapt.rows import RungData
from playbook.artifacts import Epoch
from playbook.spec import Adaptation
from playbook.statistics.metric import Metric


@dataclass(frozen=True)
class Batch:
    """One rank's step, or a part of it: packed activations, their spans, labels, and the step's rows over all ranks.

    Where embeddings are trained, `hidden` holds token ids instead (`playbook.adapt.cache.TokenIds`).
    """

    hidden: Tensor
    spans: list[Span]
    labels: Tensor
    step_rows: int


class TrainBatches(IterableDataset[Batch]):
    """The steps of one epoch for one rank, each in `parts` batches; the module sets `epoch` before each epoch."""

    def __init__(
        self, data: RungData, source: Activations, boundary: int, plan: Adaptation, rank: int, world: int
    ) -> None:
        self.data, self.source, self.boundary, self.plan = data, source, boundary, plan
        self.rank, self.world, self.epoch = rank, world, 0
        rows, size = epoch_rows(data.labels[data.train], plan.class_weighting), max(plan.batch_size, world)
        self.steps = steps_per_epoch(rows, size)  # of the optimiser
        self.parts = parts_per_step(rows, size, world, plan.accumulation)

    def _steps(self) -> list[np.ndarray]:
        rows, plan = self.data.train, self.plan
        if plan.class_weighting == RESAMPLE:
            rows = rows[resampled(self.data.labels[rows], plan.seed, self.epoch)]
        steps = epoch_batches(self.data.lengths[rows], max(plan.batch_size, self.world), plan.seed, self.epoch)
        return [rows[step] for step in steps]

    def __len__(self) -> int:
        return self.steps * self.parts

    def rank_rows(self) -> tuple[int, ...]:
        """Training rows of each rank in one epoch."""
        steps = self._steps()
        return tuple(sum(len(share(step, rank, self.world)) for step in steps) for rank in range(self.world))

    def __iter__(self) -> Iterator[Batch]:
        for step in self._steps():
            for rows in np.array_split(share(step, self.rank, self.world), self.parts):
                hidden, spans = self.source.gather(rows, self.boundary)
                yield Batch(hidden, spans, torch.from_numpy(self.data.labels[rows]), len(step))


class RungModule(pl.LightningModule):
    """Blocks from the boundary up and a linear head. The frozen part is not a submodule: neither saved nor synced.

    Given `embed_in`, a dtype, nothing is frozen: batches hold token ids, and embeddings are trained in that arithmetic.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Linear,
        batches: TrainBatches,
        class_weight: Tensor,
        committed: Metric,
        report: Callable[[str], None],
        embed_in: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.embeddings = encoder.embeddings if embed_in is not None else None
        self.blocks = nn.ModuleList(encoder.blocks[batches.boundary :])
        self.head = head
        self.curve: list[Epoch] = []
        self.probabilities = np.zeros((0, 0), np.float32)
        self._encoder = [encoder]  # in a list, so that Lightning does not register it
        self._batches, self._committed, self._report = batches, committed, report
        self._class_weight, self._embed_in = class_weight, embed_in
        self._losses: list[Tensor] = []
        self._began = 0.0

    @property
    def plan(self) -> Adaptation:
        """The adaptation section of the task file."""
        return self._batches.plan

    def logits(self, hidden: Tensor, spans: Sequence[Span]) -> Tensor:
        """Float32 logits (rows, classes) from packed activations at the boundary, or from token ids."""
        if self.embeddings is not None and self._embed_in is not None:
            hidden = self.embeddings(hidden, spans, self._embed_in)
        for block in self.blocks:
            hidden = block(hidden, spans)
        return F.linear(self._encoder[0].pool(hidden, spans), self.head.weight, self.head.bias)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the tensors of a step."""
        return replace(batch, hidden=batch.hidden.to(device), labels=batch.labels.to(device))

    def on_train_epoch_start(self) -> None:
        """Seed the epoch by its number, so that a resumed epoch equals an undisturbed one."""
        self._batches.epoch = self.current_epoch
        torch.manual_seed(self.plan.seed * 1_000_003 + self.current_epoch * 1_009 + self.global_rank)
        self._losses, self._began = [], time.perf_counter()

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Cross-entropy of a step, or of a part of it.

        Scaled so that the mean over ranks, and over parts, which the trainer takes, is the mean over the step's rows.
        """
        logits = self.logits(batch.hidden, batch.spans)
        losses = F.cross_entropy(
            logits,
            batch.labels,
            weight=self._class_weight.to(self.device),
            label_smoothing=self.plan.label_smoothing,
            reduction="sum",
        )
        loss = losses * (self._batches.world * self._batches.parts / batch.step_rows)
        self._losses.append(loss.detach())
        return loss

    def close_epoch(self) -> None:
        """Score validation and extend the curve. The callback that saves calls it: Lightning runs callbacks first."""
        train_loss = float(torch.stack(self._losses).mean()) if self._losses else math.nan
        loss, metric = self.score()
        seconds = time.perf_counter() - self._began
        self.curve.append(
            Epoch(
                epoch=self.current_epoch,
                train_loss=train_loss,
                validation_loss=loss,
                validation=metric,
                seconds=seconds,
                lower_is_better=self._committed.sign < 0,
            )
        )
        self._report(
            f"epoch {self.current_epoch + 1}/{self.plan.epochs}: train loss {train_loss:.4f}, "
            f"validation loss {loss:.4f}, metric {metric:.4f} ({seconds:.1f} s)"
        )

    def score(self) -> tuple[float, float]:
        """Validation log loss and committed metric; each rank does its share, all ranks get the whole."""
        data = self._batches.data
        self.probabilities = self._predict(data.validation)
        truth = data.labels[data.validation]
        right = self.probabilities[np.arange(len(truth)), truth]
        loss = float(-np.log(np.maximum(right, 1e-12)).mean())
        return loss, self._committed.value(truth, self.probabilities)

    @torch.no_grad()
    def _predict(self, rows: np.ndarray) -> np.ndarray:
        batches, was_training = self._batches, self.training
        self.eval()
        lengths = batches.data.lengths[rows]
        order = np.argsort(lengths, kind="stable")
        result = torch.zeros(len(rows), self.head.out_features, device=self.device)
        for number, part in enumerate(chunks_of(lengths[order])):
            if number % batches.world == batches.rank:
                hidden, spans = batches.source.gather(rows[order[part]], batches.boundary)
                places = torch.from_numpy(order[part]).to(self.device)
                result[places] = self.logits(hidden.to(self.device), spans).softmax(1)
        if batches.world > 1:
            torch.distributed.all_reduce(result)
        self.train(was_training)
        return result.cpu().numpy()

    def configure_optimizers(self) -> Any:
        """AdamW with a learning rate per depth (Howard and Ruder 2018), linear warm-up, cosine decay."""
        plan = self.plan
        groups = [{"params": list(self.head.parameters()), "lr": plan.head_learning_rate}]
        for depth, block in enumerate(reversed(self.blocks)):
            groups.append({"params": list(block.parameters()), "lr": plan.learning_rate * plan.block_decay**depth})
        if self.embeddings is not None:
            lowest = plan.learning_rate * plan.block_decay ** len(self.blocks)
            groups.append({"params": list(self.embeddings.parameters()), "lr": lowest})
        optimizer = torch.optim.AdamW(groups, weight_decay=plan.weight_decay, fused=True)
        total = plan.epochs * self._batches.steps
        warm = max(1, round(plan.warmup * total))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curve with the weights."""
        checkpoint["curve"] = [epoch.model_dump() for epoch in self.curve]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the curve up again."""
        self.curve = [Epoch(**epoch) for epoch in checkpoint["curve"]]
