"""Answers of models on an opened test split, as tables that figures, report and card are made from (5.2, 5.8).

A model answers a split once. What it answered is kept under a key of the model's tensors, the pin of its base, the
split's rows, the classes, the arithmetic and the code that computes answers. Nothing else is in that key, so an edited
owner, price, margin or page finds the answers again and opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from playbook.artifacts import TestAnswers, canonical_hash
from playbook.data.tables import ROW_ID
from playbook.errors import ArtifactError

if TYPE_CHECKING:
    import pandas as pd

ANSWERS = "answers"  # role of the table among the artefact's files
Probabilities = npt.NDArray[np.float32]


class Answerer(Protocol):
    """A loaded model."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that it knows, in the order of its columns."""
        ...

    def predict_proba(self, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        """Probabilities of shape (texts, classes), columns in the order of `labels`."""
        ...


@dataclass(frozen=True)
class AskedModel:
    """A model that is asked about the test split: what identifies its answers, and how it is loaded."""

    name: str  # baseline, candidate, scratch, other_base, majority, tfidf, zero_shot, champion
    digest: str  # SHA-256 of the trained tensors, or of everything that a reference is fitted on
    load: Callable[[Path], Answerer] = field(compare=False)  # with a folder that it may fill and answer from
    base: str = ""  # SHA-256 of the base's weights
    pin: str = ""  # hash of the whole pin: pooling, length and blocks change answers too
    arithmetic: str = ""
    code: str = ""  # version of the code that computes its answers


def answers_key(model: AskedModel, test_sha256: str, labels: Sequence[str]) -> str:
    """What one model's answers on one split are found by, 32 hex digits."""
    parts = {
        "model": model.digest,
        "pin": model.pin or model.base,
        "rows": test_sha256,
        "labels": list(labels),
        "arithmetic": model.arithmetic,
        "code": model.code,
    }
    return canonical_hash({"asset": "test_answers", **parts})[:32]


def write_answers(path: Path, row_ids: Sequence[str], probabilities: npt.NDArray[np.floating]) -> Path:
    """Write a model's answers, shape (rows, classes), beside the ids of their rows.

    Raises:
        ValueError: the shapes do not fit, or a probability is not a number: the model's weights are broken.
    """
    import pandas as pd

    if probabilities.ndim != 2 or len(probabilities) != len(row_ids):
        raise ValueError(f"expected answers to {len(row_ids)} rows, found an array of shape {probabilities.shape}")
    if not np.isfinite(probabilities).all():
        raise ValueError("some probabilities are not numbers; the model's weights are broken")
    columns = {f"p_{at}": column for at, column in enumerate(probabilities.astype(np.float32).T)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({ROW_ID: list(row_ids), **columns}).to_parquet(path, index=False)
    return path


def read_answers(path: Path, answers: TestAnswers, frame: pd.DataFrame) -> Probabilities:
    """Stored answers in the order of the split's rows, float32 of shape (rows, classes).

    Raises:
        ArtifactError: they answer other rows.
    """
    import pandas as pd

    table = pd.read_parquet(path)
    if table[ROW_ID].tolist() != frame[ROW_ID].tolist():
        raise ArtifactError(
            f"{path}: expected answers to the {len(frame)} rows of the test split, found {len(table)} other ones; "
            "delete its folder and run the play again"
        )
    return table[[f"p_{at}" for at in range(len(answers.labels))]].to_numpy(np.float32)
