"""Play 5: the candidate that validation chose, and its evaluation on the test split."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from assets.adaptation import activations
from assets.base import base_folder
from assets.factory import AssetMaker, version_of
from assets.play import Made, Play, png, remembered, require_green, result, skip
from assets.tracked import log_attempt
from playbook.artifacts import (
    Candidate,
    DatasetVersion,
    Evaluation,
    FrozenBaseline,
    LedgerRow,
    ReferenceBaselines,
    Rung,
)
from playbook.plays import CANDIDATE, DATASET, EVALUATION, FROZEN, REFERENCES, rung_name


def candidate(maker: AssetMaker) -> dg.AssetsDefinition:
    """The last rung kept, or the frozen baseline."""
    options = maker.options(
        CANDIDATE,
        play=5,
        owner=maker.task.spec.owners.model,
        part="adapt",
        kinds={"pytorch"},
        upstream={"dataset": DATASET, "frozen": FROZEN},
    )
    options["ins"] |= _rung_inputs(maker)

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
        inputs = {"steps": digests, "code": version_of("adapt")}
        done = remembered(play, Candidate, inputs, lambda key: _choose(play, frozen, climbed))
        shutil.rmtree(activations(play), ignore_errors=True)
        shown = {"source": done.source, "ledger": dg.MetadataValue.md(ledger_table(done.ledger))}
        return result(play, done, {**shown, "diagnosis": done.diagnosis, "staircase": _staircase(play, done)})

    return chosen


def _rung_inputs(maker: AssetMaker) -> dict[str, dg.AssetIn]:
    names = [rung_name(index) for index in range(1, maker.task.spec.adaptation.max_rungs + 1)]
    return {name: dg.AssetIn(key=maker.key(name), dagster_type=Rung) for name in names}


def in_order(rungs: dict[str, Rung]) -> list[Rung]:
    """Rungs from the top block down, as their names count them."""
    return [rungs[name] for name in sorted(rungs, key=lambda name: int(name.rsplit("_", 1)[1]))]


def _choose(play: Play, frozen: FrozenBaseline, rungs: Sequence[Rung]) -> Made:
    from playbook.adapt.staircase import diagnose, make_ledger

    tried = [step for step in rungs if step.curve]
    kept = [step for step in tried if step.kept]
    model: FrozenBaseline | Rung = kept[-1] if kept else frozen
    source = rung_name(model.index) if isinstance(model, Rung) else FROZEN
    play.report(f"{source}: validation {model.validation.value if model.validation else 0:.4f}")
    artifact = Candidate(
        task=play.task.spec.task,
        source=source,
        model=model.digest,
        ledger=make_ledger(frozen, rungs),
        diagnosis=diagnose(tried[-1].curve) if tried else "",
    )
    return Made(artifact)


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
    plot = staircase_plot(done.ledger, spec.target.at_least, spec.evaluation.confidence, kind="png")
    return png(plot, "staircase")


def evaluation(maker: AssetMaker) -> dg.AssetsDefinition:
    """The candidate against the frozen baseline, on a test split opened once."""
    options = maker.options(
        EVALUATION,
        play=5,
        owner=maker.task.spec.owners.sign_off,
        part="evaluate",
        kinds={"html"},
        upstream={"dataset": DATASET, "references": REFERENCES, "frozen": FROZEN, "choice": CANDIDATE},
    )
    options["ins"] |= _rung_inputs(maker)

    @dg.asset(**options, description="Test-set gain over the frozen baseline, with its interval, and what to ship.")
    def judged(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        references: ReferenceBaselines,
        frozen: FrozenBaseline,
        choice: Candidate,
        **rungs: Rung,
    ) -> dg.Output[Evaluation]:
        play = maker.play(context, EVALUATION)
        require_green(dataset)
        if choice.skipped:
            remove_report(play)
            return result(play, skip(play, Evaluation, choice.reason))
        steps = Steps(dataset, references, frozen, choice, in_order(rungs))
        inputs = {
            "candidate": [choice.source, choice.model, choice.diagnosis],
            "baseline": frozen.digest,
            "data": dataset.digest,
            "references": references.digest,
            "task": play.task.spec.model_dump(mode="json", exclude={"package"}),
            "code": version_of("evaluate"),
        }
        done = remembered(play, Evaluation, inputs, lambda key: _evaluate(play, steps, key))
        return result(play, done, _shown(play, done))

    return judged


class Steps:
    """Everything upstream of an evaluation."""

    def __init__(
        self,
        dataset: DatasetVersion,
        references: ReferenceBaselines,
        frozen: FrozenBaseline,
        choice: Candidate,
        rungs: Sequence[Rung],
    ) -> None:
        self.dataset, self.references, self.frozen = dataset, references, frozen
        self.choice, self.rungs = choice, rungs

    @property
    def model(self) -> FrozenBaseline | Rung:
        """The artefact that the candidate names."""
        return next((r for r in self.rungs if rung_name(r.index) == self.choice.source), self.frozen)


def write_bundle(play: Play, model: FrozenBaseline | Rung, folder: Path) -> Path:
    """A model of the staircase as a self-contained folder."""
    from playbook.adapt.classifier import save_bundle

    asset = rung_name(model.index) if isinstance(model, Rung) else FROZEN
    if model.pin is None:
        raise dg.Failure(f"{asset} has no pinned base; materialise it again", allow_retries=False)
    weights = play.world.store.path(model, asset, "weights")
    spec = play.task.spec
    # The arithmetic it was trained in, wherever it answers: "auto" would mean another one on another machine.
    precision: Literal["bf16", "float32"] = "bf16" if "bfloat16" in model.hardware else "float32"
    save_bundle(folder, base_folder(play), model.pin, spec.labels, weights, precision)
    return folder


def _evaluate(play: Play, steps: Steps, key: str) -> Made:
    from playbook.evaluate.compare import evaluate, refused
    from playbook.evaluate.test_split import open_test_split

    resolution = _resolution(play, steps)
    work = play.work(key)
    if resolution is not None and not resolution.enough:
        done = refused(play.task.spec, resolution)
        play.report(done.verdict)
        return _reported(play, steps, done, work, None, {})
    spec, world = play.task.spec, play.world
    opened = open_test_split(world.store, steps.dataset, DATASET, steps.choice.model, world.test_ledger(spec.task))
    play.report(f"test split opened ({len(opened.frame)} rows, opening {opened.openings}, on record)")
    models = {"baseline": steps.frozen}
    if steps.choice.source != FROZEN:
        models["candidate"] = steps.model  # type: ignore[assignment]
    probabilities = {name: _answers(play, model, work / name, opened.frame) for name, model in models.items()}
    done = evaluate(
        spec,
        steps.dataset,
        opened.frame,
        probabilities,
        work,
        openings=opened.openings,
        diagnosis=steps.choice.diagnosis,
        resolution=resolution,
    )
    play.report(done.verdict)
    return _reported(play, steps, done, work, opened.frame, {"predictions": work / "predictions.parquet"})


def _resolution(play: Play, steps: Steps) -> Any:
    """Whether the test split can show the margin; None where there is nothing to compare."""
    import pandas as pd

    from playbook.adapt.staircase import read_answers
    from playbook.evaluate.verdict import needed_rows

    if steps.choice.source == FROZEN:
        return None
    store, labels = play.world.store, play.task.spec.labels
    truth, first = read_answers(pd.read_parquet(store.path(steps.frozen, FROZEN, "predictions")), labels)
    _, second = read_answers(pd.read_parquet(store.path(steps.model, steps.choice.source, "predictions")), labels)
    return needed_rows(play.task.spec, truth, first, second, steps.dataset.class_rows["test"])


def _answers(play: Play, model: FrozenBaseline | Rung, folder: Path, frame: Any) -> Any:
    from playbook.adapt.classifier import load_bundle
    from playbook.adapt.precision import set_threads, training_device
    from playbook.data.tables import TEXT

    set_threads(play.world.places.threads, 1)
    bundle = write_bundle(play, model, folder)
    classifier = load_bundle(bundle, training_device(play.task.spec.adaptation.accelerator))
    probabilities = classifier.predict_proba(frame[TEXT].tolist())
    shutil.rmtree(folder)
    return probabilities


def _reported(play: Play, steps: Steps, done: Evaluation, work: Path, frame: Any, files: dict[str, Path]) -> Made:
    import pandas as pd

    from playbook.adapt.rung import versions
    from playbook.evaluate.report import render_report
    from playbook.evaluate.report_content import ReportInputs

    hardware = steps.model.hardware
    stands_on = {"dataset_hash": steps.dataset.dataset_hash, "baseline_digest": steps.frozen.digest}
    reason = done.verdict if done.ship == "nothing" else ""
    done = done.model_copy(update={**stands_on, "hardware": hardware, "reason": reason})
    context = ReportInputs(
        spec=play.task.spec,
        dataset=steps.dataset,
        references=steps.references,
        frozen=steps.frozen,
        rungs=steps.rungs,
        candidate=steps.choice,
        evaluation=done,
        test_frame=frame,
        predictions=pd.read_parquet(files["predictions"]) if "predictions" in files else None,
        hardware=hardware,
        versions=versions(),
    )
    report = work / "report.html"
    report.write_text(render_report(context), encoding="utf-8")
    run_id = _track(play, steps, done, report)
    return Made(done.model_copy(update={"mlflow_run_id": run_id}), {"report": report, **files})


def _track(play: Play, steps: Steps, done: Evaluation, report: Path) -> str:
    sides = {"baseline": done.baseline, "candidate": done.candidate}
    metrics = {f"test_{name}": side.scores[done.metric].value for name, side in sides.items() if side is not None}
    gain = {"delta": done.delta, "delta_low": done.interval[0], "delta_high": done.interval[1]}
    ledger = [row.model_dump() for row in steps.choice.ledger]
    table = {name: [row[name] for row in ledger] for name in ledger[0]} if ledger else {}
    return log_attempt(
        play,
        steps.dataset,
        metrics={**metrics, **gain, "openings": float(done.openings)},
        params={"ship": done.ship, "source": steps.choice.source, "target": done.target, "margin": done.margin},
        tables={"ledger.json": table} if table else None,
        files={"report.html": report},
        hardware=done.hardware,
    )


def _shown(play: Play, done: Evaluation) -> dict[str, Any]:
    if done.skipped:
        return {}
    from playbook.evaluate.plots import confusion_plot, per_class_plot

    report = play.world.store.path(done, EVALUATION, "report")
    published = publish_report(play, report)
    shown: dict[str, Any] = {
        "ship": done.ship,
        "verdict": done.verdict,
        "report": dg.MetadataValue.path(str(published)),
        "test_openings": done.openings,
    }
    for name, side in (("baseline", done.baseline), ("candidate", done.candidate)):
        if side is not None:
            shown[f"test_{name}"] = side.scores[done.metric].value
    side = done.candidate or done.baseline
    if side is not None:
        labels = play.task.spec.labels
        shown["confusion"] = png(confusion_plot(side.confusion, labels, kind="png"), "confusion")
        shown["per_class"] = png(per_class_plot(side.per_class, kind="png"), "per class")
    if done.candidate is not None:
        shown |= {"delta": done.delta, "delta_low": done.interval[0], "delta_high": done.interval[1]}
    return shown


def remove_report(play: Play) -> None:
    """Take away the report of an earlier run, which would pass for today's."""
    (play.world.places.home / "reports" / f"{play.task.spec.task}.html").unlink(missing_ok=True)


def publish_report(play: Play, report: Path) -> Path:
    """Put the current report where people find it: `<home>/reports/<task>.html`."""
    target = play.world.places.home / "reports" / f"{play.task.spec.task}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(report.read_bytes())
    part.replace(target)
    return target
