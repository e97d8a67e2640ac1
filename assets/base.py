"""Play 2: the bake-off of the task's bases; the chosen one is pinned."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import Made, Play, png, remembered, require_green, result, skip
from playbook.artifacts import BasePin, BaseSelection, DatasetVersion, Decision, ProblemStatement, ReferenceBaselines
from playbook.bases.admission import Found, find_bases
from playbook.bases.derive import base_on_disk, folder_of_pin
from playbook.bases.locate import CONFIG
from playbook.bases.table import bake_off_table, points_of
from playbook.plays import BASE, DATASET, DECISION, PROBLEM, REFERENCES
from playbook.states import ends_early
from playbook.store import file_sha256

PLOT = "plot"


def base_selection(maker: AssetMaker) -> dg.AssetsDefinition:
    """Every candidate measured with one budget, one of them chosen by a written rule, and its pin."""
    options = maker.options(
        BASE,
        play=2,
        owner=maker.task.spec.owners.model,
        part="base",
        kinds={"huggingface", "pytorch"},
        upstream={"statement": PROBLEM, "dataset": DATASET, "references": REFERENCES, "decision": DECISION},
    )

    @dg.asset(**options, description="The pretrained base: candidates verified, measured and compared as they are.")
    def selection(
        context: dg.AssetExecutionContext,
        statement: ProblemStatement,
        dataset: DatasetVersion,
        references: ReferenceBaselines,
        decision: Decision,
    ) -> dg.Output[BaseSelection]:
        play = maker.play(context, BASE)
        require_green(dataset)
        why_not = _nothing_to_do(references, decision)
        if why_not:
            return result(play, skip(play, BaseSelection, why_not))
        # Every time: what lies on disk may have changed since the pins were verified last.
        found = find_bases(play.task.spec, play.task.resolve, bases_folder(play))
        inputs = bake_off_inputs(play, dataset, found)
        done = remembered(play, BaseSelection, inputs, lambda key: _bake_off(play, dataset, found, key))
        title = f"{done.candidates[done.chosen].name} chosen, of {len(done.candidates)}"
        weights = done.pin.weights_sha256 if done.pin else ""
        decided_on = {"base": done.digest, "weights": weights, "data": dataset.dataset_hash}
        findings = {"findings": list(done.findings)} if done.findings else {}
        play.decide("base", title, decided_on, {"why": done.why, "rule": done.rule, **findings})
        return result(play, done, _shown(play, done))

    return selection


def bases_folder(play: Play) -> Path:
    """Where bases that are made from others lie: truncated ones, and those of the controls."""
    return play.world.places.derived_bases


def base_folder(play: Play, pin: BasePin | None = None) -> Path:
    """Where a base of the task lies on this machine, verified: the one with this pin, or the task's first.

    Raises:
        PinMismatch: it is not there, or not what the pin says.
    """
    spec, resolve = play.task.spec, play.task.resolve
    if pin is None:
        return base_on_disk(spec.base, resolve, bases_folder(play))
    return folder_of_pin(pin, spec.bases, resolve, bases_folder(play))


def bake_off_inputs(play: Play, dataset: DatasetVersion, found: Sequence[Found]) -> dict[str, Any]:
    """What the choice depends on: the candidates as they lie here, the rows, the rule, and how is measured."""
    spec = play.task.spec
    training = ("seed", "accelerator", "precision", "class_weighting")
    return {
        "bases": [base.model_dump(mode="json") for base in spec.bases],
        "findings": [one.findings for one in found],
        "pins": [one.pin.model_dump() if one.pin else one.out for one in found],
        "configs": [file_sha256(one.folder / CONFIG) if one.folder else "" for one in found],
        "bake_off": spec.bake_off.model_dump(mode="json"),
        "metric": [spec.target.metric, spec.target.of_class],
        "labels": spec.labels,
        "data": dataset.dataset_hash,
        "adaptation": {name: getattr(spec.adaptation, name) for name in training},
        "evaluation": [spec.evaluation.confidence, spec.evaluation.resamples],
        "code": version_of("base"),
    }


def _nothing_to_do(references: ReferenceBaselines, decision: Decision) -> str:
    if ends_early(references, decision):
        return f"target already met by {references.meets_target}"
    if decision.skipped:
        return decision.reason
    return "" if decision.path == "fine_tune" else decision.why or f"decided: {decision.path}"


def _bake_off(play: Play, dataset: DatasetVersion, found: Sequence[Found], key: str) -> Made:
    import pandas as pd

    from playbook.bases.bake_off import run_bake_off
    from playbook.evaluate.plots import bake_off_plot

    spec, store = play.task.spec, play.world.store
    train = pd.read_parquet(store.path(dataset, DATASET, "train"))
    validation = pd.read_parquet(store.path(dataset, DATASET, "validation"))
    for finding in (text for one in found for text in one.findings):
        play.warn(finding)
    play.report(f"{len(found)} candidate{'s' if len(found) != 1 else ''}, as frozen feature extractors")
    done = run_bake_off(spec, found, train, validation, play.report)
    plot = play.work(key) / "plot.png"
    budget = spec.bake_off.budget.latency_p95_ms
    plot.write_bytes(bake_off_plot(done.candidates, done.chosen, budget, spec.target.label, kind="png"))
    return Made(done, {PLOT: plot})


def _shown(play: Play, done: BaseSelection) -> dict[str, Any]:
    pin = done.pin.model_dump() if done.pin else {}
    return {
        "candidates": dg.MetadataValue.md(bake_off_table(done)),
        "score_against_latency": png(play.world.store.path(done, BASE, PLOT).read_bytes(), "score against latency"),
        "rule": done.rule,
        "why": done.why,
        **({"findings": dg.MetadataValue.md(points_of(done.findings))} if done.findings else {}),
        "probe_rows": f"{done.probe_rows[0]} training, {done.probe_rows[1]} validation",
        **{name: value or "-" for name, value in pin.items()},
    }
