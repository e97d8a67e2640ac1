"""Commands of versions in production: `playbook versions`, `rollback` and `reproduce`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from playbook.settings import Settings, settings
from playbook.task_names import open_task


@click.command()
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, newest version first.")
def versions(task: str, as_json: bool) -> None:
    """Print every model version of TASK with its changelog line, and write the changelog."""
    from pipelines.versions import changelog_of, versions_of

    found, places = open_task(task, settings()), settings()
    known = versions_of(found, places)
    if as_json:
        click.echo(json.dumps(known))
        return
    for one in known:
        aliases = f" ({', '.join(one['aliases'])})" if one["aliases"] else ""
        click.echo(f"{one['version']}{aliases}, {one['made']}, data version {one['dataset_version']}")
        click.echo(f"  {one['changelog']}")
        click.echo(f"  signed off by {one['signed_off_by'] or 'nobody on record'}")
    if not known:
        click.echo(f"{found.spec.task} has no model version yet: `playbook run {found.called()}`")
    click.echo(f"As a page: {changelog_of(found, places)}")


@click.command()
@click.argument("task")
@click.option("--as", "by", required=True, metavar="NAME", help="Who decides: one of the task file's owners.")
@click.option("--reason", required=True, help="Why the version in production has to go, in a few words.")
@click.option("--to", default="", metavar="VERSION", help="A version that was in production; else the one before.")
def rollback(task: str, by: str, reason: str, to: str) -> None:
    """Put the version before back into production for TASK.

    Without --to it goes to the version that was promoted before the one in place. Repeated, it goes further back, never
    to a version that was rolled back from: the sign-off owner puts such a one back by naming it with --to.
    """
    from pipelines.versions import roll_back

    found = open_task(task, settings())
    click.echo(roll_back(found, settings(), by, reason, to))
    click.echo("on record in the decision log; a server of `playbook serve` follows at once")


@click.command()
@click.argument("package", type=click.Path(path_type=Path, exists=True))
@click.option("--home", type=click.Path(path_type=Path), help="Where to work (default: PLAYBOOK_HOME).")
@click.option("--remote", default="", metavar="URL", help="The DVC remote that holds the dataset version.")
@click.option("--base", type=click.Path(path_type=Path, file_okay=False), help="Folder of the base, if it lies here.")
def reproduce(package: Path, home: Path | None, remote: str, base: Path | None) -> None:
    """Train the model of a handoff PACKAGE (zip or folder) again and compare its bundle's files, bit for bit."""
    from pipelines.versions import reproduce_package
    from playbook.operate.reproduce import differences

    def report(line: str) -> None:
        click.echo(line, err=True)

    done = reproduce_package(package, _at_home(home), report, remote, base)
    for name, sha256 in done.found.items():
        click.echo(f"{name}: SHA-256 {sha256}")
    if done.same:
        differ = f" although {'; '.join(done.differ)}" if done.differ else ""
        click.echo(f"reproduced: weights, temperature and rules are those of the package, bit for bit{differ}")
        return
    click.echo("not reproduced:\n" + "\n".join(f"  {line}" for line in differences(done)), err=True)
    sys.exit(1)


def _at_home(home: Path | None) -> Settings:
    return settings() if home is None else dataclasses.replace(settings(), home=home.resolve())


COMMANDS = (versions, rollback, reproduce)
