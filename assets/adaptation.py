"""Play 4: the frozen baseline, then one rung per asset."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from pathlib import Path
from typing import Any

import dagster as dg

from assets.base import base_folder
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, png, remembered, require_green, result, skip
from assets.tracked import log_attempt
from assets.training import IN_A_HEAD, NOT_IN_A_TRAINING, train, train_head
from playbook.artifacts import Adapted, BaseSelection, DatasetVersion, EarlyEnd, FrozenBaseline, Rung
from playbook.plays import BASE, DATASET, EARLY_END, FROZEN, rung_name
from playbook.spec import TaskSpec


def frozen_baseline(maker: AssetMaker) -> dg.AssetsDefinition:
    """The number that everything else must beat."""
    options = maker.options(
        FROZEN,
        play=4,
        owner=maker.task.spec.owners.model,
        part=("frozen", "head"),
        kinds={"pytorch"},
        upstream={"dataset": DATASET, "base": BASE},
    )

    @dg.asset(**options, description="Frozen base, a fresh head trained until it settles.")
    def frozen(
        context: dg.AssetExecutionContext, dataset: DatasetVersion, base: BaseSelection
    ) -> dg.Output[FrozenBaseline]:
        play = maker.play(context, FROZEN)
        require_green(dataset)
        if base.skipped:
            return result(play, skip(play, FrozenBaseline, base.reason))
        inputs = {
            **training_inputs(play, dataset, base),
            "code": version_of("frozen", "head"),
        }
        done = remembered(play, FrozenBaseline, inputs, lambda key: _train_frozen(play, dataset, base, key))
        figures = {"validation": done.validation.value if done.validation else None}
        play.decide("rung", "frozen baseline: the number to beat", {"model": done.digest}, figures)
        shown = {"l2": done.l2, "l2_grid": dg.MetadataValue.json(done.l2_grid)}
        return result(play, done, {**_score_shown(done), **shown})

    return frozen


def activations(play: Play) -> Path:
    """Folder of the task's activations caches; the last play that trains removes it, a later one makes it again."""
    return play.world.work(play.task.spec.task, "activations")


def training_inputs(play: Play, dataset: DatasetVersion, base: BaseSelection) -> dict[str, Any]:
    """What the models of the staircase and their figures on validation depend on; no margin, no power.

    Limits count where they choose a threshold: models are scored as they would answer.
    """
    from playbook.evaluate.as_served import threshold_terms

    spec = play.task.spec
    settings = spec.adaptation.model_dump(mode="json")
    return {
        "data": dataset.dataset_hash,
        "labels": spec.labels,
        "base": base.pin.model_dump() if base.pin else None,
        "metric": [spec.target.metric, spec.target.of_class],
        "threshold": threshold_terms(spec),
        "head": {name: settings[name] for name in sorted(IN_A_HEAD)},
        "evaluation": spec.evaluation.model_dump(mode="json", include={"confidence", "resamples"}),
    }


def _train_frozen(play: Play, dataset: DatasetVersion, base: BaseSelection, key: str) -> Made:
    import pandas as pd

    from playbook.adapt.frozen import FrozenJob, boundaries_of
    from playbook.adapt.job import DatasetRef
    from playbook.adapt.staircase import served_answers
    from playbook.evaluate.compare import describe_side

    spec, store = play.task.spec, play.world.store
    pin = base.pin
    if pin is None:
        raise dg.Failure("the base is not pinned; materialise base_selection first", allow_retries=False)
    job = FrozenJob(
        base_folder=base_folder(play, pin),
        pin=pin,
        labels=spec.labels,
        train=store.path(dataset, DATASET, "train"),
        validation=store.path(dataset, DATASET, "validation"),
        boundaries=boundaries_of(pin.blocks, spec.adaptation.max_rungs),
        metric=spec.target.all_limits[0],
        adaptation=spec.adaptation,
        cache=activations(play),
        out=play.work(key),
        dataset=DatasetRef(version=dataset.number, hash=dataset.dataset_hash),
    )
    trained = train_head(play, job)
    done = trained.result
    truth, answers = served_answers(pd.read_parquet(done.files["predictions"]), spec)
    scores = describe_side(spec, truth, answers).scores
    score = scores[spec.target.label]
    play.report(f"validation {score.value:.4f} ({score.low:.4f} to {score.high:.4f})")
    metrics = {"validation": score.value, "iterations": float(done.iterations)}
    run_id = log_attempt(
        play, dataset, metrics=metrics, params={"l2": done.l2}, config=done.files["config"], hardware=done.hardware
    )
    artifact = FrozenBaseline(
        task=spec.task,
        pin=pin,
        validation=score,
        l2=done.l2,
        l2_grid=done.grid,
        seconds=trained.spared,
        hardware=done.hardware,
        mlflow_run_id=run_id,
    )
    return Made(artifact, done.files)


def rung(maker: AssetMaker, index: int) -> dg.AssetsDefinition:
    """One more block unfrozen, from the checkpoint of the last rung kept."""
    before = rung_name(index - 1) if index > 1 else FROZEN
    # Where the frozen baseline ends the task, the first rung is skipped, and each rung after it for that reason.
    last = {"previous": before} if index > 1 else {"early": EARLY_END}
    upstream = {"dataset": DATASET, "base": BASE, "frozen": FROZEN, **last}
    options = maker.options(
        rung_name(index),
        play=4,
        owner=maker.task.spec.owners.model,
        part=("rung", "training"),
        kinds={"pytorch", "lightning"},
        upstream=upstream,
    )

    def climb(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        base: BaseSelection,
        frozen: FrozenBaseline,
        previous: Rung | None,
        early: EarlyEnd | None,
    ) -> dg.Output[Rung]:
        play = maker.play(context, rung_name(index))
        require_green(dataset)
        why_not = _nothing_to_do(frozen, previous, early)
        if why_not:
            return result(play, skip(play, Rung, why_not))
        start: FrozenBaseline | Rung = previous or frozen
        done = _remembered_rung(play, dataset, base, start, index)
        if not done.skipped:
            inputs = {"model": done.digest, "started_from": done.started_from, "data": dataset.dataset_hash}
            play.decide("rung", f"{rung_name(index)} {done.reason}", inputs, {"rule": done.rule, "kept": done.kept})
        return result(play, done, {**_score_shown(done), **_rung_shown(play.task.spec, done)})

    description = f"Block {index} from the top unfrozen too; kept only if validation says that it helps."
    if index > 1:

        @dg.asset(**options, description=description)
        def later_rung(
            context: dg.AssetExecutionContext,
            dataset: DatasetVersion,
            base: BaseSelection,
            frozen: FrozenBaseline,
            previous: Rung,
        ) -> dg.Output[Rung]:
            return climb(context, dataset, base, frozen, previous, None)

        return later_rung

    @dg.asset(**options, description=description)
    def first_rung(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        base: BaseSelection,
        frozen: FrozenBaseline,
        early: EarlyEnd,
    ) -> dg.Output[Rung]:
        return climb(context, dataset, base, frozen, None, early)

    return first_rung


def _nothing_to_do(frozen: FrozenBaseline, previous: Rung | None, early: EarlyEnd | None) -> str:
    if frozen.skipped:
        return frozen.reason
    if early is not None and early.ends:
        return early.reason
    if previous is not None and previous.skipped:
        return previous.reason
    if previous is not None and not previous.kept:
        return f"rung_{previous.index} did not help, so no further block is unfrozen"
    return ""


def _remembered_rung(
    play: Play, dataset: DatasetVersion, base: BaseSelection, start: FrozenBaseline | Rung, index: int
) -> Rung:
    inputs = rung_inputs_of(play, dataset, base, start, index)
    return remembered(play, Rung, inputs, lambda key: _climb(play, dataset, base, start, index, key))


def rung_inputs_of(
    play: Play, dataset: DatasetVersion, base: BaseSelection, start: FrozenBaseline | Rung, index: int
) -> dict[str, Any]:
    """What a rung and whether it is kept depend on."""
    settings = play.task.spec.adaptation.model_dump(mode="json")
    return {
        **training_inputs(play, dataset, base),
        "adaptation": {name: value for name, value in settings.items() if name not in NOT_IN_A_TRAINING},
        "keep": settings["keep"],
        "start": start.files["weights"].sha256,
        "index": index,
        "code": version_of("rung", "training"),
    }


def _climb(
    play: Play, dataset: DatasetVersion, base: BaseSelection, start: FrozenBaseline | Rung, index: int, key: str
) -> Made:
    import pandas as pd

    from playbook.adapt.frozen import boundaries_of
    from playbook.adapt.job import DatasetRef, Job
    from playbook.adapt.results import read_epochs
    from playbook.adapt.staircase import decide_rung, served_answers
    from playbook.evaluate.compare import describe_side

    spec, store = play.task.spec, play.world.store
    if base.pin is None or index > base.pin.blocks:
        blocks = base.pin.blocks if base.pin else 0
        return Made(Rung(task=spec.task, status="skipped", reason=f"the base has only {blocks} blocks", index=index))
    started_from = rung_name(start.index) if isinstance(start, Rung) else FROZEN
    job = Job(
        task=spec.task,
        base_folder=base_folder(play, base.pin),
        pin=base.pin,
        labels=spec.labels,
        dataset=DatasetRef(version=dataset.number, hash=dataset.dataset_hash),
        train=store.path(dataset, DATASET, "train"),
        validation=store.path(dataset, DATASET, "validation"),
        start=store.path(start, started_from, "weights"),
        unfrozen=index,
        boundaries=boundaries_of(base.pin.blocks, spec.adaptation.max_rungs),
        metric=spec.target.all_limits[0],
        adaptation=spec.adaptation,
        cache=activations(play),
        out=play.work(key),
    )
    play.report(f"{index} of {base.pin.blocks} blocks unfrozen, starting from {started_from}")
    found = train(play, job)
    trained = found.result
    before = pd.read_parquet(store.path(start, started_from, "predictions"))
    after = pd.read_parquet(job.out / "predictions.parquet")
    decision = decide_rung(spec, before, after, read_epochs(job.out))
    play.report(f"validation {trained.validation:.4f}; {decision.reason}")
    score = describe_side(spec, *served_answers(after, spec)).scores[spec.target.label]
    files = {
        "weights": job.out / "weights.safetensors",
        "predictions": job.out / "predictions.parquet",
        "config": job.out / "config.json",
    }
    metrics = {"validation": score.value, "gain": decision.gain, "gain_error": decision.error}
    run_id = log_attempt(
        play,
        dataset,
        metrics={**metrics, "kept": float(decision.kept), "best_epoch": float(trained.best_epoch + 1)},
        params={"unfrozen": index, "started_from": started_from, "adaptation": spec.adaptation.model_dump()},
        curve=trained.curve,
        config=files["config"],
        hardware=trained.hardware,
    )
    artifact = Rung(
        task=spec.task,
        pin=base.pin,
        unfrozen=index,
        index=index,
        validation=score,
        curve=trained.curve,
        started_from=start.digest,
        kept=decision.kept,
        gain=decision.gain,
        gain_error=decision.error,
        rule=decision.rule,
        reason=decision.reason,
        stopped=trained.stopped,
        resumed=trained.resumed_epochs,
        seconds=found.spared,
        hardware=trained.hardware,
        mlflow_run_id=run_id,
    )
    return Made(artifact, files)


def _score_shown(done: Adapted) -> dict[str, Any]:
    if done.validation is None:
        return {}
    return {"validation": done.validation.value, "validation_low": done.validation.low, "rows": done.validation.n}


def _rung_shown(spec: TaskSpec, done: Rung) -> dict[str, Any]:
    if done.skipped or not done.curve:
        return {}
    from playbook.evaluate.plots import curves_plot

    return {
        "kept": done.kept,
        "gain": done.gain,
        "gain_error": done.gain_error,
        "rule": done.rule,
        "epochs": len(done.curve),
        "resumed_epochs": done.resumed,
        "curves": png(curves_plot({rung_name(done.index): done.curve}, kind="png"), "training curves"),
    }
