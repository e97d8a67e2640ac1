"""What a training leaves in its folder beside the weights: answers to validation, and the versions behind them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from playbook.data.tables import LABEL, ROW_ID

if TYPE_CHECKING:
    import pandas as pd

HEAD = "head."  # prefix of the head's tensors in a file of weights
EPOCHS = "epochs.npy"  # validation probabilities after each epoch, (epochs, rows, classes)
PARTS = "epochs"  # folder that has them while a job trains: `0.npy`, `1.npy`, ...


def write_epoch(out: Path, epoch: int, probabilities: np.ndarray) -> None:
    """Keep what the model answers after an epoch: which epoch is the best is chosen from these."""
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    np.save(out / PARTS / f"{epoch}.npy", probabilities)


def join_epochs(out: Path, epochs: int) -> None:
    """Put the epochs of a finished training into one file, which is kept with its weights."""
    np.save(out / EPOCHS, np.stack([np.load(out / PARTS / f"{epoch}.npy") for epoch in range(epochs)]))


def read_epochs(out: Path) -> list[np.ndarray]:
    """Validation probabilities after each epoch of a finished training, each (rows, classes)."""
    return list(np.load(out / EPOCHS))


def write_predictions(path: Path, table: pd.DataFrame, labels: Sequence[str], probabilities: np.ndarray) -> None:
    """Row id, true label and one probability column per class (`p_0`, `p_1`, ... in the order of `labels`)."""
    import pandas as pd

    frame = pd.DataFrame({ROW_ID: table[ROW_ID].to_numpy(), LABEL: table[LABEL].to_numpy()})
    for number in range(len(labels)):
        frame[f"p_{number}"] = probabilities[:, number]
    frame.to_parquet(path, index=False)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, as installed: a run in which nothing trains does not import torch."""
    return {"torch": version("torch"), "pytorch_lightning": version("pytorch-lightning"), "numpy": np.__version__}
