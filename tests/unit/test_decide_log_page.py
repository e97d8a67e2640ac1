"""The decision log as a page and for the terminal: complete, escaped, self-contained."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from playbook.decide.log import DecisionLog, Entry
from playbook.decide.log_page import log_text, render_log_page

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def entries(tmp_path: Path) -> tuple[Entry, ...]:
    log = DecisionLog(tmp_path / "decisions.jsonl")
    log.append("scope", "Tickets are sorted", by="anna@example.org", inputs={"spec_hash": "ab" * 32, "rows": 12})
    rows = [{"step": "rung_1", "gain": 0.0312345}]
    body = {"why": HOSTILE, "rows": rows, "none": [], "kept": True, "deep": {"a": {"b": 1}}}
    log.append("rung", f"Rung 1 {HOSTILE}\x1b[31m", by=f"x{HOSTILE}", key="rung_1", body=body)
    log.append("sign_off", "Approved", by="team:desk", inputs={"of": ["a", "b"], HOSTILE: HOSTILE})
    return log.entries()


class Page(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "onclick", "onload"} & {name for name, _ in attributes}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_entry_is_on_the_page_escaped(entries: tuple[Entry, ...]) -> None:
    page = Page(render_log_page(f"tickets{HOSTILE}", entries))
    assert page.open == []
    assert page.tags.count("article") == 3 and "script" not in page.tags
    for entry in entries:
        assert entry.sha256 in page.text and entry.by in page.text and entry.title in page.text
    assert page.text.count(HOSTILE) >= 6
    for shown in ("spec_hash", "ab" * 32, "0.03123", "rung_1", "sign-off", "yes", "3 decisions", "a, b"):
        assert shown in page.text
    assert page.text.index(entries[0].title) < page.text.index(entries[1].title) < page.text.index(entries[2].title)


def test_the_page_asks_for_nothing_from_elsewhere(entries: tuple[Entry, ...]) -> None:
    page = render_log_page("tickets", entries)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "http://" not in page and "https://" not in page and "url(" not in page
    assert page == render_log_page("tickets", entries)


def test_an_empty_log_says_so() -> None:
    assert "No decision is on record yet" in render_log_page("tickets", ())
    assert log_text(()) == "No decision is on record yet."


def test_the_terminal_gets_no_control_characters(entries: tuple[Entry, ...]) -> None:
    text = log_text(entries)
    assert "\x1b" not in text and "\N{REPLACEMENT CHARACTER}[31m" in text
    lines = text.splitlines()
    assert lines[0].startswith("   1  ") and lines[0].endswith("scope: Tickets are sorted")
    assert lines[1] == f"      by anna@example.org, {entries[0].sha256[:12]}"
    assert "      rows: 12" in lines
    assert "      rows: gain: 0.03123; step: rung_1" in lines
    assert lines[-1] == "3 decisions, chain verified."
