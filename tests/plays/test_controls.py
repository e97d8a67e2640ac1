"""The controls as a play: trained once, tracked, stored with their files, taken up again after a kill, or skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from play_runs import Place, make_place
from tiny_base import tiny_spec, write_tiny_base

from playbook.adapt import rung as rung_module
from playbook.adapt.classifier import load_bundle, save_bundle
from playbook.artifacts import BaseSelection, Candidate, Controls, DatasetVersion
from playbook.plays import AUDIT, BASE, CANDIDATE, CONTROLS, DATASET, EVALUATION, FROZEN, asset_kinds, rung_name
from playbook.taskfile import load_task

pytestmark = [
    pytest.mark.story,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
]
RUNS = ("scratch", "other_base", "seed_14")


def climb_to_controls(place: Place, only: str = "") -> str:
    """Run the controls with every play that they rest on, or one play alone; what it failed with, or nothing."""
    from pipelines.factory import job_name, resources_of, task_definitions

    task, places = load_task(place.file), place.places
    job = task_definitions(task, places, resources_of(places)).resolve_job_def(job_name(task.spec.task))
    names = list(asset_kinds(task.spec))
    chosen = [only] if only else [name for name in names[: names.index(EVALUATION)] if name != AUDIT]
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            asset_selection=[dg.AssetKey([task.spec.task, name]) for name in chosen],
        )
    failures = [event.step_failure_data.error for event in done.all_events if event.is_step_failure]
    return "".join(error.to_string() for error in failures if error is not None)


CHOSEN = {"seeds": 2, "scratch_learning_rate": 5e-3}


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    """A place with a second base where every play up to the controls has run; tests ask for other controls."""
    folder = tmp_path_factory.mktemp("controls")
    place = make_place(folder, database, controls=CHOSEN)
    write_tiny_base(folder / "second", seed=9)
    second = {**tiny_spec(folder / "second").model_dump(exclude_none=True), "folder": "second"}
    place.document["bake_off"] = {
        "alternatives": [second],
        "train_rows": 100,
        "validation_rows": 60,
        "resamples": 2,
    }
    place.task()
    assert climb_to_controls(place) == ""
    return place


def controls_with(place: Place, **changes: Any) -> Controls:
    """The controls that a changed section asks for; the plays before are not asked again."""
    place.task(adaptation={"controls": {**CHOSEN, **changes}})
    assert climb_to_controls(place, CONTROLS) == ""
    found = place.current()[CONTROLS]
    assert isinstance(found, Controls)
    return found


def test_all_controls_are_trained_and_stored_with_their_files(climbed: Place) -> None:
    done, choice, base = controls_with(climbed), climbed.current()[CANDIDATE], climbed.current()[BASE]
    assert isinstance(choice, Candidate) and choice.source.startswith("rung_") and isinstance(base, BaseSelection)
    assert tuple(run.name for run in done.runs) == RUNS
    assert set(done.files) == {f"{role}_{name}" for name in RUNS for role in ("weights", "predictions", "config")}
    for role in done.files:
        assert climbed.store.path(done, CONTROLS, role).is_file()
    scratch, other, seed = done.runs
    assert scratch.pin == seed.pin == done.pin == base.pin and other.pin == base.runner_up_pin is not None
    assert {run.steps / run.epochs for run in done.runs} == {scratch.steps / scratch.epochs}, "same rows, same batches"
    assert scratch.epochs <= 16 >= other.epochs and seed.epochs <= 8
    assert done.transfer in ("helps", "does nothing", "hurts") and done.hardware
    assert done.seeds is not None and list(done.seeds.values) == ["13", "14"]


def test_every_configuration_names_the_dataset_version(climbed: Place) -> None:
    controls_with(climbed)
    now = climbed.current()
    dataset = now[DATASET]
    assert isinstance(dataset, DatasetVersion) and dataset.number == 1
    configurations = [(CONTROLS, f"config_{name}") for name in RUNS] + [(FROZEN, "config"), (rung_name(1), "config")]
    for asset, role in configurations:
        about = json.loads(climbed.store.path(now[asset], asset, role).read_text())
        assert about["dataset"] == {"version": 1, "hash": dataset.dataset_hash}, asset


def test_rates_above_that_of_training_from_scratch_are_a_finding_of_the_run(climbed: Place) -> None:
    """The topmost block's 6e-3 is above the 5e-3 of the control; 4.2e-3, that of the block below, is not."""
    choice = climbed.current()[CANDIDATE]
    assert isinstance(choice, Candidate)
    assert choice.rates.startswith(
        "The learning rate of 1 block from the top, 0.006 at most, is above that of training"
    )


def test_each_control_is_a_run_of_its_own(climbed: Place) -> None:
    named = [name for name in climbed.attempts() if name.startswith(CONTROLS)]
    assert named[:3] == sorted(f"{CONTROLS}: {name}" for name in RUNS)


def test_what_did_not_change_is_not_trained_again(climbed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before, attempts = controls_with(climbed), climbed.attempts()
    monkeypatch.setattr(rung_module, "_prepare", None)
    assert controls_with(climbed) == before and climbed.attempts() == attempts


def test_a_bundle_of_each_control_answers_as_it_did_in_training(climbed: Place, tmp_path: Path) -> None:
    done, store = controls_with(climbed), climbed.store
    spec = load_task(climbed.file).spec
    validation = pd.read_parquet(store.path(climbed.current()[DATASET], DATASET, "validation"))
    for run in done.runs:
        folder = climbed.folder / ("second" if run.pin and run.pin.name == "second" else "base")
        assert run.pin is not None
        save_bundle(
            tmp_path / run.name,
            folder,
            run.pin,
            spec.labels,
            store.path(done, CONTROLS, f"weights_{run.name}"),
            "float32",
        )
        answers = load_bundle(tmp_path / run.name).predict_proba(validation["text"].tolist())
        told = pd.read_parquet(store.path(done, CONTROLS, f"predictions_{run.name}"))[["p_0", "p_1"]].to_numpy()
        assert np.abs(answers - told).max() < 1e-6, run.name


def count_trainings(monkeypatch: pytest.MonkeyPatch, killed_at: int = 0) -> list[str]:
    """Names of the trainings that begin from now on; the one with this number (from 1) is killed as it begins."""
    fit, begun = rung_module._fit, []

    def counted(job: Any, *rest: Any) -> int:
        begun.append(job.out.name)
        if len(begun) == killed_at:
            raise KeyboardInterrupt
        return fit(job, *rest)

    monkeypatch.setattr(rung_module, "_fit", counted)
    return begun


def test_a_control_that_did_not_change_is_not_trained_beside_one_that_did(
    climbed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate is that of training from scratch alone: the other two are trainings that are remembered."""
    before, begun = controls_with(climbed), count_trainings(monkeypatch)
    done = controls_with(climbed, scratch_learning_rate=4e-3)
    assert begun == ["scratch"] and tuple(run.name for run in done.runs) == RUNS
    assert done.runs[0].curve[-1].train_loss != before.runs[0].curve[-1].train_loss
    assert [run.curve for run in done.runs[1:]] == [run.curve for run in before.runs[1:]]


def test_a_finished_control_survives_a_kill_of_the_next(climbed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all trainings share is changed (the size of a batch), so that each control has to be trained."""
    climbed.task(adaptation={"batch_size": 128, "controls": CHOSEN})
    with monkeypatch.context() as patch:
        begun = count_trainings(patch, killed_at=2)
        climb_to_controls(climbed, CONTROLS)
    assert begun == ["scratch", "other_base"]

    begun = count_trainings(monkeypatch)
    assert climb_to_controls(climbed, CONTROLS) == ""
    done = climbed.current()[CONTROLS]
    assert begun == ["other_base", "seed_14"]
    assert isinstance(done, Controls) and tuple(run.name for run in done.runs) == RUNS


def test_what_the_task_file_switches_off_is_not_trained(climbed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rung_module, "_prepare", None)
    done = controls_with(climbed, scratch=False, other_base=False, seeds=1)
    assert done.runs == () and done.transfer == "not measured" and done.seeds is None and not done.skipped


def test_a_target_that_is_met_already_needs_no_controls(climbed: Place) -> None:
    climbed.task(target={"at_least": 0.2})
    assert climb_to_controls(climbed) == ""
    done = climbed.current()[CONTROLS]
    assert done.skipped and "met" in done.reason and done.files == {}
