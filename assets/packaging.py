"""Play 6: the winner as a registered model, after its answers were checked in a clean process."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import shutil
from typing import Any

import dagster as dg

from assets.evaluation import in_order, write_bundle
from assets.factory import AssetMaker, version_of
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.tracked import log_attempt
from playbook.artifacts import Candidate, DatasetVersion, Evaluation, FrozenBaseline, PackagedModel, Rung
from playbook.plays import CANDIDATE, DATASET, EVALUATION, FROZEN, PACKAGED, rung_name

# Largest difference of a probability between the trained and the reloaded model, by arithmetic. Products of bfloat16
# numbers carry 8 bits; rows are grouped differently at serving, so sums may round differently.
TOLERANCE = {"bfloat16": 2e-2, "float32": 1e-4}


def packaged_model(maker: AssetMaker) -> dg.AssetsDefinition:
    """An MLflow model version with its semantic version and alias."""
    spec = maker.task.spec
    options = maker.options(
        PACKAGED,
        play=6,
        owner=spec.owners.model,
        part="package",
        kinds={"mlflow"},
        upstream={"dataset": DATASET, "frozen": FROZEN, "choice": CANDIDATE, "judged": EVALUATION},
    )
    names = [rung_name(index) for index in range(1, spec.adaptation.max_rungs + 1)]
    options["ins"] |= {n: dg.AssetIn(key=maker.key(n), dagster_type=Rung) for n in names}

    @dg.asset(**options, description="The winner, reloaded in a clean process, registered with version and alias.")
    def packaged(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        frozen: FrozenBaseline,
        choice: Candidate,
        judged: Evaluation,
        **rungs: Rung,
    ) -> dg.Output[PackagedModel]:
        play = maker.play(context, PACKAGED)
        require_green(dataset)
        if judged.skipped or judged.ship == "nothing":
            return result(play, skip(play, PackagedModel, judged.reason or "nothing is shipped"))
        model = _winner(frozen, choice, judged, in_order(rungs))
        inputs = {
            "model": model.digest,
            "evaluation": judged.digest,
            "data": dataset.digest,
            "package": spec.package.model_dump(),
            "registry": play.world.places.mlflow_tracking_uri,
            "code": version_of("package"),
        }
        done = remembered(
            play,
            PackagedModel,
            inputs,
            lambda key: _package(play, dataset, model, judged, key),
            still_holds=lambda known: _points_at(play, known),
        )
        uri = f"models:/{done.name}@{done.alias}"
        shown = {"model": uri, "version": done.version, "registry_version": done.registry_version}
        serve = f"`mlflow models serve -m {uri} --env-manager local`"
        parity = {"parity_rows": done.parity_rows, "largest_difference": done.largest_difference}
        return result(play, done, {**shown, "source": done.source, "serve": dg.MetadataValue.md(serve), **parity})

    return packaged


def _points_at(play: Play, known: PackagedModel) -> bool:
    """Whether the registry still has the model; its alias is set back to it if it went to another version meanwhile."""
    registry = play.world.registry
    if all(version.registry_version != known.registry_version for version in registry.versions(known.name)):
        play.report("the registry no longer has this model; packaging it again")
        return False
    at = registry.at_alias(known.name, known.alias)
    if at is None or at.registry_version != known.registry_version:
        play.report(f"setting {known.alias} to version {known.version}")
        registry.point(known.name, known.alias, known.version)
    return True


def _winner(frozen: FrozenBaseline, choice: Candidate, judged: Evaluation, rungs: list[Rung]) -> FrozenBaseline | Rung:
    if judged.ship == "baseline":
        return frozen
    return next((step for step in rungs if rung_name(step.index) == choice.source), frozen)


def _package(play: Play, dataset: DatasetVersion, model: FrozenBaseline | Rung, judged: Evaluation, key: str) -> Made:
    from playbook.operate.bundle import CardFacts, write_card

    if model.pin is None:
        raise dg.Failure("the winner has no pinned base; materialise it again", allow_retries=False)
    source = rung_name(model.index) if isinstance(model, Rung) else FROZEN
    folder = play.work(key) / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    write_bundle(play, model, folder)
    side = judged.baseline if judged.ship == "baseline" else judged.candidate
    facts = CardFacts(
        pin=model.pin,
        source=source,
        unfrozen=model.unfrozen,
        dataset_version=dataset.number,
        dataset_hash=dataset.dataset_hash,
        rows=dataset.rows,
        test=side.scores if side else {},
        verdict=judged.verdict,
    )
    write_card(folder, play.task.spec, facts)
    parity, example = _parity(play, dataset, model, source, folder)
    play.report(f"reloaded in a clean process: {parity.rows} rows, largest difference {parity.largest_difference:.2g}")
    made = _register(play, dataset, judged, folder, source, parity, example)
    shutil.rmtree(folder, ignore_errors=True)
    return made


def _parity(
    play: Play, dataset: DatasetVersion, model: FrozenBaseline | Rung, source: str, folder: Any
) -> tuple[Any, str]:
    import pandas as pd

    from playbook.data.tables import TEXT
    from playbook.operate.parity import check_parity

    spec, store = play.task.spec, play.world.store
    answers = pd.read_parquet(store.path(model, source, "predictions"))
    texts = pd.read_parquet(store.path(dataset, DATASET, "validation"))[TEXT].tolist()
    expected = answers[[f"p_{number}" for number in range(len(spec.labels))]].to_numpy()
    arithmetic = "bfloat16" if "bfloat16" in model.hardware else "float32"
    rows = spec.package.parity_rows
    parity = check_parity(folder, texts, expected, TOLERANCE[arithmetic], labels=spec.labels, rows=rows)
    return parity, texts[0]


def _register(
    play: Play, dataset: DatasetVersion, judged: Evaluation, folder: Any, source: str, parity: Any, example: str
) -> Made:
    from resources.registry import Release, task_identity

    spec = play.task.spec
    run_id = log_attempt(
        play,
        dataset,
        metrics={"parity_rows": float(parity.rows), "largest_difference": parity.largest_difference},
        params={"source": source, "alias": spec.package.alias},
    )
    target = spec.target.model_dump(mode="json")
    identity = task_identity(spec.labels, target, dataset.dataset_hash, spec.base.sha256)
    release = Release(
        name=spec.task,
        alias=spec.package.alias,
        bundle=folder,
        parity=parity,
        labels=spec.labels,
        identity=identity,
        run_id=run_id,
        source=source,
        dataset_version=dataset.number,
        report_sha256=judged.files["report"].sha256,
        example=example,
        description=judged.verdict,
    )
    registered = play.world.registry.register(release)
    play.report(f"models:/{spec.task}@{spec.package.alias} is version {registered.version}")
    artifact = PackagedModel(
        task=spec.task,
        name=registered.name,
        version=registered.version,
        registry_version=registered.registry_version,
        alias=spec.package.alias,
        source=source,
        bundle_sha256=registered.bundle_sha256,
        evaluation=judged.digest,
        parity_rows=parity.rows,
        largest_difference=parity.largest_difference,
        mlflow_run_id=run_id,
    )
    return Made(artifact)
