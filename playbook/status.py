"""Where a task stands, read from the store: what `playbook show` prints. Runs nothing."""

from __future__ import annotations

from typing import Any

from playbook.artifacts import (
    Adapted,
    Artifact,
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    EarlyEnd,
    EarlyEndClaim,
    Evaluation,
    LabelAudit,
    PackagedModel,
    ReferenceBaselines,
    Rung,
    SignOff,
)
from playbook.decide.log import open_decision_log
from playbook.evaluate.binding import target_changed
from playbook.evaluate.report_price import priced
from playbook.evaluate.suite import waived_text
from playbook.operate.promotion import standing
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
    PACKAGED,
    PROBLEM,
    REFERENCES,
    REFRESH,
    SIGN_OFF,
    asset_kinds,
    modelling_assets,
    rung_name,
)
from playbook.production_status import read_production
from playbook.settings import Settings
from playbook.states import RED_GATE, standing_of
from playbook.store import Store
from playbook.taskfile import Task


def read_status(task: Task, places: Settings) -> dict[str, Any]:
    """The task's status with the keys of the command line's contract; unknown figures are None.

    Raises:
        LogTampered: the decision log is not what was written, so nobody knows what was approved.
        ArtifactError: a manifest was altered, or the log cannot be read.
    """
    store = Store(places.store, places.home / "cache" / "store")
    found = _of_todays_data(store, task)
    dataset = _done(found.get(DATASET), DatasetVersion)
    evaluation = _todays(task, dataset, found)
    _note_decisions(task, places, evaluation, found)
    now = standing_of({**found, EVALUATION: evaluation})
    target = task.spec.target
    report = places.report(task.spec.task)
    return {
        "task": task.spec.task,
        "called": task.called(places),
        "state": now.state,
        "headline": now.headline,
        "reason": now.reason,
        "question": task.spec.question,
        "dataset": _dataset(dataset),
        "gate": _gate(dataset),
        "target": {
            "metric": target.label,
            "value": target.bound,
            "direction": target.direction,
            "margin": target.margin,
        },
        "reference_baselines": _references(found),
        "frozen_baseline": {
            "validation": _validation(found.get(FROZEN)),
            "test": _test(evaluation, evaluation.baseline if evaluation else None),
        },
        "rungs": _rungs(task, found),
        "early_end": _claim(found),
        "test_split": _test_split(dataset),
        "decision": _decision(found),
        "base": _base(found),
        "labels": _labels(dataset, found),
        "controls": _controls(found),
        "candidate": _source(found),
        "test": _test_side(evaluation),
        "ship": evaluation.ship if evaluation else None,
        "verdict": evaluation.verdict if evaluation else None,
        "next_steps": list(evaluation.next_steps if evaluation else _steps_of_claim(found)),
        "transfer": evaluation.transfer.text if evaluation else None,
        "blockers": [blocker.model_dump() for blocker in evaluation.blockers] if evaluation else [],
        "waived_terms": waived_text(evaluation.waived) if evaluation and evaluation.waived else None,
        "cost": _cost(task, evaluation),
        "sign_off": _sign_off(found),
        "model": _model(task, places, found, evaluation),
        "production": read_production(store, task.spec.task, places),
        "seconds": _seconds(found),
        "report": str(report) if dataset is not None and report.exists() else None,
    }


def _cost(task: Task, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """What training took, at the prices of the task file as it is now."""
    cost = priced(task.spec, evaluation).cost if evaluation is not None else None
    return cost.model_dump() if cost is not None else None


def _of_todays_data(store: Store, task: Task) -> dict[str, Any]:
    """Every asset's result, without those that became current on other data than today's dataset version.

    Nor are those shown that were skipped behind a red gate once it is green: they are yet to run.

    Where the question has changed since (`problem_statement` has the one that was asked), references and decision
    answer another one.
    """
    name = task.spec.task
    found: dict[str, Any] = {asset: store.current(name, asset, kind) for asset, kind in asset_kinds(task.spec).items()}
    dataset = found.get(DATASET)
    green = dataset is not None and dataset.gate is not None and dataset.gate.passed
    for asset in modelling_assets(task.spec):
        stood_on, artifact = store.current_data(name, asset), found.get(asset)
        if dataset is not None and stood_on and stood_on != dataset.dataset_hash:
            found[asset] = None
        if green and artifact is not None and artifact.skipped and artifact.reason.startswith(RED_GATE):
            found[asset] = None
    statement = found.get(PROBLEM)
    if statement is not None and statement.spec.get("target") != task.spec.target.model_dump(mode="json"):
        found[REFERENCES] = found[DECISION] = found[EARLY_END] = None
    return found


def _todays(task: Task, dataset: DatasetVersion | None, found: dict[str, Any]) -> Evaluation | None:
    """The evaluation, unless data, baseline or target have changed since; what stands on an older one goes with it."""
    evaluation = _done(found.get(EVALUATION), Evaluation)
    frozen = found.get(FROZEN)
    if evaluation is not None and dataset is not None and frozen is not None:
        target, judged = task.spec.target, (evaluation.metric, evaluation.target, evaluation.margin)
        asked = judged == (target.label, target.bound, target.margin)
        if not evaluation.refused:  # one that stayed closed measured nothing, limits neither
            asked = not target_changed(task, evaluation)
        if asked and (evaluation.dataset_hash, evaluation.baseline_digest) == (dataset.dataset_hash, frozen.digest):
            packaged, approval = found.get(PACKAGED), found.get(SIGN_OFF)
            if isinstance(packaged, PackagedModel) and packaged.evaluation != evaluation.digest:
                found[PACKAGED] = None
            if isinstance(approval, SignOff) and approval.binding is not None:
                found[SIGN_OFF] = approval if approval.binding.evaluation == evaluation.digest else None
            return evaluation
    found[PACKAGED] = found[SIGN_OFF] = None
    return None


def _note_decisions(task: Task, places: Settings, evaluation: Evaluation | None, found: dict[str, Any]) -> None:
    """Read the log: an approval that no run has taken up yet is awaited no more, a rejection counts at once."""
    entries = open_decision_log(places, task.spec.task).entries()
    approval = _done(found.get(SIGN_OFF), SignOff)
    if approval is None or evaluation is None:
        return
    decided = [entry for entry in entries if entry.kind in {"sign_off", "rejection"}]
    latest = next((entry for entry in reversed(decided) if entry.inputs.get("evaluation") == evaluation.digest), None)
    if latest is None or latest.sha256 == approval.log_entry:
        return
    noted: dict[str, Any] = {
        "awaits": f"{latest.title} (entry {latest.index}): `playbook run {task.called(places)}` takes it up"
    }
    if latest.kind == "rejection":
        noted |= {"state": "rejected", "by": latest.by, "at": latest.time, "reason": latest.title}
    found[SIGN_OFF] = approval.model_copy(update=noted)


def _done(artifact: Artifact | None, kind: type[Any]) -> Any:
    return artifact if isinstance(artifact, kind) and not artifact.skipped else None


def _claim(found: dict[str, Any]) -> dict[str, Any] | None:
    """The last baseline that met the target on validation, and what the test split said to that."""
    claims = _claims(found)
    return claims[0].model_dump(include={"baseline", "confirmed", "text", "openings"}) if claims else None


def _claims(found: dict[str, Any]) -> list[EarlyEndClaim]:
    decided, early = _done(found.get(DECISION), Decision), _done(found.get(EARLY_END), EarlyEnd)
    return [part.claim for part in (early, decided) if part is not None and part.claim is not None]


def _steps_of_claim(found: dict[str, Any]) -> tuple[str, ...]:
    """What can be done where a baseline's claim may not be asked of the test split."""
    claims = _claims(found)
    return claims[0].next_steps if claims else ()


def _test_split(dataset: DatasetVersion | None) -> dict[str, Any] | None:
    """Whether the test split's inputs are like the others; None where that is not known."""
    alike = dataset.gate.resemblance if dataset is not None and dataset.gate is not None else None
    return alike.model_dump(include={"auc", "p_value", "differs", "known", "text"}) if alike is not None else None


def _decision(found: dict[str, Any]) -> dict[str, Any] | None:
    decided = _done(found.get(DECISION), Decision)
    if decided is None:
        return None
    named = {"path": decided.path, "recommended": decided.recommended, "why": decided.why}
    sure = {"confidence": decided.confidence, "could_change": list(decided.could_change)}
    open_ones = {"open_questions": list(decided.open_questions), **sure, "findings": list(decided.findings)}
    return {**named, "overridden": decided.overridden, **open_ones}


def _base(found: dict[str, Any]) -> dict[str, Any] | None:
    selection = _done(found.get(BASE), BaseSelection)
    if selection is None or not selection.candidates:
        return None
    candidates = [
        {"name": one.name, "score": one.score.value if one.score else None, "out": one.out}
        for one in selection.candidates
    ]
    chosen = selection.candidates[selection.chosen].name
    return {"chosen": chosen, "why": selection.why, "candidates": candidates, "findings": list(selection.findings)}


def _labels(dataset: DatasetVersion | None, found: dict[str, Any]) -> dict[str, Any]:
    audit = _done(found.get(AUDIT), LabelAudit)
    curve = audit.curve if audit else None
    return {
        "kappa": dataset.agreement.kappa.value if dataset and dataset.agreement else None,
        "suspects": audit.suspects if audit else None,
        "estimated_wrong": audit.wrong.value if audit and audit.wrong else None,
        "queue": audit.review.model_dump() if audit else None,
        "more_data": {"verdict": curve.verdict, "gain_of_twice": curve.gain_of_twice.model_dump()} if curve else None,
    }


def _controls(found: dict[str, Any]) -> dict[str, Any]:
    controls = _done(found.get(CONTROLS), Controls)
    scores = {run.name: run.validation.value for run in controls.runs} if controls else {}
    named = {"scratch": scores.get("scratch"), "other_base": scores.get("other_base")}
    spread = controls.seeds.model_dump() if controls and controls.seeds else None
    return {**named, "transfer": controls.transfer if controls else None, "seeds": spread}


def _sign_off(found: dict[str, Any]) -> dict[str, Any] | None:
    approval = _done(found.get(SIGN_OFF), SignOff)
    if approval is None:
        return None
    said = {"state": approval.state, "mode": approval.mode, "by": approval.by, "at": approval.at}
    return {**said, "same_person": approval.same_person, "awaits": approval.awaits, "reason": approval.reason}


def _dataset(dataset: DatasetVersion | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    return {
        "version": dataset.number,
        "hash": dataset.dataset_hash,
        "rows": dataset.rows,
        "quarantined": dataset.quarantined,
        "changelog": dataset.changelog,
    }


def _gate(dataset: DatasetVersion | None) -> dict[str, Any] | None:
    if dataset is None or dataset.gate is None:
        return None
    checks = [check.model_dump() for check in dataset.gate.checks if not check.passed]
    return {"passed": dataset.gate.passed, "checks": len(dataset.gate.checks), "failed": checks}


def _references(found: dict[str, Any]) -> dict[str, float]:
    references = _done(found.get(REFERENCES), ReferenceBaselines)
    return {name: score.value for name, score in references.validation.items()} if references else {}


def _validation(artifact: Any) -> float | None:
    return artifact.validation.value if isinstance(artifact, Adapted) and artifact.validation else None


def _test(evaluation: Evaluation | None, side: Any) -> float | None:
    return side.scores[evaluation.metric].value if evaluation is not None and side is not None else None


def _rungs(task: Task, found: dict[str, Any]) -> list[dict[str, Any]]:
    rungs = []
    for index in range(1, task.spec.adaptation.max_rungs + 1):
        rung = found.get(rung_name(index))
        if isinstance(rung, Rung):
            figures = {"unfrozen": index, "validation": _validation(rung), "kept": rung.kept, "seconds": rung.seconds}
            rungs.append({**figures, "gain": rung.gain, "status": rung.status, "reason": rung.reason})
    return rungs


def _source(found: dict[str, Any]) -> str | None:
    candidate = _done(found.get(CANDIDATE), Candidate)
    return candidate.source if candidate else None


def _test_side(evaluation: Evaluation | None) -> dict[str, Any] | None:
    if evaluation is None or evaluation.refused:
        return None
    return {
        "candidate": _test(evaluation, evaluation.candidate),
        "baseline": _test(evaluation, evaluation.baseline),
        "delta": evaluation.delta if evaluation.candidate else None,
        "interval": list(evaluation.interval) if evaluation.candidate else None,
        "openings": evaluation.openings,
        "over_reference": _over_reference(evaluation),
    }


def _over_reference(evaluation: Evaluation) -> dict[str, Any] | None:
    """The gain over the strongest simple reference on the test split."""
    over = evaluation.over_reference
    if over is None:
        return None
    interval = [over.gain.low, over.gain.high]
    return {"name": over.name, "test": over.test.value, "delta": over.gain.value, "interval": interval}


def _model(task: Task, places: Settings, found: dict[str, Any], evaluation: Evaluation | None) -> dict[str, Any] | None:
    """The model in production: what was packaged, what a rollback put in its place, or what a round left there."""
    model, stays = _done(found.get(PACKAGED), PackagedModel), evaluation is not None and evaluation.ship == "incumbent"
    if model is None and not stays:
        return None
    alias = task.spec.package.alias
    now = standing(open_decision_log(places, task.spec.task).entries(), alias)
    if model is None:
        named = {"name": task.spec.task, "version": now.champion, "alias": alias, "source": now.source}
        return {**named, "previous": now.previous or None, "packaged": None} if now.champion else None
    version = now.champion or model.version
    source = model.source if version == model.version else now.source
    named = {"name": model.name, "version": version, "alias": alias, "source": source}
    return {**named, "previous": now.previous or None, "packaged": model.version}


def _seconds(found: dict[str, Any]) -> dict[str, float]:
    seconds = {name: artifact.seconds for name, artifact in found.items() if artifact is not None}
    training = [s for name, s in seconds.items() if name in {FROZEN, CONTROLS, REFRESH} or name.startswith("rung_")]
    return {"total": round(sum(seconds.values()), 1), "training": round(sum(training), 1)}
