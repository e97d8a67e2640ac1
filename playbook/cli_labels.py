"""Commands of the people who look at labels: `playbook relabel` and `annotate`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from playbook.settings import settings
from playbook.task_names import open_task
from playbook.taskfile import Task

if TYPE_CHECKING:
    from playbook.data.annotate import Read
    from playbook.relabel import Plan

FILE = click.Path(path_type=Path, dir_okay=False)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
NAMED = 20  # rows that are shown one by one; --json has all


@click.command()
@click.argument("task")
@click.argument("queue", type=FILE, required=False)
@click.option("--as", "by", metavar="NAME", help="Who looked at the labels.")
@click.option(
    "--signature", type=FILE, help="Signature over the queue by an owner's SSH key, for rows of the test split."
)
@click.option("--yes", is_flag=True, help="Apply it; without this, only say what would change.")
@JSON
def relabel(task: str, queue: Path | None, by: str | None, signature: Path | None, yes: bool, as_json: bool) -> None:
    """Say what the edited relabel QUEUE of TASK would change, and with --yes do it; without one, say where it lies."""
    from playbook.relabel import apply_queue, plan_queue

    found, places = open_task(task, settings()), settings()
    if queue is None:
        _say_where(found, as_json)
        return
    if by is None and yes:
        raise click.UsageError("--as NAME is needed: who looked at the labels?")
    plan = plan_queue(found, queue, places)
    if yes and by is not None:
        apply_queue(found, queue, by=by, places=places, signature=signature)
    if as_json:
        click.echo(json.dumps(_as_json(plan, applied=yes)))
        return
    click.echo(_in_words(plan))
    if yes:
        click.echo(f"kept in {plan.corrections}\nnext: `playbook run {found.called()}` makes the new dataset version")
        return
    who = shlex.quote(by) if by else "NAME"
    click.echo(
        "nothing is changed yet; to apply it: "
        f"playbook relabel {found.called()} {shlex.quote(str(queue))} --as {who} --yes"
    )


def _say_where(task: Task, as_json: bool) -> None:
    from playbook.relabel import queue_place

    place, name = queue_place(task, settings()), task.called()
    if as_json:
        click.echo(json.dumps({"queue": str(place), "there": place.is_file()}))
        return
    there = "" if place.is_file() else f" (not there yet: playbook run {name} --until label_audit)"
    click.echo(
        f"{place}{there}\nfill in new_label, then see what it would change: "
        f"playbook relabel {name} {shlex.quote(str(place))} --as NAME"
    )


def _as_json(plan: Plan, *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "changed": len(plan.changes),
        "confirmed": len(plan.confirmed),
        "left_open": plan.left_open,
        "pairs": [{"from": now, "to": new, "rows": rows} for now, new, rows in plan.pairs],
        "rows": [{"row_id": row, "from": now, "to": new} for row, now, new in plan.changes],
        "test_rows": list(plan.test_rows),
        "corrections": str(plan.corrections),
    }


def _in_words(plan: Plan) -> str:
    from playbook.data.text import counted, shown

    said = [
        f"{counted(len(plan.changes), 'label')} changed, {len(plan.confirmed)} confirmed, {plan.left_open} left open"
    ]
    said += [f"  {rows:>5}  {shown(now)} -> {shown(new)}" for now, new, rows in plan.pairs]
    named = [f"  {shown(row)}: {shown(now)} -> {shown(new)}" for row, now, new in plan.changes[:NAMED]]
    more = len(plan.changes) - len(named)
    said += ["rows:", *named] if named else []
    said += [f"  and {more} more (--json has all)"] if more > 0 else []
    if plan.test_rows:
        touched = counted(len(plan.test_rows), "row")
        said.append(f"touches {touched} of the test split: an owner's signature is needed (--signature)")
    return "\n".join(said)


@click.command()
@click.argument("task")
@click.option("--rows", "count", type=click.IntRange(min=1), help="Draw a sheet of so many rows.")
@click.option("--out", type=FILE, help="Where to write the sheet (default: the reports folder of the state).")
@click.option("--read", "sheet", type=FILE, help="Read a sheet back that the second person filled in.")
@click.option("--by", metavar="NAME", help="Who filled it in.")
@JSON
def annotate(task: str, count: int | None, out: Path | None, sheet: Path | None, by: str | None, as_json: bool) -> None:
    """Draw rows of TASK for a second person to label, without their labels, or read the answers back.

    The rows are training and validation rows, in proportion to the classes and in a random order. The answers are kept
    in the file that data.labels.second_annotator names.
    """
    found = open_task(task, settings())
    if (count is None) == (sheet is None):
        raise click.UsageError("either --rows N (draw a sheet) or --read FILE --by NAME (read one back)")
    if count is not None:
        _draw(found, count, out, as_json)
    elif by is None:
        raise click.UsageError("--by NAME is needed: who filled the sheet in?")
    elif sheet is not None:
        _read(found, sheet, by, as_json)


def _draw(task: Task, count: int, out: Path | None, as_json: bool) -> None:
    from playbook.annotate import draw
    from playbook.data.text import counted

    place, page, rows = draw(task, count, settings(), out)
    if as_json:
        click.echo(json.dumps({"sheet": str(place), "classes": str(page), "rows": rows}))
        return
    fewer = f" (all that are left of the {count} asked for)" if rows < count else ""
    named = task.spec.data.labels.second_annotator
    click.echo(
        f"{place}: {counted(rows, 'row')}{fewer}, without labels; what the classes mean: {page}\nsomebody who did "
        f"not give the labels fills in `label`, then: playbook annotate {task.called()} "
        f"--read {shlex.quote(str(place))} --by NAME"
        + ("" if named else "\nname a file for the answers first: data.labels.second_annotator")
    )


def _read(task: Task, sheet: Path, by: str, as_json: bool) -> None:
    from playbook.annotate import read_back

    done = read_back(task, sheet, by, settings())
    if as_json:
        agreed = done.agreement.model_dump(mode="json") if done.agreement else None
        figures = {"new": done.new, "known": done.known, "left_open": done.left_open, "set_aside": list(done.aside)}
        click.echo(json.dumps({**figures, "kept_in": str(done.kept_in), "agreement": agreed}))
        return
    click.echo("\n".join(_read_in_words(task, done)))


def _read_in_words(task: Task, done: Read) -> list[str]:
    from playbook.data.agreement import rows_to_settle
    from playbook.data.text import counted, shown

    kept = f"{counted(done.new, 'answer')} kept in {done.kept_in}"
    said = [f"{kept}, {done.known} known before, {done.left_open} left open"]
    if done.aside:
        said.append(f"left out, because preparing sets these rows aside: {', '.join(map(shown, done.aside))}")
    found, labels = done.agreement, task.spec.data.labels
    if found is None:
        return [*said, "no row is labelled twice yet"]
    kappa, floor = found.kappa, labels.min_kappa
    said.append(
        f"kappa {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}) on {counted(found.rows, 'row')}; the lower "
        f"end must reach {floor:g}"
    )
    said += [f"  {rows:>5}  {shown(one)} / {shown(other)}" for one, other, rows in found.disagreements]
    needed = rows_to_settle(found, floor)
    if kappa.low < floor and needed:
        said.append(f"{counted(needed, 'row')} with as much agreement would settle it, {needed - found.rows} more")
    if found.rows < labels.min_rows_twice:
        said.append(f"fewer than the {labels.min_rows_twice} rows that are asked for (data.labels.min_rows_twice)")
    return said


COMMANDS = (relabel, annotate)
