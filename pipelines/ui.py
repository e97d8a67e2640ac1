"""Dagster's and MLflow's pages on this machine only: `python -m pipelines.ui` (`make ui`). Ctrl-C ends everything.

Whoever reaches Dagster's port can start runs, and it asks for no password: it is bound to loopback. To serve others,
put a proxy that authenticates in front of both.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from pipelines.instance import prepare_home
from playbook.adapt.worker import die_with_parent
from playbook.errors import PlaybookError
from playbook.settings import Settings, child_environment, quiet_environment, settings
from resources.mlflow_server import LOOPBACK, server_command, server_environment
from resources.tracking import Tracking

DAGSTER_PORT, MLFLOW_PORT = 3000, 5000
READY_SECONDS = 180
STOP_SECONDS = 20  # a service that has not ended by then is killed
LOG_LINES = 20
Port = click.IntRange(1, 65535)


@dataclass(frozen=True)
class Service:
    """One set of pages: its command, and where it answers when it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    health: str
    log: Path

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.port}"


@click.command()
@click.option("--dagster-port", type=Port, default=DAGSTER_PORT, show_default=True)
@click.option("--mlflow-port", type=Port, default=MLFLOW_PORT, show_default=True)
def main(dagster_port: int, mlflow_port: int) -> None:
    """Serve Dagster's pages (with its daemon) and MLflow's on loopback until Ctrl-C."""
    quiet_environment()
    places = settings()
    if dagster_port == mlflow_port:
        raise click.UsageError(f"port {dagster_port} is asked for twice; --dagster-port and --mlflow-port must differ")
    require_free(dagster_port, "--dagster-port")
    require_free(mlflow_port, "--mlflow-port")
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # even where a shell started this in the background
    try:
        with ExitStack() as stack:
            services = [dagster_service(places, dagster_port), mlflow_service(places, mlflow_port)]
            children = [stack.enter_context(running(service)) for service in services]
            for service, child in zip(services, children, strict=True):
                wait_until_ready(service, child)
                click.echo(f"{service.name}: {service.address}")
            click.echo(f"Ctrl-C ends both. Their output: {services[0].log.parent}")
            _watch(services, children)
    except KeyboardInterrupt:
        click.echo("ended")
    except PlaybookError as error:
        raise click.ClickException(str(error)) from None


def require_free(port: int, option: str) -> None:
    """Refuse a port that something else listens on.

    Raises:
        click.UsageError: with the port and the option that chooses another one.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise click.UsageError(
                f"port {port} is not free ({error.strerror}); choose another one with {option}"
            ) from None


def dagster_service(places: Settings, port: int) -> Service:
    """Dagster's webserver, its daemon and one code server for both.

    Raises:
        click.UsageError: this is not a checkout of the project.
    """
    workspace = places.root / "workspace.yaml"
    if not workspace.is_file():
        raise click.UsageError(f"{workspace} is missing; name the project's folder in PLAYBOOK_ROOT")
    home = prepare_home(places)
    # `dg dev` starts this very command, with a project search before it; the warning that says so helps nobody here.
    python = [sys.executable, "-W", "ignore:Function `dev_command` is superseded"]
    address = ["--host", LOOPBACK, "--port", str(port)]
    command = [*python, "-m", "dagster", "dev", "-w", str(workspace), *address, "--log-level", "warning"]
    resolved = {  # the services run in the project's folder, where a relative path would mean another place
        "PLAYBOOK_ROOT": str(places.root),
        "PLAYBOOK_HOME": str(places.home),
        "PLAYBOOK_TASKS": os.pathsep.join(str(folder) for folder in places.task_folders[1:]),
        "DAGSTER_HOME": str(home),
    }
    if places.mlflow_artifacts:
        resolved["PLAYBOOK_MLFLOW_ARTIFACTS"] = places.mlflow_artifacts
    environment = {**child_environment(), **resolved}
    return Service("Dagster", command, environment, port, "/server_info", places.home / "logs" / "dagster.log")


def mlflow_service(places: Settings, port: int) -> Service:
    """MLflow's server."""
    tracking = Tracking.from_settings(places)
    command = server_command(tracking, port)
    return Service(
        "MLflow", command, server_environment(tracking), port, "/health", places.home / "logs" / "mlflow.log"
    )


@contextmanager
def running(service: Service) -> Iterator[subprocess.Popen[bytes]]:
    """A service in a process group of its own, which is ended with all that it started."""
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("wb") as log:
        child = subprocess.Popen(
            service.command,
            env=dict(service.environment),
            cwd=settings().root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread runs here yet
        )
    try:
        yield child
    finally:
        _stop(child)


def wait_until_ready(service: Service, child: subprocess.Popen[bytes]) -> None:
    """Wait until the service answers.

    Raises:
        click.ClickException: it ended, or does not answer in time; with the last lines of its output.
    """
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and child.poll() is None:
        try:
            with urllib.request.urlopen(service.address + service.health, timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise _failed(service, child)


def _failed(service: Service, child: subprocess.Popen[bytes]) -> click.ClickException:
    status = child.poll()
    found = f"does not answer after {READY_SECONDS} s" if status is None else f"ended with status {status}"
    lines = service.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    return click.ClickException(f"{service.name} {found}; the end of {service.log}:\n" + "\n".join(lines))


def _watch(services: Sequence[Service], children: Sequence[subprocess.Popen[bytes]]) -> None:
    while True:
        time.sleep(1)
        for service, child in zip(services, children, strict=True):
            if child.poll() is not None:
                raise _failed(service, child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ask the service to end, then its whole group, then kill what is left."""
    for step in (child.terminate, lambda: _signal_group(child, signal.SIGTERM)):
        step()
        if _group_ended(child, STOP_SECONDS / 2):
            return
    _signal_group(child, signal.SIGKILL)
    child.wait()


def _group_ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        child.poll()
        if not _signal_group(child, 0):
            return True
        time.sleep(0.1)
    return False


def _signal_group(child: subprocess.Popen[bytes], number: int) -> bool:
    """Signal every process of the service's group; False where there is none left."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    return True


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would cut the tidying short
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
