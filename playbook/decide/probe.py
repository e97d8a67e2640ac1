"""What the gate measures before anything is committed: a 20-step training probe, and how the data suits the base.

The probe trains the topmost block and a fresh head on real batches, then throws both away. It writes nothing and leaves
the random state as it was. Two figures come out of it: seconds per row and frozen block, and seconds per row and
trained block; `playbook.decide.cost` derives a whole run from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from playbook.artifacts import BasePin, Closeness
from playbook.data.tables import LABEL, TEXT
from playbook.spec import Adaptation, TaskSpec

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from playbook.adapt.encoder import Encoder
    from playbook.adapt.tokens import Tokens

STEPS = 20
WARM_UP = 3  # first steps, in which memory is allocated; they are taken but not timed
CLOSENESS_ROWS = 256
EFFECTIVE_RANK = "effective rank of the features as a share of what it can be (RankMe: Garrido et al., ICML 2023)"
BACKWARD = 2.0  # a backward pass costs about two forward passes (Kaplan et al. 2020); for bases of a single block


@dataclass(frozen=True)
class Probe:
    """Throughput of this machine on this base and these texts."""

    steps: int
    rows: int  # of all steps
    blocks: int  # of the base
    frozen_seconds: float  # per row and block, forward only
    training_seconds: float  # per row and unfrozen block: forward, backward, optimiser
    losses: tuple[float, float]  # cross-entropy of the first and of the last step
    hardware: str
    seconds: float  # that the probe took

    @property
    def rows_per_second(self) -> float:
        """Rows that a rung with one unfrozen block trains in a second, from cached activations."""
        return 1 / self.training_seconds if self.training_seconds else 0.0


def probe_training(spec: TaskSpec, folder: Path, pin: BasePin, train: pd.DataFrame, steps: int = STEPS) -> Probe:
    """Take `steps` training steps with the topmost block of a base unfrozen, on batches of training rows.

    Args:
        spec: the task; batch size, rates and arithmetic are those of its adaptation section.
        folder: the located base.
        pin: its pin.
        train: rows with the columns of `playbook.data.tables`.
        steps: how many; the first few are not timed.

    Raises:
        PinMismatch: the architecture of the base is not supported.
        TrainingFailed: the task file asks for a GPU and there is none.
    """
    import torch

    from playbook.adapt.encoder import load_encoder
    from playbook.adapt.precision import compute_dtype, describe_hardware, set_threads, training_device
    from playbook.adapt.tokens import tokenize
    from playbook.settings import settings

    began, plan = time.perf_counter(), spec.adaptation
    set_threads(settings().threads, 1)
    device = training_device(plan.accelerator)
    dtype = compute_dtype(plan.precision, device)
    sample = _sample(train, steps * plan.batch_size, plan.seed)
    tokens = tokenize(sample[TEXT].tolist(), folder / "tokenizer.json", pin.max_length)
    labels = torch.tensor([spec.labels.index(label) for label in sample[LABEL]])
    batches = _batches(tokens, plan, steps)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(plan.seed)
        encoder = load_encoder(folder, pin.pooling).requires_grad_(False).to(device)
        frozen, trained, losses = _train(encoder, tokens, labels, len(spec.labels), batches, plan, dtype)
    below = len(encoder.blocks) - 1
    return Probe(
        steps=len(batches),
        rows=sum(len(batch) for batch in batches),
        blocks=len(encoder.blocks),
        frozen_seconds=frozen / below if below else trained / (1 + BACKWARD),
        training_seconds=trained,
        losses=(losses[0], losses[-1]),
        hardware=describe_hardware(device, dtype),
        seconds=time.perf_counter() - began,
    )


def measure_closeness(
    texts: Sequence[str], tokenizer_file: Path, extract: Callable[[Sequence[str]], npt.NDArray[np.float32]], seed: int
) -> Closeness:
    """How well the base's tokenizer and features suit the texts, on a sample of at most 256.

    Tokens per word, unknown tokens and the effective rank are those of `playbook.bases.closeness`, so that the gate and
    the bake-off mean the same things. The rank is told as a share of min(texts, width), the most that it can be:
    the bake-off looks at more texts, and its rank is not to be held against this one. Near 0 the base tells texts
    hardly apart.
    """
    from playbook.bases.closeness import rank_me, vocabulary_fit

    order = np.random.default_rng(seed).permutation(len(texts))[:CLOSENESS_ROWS]
    chosen = [texts[place] for place in np.sort(order)]
    tokens_per_word, unknown_share = vocabulary_fit(tokenizer_file, chosen)
    features = extract(chosen)
    return Closeness(
        tokens_per_word=tokens_per_word,
        unknown_share=unknown_share,
        features=rank_me(features) / max(1, min(features.shape)),
        measure=EFFECTIVE_RANK,
    )


def _sample(train: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    order = np.random.default_rng(seed).permutation(len(train))[:rows]
    return train.iloc[np.sort(order)]


def _batches(tokens: Tokens, plan: Adaptation, steps: int) -> list[np.ndarray]:
    """The first `steps` batches that training would take, over as many epochs as that needs."""
    from playbook.adapt.batches import epoch_batches

    found: list[np.ndarray] = []
    epoch = 0
    while len(found) < steps:
        found += epoch_batches(tokens.lengths, plan.batch_size, plan.seed, epoch)
        epoch += 1
    return found[:steps]


def _train(
    encoder: Encoder,
    tokens: Tokens,
    labels: torch.Tensor,
    classes: int,
    batches: list[np.ndarray],
    plan: Adaptation,
    dtype: torch.dtype,
) -> tuple[float, float, list[float]]:
    """Seconds per row below and above the boundary (median of the timed steps), and the loss of every step."""
    import torch
    from torch.nn import functional as F

    from playbook.adapt.batches import GRADIENT_CLIP
    from playbook.adapt.cache import Recomputed

    boundary, top = len(encoder.blocks) - 1, encoder.blocks[-1]
    device = next(encoder.parameters()).device
    encoder.set_dropout(plan.dropout)
    top.requires_grad_(True).train()
    head = torch.nn.Linear(encoder.width, classes).to(device)
    trained = [*top.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    source, times, losses = Recomputed(encoder, tokens, dtype), [], []
    for rows in batches:
        began = _now(device)
        hidden, spans = source.gather(rows, boundary)
        middle = _now(device)
        logits = head(encoder.pool(encoder.run(hidden, spans, boundary), spans))
        loss = F.cross_entropy(logits, labels[torch.from_numpy(rows)].to(device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, GRADIENT_CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        times.append(((middle - began) / len(rows), (_now(device) - middle) / len(rows)))
    below, above = np.median(times[WARM_UP:] or times, axis=0)  # the median bears a neighbour's short burst of work
    return float(below), float(above), losses


def _now(device: torch.device) -> float:
    """Time after everything that was asked of the device is done."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()
