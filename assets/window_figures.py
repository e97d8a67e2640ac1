"""One day's window judged: drift against the champion's reference, the metric estimated and measured (6.4)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.play import Play
from assets.watching import Champion, extractor_of
from playbook.artifacts import Drift, ProductionWindow
from playbook.plays import WINDOW

if TYPE_CHECKING:
    import pandas as pd

VOLUME_DAYS = 60  # earlier days that rows per day are held against


def judge_window(play: Play, window: ProductionWindow, champion: Champion | None) -> Drift:
    """Figures of a window; rows that another version answered are left out, because its answers say nothing of this."""
    import pandas as pd

    from playbook.operate.figures import row_figures
    from playbook.operate.watch import window_drift

    spec = play.task.spec
    found: dict[str, Any] = {"task": spec.task, "day": window.day}
    if champion is None:
        return Drift(**found, reason="no model serves yet")
    version = champion.registered.version
    found |= {"model_version": version, "false_alarm_rate": spec.monitoring.false_alarm_rate}
    if champion.judge is None:
        return Drift(**found, reason=f"version {version} carries no reference: package it again")
    if {"text", spec.data.columns.text} & set(spec.serving.redact.columns):
        return Drift(**found, reason="the log keeps no texts (serving.redact), so inputs cannot be compared")
    tables = {name: pd.read_parquet(play.world.store.path(window, WINDOW, name)) for name in ("rows", "outcomes")}
    rows, outcomes = (table[table["version"] == version] for table in (tables["rows"], tables["outcomes"]))
    enough = len(outcomes) >= spec.monitoring.min_outcomes
    return window_drift(
        spec,
        champion.judge,
        window.day,
        row_figures(rows["text"].tolist(), extractor_of(play, champion)) if len(rows) else None,
        _probabilities(rows, champion.labels) if len(rows) else None,
        truth=outcomes["outcome"].tolist() if enough else (),
        predicted=outcomes["label"].tolist() if enough else (),
        counts=_counts(play, window),
        model_version=version,
    )


def _probabilities(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """Probabilities as logged, float64 of shape (rows, classes); they are rounded there, so each row is scaled to 1."""
    table = rows[[f"p_{label}" for label in labels]].to_numpy(np.float64)
    scaled: np.ndarray = table / table.sum(axis=1, keepdims=True)
    return scaled


def _counts(play: Play, window: ProductionWindow) -> list[int]:
    """Rows of each day of the log up to and with the window's last, from the first day on that has any."""
    last, log = date.fromisoformat(window.day), play.world.prediction_log(play.task.spec.task)
    first = last - timedelta(VOLUME_DAYS + play.task.spec.monitoring.window_days - 1)
    counts = list(log.rows_per_day(first, last).values())
    return counts[next((at for at, count in enumerate(counts) if count), len(counts)) :]
