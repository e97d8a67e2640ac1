"""What the replayed year came to: what fired when, false alarms included, and what the refresh won back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from pipelines.year_tickets import NEW_LINE_FROM, Ticket
from playbook.artifacts import Drift, RetrainDecision
from playbook.plays import DRIFT, RETRAIN
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.world import World

Lines = Sequence[tuple[date, str, str]]


FOUND_WITHIN = 14  # days of the new product line, in which its drift has to be found
# Share of the windows after the round that may raise the alarm. One in a hundred is promised over references; the
# windows overlap and share one small reference, so chance alone gives a run of them now and then.
CALM = 0.1
MINUTES = 18  # on two cores with nothing else to do, with two rounds; said, not judged, as it measures the machine


def print_table(
    task: Task, places: Settings, lines: Lines, days: Mapping[date, Sequence[Ticket]], first: str, seconds: float
) -> bool:
    """Print the story as a table, the false alarms, what was won back, and whether all held that was to be shown."""
    world = World(places)
    click.echo("\nWhat fired when\n")
    click.echo(f"{'day':<12}{'what':<12}found")
    for day, kind, text in lines:
        click.echo(f"{day.isoformat():<12}{kind:<12}{text}")
    click.echo("\n" + "\n".join(_alarms(task, world)))
    calm, alarms = after_the_round(task, world, lines)
    click.echo(f"Alarms after the round: {alarms} of {len(calm)} windows that the refreshed model answered.")
    said, shares = _won_back(task, world, lines, days, first)
    click.echo("\n" + "\n".join(said))
    held = _held(task, world, lines, shares)
    click.echo("\n" + "\n".join(f"{'held    ' if good else 'NOT HELD'}  {what}" for what, good in held.items()))
    page = places.home / "reports" / f"{task.spec.task}-monitoring.html"
    slower = f"; two idle cores take {MINUTES} at most" if seconds > 60 * MINUTES else ""
    click.echo(f"\nThe whole story in one picture: {page}\nTook {seconds / 60:.1f} minutes{slower}.")
    return all(held.values())


def _held(task: Task, world: World, lines: Lines, shares: Sequence[float]) -> dict[str, bool]:
    """What the replay is to show, and whether it did."""
    name, store = task.spec.task, world.store
    decided = [store.current(name, RETRAIN, RetrainDecision, day) for day in store.partitions(name, RETRAIN)]
    drifted = [date.fromisoformat(one.day) for one in decided if one is not None and "drift" in one.triggers]
    launched = [day for day, kind, _ in lines if kind == "round"]
    promoted = [day for day, kind, _ in lines if kind == "promoted"]
    calm, alarms = after_the_round(task, world, lines)
    learned = {day for day, _ in calm}
    begins, ends = NEW_LINE_FROM, NEW_LINE_FROM + timedelta(FOUND_WITHIN)
    return {
        "the drift trigger holds within fourteen days of the new line": any(begins <= day < ends for day in drifted),
        "and on no day before": all(day >= begins for day in drifted),
        "a round was launched by the sensor, none before the new line": bool(launched) and min(launched) >= begins,
        "the refreshed model was signed and promoted": len(promoted) > 1,
        "it won back most of what was lost": bool(shares) and min(shares) > 0.5,
        f"after it at most {CALM:.0%} of windows raise the alarm": bool(calm) and alarms <= CALM * len(calm),
        "and the drift trigger holds on none of those days": bool(calm) and not learned & {*drifted},
    }


def after_the_round(task: Task, world: World, lines: Lines) -> tuple[list[tuple[date, bool]], int]:
    """Windows that the last promoted version answered, as day and alarm, and how many alarms; nothing without a round.

    What is held against the reference is that version's own rows, so its first windows are those from the next day on.
    """
    promoted = [(day, text) for day, kind, text in lines if kind == "promoted"]
    if len(promoted) < 2:
        return [], 0
    version = promoted[-1][1].split()[1]
    days = world.store.partitions(task.spec.task, DRIFT)
    found = [world.store.current(task.spec.task, DRIFT, Drift, day) for day in days]
    judged = [one for one in found if one is not None and one.judged and one.model_version == version]
    windows = [(date.fromisoformat(one.day), one.alarm) for one in judged]
    return windows, sum(alarm for _, alarm in windows)


def _alarms(task: Task, world: World) -> list[str]:
    """Alarms and triggers before and after the new product line."""
    name, store = task.spec.task, world.store
    seen = store.partitions(name, DRIFT)
    drifts = [one for day in seen if (one := store.current(name, DRIFT, Drift, day)) is not None]
    decided = [two for day in seen if (two := store.current(name, RETRAIN, RetrainDecision, day)) is not None]
    limit = NEW_LINE_FROM.isoformat()
    before = [drift for drift in drifts if drift.day < limit and drift.judged]
    after = [drift for drift in drifts if drift.day >= limit and drift.judged]
    false = [drift.day for drift in before if drift.alarm]
    rate = task.spec.monitoring.false_alarm_rate
    fired = [decision.day for decision in decided if decision.fired]
    early = [day for day in fired if day < limit]
    held = [decision.day for decision in decided if decision.held_back]
    return [
        f"False alarms: {len(false)} of {len(before)} windows before {limit} ({', '.join(false) or 'none'}); "
        f"{rate:.0%} of windows, {rate * len(before):.1f} here, were promised.",
        f"Triggers before {limit}: {len(early)} ({', '.join(early) or 'none'}).",
        f"Alarms from {limit} on: {sum(drift.alarm for drift in after)} of {len(after)} windows; the first on "
        f"{next((drift.day for drift in after if drift.alarm), 'no day')}. Triggers: {', '.join(fired) or 'none'}; "
        f"held back on {len(held)} days.",
    ]


def _won_back(
    task: Task, world: World, lines: Lines, days: Mapping[date, Sequence[Ticket]], first: str
) -> tuple[list[str], list[float]]:
    """The old and the new model on the tickets after the first promotion of a round, labels being known here."""
    promoted = [day for day, kind, _ in lines if kind == "promoted"]
    if len(promoted) < 2:
        return ["No refreshed model was promoted."], []
    since = promoted[1]
    calm = [ticket for day, tickets in days.items() if day < NEW_LINE_FROM for ticket in tickets]
    later = [ticket for day, tickets in days.items() if day > since for ticket in tickets]
    versions = world.registry.versions(task.spec.task)
    last = world.registry.at_alias(task.spec.task, task.spec.package.alias)
    second = next((version for version in versions if version.version != first), None)
    old = next(version for version in versions if version.version == first)
    if second is None or last is None or not later:
        return ["There are no tickets after the promotion to measure it on."], []
    before = _accuracy(world, old, calm)
    rows: list[str] = []
    shares: list[float] = []
    for name, part in (("all tickets", later), ("the new line's", [ticket for ticket in later if ticket.new_line])):
        lost, got = _accuracy(world, old, part), _accuracy(world, second, part)
        share = (got - lost) / (before - lost) if before > lost else 1.0
        shares.append(share)
        rows.append(
            f"{name:<16}{len(part):>6}   {first} {lost:.3f}   {second.version} {got:.3f}   won back {share:.0%} of the "
            f"{100 * (before - lost):.1f} points lost"
        )
    head = f"Accuracy of {first} from July to September, before the new line: {before:.3f}. After {since}:"
    return [head, *rows], shares


def _accuracy(world: World, version: Any, tickets: Sequence[Ticket]) -> float:
    """Share of tickets that a version sends to the right queue."""
    import tempfile

    from playbook.adapt.classifier import load_bundle

    with tempfile.TemporaryDirectory(prefix="year-") as scratch:
        model = load_bundle(world.registry.fetch_bundle(version, Path(scratch)))
        table = model.predict_proba([ticket.row["text"] for ticket in tickets])
    right = [model.labels[at] == ticket.row["category"] for at, ticket in zip(table.argmax(1), tickets, strict=True)]
    return sum(right) / len(right)
