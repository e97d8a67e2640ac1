"""One rung on a tiny base: repeatable, resumable where it was cut off, and nothing moves that should not."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from adapt_samples import FAST, LABELS, Bench, make_bench, silent
from safetensors.torch import load_file

from playbook.adapt import encoder as encoder_module
from playbook.adapt.checkpoint import FolderCheckpointIO, whole_folder
from playbook.adapt.encoder import load_encoder
from playbook.adapt.job import Job, JobResult
from playbook.adapt.results import read_epochs
from playbook.adapt.rung import World, _fit, _prepare, run_rung

ALONE = World(0, 0, 1)
CPU = torch.device("cpu")
DROPPING = FAST.model_copy(update={"dropout": 0.1, "epochs": 5, "batch_size": 24})
LEARNING = FAST.model_copy(update={"epochs": 7, "batch_size": 32, "learning_rate": 1e-2, "head_learning_rate": 1e-2})


class Stop(Exception):
    """Ends training from within."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads; children get the same one."""
    before, threads = os.environ.get("PLAYBOOK_THREADS"), torch.get_num_threads()
    os.environ["PLAYBOOK_THREADS"] = "1"
    yield
    torch.set_num_threads(threads)
    os.environ.pop("PLAYBOOK_THREADS")
    if before is not None:
        os.environ["PLAYBOOK_THREADS"] = before


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Few rows: the same bits, and what is written, take no learning."""
    return make_bench(tmp_path_factory.mktemp("bench"), 120, 60)


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Rows enough to learn from."""
    return make_bench(tmp_path_factory.mktemp("classroom"))


@pytest.fixture(scope="module")
def learned(classroom: Bench) -> Job:
    """A rung that learned its task, from cached activations in float32."""
    job = classroom.rung("learned", LEARNING)
    run_rung(job, silent)
    return job


@pytest.fixture(scope="module")
def done(bench: Bench) -> Job:
    """A finished rung with dropout, whose folder is `first`."""
    job = bench.rung("first", DROPPING)
    run_rung(job, silent)
    return job


def weights_of(job: Job) -> bytes:
    return (job.out / "weights.safetensors").read_bytes()


def predictions_of(job: Job) -> np.ndarray:
    return pd.read_parquet(job.out / "predictions.parquet")[["p_0", "p_1"]].to_numpy()


def interrupt(job: Job, after: int) -> None:
    """Train until `after` epochs are done and the next one is under way, as far as this process is concerned."""
    lines: list[str] = []

    def stop(message: str) -> None:
        lines.append(message)
        if len([line for line in lines if line.startswith("epoch")]) > after:
            raise Stop

    with pytest.raises(Stop):
        run_rung(job, stop)


def test_the_same_job_gives_the_same_weights(bench: Bench, done: Job) -> None:
    again = bench.rung("second", DROPPING)
    result = run_rung(again, silent)
    assert weights_of(again) == weights_of(done)
    assert np.array_equal(predictions_of(again), predictions_of(done))
    other = bench.rung("other_seed", DROPPING.model_copy(update={"seed": 14}))
    run_rung(other, silent)
    assert weights_of(other) != weights_of(done)
    assert result.resumed_epochs == 0 and result.rank_rows == (120,) and result.steps_per_epoch == 5


def test_a_finished_job_is_not_trained_again(done: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.adapt.rung._prepare", None)
    assert run_rung(done, silent) == JobResult.load(done.out)
    assert sorted(path.name for path in done.out.iterdir()) == [
        "config.json", "epochs.npy", "predictions.parquet", "result.json", "weights.safetensors",
    ]  # fmt: skip


def test_the_answers_after_each_epoch_are_kept(done: Job) -> None:
    result = JobResult.load(done.out)
    assert result is not None
    epochs = read_epochs(done.out)
    assert len(epochs) == len(result.curve) == DROPPING.epochs
    assert np.array_equal(epochs[result.best_epoch], predictions_of(done))
    truth = pd.read_parquet(done.out / "predictions.parquet")["label"].to_numpy()
    for point, probabilities in zip(result.curve, epochs, strict=True):
        assert (np.array(LABELS)[probabilities.argmax(1)] == truth).mean() == pytest.approx(point.validation)


def test_one_block_learns_what_the_frozen_base_cannot(classroom: Bench, learned: Job) -> None:
    result = JobResult.load(learned.out)
    assert result is not None
    frozen = pd.read_parquet(classroom.folder / "frozen" / "predictions.parquet")
    said = np.array(LABELS)[frozen[["p_0", "p_1"]].to_numpy().argmax(1)]
    assert (said == frozen["label"]).mean() < 0.65
    table = pd.read_parquet(learned.out / "predictions.parquet")
    assert table["row_id"].tolist() == pd.read_parquet(learned.validation)["row_id"].tolist()
    said = np.array(LABELS)[predictions_of(learned).argmax(1)]
    assert (said == table["label"]).mean() == result.validation == result.curve[result.best_epoch].validation > 0.95


def same_as_undisturbed(job: Job, done: Job) -> JobResult:
    result, whole = JobResult.load(job.out), JobResult.load(done.out)
    assert result is not None and whole is not None
    assert 0 < result.resumed_epochs < DROPPING.epochs
    assert weights_of(job) == weights_of(done)
    assert result.best_epoch == whole.best_epoch
    assert [point.model_copy(update={"seconds": 0}) for point in result.curve] == [
        point.model_copy(update={"seconds": 0}) for point in whole.curve
    ]
    return result


@pytest.mark.parametrize("moved", [(), ("last",), ("last", "best")], ids=["whole", "last_aside", "both_aside"])
def test_an_interrupted_rung_ends_with_the_same_weights(bench: Bench, done: Job, moved: tuple[str, ...]) -> None:
    job = bench.rung(f"cut_{len(moved)}", DROPPING)
    interrupt(job, 3)
    for name in moved:  # as a kill between the two steps of a swap leaves them
        (job.out / name).rename(job.out / f"{name}.old")
    run_rung(job, silent)
    assert same_as_undisturbed(job, done).resumed_epochs == 3


def test_stopping_early_is_the_same_after_an_interruption(bench: Bench) -> None:
    plan = FAST.model_copy(update={"epochs": 20, "patience": 2, "learning_rate": 1e-9, "head_learning_rate": 1e-9})
    whole, cut = bench.rung("early", plan), bench.rung("early_cut", plan)
    result = run_rung(whole, silent)
    assert result.stopped == "validation stalled" and len(result.curve) < 20
    interrupt(cut, len(result.curve) - 1)  # the last epoch's checkpoint is not there, the one before is
    resumed = run_rung(cut, silent)
    assert resumed.resumed_epochs == len(result.curve) - 1 and resumed.stopped == result.stopped
    assert weights_of(whole) == weights_of(cut)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_checkpoint_is_tensors_and_plain_values(bench: Bench) -> None:
    job = bench.rung("open", DROPPING)
    interrupt(job, 2)
    last = job.out / "last"
    assert sorted(path.name for path in last.iterdir()) == ["state.pt", "weights.safetensors"]
    state = torch.load(last / "state.pt", weights_only=True)
    assert len(state["curve"]) == 2 and state["optimizer_states"] and "state_dict" not in state
    mark = bench.folder / "evil"
    for content in (pickle.dumps(Evil(mark)), None):
        if content is None:
            torch.save({**state, "curve": Evil(mark)}, last / "state.pt")
        else:
            (last / "state.pt").write_bytes(content)
        with pytest.raises(pickle.UnpicklingError):
            run_rung(job, silent)
        assert not mark.exists()


def test_a_folder_moved_aside_is_found(tmp_path: Path) -> None:
    target = tmp_path / "last"
    assert whole_folder(target) is None
    io = FolderCheckpointIO()
    for number in (1, 2):
        io.save_checkpoint({"state_dict": {"w": torch.full((2,), float(number))}, "curve": [number]}, target)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    target.rename(tmp_path / "last.old")
    found = whole_folder(target)
    assert found is not None and io.load_checkpoint(found)["curve"] == [2]
    assert torch.equal(io.load_checkpoint(found)["state_dict"]["w"], torch.full((2,), 2.0))
    io.remove_checkpoint(found)
    assert whole_folder(target) is None


def test_rates_fall_with_depth_and_follow_warm_up_and_cosine(bench: Bench) -> None:
    plan = FAST.model_copy(update={"learning_rate": 0.02, "head_learning_rate": 0.05, "block_decay": 0.5})
    module, _ = _prepare(bench.rung("rates", plan, unfrozen=2), ALONE, CPU, silent)
    made = module.configure_optimizers()
    groups = made["optimizer"].param_groups
    assert [group["initial_lr"] for group in groups] == [0.05, 0.02, 0.01]
    blocks = module._encoder[0].blocks
    owners = [module.head, blocks[1], blocks[0]]
    for group, owner in zip(groups, owners, strict=True):
        assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in owner.parameters()}
    total = plan.epochs * 8  # 120 rows in steps of 16
    warm = round(plan.warmup * total)
    factor = made["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert factor(0) == pytest.approx(1 / warm) and factor(warm - 1) == factor(warm) == 1
    assert factor((warm + total) // 2) == pytest.approx(0.5, abs=0.01) and factor(total) == pytest.approx(0, abs=1e-9)
    assert made["lr_scheduler"]["interval"] == "step"


def test_dropout_is_on_in_training_blocks_and_off_when_scoring(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, float]] = []
    drop = encoder_module._dropout

    def watched(value: torch.Tensor, probability: float) -> torch.Tensor:
        seen.append((torch.is_grad_enabled(), probability))
        return drop(value, probability)

    monkeypatch.setattr(encoder_module, "_dropout", watched)
    plan = DROPPING.model_copy(update={"epochs": 2, "cache_activations": False})
    run_rung(bench.rung("dropping", plan), silent)
    assert set(seen) == {(True, 0.1)}  # neither scoring nor the frozen block, recomputed, drops anything


def test_dropout_keeps_the_mean_and_drops_the_share_asked() -> None:
    torch.manual_seed(0)
    dropped = encoder_module._dropout(torch.ones(1000, 1001), 0.1)
    assert float((dropped == 0).float().mean()) == pytest.approx(26 / 256, abs=2e-3)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=2e-3)


def test_nothing_below_the_boundary_changes(bench: Bench) -> None:
    job = bench.rung("below", FAST.model_copy(update={"epochs": 1}))
    module, trainer = _prepare(job, ALONE, CPU, silent)
    top = {name: tensor.detach().clone() for name, tensor in module._encoder[0].named_tensors(1)}
    _fit(job, module, trainer, silent)
    trained, base = module._encoder[0], load_encoder(job.base_folder, "mean")
    assert all(
        torch.equal(a, b) for a, b in zip(trained.embeddings.parameters(), base.embeddings.parameters(), strict=True)
    )
    below, known = dict(trained.named_tensors(0)), dict(base.named_tensors(0))
    for name, tensor in below.items():
        assert torch.equal(tensor, known[name]) is (".layer.0." in name), name
    assert all(not torch.equal(below[name], tensor) for name, tensor in top.items())
    assert not any(parameter.requires_grad for parameter in trained.embeddings.parameters())


def test_what_is_written_is_the_head_and_the_unfrozen_blocks(bench: Bench, done: Job) -> None:
    names = set(load_file(done.out / "weights.safetensors"))
    top = {name for name, _ in load_encoder(done.base_folder, "mean").named_tensors(1)}
    assert names == top | {"head.weight", "head.bias"}


def test_a_rung_starts_from_the_weights_of_the_one_before(bench: Bench, done: Job) -> None:
    still = FAST.model_copy(
        update={"learning_rate": 1e-12, "head_learning_rate": 1e-12, "epochs": 1, "weight_decay": 0}
    )
    job = bench.rung("next", still, unfrozen=2, start="first")
    run_rung(job, silent)
    assert np.abs(predictions_of(job) - predictions_of(done)).max() < 1e-5
    assert len(load_file(job.out / "weights.safetensors")) == 2 * 16 + 2


def agree(cached: Job, plain: Job) -> None:
    assert (cached.adaptation.cache_activations, plain.adaptation.cache_activations) == (True, False)
    one, other = (predictions_of(job) for job in (cached, plain))
    assert (one.argmax(1) == other.argmax(1)).mean() >= 0.995
    results = [JobResult.load(job.out) for job in (cached, plain)]
    values = [result.validation for result in results if result is not None]
    assert values[0] == pytest.approx(values[1], abs=0.005) and min(values) > 0.9


def test_cached_and_uncached_training_agree(classroom: Bench, learned: Job) -> None:
    plain = classroom.rung("plain", LEARNING.model_copy(update={"cache_activations": False}))
    run_rung(plain, silent)
    agree(learned, plain)


def test_so_they_do_in_bfloat16(classroom: Bench, learned: Job) -> None:
    """From a rung that learned its task: in this precision a processor without it takes long to learn it."""
    changes = {"precision": "bf16", "epochs": 1}
    plans = [LEARNING.model_copy(update={**changes, "cache_activations": cache}) for cache in (True, False)]
    jobs = [classroom.rung(f"bf16_{plan.cache_activations}", plan, start=learned.out.name) for plan in plans]
    for job in jobs:
        run_rung(job, silent)
    agree(*jobs)
