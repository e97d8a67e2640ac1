"""The evaluation itself: two models on the opened test split, filled into the artefact of Play 5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from playbook.artifacts import Comparison, DatasetVersion, Evaluation, Figure, LockedTerms, Score, Side
from playbook.data.tables import LABEL, ROW_ID
from playbook.evaluate.metrics import Labels, confusion, per_class
from playbook.evaluate.verdict import Confused, Resolution, Verdict, decide, missed, refuse, task_difference
from playbook.spec import TaskSpec
from playbook.statistics.answers import Answers, Given, answers_of
from playbook.statistics.metric import metrics_of

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS_FILE = "predictions.parquet"
BASELINE, CANDIDATE = "baseline", "candidate"


def evaluate(
    spec: TaskSpec,
    dataset: DatasetVersion,
    test_frame: pd.DataFrame,
    probabilities: Mapping[str, Given],
    folder: Path,
    *,
    openings: int,
    opened_for: int = 1,
    diagnosis: str = "",
    resolution: Resolution | None = None,
    measured: Mapping[str, Mapping[str, Score]] | None = None,
    confused: Mapping[str, Confused] | None = None,
) -> Evaluation:
    """Score the models on the test split, compare them, and say what to ship.

    Args:
        spec: the task.
        dataset: the version that the split belongs to.
        test_frame: the opened split, columns of `playbook.data.tables`.
        probabilities: `baseline`, and `candidate` unless the candidate is the frozen baseline itself; each of shape
            (rows, classes), classes in the order of `TaskSpec.labels`, or `Answers` with such probabilities.
        folder: where `predictions.parquet` is written: row_id, label, and per model its answer and that probability.
        openings: how often this split was opened, this time included.
        opened_for: for how many models.
        diagnosis: what the training curves say.
        resolution: what `needed_rows` found before the split was opened.
        measured: what the limits on the model itself come to, by model and `Limit.label`
            (`playbook.evaluate.budgets`); required where the task file has such limits.
        confused: confusion on validation by model, for advice on what to read.

    Raises:
        ValueError: no baseline, or probabilities that do not fit the rows.
    """
    truth = _numbers(spec, test_frame)
    answers = {name: answers_of(given) for name, given in probabilities.items()}
    _fit(answers, (len(truth), len(spec.labels)))
    sides = {name: describe_side(spec, truth, given, (measured or {}).get(name)) for name, given in answers.items()}
    difference = None
    if CANDIDATE in answers:
        difference = task_difference(spec, truth, answers[BASELINE], answers[CANDIDATE])
    train_rows = dataset.class_rows.get("train", {})
    verdict = decide(
        spec,
        sides[BASELINE],
        sides.get(CANDIDATE),
        difference,
        diagnosis=diagnosis,
        train_rows=train_rows,
        confused=confused,
    )
    _write_predictions(spec, test_frame, answers, folder / PREDICTIONS_FILE)
    return Evaluation(
        rows_needed=resolution.needed if resolution else 0,
        rows=len(truth),
        baseline=sides[BASELINE],
        candidate=sides.get(CANDIDATE),
        missed=tuple(limit.label for limit in missed(spec, sides.get(CANDIDATE, sides[BASELINE]))),
        delta=difference.delta if difference else 0.0,
        interval=(difference.low, difference.high) if difference else (0.0, 0.0),
        openings=openings,
        opened_for=opened_for,
        **_asked_and_said(spec, verdict),
    )


def refused(spec: TaskSpec, resolution: Resolution, openings: int = 0) -> Evaluation:
    """The evaluation where the test split is too small; it was not opened for it, but `openings` times before."""
    verdict = refuse(spec, resolution, openings)
    return Evaluation(
        refused=True,
        rows_needed=resolution.needed,
        rows=resolution.available,
        openings=openings,
        **_asked_and_said(spec, verdict),
    )


def refused_terms(spec: TaskSpec, lock: LockedTerms, text: str, steps: tuple[str, ...]) -> Evaluation:
    """The evaluation where the terms changed after the test split was opened; no answer is used."""
    return Evaluation(refused=True, locked=lock, **_asked_and_said(spec, Verdict("nothing", text, steps)))


def _asked_and_said(spec: TaskSpec, verdict: Verdict) -> dict[str, Any]:
    return {
        "task": spec.task,
        "metric": spec.target.label,
        "target": spec.target.bound,
        "direction": spec.target.direction,
        "margin": spec.target.margin,
        "confidence": spec.evaluation.confidence,
        "ship": verdict.ship,
        "verdict": verdict.text,
        "next_steps": verdict.next_steps,
    }


def describe_side(spec: TaskSpec, truth: Labels, answers: Given, measured: Mapping[str, Score] | None = None) -> Side:
    """One model's scores by every limit on its answers, its figures per class, and its confusion.

    Args:
        spec: the task.
        truth: true classes, shape (rows,).
        answers: classes, shape (rows,), or probabilities, shape (rows, classes), where a limit needs them.
        measured: what the limits on the model itself come to, by `Limit.label`; they are left out where not given.
    """
    scores = {metric.label: metric.score(truth, answers) for metric in metrics_of(spec)} | dict(measured or {})
    predicted = answers_of(answers).classes
    table = confusion(truth, predicted, len(spec.labels))
    rows = tuple(tuple(int(count) for count in row) for row in table)
    return Side(scores=scores, per_class=per_class(truth, predicted, spec.labels), confusion=rows)


def _numbers(spec: TaskSpec, frame: pd.DataFrame) -> Labels:
    number = {label: at for at, label in enumerate(spec.labels)}
    return np.array([number[label] for label in frame[LABEL]], dtype=np.int64)


def _fit(answers: Mapping[str, Answers], shape: tuple[int, int]) -> None:
    if BASELINE not in answers or set(answers) - {BASELINE, CANDIDATE}:
        raise ValueError(f"expected probabilities of baseline and candidate, found {sorted(answers)}")
    for name, given in answers.items():
        table = given.probabilities
        if table is None or table.shape != shape:
            found = "classes alone" if table is None else table.shape
            raise ValueError(f"{name}: expected probabilities of shape {shape}, found {found}")
        if not np.isfinite(table).all():
            raise ValueError(f"{name}: some probabilities are not numbers; the model's weights are broken")


def _write_predictions(spec: TaskSpec, frame: pd.DataFrame, answers: Mapping[str, Answers], path: Path) -> None:
    table = frame[[ROW_ID, LABEL]].reset_index(drop=True).copy()
    for name, given in answers.items():
        assert given.probabilities is not None  # `_fit` has looked
        table[name] = [spec.labels[at] for at in given.classes]
        table[f"{name}_probability"] = given.probabilities[np.arange(len(given)), given.classes].astype(float)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


COMPARED = ("majority", "tfidf", "zero_shot", "frozen", "scratch", "other_base", "candidate")


def comparisons(
    spec: TaskSpec, truth: Labels, answers: Mapping[str, Given], seconds: Mapping[str, float]
) -> tuple[Comparison, ...]:
    """Every model on the same rows, simplest first, each against the frozen baseline (paired).

    Args:
        spec: the task.
        truth: true classes, shape (rows,).
        answers: by model, each as `describe_side` takes it; names of COMPARED, `frozen` among them.
        seconds: of training, where known.
    """
    found = []
    for name in COMPARED:
        if name not in answers:
            continue
        scores = describe_side(spec, truth, answers[name]).scores
        gain = None if name == "frozen" else task_difference(spec, truth, answers["frozen"], answers[name])
        found.append(
            Comparison(
                name=name,
                test=scores[spec.target.label],
                over_frozen=Figure(value=gain.delta, low=gain.low, high=gain.high) if gain else None,
                seconds=seconds.get(name),
            )
        )
    return tuple(found)
