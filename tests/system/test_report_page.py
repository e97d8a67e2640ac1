"""The report in a real browser: nothing from data runs, nothing overflows, every plot is visible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_samples import FIVE, HOSTILE
from suite_samples import full_inputs

from playbook.evaluate.report import render_report

pytestmark = pytest.mark.browser
PLOTS = (
    "comparison", "staircase", "curves", "delta", "transfer", "base", "classes", "confusion", "slices", "calibration",
    "operating_point",
    "operating_point", "silence",
    "data_curve",
)  # fmt: skip
A4 = 680  # CSS pixels between the margins of a printed page
WIDER = """all => all.filter(one => one.scrollWidth > one.clientWidth + 1)
    .map(one => `${one.tagName} in ${one.closest('section')?.id}: ${one.textContent.slice(0, 40)}`)"""
MANY = (HOSTILE, *(f"class_{at:02d}_with_a_rather_long_name_as_intents_have" for at in range(76)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: the report's page was not opened")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module", params=[FIVE, MANY], ids=["5 classes", "77 classes"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("page")
    target = folder / "report.html"
    target.write_text(render_report(full_inputs(folder, request.param, 3000)), "utf-8")
    return target.as_uri()


@pytest.mark.parametrize("width", [1280, 1440])
def test_page_in_a_browser(browser: Any, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator("summary").evaluate_all("all => all.forEach(one => one.click())")
    assert page.evaluate("window.hacked") is None
    assert said == []
    assert asked == [address]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("section, .scroll, figure, td, th").evaluate_all(WIDER) == []
    boxes = {plot.get_attribute("id"): plot.locator("svg").bounding_box() for plot in page.locator(".plot").all()}
    assert set(boxes) == {f"plot-{name}" for name in PLOTS}
    assert all(box["width"] > 200 and box["height"] > 60 for box in boxes.values())
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes.values())
    assert page.locator("#verdict").is_visible()
    assert page.locator("svg text").count() > 40
    assert HOSTILE in page.locator("#classes").inner_text()
    page.close()


def test_labels_of_plots_stay_inside_them(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    outside = """plots => plots.flatMap(plot => {
        const frame = plot.getBoundingClientRect();
        return [...plot.querySelectorAll('text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 30 || box.right > frame.right + 30;
        }).map(text => text.textContent);
    })"""
    assert page.locator(".plot").evaluate_all(outside) == []
    page.close()


def test_contents_lead_to_every_section(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    links = page.locator("nav a").all()
    assert len(links) == page.locator("main section[id]").count() - 1  # verdict and figures have none, the footer has
    page.locator("nav a", has_text="Can its confidence be trusted?").click()
    assert page.evaluate("document.querySelector('#calibration').getBoundingClientRect().top") < 900
    page.close()


def test_a_phone_scrolls_tables_and_never_the_page(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("section").evaluate_all(WIDER) == []
    page.close()


def test_page_prints(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": A4, "height": 900})
    page.goto(address)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("section, .scroll, figure, table, td, th").evaluate_all(WIDER) == []
    closed = page.locator("details:not([open]) table").all()
    assert closed
    assert all(table.bounding_box()["height"] > 20 for table in closed)  # what is folded up is printed
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
