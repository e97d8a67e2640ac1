"""The pages that `make ui` serves, in a real browser, on a task whose texts and names carry markup.

Nothing from data runs as code there; every asset, check, run and plot is shown.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from ports import free_port
from services import CLASSES, QUESTION, SCRIPT, alive, chromium, descendants, environment, hostile_task

from assets.data import check_name
from playbook.artifacts import Evaluation
from playbook.cli import main
from playbook.data.rules import rules
from playbook.plays import BASE_TRIAL, DRIFT, RETRAIN, WINDOW, asset_kinds
from playbook.settings import Settings
from playbook.taskfile import Task, load_task
from resources.world import World

pytestmark = pytest.mark.browser
MODULE = [sys.executable, "-m", "pipelines.ui"]
READY_SECONDS = 180
WAIT = 180_000  # milliseconds until a page shows what it should
# What Chromium itself says about a page of Dagster's or MLflow's that asks for something that is not there.
HARMLESS = ("Failed to load resource", "go.apollo.dev", "ResizeObserver loop")


@dataclass(frozen=True)
class Served:
    """A finished task, and the pages that show it."""

    task: Task
    places: Settings
    dagster: str
    mlflow: str


@dataclass
class Opened:
    """A page, what it said on the console, and the dialogs that it opened."""

    page: Any
    said: list[str] = field(default_factory=list)

    def shows(self, *texts: str) -> None:
        """Every text is visible."""
        for text in texts:
            self.page.get_by_text(text, exact=True).filter(visible=True).first.wait_for(timeout=WAIT)

    def is_harmless(self) -> None:
        """No script from data has run."""
        assert self.page.evaluate("window.hacked") is None
        assert self.page.locator("img[src=x]").count() == 0
        assert [line for line in self.said if not any(known in line for known in HARMLESS)] == []


@contextmanager
def ui(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """`python -m pipelines.ui` from a foreign folder, ended as Ctrl-C does."""
    ports = free_port(), free_port()
    command = [*MODULE, "--dagster-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield child, *ports
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        child.communicate(timeout=240)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Served]:
    chromium()
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as monkeypatch, environment(folder, monkeypatch, database) as places:
        path = hostile_task(folder / "tasks", "pages")
        with patch.dict(os.environ):  # a run names its storage there
            done = CliRunner().invoke(main, ["run", "pages"])
        assert done.exit_code == 0, done.output[-3000:]
        with ui(folder) as (child, dagster_port, mlflow_port):
            assert child.stdout is not None
            lines = [child.stdout.readline().strip() for _ in range(3)]
            assert lines[0] == f"Dagster: http://127.0.0.1:{dagster_port}", lines
            assert lines[1] == f"MLflow: http://127.0.0.1:{mlflow_port}"
            assert "Ctrl-C" in lines[2]
            started = descendants(child.pid)
            assert len(started) > 4
            yield Served(load_task(path), places, lines[0].split()[1], lines[1].split()[1])
        assert child.returncode == 0
        assert not alive(started)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = chromium()
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """A fresh page; what it shows at the end is kept as a picture in the test's folder."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    found = Opened(page)
    page.on("console", lambda message: found.said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("dialog", lambda dialog: (found.said.append(dialog.message), dialog.dismiss()))
    yield found
    page.screenshot(path=tmp_path / f"{request.node.name}.png")
    page.close()


def test_graph_shows_every_asset(served: Served, opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 2400, "height": 5000})  # what lies outside of it is not drawn
    opened.page.goto(f"{served.dagster}/locations/playbook/asset-groups/pages")
    assets = [*asset_kinds(served.task.spec), WINDOW, DRIFT, RETRAIN, BASE_TRIAL]
    nodes = opened.page.locator("[class*=AssetNode_assetNodeContainer]")
    nodes.first.wait_for(timeout=WAIT)
    opened.page.wait_for_timeout(2000)
    assert nodes.count() == len(assets)
    assert nodes.filter(visible=True).count() == len(assets)
    shown = sorted(nodes.all_inner_texts())
    # The middle of a long name is left out where the graph is drawn small.
    assert all(any(_abridges(text, name) for text in shown) for name in assets), shown
    opened.is_harmless()


def _abridges(shown: str, name: str) -> bool:
    head, _, tail = shown.strip().partition("…")
    return name.startswith(head) and name.endswith(tail) if tail else shown.strip() == name


def test_checks_of_the_gate_and_their_results(served: Served, opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 1400, "height": 3000})  # rows outside of it are not drawn
    opened.page.goto(f"{served.dagster}/assets/pages/dataset_version?view=checks")
    names = [check_name(rule.name) for rule in rules(served.task)]
    opened.shows(f"Checks ({len(names) + 2})", "source_readable", "every_expectation_evaluated", *names)
    assert opened.page.get_by_text("Succeeded", exact=True).count() == len(names) + 2 - 3
    failed = 3  # few rows per class, no guideline, nobody who labelled twice: warnings
    assert opened.page.get_by_text("Failed", exact=True).count() == failed
    opened.page.get_by_text("plenty_of_rows_per_class", exact=True).first.click()
    opened.shows("This is a blocking asset check.")
    opened.page.get_by_text("<b>delivery</b> has", exact=False).first.wait_for(timeout=WAIT)
    opened.is_harmless()


def test_task_file_is_shown_as_text(served: Served, opened: Opened) -> None:
    opened.page.goto(f"{served.dagster}/assets/pages/problem_statement")
    opened.shows(QUESTION, "accuracy >= 0.7")
    opened.page.goto(f"{served.dagster}/assets/pages/dataset_version")
    opened.shows("changelog", next(iter(CLASSES)))
    opened.is_harmless()


def test_evaluation_has_report_and_plots(served: Served, opened: Opened) -> None:
    opened.page.goto(f"{served.dagster}/assets/pages/evaluation")
    judged = World(served.places).store.current("pages", "evaluation", Evaluation)
    assert judged is not None
    opened.shows("report", str(served.places.home / "reports" / "pages.html"), "ship", judged.ship, judged.verdict)
    for name in ("confusion", "per_class"):
        row = opened.page.locator("tr").filter(has=opened.page.get_by_text(name, exact=True))
        row.get_by_text("[Show Markdown]").click()
        picture = opened.page.get_by_alt_text(name.replace("_", " "))
        picture.wait_for(timeout=WAIT)
        assert picture.evaluate("one => one.naturalWidth") > 100
        assert picture.bounding_box()["width"] > 100
        opened.page.get_by_text("Close", exact=True).click()
        picture.wait_for(state="detached", timeout=WAIT)
    opened.is_harmless()


def test_runs_in_mlflow(served: Served, opened: Opened) -> None:
    tracking = World(served.places).tracking
    experiment = tracking.experiment("pages")
    opened.page.goto(f"{served.mlflow}/#/experiments/{experiment}/runs?workflowType=machine_learning")
    opened.page.get_by_role("link", name="pages ").first.wait_for(timeout=WAIT)
    opened.page.locator("[role=row] button[data-component-id*=runnamecell]").first.click(timeout=WAIT)
    attempts = tracking.client.search_runs([experiment], "tags.`playbook/attempt` != ''")
    names = {run.data.tags["playbook/attempt"] for run in attempts}
    assert {"reference_baselines", "frozen_baseline", "rung_1", "evaluation", "packaged_model"} <= names
    opened.shows(*sorted(names))
    opened.is_harmless()


def test_registered_model_in_mlflow(served: Served, opened: Opened) -> None:
    opened.page.goto(f"{served.mlflow}/#/models/pages")
    opened.shows("Version 1")
    opened.page.get_by_text("champion").first.wait_for(timeout=WAIT)
    opened.page.goto(f"{served.mlflow}/#/models/pages/versions/1")
    opened.shows("playbook/version", "1.0.0")
    opened.is_harmless()


def test_report(served: Served, opened: Opened) -> None:
    opened.page.goto((served.places.home / "reports" / "pages.html").as_uri())
    plots = opened.page.locator(".plot")
    names = {plot.get_attribute("id") for plot in plots.all()}
    assert {"plot-staircase", "plot-curves", "plot-classes", "plot-confusion"} <= names
    for plot in plots.all():
        box = plot.locator("svg").bounding_box()
        assert box["width"] > 200, plot
        assert box["height"] > 60
        assert box["x"] >= 0
    for text in (QUESTION, *CLASSES):
        assert opened.page.get_by_text(text, exact=False).first.is_visible()
    body = opened.page.locator("body").inner_text()
    assert SCRIPT in body
    assert "&lt;" not in body  # escaped once, not twice
    assert "rung was" not in body
    opened.is_harmless()
    assert opened.said == []


def test_foreign_host_cannot_reach_mlflow(served: Served) -> None:
    """Only loopback is bound."""
    for address in (served.dagster, served.mlflow):
        assert address.startswith("http://127.0.0.1:")
        port = int(address.rsplit(":", 1)[1])
        listeners = {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
        assert f"0100007F:{port:04X}" in listeners
        assert f"00000000:{port:04X}" not in listeners


def test_a_taken_port_is_named(served: Served) -> None:
    port = served.dagster.rsplit(":", 1)[1]
    done = subprocess.run([*MODULE, "--dagster-port", port], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 2
    assert f"port {port} is not free" in done.stderr
    assert "--dagster-port" in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = str(taken.getsockname()[1])
        ports = ["--dagster-port", str(free_port()), "--mlflow-port", busy]
        done = subprocess.run([*MODULE, *ports], capture_output=True, text=True, timeout=240, check=False)
    assert f"port {busy} is not free" in done.stderr
    assert "--mlflow-port" in done.stderr
