"""Play 5: the evaluation on a test split that is opened once, with the suite around it."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.candidate import asset_of, in_order, rung_inputs
from assets.factory import AssetMaker, version_of
from assets.play import Made, Play, png, remembered, require_green, result, skip
from assets.publish import publish_card, publish_early_end, publish_report
from assets.steps import Steps
from assets.tracked import log_attempt
from playbook.artifacts import (
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    Evaluation,
    FrozenBaseline,
    LabelAudit,
    ReferenceBaselines,
    Rung,
)
from playbook.operate.definition import define
from playbook.plays import (
    AUDIT,
    BASE,
    CANDIDATE,
    CONTROLS,
    DATASET,
    DECISION,
    EVALUATION,
    FROZEN,
    REFERENCES,
)
from playbook.store import file_sha256
from playbook.taskfile import find_tasks

# Parts of the task file that neither the figures nor the page depend on: changing them opens no test split again.
NOT_ON_THE_PAGE: Any = {
    **dict.fromkeys(("package", "serving", "monitoring", "retraining"), True),
    "sign_off": {"allowed_signers", "revoked_keys"},
}


def evaluation(maker: AssetMaker) -> dg.AssetsDefinition:
    """The candidate against the frozen baseline, on a test split opened once."""
    upstream = {"dataset": DATASET, "references": REFERENCES, "decided": DECISION, "base": BASE, "frozen": FROZEN}
    options = maker.options(
        EVALUATION,
        play=5,
        owner=maker.task.spec.owners.sign_off,
        part="evaluate",
        kinds={"html"},
        upstream={**upstream, "audit": AUDIT, "choice": CANDIDATE, "controls": CONTROLS},
    )
    options["ins"] |= rung_inputs(maker)

    @dg.asset(**options, description="Test-set gain over the frozen baseline, with its interval, and what to ship.")
    def judged(
        context: dg.AssetExecutionContext,
        dataset: DatasetVersion,
        references: ReferenceBaselines,
        decided: Decision,
        base: BaseSelection,
        frozen: FrozenBaseline,
        audit: LabelAudit,
        choice: Candidate,
        controls: Controls,
        **rungs: Rung,
    ) -> dg.Output[Evaluation]:
        play = maker.play(context, EVALUATION)
        require_green(dataset)
        steps = Steps(dataset, references, decided, base, frozen, audit, in_order(rungs), choice, controls)
        if choice.skipped:
            publish_early_end(play, report_inputs(play, steps))
            return result(play, skip(play, Evaluation, choice.reason))
        done = remembered(play, Evaluation, _inputs(play, steps), lambda key: _evaluate(play, steps, key))
        inputs = {"evaluation": done.digest, "data": dataset.dataset_hash, "candidate": choice.model}
        figures = {"delta": done.delta, "interval": list(done.interval), "openings": done.openings}
        play.decide("evaluation", f"test split: {done.metric} gain {done.delta:+.4f}", inputs, figures)
        asked = {**inputs, "task_sha256": define(play.task).sha256}
        play.decide("ship", f"recommended: ship {done.ship}. {done.verdict}", asked)
        return result(play, done, _shown(play, done))

    return judged


def _inputs(play: Play, steps: Steps) -> dict[str, Any]:
    choice = steps.choice
    return {
        "candidate": [choice.source, choice.model, choice.diagnosis],
        "controls": {role: ref.sha256 for role, ref in steps.controls.files.items()},
        "baseline": steps.frozen.digest,
        "data": steps.dataset.digest,
        "references": steps.references.digest,
        "base": steps.base.digest,
        "audit": steps.audit.digest,
        "path": steps.decision.digest,
        "task": play.task.spec.model_dump(mode="json", exclude=NOT_ON_THE_PAGE),
        "behaviour": behaviour_hash(play),
        "code": version_of("evaluate"),
    }


def behaviour_hash(play: Play) -> str:
    """Hash of the file with behavioural tests, which the task file only names."""
    named = play.task.spec.evaluation.behaviour
    return file_sha256(Path(play.task.resolve(named))) if named else ""


def _evaluate(play: Play, steps: Steps, key: str) -> Made:
    from assets.budgets import measured_budgets
    from assets.examination import examine
    from assets.reference import write_reference
    from assets.test_answers import answer_test
    from playbook.evaluate.compare import evaluate, refused
    from playbook.evaluate.test_split import open_test_split

    spec, world, work = play.task.spec, play.world, play.work(key)
    resolution = _resolution(play, steps)
    if resolution is not None and not resolution.enough:
        done = refused(spec, resolution)
        play.report(done.verdict)
        return _reported(play, steps, done, work, None, {})
    opened = open_test_split(world.store, steps.dataset, DATASET, steps.choice.model, world.test_ledger(spec.task))
    play.report(f"test split opened ({len(opened.frame)} rows, opening {opened.openings}, on record)")
    answers = answer_test(play, steps, opened.frame, work)
    sides: dict[str, Any] = {
        name: answers.probabilities[name] for name in ("baseline", "candidate") if name in answers.probabilities
    }
    done = evaluate(
        spec,
        steps.dataset,
        opened.frame,
        sides,
        work,
        openings=opened.openings,
        opened_for=opened.candidates,
        diagnosis=steps.choice.diagnosis,
        resolution=resolution,
        measured=measured_budgets(play, steps, work),
    )
    done = examine(play, steps, done, opened.frame, answers)
    for name in ("baseline", "candidate", "champion"):
        shutil.rmtree(work / name, ignore_errors=True)
    play.report(done.verdict)
    files = {"predictions": work / "predictions.parquet"}
    if done.ships:
        files |= write_reference(play, steps, done, opened.frame, answers, work)
    return _reported(play, steps, done, work, opened.frame, files)


def _resolution(play: Play, steps: Steps) -> Any:
    """Whether the test split can show the margin; None where there is nothing to compare."""
    import pandas as pd

    from playbook.adapt.staircase import read_answers
    from playbook.evaluate.verdict import needed_rows

    if steps.choice.source == FROZEN:
        return None
    store, labels = play.world.store, play.task.spec.labels
    truth, first = read_answers(pd.read_parquet(store.path(steps.frozen, FROZEN, "predictions")), labels)
    _, second = read_answers(pd.read_parquet(store.path(steps.model, asset_of(steps.model), "predictions")), labels)
    return needed_rows(play.task.spec, truth, first, second, steps.dataset.class_rows["test"])


def report_inputs(play: Play, steps: Steps, done: Evaluation | None = None, **more: Any) -> Any:
    """What the report is made from."""
    from playbook.adapt.rung import versions
    from playbook.evaluate.report_content import ReportInputs

    given: dict[str, Any] = {
        "references": steps.references,
        "decision": steps.decision,
        "base": steps.base,
        "frozen": steps.frozen,
    }
    given |= {"audit": steps.audit, "candidate": steps.choice, "controls": steps.controls, "evaluation": done}
    there = {name: part for name, part in given.items() if part is not None and not part.skipped}
    spec, places, hardware = play.task.spec, play.world.places, steps.model.hardware
    return ReportInputs(
        spec=spec,
        dataset=steps.dataset,
        rungs=steps.rungs,
        hardware=hardware,
        called=spec.task if find_tasks(places).get(spec.task) == play.task.path else str(play.task.path),
        versions=versions(),
        **there,
        **more,
    )


def _reported(play: Play, steps: Steps, done: Evaluation, work: Path, frame: Any, files: dict[str, Path]) -> Made:
    import pandas as pd

    from playbook.evaluate.model_card import model_card
    from playbook.evaluate.report import render_report
    from playbook.evaluate.suite import headline_warnings

    stands_on = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset_hash": steps.dataset.dataset_hash,
        "baseline_digest": steps.frozen.digest,
        "candidate_digest": steps.choice.model,
        "hardware": steps.model.hardware,
        "reason": "" if done.ships else done.verdict,
    }
    done = done.model_copy(update=stands_on)
    predictions = pd.read_parquet(files["predictions"]) if "predictions" in files else None
    warnings = headline_warnings(done)
    content = report_inputs(play, steps, done, test_frame=frame, predictions=predictions, warnings=warnings)
    pages = {"report": work / "report.html", "card": work / "model_card.md"}
    pages["report"].write_text(render_report(content), encoding="utf-8")
    pages["card"].write_text(model_card(content), encoding="utf-8")
    run_id = _track(play, steps, done, pages)
    return Made(done.model_copy(update={"mlflow_run_id": run_id}), {**pages, **files})


def _track(play: Play, steps: Steps, done: Evaluation, pages: dict[str, Path]) -> str:
    metrics = {f"test_{one.name}": one.test.value for one in done.comparisons}
    gain = {"delta": done.delta, "delta_low": done.interval[0], "delta_high": done.interval[1]}
    calibrated = {"ece": done.calibration.ece_after} if done.calibration else {}
    ledger = [row.model_dump() for row in steps.choice.ledger]
    table = {name: [row[name] for row in ledger] for name in ledger[0]} if ledger else {}
    return log_attempt(
        play,
        steps.dataset,
        metrics={**metrics, **gain, **calibrated, "openings": float(done.openings)},
        params={"ship": done.ship, "source": steps.choice.source, "target": done.target, "margin": done.margin},
        tables={"ledger.json": table} if table else None,
        files={path.name: path for path in pages.values()},
        hardware=done.hardware,
    )


def _shown(play: Play, done: Evaluation) -> dict[str, Any]:
    if done.skipped:
        return {}
    published = publish_report(play, play.world.store.path(done, EVALUATION, "report"))
    card = publish_card(play, play.world.store.path(done, EVALUATION, "card"))
    shown: dict[str, Any] = {
        "ship": done.ship,
        "verdict": done.verdict,
        "report": dg.MetadataValue.path(str(published)),
        "model_card": dg.MetadataValue.path(str(card)),
        "test_openings": done.openings,
        "transfer": done.transfer.text or "-",
        "blockers": dg.MetadataValue.md("\n".join(f"- {blocker.text}" for blocker in done.blockers) or "none"),
        "comparisons": dg.MetadataValue.md(_comparison_table(done)),
    }
    for name, side in (("baseline", done.baseline), ("candidate", done.candidate)):
        if side is not None:
            shown[f"test_{name}"] = side.scores[done.metric].value
    if done.candidate is not None:
        shown |= {"delta": done.delta, "delta_low": done.interval[0], "delta_high": done.interval[1]}
    return {**shown, **_plots(play, done)}


def _plots(play: Play, done: Evaluation) -> dict[str, Any]:
    from playbook.evaluate.plots import confusion_plot, per_class_plot

    side = done.candidate or done.baseline
    if side is None:
        return {}
    confused = confusion_plot(side.confusion, play.task.spec.labels, kind="png")
    return {
        "confusion": png(confused, "confusion"),
        "per_class": png(per_class_plot(side.per_class, kind="png"), "per class"),
    }


def _comparison_table(done: Evaluation) -> str:
    lines = [f"| model | {done.metric} on test | over frozen |", "|---|---|---|"]
    for one in done.comparisons:
        over = one.over_frozen
        gain = f"{over.value:+.4f} ({over.low:+.4f} to {over.high:+.4f})" if over else "-"
        lines.append(f"| {one.name} | {one.test.value:.4f} ({one.test.low:.4f} to {one.test.high:.4f}) | {gain} |")
    return "\n".join(lines)
