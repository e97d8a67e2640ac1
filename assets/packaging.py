"""Play 6: the winner as a registered model, after its answers were checked in a clean process."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.budgets import require_budgets
from assets.candidate import asset_of, chosen_model, in_order, rung_inputs, write_bundle
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.incumbent import INCUMBENT_TAG
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.publish import publish_changelog
from assets.recipe import add_recipe
from assets.sign_off import said, sign_off_case
from assets.silence import ROLE as KNOWN_ROWS
from assets.silence import add_rules
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
from playbook.operate.versions import CHALLENGER
from playbook.plays import BASE, CANDIDATE, DATASET, EVALUATION, FROZEN, PACKAGED, SIGN_OFF

if TYPE_CHECKING:
    import numpy as np

    from resources.release import Registered

REFERENCE = "reference"  # role of the monitoring reference among an evaluation's files
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
        if judged.skipped or not judged.ships:
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
            "data": dataset.dataset_hash,
            "registry": play.world.places.mlflow_place,
            **_inputs(play),
        }
        done = remembered(
            play,
            PackagedModel,
            inputs,
            lambda key: _package(play, dataset, model, case, approval, key),
            still_holds=lambda known: _is_there(play, known),
        )
        publish_changelog(play)
        uri = f"models:/{done.name}@{done.alias}"
        shown = {"model": uri, "version": done.version, "registry_version": done.registry_version}
        shown |= {"changelog": done.changelog or "-"}
        serve = f"`playbook serve {play.task.called(play.world.places)}`"
        parity = {"parity_rows": done.parity_rows, "largest_difference": done.largest_difference}
        shown |= {"signed_off": said(approval)}
        return result(play, done, {**shown, "source": done.source, "serve": dg.MetadataValue.md(serve), **parity})

    return packaged


def _inputs(play: Play) -> dict[str, Any]:
    """What a package depends on beside what it is made of."""
    spec = play.task.spec
    return {
        "package": spec.package.model_dump(),
        "budgets": [limit.model_dump(mode="json") for limit in spec.target.budgets],
        "serving": spec.serving.model_dump(mode="json", exclude={"log_share", "retention_days"}),
        "code": version_of("package"),
    }


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


def _is_there(play: Play, known: PackagedModel) -> bool:
    """Whether the registry still has the model. Its alias is left alone: a rollback is not undone by running again."""
    if all(version.registry_version != known.registry_version for version in play.world.registry.versions(known.name)):
        play.report("the registry no longer has this model; packaging it again")
        return False
    return True


def _winner(frozen: FrozenBaseline, choice: Candidate, judged: Evaluation, rungs: list[Rung]) -> FrozenBaseline | Rung:
    if judged.ship == "baseline":
        return frozen
    return chosen_model(frozen, choice, rungs)


def _package(
    play: Play, dataset: DatasetVersion, model: FrozenBaseline | Rung, case: Case, approval: SignOff, key: str
) -> Made:
    from playbook.evaluate.calibration import fit_temperature, scaled
    from playbook.operate.bundle import CardFacts, write_card

    if model.pin is None:
        raise dg.Failure("the winner has no pinned base; materialise it again", allow_retries=False)
    source, judged = asset_of(model), case.bound.evaluation
    folder = play.work(key) / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    truth, trained = _validation_answers(play, model, source)
    temperature = fit_temperature(truth, trained)
    write_bundle(play, model, folder, temperature=temperature, keep_frozen=KNOWN_ROWS in judged.files)
    strangers = add_rules(play, judged, folder)
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
    refreshed = add_recipe(play, dataset, model, source, folder)
    if REFERENCE in judged.files:
        shutil.copyfile(play.world.store.path(judged, EVALUATION, REFERENCE), folder / f"{REFERENCE}.safetensors")
    require_budgets(play, dataset, folder)
    expected = _Expected(scaled(trained, temperature), strangers.scores if strangers else None, min(1.0, temperature))
    parity, example = _parity(play, dataset, model, expected, folder)
    play.report(f"reloaded in a clean process: {parity.rows} rows, largest difference {parity.largest_difference:.2g}")
    require_approved(make_case(case.bound, case.log), approval)  # again: the reload took its time
    made = _register(play, dataset, model, case, approval, folder, refreshed, parity, example)
    shutil.rmtree(folder, ignore_errors=True)
    return made


@dataclass(frozen=True, eq=False)
class _Expected:
    """What the reloaded model has to answer on validation: calibrated probabilities, and distances from known rows.

    A temperature under 1 (`sharpened`) enlarges differences as it divides.
    """

    probabilities: "np.ndarray"
    distances: "np.ndarray | None"
    sharpened: float


def _validation_answers(play: Play, model: FrozenBaseline | Rung, source: str) -> "tuple[np.ndarray, np.ndarray]":
    """True classes (rows,) of validation, and the probabilities (rows, classes) that the trained model gave."""
    import pandas as pd

    from playbook.adapt.staircase import read_answers

    labels = play.task.spec.labels
    answers = pd.read_parquet(play.world.store.path(model, source, "predictions"))
    truth, _ = read_answers(answers, labels)
    return truth, answers[[f"p_{number}" for number in range(len(labels))]].to_numpy()


def _parity(
    play: Play,
    dataset: DatasetVersion,
    model: FrozenBaseline | Rung,
    expected: _Expected,
    folder: Path,
) -> tuple[Any, str]:
    """Proof of parity, and an example text."""
    import pandas as pd

    from playbook.data.tables import TEXT
    from playbook.operate.parity import check_parity

    spec, store = play.task.spec, play.world.store
    texts = pd.read_parquet(store.path(dataset, DATASET, "validation"))[TEXT].tolist()
    arithmetic = "bfloat16" if "bfloat16" in model.hardware else "float32"
    rows = spec.package.parity_rows
    parity = check_parity(
        folder,
        texts,
        expected.probabilities,
        TOLERANCE[arithmetic] / expected.sharpened,
        labels=spec.labels,
        rows=rows,
        scores=expected.distances,
    )
    return parity, texts[0]


def _register(
    play: Play,
    dataset: DatasetVersion,
    model: FrozenBaseline | Rung,
    case: Case,
    approval: SignOff,
    folder: Path,
    refreshed_from: str,
    parity: Any,
    example: str,
) -> Made:
    from playbook.operate.changelog import gain_text
    from playbook.operate.definition import define, identity_of
    from resources.registry import Release

    spec, source, judged = play.task.spec, asset_of(model), case.bound.evaluation
    run_id = log_attempt(
        play,
        dataset,
        metrics={"parity_rows": float(parity.rows), "largest_difference": parity.largest_difference},
        params={"source": source, "alias": spec.package.alias},
    )
    base = model.pin.weights_sha256 if model.pin else ""
    release = Release(
        name=spec.task,
        bundle=folder,
        parity=parity,
        labels=spec.labels,
        identity=identity_of(play.task, dataset.dataset_hash, base),
        definition=define(play.task).as_tag,
        run_id=run_id,
        source=source,
        dataset_version=dataset.number,
        report_sha256=case.bound.pages.files["report"].sha256 if case.bound.pages else "",
        example=example,
        description=f"{judged.verdict}\n\nSign-off: {said(approval)}",
        weights_sha256=model.files["weights"].sha256,
        refreshed_from=refreshed_from,
        gain=gain_text(judged),
        decision=approval.log_entry,
        replaces=judged.incumbent.version if judged.incumbent else "",
        tags={**_signed_off(approval), **_served_before(judged)},
    )
    registered = play.world.registry.register(release)
    alias, reason = _promote(play, registered, approval)
    artifact = PackagedModel(
        task=spec.task,
        reason=reason,
        name=registered.name,
        version=registered.version,
        registry_version=registered.registry_version,
        alias=alias,
        source=source,
        bundle_sha256=registered.bundle_sha256,
        evaluation=judged.digest,
        sign_off=approval.digest,
        parity_rows=parity.rows,
        largest_difference=parity.largest_difference,
        changelog=registered.tags.get("playbook/changelog", ""),
        mlflow_run_id=run_id,
    )
    return Made(artifact)


def _promote(play: Play, made: "Registered", approval: SignOff) -> tuple[str, str]:
    """Put a registered version into production; the alias that it has then, and why it is not `champion`.

    A version that was rolled back, or that a later one took the place of, waits for an approval that is younger.
    """
    registry, alias = play.world.registry, play.task.spec.package.alias
    log = play.world.decision_log(play.task.spec.task)
    reason = registry.held_back(made.name, made.version, alias, log, approval.log_entry)
    if reason:
        play.report(f"version {made.version} is not promoted: {reason}")
        return CHALLENGER, f"not promoted: {reason}"
    registry.promote(made.name, made.version, alias, log, approval=approval.log_entry)
    play.report(f"models:/{made.name}@{alias} is version {made.version}")
    return alias, ""


def _served_before(judged: Evaluation) -> dict[str, str]:
    """The version that this one was judged against, as a tag: a later run of the same data finds it again."""
    return {INCUMBENT_TAG: judged.incumbent.version} if judged.incumbent is not None else {}


def _signed_off(approval: SignOff) -> dict[str, str]:
    """Who signed off, as tags of the model version."""
    key = {"playbook/signed_with": approval.key} if approval.key else {}
    return {
        "playbook/signed_off_by": approval.by,
        "playbook/signed_off_at": approval.at,
        "playbook/sign_off_mode": approval.mode,
        **key,
    }
