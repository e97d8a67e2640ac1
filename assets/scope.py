"""Play 1: the problem statement and the reference baselines."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import json
from typing import Any

import dagster as dg

from assets.factory import AssetMaker, version_of
from assets.play import Made, Play, remembered, require_green, result
from assets.tracked import log_attempt
from playbook.artifacts import DatasetVersion, ProblemStatement, ReferenceBaselines, Score, canonical_hash
from playbook.plays import DATASET, PROBLEM, REFERENCES
from playbook.taskfile import Task


def problem_statement(maker: AssetMaker) -> dg.AssetsDefinition:
    """The validated task file and its hash."""
    spec = maker.task.spec
    options = maker.options(PROBLEM, play=1, owner=spec.owners.model, part="scope", kinds={"yaml"}, upstream={})

    @dg.asset(
        **options, description=f"{spec.question} Success: {spec.target.label} of at least {spec.target.at_least}."
    )
    def statement(context: dg.AssetExecutionContext) -> dg.Output[ProblemStatement]:
        play = maker.play(context, PROBLEM)
        content = spec.model_dump(mode="json")

        def make(key: str) -> Made:
            return Made(ProblemStatement(task=spec.task, spec=content, spec_hash=canonical_hash(content)))

        done = remembered(play, ProblemStatement, {"spec": content, "code": version_of("scope")}, make)
        limits = [f"{limit.label} >= {limit.at_least:g}" for limit in spec.target.all_limits]
        shown = {
            "question": spec.question,
            "target": ", ".join(limits),
            "margin": spec.target.margin,
            "task_file": dg.MetadataValue.path(str(maker.task.path)),
            "spec": dg.MetadataValue.json(json.loads(json.dumps(content))),
        }
        return result(play, done, shown)

    return statement


def reference_baselines(maker: AssetMaker) -> dg.AssetsDefinition:
    """Majority class and TF-IDF with logistic regression."""
    options = maker.options(
        REFERENCES,
        play=1,
        owner=maker.task.spec.owners.model,
        part="references",
        kinds={"scikitlearn"},
        upstream={"statement": PROBLEM, "dataset": DATASET},
    )

    @dg.asset(**options, description="What needs no pretrained base: majority class, TF-IDF with logistic regression.")
    def references(
        context: dg.AssetExecutionContext, statement: ProblemStatement, dataset: DatasetVersion
    ) -> dg.Output[ReferenceBaselines]:
        play = maker.play(context, REFERENCES)
        require_green(dataset)
        inputs = reference_inputs(maker.task, dataset)
        done = remembered(play, ReferenceBaselines, inputs, lambda key: _score(play, dataset))
        shown = {name: score.value for name, score in done.validation.items()}
        return result(play, done, {**shown, "meets_target": done.meets_target or "-"})

    return references


def reference_inputs(task: Task, dataset: DatasetVersion) -> dict[str, Any]:
    """What the reference baselines depend on."""
    spec = task.spec
    return {
        "data": dataset.dataset_hash,
        "target": spec.target.model_dump(mode="json"),
        "evaluation": spec.evaluation.model_dump(mode="json"),
        "weighting": [spec.adaptation.class_weighting, spec.adaptation.seed],
        "code": version_of("references"),
    }


def _score(play: Play, dataset: DatasetVersion) -> Made:
    import pandas as pd

    from playbook.decide.references import score_references

    spec, store = play.task.spec, play.world.store
    play.report("majority class, TF-IDF with logistic regression")
    train, validation = (pd.read_parquet(store.path(dataset, DATASET, split)) for split in ("train", "validation"))
    found = score_references(spec, train, validation)
    for name, score in found.scores.items():
        play.report(f"{name}: validation {_figure(score)}")
    metrics = {f"validation_{name}": score.value for name, score in found.scores.items()}
    run_id = log_attempt(play, dataset, metrics=metrics, params={"strengths": dict(found.strengths)})
    ends = f"{found.meets_target} already meets the target on validation" if found.meets_target else ""
    artifact = ReferenceBaselines(
        task=spec.task,
        validation=dict(found.scores),
        meets_target=found.meets_target,
        reason=ends,
        mlflow_run_id=run_id,
    )
    return Made(artifact)


def _figure(score: Score) -> str:
    return f"{score.metric} {score.value:.4f} ({score.low:.4f} to {score.high:.4f}, {score.n} rows)"
