"""A made-up year of monitoring, for the tests of its page: a new kind of row in October, a retraining, a rollback."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from report_samples import HOSTILE, ORDINARY, spec_for

from playbook.artifacts import Drift, DriftFigure, Figure, RetrainDecision, Score
from playbook.operate.drift import FIGURES
from playbook.operate.monitoring_content import Event, MonitoringContent

BEGIN, ALARM, REFRESHED = date(2025, 7, 1), date(2025, 10, 4), date(2025, 10, 16)
_USUAL = {
    "mean_shift": (4.2, 5.3),
    "classifier": (0.51, 0.62),
    "mmd": (0.007, 0.0102),
    "predicted_classes": (0.11, 0.24),
}
_MEANS = {
    "confidence": (0.81, 0.05),
    "words": (20.4, 2.6),
    "unknown_tokens": (0.004, 0.006),
    "other_scripts": (0.0, 0.002),
}


def year(days: int = 184, label: str = HOSTILE) -> MonitoringContent:
    """Content of `days` days; one class has a name that must be escaped."""
    spec = spec_for((*ORDINARY[:4], label))
    random = np.random.default_rng(5)
    drifts, decisions = [], []
    for number in range(days):
        day = BEGIN + timedelta(days=number)
        drifts.append(_drift(spec.labels, day, random, number))
        decisions.append(_decision(day, drifts))
    events = [
        Event("2025-07-01", "promotion", "1.0.0"),
        Event("2025-10-06", "trigger", "drift in 3 of 5 windows"),
        Event("2025-10-07", "round", "round of October"),
        Event("2025-10-16", "promotion", "1.0.1"),
        Event("2025-12-02", "promotion", "1.1.0"),
        Event("2025-12-05", "rollback", "back to 1.0.1"),
    ]
    last = (BEGIN + timedelta(days=days)).isoformat()
    shown = tuple(event for event in events if event.day < last)
    return MonitoringContent(spec, tuple(drifts), tuple(decisions), shown)


def _drift(labels: tuple[str, ...], day: date, random: np.random.Generator, number: int) -> Drift:
    new = min(1.0, max(0.0, ((day - date(2025, 10, 1)).days + 1) / 7)) if day < REFRESHED else 0.1
    rows = int(random.integers(45, 70)) if number > 3 else 8 * (number + 1)
    common: dict[str, Any] = {"task": "demo", "day": day.isoformat(), "rows": rows, "false_alarm_rate": 0.01}
    version = "1.0.0" if day < REFRESHED else "1.0.1"
    if rows < 30:
        return Drift(**common, reason=f"{rows} rows", text=f"Not judged: {rows} rows.", model_version=version)
    figures = tuple(_figure(name, new, random) for name in FIGURES)
    live, outcomes = 0.88 - 0.25 * new, max(0, rows - 20 - int(5 * new))
    classes = {
        label: _score(f"recall of {label}", live + 0.05 * (at - 2), outcomes // 5) for at, label in enumerate(labels)
    }
    known = number > 20 and outcomes >= 20
    return Drift(
        **common,
        judged=True,
        alarm=any(figure.alarm for figure in figures),
        figures=(
            *figures,
            DriftFigure(name="rows_per_day", value=rows / 7, threshold=10.8, low=5.4, usual=8.1, p_value=0.4),
        ),
        detectable=None if rows < 48 else 0.6 if rows < 55 else 0.4,
        estimate=Figure(value=0.87 - 0.1 * new + random.normal(0, 0.01), low=0.80 - 0.1 * new, high=0.93 - 0.1 * new),
        live=_score("accuracy", live + random.normal(0, 0.02), outcomes) if known else None,
        live_per_class=classes if known else {},
        model_version=version,
        text=f"{'Drift: mean shift over threshold' if new > 0.5 else 'No drift is seen'} in {rows} rows.",
    )


def _figure(name: str, new: float, random: np.random.Generator) -> DriftFigure:
    if name in _USUAL:
        usual, threshold = _USUAL[name]
        value = usual + (threshold - usual) * (random.normal(0, 0.3) + 1.7 * new * (name != "predicted_classes"))
        return DriftFigure(
            name=name,
            value=value,
            threshold=threshold,
            usual=usual,
            alarm=value > threshold,
            p_value=0.001 if value > threshold else 0.4,
        )
    centre, reach = _MEANS[name]
    value = max(0.0, centre + reach * random.normal(0, 0.3) - 0.4 * reach * new * (name == "confidence"))
    return DriftFigure(name=name, value=value, threshold=centre + reach, low=centre - reach, usual=centre, p_value=0.6)


def _score(metric: str, value: float, n: int) -> Score:
    value = min(1.0, max(0.0, value))
    reach = 1.96 * (value * (1 - value) / max(n, 1)) ** 0.5 + 0.02
    return Score(metric=metric, value=value, low=max(0.0, value - reach), high=min(1.0, value + reach), n=n)


def _decision(day: date, drifts: list[Drift]) -> RetrainDecision:
    alarms = sum(drift.alarm for drift in drifts[-5:])
    found = {
        "metric": "live accuracy 87.0 % (80.1 % to 92.4 %), not below 85 %",
        "drift": f"{alarms} alarms in the last 5 windows, 3 asked for",
        "new_labels": f"{3 * len(drifts)} rows, no number asked for",
    }
    fired = day == date(2025, 10, 6)
    cooling = "13 days of the cool-down of 14 are left" if alarms >= 3 and not fired else ""
    return RetrainDecision(
        task="demo",
        day=day.isoformat(),
        fired=fired,
        triggers={"drift": found["drift"]} if alarms >= 3 else {},
        held_back=cooling,
        checked=found,
        new_labels=3 * len(drifts),
    )
