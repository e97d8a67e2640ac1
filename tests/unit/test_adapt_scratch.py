"""Training everything, embeddings included: it moves, resumes, and is read back to the very same answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from adapt_samples import FAST, LABELS, Bench, make_bench, silent
from pydantic import ValidationError
from safetensors.torch import load_file

from playbook.adapt.classifier import load_bundle, save_bundle
from playbook.adapt.encoder import EMBEDDINGS, load_encoder
from playbook.adapt.job import Job, JobResult
from playbook.adapt.module import Batch, RungModule
from playbook.adapt.rung import World, _prepare, run_rung
from playbook.bases.derive import random_weights
from playbook.errors import PinMismatch

PLAN = FAST.model_copy(update={"dropout": 0.1, "epochs": 3, "learning_rate": 2e-3, "block_decay": 1.0})
NAMES = [
    "LayerNorm.bias",
    "LayerNorm.weight",
    "position_embeddings.weight",
    "token_type_embeddings.weight",
    "word_embeddings.weight",
]


class Stop(Exception):
    """Ends training from within."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before, threads = os.environ.get("PLAYBOOK_THREADS"), torch.get_num_threads()
    os.environ["PLAYBOOK_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)
    os.environ.pop("PLAYBOOK_THREADS")
    if before is not None:
        os.environ["PLAYBOOK_THREADS"] = before


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"), 96, 60)


def scratch(bench: Bench, out: str) -> Job:
    folder = random_weights(bench.folder / "base", 7, bench.folder / "bases")
    changes = {"embeddings": True, "base_folder": folder}
    return bench.rung(out, PLAN, unfrozen=2).model_copy(update=changes)


@pytest.fixture(scope="module")
def done(bench: Bench) -> Job:
    job = scratch(bench, "scratch")
    run_rung(job, silent)
    return job


def test_every_tensor_of_the_encoder_moves(done: Job) -> None:
    trained = load_file(done.out / "weights.safetensors")
    before = dict(load_encoder(done.base_folder, "mean").named_tensors(0, embeddings=True))
    assert set(trained) == set(before) | {"head.weight", "head.bias"}
    assert sorted(name.removeprefix(EMBEDDINGS) for name in trained if name.startswith(EMBEDDINGS)) == NAMES
    still = [name for name, tensor in before.items() if torch.equal(tensor, trained[name])]
    assert still == ["embeddings.token_type_embeddings.weight"], (
        "only that one: it is zero, its part is in the positions"
    )
    assert not trained["embeddings.token_type_embeddings.weight"].any()


def test_words_that_occur_move_further_than_those_that_do_not(done: Job) -> None:
    """The others only shrink by weight decay: so it is the gradient that moves the embeddings."""
    trained = load_file(done.out / "weights.safetensors")["embeddings.word_embeddings.weight"]
    before = load_encoder(done.base_folder, "mean").embeddings.word
    moved = (trained - before).abs().mean(1)
    mask, order = 4, 7  # [MASK] never occurs; "order" is in half of the rows
    assert moved[order] > 50 * moved[mask]


def test_nothing_is_cached_and_the_configuration_says_how_it_was_trained(bench: Bench, done: Job) -> None:
    caches = {path.name for path in done.cache.iterdir()}
    again = scratch(bench, "again")
    run_rung(again, silent)
    assert {path.name for path in done.cache.iterdir()} == caches
    assert (again.out / "weights.safetensors").read_bytes() == (done.out / "weights.safetensors").read_bytes()
    assert json.loads((done.out / "config.json").read_text())["method"] == "from scratch"
    run_rung(bench.rung("rung", PLAN.model_copy(update={"epochs": 1})), silent)
    assert json.loads((bench.folder / "rung" / "config.json").read_text())["method"] == "staircase"


def test_a_bundle_answers_as_the_trainer_did(bench: Bench, done: Job, tmp_path: Path) -> None:
    """On the original base as well: not one number of it is left where the encoder reads."""
    validation = pd.read_parquet(done.validation)
    told = pd.read_parquet(done.out / "predictions.parquet")[["p_0", "p_1"]].to_numpy()
    for name, folder in (("random", done.base_folder), ("pretrained", bench.folder / "base")):
        save_bundle(tmp_path / name, folder, done.pin, LABELS, done.out / "weights.safetensors", "float32")
        answers = load_bundle(tmp_path / name).predict_proba(validation["text"].tolist())
        assert np.array_equal(answers, told), name
    encoder = load_encoder(tmp_path / "random", "mean")
    trained = load_file(done.out / "weights.safetensors")
    assert torch.equal(encoder.embeddings.position, trained["embeddings.position_embeddings.weight"])


def test_it_resumes_after_a_kill_to_the_same_weights(bench: Bench, done: Job) -> None:
    job, lines = scratch(bench, "killed"), []

    def stop(message: str) -> None:
        lines.append(message)
        if len(lines) > 1:
            raise Stop

    with pytest.raises(Stop):
        run_rung(job, stop)
    assert run_rung(job, silent).resumed_epochs == 1
    assert (job.out / "weights.safetensors").read_bytes() == (done.out / "weights.safetensors").read_bytes()


def test_embeddings_learn_at_the_rate_of_the_lowest_block(bench: Bench) -> None:
    plan = PLAN.model_copy(update={"block_decay": 0.5, "learning_rate": 0.008, "warmup": 0.0})
    job = scratch(bench, "rates").model_copy(update={"adaptation": plan})
    module, _ = _prepare(job, World(0, 0, 1), torch.device("cpu"), silent)
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert [group["initial_lr"] for group in groups] == [FAST.head_learning_rate, 0.008, 0.004, 0.002]
    words = module.embeddings.word if module.embeddings is not None else None
    assert words is not None and any(words is parameter for parameter in groups[-1]["params"])
    flat = job.model_copy(update={"adaptation": plan.model_copy(update={"block_decay": 1.0})})
    module, _ = _prepare(flat, World(0, 0, 1), torch.device("cpu"), silent)
    rates = [group["initial_lr"] for group in module.configure_optimizers()["optimizer"].param_groups]
    assert rates[1:] == [0.008] * 3


def test_a_rung_leaves_the_embeddings_alone(bench: Bench) -> None:
    module, _ = _prepare(bench.rung("frozen_below", PLAN), World(0, 0, 1), torch.device("cpu"), silent)
    assert module.embeddings is None
    assert not any(name.startswith("embeddings") for name in module.state_dict())
    assert not module._encoder[0].embeddings.training and not module._encoder[0].embeddings.word.requires_grad


def test_embeddings_are_trained_with_all_blocks_or_not_at_all(bench: Bench) -> None:
    job = bench.rung("half", PLAN, unfrozen=1)
    with pytest.raises(ValidationError, match="all 2 blocks, not with 1"):
        Job.model_validate({**job.model_dump(), "embeddings": True})


def test_embeddings_of_another_base_are_refused(bench: Bench) -> None:
    encoder = load_encoder(bench.folder / "base", "mean")
    tensors = dict(encoder.named_tensors(0, embeddings=True))
    tensors["embeddings.word_embeddings.weight"] = torch.zeros(3, 32)
    with pytest.raises(PinMismatch, match=r"word_embeddings.weight: expected .* found \(3, 32\)"):
        encoder.load_tensors(tensors)


def test_a_loss_that_is_no_number_ends_training_and_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    step = RungModule.training_step

    def overflowing(self: RungModule, batch: Batch, number: int) -> torch.Tensor:
        loss = step(self, batch, number)
        return loss * float("nan") if self.current_epoch == 1 else loss

    monkeypatch.setattr(RungModule, "training_step", overflowing)
    job = bench.rung("broken", PLAN)
    result = run_rung(job, silent)
    assert result.stopped == "the loss was not a finite number" and len(result.curve) == 2 and result.best_epoch == 0
    again = JobResult.load(job.out)
    assert again is not None and np.isnan(again.curve[1].validation_loss), "read back from the file, too"
    assert np.isfinite(pd.read_parquet(job.out / "predictions.parquet")["p_0"]).all(), "those of the good epoch"
