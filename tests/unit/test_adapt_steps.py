"""Steps taken in parts, epochs of resampled rows, and what the run's configuration says of both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from adapt_samples import FAST, Bench, make_bench, silent

from playbook.adapt.cache import Recomputed
from playbook.adapt.job import DatasetRef, Job
from playbook.adapt.module import RungModule, TrainBatches
from playbook.adapt.rows import RungData, read_rows
from playbook.adapt.rung import World, _prepare, run_rung
from playbook.spec import Adaptation

CPU = torch.device("cpu")
EXACT = FAST.model_copy(update={"precision": "float32", "dropout": 0.0, "epochs": 2})
PARTED = EXACT.model_copy(update={"accumulation": 4})
DRAWN = FAST.model_copy(update={"class_weighting": "resample", "epochs": 3, "dropout": 0.1, "batch_size": 8})


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
    """240 rows, of which one class has a tenth."""
    bench = make_bench(tmp_path_factory.mktemp("bench"), 400, 120)
    table = pd.read_parquet(bench.folder / "train.parquet")
    rare = table[table["label"] == "mixed"][:24]
    pd.concat([table[table["label"] == "same"], rare]).sample(frac=1, random_state=3).to_parquet(
        bench.folder / "train.parquet"
    )
    return bench


def gradients(module: RungModule) -> list[torch.Tensor]:
    """Of the first optimiser step, as the trainer sums them: the mean over the parts of a step."""
    batches = iter(module._batches)
    module.zero_grad()
    for _ in range(module._batches.parts):
        (module.training_step(next(batches), 0) / module._batches.parts).backward()
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("change", [{}, {"class_weighting": "balanced"}, {"class_weighting": "resample"}])
def test_the_gradient_of_a_step_is_the_same_in_parts(bench: Bench, change: dict[str, str]) -> None:
    whole, parted = (
        _prepare(bench.rung("unused", plan.model_copy(update=change)), World(0, 0, 1), CPU, silent)[0]
        for plan in (EXACT, PARTED)
    )
    assert (whole._batches.parts, parted._batches.parts) == (1, 4)
    assert len(parted._batches) == 4 * len(whole._batches) == 4 * whole._batches.steps
    for one, other in zip(gradients(whole), gradients(parted), strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_training_in_parts_takes_the_same_steps_and_says_so(bench: Bench) -> None:
    jobs = [bench.rung(f"parts_{plan.accumulation}", plan) for plan in (EXACT, PARTED)]
    whole, parted = (run_rung(job, silent) for job in jobs)
    assert whole.steps_per_epoch == parted.steps_per_epoch and (whole.accumulation, parted.accumulation) == (1, 4)
    for one, other in zip(whole.curve, parted.curve, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-2)
        assert one.validation_loss == pytest.approx(other.validation_loss, rel=2e-2)
    said = [json.loads((job.out / "config.json").read_text()) for job in jobs]
    assert [about["gradient_accumulation"] for about in said] == [1, 4]
    assert [about["adaptation"]["accumulation"] for about in said] == [1, 4]


@pytest.mark.parametrize("change", [{}, {"accumulation": 2}], ids=["resampled", "resampled in parts"])
def test_an_interrupted_training_ends_with_the_same_weights(bench: Bench, change: dict[str, int]) -> None:
    plan = DRAWN.model_copy(update={"batch_size": 64, **change})
    name = f"cut_{plan.accumulation}"
    whole, cut = bench.rung(f"{name}_whole", plan), bench.rung(name, plan)
    run_rung(whole, silent)
    lines: list[str] = []

    def stop(message: str) -> None:
        lines.append(message)
        if len(lines) > 2:
            raise Stop

    with pytest.raises(Stop):
        run_rung(cut, stop)
    assert run_rung(cut, silent).resumed_epochs == 2
    assert (cut.out / "weights.safetensors").read_bytes() == (whole.out / "weights.safetensors").read_bytes()


def batches_of(bench: Bench, plan: Adaptation, rank: int = 0, world: int = 1) -> tuple[TrainBatches, RungData]:
    job = bench.rung("unused", plan)
    tokens, data, _ = read_rows(job)
    module, _ = _prepare(job, World(0, 0, 1), CPU, silent)
    return TrainBatches(data, Recomputed(module._encoder[0], tokens, torch.float32), 1, plan, rank, world), data


def test_every_epoch_of_resampled_rows_is_balanced_over_all_ranks(bench: Bench) -> None:
    counts = []
    for rank in range(2):
        batches, data = batches_of(bench, DRAWN, rank, 2)
        for epoch in range(2):
            batches.epoch = epoch
            labels = torch.cat([batch.labels for batch in batches]).numpy()
            counts.append(np.bincount(labels))
        assert sum(batches.rank_rows()) == 2 * 200
    assert np.bincount(data.labels[data.train]).tolist() in ([24, 200], [200, 24])
    assert (counts[0] + counts[2]).tolist() == (counts[1] + counts[3]).tolist() == [200, 200]


def test_resampling_answers_for_the_rare_class_as_weights_do(bench: Bench) -> None:
    recalls = {}
    for weighting in ("none", "balanced", "resample"):
        plan = FAST.model_copy(update={"class_weighting": weighting, "epochs": 2})
        job = bench.rung(f"rare_{weighting}", plan)
        run_rung(job, silent)
        table = pd.read_parquet(job.out / "predictions.parquet")
        rare = table["label"] == "mixed"
        recalls[weighting] = float(table.loc[rare, f"p_{job.labels.index('mixed')}"].mean())
    assert recalls["resample"] > recalls["none"] + 0.03 and recalls["balanced"] > recalls["none"] + 0.03


def test_the_configuration_names_the_dataset_version(bench: Bench) -> None:
    job: Job = bench.rung("named", FAST.model_copy(update={"epochs": 1}))
    job = job.model_copy(update={"dataset": DatasetRef(version=7, hash="abc.dir")})
    run_rung(Job.load(job.save(bench.folder / "job.json")), silent)
    assert json.loads((job.out / "config.json").read_text())["dataset"] == {"version": 7, "hash": "abc.dir"}


def test_so_does_that_of_the_frozen_baseline(bench: Bench, tmp_path: Path) -> None:
    from playbook.adapt.frozen import train_frozen

    job = replace(bench.frozen(), out=tmp_path, dataset=DatasetRef(version=7, hash="abc.dir"))
    files = train_frozen(job, silent).files
    assert json.loads(files["config"].read_text())["dataset"] == {"version": 7, "hash": "abc.dir"}
