"""Play 6, at times of the task file: every base of the list beside the one that serves (6.5). No model is touched."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from typing import Any

import dagster as dg

from assets.base import bake_off_inputs, bases_folder
from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, result, skip
from assets.watching import Champion, champion_of
from playbook.artifacts import BaseTrial, DatasetVersion
from playbook.bases.admission import Found, find_bases
from playbook.plays import BASE_TRIAL, DATASET


def base_trial(maker: AssetMaker) -> dg.AssetsDefinition:
    """Whether a base of the list would now do better; the retraining policy reads it the next day."""
    options = maker.options(
        BASE_TRIAL,
        play=6,
        owner=maker.task.spec.owners.model,
        part="base",
        kinds={"huggingface", "pytorch"},
        upstream={"dataset": DATASET},
    )

    @dg.asset(**options, description="Bases of the list on the current data, beside the base that serves.")
    def tried(context: dg.AssetExecutionContext, dataset: DatasetVersion) -> dg.Output[BaseTrial]:
        play = maker.play(context, BASE_TRIAL)
        champion = champion_of(play)
        why_not = _nothing_to_try(dataset, champion)
        if champion is None or why_not:
            return result(play, skip(play, BaseTrial, why_not))
        found = find_bases(play.task.spec, play.task.resolve, bases_folder(play))
        inputs = {**bake_off_inputs(play, dataset, found), "serving": champion.pin.model_dump()}
        done = remembered(play, BaseTrial, inputs, lambda key: _try(play, dataset, found, champion))
        play.report(done.why)
        version = champion.registered.version
        title = f"bases tried beside that of {version}: {'another' if done.preferred else 'none'} is preferred"
        stands_on = {"trial": done.digest, "data": dataset.dataset_hash, "weights": done.serving_weights}
        play.decide("base", title, stands_on, {"rule": done.rule, "false_alarm_rate": done.false_alarm_rate})
        return result(play, done, _shown(done))

    return tried


def _nothing_to_try(dataset: DatasetVersion, champion: Champion | None) -> str:
    if dataset.gate is None or not dataset.gate.passed:
        return "the gate of the current data is red: nothing is tried on it"
    return "" if champion is not None else "no model serves yet: there is no base to compare with"


def _try(play: Play, dataset: DatasetVersion, found: tuple[Found, ...], champion: Champion) -> Made:
    import pandas as pd

    from playbook.bases.trial import try_bases

    store = play.world.store
    train, validation = (pd.read_parquet(store.path(dataset, DATASET, split)) for split in ("train", "validation"))
    done = try_bases(play.task.spec, found, champion.pin, train, validation, play.report)
    return Made(done.model_copy(update={"dataset_hash": dataset.dataset_hash}))


def _shown(done: BaseTrial) -> dict[str, Any]:
    scores = {one.name: one.out or (one.score.value if one.score else None) for one in done.candidates}
    return {
        "why": done.why,
        "preferred": done.preferred.title if done.preferred else "the base that serves",
        "probes": dg.MetadataValue.json(scores),
        "rule": done.rule,
        "false_alarm_rate": done.false_alarm_rate,
    }
