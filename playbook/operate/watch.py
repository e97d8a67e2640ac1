"""One window of production, judged: the artefact that the drift asset hands on (6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from playbook.artifacts import Drift, DriftFigure, Figure, Score
from playbook.evaluate import wording
from playbook.operate.detectable import detectable
from playbook.operate.drift import FIGURES, ROWS_PER_DAY, Judge, Probabilities, rows_per_day
from playbook.operate.estimate import estimate_metric
from playbook.operate.figures import RowFigures
from playbook.operate.live import live_metric
from playbook.spec import NEED_PROBABILITIES, TaskSpec

SILENT = "silent_answers"  # shown, and no part of the alarm
FIGURE_WORDS = {
    "classifier": "features: can a classifier tell the window from the reference (AUC)",
    "mmd": "features: maximum mean discrepancy, squared",
    "mean_shift": "features: shift of their mean, in spreads of the rows, squared",
    "predicted_classes": "answers: shift of the class shares (total variation)",
    "confidence": "answers: mean calibrated confidence",
    "words": "inputs: mean length in words",
    "unknown_tokens": "inputs: share of unknown tokens",
    "other_scripts": "inputs: share of letters of other scripts",
    ROWS_PER_DAY: "rows per day",
    SILENT: "answers: share left to a person",
}
SHORT_WORDS = {
    "classifier": "classifier",
    "mmd": "MMD²",
    "mean_shift": "mean shift",
    "predicted_classes": "predicted classes",
    "confidence": "confidence",
    "words": "words",
    "unknown_tokens": "unknown tokens",
    "other_scripts": "other scripts",
    ROWS_PER_DAY: "rows per day",
    SILENT: "left to a person",
}


def window_drift(
    spec: TaskSpec,
    judge: Judge,
    day: str,
    window: RowFigures | None,
    probabilities: Probabilities | None,
    *,
    truth: Sequence[str] = (),
    predicted: Sequence[str] = (),
    outcome_probabilities: Probabilities | None = None,
    counts: Sequence[int] = (),
    silent: Sequence[bool] = (),
    model_version: str = "",
) -> Drift:
    """Figures, estimate and live metric of the window that ends with a day.

    Args:
        spec: the task.
        judge: of the reference of the model that serves.
        day: ISO date; it is the seed of what is drawn for this window.
        window: figures of the window's rows; None without rows.
        probabilities: the model's answers to them as logged, shape (rows, classes of the reference).
        truth: true labels of the rows with outcomes.
        predicted: the answers to those rows.
        outcome_probabilities: of those rows, shape (rows with outcomes, classes of the reference), where known.
        counts: rows of each day of the log, oldest first, up to and with `day`.
        silent: of every row, whether a person was asked; shown where the task file or a row has any of that.
        model_version: of the model that serves.

    Raises:
        ValueError: answers and features that do not fit the reference, or a day that is not a date.
    """
    rules = spec.monitoring
    seed = date.fromisoformat(day).toordinal()
    rows = 0 if window is None else len(window)
    per_day = rows_per_day(counts, rules.window_days, rules, seed) if counts else None
    live, recalls = _live(spec, truth, predicted, judge.reference.labels, outcome_probabilities)
    common = {
        "task": spec.task, "day": day, "rows": rows, "false_alarm_rate": rules.false_alarm_rate,
        "live": live, "live_per_class": recalls, "model_version": model_version,
    }  # fmt: skip
    asked = DriftFigure(name=SILENT, value=sum(silent) / len(silent)) if silent else None
    shown = asked is not None and (spec.serving.ask_a_person is not None or asked.value > 0)
    beside = tuple(figure for figure in (per_day, asked if shown else None) if figure is not None)
    if window is None or probabilities is None or rows < rules.min_rows:
        reason = f"{wording.size(rows)}, fewer than the {rules.min_rows} of monitoring.min_rows"
        return Drift.model_validate({**common, "figures": beside, "reason": reason, "text": f"Not judged: {reason}."})
    figures = judge.judge(window, probabilities, seed)
    seen = detectable(judge, rows)
    return Drift.model_validate(
        {
            **common,
            "judged": True,
            "alarm": any(figure.alarm for figure in figures),
            "p_value": min(figure.p_value for figure in figures if figure.p_value is not None),
            "figures": (*figures, *beside),
            "detectable": seen,
            "estimate": estimate_of(spec, judge, probabilities),
            "text": described(figures, rows, judge.most_rows, seen) + _no_estimate(spec),
        }
    )


def estimate_of(spec: TaskSpec, judge: Judge, probabilities: Probabilities) -> Figure | None:
    """The estimated metric; None where it cannot be estimated without labels, or the model does not know its class."""
    of_class = spec.target.of_class
    if spec.target.metric in NEED_PROBABILITIES:
        return None
    if of_class is not None and of_class not in judge.reference.labels:
        return None
    return estimate_metric(spec, judge.reference, probabilities, spec.adaptation.seed)


def alarming(figures: Sequence[DriftFigure]) -> list[DriftFigure]:
    """The figures that raise the alarm, the least likely one first; rows per day are not part of it."""
    return sorted(
        (figure for figure in figures if figure.alarm and figure.name in FIGURES),
        key=lambda found: found.p_value or 0.0,
    )


def described(figures: Sequence[DriftFigure], rows: int, most_rows: int, seen: float | None) -> str:
    """One or two sentences on a window."""
    loud = alarming(figures)
    size = wording.size(rows)
    if loud:
        names = wording.listing([SHORT_WORDS.get(figure.name, figure.name) for figure in loud])
        said = f"Drift: {names} over threshold in {size} (p = {loud[0].p_value:.3g}, corrected)."
    else:
        said = f"No drift is seen in {size}."
    cut = f" Of them {most_rows:,}, drawn at random, were compared." if rows > most_rows else ""
    return f"{said}{cut} {_could_see(seen)}"


def _no_estimate(spec: TaskSpec) -> str:
    if spec.target.metric not in NEED_PROBABILITIES:
        return ""
    return f" {spec.target.label} cannot be estimated without labels; it is measured once outcomes arrive."


def _could_see(seen: float | None) -> str:
    if seen is None:
        return "At this size not even 60 % of rows of an unknown kind would be seen four times in five."
    return f"At this size {wording.percent(seen, 0)} of rows of an unknown kind would be seen four times in five."


def _live(
    spec: TaskSpec,
    truth: Sequence[str],
    predicted: Sequence[str],
    labels: tuple[str, ...],
    probabilities: Probabilities | None,
) -> tuple[Score | None, dict[str, Score]]:
    if len(truth) < spec.monitoring.min_outcomes:
        return None, {}
    return live_metric(spec, truth, predicted, labels, probabilities)
