"""The rows that a frozen baseline and its rungs learn from: token ids, labels, weights, and where activations lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from playbook.adapt.tokens import Tokens, tokenize
from playbook.artifacts import BasePin, canonical_hash
from playbook.data.tables import LABEL, TEXT
from playbook.store import file_sha256


@dataclass(frozen=True)
class RungData:
    """Rows of a rung: token lengths (rows,), labels int64 (rows,), and which rows are train and validation."""

    lengths: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray


class RowFiles(Protocol):
    """The part of a job that says which rows it is about."""

    @property
    def train(self) -> Path: ...  # noqa: D102
    @property
    def validation(self) -> Path: ...  # noqa: D102
    @property
    def base_folder(self) -> Path: ...  # noqa: D102
    @property
    def pin(self) -> BasePin: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102


def read_rows(job: RowFiles) -> tuple[Tokens, RungData, pd.DataFrame]:
    """Token ids of train and validation rows (train first), their labels, and the validation table."""
    train, validation = pd.read_parquet(job.train), pd.read_parquet(job.validation)
    texts = [*train[TEXT], *validation[TEXT]]
    tokens = tokenize(texts, job.base_folder / "tokenizer.json", job.pin.max_length)
    number = {label: place for place, label in enumerate(job.labels)}
    labels = np.array([number[label] for label in [*train[LABEL], *validation[LABEL]]], dtype=np.int64)
    rows = np.arange(len(texts))
    return tokens, RungData(tokens.lengths, labels, rows[: len(train)], rows[len(train) :]), validation


def cache_folder(root: Path, pin_hash: str, tokens: Tokens, boundaries: Sequence[int], dtype: torch.dtype) -> Path:
    """Where the activations of these rows lie: the name is the hash of everything they depend on.

    `pin_hash` is that of the whole pin: pooling, configuration and length change activations as weights do.
    """
    code = [file_sha256(Path(__file__).with_name(name)) for name in ("encoder.py", "cache.py")]
    content = canonical_hash([pin_hash, list(boundaries), str(dtype), torch.__version__, code])
    return root / f"{content[:16]}-{canonical_hash([tokens.ids.tolist(), tokens.offsets.tolist()])[:16]}"


def class_weights(labels: np.ndarray, classes: int, weighting: str) -> np.ndarray:
    """Weight per class, mean 1 over rows: all one, or inverse to frequency (`balanced`, King and Zeng 2001).

    `resample` gives the weights of `balanced`: the mean loss over rows that are drawn until all classes are equally
    frequent is the mean over all rows so weighted. It is for models that see all rows at once, as heads do.
    """
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    if weighting == "none":
        return np.ones(classes, np.float32)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)
