"""Play 1: the problem statement and the reference baselines."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.tracked import log_attempt
from playbook.artifacts import (
    Accumulation,
    BasePin,
    DatasetVersion,
    ProblemStatement,
    ReferenceBaselines,
    Score,
    canonical_hash,
)
from playbook.evaluate.capabilities import load_capabilities
from playbook.evaluate.verdict import least_resolution
from playbook.plays import ACCUMULATED, DATASET, PROBLEM, REFERENCES
from playbook.settings import settings
from playbook.spec import Limit
from playbook.statistics.metric import is_met
from playbook.taskfile import Task

SCORED_BY = ("confidence", "resamples", "early_end_standard_errors")  # fields of `evaluation` that validation rests on

if TYPE_CHECKING:
    import pandas as pd

    from playbook.adapt.features import FeatureExtractor
    from playbook.decide.references import References


def problem_statement(maker: AssetMaker) -> dg.AssetsDefinition:
    """The validated task file and its hash."""
    spec = maker.task.spec
    # A round begins with the data: classes that production brought are part of the task from here on.
    upstream = {"accumulated": ACCUMULATED}
    options = maker.options(PROBLEM, play=1, owner=spec.owners.model, part="scope", kinds={"yaml"}, upstream=upstream)

    @dg.asset(**options, description=f"{spec.question} Success: {spec.target.label} of {_asked(spec.target)}.")
    def statement(context: dg.AssetExecutionContext, accumulated: Accumulation) -> dg.Output[ProblemStatement]:
        play = maker.play(context, PROBLEM)
        load_capabilities(play.task)  # its faults are found before anything is trained
        content = play.task.spec.model_dump(mode="json")

        def make(key: str) -> Made:
            return Made(ProblemStatement(task=spec.task, spec=content, spec_hash=canonical_hash(content)))

        done = remembered(play, ProblemStatement, {"spec": content, "code": version_of("scope")}, make)
        asked = {"target": spec.target.model_dump(mode="json"), "question": spec.question}
        title = f"{spec.target.label} of {_asked(spec.target)}"
        play.decide("scope", title, {"task": done.spec_hash}, asked, by=spec.owners.model)
        limits = [
            f"{limit.label} {'>=' if limit.direction == 'at_least' else '<='} {limit.bound:g}"
            for limit in spec.target.all_limits
        ]
        shown = {
            "question": spec.question,
            "target": ", ".join(limits),
            "margin": spec.target.margin,
            "task_file": dg.MetadataValue.path(str(maker.task.path)),
            "spec": dg.MetadataValue.json(json.loads(json.dumps(content))),
        }
        return result(play, done, shown)

    return statement


def _asked(limit: Limit) -> str:
    return f"{limit.direction.replace('_', ' ')} {limit.bound:g}"


def reference_baselines(maker: AssetMaker) -> dg.AssetsDefinition:
    """Majority class, TF-IDF with logistic regression, and the task's first base zero-shot."""
    options = maker.options(
        REFERENCES,
        play=1,
        owner=maker.task.spec.owners.model,
        part="references",
        kinds={"scikitlearn", "pytorch"},
        upstream={"statement": PROBLEM, "dataset": DATASET},
    )

    @dg.asset(
        **options, description="What needs no adapted base: majority class, TF-IDF, the pretrained base zero-shot."
    )
    def references(
        context: dg.AssetExecutionContext, statement: ProblemStatement, dataset: DatasetVersion
    ) -> dg.Output[ReferenceBaselines]:
        play = maker.play(context, REFERENCES)
        require_green(dataset)
        size = least_resolution(play.task.spec, dataset.class_rows.get("test", {}))
        if not size.enough:
            why = f"the test split is too small for what was asked: {size.how}"
            play.decide("early_end", why, {"data": dataset.dataset_hash}, {"ends": True})
            return result(play, skip(play, ReferenceBaselines, why))
        require_bases(maker.task)
        base = first_base(maker.task)
        inputs = reference_inputs(play.task, dataset, base)
        done = remembered(play, ReferenceBaselines, inputs, lambda key: _score(play, dataset, base))
        shown = {name: score.value for name, score in done.validation.items()}
        left_out = {f"{name}_left_out": why for name, why in done.left_out.items()}
        return result(play, done, {**shown, "meets_target": done.meets_target or "-", **left_out})

    return references


@dataclass(frozen=True)
class FirstBase:
    """The task's first base that may be used; where none may, `problem` says why."""

    folder: Path | None = None
    pin: BasePin | None = None
    problem: str = ""
    findings: tuple[str, ...] = ()  # what somebody should look at in any base of the task; it decides nothing


def first_base(task: Task) -> FirstBase:
    """Find and verify the first base of the task file whose licence and modality allow its use.

    Raises:
        PinMismatch: it is not there, or not what its pin says.
    """
    from playbook.bases.admission import findings_of_all, modality_fault
    from playbook.bases.derive import base_on_disk
    from playbook.bases.licences import card_fault, licence_fault
    from playbook.bases.locate import locate_base
    from playbook.bases.pin import pin_base

    spec = task.spec
    if spec.decision.base_licences_allow_use is False:
        return FirstBase(problem="no base may be used: the task file says decision.base_licences_allow_use: false")
    faults = []
    for base in spec.bases:
        fault = licence_fault(base, spec.bake_off.licences, spec.bake_off.forbidden_licences)
        located = None if fault else locate_base(base, task.resolve)
        if located is not None:
            fault = card_fault(spec, located) or modality_fault(spec.modality, base, located)
        if not fault:
            folder = base_on_disk(base, task.resolve, settings().derived_bases)
            return FirstBase(folder, pin_base(base, folder), findings=findings_of_all(spec, task.resolve))
        faults.append(fault)
    return FirstBase(problem=f"the base may not be used: {'; '.join(faults)}")


def require_bases(task: Task) -> None:
    """Find, verify and load every base that may be used, before anything is fitted.

    One that is over the budget by its size alone is not loaded, unless the references need it.

    Raises:
        PinMismatch: one is not there, not what its pin says, or cannot be loaded; the run ends with that.
    """
    from playbook.bases.admission import budget_faults, disk_mb, find_bases
    from playbook.bases.loadable import require_loadable

    spec = task.spec
    if spec.decision.base_licences_allow_use is False:
        return
    needed = True
    for one in find_bases(spec, task.resolve, settings().derived_bases):
        if one.folder is None or one.pin is None:
            continue
        if needed or not budget_faults(spec.bake_off.budget, one.pin, disk_mb(one.folder), None):
            require_loadable(one.name, one.folder, one.pin, spec.adaptation)
        needed = False


def reference_extractor(play: Play) -> "FeatureExtractor | None":
    """Features of the task's first base, which the zero-shot reference answers with; None where none may be used."""
    return _extractor(play, first_base(play.task))[0]


def _extractor(play: Play, base: FirstBase) -> "tuple[FeatureExtractor | None, str]":
    """The extractor, or None and why no base may be used.

    Raises:
        PinMismatch: the architecture of the base is not supported.
    """
    from playbook.adapt.features import FeatureExtractor

    if base.folder is None or base.pin is None:
        return None, base.problem
    return FeatureExtractor(base.folder, base.pin, play.task.spec.adaptation), ""


def reference_inputs(task: Task, dataset: DatasetVersion, base: FirstBase) -> dict[str, Any]:
    """What the reference baselines depend on."""
    spec = task.spec
    return {
        "data": dataset.dataset_hash,
        "classes": spec.data.classes,
        "limits": [limit.model_dump(mode="json") for limit in spec.target.all_limits],  # the first one is the target
        "operating_point": spec.target.operating_point,
        "evaluation": spec.evaluation.model_dump(mode="json", include=set(SCORED_BY)),
        "weighting": [spec.adaptation.class_weighting, spec.adaptation.seed],
        "arithmetic": [spec.adaptation.accelerator, spec.adaptation.precision],
        "base": base.pin.model_dump(mode="json") if base.pin else base.problem,
        "code": version_of("references"),
    }


def _score(play: Play, dataset: DatasetVersion, base: FirstBase) -> Made:
    import pandas as pd

    from playbook.data.tables import LABEL
    from playbook.decide.references import fit_references
    from playbook.evaluate.limit_rows import too_few_rows

    spec, store = play.task.spec, play.world.store
    play.report("majority class, TF-IDF with logistic regression, the base zero-shot")
    train, validation = (pd.read_parquet(store.path(dataset, DATASET, split)) for split in ("train", "validation"))
    extractor, problem = _extractor(play, base)
    found = fit_references(spec, train, validation, extractor, no_base=problem)
    for name, why in found.left_out.items():
        play.report(f"{name}: left out, {why}")
    for name, score in found.scores.items():
        play.report(f"{name}: validation {_figure(score)}")
    metrics = {f"validation_{name}": score.value for name, score in found.scores.items()}
    run_id = log_attempt(play, dataset, metrics=metrics, params={"tfidf": found.tfidf.model_dump(exclude={"tried"})})
    meets, reason, measured = _within_budgets(play, found, validation)
    test_rows = dataset.class_rows.get("test", {})
    truth = np.array([spec.labels.index(label) for label in validation[LABEL]], dtype=np.int64)
    artifact = ReferenceBaselines(
        task=spec.task,
        validation=dict(found.scores),
        served={name: one.rules(spec.labels) for name, one in found.served.items()},
        tfidf=found.tfidf,
        meets_target=meets,
        too_few=too_few_rows(spec, truth, found.answers[meets], test_rows) if meets else None,
        measured=measured,
        left_out=dict(found.left_out),
        reason=reason,
        mlflow_run_id=run_id,
    )
    return Made(artifact)


def _within_budgets(play: Play, found: "References", validation: "pd.DataFrame") -> tuple[str, str, dict[str, Score]]:
    """The reference that meets the target, unless it is known to miss a limit on the model; what there is to say."""
    from playbook.data.tables import TEXT
    from playbook.evaluate.budgets import budgets_in_words, time_reference

    spec, name = play.task.spec, found.meets_target
    if not name:
        return "", "", {}
    measured = time_reference(spec, found.predictors[name].probabilities, validation[TEXT].tolist())
    over = [one for one in spec.target.budgets if one.label in measured and not is_met(one, measured[one.label].value)]
    if not over:
        return name, f"{name} meets the target on validation", measured
    why = f"{name} meets the target on validation, but not every limit on the model. {budgets_in_words(spec, measured)}"
    play.report(why)
    return "", why, measured


def _figure(score: Score) -> str:
    return f"{score.metric} {score.value:.4f} ({score.low:.4f} to {score.high:.4f}, {score.n} rows)"
