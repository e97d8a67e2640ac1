"""The data gate: a Great Expectations checkpoint built from the task file (3.3, 3.5, 3.6).

The checkpoint is rewritten on every check, so nothing that was saved earlier can weaken it, and it fails closed: an
expectation that was asked for but is not in the result, or could not be evaluated, is a failed check. Frames are handed
over without texts, and results keep counts instead of values: Data Docs show values unescaped.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.artifacts import GateCheck, GateVerdict
from playbook.data.audit import Audit, audit
from playbook.data.rules import Condition, Rule, rules
from playbook.data.tables import TEXT
from playbook.settings import quiet_environment
from playbook.spec import SPLITS
from playbook.taskfile import Task

META_KEY = "playbook_condition"
CHECKPOINT = "gate"
COMPLETE = "every expectation evaluated"
# Rewritten from the task file on every check; results and Data Docs lie under `uncommitted` and stay.
REBUILT = ("expectations", "checkpoints", "validation_definitions")
NO_VALUES = {"result_format": "BASIC", "partial_unexpected_count": 0}
AGAIN = "materialise dataset_version again; if it stays, the installed great_expectations lacks it"


@dataclass(frozen=True)
class Outcome:
    """What the checkpoint said about one condition; `problem` where it could not be evaluated."""

    success: bool
    problem: str = ""


class DataGate:
    """The gate of every task; each has its Great Expectations project under `<home>/gate/<task>`."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def folder(self, task: Task) -> Path:
        """Great Expectations project of a task."""
        return self.home / "gate" / task.spec.task

    def data_docs(self, task: Task) -> Path:
        """First page of the task's Data Docs; it exists after the first check."""
        return self.folder(task) / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"

    def check(self, task: Task, prepared: Path, dataset_hash: str) -> GateVerdict:
        """Judge a prepared folder; the verdict is bound to `dataset_hash`, DVC's hash of that folder.

        Raises:
            DataError: the folder lacks a file, or one of them is not readable.
        """
        found = audit(task, prepared)
        asked = rules(task)
        result = run_checkpoint(self.folder(task), asked, self._frames(task, prepared, found), dataset_hash)
        return judge(asked, found, outcomes_of(result), dataset_hash)

    def _frames(self, task: Task, prepared: Path, found: Audit) -> dict[str, Path]:
        """Where Great Expectations reads each frame: the splits as prepared, the audit's frames beside the project."""
        folder = self.folder(task) / "frames"
        folder.mkdir(parents=True, exist_ok=True)
        paths = {split: prepared / f"{split}.parquet" for split in SPLITS}
        rows = found.rows.assign(**{TEXT: found.rows[TEXT].str.strip().ne("").map({True: "present", False: ""})})
        frames = {"rows": rows, "classes": found.classes, "splits": found.splits, "overall": found.overall}
        for name, frame in frames.items():
            paths[name] = folder / f"{name}.parquet"
            frame.to_parquet(paths[name], index=False)
        return paths


def condition_id(rule: Rule, position: int) -> str:
    """Name under which a condition is looked for in the checkpoint's result."""
    return f"{rule.name} #{position}"


def run_checkpoint(project: Path, asked: Sequence[Rule], frames: Mapping[str, Path], run_name: str) -> Any:
    """Write the checkpoint, run it, build the Data Docs; returns Great Expectations' CheckpointResult."""
    quiet_environment()
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    for name in REBUILT:
        shutil.rmtree(project / "gx" / name, ignore_errors=True)
    (project / "gx" / "great_expectations.yml").unlink(missing_ok=True)
    with warnings.catch_warnings(action="ignore"):  # that a new configuration lies beside earlier results
        context = gx.get_context(mode="file", project_root_dir=project)
    # An id for telemetry alone, read again whenever the configuration is looked at: a quarter of the gate's time.
    (project / "gx" / "uncommitted" / "config_variables.yml").unlink(missing_ok=True)
    context.variables.progress_bars = {"globally": False}
    # All assets at once: the whole configuration is written again for each one that is added later.
    assets = [
        {"name": name, "type": "parquet", "path": path, "batch_definitions": [{"name": "whole"}]}
        for name, path in frames.items()
    ]
    source = context.data_sources.add_or_update_pandas("prepared", assets=assets)
    definitions = []
    for name in frames:
        suite = gx.ExpectationSuite(name=name, expectations=_expectations(asked, name))
        batch = source.get_asset(name).get_batch_definition("whole")
        definitions.append(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(name=CHECKPOINT, validation_definitions=definitions, result_format=NO_VALUES)
    # It saves its definitions and their suites with itself; each saved before would be compared with every other.
    result = context.checkpoints.add_or_update(checkpoint).run(run_id=gx.RunIdentifier(run_name=run_name))
    # Once for all frames; as an action of the checkpoint the same pages would be built again for each frame.
    context.build_data_docs(resource_identifiers=list(result.run_results))
    return result


def _expectations(asked: Sequence[Rule], frame: str) -> list[Any]:
    import great_expectations.expectations as gxe

    return [
        getattr(gxe, condition.kind)(
            **condition.settings,
            severity="critical" if rule.severity == "error" else "warning",
            meta={META_KEY: condition_id(rule, position)},
        )
        for rule in asked
        for position, condition in enumerate(rule.conditions)
        if condition.frame == frame
    ]


def outcomes_of(result: Any) -> dict[str, Outcome]:
    """Every evaluated condition of a checkpoint result, by its name."""
    outcomes: dict[str, Outcome] = {}
    for validation in result.run_results.values():
        for single in validation.results:
            name = (single.expectation_config.meta or {}).get(META_KEY, "")
            raised = (single.exception_info or {}).get("raised_exception", False)
            problem = " ".join(str(single.exception_info["exception_message"]).split()) if raised else ""
            outcomes[name] = Outcome(bool(single.success) and not raised, problem)
    return outcomes


def judge(asked: Sequence[Rule], found: Audit, outcomes: Mapping[str, Outcome], dataset_hash: str) -> GateVerdict:
    """Plain words for every rule, and a completeness check: what was not evaluated cannot have passed."""
    checks = [_checked(rule, found, outcomes) for rule in asked]
    missing = [
        f"{rule.name}: {_in_words(condition)}"
        for rule in asked
        for position, condition in enumerate(rule.conditions)
        if condition_id(rule, position) not in outcomes
    ]
    total = sum(len(rule.conditions) for rule in asked)
    checks.append(
        GateCheck(
            name=COMPLETE,
            passed=not missing,
            severity="error",
            expected=f"results of all {total} expectations",
            found=f"not evaluated: {'; '.join(missing)}" if missing else "all of them",
            remedy=AGAIN if missing else "",
        )
    )
    passed = all(check.passed or check.severity == "warning" for check in checks)
    return GateVerdict(passed=passed, dataset_hash=dataset_hash, checks=tuple(checks), resemblance=found.resemblance)


def _checked(rule: Rule, found: Audit, outcomes: Mapping[str, Outcome]) -> GateCheck:
    seen = [outcomes.get(condition_id(rule, position)) for position in range(len(rule.conditions))]
    passed = bool(seen) and all(outcome is not None and outcome.success for outcome in seen)
    words = rule.found(found)
    if any(outcome is None for outcome in seen):
        words += " (not evaluated in full)"
    return GateCheck(
        name=rule.name,
        passed=passed,
        severity=rule.severity,
        expected=rule.expected,
        found=words,
        remedy="" if passed else rule.remedy,
    )


def _in_words(condition: Condition) -> str:
    column = f" of {condition.settings['column']}" if "column" in condition.settings else ""
    return f"{condition.kind}{column} in {condition.frame}"
