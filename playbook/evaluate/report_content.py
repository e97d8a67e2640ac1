"""What the report shows, as plain rows: taken from the artefacts, put in order, not yet on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from playbook.artifacts import (
    BaseSelection,
    Candidate,
    Controls,
    DatasetVersion,
    Decision,
    EarlyEnd,
    EarlyEndClaim,
    Evaluation,
    FrozenBaseline,
    LabelAudit,
    LedgerRow,
    ReferenceBaselines,
    Rung,
    Side,
)
from playbook.data.tables import LABEL, ROW_ID, TEXT
from playbook.evaluate.verdict import is_rare, missed
from playbook.spec import SPLITS, TaskSpec

if TYPE_CHECKING:
    import pandas as pd

SHOWN_CONFUSIONS = 10
EXAMPLE_CHARACTERS = 400


@dataclass(frozen=True)
class ReportInputs:
    """What the report is about; whatever was not made stays None or empty."""

    spec: TaskSpec
    dataset: DatasetVersion
    references: ReferenceBaselines | None = None
    decision: Decision | None = None
    base: BaseSelection | None = None
    audit: LabelAudit | None = None
    frozen: FrozenBaseline | None = None
    early: EarlyEnd | None = None
    rungs: Sequence[Rung] = ()
    candidate: Candidate | None = None
    controls: Controls | None = None
    evaluation: Evaluation | None = None
    warnings: tuple[str, ...] = ()  # sentences that belong into the headline, by `playbook.evaluate.suite`
    test_frame: pd.DataFrame | None = None  # the opened split, for the texts of wrong answers
    predictions: pd.DataFrame | None = None  # what `compare.evaluate` wrote
    hardware: str = ""
    called: str = ""  # how commands name the task: its name, or the path of its file; empty: its name
    versions: Mapping[str, str] = field(default_factory=dict)  # of libraries


def claims(context: ReportInputs) -> list[EarlyEndClaim]:
    """Baselines that met the target on validation, with what the test split said to that."""
    found = [part.claim for part in (context.decision, context.early) if part is not None]
    return [claim for claim in found if claim is not None]


def warnings(context: ReportInputs) -> list[str]:
    """Sentences for the headline, a claim that failed first, then a test split that is unlike the others."""
    failed = [claim.text for claim in claims(context) if not claim.confirmed]
    alike = context.dataset.gate.resemblance if context.dataset.gate is not None else None
    unlike = alike.text if alike is not None and not alike.alike else ""
    said = not unlike or any(unlike in text for text in failed)
    return [*failed, *([] if said else [unlike]), *context.warnings]


def ledger_rows(context: ReportInputs) -> list[LedgerRow]:
    """The staircase, frozen baseline first: the candidate's ledger, or the artefacts themselves where there is none."""
    if context.candidate is not None and context.candidate.ledger:
        rows = list(context.candidate.ledger)
    else:
        rows = [_ledger_row(rung) for rung in context.rungs if rung.validation is not None and not rung.skipped]
    frozen = context.frozen
    if frozen is not None and frozen.validation is not None and not any(row.unfrozen == 0 for row in rows):
        value = frozen.validation.value
        first = LedgerRow(
            step="frozen_baseline",
            unfrozen=0,
            validation=value,
            gain=0.0,
            gain_error=0.0,
            kept=True,
            seconds=frozen.seconds,
            reason=frozen.reason or "whole base frozen; everything else must beat it",
        )
        rows.insert(0, first)
    return rows


def _ledger_row(rung: Rung) -> LedgerRow:
    return LedgerRow(
        step=rung.step,
        unfrozen=rung.unfrozen,
        validation=rung.validation.value if rung.validation else 0.0,
        gain=rung.gain,
        gain_error=rung.gain_error,
        kept=rung.kept,
        seconds=rung.seconds,
        reason=rung.reason or rung.rule,
    )


def top_confusions(side: Side, most: int = SHOWN_CONFUSIONS) -> list[dict[str, Any]]:
    """The most frequent confusions: true class, answer, how many rows, and their share of the true class."""
    counts = np.array(side.confusion)
    support = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    found = []
    for pair in np.argsort(-counts, axis=None, kind="stable")[:most]:
        true, told = divmod(int(pair), len(counts))
        if counts[true, told]:
            names = {"true": side.per_class[true].label, "told": side.per_class[told].label}
            found.append({**names, "rows": int(counts[true, told]), "share": counts[true, told] / support[true]})
    return found


def wrong_answers(context: ReportInputs) -> list[dict[str, Any]]:
    """The most confident wrong answers of the shown model on the test split."""
    evaluation, predictions, frame = opened(context), context.predictions, context.test_frame
    if evaluation is None or predictions is None or frame is None:
        return []
    name = shown_name(evaluation)
    wrong = predictions[predictions[name] != predictions[LABEL]]
    wrong = wrong.sort_values([f"{name}_probability", ROW_ID], ascending=[False, True], kind="stable")
    texts = dict(zip(frame[ROW_ID], frame[TEXT], strict=True))
    return [
        {
            "row": row[ROW_ID],
            "text": _cut(str(texts.get(row[ROW_ID], ""))),
            "label": row[LABEL],
            "told": row[name],
            "probability": float(row[f"{name}_probability"]),
        }
        for row in wrong.head(context.spec.evaluation.examples).to_dict("records")
    ]


def _cut(text: str) -> str:
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"


def opened(context: ReportInputs) -> Evaluation | None:
    """The evaluation where the test split was opened, else None."""
    evaluation = context.evaluation
    if evaluation is None or evaluation.skipped or evaluation.refused or evaluation.baseline is None:
        return None
    return evaluation


def shown_name(evaluation: Evaluation) -> str:
    """Whose figures the page shows in detail: the candidate's, unless there is none or the baseline is shipped."""
    return "baseline" if evaluation.candidate is None or evaluation.ship == "baseline" else "candidate"


def shown_side(evaluation: Evaluation) -> Side:
    """The figures of that model."""
    side = evaluation.baseline if shown_name(evaluation) == "baseline" else evaluation.candidate
    if side is None:
        raise ValueError(f"{evaluation.task}: expected an evaluation of an opened test split, found none")
    return side


def chosen_rung(context: ReportInputs) -> Rung | None:
    """The rung that validation chose; None where it chose the frozen baseline, or nothing yet."""
    choice = context.candidate
    if choice is None or not choice.source:
        return None
    return next((rung for rung in context.rungs if rung.step == choice.source and not rung.skipped), None)


def shown_model(context: ReportInputs) -> FrozenBaseline | Rung | None:
    """The model that the page shows in detail; before an evaluation, what validation chose."""
    evaluation = opened(context)
    if evaluation is not None and shown_name(evaluation) == "baseline":
        return context.frozen
    return chosen_rung(context) or context.frozen


def model_rows(spec: TaskSpec, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Both models with the limits that they miss."""
    named = [("frozen baseline", evaluation.baseline), ("candidate", evaluation.candidate)]
    return [
        {"name": name, "side": side, "missed": {limit.label for limit in missed(spec, side)}}
        for name, side in named
        if side is not None
    ]


def class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Every class of the shown model, worst recall first, with the other model's recall."""
    shown = shown_side(evaluation)
    other = evaluation.baseline if shown_name(evaluation) == "candidate" else evaluation.candidate
    beside = {figure.label: figure.recall for figure in other.per_class} if other else {}
    return [
        {"figure": f, "beside": beside.get(f.label), "rare": is_rare(f, shown.per_class)}
        for f in sorted(shown.per_class, key=lambda f: (f.recall, f.f1, f.label))
    ]


def skipped_rungs(context: ReportInputs) -> list[tuple[str, str]]:
    """Rungs that were not tried, with the reason."""
    return [
        (rung.step if rung.index else f"rung_{place}", rung.reason)
        for place, rung in enumerate(context.rungs, 1)
        if rung.skipped
    ]


def _model_digest(context: ReportInputs) -> str:
    candidate, frozen, evaluation = context.candidate, context.frozen, opened(context)
    if evaluation is not None and shown_name(evaluation) == "baseline" and evaluation.baseline_digest:
        return evaluation.baseline_digest
    return (candidate.model if candidate else "") or (frozen.digest if frozen else "")


def _hardware(context: ReportInputs) -> str:
    return context.hardware or (context.evaluation.hardware if context.evaluation else "")


def stamp(context: ReportInputs) -> str:
    """Model version, dataset version and hardware on one line: what every figure of the page belongs to (5.8)."""
    model, hardware = _model_digest(context), _hardware(context)
    parts = (f"Model {model[:12]}" if model else "", f"dataset version {context.dataset.number}", hardware)
    line = ", ".join(part for part in parts if part)
    return line[:1].upper() + line[1:]


def facts(context: ReportInputs) -> list[tuple[str, str]]:
    """What every figure on the page belongs to."""
    dataset, candidate, evaluation = context.dataset, context.candidate, context.evaluation
    models = (*context.rungs, context.frozen, context.base)
    pin = next((model.pin for model in models if model is not None and model.pin is not None), None)
    seeds = f"training {context.spec.adaptation.seed}, splits {context.spec.data.splits.seed}"
    facts = [
        ("Model", _model_digest(context)),
        ("Chosen from", candidate.source if candidate else ""),
        ("Frozen baseline", evaluation.baseline_digest if evaluation else ""),
        ("Base", f"{pin.title}, {pin.parameters:,} parameters, {pin.licence}" if pin else ""),
        ("Base revision", pin.revision if pin else ""),
        ("Base weights", pin.weights_sha256 if pin else ""),
        ("Dataset", f"version {dataset.number}, {dataset.dataset_hash}"),
        *((f"{role.capitalize()} split", dataset.files[role].sha256) for role in SPLITS if role in dataset.files),
        ("Seeds", seeds),
        ("Hardware", _hardware(context)),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(context.versions.items()))),
        ("MLflow run", evaluation.mlflow_run_id if evaluation else ""),
        ("Made", evaluation.made_at if evaluation else ""),
    ]
    return [(name, value) for name, value in facts if value]
