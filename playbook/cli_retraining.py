"""Commands of watching and retraining: `playbook monitor` and `retrain`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import click

from playbook.artifacts import Figure, Score
from playbook.settings import settings
from playbook.task_names import open_task
from playbook.taskfile import Task

MOST_DAYS = 400


@click.command()
@click.argument("task")
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), help="The day to look at (default: the log's latest that is over)."
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Look at every day from this one on.")
def monitor(task: str, day: datetime | None, since: datetime | None) -> None:
    """Look at a day of TASK in production: drift, live metric, the retraining policy. Dagster does it every day."""
    from pipelines.retraining import monitor_days
    from playbook.operate.prediction_log import open_prediction_log

    found, places = open_task(task, settings()), settings()
    over = datetime.now(UTC).date() - timedelta(1)
    newest = None if day else open_prediction_log(places, found.spec.task).latest_day()
    last = day.date() if day else (min(newest, over) if newest else None)
    if last is None:
        raise click.ClickException(
            f"{found.spec.task}: expected logged predictions, found none; serve the model (playbook serve "
            f"{found.called()}) or score a file (playbook predict {found.called()} FILE) first"
        )
    first = since.date() if since else last
    earliest = found.spec.monitoring.since
    if not earliest <= first <= last <= over or (last - first).days >= MOST_DAYS:
        raise click.UsageError(
            f"expected days from {earliest} (monitoring.since) to {over}, the last day that has ended, --since "
            f"not after --day and at most {MOST_DAYS} days; found {first} to {last}"
        )
    monitor_days(found, places, [first + timedelta(number) for number in range((last - first).days + 1)])
    _print(found, last)


def _print(task: Task, last: date) -> None:
    from playbook.artifacts import Drift, RetrainDecision
    from playbook.plays import DRIFT, RETRAIN
    from playbook.store import Store

    places = settings()
    store, name, day = Store(places.store, places.home / "cache" / "store"), task.spec.task, last.isoformat()
    drift, decision = store.current(name, DRIFT, Drift, day), store.current(name, RETRAIN, RetrainDecision, day)
    if drift is not None:
        click.echo(f"{day}  {drift.text or drift.reason}")
        for figure in drift.figures:
            limit = "-" if figure.threshold is None else f"{figure.threshold:.4g}"
            alarm = "  ALARM" if figure.alarm else ""
            click.echo(f"  {figure.name:<20} {figure.value:>9.4g}  threshold {limit}{alarm}")
        if drift.estimate is not None:
            click.echo(_line("estimated metric", drift.estimate, "without labels"))
        if drift.live is not None:
            click.echo(_line(f"live {drift.live.metric}", drift.live, f"{drift.live.n} rows"))
    if decision is not None:
        click.echo(f"  retraining           {decision.reason}")
    click.echo(f"the whole story: {places.home / 'reports' / f'{name}-monitoring.html'}")


def _line(name: str, figure: Figure | Score, what: str) -> str:
    return f"  {name:<20} {figure.value:>9.4g}  ({figure.low:.4f} to {figure.high:.4f}), {what}"


@click.command()
@click.argument("task")
@click.option("--as", "by", required=True, metavar="NAME", help="Who asks: one of the task file's owners.")
@click.option("--reason", required=True, help="Why, in a few words.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="The day that it is about (default: today).")
def retrain(task: str, by: str, reason: str, day: datetime | None) -> None:
    """Ask for a retraining round of TASK; Dagster's sensor launches it, or the next `playbook run` takes it up."""
    from pipelines.retraining import ask

    found = open_task(task, settings())
    entry = ask(found, settings(), by=by, reason=reason, day=day.date() if day else None)
    click.echo(f"{entry.title}\nrecorded as entry {entry.index}, {entry.sha256[:12]}, of the decision log")
    sensor = f"{found.spec.task}_retrain"
    click.echo(f"next: Dagster's sensor {sensor} launches it; without a daemon: playbook run {found.called()}")


COMMANDS: tuple[click.Command, ...] = (monitor, retrain)
