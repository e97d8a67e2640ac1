"""The monitoring page in a real browser: nothing from data runs, nothing overflows, every plot is visible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitoring_samples import year
from report_samples import HOSTILE

from playbook.operate.monitoring_page import monitoring_page

pytestmark = pytest.mark.browser
WIDER = """all => all.filter(one => one.scrollWidth > one.clientWidth + 1)
    .map(one => `${one.tagName} in ${one.closest('section')?.id}: ${one.textContent.slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: the monitoring page was not opened")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module", params=[184, 103], ids=["quiet", "alarm"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    target: Path = tmp_path_factory.mktemp("page") / "monitoring.html"
    target.write_text(monitoring_page(year(request.param)), "utf-8")
    return target.as_uri()


@pytest.mark.parametrize("width", [1280, 390])
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
    assert page.locator("section" if width < 720 else "section, .scroll, figure, td, th").evaluate_all(WIDER) == []
    boxes = {plot.get_attribute("id"): plot.locator("svg").bounding_box() for plot in page.locator(".plot").all()}
    assert set(boxes) == {"plot-story", "plot-figures", "plot-recall"}
    assert all(box["width"] > 500 and box["height"] > 200 for box in boxes.values())
    assert page.locator("#verdict").is_visible()
    assert HOSTILE in page.locator("#recall").inner_text()
    page.close()


def test_texts_of_the_story_stay_inside_it_and_events_do_not_overlap(browser: Any, address: str) -> None:
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
    overlaps = """plot => {
        const texts = [...plot.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
        return texts.flatMap(([one, a], at) => texts.slice(at + 1).filter(([_, b]) =>
            a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2
        ).map(([other, _]) => `${one} | ${other}`)); }"""
    assert page.locator("#plot-story svg").evaluate(overlaps) == []
    page.close()


def test_contents_lead_to_every_section(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    names = page.locator("nav a").evaluate_all("all => all.map(one => one.getAttribute('href').slice(1))")
    assert len(names) == 7 and all(page.locator(f"section#{name}").count() == 1 for name in names)
    page.close()


def test_page_prints(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 680, "height": 900})
    page.goto(address)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
