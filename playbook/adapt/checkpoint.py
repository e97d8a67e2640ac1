"""Checkpoints without unpickling: weights as safetensors; optimiser, schedule and curve are loaded weights-only."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from safetensors.torch import load_file, save_file

STATE, WEIGHTS = "state.pt", "weights.safetensors"


class FolderCheckpointIO(CheckpointIO):
    """A checkpoint is a folder, swapped in whole: a kill in the middle of writing leaves the previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` as a folder at `path`."""
        target = Path(path)
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
        part.mkdir(parents=True)
        rest = dict(checkpoint)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in rest.pop("state_dict").items()}
        save_file(weights, part / WEIGHTS)
        torch.save(rest, part / STATE)
        replace_folder(part, target)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint folder; nothing but tensors and plain values is accepted."""
        folder = Path(path)
        checkpoint: dict[str, Any] = torch.load(folder / STATE, map_location=map_location or "cpu", weights_only=True)
        checkpoint["state_dict"] = load_file(folder / WEIGHTS)
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint folder."""
        shutil.rmtree(path, ignore_errors=True)


def replace_folder(part: Path, target: Path) -> None:
    """Put `part` in the place of `target`; `whole_folder` finds the old one if the process dies in between."""
    old = target.with_name(f"{target.name}.old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def whole_folder(target: Path) -> Path | None:
    """The folder at `target`, or the one that a killed `replace_folder` had moved aside, or None."""
    old = target.with_name(f"{target.name}.old")
    return target if target.exists() else old if old.exists() else None
