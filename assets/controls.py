"""Play 4 ends: the same budget from scratch, another base, other seeds, and the verdict on transfer."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.adaptation import activations, training_inputs
from assets.base import base_folder, bases_folder
from assets.candidate import asset_of, chosen_model, in_order, rung_inputs
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.tracked import log_attempt
from assets.training import NOT_IN_A_TRAINING, train
from playbook.artifacts import (
    Adapted,
    BasePin,
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    EarlyEnd,
    FrozenBaseline,
    Refresh,
    Rung,
)
from playbook.evaluate import wording
from playbook.plays import BASE, CANDIDATE, CONTROLS, DATASET, EARLY_END, FROZEN

if TYPE_CHECKING:
    from playbook.adapt.control_figures import Staircase
    from playbook.adapt.controls import Setting, Trained
    from playbook.adapt.job import Job, JobResult


def controls(maker: AssetMaker) -> dg.AssetsDefinition:
    """Is it transfer that helps? The same budget without it, and another base."""
    options = maker.options(
        CONTROLS,
        play=4,
        owner=maker.task.spec.owners.model,
        part=("controls", "training", "head"),
        kinds={"pytorch", "lightning"},
        upstream={"dataset": DATASET, "base": BASE, "frozen": FROZEN, "early": EARLY_END, "choice": CANDIDATE},
    )
    options["ins"] |= rung_inputs(maker)

    @dg.asset(**options, description="The candidate's budget spent without transfer, and on another base.")
    def measured(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        base: BaseSelection,
        frozen: FrozenBaseline,
        early: EarlyEnd,
        choice: Candidate,
        **rungs: Rung,
    ) -> dg.Output[Controls]:
        play = maker.play(context, CONTROLS)
        require_green(dataset)
        if choice.skipped or early.ends or base.pin is None:
            shutil.rmtree(activations(play), ignore_errors=True)
            return result(play, skip(play, Controls, choice.reason or early.reason or base.reason))
        climbed = in_order(rungs)
        before = Before(dataset, base, base.pin, frozen, climbed, chosen_model(frozen, choice, climbed))
        done = remembered(play, Controls, _inputs(play, before), lambda key: _measure(play, before, key))
        shutil.rmtree(activations(play), ignore_errors=True)
        _decide(play, before, done)
        return result(play, done, _shown(done))

    return measured


@dataclass(frozen=True)
class Before:
    """What the plays before handed on."""

    dataset: DatasetVersion
    base: BaseSelection
    pin: BasePin
    frozen: FrozenBaseline
    rungs: Sequence[Rung]
    model: FrozenBaseline | Rung  # the candidate

    @property
    def start(self) -> FrozenBaseline | Rung:
        """What the candidate, a rung, was trained from."""
        digest = self.model.started_from if isinstance(self.model, Rung) else ""
        return next((step for step in self.rungs if step.digest == digest), self.frozen)


def _inputs(play: Play, before: Before) -> dict[str, Any]:
    settings = play.task.spec.adaptation.model_dump(mode="json")
    return {
        **training_inputs(play, before.dataset, before.base),
        "adaptation": {name: value for name, value in settings.items() if name not in NOT_IN_A_TRAINING},
        "controls": settings["controls"],
        "runner_up": before.base.runner_up_pin.model_dump() if before.base.runner_up_pin else None,
        "steps": [_figures_of(step) for step in (before.frozen, *before.rungs)],
        "epochs": [len(step.curve) for step in before.rungs],
        "candidate": before.model.files["weights"].sha256,
        "code": version_of("controls", "training", "head"),
    }


def _figures_of(step: Adapted) -> list[Any]:
    """What controls are compared with of one step: its weights, its score, and whether it was kept."""
    weights, score = step.files.get("weights"), step.validation
    kept = step.kept if isinstance(step, Rung) else True
    return [
        step.kind,
        step.unfrozen,
        weights.sha256 if weights else "",
        score.model_dump(mode="json") if score else None,
        kept,
    ]


def _measure(play: Play, before: Before, key: str) -> Made:
    from playbook.adapt.control_figures import compare_controls
    from playbook.adapt.controls import Setting
    from playbook.adapt.job import DatasetRef

    store, work = play.world.store, play.work(key)
    setting = Setting(
        spec=play.task.spec,
        train=store.path(before.dataset, DATASET, "train"),
        validation=store.path(before.dataset, DATASET, "validation"),
        cache=activations(play),
        work=work,
        dataset=DatasetRef(version=before.dataset.number, hash=before.dataset.dataset_hash),
    )
    against, seeds = list(_against(play, before, setting)), list(_seeds(play, before, setting))
    done = compare_controls(play.task.spec, _staircase(play, before), against, before.dataset.rows["train"], seeds)
    files: dict[str, Path] = {}
    for trained, run in zip((*against, *seeds), done.runs, strict=True):
        files |= trained.files(work)
        metrics = {"validation": run.validation.value, "ahead": run.ahead.value, "steps": float(run.steps)}
        log_attempt(
            play,
            before.dataset,
            name=f"{CONTROLS}: {run.name}",
            metrics=metrics,
            params={"control": run.name, "what": run.what},
            curve=run.curve,
            config=files[f"config_{run.name}"],
            hardware=run.hardware,
        )
    play.report(done.verdict)
    return Made(done, files)


def _against(play: Play, before: Before, setting: "Setting") -> Iterator["Trained"]:
    """Train what the candidate must not lose to."""
    from playbook.adapt.controls import budget_epochs, other_base_epochs, train_other_base, train_scratch
    from playbook.bases.derive import random_weights

    plan = play.task.spec.adaptation
    second, unfrozen = before.base.runner_up_pin, before.model.unfrozen
    if plan.controls.scratch:
        epochs = budget_epochs(before.rungs, plan, before.pin.blocks)
        play.report(f"control: {before.pin.title} from random weights, up to {epochs} epochs")
        folder = random_weights(base_folder(play, before.pin), plan.seed, bases_folder(play))
        yield train_scratch(setting, before.pin, folder, epochs, lambda job: _launch(play, job))
    if plan.controls.other_base and second is not None:
        play.report(f"control: the runner-up base, {second.name}")
        folder, epochs = base_folder(play, second), other_base_epochs(before.rungs, plan, unfrozen, second.blocks)
        yield train_other_base(setting, second, folder, unfrozen, epochs, lambda job: _launch(play, job), play.report)


def _seeds(play: Play, before: Before, setting: "Setting") -> Iterator["Trained"]:
    """Train the last rung kept again with each further seed."""
    from playbook.adapt.controls import further_seeds, train_seed

    if not isinstance(before.model, Rung) or isinstance(before.model, Refresh):  # a refresh starts elsewhere
        return
    start = play.world.store.path(before.start, asset_of(before.start), "weights")
    folder = base_folder(play, before.pin)
    for seed in further_seeds(play.task.spec.adaptation):
        play.report(f"control: {asset_of(before.model)} with seed {seed}")
        yield train_seed(setting, before.pin, folder, before.model, start, seed, lambda job: _launch(play, job))


def _launch(play: Play, job: "Job") -> "JobResult":
    result: JobResult = train(play, job).result
    return result


def _staircase(play: Play, before: Before) -> "Staircase":
    import pandas as pd

    from playbook.adapt.control_figures import Staircase

    store = play.world.store
    return Staircase(
        frozen=before.frozen,
        rungs=before.rungs,
        model=before.model,
        predictions=pd.read_parquet(store.path(before.model, asset_of(before.model), "predictions")),
        frozen_predictions=pd.read_parquet(store.path(before.frozen, FROZEN, "predictions")),
        start_validation=before.start.validation,
    )


def _decide(play: Play, before: Before, done: Controls) -> None:
    """Put the verdict on record."""
    inputs = {"controls": done.digest, "candidate": before.model.digest, "data": before.dataset.dataset_hash}
    scores = {run.name: run.validation.value for run in done.runs}
    play.decide("controls", f"on validation, transfer: {done.transfer}", inputs, {"verdict": done.verdict, **scores})


def controls_table(done: Controls) -> str:
    """The controls as a Markdown table."""
    lines = ["| control | validation | candidate ahead by | verdict | steps | time |", "|---|---|---|---|---|---|"]
    for run in done.runs:
        figures = [
            wording.score_range(run.validation),
            wording.difference(run.ahead, run.validation.metric),
            wording.told(run.ahead),
        ]
        cells = [run.name, *figures, f"{run.steps:,}", wording.duration(run.seconds)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(done: Controls) -> dict[str, Any]:
    shown: dict[str, Any] = {"transfer": done.transfer, "verdict": done.verdict or "-"}
    if done.runs:
        shown |= {"controls": dg.MetadataValue.md(controls_table(done)), "budget": done.budget}
    if done.seeds is not None:
        shown |= {"seeds": done.seeds.text, "seed_deviation": done.seeds.deviation}
    return shown
