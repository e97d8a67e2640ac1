"""Names of a task's assets in the order of the plays, and what each hands on."""

from __future__ import annotations

from playbook.artifacts import (
    Accumulation,
    Artifact,
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    EarlyEnd,
    Evaluation,
    FrozenBaseline,
    Handoff,
    LabelAudit,
    PackagedModel,
    ProblemStatement,
    ReferenceBaselines,
    Refresh,
    Rung,
    SignOff,
)
from playbook.spec import TaskSpec

PROBLEM = "problem_statement"
DATASET = "dataset_version"
REFERENCES = "reference_baselines"
DECISION = "decision"
BASE = "base_selection"
FROZEN = "frozen_baseline"
AUDIT = "label_audit"
EARLY_END = "early_end"
CANDIDATE = "candidate"
CONTROLS = "controls"
EVALUATION = "evaluation"
SIGN_OFF = "sign_off"
PACKAGED = "packaged_model"
HANDOFF = "handoff"
ACCUMULATED = "accumulated_rows"
REFRESH = "refresh"
WINDOW = "production_window"
DRIFT = "drift"
RETRAIN = "retrain_decision"
REPORT = "report"  # the pages of an evaluation: kept in the store, no asset of its own
BASE_TRIAL = "base_trial"
DECISION_LOG = "decision_log"  # the head of the log, kept in the store; no asset


def rung_name(index: int) -> str:
    """`rung_1` is the first block from the top."""
    return f"rung_{index}"


def asset_kinds(spec: TaskSpec) -> dict[str, type[Artifact]]:
    """Every asset of a task with the artefact that it hands on, upstream first."""
    return {
        ACCUMULATED: Accumulation,
        PROBLEM: ProblemStatement,
        DATASET: DatasetVersion,
        REFERENCES: ReferenceBaselines,
        DECISION: Decision,
        BASE: BaseSelection,
        FROZEN: FrozenBaseline,
        EARLY_END: EarlyEnd,
        AUDIT: LabelAudit,
        **{rung_name(index): Rung for index in range(1, spec.adaptation.max_rungs + 1)},
        REFRESH: Refresh,
        CANDIDATE: Candidate,
        CONTROLS: Controls,
        EVALUATION: Evaluation,
        SIGN_OFF: SignOff,
        PACKAGED: PackagedModel,
        HANDOFF: Handoff,
    }


def modelling_assets(spec: TaskSpec) -> dict[str, type[Artifact]]:
    """Everything that stands on the data: what a red gate blocks."""
    kinds = asset_kinds(spec)
    names = list(kinds)
    return {name: kinds[name] for name in names[names.index(DATASET) + 1 :]}
