"""Play 6: the handoff package of a registered model (6.2)."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg

from assets.candidate import in_order, rung_inputs
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, require_green, result, skip
from playbook.artifacts import (
    Adapted,
    DatasetVersion,
    Evaluation,
    FrozenBaseline,
    Handoff,
    LabelAudit,
    PackagedModel,
    Report,
    Rung,
    SignOff,
)
from playbook.errors import ArtifactError, StorageError
from playbook.operate.handoff_package import write_folder, write_zip
from playbook.plays import AUDIT, DATASET, EVALUATION, FROZEN, HANDOFF, PACKAGED, REFRESH, REPORT, SIGN_OFF

ZIP = "zip"
SECTIONS = {"serving", "monitoring", "retraining", "owners", "package"}  # of the task file, that documents describe


def handoff(maker: AssetMaker) -> dg.AssetsDefinition:
    """The documents of a model version, as a folder, a zip and an MLflow artifact."""
    upstream = {"dataset": DATASET, "frozen": FROZEN, "audit": AUDIT, "judged": EVALUATION, "approval": SIGN_OFF}
    options = maker.options(
        HANDOFF,
        play=6,
        owner=maker.task.spec.owners.model,
        part="handoff",
        kinds={"markdown"},
        upstream={**upstream, "model": PACKAGED},
    )
    options["ins"] |= rung_inputs(maker)

    @dg.asset(**options, description="Decisions, data, configuration, report, deployment, failure modes: one package.")
    def handed(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        frozen: FrozenBaseline,
        audit: LabelAudit,
        judged: Evaluation,
        approval: SignOff,
        model: PackagedModel,
        **rungs: Rung,
    ) -> dg.Output[Handoff]:
        play = maker.play(context, HANDOFF)
        require_green(dataset)
        if model.skipped:
            return result(play, skip(play, Handoff, model.reason))
        steps: dict[str, Adapted] = {FROZEN: frozen, **_climbed(in_order(rungs), model)}
        inputs = {
            "model": model.digest,
            "upstream": [part.digest for part in (dataset, audit, judged, approval)],
            "steps": {name: step.digest for name, step in steps.items()},
            "task": play.task.spec.model_dump(mode="json", include=SECTIONS),
            "pages": {role: ref.sha256 for role, ref in pages_of(play).files.items()},
            "code": version_of("handoff"),
        }
        done = remembered(
            play, Handoff, inputs, lambda key: _hand_over(play, dataset, steps, audit, judged, approval, model, key)
        )
        return result(play, done, {**_shown(play, done), "model_version": done.version})

    return handed


def pages_of(play: Play) -> Report:
    """Report and card as they were rendered last.

    Raises:
        ArtifactError: nothing was kept, as in a home of an earlier release.
    """
    pages = play.world.store.current(play.task.spec.task, REPORT, Report)
    if pages is None:
        raise ArtifactError(f"{play.task.spec.task} has no rendered report; materialise evaluation again")
    return pages


def _climbed(rungs: list[Rung], model: PackagedModel) -> dict[str, Adapted]:
    """The training steps that the model stands on beside the frozen baseline: all rungs up to it, or the refresh."""
    names = [step.step for step in rungs]
    if model.source not in names:
        return {}
    last = names.index(model.source)
    first = last if model.source == REFRESH else 0
    return dict(zip(names[first : last + 1], rungs[first : last + 1], strict=True))


def _hand_over(
    play: Play,
    dataset: DatasetVersion,
    steps: dict[str, Adapted],
    audit: LabelAudit,
    judged: Evaluation,
    approval: SignOff,
    model: PackagedModel,
    key: str,
) -> Made:
    from playbook import __version__
    from playbook.operate.handoff import HandoffInputs, handed_over, handoff_documents
    from playbook.operate.recipe import recipe_in
    from playbook.taskfile import find_tasks

    spec, world, store = play.task.spec, play.world, play.world.store
    log, registry = world.decision_log(spec.task), world.registry
    with tempfile.TemporaryDirectory(prefix="handoff-") as scratch:
        bundle = registry.fetch_bundle(registry.find(model.name, model.version), Path(scratch) / "bundle")
        recipe = recipe_in(bundle)
        if recipe is None:
            why = f"version {model.version} goes back to a model without a recipe, so nothing says how to make it again"
            return Made(Handoff(task=spec.task, status="skipped", reason=why, version=model.version))
        remote, bases = _kept_bases(play, recipe, Path(scratch) / "dvc")
        given = HandoffInputs(
            task=play.task,
            called=spec.task if find_tasks(world.places).get(spec.task) == play.task.path else str(play.task.path),
            model=model,
            dataset=dataset,
            evaluation=judged,
            approval=approval,
            audit=audit,
            bundle=bundle,
            recipe=recipe,
            entries=handed_over(log.entries(), spec.package.alias, model, approval.log_entry),
            changelog=registry.changelog(spec.task, log),
            configurations={name: _configuration(play, name, step) for name, step in steps.items()},
            page=store.path(dataset, DATASET, "page").read_text(encoding="utf-8"),
            report=store.path(pages_of(play), REPORT, "report").read_bytes(),
            card=store.path(pages_of(play), REPORT, "card").read_text(encoding="utf-8"),
            remote=remote,
            bases=bases,
            code={"playbook": __version__, "adapt": version_of("training", "head")},
        )
        documents = handoff_documents(given)
    package = write_zip(play.work(key) / f"{given.name}.zip", documents)
    world.tracking.log_files(model.mlflow_run_id, {f"handoff/{package.name}": package})
    play.report(f"{len(documents)} documents of version {model.version}")
    artifact = Handoff(
        task=spec.task,
        version=model.version,
        documents=_hashes(documents),
        weights_sha256=recipe.expected["model.safetensors"],
        mlflow_run_id=model.mlflow_run_id,
    )
    return Made(artifact, {ZIP: package})


def _hashes(documents: dict[str, bytes]) -> dict[str, str]:
    from playbook.operate.handoff_package import sha256_of

    return {name: sha256_of(content) for name, content in sorted(documents.items())}


def _configuration(play: Play, name: str, step: Adapted) -> Any:
    return json.loads(play.world.store.path(step, name, "config").read_text(encoding="utf-8"))


def _kept_bases(play: Play, recipe: Any, work: Path) -> tuple[str, dict[str, Any]]:
    """The DVC remote, and bases that lie in a folder of this machine: they are stored there beside the data."""
    from playbook.adapt.classifier import COPIED
    from playbook.bases.locate import WEIGHTS, locate_base
    from playbook.store import file_sha256
    from resources.dvc_objects import remote_of, store_folder, without_secrets

    remote = remote_of(play.world.places, play.task)
    kept: dict[str, Any] = {}
    for part in recipe.chain:
        if part.base.folder is None or part.base.sha256 in kept or not remote:
            continue
        folder = locate_base(part.base, play.task.resolve)
        names = [name for name in (WEIGHTS, *COPIED) if (folder / name).is_file()]
        try:
            stored = store_folder(remote, folder, names, work / part.base.sha256)
        except StorageError as error:  # whoever reproduces the model then has to bring the base
            play.report(f"the base is not kept at the DVC remote: {error}")
            continue
        kept[part.base.sha256] = {"stored": stored, "files": {name: file_sha256(folder / name) for name in names}}
        play.report(f"base {folder.name} is kept at the DVC remote, too")
    return without_secrets(remote), kept


def _shown(play: Play, done: Handoff) -> dict[str, Any]:
    """Put the package where people find it, `<home>/handoff/<task>/<version>/` and a zip beside it."""
    from playbook.operate.handoff_package import read_package

    if done.skipped:
        return {}
    source = play.world.store.path(done, HANDOFF, ZIP)
    folder = play.world.places.home / "handoff" / done.task / done.version
    package = folder.with_name(source.name)
    if not package.is_file() or package.read_bytes() != source.read_bytes() or not folder.is_dir():
        write_folder(folder, read_package(source).documents)
        part = package.with_suffix(".part")
        shutil.copyfile(source, part)
        part.replace(package)
    return {
        "package": dg.MetadataValue.path(str(package)),
        "folder": dg.MetadataValue.path(str(folder)),
        "documents": dg.MetadataValue.json(done.documents),
        "weights": done.weights_sha256,
    }
