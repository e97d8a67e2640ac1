"""Dagster as `make ui` starts it, small tasks for it, and a look at the processes of this machine."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import string
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from play_runs import copy_database
from ports import free_port
from tiny_base import write_tiny_base

from pipelines.ui import Service, dagster_service, running, wait_until_ready
from playbook.settings import Settings, settings

LAUNCH = """mutation ($job: String!, $assets: [AssetKeyInput!], $tags: [ExecutionTag!]) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "playbook", repositoryName: "__repository__", jobName: $job,
               assetSelection: $assets}, runConfigData: {}, executionMetadata: {tags: $tags}}) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
    ... on RunConfigValidationInvalid {errors {message}} ... on PipelineNotFoundError {message}}}"""
TERMINATE = "mutation ($run: String!) {terminateRun(runId: $run) {__typename}}"


@contextmanager
def environment(folder: Path, monkeypatch: pytest.MonkeyPatch, database: Path) -> Iterator[Settings]:
    """State and task files of this installation under `folder`, for this process and its children.

    `database` is an empty one of MLflow.
    """
    for name in ("DAGSTER_HOME", "MLFLOW_TRACKING_URI", "PLAYBOOK_STORE", "PLAYBOOK_DVC_REMOTE", "PLAYBOOK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    (folder / "tasks").mkdir()
    copy_database(database, folder / "home")
    monkeypatch.setenv("PLAYBOOK_HOME", str(folder / "home"))
    monkeypatch.setenv("PLAYBOOK_TASKS", str(folder / "tasks"))
    yield settings()


def wait_for(what: str, seconds: float, found: Callable[[], Any], every: float = 0.1) -> Any:
    """The first true answer of `found`; the test fails where there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(every)
    pytest.fail(f"waited {seconds:g} s in vain for {what}")


@dataclass(frozen=True)
class Dagster:
    """A webserver with its daemon."""

    address: str
    instance: Any

    def ask(self, query: str, **variables: Any) -> Any:
        """Answer of the webserver's GraphQL."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=240) as answer:  # noqa: S310
            found = json.loads(answer.read())
        assert "errors" not in found, found
        return found["data"]

    def launch(self, task: str, assets: list[str], **tags: str) -> str:
        """Queue a run of some assets of a task, as Dagster's pages do; returns its id."""
        done = self.ask(
            LAUNCH,
            job=f"{task}_job",
            assets=[{"path": [task, asset]} for asset in assets],
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )["launchRun"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return str(done["run"]["runId"])

    def terminate(self, run_id: str) -> None:
        """End a run, as the button of Dagster's pages does."""
        assert self.ask(TERMINATE, run=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"

    def status(self, run_id: str) -> str:
        """Name of a run's status."""
        return str(self.instance.get_run_by_id(run_id).status.value)

    def said(self, run_id: str) -> list[str]:
        """Messages of a run's event log so far."""
        return [entry.user_message or entry.message for entry in self.instance.all_logs(run_id)]

    def wait_said(self, run_id: str, text: str, seconds: float = 240) -> None:
        """Wait until the event log of a run that goes on has a text."""

        after: str | None = None

        def found() -> bool:
            nonlocal after
            ended = self.status(run_id) in ("SUCCESS", "FAILURE", "CANCELED")
            news = self.instance.get_records_for_run(run_id, cursor=after)  # all of it, each time, is a process's work
            after = news.cursor
            entries = [record.event_log_entry for record in news.records]
            if any(text in (entry.user_message or entry.message) for entry in entries):
                return True
            assert not ended, "\n".join(self.said(run_id))
            return False

        wait_for(f"{text!r} in the event log", seconds, found)

    def wait_ended(self, run_id: str, seconds: float = 240) -> str:
        """Wait until a run has ended; returns its status."""
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        wait_for("the run's end", seconds, lambda: self.status(run_id) in ended)
        return self.status(run_id)


@contextmanager
def dagster(places: Settings, location: str = "") -> Iterator[Dagster]:
    """Dagster on a free port, with the code location of this checkout, or with another one, given as its code."""
    from dagster import DagsterInstance

    service = hurried(dagster_service(places, free_port()), places)
    if location:
        service = located(service, places.home, location)
    with running(service) as child, DagsterInstance.from_config(str(places.dagster_home)) as instance:
        wait_until_ready(service, child)
        yield Dagster(service.address, instance)


def hurried(service: Service, places: Settings) -> Service:
    """A service of Dagster's whose daemon looks at its queue, its runs and their ends every second, not every five.

    What is looked at, and what follows from it, stays the same.
    """
    file = places.dagster_home / "dagster.yaml"
    configuration = yaml.safe_load(file.read_text("utf-8"))
    configuration["run_monitoring"]["poll_interval_seconds"] = 1
    configuration["run_queue"] = {"dequeue_interval_seconds": 1}
    file.write_text(yaml.safe_dump(configuration), "utf-8")
    return replace(
        service, environment={**service.environment, "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1"}
    )


def located(service: Service, folder: Path, code: str) -> Service:
    """A service of Dagster's with a code location of the test's own, written into a folder."""
    (folder / "location.py").write_text(code, "utf-8")
    source = {"relative_path": "location.py", "location_name": "playbook"}
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_file": source}]}), "utf-8")
    command = [*service.command]
    command[command.index("-w") + 1] = str(workspace)
    return replace(service, command=command)


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    parent: int
    rank: str | None  # among those that train together


def processes(naming: Path) -> list[Process]:
    """Running processes whose command names a path, upstream first."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and str(naming).encode() in (folder / "cmdline").read_bytes():
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                rank = next((item.removeprefix("RANK=") for item in variables if item.startswith("RANK=")), None)
                found.append(Process(int(folder.name), _stat(int(folder.name))[1], rank))
        except OSError:
            continue  # it has just ended
    return sorted(found, key=lambda process: process.pid)


def descendants(pid: int) -> set[int]:
    """A process and all that it started, as they are now."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return {pid}
    return {pid}.union(*(descendants(child) for child in children))


def alive(pids: set[int]) -> set[int]:
    """Those that still run; one that has ended and waits to be asked for its status does not."""
    return {pid for pid in pids if _stat(pid)[0] not in ("Z", "X", "")}


def kill(pid: int) -> None:
    """End a process at once: it can tidy nothing up."""
    os.kill(pid, signal.SIGKILL)


def _stat(pid: int) -> tuple[str, int]:
    """State and parent of a process; an empty state where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])


def chromium() -> str:
    """Path of an installed Chromium; skips the test where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: the pages were not opened")
    return program


WORDS = ("parcel", "late", "order", "came", "never", "is", "my"), ("password", "reset", "log", "in", "please", "the")
SCRIPT = "<script>window.hacked=1</script>"
IMAGE = '<img src="x" onerror="window.hacked=1">'
CLASSES = {"<b>delivery</b>": f"Parcels {IMAGE}", "access": f"Passwords {SCRIPT}"}
QUESTION = f"Which desk takes a message {IMAGE}?"


def hostile_task(folder: Path, task: str) -> Path:
    """A small task on the tiny base whose texts and names carry markup; some labels are wrong, as in life."""
    base = folder / "base"
    pin = write_tiny_base(base)
    rng = random.Random(5)  # noqa: S311
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(900):
            kind = number % 2
            said = [rng.choice(WORDS[kind if rng.random() < 0.75 else 1 - kind]) for _ in range(9)]
            said.append("".join(rng.choice(string.ascii_lowercase) for _ in range(12)))
            rng.shuffle(said)
            label = list(CLASSES)[kind if rng.random() < 0.9 else 1 - kind]
            writer.writerow([" ".join(said) + (SCRIPT if number % 5 == 0 else ""), label])
    document = {
        "task": task,
        "question": QUESTION,
        "target": {"metric": "accuracy", "at_least": 0.7, "margin": 0.2},
        "owners": {"model": "team:a", "data": "data@example.com", "sign_off": "team:c"},
        "data": {
            "source": {"path": "rows.csv", "provenance": f"Made up {SCRIPT}"},
            "columns": {"text": "text", "label": "label"},
            "classes": CLASSES,
            "gate": {"min_rows": 50, "warn_rows_per_class": 400},
        },
        "base": {"folder": "base", "sha256": pin.weights_sha256, "licence": "mit", "max_length": 32},
        "adaptation": {
            "epochs": 4,
            "max_rungs": 1,
            "learning_rate": 3e-3,
            "head_learning_rate": 3e-3,
            "accelerator": "cpu",
        },
        "evaluation": {"early_end_standard_errors": 10},
        "sign_off": {"mode": "automatic"},
    }
    path = folder / f"{task}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path
