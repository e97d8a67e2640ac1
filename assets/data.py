"""Play 3: the dataset version and its gate."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.play import PROGRESS, Made, Play, remembered, result, skipped_result
from playbook.artifacts import (
    Accumulation,
    Agreement,
    DatasetVersion,
    GateCheck,
    GateVerdict,
    Guideline,
    ProblemStatement,
)
from playbook.data.profile import unusual
from playbook.data.read import PRODUCTION
from playbook.data.sides import ledger_of
from playbook.data.text import counted
from playbook.errors import DataError
from playbook.plays import ACCUMULATED, DATASET, PROBLEM, modelling_assets
from playbook.spec import TaskSpec
from playbook.states import RED_GATE
from playbook.taskfile import Task

READABLE = "source_readable"
FILES = ("train", "validation", "test", "quarantine")


def dataset_version(maker: AssetMaker) -> dg.AssetsDefinition:
    """Prepared, versioned and judged data."""
    spec = maker.task.spec
    options = maker.options(
        DATASET,
        play=3,
        owner=spec.owners.data,
        part="data",
        kinds={"dvc", "parquet"},
        upstream={"statement": PROBLEM, "accumulated": ACCUMULATED},
    )

    @dg.asset(**options, description="Raw data prepared, split, versioned by DVC, judged by the gate.")
    def dataset(
        context: dg.AssetExecutionContext, statement: ProblemStatement, accumulated: Accumulation
    ) -> dg.Output[DatasetVersion]:
        play = maker.play(context, DATASET)
        done = prepare_dataset(play)
        if done.gate is not None and not done.gate.passed:
            _say_red(play, done)
        else:
            _say_green_again(play, done)
        return result(play, done, _shown(play, done), data_version=done.dataset_hash)

    return dataset


def gate_checks(maker: AssetMaker) -> dg.AssetChecksDefinition:
    """The gate as asset checks: errors block everything downstream, warnings are shown."""
    key = maker.key(DATASET)
    names = _gate_rules(maker.task)
    specs = [dg.AssetCheckSpec(check_name(name), asset=key, blocking=True) for name in names]

    @dg.multi_asset_check(specs=specs, name=f"{maker.name}_gate")
    def gate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        found = maker.world.store.current(maker.name, DATASET, DatasetVersion)
        verdict = found.gate if found is not None else None
        seen = {check.name: check for check in (verdict.checks if verdict else ())}
        for name in names:
            yield _check_result(key, name, seen.get(name), verdict)

    return gate


def gate_check_names(task: Task) -> list[str]:
    """Names of a task's gate as Dagster's checks have them."""
    return [check_name(name) for name in _gate_rules(task)]


def _gate_rules(task: Task) -> list[str]:
    from playbook.data.rules import rules
    from resources.gate import COMPLETE

    return [READABLE, *(rule.name for rule in rules(task)), COMPLETE]


def check_name(rule: str) -> str:
    """Name of a gate rule as Dagster allows it: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]+", "_", rule).strip("_")


def _check_result(
    key: dg.AssetKey, name: str, check: GateCheck | None, verdict: GateVerdict | None
) -> dg.AssetCheckResult:
    if check is None:  # a check that was not evaluated never counts as passed
        found = {"found": "not evaluated", "remedy": "see source_readable, then materialise dataset_version again"}
        return dg.AssetCheckResult(asset_key=key, check_name=check_name(name), passed=False, metadata=found)
    severity = dg.AssetCheckSeverity.ERROR if check.severity == "error" else dg.AssetCheckSeverity.WARN
    shown = {"expected": check.expected, "found": check.found, "remedy": check.remedy or "-"}
    shown["dataset_hash"] = verdict.dataset_hash if verdict else ""
    return dg.AssetCheckResult(
        asset_key=key, check_name=check_name(name), passed=check.passed, severity=severity, metadata=dict(shown)
    )


def prepare_dataset(play: Play) -> DatasetVersion:
    """Prepare, version and judge the task's data; unreadable data is a red gate, not an exception."""
    try:
        prepared = play.world.datasets.prepare(play.task, play.context.log.info)
    except DataError as error:
        return _unreadable(play, str(error))
    inputs = {
        "data": prepared.dataset_hash,
        "number": prepared.number,
        "gate": gate_inputs(play.task.spec),
        "code": version_of("data"),
    }

    def make(key: str) -> Made:
        play.report(f"version {prepared.number}: {prepared.changelog}")
        for said in unusual(_profile(prepared.folder)):
            play.report(said)
        verdict = play.world.gate.check(play.task, prepared.folder, prepared.dataset_hash)
        readable = GateCheck(
            name=READABLE, passed=True, severity="error", expected="a readable source", found="as expected"
        )
        verdict = verdict.model_copy(update={"checks": (readable, *verdict.checks)})
        artifact = _describe(play, prepared.folder).model_copy(
            update={
                "number": prepared.number,
                "dataset_hash": prepared.dataset_hash,
                "changelog": prepared.changelog,
                "gate": verdict,
            }
        )
        warned = sum(not check.passed and check.severity == "warning" for check in verdict.checks)
        warnings = f", {counted(warned, 'warning')}" if warned else ""
        play.report(f"gate {'green' if verdict.passed else 'RED'}, {len(verdict.checks)} checks{warnings}")
        return Made(artifact, _files(prepared.folder, play.task.spec.task))

    return remembered(play, DatasetVersion, inputs, make)


def gate_inputs(spec: TaskSpec) -> dict[str, Any]:
    """What the gate's verdict depends on in the task file: how data are made, and what the test split is asked for.

    An edit here judges the same rows again. Their hash and version stay, on which everything that is trained stands.
    """
    asked = {"confidence", "power", "shift_p_value"}
    return {
        "data": spec.data.model_dump(mode="json"),
        "limits": [limit.model_dump(mode="json") for limit in spec.target.all_limits],
        "margin": spec.target.margin,
        "evaluation": spec.evaluation.model_dump(mode="json", include=asked),
    }


def _profile(folder: Path) -> dict[str, Any]:
    import json

    profile: dict[str, Any] = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
    return profile


def _describe(play: Play, folder: Path) -> DatasetVersion:
    spec, profile = play.task.spec, _profile(folder)
    counts: dict[str, dict[str, int]] = profile["class_rows"]
    agreed, guideline, production = profile["agreement"], profile["guideline"], profile["production"]
    return DatasetVersion(
        task=spec.task,
        labels=spec.labels,
        rows={split: sum(rows.values()) for split, rows in counts.items()},
        class_rows=counts,
        quarantined=profile["quarantined"],
        agreement=Agreement.model_validate(agreed) if agreed else None,
        guideline=Guideline.model_validate(guideline) if guideline else None,
        corrections=profile["corrections"]["changed"],
        production_rows=production["rows"] if production else 0,
    )


def _files(folder: Path, task: str) -> dict[str, Path]:
    names = [*FILES, *([PRODUCTION] if (folder / f"{PRODUCTION}.parquet").is_file() else [])]
    files = {name: folder / f"{name}.parquet" for name in names}
    return {**files, "profile": folder / "profile.json", "page": folder / "page.md", "sides": ledger_of(folder, task)}


def _unreadable(play: Play, message: str) -> DatasetVersion:
    fault = GateCheck(
        name=READABLE,
        passed=False,
        severity="error",
        expected="a readable source with the columns of the task file",
        found=message,
        remedy="Fix the source or the task file, then run again.",
    )
    verdict = GateVerdict(passed=False, dataset_hash="", checks=(fault,))
    return remembered(
        play,
        DatasetVersion,
        {"unreadable": message},
        lambda key: Made(DatasetVersion(task=play.task.spec.task, labels=play.task.spec.labels, gate=verdict)),
    )


def _say_red(play: Play, dataset: DatasetVersion) -> None:
    """Record every modelling play as skipped, so that the catalogue shows no result of older data as today's."""
    names = ", ".join(check.name for check in dataset.gate.failures) if dataset.gate else ""
    from assets.publish import publish_early_end
    from playbook.evaluate.report_content import ReportInputs

    reason = f"{RED_GATE} {dataset.number}: {names}"
    play.report(reason)
    failed = [check.model_dump(mode="json") for check in dataset.gate.failures] if dataset.gate else []
    play.decide("gate", reason, {"data": dataset.dataset_hash}, {"red": failed})
    publish_early_end(play, ReportInputs(spec=play.task.spec, dataset=dataset))
    for asset, kind in modelling_assets(play.task.spec).items():
        skipped = skipped_result(play.world, play.task.spec.task, asset, kind, reason)
        play.world.store.set_current(play.task.spec.task, asset, skipped.play_key)
        shown = {"status": "skipped", "reason": reason}
        play.context.log_event(dg.AssetMaterialization([play.task.spec.task, asset], metadata=shown))
    PROGRESS.info("%s: nothing is trained", play.asset)


def _say_green_again(play: Play, dataset: DatasetVersion) -> None:
    """On record where the last word of the log is a red gate."""
    entries = play.world.decision_log(play.task.spec.task).entries()
    latest = next((entry for entry in reversed(entries) if entry.kind == "gate"), None)
    if latest is not None and "red" in latest.body:
        title = f"the gate is green again, for dataset version {dataset.number}"
        play.decide(
            "gate", title, {"data": dataset.dataset_hash}, {"checks": len(dataset.gate.checks) if dataset.gate else 0}
        )


def _shown(play: Play, dataset: DatasetVersion) -> dict[str, Any]:
    splits = [split for split in ("train", "validation", "test") if split in dataset.class_rows]
    lines = ["| class | " + " | ".join(splits) + " |", "|---|" + "---|" * len(splits)]
    for label in dataset.labels:
        cells = [str(dataset.class_rows[split].get(label, 0)) for split in splits]
        lines.append(f"| {_cell(label)} | " + " | ".join(cells) + " |")
    reasons = [f"- {_cell(reason)}: {count}" for reason, count in sorted(dataset.quarantined.items())]
    return {
        "version": dataset.number,
        "dvc_hash": dataset.dataset_hash or "-",
        "changelog": dataset.changelog or "-",
        "gate": "green" if dataset.gate and dataset.gate.passed else "red",
        **{f"rows_{split}": count for split, count in dataset.rows.items()},
        "classes": dg.MetadataValue.md("\n".join(lines)),
        "quarantined": dg.MetadataValue.md("\n".join(reasons) or "none"),
        **_labels_shown(dataset),
        **_page(play, dataset),
    }


def _labels_shown(dataset: DatasetVersion) -> dict[str, Any]:
    """Agreement, guideline, corrections and production-like rows, where there are any."""
    shown: dict[str, Any] = {"labels_corrected": dataset.corrections}
    if dataset.agreement is not None:
        kappa = dataset.agreement.kappa
        shown["kappa"] = f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}) on {dataset.agreement.rows} rows"
    if dataset.guideline is not None:
        shown["guideline_defines"] = f"{len(dataset.guideline.defined)} of {len(dataset.labels)} classes"
    if dataset.production_rows:
        shown["production_rows"] = dataset.production_rows
    return shown


def _page(play: Play, dataset: DatasetVersion) -> dict[str, Any]:
    """The dataset's page and the gate's own pages, where there are any."""
    if "page" not in dataset.files:
        return {}
    page = play.world.store.path(dataset, DATASET, "page").read_text(encoding="utf-8")
    docs = play.world.gate.data_docs(play.task)
    return {"page": dg.MetadataValue.md(page), "data_docs": dg.MetadataValue.path(str(docs))}


def _cell(text: str) -> str:
    from playbook.data.page import escaped

    return escaped(text)
