"""One day's window judged: drift against the champion's reference, the metric estimated and measured (6.4)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.incumbent import DATASET_TAG
from assets.play import Play
from assets.watching import FIGURES, Champion, figures_of
from playbook.artifacts import Drift, ProductionWindow
from playbook.plays import WINDOW

if TYPE_CHECKING:
    import pandas as pd

    from playbook.operate.figures import RowFigures

VOLUME_DAYS = 60  # earlier days that rows per day are held against


def rows_of(play: Play, window: ProductionWindow, role: str = "rows") -> pd.DataFrame:
    """A window's rows (or `outcomes`), oldest first, without texts."""
    import pandas as pd

    return pd.read_parquet(play.world.store.path(window, WINDOW, role))


def write_figures(play: Play, served: Champion, rows: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Figures of the rows that one version answered, in place of their texts; none where the log keeps no texts."""
    from safetensors.numpy import save_file

    if rows.empty or not _keeps_texts(play):
        return {}
    found = figures_of(play, served, rows["text"].tolist())
    path = folder / "figures.safetensors"
    save_file({name: np.ascontiguousarray(getattr(found, name)) for name in FIGURES}, str(path))
    return {"figures": path}


def judge_window(play: Play, window: ProductionWindow, served: Champion | None) -> Drift:
    """Figures of a window, with the model's data and the hardware that they were computed on (5.8)."""
    return _judged(play, window, served).model_copy(update={**_data_of(served), "hardware": _hardware(play)})


def _data_of(served: Champion | None) -> dict[str, str]:
    """The dataset version that the model which answered was made from."""
    tags = served.registered.tags if served is not None else {}
    return {"dataset_version": tags.get("playbook/dataset_version", ""), "dataset_hash": tags.get(DATASET_TAG, "")}


def _hardware(play: Play) -> str:
    from playbook.adapt.precision import compute_dtype, describe_hardware, training_device

    plan = play.task.spec.adaptation
    device = training_device(plan.accelerator)
    return describe_hardware(device, compute_dtype(plan.precision, device))


def _judged(play: Play, window: ProductionWindow, served: Champion | None) -> Drift:
    """Figures of a window; rows that another version answered are left out, because its answers say nothing of this."""
    from playbook.operate.watch import window_drift

    spec = play.task.spec
    found: dict[str, Any] = {"task": spec.task, "day": window.day}
    if served is None:
        return Drift(**found, reason="no model serves yet")
    version = served.registered.version
    if served.judge is None:
        return Drift(**found, model_version=version, reason=f"version {version} carries no reference: package it again")
    rows, outcomes = (table[table["version"] == version] for table in _tables(play, window))
    enough = len(outcomes) >= spec.monitoring.min_outcomes
    figures = _figures(play, window)
    drift = window_drift(
        spec,
        served.judge,
        window.day,
        figures,
        _probabilities(rows, served.labels) if figures is not None else None,
        truth=outcomes["outcome"].tolist() if enough else (),
        predicted=outcomes["label"].tolist() if enough else (),
        outcome_probabilities=_probabilities(outcomes, served.labels) if enough else None,
        counts=_counts(play, window),
        silent=rows["silent"].tolist() if "silent" in rows else (),  # earlier releases' windows do not have it
        model_version=version,
    )
    if figures is None and len(rows) and not _keeps_texts(play):
        why = "the log keeps no texts (serving.redact), so inputs are not compared"
        return drift.model_copy(update={"rows": len(rows), "reason": why, "text": f"Not judged: {why}."})
    return drift


def _keeps_texts(play: Play) -> bool:
    spec = play.task.spec
    return not {"text", spec.data.columns.text} & set(spec.serving.redact.columns)


def _tables(play: Play, window: ProductionWindow) -> tuple[pd.DataFrame, pd.DataFrame]:
    return rows_of(play, window), rows_of(play, window, "outcomes")


def _figures(play: Play, window: ProductionWindow) -> RowFigures | None:
    from safetensors.numpy import load_file

    from playbook.operate.figures import RowFigures

    if "figures" not in window.files:
        return None
    arrays = load_file(str(play.world.store.path(window, WINDOW, "figures")))
    return RowFigures(*(arrays[name] for name in FIGURES))


def _probabilities(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """Probabilities as logged, float64 of shape (rows, classes); they are rounded there, so each row is scaled to 1."""
    table = rows.reindex(columns=[f"p_{label}" for label in labels]).fillna(0.0).to_numpy(np.float64)
    scaled: np.ndarray = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12)
    return scaled


def _counts(play: Play, window: ProductionWindow) -> list[int]:
    """Rows of each day of the log up to and with the window's last, from the first day on that has any."""
    last, log = date.fromisoformat(window.day), play.world.prediction_log(play.task.spec.task)
    first = last - timedelta(VOLUME_DAYS + play.task.spec.monitoring.window_days - 1)
    counts = list(log.rows_per_day(first, last).values())
    return counts[next((at for at, count in enumerate(counts) if count), len(counts)) :]
