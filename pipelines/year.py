"""A year of tickets in minutes: `python -m pipelines.year` (`make year`).

A model is built on the tickets of six months, signed off and promoted. Then every day of the other six months comes:
its tickets are scored and logged, outcomes of earlier days arrive, and the daily assets look at the window. Nothing is
told that a product line of other words starts in month ten. When the policy fires, a real Dagster daemon's sensor
launches the round; the clock of the replay stands still until the round is over. The replay plays the people: it
approves what is asked of the sign-off owner, with the same function as `playbook approve`.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.year_tickets import Ticket, days_of_production, known_on, write_year
from playbook.errors import PlaybookError
from playbook.settings import Settings, child_environment, quiet_environment, settings
from playbook.taskfile import Task, load_task

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from playbook.artifacts import RetrainDecision
    from resources.scoring import BatchScorer

ROUND_SECONDS = 1800  # a round that takes longer has failed; a busy machine takes several times the five minutes
POLL = 0.5
ELSEWHERE = (
    "DAGSTER_HOME",
    "MLFLOW_TRACKING_URI",
    "PLAYBOOK_DATABASE",
    "PLAYBOOK_DATABASE_FILE",
    "PLAYBOOK_DAGSTER_DATABASE",
    "PLAYBOOK_DAGSTER_DATABASE_FILE",
    "PLAYBOOK_DECISION_LOG",
    "PLAYBOOK_DECISION_LOG_FILE",
    "PLAYBOOK_PREDICTION_LOG",
    "PLAYBOOK_PREDICTION_LOG_FILE",
    "PLAYBOOK_MLFLOW_ARTIFACTS",
    "PLAYBOOK_STORE",
    "PLAYBOOK_DVC_REMOTE",
    "PLAYBOOK_WEBHOOK",
    "PLAYBOOK_WEBHOOK_FILE",
)
HOURS = range(8, 20)  # of the day, in which tickets come
ANSWERS = {
    "gain": "Yes: the queues that this saves from a wrong desk are worth the model's upkeep.",
    "failures": "Mostly tickets with two matters; a person at the wrong desk passes them on, which is acceptable.",
    "production": "It is tested on rows that production brought, the newest among them.",
}


@dataclass
class Story:
    """What happened, for the table at the end."""

    began: float = field(default_factory=time.monotonic)
    lines: list[tuple[date, str, str]] = field(default_factory=list)

    def tell(self, day: date, kind: str, text: str) -> None:
        """Note an event and print it."""
        self.lines.append((day, kind, text))
        self.say(f"{day}  {kind:<10} {text}")

    def say(self, text: str) -> None:
        """A line of progress, with the seconds since the start."""
        click.echo(f"[{time.monotonic() - self.began:6.1f} s] {text}", err=True)


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Where its state goes (default: <home>/year); emptied.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Stop after this day.")
def main(home: Path | None, until: datetime | None) -> None:
    """Replay a year of tickets: build, serve, watch, retrain."""
    quiet_environment()
    place = (home or settings().home / "year").resolve()
    _empty(place)
    for name in ELSEWHERE:  # the replay is a world of its own: no database, store or webhook of this installation
        os.environ.pop(name, None)
    os.environ["PLAYBOOK_HOME"] = str(place)
    os.environ["PLAYBOOK_TASKS"] = str(place / "task")
    try:
        held = replay(place / "task", Story(), until.date() if until else None)
    except PlaybookError as error:
        raise click.ClickException(str(error)) from None
    if not held and until is None:
        sys.exit(1)


def _empty(place: Path) -> None:
    """Remove an earlier replay; any other folder is left alone."""
    if place.exists() and any(place.iterdir()) and not (place / "task" / "year.yaml").is_file():
        raise click.UsageError(
            f"{place}: expected an empty folder or an earlier replay, found something else; name another"
        )
    shutil.rmtree(place, ignore_errors=True)


def replay(folder: Path, story: Story, until: date | None = None) -> bool:
    """Build on six months, then live through the other six; returns whether all held that the replay is to show."""
    from pipelines.year_table import print_table

    places = settings()
    folder.mkdir(parents=True, exist_ok=True)
    every = write_year(places.root, folder)
    task = load_task(folder / "year.yaml")
    days = days_of_production(every)
    first = _build(task, places, story, next(iter(days)))
    with ExitStack() as stack:
        replayed = stack.enter_context(_replay(task, places, story))
        outcomes = known_on([ticket for tickets in days.values() for ticket in tickets])
        for day, tickets in days.items():
            if until is not None and day > until:
                break
            replayed.live(day, tickets, outcomes.get(day, []))
    _publish(task, places, story)
    return print_table(task, places, story.lines, days, first, time.monotonic() - story.began)


def _build(task: Task, places: Settings, story: Story, day: date) -> str:
    """The first model: run, approve, run again; returns its version."""
    from pipelines.launch import run_task

    story.say("building the first model on the tickets of six months")
    with progress(story):
        outcome = run_task(task, places)
    if not outcome.succeeded:
        raise PlaybookError(f"the first model was not built: {outcome.failure}")
    _approve(task, places)
    packaged = run_task(task, places)
    version = champion(places, task)
    if not packaged.succeeded or not version:
        raise PlaybookError(f"the first model was not promoted: {packaged.failure or 'see playbook show'}")
    story.tell(day, "promoted", f"version {version}, built on the tickets of January to June")
    return version


@contextmanager
def progress(story: Story) -> Iterator[None]:
    """Print what the plays of a run report."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            story.say(record.getMessage())

    logger, printer = logging.getLogger("playbook.progress"), Printer()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(printer)
    try:
        yield
    finally:
        logger.removeHandler(printer)


def _approve(task: Task, places: Settings) -> None:
    from playbook.evaluate.approval import approve, open_case

    approve(open_case(task, places), task.spec.owners.sign_off, ANSWERS)


def champion(places: Settings, task: Task) -> str:
    """Version at the champion's alias; empty where nothing serves."""
    from resources.world import World

    at = World(places).registry.at_alias(task.spec.task, task.spec.package.alias)
    return at.version if at else ""


@dataclass
class Replay:
    """Everything that a day needs."""

    task: Task
    places: Settings
    story: Story
    instance: DagsterInstance
    scorer: BatchScorer
    watch: Any  # day -> None

    def live(self, day: date, tickets: Sequence[Ticket], outcomes: Sequence[Ticket]) -> None:
        """One day: tickets are scored, outcomes arrive, the window is looked at, a round may follow."""
        if day.day == 1:
            self.story.say(f"{day:%B}")
        self._score(day, tickets)
        self._learn(day, outcomes)
        known = self._runs("retrain")
        self.watch(day)
        decision = self._decision(day)
        if decision.fired:
            self.story.tell(day, "trigger", "; ".join(f"{name}: {found}" for name, found in decision.triggers.items()))
            self._round(day, set(known))

    def _score(self, day: date, tickets: Sequence[Ticket]) -> None:
        import pandas as pd

        if tickets:
            times = [_moment(day, place) for place in range(len(tickets))]
            self.scorer.score(pd.DataFrame([ticket.row for ticket in tickets]).drop(columns=["category"]), times)

    def _learn(self, day: date, outcomes: Sequence[Ticket]) -> None:
        from playbook.operate.prediction_log import Outcome
        from resources.world import World

        at = _moment(day, len(HOURS) - 1)
        rows = [Outcome(ticket.id, ticket.row["category"], at, "replay") for ticket in outcomes]
        World(self.places).prediction_log(self.task.spec.task).record_outcomes(rows)

    def _decision(self, day: date) -> RetrainDecision:
        from playbook.artifacts import RetrainDecision
        from playbook.plays import RETRAIN
        from resources.world import World

        store = World(self.places).store
        found = store.current(self.task.spec.task, RETRAIN, RetrainDecision, day.isoformat())
        if found is None:
            raise PlaybookError(f"{day}: expected a decision of the retraining policy, found none")
        return found

    def _round(self, day: date, known: set[str]) -> None:
        """Wait for the sensor's run, sign what it made, wait for the promotion."""
        from playbook.status import read_status

        before, end = champion(self.places, self.task), time.monotonic() + ROUND_SECONDS
        run = self._ended("retrain", known, end)
        self.story.tell(day, "round", f"launched by the sensor, run {run[:8]}")
        task = load_task(self.task.path)  # a round may have added classes
        state = read_status(task, self.places)["state"]
        if state != "awaiting_sign_off":
            self.story.tell(day, "no change", f"nothing to sign: {state}")
            return
        known = set(self._runs("package"))
        _approve(task, self.places)
        self._ended("package", known, end)
        now = champion(self.places, task)
        if now == before:
            self.story.tell(day, "no change", f"version {before} stays")
        else:
            self.story.tell(day, "promoted", f"version {now} instead of {before}")

    def _runs(self, kind: str) -> dict[str, Any]:
        import dagster as dg

        name = f"{self.task.spec.task}_{kind}_job"
        return {run.run_id: run for run in self.instance.get_runs(dg.RunsFilter(job_name=name))}

    def _ended(self, kind: str, known: set[str], end: float) -> str:
        """The next run of a job that the daemon launches, once it has ended; its id."""
        import dagster as dg

        while time.monotonic() < end:
            for run_id, run in self._runs(kind).items():
                if run_id in known or not run.is_finished:
                    continue
                if run.status != dg.DagsterRunStatus.SUCCESS:
                    raise PlaybookError(f"run {run_id[:8]} of the {kind} job ended as {run.status.value}")
                return run_id
            time.sleep(POLL)
        raise PlaybookError(f"no run of the {kind} job ended within {ROUND_SECONDS} s; see logs/daemon.log")


def _moment(day: date, place: int) -> datetime:
    hour = HOURS[place % len(HOURS)]
    return datetime(day.year, day.month, day.day, hour, place % 60, place % 60, tzinfo=UTC)


@contextmanager
def _replay(task: Task, places: Settings, story: Story) -> Iterator[Replay]:
    import dagster as dg

    from pipelines.instance import prepare_home
    from pipelines.retraining import day_watcher
    from resources.scoring import BatchScorer

    prepare_home(places)
    with daemon(places), dg.DagsterInstance.get() as instance:
        story.say("the first model serves; the other six months begin, with Dagster's daemon beside them")
        yield Replay(task, places, story, instance, BatchScorer(task, places), day_watcher(task, places, instance))


@contextmanager
def daemon(places: Settings) -> Iterator[None]:
    """Dagster's daemon with the code location of the project; ended with everything that it started."""
    from pipelines.ui import Service, running

    python = [sys.executable, "-W", "ignore"]
    command = [*python, "-m", "dagster._daemon", "run", "-w", str(places.root / "workspace.yaml")]
    resolved = {
        "PLAYBOOK_ROOT": str(places.root),
        "PLAYBOOK_HOME": str(places.home),
        "PLAYBOOK_TASKS": os.pathsep.join(str(folder) for folder in places.task_folders[1:]),
        "DAGSTER_HOME": str(places.dagster_home),
    }
    log = places.home / "logs" / "daemon.log"
    with running(Service("Dagster's daemon", command, {**child_environment(), **resolved}, 0, "", log)) as child:
        yield
        if child.poll() is not None:
            raise PlaybookError(f"Dagster's daemon ended with status {child.returncode}; see {log}")


def _publish(task: Task, places: Settings, story: Story) -> None:
    from assets.monitoring import publish_monitoring
    from resources.world import World

    published = publish_monitoring(World(places), task)
    if published is not None:
        published.page.with_suffix(".png").write_bytes(published.story)
        story.say(f"the monitoring page: {published.page}")


if __name__ == "__main__":
    main()
