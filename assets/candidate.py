"""Play 5 begins: the candidate that validation chose, and what later plays need to work with it."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from assets.base import base_folder
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, png, remembered, require_green, result, skip
from playbook.artifacts import BasePin, Candidate, DatasetVersion, FrozenBaseline, LedgerRow, Refresh, Rung
from playbook.plays import CANDIDATE, DATASET, FROZEN, REFRESH, rung_name


def candidate(maker: AssetMaker) -> dg.AssetsDefinition:
    """The last rung kept, or the frozen baseline."""
    options = maker.options(
        CANDIDATE,
        play=5,
        owner=maker.task.spec.owners.model,
        part="candidate",
        kinds={"pytorch"},
        upstream={"dataset": DATASET, "frozen": FROZEN},
    )
    options["ins"] |= rung_inputs(maker)

    @dg.asset(**options, description="What validation chose, with the ledger of all attempts.")
    def chosen(
        context: dg.AssetExecutionContext, dataset: DatasetVersion, frozen: FrozenBaseline, **rungs: Rung
    ) -> dg.Output[Candidate]:
        play = maker.play(context, CANDIDATE)
        require_green(dataset)
        if frozen.skipped:
            return result(play, skip(play, Candidate, frozen.reason))
        climbed = in_order(rungs)
        digests = [step.digest for step in (frozen, *climbed)]
        inputs = {"steps": digests, **_inputs(play)}
        done = remembered(play, Candidate, inputs, lambda key: _choose(play, frozen, climbed))
        found = {"rates": done.rates} if done.rates else {}
        play.decide("candidate", f"{done.source} is the candidate", {"model": done.model, "steps": digests}, found)
        shown = {"source": done.source, "ledger": dg.MetadataValue.md(ledger_table(done.ledger))}
        return result(play, done, {**shown, "diagnosis": done.diagnosis, "staircase": _staircase(play, done)})

    return chosen


def _inputs(play: Play) -> dict[str, Any]:
    """What the choice and the diagnosis depend on beside the steps."""
    from playbook.evaluate.as_served import threshold_terms

    spec = play.task.spec
    return {
        "plan": spec.adaptation.model_dump(mode="json"),
        "metric": [spec.target.metric, spec.target.of_class],
        "threshold": threshold_terms(spec),
        "evaluation": [spec.evaluation.confidence, spec.evaluation.resamples],
        "code": version_of("candidate"),
    }


def rung_inputs(maker: AssetMaker) -> dict[str, dg.AssetIn]:
    """Every rung, and the refresh, as inputs of a later play."""
    names = [rung_name(index) for index in range(1, maker.task.spec.adaptation.max_rungs + 1)]
    steps = {name: dg.AssetIn(key=maker.key(name), dagster_type=Rung) for name in names}
    return {**steps, REFRESH: dg.AssetIn(key=maker.key(REFRESH), dagster_type=Refresh)}


def in_order(rungs: dict[str, Rung]) -> list[Rung]:
    """Rungs from the top block down, as their names count them; a refresh that was trained comes last."""
    climbed = sorted((name for name in rungs if name != REFRESH), key=lambda name: int(name.rsplit("_", 1)[1]))
    refreshed = rungs.get(REFRESH)
    return [*(rungs[name] for name in climbed), *([refreshed] if refreshed and not refreshed.skipped else [])]


def _choose(play: Play, frozen: FrozenBaseline, rungs: Sequence[Rung]) -> Made:
    from playbook.adapt.diagnosis import diagnose_staircase, smoothing_floor, with_refresh
    from playbook.adapt.rates import rate_finding
    from playbook.adapt.staircase import make_ledger

    climbed = [step for step in rungs if not isinstance(step, Refresh)]
    kept = [step for step in climbed if step.curve and step.kept]
    model: FrozenBaseline | Rung = kept[-1] if kept else frozen
    refreshed = next((step for step in rungs if isinstance(step, Refresh)), None)
    referee = ""
    if refreshed is not None:
        model, referee = _referee(play, refreshed, model)
    plan = play.task.spec.adaptation
    floor = smoothing_floor(plan.label_smoothing, len(play.task.spec.labels))
    read = diagnose_staircase(climbed, plan.epochs, floor, plan.max_rungs)
    if refreshed is not None:
        read = with_refresh(read, refreshed, plan.epochs, floor, stands=model is refreshed)
    play.report(f"{model.step}: validation {model.validation.value if model.validation else 0:.4f}. {referee}".strip())
    rates = rate_finding(plan, max((step.unfrozen for step in climbed if step.curve), default=0))
    if rates:
        play.report(rates)
    artifact = Candidate(
        task=play.task.spec.task,
        source=model.step,
        model=model.digest,
        referee=referee,
        ledger=make_ledger(frozen, rungs),
        diagnosis=read.diagnosis,
        diagnoses=read.diagnoses,
        next_thing=read.next_thing,
        rates=rates,
    )
    return Made(artifact)


def _referee(play: Play, refreshed: Refresh, retrained: FrozenBaseline | Rung) -> tuple[FrozenBaseline | Rung, str]:
    """The refresh, unless what was trained from the base again is better by the staircase's own rule (6.6)."""
    import pandas as pd

    from playbook.adapt.staircase import decide_rung

    store = play.world.store
    first, second = (pd.read_parquet(store.path(step, step.step, "predictions")) for step in (refreshed, retrained))
    found = decide_rung(play.task.spec, first, second)
    figures = f"{found.gain:+.4f} on validation (paired standard error {found.error:.4f})"
    if found.kept:
        return retrained, f"Retraining from the base beats the refreshed champion {refreshed.version}: {figures}."
    return refreshed, f"The refreshed champion {refreshed.version} stands: retraining from the base gains {figures}."


def ledger_table(ledger: Sequence[LedgerRow]) -> str:
    """The ledger as a Markdown table."""
    lines = ["| step | blocks | validation | gain | kept | seconds |", "|---|---|---|---|---|---|"]
    for row in ledger:
        gain = f"{row.gain:+.4f} ± {row.gain_error:.4f}" if row.unfrozen else "-"
        kept = "kept" if row.kept else "reverted"
        lines.append(f"| {row.step} | {row.unfrozen} | {row.validation:.4f} | {gain} | {kept} | {row.seconds:.0f} |")
    return "\n".join(lines)


def _staircase(play: Play, done: Candidate) -> dg.MarkdownMetadataValue:
    from playbook.evaluate.plots import staircase_plot

    spec = play.task.spec
    target = spec.target
    plot = staircase_plot(done.ledger, target.bound, spec.evaluation.confidence, kind="png", metric=target.label)
    return png(plot, "staircase")


def chosen_model(frozen: FrozenBaseline, choice: Candidate, rungs: Sequence[Rung]) -> FrozenBaseline | Rung:
    """The artefact that a candidate names."""
    return next((step for step in rungs if step.step == choice.source), frozen)


def asset_of(model: FrozenBaseline | Rung) -> str:
    """The asset that holds a model of the staircase."""
    return model.step


def write_bundle(play: Play, model: FrozenBaseline | Rung, folder: Path, **options: Any) -> Path:
    """A model of the staircase as a self-contained folder; `options` are those of `save_bundle`."""
    asset = asset_of(model)
    if model.pin is None:
        raise dg.Failure(f"{asset} has no pinned base; materialise it again", allow_retries=False)
    weights = play.world.store.path(model, asset, "weights")
    return bundle_with(play, model.pin, weights, model.hardware, folder, **options)


def bundle_with(play: Play, pin: BasePin, weights: Path, hardware: str, folder: Path, **options: Any) -> Path:
    """Trained tensors on their base as a self-contained folder; `hardware` names the arithmetic of training."""
    from playbook.adapt.classifier import save_bundle

    # The arithmetic it was trained in, wherever it answers: "auto" would mean another one on another machine.
    precision: Literal["bf16", "float32"] = "bf16" if "bfloat16" in hardware else "float32"
    save_bundle(folder, base_folder(play, pin), pin, play.task.spec.labels, weights, precision, **options)
    return folder
