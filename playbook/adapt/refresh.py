"""Refresh (6.6): training goes on from the checkpoint of the model that serves, on data that has grown.

The blocks that were unfrozen before stay unfrozen, at lower rates; what lies below them is the pinned base, unchanged.
A class that is new gets a row of its own in the head, at zero weight: it begins as the least likely of all classes, so
that the refreshed model starts out answering as its predecessor did, and no class that was known loses its row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from playbook.adapt.encoder import load_encoder
from playbook.artifacts import BasePin
from playbook.errors import ArtifactError
from playbook.names import normal_forms
from playbook.spec import Adaptation, Refresh

HEAD = "head."
BELOW = 2.0  # nats by which a new class's bias begins below the lowest of the known ones


def bundle_about(bundle: Path) -> tuple[BasePin, tuple[str, ...]]:
    """Pin of the base and labels of a model bundle, in the order of its head's rows.

    Raises:
        ArtifactError: the folder is not a bundle.
    """
    try:
        about = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        return BasePin(**about["pin"]), normal_forms(about["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{bundle}: expected a readable model bundle with bundle.json, found none "
            f"({type(error).__name__}); fetch the version from the registry again"
        ) from None


def start_weights(bundle: Path, unfrozen: int, labels: Sequence[str], out: Path) -> Path:
    """Write the tensors that a refresh starts from: the head, and the topmost `unfrozen` blocks of a bundle.

    Args:
        bundle: folder of the model that serves.
        unfrozen: blocks that were trained in it, from the top; at least one.
        labels: classes of the refreshed model, in order; classes of the bundle that are missing here lose their row.
        out: the safetensors file to write, as `playbook.adapt.rung` reads it (`head.weight` (classes, width),
            `head.bias` (classes,), and the blocks' tensors under the encoder's names).

    Raises:
        ArtifactError: the folder is not a bundle.
        ValueError: no block is unfrozen, or more than there are.
    """
    pin, known = bundle_about(bundle)
    if not 1 <= unfrozen <= pin.blocks:
        raise ValueError(f"expected 1 to {pin.blocks} unfrozen blocks, found {unfrozen}")
    encoder = load_encoder(bundle, pin.pooling)
    tensors = {name: tensor.detach() for name, tensor in encoder.named_tensors(pin.blocks - unfrozen)}
    weight, bias = _head_for(load_file(bundle / "head.safetensors"), known, labels)
    tensors |= {f"{HEAD}weight": weight, f"{HEAD}bias": bias}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}, out)
    return out


def _head_for(
    head: dict[str, torch.Tensor], known: Sequence[str], labels: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The head's rows in the order of `labels`."""
    row = {label: place for place, label in enumerate(known)}
    old_weight, old_bias = head[f"{HEAD}weight"].float(), head[f"{HEAD}bias"].float()
    weight = torch.zeros(len(labels), old_weight.shape[1])
    bias = torch.full((len(labels),), float(old_bias.min()) - BELOW)
    for place, label in enumerate(labels):
        if label in row:
            weight[place], bias[place] = old_weight[row[label]], old_bias[row[label]]
    return weight, bias


def refresh_plan(adaptation: Adaptation, refresh: Refresh) -> Adaptation:
    """The plan of a refresh: that of a rung with lower rates, because nothing in it is new but the rows."""
    factor = refresh.learning_rate_factor
    lower = {name: getattr(adaptation, name) * factor for name in ("learning_rate", "head_learning_rate")}
    return adaptation.model_copy(update=lower)


def trained_blocks(bundle: Path, base: Path, pin: BasePin) -> int:
    """How many blocks of a bundle, from the top, are not those of its base: what was unfrozen when it was trained.

    Args:
        bundle: folder of the model.
        base: folder of its pinned base.
        pin: the base's pin.
    """
    mine, theirs = load_encoder(bundle, pin.pooling), load_encoder(base, pin.pooling)
    for block in range(pin.blocks):
        before = dict(theirs.named_tensors(block))
        if any(not torch.equal(tensor, before[name]) for name, tensor in mine.named_tensors(block) if _in(name, block)):
            return pin.blocks - block
    return 0


def _in(name: str, block: int) -> bool:
    """Whether a tensor of a checkpoint belongs to a block, by the number in its name."""
    return f".{block}." in name
