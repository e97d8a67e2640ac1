"""Play 4 in a retraining round: the champion trained further on the data that has grown (6.6)."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.adaptation import activations, training_inputs
from assets.base import base_folder
from assets.champion_answers import champion_on_validation
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.incumbent import base_out, fetch_incumbent, incumbent_of
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.served import bundle_served
from assets.tracked import log_attempt
from assets.training import NOT_IN_A_TRAINING, train
from playbook.artifacts import BasePin, BaseSelection, DatasetVersion, FrozenBaseline, Refresh
from playbook.errors import PinMismatch
from playbook.plays import BASE, DATASET, FROZEN, REFRESH
from playbook.statistics.answers import Answers
from resources.registry import Registered


def refresh(maker: AssetMaker) -> dg.AssetsDefinition:
    """The champion's own checkpoint, trained on; skipped where nothing serves yet, or on this very data."""
    options = maker.options(
        REFRESH,
        play=4,
        owner=maker.task.spec.owners.model,
        part=("refresh", "training"),
        kinds={"pytorch", "lightning"},
        upstream={"dataset": DATASET, "base": BASE, "frozen": FROZEN},
    )

    @dg.asset(**options, description="Training goes on from the champion's checkpoint, on data that has grown.")
    def refreshed(
        context: dg.AssetExecutionContext, dataset: DatasetVersion, base: BaseSelection, frozen: FrozenBaseline
    ) -> dg.Output[Refresh]:
        play = maker.play(context, REFRESH)
        require_green(dataset)
        if frozen.skipped:
            return result(play, skip(play, Refresh, frozen.reason))
        incumbent = incumbent_of(play, dataset.dataset_hash)
        if incumbent is None:
            return result(play, skip(play, Refresh, "no model of earlier data serves: there is nothing to refresh"))
        out = base_out(play, base, incumbent)
        if out:
            why = f"the base of champion {incumbent.version} is out ({out}), so this round trains on the chosen base"
            return result(play, skip(play, Refresh, why))
        inputs = _inputs(play, dataset, base, incumbent)
        done = remembered(play, Refresh, inputs, lambda key: _refresh(play, dataset, incumbent, key))
        if not done.skipped:
            figures = {"validation": done.validation.value if done.validation else None, "version": done.version}
            play.decide("rung", f"champion {done.version} refreshed", {"model": done.digest}, figures)
        return result(play, done, _shown(done))

    return refreshed


def _inputs(play: Play, dataset: DatasetVersion, base: BaseSelection, incumbent: Registered) -> dict[str, Any]:
    return {
        **training_inputs(play, dataset, base),
        "adaptation": play.task.spec.adaptation.model_dump(mode="json", exclude=NOT_IN_A_TRAINING),
        "refresh": play.task.spec.retraining.refresh.model_dump(mode="json"),
        "incumbent": incumbent.bundle_sha256,
        "code": version_of("refresh", "training"),
    }


def _refresh(play: Play, dataset: DatasetVersion, incumbent: Registered, key: str) -> Made:
    from playbook.adapt.refresh import bundle_about, start_weights, trained_blocks

    spec, work = play.task.spec, play.work(key)
    bundle = fetch_incumbent(play, incumbent, work / "incumbent")
    pin, known = bundle_about(bundle)
    try:
        folder = base_folder(play, pin)
    except PinMismatch as error:
        why = f"the base of champion {incumbent.version} is no longer a base of the task: {error}"
        return Made(Refresh(task=spec.task, status="skipped", reason=why, version=incumbent.version))
    unfrozen = trained_blocks(bundle, folder, pin)
    if not unfrozen:
        why = f"champion {incumbent.version} has a frozen base: frozen_baseline trains a new head"
        return Made(Refresh(task=spec.task, status="skipped", reason=why, version=incumbent.version))
    new = [label for label in spec.labels if label not in known]
    play.report(
        f"from the checkpoint of champion {incumbent.version}, {unfrozen} of {pin.blocks} blocks"
        + (f"; new in its head: {', '.join(new)}" if new else "")
    )
    start = start_weights(bundle, unfrozen, spec.labels, work / "start.safetensors")
    return _train(play, dataset, incumbent, _Start(bundle, pin, folder, unfrozen, start), work)


@dataclass(frozen=True)
class _Start:
    """Where a refresh begins."""

    bundle: Path  # of the champion
    pin: BasePin
    folder: Path  # of the base
    unfrozen: int
    weights: Path


def _train(play: Play, dataset: DatasetVersion, incumbent: Registered, start: _Start, work: Path) -> Made:
    import pandas as pd

    from playbook.adapt.frozen import boundaries_of
    from playbook.adapt.job import DatasetRef, Job
    from playbook.adapt.refresh import refresh_plan
    from playbook.adapt.staircase import served_answers
    from playbook.evaluate.compare import describe_side
    from playbook.statistics.metric import target_metric

    spec, store = play.task.spec, play.world.store
    plan = refresh_plan(spec.adaptation, spec.retraining.refresh)
    boundaries = {*boundaries_of(start.pin.blocks, plan.max_rungs), start.pin.blocks - start.unfrozen}
    job = Job(
        task=spec.task,
        base_folder=start.folder,
        pin=start.pin,
        labels=spec.labels,
        dataset=DatasetRef(version=dataset.number, hash=dataset.dataset_hash),
        train=store.path(dataset, DATASET, "train"),
        validation=store.path(dataset, DATASET, "validation"),
        start=start.weights,
        unfrozen=start.unfrozen,
        boundaries=tuple(sorted(boundaries)),
        metric=spec.target.all_limits[0],
        adaptation=plan,
        cache=activations(play),
        out=work / "training",
    )
    found = train(play, job)
    trained = found.result
    answers = pd.read_parquet(job.out / "predictions.parquet")
    truth, refreshed = served_answers(answers, spec)
    score = describe_side(spec, truth, refreshed).scores[spec.target.label]
    gain = target_metric(spec).difference(truth, _answers_before(play, dataset, incumbent, start), refreshed)
    play.report(
        f"validation {score.value:.4f} ({score.low:.4f} to {score.high:.4f}), {gain.delta:+.4f} over the champion "
        f"(paired standard error {gain.standard_error:.4f})"
    )
    names = {"weights": "weights.safetensors", "predictions": "predictions.parquet", "config": "config.json"}
    files = {role: job.out / name for role, name in names.items()}
    run_id = log_attempt(
        play,
        dataset,
        metrics={
            "validation": score.value,
            "gain": gain.delta,
            "gain_error": gain.standard_error,
            "best_epoch": float(trained.best_epoch + 1),
        },
        params={"unfrozen": start.unfrozen, "started_from": incumbent.uri, "adaptation": plan.model_dump()},
        curve=trained.curve,
        config=files["config"],
        hardware=trained.hardware,
    )
    artifact = Refresh(
        task=spec.task,
        pin=start.pin,
        unfrozen=start.unfrozen,
        version=incumbent.version,
        validation=score,
        curve=trained.curve,
        started_from=incumbent.bundle_sha256,
        kept=True,
        gain=gain.delta,
        gain_error=gain.standard_error,
        rule="training goes on from the champion's checkpoint",
        reason=f"champion {incumbent.version} trained further",
        stopped=trained.stopped,
        resumed=trained.resumed_epochs,
        seconds=found.spared,
        hardware=trained.hardware,
        mlflow_run_id=run_id,
    )
    return Made(artifact, files)


def _answers_before(play: Play, dataset: DatasetVersion, incumbent: Registered, start: _Start) -> Answers:
    """What the champion serves on validation, in the task's classes: what its further training has to beat.

    Its own temperature and threshold count. Fitted again on rows of a class that it does not know, they would be those
    of a model that nobody has.
    """
    table = champion_on_validation(play, dataset, incumbent)
    return bundle_served(start.bundle, play.task.spec).answers(table)


def _shown(done: Refresh) -> dict[str, Any]:
    if done.skipped or done.validation is None:
        return {}
    return {
        "from_version": done.version,
        "unfrozen": done.unfrozen,
        "validation": done.validation.value,
        "gain": done.gain,
    }
