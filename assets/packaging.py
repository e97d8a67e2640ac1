"""Play 6: the winner as a registered model, after its answers were checked in a clean process."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import shutil
from typing import Any

import dagster as dg

from assets.candidate import asset_of, chosen_model, in_order, rung_inputs, write_bundle
from assets.factory import AssetMaker, version_of
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.sign_off import said, sign_off_case
from assets.tracked import log_attempt
from playbook.artifacts import (
    BaseSelection,
    Candidate,
    DatasetVersion,
    Evaluation,
    FrozenBaseline,
    PackagedModel,
    Rung,
    SignOff,
)
from playbook.evaluate.approval import Case, current_state, make_case
from playbook.plays import BASE, CANDIDATE, DATASET, EVALUATION, FROZEN, PACKAGED, SIGN_OFF

# Largest difference of a probability between the trained and the reloaded model, by arithmetic. Products of bfloat16
# numbers carry 8 bits; rows are grouped differently at serving, so sums may round differently.
TOLERANCE = {"bfloat16": 2e-2, "float32": 1e-4}


def packaged_model(maker: AssetMaker) -> dg.AssetsDefinition:
    """An MLflow model version with its semantic version and alias."""
    spec = maker.task.spec
    upstream = {"dataset": DATASET, "base": BASE, "frozen": FROZEN}
    options = maker.options(
        PACKAGED,
        play=6,
        owner=spec.owners.model,
        part="package",
        kinds={"mlflow"},
        upstream={**upstream, "choice": CANDIDATE, "judged": EVALUATION, "approval": SIGN_OFF},
    )
    options["ins"] |= rung_inputs(maker)

    @dg.asset(**options, description="The winner, reloaded in a clean process, registered with version and alias.")
    def packaged(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        base: BaseSelection,
        frozen: FrozenBaseline,
        choice: Candidate,
        judged: Evaluation,
        approval: SignOff,
        **rungs: Rung,
    ) -> dg.Output[PackagedModel]:
        play = maker.play(context, PACKAGED)
        require_green(dataset)
        if judged.skipped or judged.ship == "nothing":
            return result(play, skip(play, PackagedModel, judged.reason or "nothing is shipped"))
        if approval.skipped or approval.state != "approved":
            return result(play, skip(play, PackagedModel, approval.reason if approval.skipped else said(approval)))
        case = sign_off_case(play, dataset, base, frozen, choice, judged, in_order(rungs))
        require_approved(case, approval)
        model = _winner(frozen, choice, judged, in_order(rungs))
        inputs = {
            "model": model.digest,
            "evaluation": judged.digest,
            "approval": approval.digest,
            "data": dataset.digest,
            "package": spec.package.model_dump(),
            "registry": play.world.places.mlflow_tracking_uri,
            "code": version_of("package"),
        }
        done = remembered(
            play,
            PackagedModel,
            inputs,
            lambda key: _package(play, dataset, model, case, approval, key),
            still_holds=lambda known: _points_at(play, known),
        )
        uri = f"models:/{done.name}@{done.alias}"
        shown = {"model": uri, "version": done.version, "registry_version": done.registry_version}
        serve = f"`mlflow models serve -m {uri} --env-manager local`"
        parity = {"parity_rows": done.parity_rows, "largest_difference": done.largest_difference}
        shown |= {"signed_off": said(approval)}
        return result(play, done, {**shown, "source": done.source, "serve": dg.MetadataValue.md(serve), **parity})

    return packaged


def require_approved(case: Case, approval: SignOff) -> None:
    """Refuse unless the approval still holds: the log is unbroken and has it, nothing that it is bound to changed.

    Raises:
        dagster.Failure: with the reasons; a retry would not help and is not made.
    """
    now = current_state(case)
    if now.state != "approved":
        raise dg.Failure(f"not packaged, the sign-off does not hold: {said(now)}", allow_retries=False)
    if now.log_entry != approval.log_entry:
        raise dg.Failure(
            f"not packaged: expected approval {approval.log_entry[:12]}, found {now.log_entry[:12]} in the decision "
            "log; materialise sign_off again",
            allow_retries=False,
        )


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
    return chosen_model(frozen, choice, rungs)


def _package(
    play: Play, dataset: DatasetVersion, model: FrozenBaseline | Rung, case: Case, approval: SignOff, key: str
) -> Made:
    from playbook.operate.bundle import CardFacts, write_card

    if model.pin is None:
        raise dg.Failure("the winner has no pinned base; materialise it again", allow_retries=False)
    source, judged = asset_of(model), case.bound.evaluation
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
    require_approved(make_case(case.bound, case.log), approval)  # again: the reload took its time
    made = _register(play, dataset, judged, approval, folder, source, parity, example)
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
    play: Play,
    dataset: DatasetVersion,
    judged: Evaluation,
    approval: SignOff,
    folder: Any,
    source: str,
    parity: Any,
    example: str,
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
        description=f"{judged.verdict}\n\nSign-off: {said(approval)}",
        tags=_signed_off(approval),
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
        sign_off=approval.digest,
        parity_rows=parity.rows,
        largest_difference=parity.largest_difference,
        mlflow_run_id=run_id,
    )
    return Made(artifact)


def _signed_off(approval: SignOff) -> dict[str, str]:
    """Who signed off, as tags of the model version."""
    key = {"playbook/signed_with": approval.key} if approval.key else {}
    return {
        "playbook/signed_off_by": approval.by,
        "playbook/signed_off_at": approval.at,
        "playbook/sign_off_mode": approval.mode,
        "playbook/decision": approval.log_entry,
        **key,
    }
