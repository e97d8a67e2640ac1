"""What production says of a task, in a few figures: the last day that was looked at, and what the policy made of it."""

from __future__ import annotations

from typing import Any

from playbook.artifacts import Drift, RetrainDecision
from playbook.plays import DRIFT, RETRAIN
from playbook.settings import Settings
from playbook.store import Store


def read_production(store: Store, task: str, places: Settings) -> dict[str, Any] | None:
    """Figures of the last day that was looked at; None where none was yet."""
    days = store.partitions(task, DRIFT)
    drift = store.current(task, DRIFT, Drift, days[-1]) if days else None
    if drift is None:
        return None
    decision = store.current(task, RETRAIN, RetrainDecision, drift.day)
    page = places.home / "reports" / f"{task}-monitoring.html"
    return {
        "day": drift.day,
        "rows": drift.rows,
        "judged": drift.judged,
        "alarm": drift.alarm,
        "said": drift.text or drift.reason,
        "estimate": drift.estimate.value if drift.estimate else None,
        "live": drift.live.value if drift.live else None,
        "retraining": decision.reason if decision else None,
        "page": str(page) if page.is_file() else None,
    }


def production_lines(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Rows of the summary."""
    if found is None:
        return []
    live = f"; live {found['live']:.4f}" if found["live"] is not None else ""
    rows = [("production", f"{found['day']}: {found['said']}{live}")]
    return [*rows, ("retraining", found["retraining"])] if found["retraining"] else rows
