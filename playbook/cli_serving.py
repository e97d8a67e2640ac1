"""Commands of a model in use: `playbook serve`, `predict` and `outcomes`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from playbook.data.text import counted, shown
from playbook.names import near_name
from playbook.settings import settings
from playbook.task_names import open_task

LOOPBACK = ("127.0.0.1", "localhost")
FILE = click.Path(path_type=Path, dir_okay=False)
TABLE = click.Path(path_type=Path)  # a file, or a folder of part files
MOST_SHOWN = 20
MOST_NAMED = 5  # ids of a line


@click.command()
@click.argument("task")
@click.option("--port", type=click.IntRange(0, 65535), default=5001, show_default=True, help="0 takes a free one.")
@click.option("--host", default=LOOPBACK[0], show_default=True, help="Loopback only; for others, put a proxy in front.")
def serve(task: str, port: int, host: str) -> None:
    """Answer over HTTP with the champion of TASK; a moved alias is followed without a restart."""
    from pipelines.answers import serve_task

    if host not in LOOPBACK:
        raise click.BadParameter(
            f"expected {' or '.join(LOOPBACK)}, found {host}: nothing here asks who calls; let an authenticating proxy "
            "on this machine face the network",
            param_hint="--host",
        )
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    for name in ("playbook.predictions", "playbook.serving"):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False
    serve_task(open_task(task, settings()), settings(), port, lambda text: click.echo(text, err=True))


@click.command()
@click.argument("task")
@click.argument("file", type=TABLE)
@click.option("--out", type=FILE, help="Answers: .csv, .parquet or .jsonl (default: FILE-predictions.csv beside it).")
@click.option("--id-column", metavar="NAME", help="Column of unique ids (default: data.columns.id of the task file).")
def predict(task: str, file: Path, out: Path | None, id_column: str | None) -> None:
    """Score the rows of FILE (CSV, Parquet, JSON Lines) with the champion of TASK, and log them."""
    from pipelines.answers import predict_file

    found = open_task(task, settings())
    done = predict_file(found, settings(), file, out, id_column)
    count = done.count
    click.echo(f"{counted(done.rows, 'row')} answered by version {done.version}: {_counted(done.labels)}")
    if done.asked:
        are = "is" if done.asked == 1 else "are"
        click.echo(f"{done.asked} of them {are} left to a person (column ask_a_person, with the reason)")
    _say_unreadable(done.unreadable, "answered")
    if done.content_ids:
        click.echo(f"no column {done.content_ids}: ids follow from the content (--id-column NAME takes another one)")
    click.echo(f"answers in {done.output}")
    click.echo(
        f"log: {count.logged} new, {count.repeated} there before, {count.not_chosen} outside of serving.log_share, "
        f"{count.lost} lost"
    )
    for said in done.odd_ids:
        click.echo(said, err=True)
    if count.lost:
        click.echo("the prediction log did not answer: once it does, repeat this command to log the rest", err=True)


@click.command()
@click.argument("task")
@click.argument("file", type=TABLE)
@click.option("--recorded-at", metavar="TIME", help="When the labels became known, where FILE has no column time.")
@click.option("--id-column", metavar="NAME", help="Column of ids (default: data.columns.id, id or prediction_id).")
@click.option("--label-column", metavar="NAME", help="Column of true labels (default: label, or data.columns.label).")
def outcomes(task: str, file: Path, recorded_at: str | None, id_column: str | None, label_column: str | None) -> None:
    """Join the true labels of FILE to the logged predictions of TASK.

    FILE has a column of ids (that of data.columns.id, id or prediction_id), one of true labels (label, or that of
    data.columns.label), and perhaps time.
    """
    from playbook.operate.outcomes import record_file

    found = open_task(task, settings())
    done = record_file(found, settings(), file, _moment(recorded_at), id_column, label_column)
    count = done.count
    click.echo(f"{count.new} new, {count.repeated} repeated, {counted(count.changed, 'changed outcome')}")
    click.echo(f"ids from column {done.id_column}, labels from column {done.label_column}")
    if not done.time_column and recorded_at is None:
        click.echo("known from now on, as there is no column time (--recorded-at TIME says another one)")
    if done.spoilt:
        click.echo(done.spoilt)
    if count.unmatched:
        have, they_are = ("has", "it is") if count.unmatched == 1 else ("have", "they are")
        click.echo(
            f"{count.unmatched} of them {have} no logged prediction (yet); {they_are} kept until it comes: "
            f"{_some(done.unmatched)}"
        )
    if done.nearly:
        pairs = [f"{own} (logged: {logged})" for own, logged in done.nearly.items()]
        click.echo(f"ids that differ from logged ones in zeros or case alone, and are not joined: {_some(pairs)}")
    if done.contradictory:
        pairs = [f"{own} ({said})" for own, said in done.contradictory.items()]
        click.echo(f"passed over, because the file gives two labels for one id: {_some(pairs)}")
    if done.early:
        click.echo(f"known on a day before the prediction was made, check the column time: {_some(done.early)}")
    if done.blank:
        click.echo(f"passed over without an id or a label: {counted(done.blank, 'row')}")
    _say_unreadable(done.unreadable, "taken up")
    if done.unknown:
        click.echo(f"kept, but no class of the task: {_counted(done.unknown)}")
        near = {label: near_name(label, found.spec.labels) for label in done.unknown}
        meant = [f"{label} for {name}" for label, name in near.items() if name]
        if meant:
            click.echo(f"perhaps another spelling of a class: {_some(meant)}")


def _say_unreadable(records: Sequence[str], done: str) -> None:
    """Records that could not be read, the first few with their lines."""
    if records:
        more = f"; and {len(records) - MOST_SHOWN} more" if len(records) > MOST_SHOWN else ""
        click.echo(f"not {done}, as they could not be read: {'; '.join(records[:MOST_SHOWN])}{more}", err=True)


def _some(names: Sequence[str]) -> str:
    """The first few, in a line."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(shown(name) for name in names[:MOST_NAMED]) + more


def _counted(labels: Any) -> str:
    """`17 refund, 3 access`; line breaks and control characters of labels made visible."""
    shown = [f"{number} {label if label.isprintable() else repr(label)}" for label, number in labels.items()]
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return ", ".join(shown[:MOST_SHOWN]) + more


def _moment(given: str | None) -> datetime | None:
    from datetime import UTC

    from playbook.data.times import moments
    from playbook.errors import DataError

    if given is None:
        return None
    try:
        return moments([given], datetime.now(UTC), "--recorded-at")[0]
    except DataError as error:
        raise click.BadParameter(str(error), param_hint="--recorded-at") from None


COMMANDS: tuple[click.Command, ...] = (serve, predict, outcomes)
