"""The command line: `playbook run`, `show`, `tasks`, `init`, `schema`. Thin, on top of the Dagster definitions.

Exit status: 0 done (shipped, or a valid early end), 1 failed, 2 bad task file or arguments, 3 stopped by the gate,
4 waiting for sign-off.
"""

from __future__ import annotations

import errno
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import click

from playbook import cli_decisions, cli_labels, cli_retraining, cli_serving, cli_versions
from playbook.errors import GateRed, LogTampered, PlaybookError
from playbook.settings import quiet_environment, settings
from playbook.task_names import open_task
from playbook.taskfile import find_tasks, json_schema

AWAITING_SIGN_OFF = 4  # exit status


class PlaybookGroup(click.Group):
    """Errors of playbook end a command with their own exit status and without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PlaybookError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_status)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone: click ends quietly
                raise
            click.echo(
                f"{type(error).__name__}: {error}; check that the path is there and may be read and written, and that "
                "the disk is not full",
                err=True,
            )
            ctx.exit(1)
        except Exception as error:
            if not _of_database(error):
                raise
            click.echo(
                f"a database of this installation cannot be used ({_reason(error)}); check that the disk is not full "
                "and that PLAYBOOK_HOME may be written, then run again: it resumes where it stopped",
                err=True,
            )
            ctx.exit(1)


def _of_database(error: BaseException) -> bool:
    """Whether a database library raised it; none is imported only to be asked."""
    return any(kind.__module__.split(".")[0] in ("sqlalchemy", "sqlite3") for kind in type(error).__mro__)


def _reason(error: BaseException) -> str:
    """What the database itself said, without statement and parameters."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200]


@click.group(cls=PlaybookGroup)
@click.version_option(package_name="playbook")
def main() -> None:
    """Transfer learning the disciplined way: one task file, every claim earned."""
    quiet_environment()


@main.command()
@click.argument("task")
@click.option("--until", metavar="ASSET", help="Stop after this asset, for example frozen_baseline.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as one JSON object last.")
def run(task: str, until: str | None, as_json: bool) -> None:
    """Materialise TASK, a name or the path of a task file."""
    from pipelines.launch import run_task

    places = settings()
    found = open_task(task, places)
    began = time.monotonic()
    _show_progress(began)
    run_id = None
    try:
        outcome = run_task(found, places, until)
        run_id = outcome.run_id
        status = _status(found)
    except LogTampered as error:
        if as_json:
            click.echo(json.dumps({"task": found.spec.task, "run_id": run_id, "failure": str(error)}))
        raise
    failure = _failure(status, outcome)
    if failure:
        status["failure"] = failure
    elapsed = time.monotonic() - began
    if as_json:
        click.echo(json.dumps({**status, "run_id": outcome.run_id, "wall_seconds": round(elapsed, 1)}))
    else:
        click.echo(_summary(status) + f"\n\n  Took {elapsed:.0f} s. Dagster run {outcome.run_id[:8]}.")
    _end(status, outcome)


def _failure(status: dict[str, Any], outcome: Any) -> str:
    """What made a run fail; nothing where it ended well or the gate stopped it."""
    stopped = status["state"] == "gate_red" and "dataset_version" in outcome.materialized
    return "" if outcome.succeeded or stopped else str(outcome.failure)


def _end(status: dict[str, Any], outcome: Any) -> None:
    """Leave with the status of the contract where it is not 0."""
    if status["state"] == "gate_red" and "failure" not in status:
        sys.exit(GateRed.exit_status)
    if "failure" in status:
        click.echo(f"failed: {status['failure']}", err=True)
        sys.exit(1)
    approval = status["sign_off"]
    if "sign_off" in outcome.materialized and approval and approval["state"] in {"awaiting", "void"}:
        sys.exit(AWAITING_SIGN_OFF)


@main.command()
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(task: str, as_json: bool) -> None:
    """Print where TASK stands, without running anything."""
    from pipelines.records import verified_entries

    found = open_task(task, settings())
    verified_entries(found, settings())  # a log that is gone or replaced is noticed by MLflow's anchor, too
    status = _status(found)
    click.echo(json.dumps(status) if as_json else _summary(status))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def tasks(as_json: bool) -> None:
    """List the known tasks."""
    known = {name: str(path) for name, path in find_tasks(settings()).items()}
    if as_json:
        click.echo(json.dumps(known))
        return
    width = max((len(name) for name in known), default=0)
    for name, path in known.items():
        click.echo(f"{name:<{width}}  {path}")


@main.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write it (default: pipelines/tasks).")
def init(name: str, folder: Path | None) -> None:
    """Write a commented task file NAME.yaml to fill in."""
    from playbook.template import write_template

    path = write_template(name, folder or settings().root / "pipelines" / "tasks")
    click.echo(f"wrote {path}\nfill it in, then: playbook run {path}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of task files, for editors."""
    click.echo(json.dumps(json_schema(), indent=1))


for _module in (cli_decisions, cli_labels, cli_serving, cli_versions, cli_retraining):
    for _command in _module.COMMANDS:
        main.add_command(_command)


def _status(task: Any) -> dict[str, Any]:
    from playbook.status import read_status

    return read_status(task, settings())


def _show_progress(began: float) -> None:
    """Print what the plays report, to standard error: standard output belongs to the result."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(f"[{time.monotonic() - began:6.1f} s] {record.getMessage()}", err=True)

    logger = logging.getLogger("playbook.progress")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [Printer()]


def _summary(status: dict[str, Any]) -> str:
    from playbook.summary import summary

    return summary(status)


if __name__ == "__main__":
    main()
