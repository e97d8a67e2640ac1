"""Play 5: the evaluation on a test split that is opened once, with the suite around it."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.candidate import in_order, rung_inputs
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, png, remembered, require_green, result, skip
from assets.publish import publish_early_end
from assets.report import Published, publish_pages, report_inputs
from assets.resolution import gain_resolution, limits_resolution
from assets.rounds import Round, judge_round, refuse_round_of, round_inputs, round_of, round_resolution
from assets.served import served_by
from assets.steps import Steps
from assets.terms import terms_now
from assets.test_answers import (
    Answered,
    answer_all,
    champion_model,
    control_models,
    reference_models,
    stored_answers,
    trained_model,
)
from assets.tracked import log_attempt
from playbook.artifacts import (
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    EarlyEnd,
    Evaluation,
    FrozenBaseline,
    LabelAudit,
    LockedTerms,
    ReferenceBaselines,
    Rung,
    Waiver,
)
from playbook.evaluate.answers import AskedModel
from playbook.evaluate.verdict import least_resolution
from playbook.operate.definition import define
from playbook.plays import (
    AUDIT,
    BASE,
    CANDIDATE,
    CONTROLS,
    DATASET,
    DECISION,
    EARLY_END,
    EVALUATION,
    FROZEN,
    REFERENCES,
)
from playbook.spec import TaskSpec
from playbook.statistics.answers import answers_of
from playbook.store import SEALED, file_sha256
from playbook.taskfile import Task


def evaluation(maker: AssetMaker) -> dg.AssetsDefinition:
    """The candidate against the frozen baseline, on a test split opened once."""
    upstream = {"dataset": DATASET, "references": REFERENCES, "decided": DECISION, "base": BASE, "frozen": FROZEN}
    upstream["early"] = EARLY_END
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
        early: EarlyEnd,
        audit: LabelAudit,
        choice: Candidate,
        controls: Controls,
        **rungs: Rung,
    ) -> dg.Output[Evaluation]:
        play = maker.play(context, EVALUATION)
        require_green(dataset)
        steps = Steps(dataset, references, decided, base, frozen, early, audit, in_order(rungs), choice, controls)
        resolution = least_resolution(play.task.spec, dataset.class_rows.get("test", {}))
        if choice.skipped and resolution.enough:
            publish_early_end(play, report_inputs(play, steps))
            return result(play, skip(play, Evaluation, choice.reason))
        done = _judge(play, steps) if resolution.enough else _refused(play, steps, resolution)
        inputs = {"evaluation": done.digest, "data": dataset.dataset_hash, "candidate": choice.model}
        figures = {"delta": done.delta, "interval": list(done.interval), "openings": done.openings}
        said = "the split stays closed" if done.refused else f"{done.metric} gain {done.delta:+.4f}"
        play.decide("evaluation", f"test split: {said}", inputs, figures)
        asked = {**inputs, **judged_task(play.task, done)}
        play.decide("ship", f"recommended: ship {done.ship}. {done.verdict}", asked)
        return result(play, done, _shown(play, done, publish_pages(play, steps, done)))

    return judged


def judged_task(task: Task, done: Evaluation) -> dict[str, str]:
    """The task's definition, for the record of what ships; empty where the evaluation was refused and judged nothing.

    The monitor asks for no round about a definition that is on record here.
    """
    return {} if done.refused else {"task_sha256": define(task).sha256}


def _judge(play: Play, steps: Steps) -> Evaluation:
    """Answers first, then figures and verdict: each is found again where what it depends on is as it was."""
    terms, current = terms_now(play, steps.dataset), round_of(play, steps)
    beside = {"round": round_inputs(play, current)} if current else {}
    if terms.lock is not None and terms.refused:
        lock, stands_on = terms.lock, {**_inputs(play, steps), "locked": terms.lock.key, **beside}
        return remembered(play, Evaluation, stands_on, lambda key: _refuse_terms(play, steps, lock, current))
    resolution = round_resolution(play, steps, current) if current else gain_resolution(play, steps)
    for asked in (limits_resolution(play, steps), resolution):
        if asked is not None and not asked.enough:
            return _refused(play, steps, asked)
    own = _own_models(play, steps)
    answered = stored_answers(play, steps.dataset, own)
    everybody = None if answered is not None else _ask_all(play, steps, own, current)
    found = answered or everybody
    digests = {model.name: found.answers[model.name].digest for model in own} if found else {}
    inputs = {**_inputs(play, steps), "answers": digests, "waived": terms.entry, **beside}

    def make(key: str) -> Made:
        answers = everybody or _ask_all(play, steps, own, current)
        return _evaluate(play, steps, answers, _Terms(resolution, terms.waiver, current), key)

    return remembered(play, Evaluation, inputs, make)


def _refused(play: Play, steps: Steps, resolution: Any) -> Evaluation:
    """The evaluation where the test split is too small, whichever model is the candidate; it stays closed."""
    current = round_of(play, steps)
    asked = {**_inputs(play, steps), "refused": [resolution.needed, resolution.available, resolution.how]}
    asked["openings"] = _openings(play, steps)
    asked |= {"round": round_inputs(play, current)} if current else {}
    return remembered(play, Evaluation, asked, lambda key: _refuse(play, steps, resolution, current))


def _openings(play: Play, steps: Steps) -> int:
    """How often rows of the test split were opened so far, for an early end perhaps; it stays closed."""
    from playbook.evaluate.openings import openings_of_rows
    from playbook.evaluate.test_split import closed_marks

    dataset, spec, world = steps.dataset, play.task.spec, play.world
    sealed = dataset.files.get(SEALED)
    if sealed is None:
        return 0
    rows = lambda: closed_marks(world.store, dataset, DATASET)  # noqa: E731
    ledger, classes = world.test_ledger(spec.task), spec.data.classes
    return len(openings_of_rows(ledger, sealed.sha256, rows, classes, play.warn))


def _own_models(play: Play, steps: Steps) -> list[AskedModel]:
    """What the task itself made: baseline, candidate, controls, references. The champion is a fact of the day."""
    models = [trained_model(play, "baseline", steps.frozen)]
    if steps.choice.source != FROZEN:
        models.append(trained_model(play, "candidate", steps.model))
    known = steps.references
    references = reference_models(play, steps.dataset, list(known.validation), known.tfidf)
    return [*models, *control_models(play, steps.controls), *references]


def _ask_all(play: Play, steps: Steps, own: Sequence[AskedModel], current: Round | None) -> Answered:
    """Answers of all models and of the champion; what is missing is asked in one opening for the candidate."""
    models = [*own, *([champion_model(play, current.incumbent)] if current is not None else [])]
    answered = answer_all(play, steps.dataset, models, "evaluation", steps.choice.model)
    return replace(answered, champion_version=current.incumbent.version) if current is not None else answered


def _inputs(play: Play, steps: Steps) -> dict[str, Any]:
    """What figures depend on beside the answers."""
    dataset, rows = steps.dataset, ("train", "validation", "test", "production")
    return {
        "candidate": [steps.choice.source, steps.choice.model, steps.choice.diagnosis],
        "baseline": steps.frozen.digest,
        "controls": steps.controls.digest,
        "references": steps.references.model_dump(mode="json", include={"validation", "served"}),
        "rows": {split: dataset.files[split].sha256 for split in rows if split in dataset.files},
        "data": dataset.dataset_hash,
        "agreement": dataset.agreement.model_dump(mode="json") if dataset.agreement else None,
        "task": figure_fields(play.task.spec),
        "behaviour": behaviour_hash(play),
        "capabilities": capabilities_hash(play),
        "code": version_of("evaluate"),
    }


def figure_fields(spec: TaskSpec) -> dict[str, Any]:
    """What figures and verdict depend on of the task file, beside the answers.

    Owners, question, prices, sign-off, packaging, and what production does with the model are in no figure. Of the
    sections that are named here every field counts unless it is left out by name.
    """
    data = {"source", "splits", "gate", "learning_curve", "labels"}
    return {
        "task": spec.task,
        "target": spec.target.model_dump(mode="json"),
        "evaluation": spec.evaluation.model_dump(mode="json", exclude={"examples", "early_end_standard_errors"}),
        "data": spec.data.model_dump(mode="json", exclude=data),
        "min_kappa": spec.data.labels.min_kappa,
        "serving": spec.serving.model_dump(mode="json", exclude={"log_share", "retention_days"}),
        "arithmetic": [spec.adaptation.seed, spec.adaptation.accelerator, spec.adaptation.precision],
    }


def behaviour_hash(play: Play) -> str:
    """Hash of the file with behavioural tests, which the task file only names."""
    named = play.task.spec.evaluation.behaviour
    return file_sha256(Path(play.task.resolve(named))) if named else ""


def capabilities_hash(play: Play) -> str:
    """Hash of the capability set, which the task file only names; its faults are found before the split is opened."""
    from playbook.evaluate.capabilities import capability_file, load_capabilities

    path = capability_file(play.task)
    if path is None:
        return ""
    load_capabilities(play.task)
    return file_sha256(path)


def _refuse(play: Play, steps: Steps, resolution: Any, current: Round | None) -> Made:
    from playbook.evaluate.compare import refused

    done = refused(play.task.spec, resolution, _openings(play, steps))
    done = refuse_round_of(play, current, resolution, done) if current is not None else done
    play.report(done.verdict)
    return _recorded(play, steps, done, {})


def _refuse_terms(play: Play, steps: Steps, lock: LockedTerms, current: Round | None) -> Made:
    from playbook.evaluate.compare import refused_terms
    from playbook.evaluate.terms_waiver import locked_text

    done = refused_terms(play.task.spec, lock, *locked_text(lock, play.task))
    done = done.model_copy(update={"ship": "incumbent"}) if current is not None else done
    play.report(done.verdict)
    return _recorded(play, steps, done, {})


@dataclass(frozen=True)
class _Terms:
    """What an evaluation is judged under: the size of the split, a waiver of changed terms, the round it decides."""

    resolution: Any
    waived: Waiver | None
    current: Round | None


def _evaluate(play: Play, steps: Steps, answered: Answered, terms: _Terms, key: str) -> Made:
    from assets.budgets import measured_budgets
    from assets.examination import examine, validation_confusion
    from assets.reference import write_reference
    from assets.silence import judge_silence_of
    from playbook.evaluate.compare import evaluate

    spec, work = play.task.spec, play.work(key)
    answered = replace(answered, served=served_by(play, steps, answered, work))
    sides = {name: answers_of(answered.given[name]) for name in ("baseline", "candidate") if name in answered.answers}
    done = evaluate(
        spec,
        steps.dataset,
        answered.frame,
        sides,
        work,
        openings=answered.openings,
        opened_for=answered.opened_for,
        diagnosis=steps.choice.diagnosis,
        resolution=terms.resolution,
        measured=measured_budgets(play, steps, work),
        confused={name: validation_confusion(play, steps, name) for name in sides},
    )
    done = judge_round(play, steps, terms.current, answered, done) if terms.current is not None else done
    done = examine(play, steps, done.model_copy(update={"waived": terms.waived}), answered, work)
    play.report(done.verdict)
    silence, known_rows = judge_silence_of(play, steps, done, answered, work)
    done = done.model_copy(update={"silence": silence})
    files = {"predictions": work / "predictions.parquet", **known_rows}
    if done.ships:
        files |= write_reference(play, steps, done, answered, work)
    return _recorded(play, steps, done, files)


def _recorded(play: Play, steps: Steps, done: Evaluation, files: dict[str, Path]) -> Made:
    stands_on = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset_hash": steps.dataset.dataset_hash,
        "baseline_digest": steps.frozen.digest,
        "candidate_digest": steps.choice.model,
        "reason": "" if done.ships else done.verdict,
    }
    done = done.model_copy(update=stands_on)
    return Made(done.model_copy(update={"mlflow_run_id": _track(play, steps, done)}), files)


def _track(play: Play, steps: Steps, done: Evaluation) -> str:
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
        hardware=done.hardware,
    )


def _shown(play: Play, done: Evaluation, pages: Published) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ship": done.ship,
        "verdict": done.verdict,
        "report": dg.MetadataValue.path(str(pages.report)),
        "model_card": dg.MetadataValue.path(str(pages.card)),
        "test_openings": done.openings,
        "transfer": done.transfer.text or "-",
        "over_reference": done.over_reference.text if done.over_reference else "-",
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
