"""The README's two pictures, from a real run: `python -m pipelines.pictures TASK --out docs`.

Needs an installed Chromium and playwright (extra `dev`). The task must have been run in this PLAYBOOK_HOME.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from PIL import Image

from pipelines.ui import dagster_service, running, wait_until_ready
from playbook.errors import PlaybookError
from playbook.plays import asset_kinds
from playbook.settings import quiet_environment, settings
from playbook.task_names import open_task
from resources.mlflow_server import LOOPBACK

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Page, ViewportSize

WIDTH = 1400
REPORT: ViewportSize = {"width": 1000, "height": 900}
MOST_BYTES, COLOURS = 400_000, 256
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT, SETTLES = 60_000, 4_000  # milliseconds until the graph is there, and until it lies still
# What Dagster's pages remember of their reader: navigation folded, the greeting seen.
SEEN = "localStorage.setItem('dagster-nav-collapsed', 'true'); localStorage.setItem('communityNux', '\"1\"')"
NODES = "[class*=AssetNode_assetNodeContainer]"
FRAMES = "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.top, box.right, box.bottom])"
HIDE_TOOLS = """all => all.forEach(one => {
    while (one.parentElement.offsetWidth < 100) one = one.parentElement;
    one.style.visibility = 'hidden';
})"""
EDGE = 30  # pixels of paper around the graph


@click.command()
@click.argument("task")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("docs"), show_default=True)
def main(task: str, out: Path) -> None:
    """Write graph.png and report.png of TASK to a folder."""
    quiet_environment()
    places = settings()
    try:
        found = open_task(task, places)
    except PlaybookError as error:
        raise click.ClickException(str(error)) from None
    report = places.home / "reports" / f"{found.spec.task}.html"
    if not report.is_file():
        raise click.ClickException(f"{report} is missing; run the task first: playbook run {task}")
    out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        report_picture(browser, report, out / "report.png")
        service = dagster_service(places, free_port())
        with running(service) as child:
            wait_until_ready(service, child)
            graph_picture(browser, service.address, found.spec.task, len(asset_kinds(found.spec)), out / "graph.png")
    for name in ("graph.png", "report.png"):
        click.echo(f"{out / name}: {(out / name).stat().st_size // 1000} kB")


@contextmanager
def chromium() -> Iterator[Browser]:
    """An installed Chromium without a window.

    Raises:
        click.ClickException: there is none, or playwright is not installed.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise click.ClickException(f"no Chromium found (looked for {', '.join(PROGRAMS)}); install one and try again")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise click.ClickException("playwright is not installed; in the checkout: pip install -e '.[dev]'") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def graph_picture(browser: Browser, address: str, task: str, assets: int, target: Path) -> None:
    """The asset group of a task as Dagster draws it, cut to the graph.

    Raises:
        click.ClickException: the page does not show every asset of the task.
    """
    context = browser.new_context(viewport={"width": WIDTH + 60, "height": 1150}, color_scheme="light")
    context.add_init_script(SEEN)
    page = context.new_page()
    page.goto(f"{address}/locations/playbook/asset-groups/{task}")
    page.locator(NODES).first.wait_for(timeout=WAIT)
    page.wait_for_timeout(SETTLES)
    page.locator("[aria-label=zoom_in]").evaluate_all(HIDE_TOOLS)
    boxes = page.locator(NODES).evaluate_all(FRAMES)
    if len(boxes) != assets:
        raise click.ClickException(f"{page.url} shows {len(boxes)} of {assets} assets of {task}; no picture was taken")
    left, top = (min(box[side] for box in boxes) - EDGE for side in (0, 1))
    right, bottom = (max(box[side] for box in boxes) + EDGE for side in (2, 3))
    _save(page, target, {"x": left, "y": top, "width": right - left, "height": bottom - top})
    context.close()


def report_picture(browser: Browser, report: Path, target: Path) -> None:
    """The upper part of the report, to the end of the comparison of models."""
    page = browser.new_page(viewport=REPORT, device_scale_factor=WIDTH / REPORT["width"], color_scheme="light")
    page.goto(report.resolve().as_uri())
    comparison = page.locator("#comparison")
    box = comparison.bounding_box() if comparison.count() else None
    height = box["y"] + box["height"] + EDGE / 2 if box else REPORT["height"]
    _save(page, target, {"x": 0, "y": 0, "width": REPORT["width"], "height": height})
    page.close()


def _save(page: Page, target: Path, clip: FloatRect) -> None:
    page.screenshot(path=target, clip=clip, full_page=True)
    with Image.open(target) as picture:
        picture.convert("RGB").quantize(COLOURS).save(target, optimize=True)
    size = target.stat().st_size
    if size > MOST_BYTES:
        raise click.ClickException(f"{target} has {size} bytes, more than {MOST_BYTES}; cut it smaller")


if __name__ == "__main__":
    main()
