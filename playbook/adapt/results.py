"""What a training leaves in its folder beside the weights: answers to validation, and the versions behind them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from playbook.data.tables import LABEL, ROW_ID

HEAD = "head."  # prefix of the head's tensors in a file of weights
EPOCHS = "epochs"  # folder of a job's output: validation probabilities after each epoch, `0.npy`, `1.npy`, ...


def write_epoch(out: Path, epoch: int, probabilities: np.ndarray) -> None:
    """Keep what the model answers after an epoch: which epoch is the best is chosen from these."""
    (out / EPOCHS).mkdir(parents=True, exist_ok=True)
    np.save(out / EPOCHS / f"{epoch}.npy", probabilities)


def read_epochs(out: Path, epochs: int) -> list[np.ndarray]:
    """Validation probabilities after each epoch, each (rows, classes); an epoch that was not kept is left out."""
    paths = [out / EPOCHS / f"{epoch}.npy" for epoch in range(epochs)]
    return [np.load(path) for path in paths if path.exists()]


def write_predictions(path: Path, table: pd.DataFrame, labels: Sequence[str], probabilities: np.ndarray) -> None:
    """Row id, true label and one probability column per class (`p_0`, `p_1`, ... in the order of `labels`)."""
    frame = pd.DataFrame({ROW_ID: table[ROW_ID].to_numpy(), LABEL: table[LABEL].to_numpy()})
    for number in range(len(labels)):
        frame[f"p_{number}"] = probabilities[:, number]
    frame.to_parquet(path, index=False)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    import torch

    return {"torch": torch.__version__, "pytorch_lightning": version("pytorch-lightning"), "numpy": np.__version__}
