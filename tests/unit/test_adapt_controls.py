"""Controls with the candidate's budget on a tiny base: what is trained, with what, and how it is set beside it."""

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
from adapt_samples import FAST, LABELS, Bench, make_bench, silent
from data_samples import task_document
from safetensors.torch import load_file
from tiny_base import write_tiny_base

from playbook.adapt.control_figures import Staircase, compare_controls, seed_spread
from playbook.adapt.controls import (
    Setting,
    Trained,
    budget_epochs,
    describe_budget,
    further_seeds,
    other_base_epochs,
    scratch_plan,
    train_other_base,
    train_scratch,
    train_seed,
    write_fresh_head,
)
from playbook.adapt.job import Job, JobResult
from playbook.adapt.rung import run_rung
from playbook.artifacts import BasePin, Epoch, FrozenBaseline, Rung, Score
from playbook.bases.derive import random_weights
from playbook.spec import Adaptation, Controls, TaskSpec


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


def spec_for(plan: Adaptation = FAST, **controls: object) -> TaskSpec:
    document = task_document({"path": "rows.csv"}, classes={label: label for label in LABELS})
    section = {**plan.model_dump(), "controls": controls}
    return TaskSpec.model_validate({**document, "adaptation": section})


def setting_of(bench: Bench, work: Path, spec: TaskSpec) -> Setting:
    train, validation = (bench.folder / f"{split}.parquet" for split in ("train", "validation"))
    return Setting(spec, train, validation, bench.folder / "cache", work)


class Trainer:
    """Trains and keeps the jobs that it was given."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> JobResult:
        self.jobs.append(job)
        return run_rung(job, silent)


def epochs(count: int) -> tuple[Epoch, ...]:
    return tuple(Epoch(epoch=e, train_loss=1, validation_loss=1, validation=0.5, seconds=1) for e in range(count))


def test_the_budget_is_what_all_tried_rungs_took_together() -> None:
    rungs = [Rung(task="t", index=k, unfrozen=k, curve=epochs(n), kept=k == 2) for k, n in ((1, 4), (2, 7))]
    skipped = Rung(task="t", status="skipped", index=3)
    assert budget_epochs([*rungs, skipped], FAST, 6) == 11
    assert budget_epochs([skipped], FAST, 6) == budget_epochs([], FAST, 6) == FAST.epochs == 10
    compute = FAST.model_copy(update={"controls": Controls(budget="compute")})
    taken = sum(len(rung.curve) * rung.unfrozen for rung in rungs)
    assert budget_epochs([*rungs, skipped], compute, 6) == -(-taken // 6) < 11
    assert budget_epochs([*rungs, skipped], compute, 1) == 11, "never more steps than the staircase took"
    assert budget_epochs([], compute, 6) == 10
    assert other_base_epochs(rungs, compute, 6, 3) == budget_epochs(rungs, compute, 3) == 6
    assert other_base_epochs(rungs, compute, 2, 12) == budget_epochs(rungs, compute, 2) == 9
    assert f"Up to {taken} epochs times trained blocks each" in describe_budget(rungs, compute, 300)
    said = describe_budget([*rungs, skipped], FAST, 300)
    assert said.startswith("Up to 209 optimiser steps each (11 epochs of 19), as 2 tried rungs took together")
    assert "300 training rows in batches of 16" in said and "stopped after 10 epochs" in said
    assert "as one rung may take" in describe_budget([], FAST, 300)


def test_scratch_has_its_own_rate_for_all_blocks_and_is_otherwise_trained_alike() -> None:
    plan = spec_for(scratch_learning_rate=3e-4).adaptation
    found = scratch_plan(plan, 11)
    changed = {name for name, value in found if value != getattr(plan, name)}
    assert changed == {"learning_rate", "block_decay", "epochs"}
    assert (found.learning_rate, found.block_decay, found.epochs) == (3e-4, 1.0, 11)


def test_a_fresh_head_follows_from_its_seed(tmp_path: Path) -> None:
    one, same, other = (load_file(write_fresh_head(tmp_path / f"{seed}.st", 32, 2, seed)) for seed in (1, 1, 2))
    assert torch.equal(one["head.weight"], same["head.weight"]) and one["head.weight"].shape == (2, 32)
    assert not torch.equal(one["head.weight"], other["head.weight"]) and not one["head.bias"].any()
    assert 0.01 < float(one["head.weight"].std()) < 0.03


def test_scratch_trains_everything_from_random_weights(bench: Bench, tmp_path: Path) -> None:
    trainer, spec = Trainer(), spec_for(scratch_learning_rate=2e-3)
    folder = random_weights(bench.folder / "base", 13, tmp_path / "bases")
    found = train_scratch(setting_of(bench, tmp_path, spec), bench.pin, folder, 3, trainer)
    (job,) = trainer.jobs
    assert job.embeddings and job.unfrozen == 2 and job.adaptation.epochs == 3 and job.out == tmp_path / "scratch"
    assert (found.name, found.epochs, found.steps) == ("scratch", 3, 3 * 6) and found.seconds > 0
    assert found.allowed_epochs == 3
    assert found.pin == bench.pin, "answers need the architecture and the tokenizer of the base"
    config = json.loads((found.folder / "config.json").read_text())
    assert config["method"] == "from scratch" and config["base"]["name"] == "base, random weights"
    assert config["base"]["weights_sha256"] != bench.pin.weights_sha256
    files = found.files(tmp_path)
    assert sorted(files) == ["config_scratch", "predictions_scratch", "weights_scratch"]
    assert len({path.name for path in files.values()}) == 3 and all(path.is_file() for path in files.values())


def other_base(folder: Path) -> tuple[BasePin, Path]:
    return write_tiny_base(folder / "other", seed=8), folder / "other"


def test_another_base_gets_as_many_blocks_and_steps(bench: Bench, tmp_path: Path) -> None:
    trainer, (pin, folder) = Trainer(), other_base(tmp_path)
    found = train_other_base(setting_of(bench, tmp_path, spec_for()), pin, folder, 1, 4, trainer, silent)
    (job,) = trainer.jobs
    assert (job.base_folder, job.unfrozen, job.embeddings, job.adaptation.epochs) == (folder, 1, False, 4)
    assert job.start == tmp_path / "other_base_frozen" / "weights.safetensors" and job.boundaries == (1,)
    assert job.adaptation == spec_for().adaptation.model_copy(update={"epochs": 4})
    assert (found.name, found.pin, found.steps) == ("other_base", pin, 4 * 6)
    assert found.what == "other, 1 of 2 blocks unfrozen at once after its own frozen head"


def test_another_base_with_fewer_blocks_is_unfrozen_as_far_as_it_goes(bench: Bench, tmp_path: Path) -> None:
    trainer, (pin, folder) = Trainer(), other_base(tmp_path)
    train_other_base(setting_of(bench, tmp_path, spec_for()), pin, folder, 5, 1, trainer, silent)
    assert [job.unfrozen for job in trainer.jobs] == [2]


def test_against_a_frozen_candidate_another_base_stays_frozen(bench: Bench, tmp_path: Path) -> None:
    trainer, (pin, folder) = Trainer(), other_base(tmp_path)
    found = train_other_base(setting_of(bench, tmp_path, spec_for()), pin, folder, 0, 4, trainer, silent)
    assert trainer.jobs == [] and (found.epochs, found.steps, found.curve) == (0, 0, ())
    assert found.what == "other, frozen, with a fresh head" and found.seconds > 0
    assert set(load_file(found.files(tmp_path)["weights_other_base"])) == {"head.weight", "head.bias"}


def test_a_further_seed_trains_the_rung_again_from_the_same_start(bench: Bench, tmp_path: Path) -> None:
    plan = FAST.model_copy(update={"epochs": 3, "dropout": 0.1})
    original = bench.rung("original", plan)
    run_rung(original, silent)
    spec = spec_for(plan, seeds=3)
    assert list(further_seeds(spec.adaptation)) == [14, 15] and not further_seeds(FAST)
    trainer, rung = Trainer(), Rung(task="t", index=1, unfrozen=1, kept=True)
    start = bench.folder / "frozen" / "weights.safetensors"
    setting = setting_of(bench, tmp_path, spec)
    same, other = (
        train_seed(setting, bench.pin, bench.folder / "base", rung, start, seed, trainer) for seed in (13, 14)
    )
    assert [job.adaptation.seed for job in trainer.jobs] == [13, 14]
    assert [job.start for job in trainer.jobs] == [start, start]
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (original.out, same.folder, other.folder)]
    assert weights[0] == weights[1] != weights[2]
    assert other.name == "seed_14" and other.what == "rung_1 with seed 14"


TRUTH = np.arange(200) % 2


def predictions(wrong: int) -> pd.DataFrame:
    """Validation predictions with the first rows wrong."""
    answers = np.where(np.arange(200) < wrong, 1 - TRUTH, TRUTH)
    labels = [LABELS[number] for number in TRUTH]
    return pd.DataFrame({"row_id": range(200), "label": labels, "p_0": 1.0 - answers, "p_1": 1.0 * answers})


def score(wrong: int) -> Score:
    value = 1 - wrong / 200
    return Score(metric="accuracy", value=value, low=value - 0.05, high=value + 0.05, n=200)


def trained(folder: Path, name: str, wrong: int, seconds: float = 60.0) -> Trained:
    (folder / name).mkdir(parents=True)
    predictions(wrong).to_parquet(folder / name / "predictions.parquet")
    pin = BasePin(
        name="b", origin="folder", revision="r", weights_sha256="0", tokenizer_sha256="0", licence="mit",
        parameters=1, blocks=2, width=32, pooling="mean", max_length=32,
    )  # fmt: skip
    return Trained(name, f"what {name} is", pin, folder / name, seconds, 2, 38, epochs(2), "a machine, float32")


def staircase(wrong: int = 10, frozen_wrong: int = 60, kept: bool = True) -> Staircase:
    frozen = FrozenBaseline(task="sample", validation=score(frozen_wrong), seconds=20)
    rung = Rung(task="sample", index=1, unfrozen=1, validation=score(wrong), kept=kept, seconds=100, curve=epochs(4))
    reverted = rung.model_copy(update={"index": 2, "kept": False, "seconds": 200})
    model: Rung | FrozenBaseline = rung if kept else frozen
    shown = predictions(wrong if kept else frozen_wrong)
    return Staircase(frozen, [rung, reverted], model, shown, predictions(frozen_wrong), frozen.validation)


def test_controls_are_set_beside_the_candidate(tmp_path: Path) -> None:
    controls = [trained(tmp_path, "scratch", 50, 500.0), trained(tmp_path, "other_base", 12)]
    found = compare_controls(spec_for(), staircase(), controls, 300)
    scratch, other = found.runs
    assert scratch.validation.value == 0.75 and scratch.ahead.value == pytest.approx(0.2) and scratch.ahead.low > 0.1
    assert scratch.minutes_per_point == 0.0, "the staircase, 320 s, was quicker than 500 s"
    assert other.ahead.value == pytest.approx(0.01) and other.ahead.low < 0
    assert other.minutes_per_point == pytest.approx((320 - 60) / 60 / 1.0)
    assert (scratch.steps, scratch.epochs, scratch.seconds, scratch.what) == (38, 2, 500.0, "what scratch is")
    assert found.transfer == "helps" and found.hardware == "a machine, float32" and found.seeds is None
    assert "Transfer helps: +20.0 points" in found.verdict and "Unfreezing adds to it: +25.0" in found.verdict
    assert "No difference between bases is claimed" in found.verdict and "the test split" in found.verdict
    assert found.budget.startswith("Up to 152 optimiser steps each (8 epochs of 19)")


def test_a_control_that_still_rises_at_its_last_epoch_is_said_to(tmp_path: Path) -> None:
    rising = tuple(point.model_copy(update={"validation": 0.5 + 0.1 * point.epoch}) for point in epochs(4))
    settled = tuple(point.model_copy(update={"validation": 0.8 - 0.1 * point.epoch}) for point in epochs(4))
    said = "The training from random weights was still rising in its last epoch: its budget ended before it settled"
    for name, curve, allowed, expected in (("a", rising, 4, True), ("b", settled, 4, False), ("c", rising, 9, False)):
        control = replace(trained(tmp_path / name, "scratch", 50), curve=curve, allowed_epochs=allowed)
        found = compare_controls(spec_for(), staircase(), [control], 300)
        assert found.runs[0].rising is expected and (said in found.verdict) is expected


def test_a_candidate_that_loses_to_scratch_is_negative_transfer(tmp_path: Path) -> None:
    found = compare_controls(spec_for(), staircase(kept=False), [trained(tmp_path, "scratch", 5)], 300)
    assert found.transfer == "hurts" and found.verdict.startswith("NEGATIVE TRANSFER")
    assert "Unfreezing" not in found.verdict, "nothing was unfrozen for good"
    assert found.runs[0].minutes_per_point is None


def test_no_control_leaves_transfer_unmeasured() -> None:
    found = compare_controls(spec_for(), staircase(), [], 300)
    assert found.transfer == "not measured" and found.runs == () and "Unfreezing adds" in found.verdict


def test_the_result_does_not_depend_on_how_long_it_took(tmp_path: Path) -> None:
    quick = compare_controls(spec_for(), staircase(), [trained(tmp_path / "a", "scratch", 50, 10.0)], 300)
    slow = compare_controls(spec_for(), staircase(), [trained(tmp_path / "b", "scratch", 50, 999.0)], 300)
    assert quick.runs != slow.runs and quick.digest == slow.digest


def test_the_spread_of_seeds_is_reported_and_widens_the_intervals(tmp_path: Path) -> None:
    spec = spec_for(seeds=3)
    seeds = [trained(tmp_path, "seed_14", 14), trained(tmp_path, "seed_15", 6)]
    alone = compare_controls(spec_for(), staircase(), [trained(tmp_path / "a", "scratch", 50)], 300)
    found = compare_controls(spec, staircase(), [trained(tmp_path / "b", "scratch", 50)], 300, seeds)
    assert found.seeds is not None and [run.name for run in found.runs] == ["scratch", "seed_14", "seed_15"]
    assert found.seeds.values == {"13": 0.95, "14": 0.93, "15": 0.97} and found.seeds.mean == pytest.approx(0.95)
    assert found.seeds.deviation == pytest.approx(0.02)
    assert "rung_1 with 3 seeds: 93.0 % to 97.0 %, mean 95.0 %, deviation 2.0 points." in found.seeds.text
    assert "+25.0 points, is larger than the spread." in found.seeds.text
    assert found.runs[0].ahead.low < alone.runs[0].ahead.low and found.runs[0].ahead.value == alone.runs[0].ahead.value


def test_a_gain_within_the_spread_of_seeds_is_said_to_be_no_larger(tmp_path: Path) -> None:
    seeds = [trained(tmp_path, "seed_14", 18), trained(tmp_path, "seed_15", 8)]
    found = seed_spread(spec_for(seeds=3), staircase(frozen_wrong=16), seeds)
    assert found is not None and "is not larger than the spread: another seed could have undone it." in found.text


def test_a_frozen_candidate_has_no_seed() -> None:
    found = seed_spread(spec_for(seeds=3), staircase(kept=False), [])
    assert found is not None and found.values == {} and found.deviation == 0.0 and found.mean == 0.7
    assert "no seed to vary" in found.text
    assert seed_spread(spec_for(seeds=1), staircase(), []) is None
