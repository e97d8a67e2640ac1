"""Commands of the people who decide: `playbook approve`, `reject`, `waive` and `log`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from playbook.settings import settings
from playbook.task_names import open_task
from playbook.taskfile import Task

if TYPE_CHECKING:
    from playbook.evaluate.approval import Case, Statement

WHO = click.option("--as", "by", required=True, metavar="NAME", help="Who decides: owners.sign_off of the task file.")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("task")
@WHO
@click.option("--answer-gain", "gain", metavar="TEXT", help="Is the gain worth the complexity?")
@click.option("--answer-failures", "failures", metavar="TEXT", help="Where does it fail, and is that acceptable?")
@click.option("--answer-production", "production", metavar="TEXT", help="Does it hold on data like production?")
@click.option("--key", type=FILE, help="Sign with this SSH key (sign_off.mode signed).")
@click.option("--signature", type=FILE, help="A signature made elsewhere, over what --write-statement wrote.")
@click.option("--write-statement", "statement_file", type=FILE, help="Write what is to be signed, and stop.")
def approve(
    task: str, by: str, key: Path | None, signature: Path | None, statement_file: Path | None, **answers: str | None
) -> None:
    """Approve the evaluation of TASK, with answers to the three questions."""
    from playbook.evaluate import approval

    found = open_task(task, settings())
    _one_way_of_signing(found, key, signature, statement_file)
    case = approval.open_case(found, settings())
    _show_case(case)
    given = _answered(answers, signature)
    if statement_file is not None:
        _write_statement(case, approval.statement_of(case, by, given), statement_file)
        return
    entry = approval.approve(case, by, given, _signer(key, signature))
    click.echo(f"{entry.title}\nrecorded as entry {entry.index}, {entry.sha256[:12]}, of the decision log")
    click.echo(f"next: `playbook run {found.called()}` packages it; where Dagster runs, its sensor does")


@click.command()
@click.argument("task")
@WHO
@click.option("--reason", required=True, help="Why it may not ship, in a few words.")
def reject(task: str, by: str, reason: str) -> None:
    """Reject the evaluation of TASK; nothing is packaged."""
    from playbook.evaluate import approval

    case = approval.open_case(open_task(task, settings()), settings())
    entry = approval.reject(case, by, reason)
    click.echo(f"{entry.title}\nrecorded as entry {entry.index}, {entry.sha256[:12]}, of the decision log")
    served = _served(case)
    if served:
        click.echo(served)
    click.echo(f"next: fix what is named, then `playbook run {case.bound.task.called()}`")


@click.command()
@click.argument("task")
@click.argument("what")
@WHO
@click.option("--reason", required=True, help="Why it is acceptable, in a few words.")
@click.option("--until", required=True, metavar="DATE", help="Last day on which the waiver counts, YYYY-MM-DD.")
def waive(task: str, what: str, by: str, reason: str, until: str) -> None:
    """Lift the blocker WHAT of TASK's evaluation until a day; `locked_terms`: terms changed after an opening."""
    from playbook.evaluate import approval
    from playbook.evaluate.terms_waiver import LOCKED_TERMS, waive_terms

    if what == LOCKED_TERMS:
        found = open_task(task, settings())
        entry = waive_terms(found, settings(), by, reason, until)
        click.echo(f"{entry.title}\nrecorded as entry {entry.index}, {entry.sha256[:12]}, of the decision log")
        click.echo(f"next: `playbook run {found.called()}` judges by today's terms, and says so")
        return
    case = approval.open_case(open_task(task, settings()), settings())
    entry = approval.waive(case, what, by, reason, until)
    click.echo(f"{entry.title}\nrecorded as entry {entry.index}, {entry.sha256[:12]}, of the decision log")
    name = case.bound.task.called()
    follow = f"playbook run {name}" if case.mode == "automatic" else f"playbook approve {name} --as {shlex.quote(by)}"
    click.echo(f"next: `{follow}`")


@click.command()
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as one JSON list.")
@click.option("--verify", is_flag=True, help="Only verify the chain of hashes, and print the last one.")
@click.option("--accept-loss", is_flag=True, help="Go on without a lost log, on record; needs --as and --reason.")
@click.option("--as", "by", metavar="NAME", help="Who accepts the loss: owners.sign_off of the task file.")
@click.option("--reason", help="Why it may be accepted, in a few words.")
def log(task: str, as_json: bool, verify: bool, accept_loss: bool, by: str | None, reason: str | None) -> None:
    """Print every decision about TASK, verified, and write them as a page."""
    from pipelines import records
    from playbook.decide.log_page import log_text, render_log_page

    places = settings()
    found = open_task(task, places)
    name = found.spec.task
    if accept_loss:
        if by is None or reason is None:
            raise click.UsageError("--accept-loss needs --as NAME and --reason TEXT: who accepts it, and why?")
        entry = records.accept_loss(found, places, by=by, reason=reason)
        click.echo(f"{entry.title}\nrecorded as entry {entry.index}, {entry.sha256[:12]}, of the decision log")
        return
    entries = records.verified_entries(found, places)
    if verify:
        last = entries[-1].sha256 if entries else "no entry yet"
        click.echo(f"{len(entries)} entries, unbroken; the last one is {last}")
        return
    page = places.home / "reports" / f"{name}-decisions.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_log_page(name, entries), encoding="utf-8")
    if as_json:
        click.echo(json.dumps([entry.model_dump(mode="json") for entry in entries]))
        return
    click.echo(f"{log_text(entries)}\nAs a page: {page}")


def _served(case: Case) -> str:
    """What to do about a model that was packaged on the evaluation rejected now; nothing where none was."""
    from playbook.artifacts import PackagedModel
    from playbook.plays import PACKAGED

    bound = case.bound
    model = bound.store.current(bound.task.spec.task, PACKAGED, PackagedModel)
    if model is None or model.skipped or model.evaluation != bound.evaluation.digest:
        return ""
    if model.alias != bound.task.spec.package.alias:  # registered, and not promoted
        return ""
    places = settings()
    shown = places.mlflow_place == places.mlflow_tracking_uri  # else it carries a password
    uri = repr(places.mlflow_place) if shown else "playbook.settings.settings().mlflow_tracking_uri"
    client = f"mlflow.MlflowClient({uri})"
    take_back = (
        f"import mlflow, playbook.settings; {client}.delete_registered_model_alias({model.name!r}, {model.alias!r})"
    )
    return (
        f"but version {model.version} of {model.name} was registered on this evaluation, and models:/{model.name}@"
        f"{model.alias} goes on serving it: rejecting moves no alias. Put the version before back (playbook rollback "
        f"{bound.task.called()} --as NAME --reason TEXT), or take the alias away: python -c {shlex.quote(take_back)}"
    )


def _one_way_of_signing(task: Task, key: Path | None, signature: Path | None, statement: Path | None) -> None:
    ways = [way for way in (key, signature, statement) if way is not None]
    mode = task.spec.sign_off.mode
    if mode != "signed" and ways:
        raise click.UsageError(
            f"sign_off.mode is {mode}: no signature is asked for; leave --key, --signature and --write-statement out"
        )
    if len(ways) > 1 or (mode == "signed" and not ways):
        raise click.UsageError(
            "expected one of --key FILE (signs here), --write-statement FILE (to be signed elsewhere) and "
            f"--signature FILE (what came back); found {len(ways)}"
        )


def _show_case(case: Case) -> None:
    """What is decided about, before anything is asked."""
    from playbook.evaluate.sign_off_state import awaited, open_blockers, waivers_of

    evaluation, entries = case.bound.evaluation, case.log.entries()
    lines = [
        f"{case.bound.task.spec.task}: {case.bound.task.spec.question}",
        f"  verdict   {evaluation.verdict}",
        f"  to ship   {evaluation.ship} ({case.bound.source}), data version {case.bound.dataset.number}",
    ]
    for name, side in (("frozen", evaluation.baseline), ("candidate", evaluation.candidate)):
        if side is not None and evaluation.metric in side.scores:
            score = side.scores[evaluation.metric]
            lines.append(f"  {name:<9} {evaluation.metric} {score.value:.4f} ({score.low:.4f} to {score.high:.4f})")
    if evaluation.candidate is not None:
        low, high = evaluation.interval
        lines.append(
            f"  gain      {evaluation.delta:+.4f} ({low:+.4f} to {high:+.4f}), asked for {evaluation.margin:g}"
        )
    over = evaluation.over_reference
    if over is not None:
        said = f"{over.gain.value:+.4f} ({over.gain.low:+.4f} to {over.gain.high:+.4f})"
        lines.append(f"  reference {over.name} {over.test.value:.4f}, {said} over it")
    lines += [f"  blocker   {blocker.what}: {blocker.text}" for blocker in evaluation.blockers]
    if open_blockers(case, waivers_of(case, entries)):
        lines.append(f"  awaits    {awaited(case, entries)}")
    lines.append(f"  report    {case.bound.report}")
    click.echo("\n".join(lines), err=True)


def _answered(options: dict[str, str | None], signature: Path | None) -> dict[str, str]:
    """Answers from the options, from the statement beside a signature, or asked for at a terminal."""
    from playbook.evaluate.approval import QUESTIONS

    written = _answers_beside(signature) if signature is not None else {}
    answers = {short: options.get(short) or written.get(question, "") for short, question in QUESTIONS.items()}
    if _at_a_terminal():
        for short, question in QUESTIONS.items():
            answers[short] = answers[short] or click.prompt(question, err=True, value_proc=_an_answer)
    return answers


def _an_answer(text: str) -> str:
    """What was typed, if it explains anything; otherwise it is asked for again."""
    from playbook.authority import WORDS, explains

    if not explains(text):
        raise click.UsageError(f"expected at least {WORDS} words that say why, found {text!r}")
    return text


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _answers_beside(signature: Path) -> dict[str, str]:
    """Answers of the statement that was written for a signature: `FILE` beside `FILE.sig`."""
    statement = signature.with_suffix("")
    if signature.suffix != ".sig" or not statement.is_file():
        return {}
    try:
        answers = json.loads(statement.read_text(encoding="utf-8"))["answers"]
        return {str(question): str(answer) for question, answer in answers.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _signer(key: Path | None, signature: Path | None) -> Any:
    from playbook.evaluate.sign_off_state import NAMESPACE
    from playbook.evaluate.ssh_signature import sign

    if key is not None:
        return lambda text: sign(text, key, NAMESPACE)
    if signature is None:
        return None
    if not signature.is_file():
        raise click.UsageError(f"--signature: there is no file {signature}")
    return lambda text: signature.read_bytes()


def _write_statement(case: Case, statement: Statement, file: Path) -> None:
    from playbook.evaluate.sign_off_state import NAMESPACE

    file.write_bytes(statement.text)
    task, owner = case.bound.task.called(), shlex.quote(case.owner)
    signing = f"ssh-keygen -Y sign -f KEY -n {NAMESPACE} {shlex.quote(str(file))}"
    handing_in = f"playbook approve {task} --as {owner} --signature {shlex.quote(f'{file}.sig')}"
    click.echo(f"wrote {file}\nnext, where your key is: {signing}\nthen, here: {handing_in}")


COMMANDS = (approve, reject, waive, log)
