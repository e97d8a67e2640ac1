"""The monitoring page of a task: every day's figures, what the policy made of them, what was promoted (6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.artifacts import Drift, ProductionWindow, RetrainDecision
from playbook.decide.log import Entry
from playbook.operate.rounds import day_of, kinds_of
from playbook.plays import DRIFT, RETRAIN, WINDOW
from playbook.taskfile import Task
from resources.world import World

SHOWN_DAYS = 400  # the page goes so far back


@dataclass(frozen=True)
class Published:
    """Where the page lies, and its picture as PNG."""

    page: Path
    story: bytes


def publish_monitoring(world: World, task: Task) -> Published | None:
    """Rewrite the task's monitoring page; None where no day was looked at yet."""
    from playbook.operate.monitoring_page import monitoring_page
    from playbook.operate.monitoring_plots import story_plot

    content = monitoring_content(world, task)
    if content is None:
        return None
    page = world.places.home / "reports" / f"{task.spec.task}-monitoring.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    part = page.with_name(f".{page.name}.part")
    part.write_text(monitoring_page(content), encoding="utf-8")
    part.replace(page)
    return Published(page, story_plot(content))


def monitoring_content(world: World, task: Task) -> Any:
    """Everything that the page shows, from the store and the decision log."""
    from playbook.operate.monitoring_content import MonitoringContent

    name, store = task.spec.task, world.store
    days = store.partitions(name, DRIFT)[-SHOWN_DAYS:]
    drifts = [drift for day in days if (drift := store.current(name, DRIFT, Drift, day)) is not None]
    if not drifts:
        return None
    decided = [two for day in days if (two := store.current(name, RETRAIN, RetrainDecision, day)) is not None]
    windows = [one for day in days if (one := store.current(name, WINDOW, ProductionWindow, day)) is not None]
    events = events_of(world.decision_log(name).entries(), drifts)
    return MonitoringContent(spec=task.spec, drifts=drifts, decisions=decided, events=events, windows=windows)


def events_of(entries: tuple[Entry, ...], drifts: Sequence[Drift] = ()) -> list[Any]:
    """Triggers, rounds, promotions and rollbacks of the decision log, each on the day that it is about.

    A promotion or a rollback is about the first day that was looked at with the version that it put in place.
    """
    from playbook.operate.monitoring_content import Event, EventKind

    kinds: dict[str, EventKind] = {
        "trigger": "trigger",
        "round": "round",
        "promotion": "promotion",
        "rollback": "rollback",
    }
    events, after = [], ""
    for entry in entries:
        kind = kinds.get(entry.kind)
        if kind is None:
            continue
        version = str(entry.inputs.get("to", ""))
        served = (drift.day for drift in drifts if version and drift.model_version == version and drift.day >= after)
        after = next(served, day_of(entry).isoformat())
        events.append(Event(day=after, kind=kind, text=version or ", ".join(kinds_of(entry))))
    return events
