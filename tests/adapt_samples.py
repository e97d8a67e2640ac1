"""A task that a frozen base cannot solve and one unfrozen block can: two words agree, or they do not (exclusive or).

Neither word alone says anything, so counting words (TF-IDF) and averaging a random base's features stay at a coin's
toss; a trained attention block tells the two classes apart within seconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tiny_base import write_tiny_base

from playbook.adapt.encoder import Encoder, load_encoder
from playbook.adapt.frozen import FrozenJob, train_frozen
from playbook.adapt.job import Job
from playbook.adapt.tokens import Tokens, tokenize
from playbook.artifacts import BasePin
from playbook.spec import Adaptation, Limit

LABELS = ("mixed", "same")
BOUNDARIES = (0, 1)
FAST = Adaptation(
    max_rungs=2, epochs=10, batch_size=16, learning_rate=6e-3, head_learning_rate=6e-3, dropout=0.0,
    label_smoothing=0.0,
    precision="float32", accelerator="cpu", patience=10,
)  # fmt: skip


def pairs(count: int, seed: int) -> list[dict[str, str]]:
    """Rows whose label is whether two words agree; fillers make the texts distinct and of unequal length."""
    rng = random.Random(seed)  # noqa: S311
    out = []
    for number in range(count):
        one, two = number // 2 % 2 == 0, number % 2 == 0  # all four cells alike
        fillers = ["".join(rng.choices("bdfgkmnprstvz", k=7)) for _ in range(3)]
        known = rng.sample(["my", "the", "order", "is", "please"], rng.randint(1, 4))
        words = ["parcel" if one else "refund", "late" if two else "reset", *known, *fillers]
        rng.shuffle(words)
        label = "same" if one == two else "mixed"
        out.append({"row_id": f"S{seed}-{number:05d}", "text": " ".join(words), "label": label})
    return out


def opened(base: Path) -> tuple[Encoder, Tokens]:
    """A base, frozen, and sixty texts as it reads them."""
    texts = [row["text"] for row in pairs(60, seed=3)]
    return load_encoder(base, "mean").requires_grad_(False), tokenize(texts, base / "tokenizer.json", 32)


@dataclass(frozen=True)
class Bench:
    """A tiny base and prepared tables in one folder."""

    folder: Path
    pin: BasePin
    validation_rows: int

    def _common(self, plan: Adaptation, out: str) -> dict[str, Any]:
        return {
            "base_folder": self.folder / "base",
            "pin": self.pin,
            "labels": LABELS,
            "train": self.folder / "train.parquet",
            "validation": self.folder / "validation.parquet",
            "boundaries": BOUNDARIES,
            "metric": Limit(metric="accuracy", at_least=0.9),
            "adaptation": plan,
            "cache": self.folder / "cache",
            "out": self.folder / out,
        }

    def frozen(self, plan: Adaptation = FAST, out: str = "frozen") -> FrozenJob:
        return FrozenJob(**self._common(plan, out))

    def rung(self, out: str, plan: Adaptation = FAST, unfrozen: int = 1, start: str = "frozen") -> Job:
        weights = self.folder / start / "weights.safetensors"
        return Job(task="pairs", start=weights, unfrozen=unfrozen, **self._common(plan, out))


def make_bench(folder: Path, train: int = 600, validation: int = 200) -> Bench:
    """Base, tables and a settled head."""
    pin = write_tiny_base(folder / "base")
    pd.DataFrame(pairs(train, 1)).to_parquet(folder / "train.parquet")
    pd.DataFrame(pairs(validation, 2)).to_parquet(folder / "validation.parquet")
    bench = Bench(folder, pin, validation)
    train_frozen(bench.frozen(), silent)
    return bench


def silent(message: str) -> None:
    """Report nothing."""
