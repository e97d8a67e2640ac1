"""A refresh starts as its predecessor answered: blocks and head are taken over, a new class begins last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_base import write_tiny_base

from playbook.adapt.classifier import load_bundle, save_bundle
from playbook.adapt.encoder import load_encoder
from playbook.adapt.refresh import bundle_about, refresh_plan, start_weights, trained_blocks
from playbook.artifacts import BasePin
from playbook.errors import ArtifactError
from playbook.spec import Adaptation, Refresh

TEXTS = ["refund my order", "the parcel never came", "password reset please", "log in"]


def write_model(folder: Path, blocks: int, labels: tuple[str, ...]) -> tuple[Path, Path, BasePin]:
    """A tiny base, and a bundle whose topmost `blocks` blocks and head were changed."""
    base = folder / "base"
    pin = write_tiny_base(base)
    torch.manual_seed(5)
    encoder = load_encoder(base, pin.pooling)
    tensors = {name: tensor.detach() + 0.1 for name, tensor in encoder.named_tensors(pin.blocks - blocks)}
    tensors |= {"head.weight": torch.randn(len(labels), 32), "head.bias": torch.randn(len(labels))}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "weights.safetensors")
    save_bundle(folder / "bundle", base, pin, labels, folder / "weights.safetensors", "float32")
    return base, folder / "bundle", pin


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_trained_blocks_are_counted_from_the_top(tmp_path: Path, blocks: int) -> None:
    base, bundle, pin = write_model(tmp_path, blocks, ("a", "b"))
    assert trained_blocks(bundle, base, pin) == blocks


def test_the_start_answers_as_its_predecessor_and_a_new_class_comes_last(tmp_path: Path) -> None:
    base, bundle, pin = write_model(tmp_path, 1, ("a", "c"))
    start = start_weights(bundle, 1, ("a", "b", "c"), tmp_path / "start.safetensors")
    save_bundle(tmp_path / "next", base, pin, ("a", "b", "c"), start, "float32")
    before, after = load_bundle(bundle).predict_proba(TEXTS), load_bundle(tmp_path / "next").predict_proba(TEXTS)
    assert (after[:, [0, 2]].argmax(1) == before.argmax(1)).all()
    np.testing.assert_allclose(after[:, 0] / after[:, 2], before[:, 0] / before[:, 1], rtol=1e-4)
    assert (after[:, 1] > 0).all()
    assert load_file(start)["head.bias"][1] < load_file(bundle / "head.safetensors")["head.bias"].min()
    assert bundle_about(bundle) == (pin, ("a", "c"))


def test_a_removed_class_loses_its_row_and_no_other_does(tmp_path: Path) -> None:
    _, bundle, _ = write_model(tmp_path, 2, ("a", "b", "c"))
    start = load_file(start_weights(bundle, 2, ("a", "c"), tmp_path / "start.safetensors"))
    head = load_file(bundle / "head.safetensors")
    assert torch.equal(start["head.weight"], head["head.weight"][[0, 2]])
    assert torch.equal(start["head.bias"], head["head.bias"][[0, 2]])


def test_what_cannot_be_refreshed_is_refused(tmp_path: Path) -> None:
    _, bundle, _ = write_model(tmp_path, 1, ("a", "b"))
    with pytest.raises(ValueError, match="expected 1 to 2 unfrozen blocks, found 0"):
        start_weights(bundle, 0, ("a", "b"), tmp_path / "start.safetensors")
    with pytest.raises(ArtifactError, match="expected a readable model bundle"):
        bundle_about(tmp_path / "base")


def test_the_plan_lowers_both_rates_and_nothing_else() -> None:
    plan = refresh_plan(Adaptation(), Refresh(learning_rate_factor=0.25))
    assert (plan.learning_rate, plan.head_learning_rate) == (2.5e-4, 2.5e-3)
    assert plan.model_copy(update={"learning_rate": 1e-3, "head_learning_rate": 1e-2}) == Adaptation()
