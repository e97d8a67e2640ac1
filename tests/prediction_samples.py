"""Prediction logs and rows for tests, on SQLite or wherever a URL leads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playbook.operate.prediction_log import Prediction, PredictionLog
from playbook.operate.prediction_log_lost import LostStore
from playbook.operate.prediction_log_tables import Database

MONDAY = datetime(2025, 3, 3, 9, 30, tzinfo=UTC)


def row(name: str, days: float = 0, **changes: Any) -> Prediction:
    """A prediction, `days` after Monday morning."""
    fields: dict[str, Any] = {
        "id": name,
        "time": MONDAY + timedelta(days=days),
        "version": "1.0.0",
        "label": "refund",
        "probability": 0.75,
        "probabilities": {"access": 0.25, "refund": 0.75},
        "text": f"text of {name}",
        **changes,
    }
    return Prediction(**fields)


def open_log(folder: Path, url: str | None = None, task: str = "tickets", busy_seconds: float = 10.0) -> PredictionLog:
    """A log on SQLite below a folder, or at a URL; counts of lost rows lie below the folder."""
    database = Database(url or f"sqlite:///{folder / 'predictions' / 'predictions.db'}", busy_seconds)
    return PredictionLog(database, task, LostStore(folder / "predictions" / "lost", database, task))
