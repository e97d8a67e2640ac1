"""Redaction: by column and by pattern, in time, before anything is stored."""

from __future__ import annotations

import threading
import time

import pytest
from prediction_samples import row

from playbook.errors import TaskFileError
from playbook.operate.redaction import MOST_TEXT, Redactor, further_columns
from playbook.spec import Redaction

EMAIL = r"[\w.+-]+@[\w-]+\.[\w.]+"


def test_without_rules_nothing_is_blanked() -> None:
    given = row("a", text="mail ada@example.com", columns={"customer": "Ada"})
    assert Redactor(Redaction()).row(given) == given


def test_patterns_are_blanked_in_every_column() -> None:
    rules = Redaction(patterns=(EMAIL, r"(?i)\bacct ?\d+"))
    given = row("a@b.cd", text="from ada@example.com, ACCT 77 and acct8", columns={"note": "bob@x.org", "other": "x"})
    found = Redactor(rules).row(given)
    assert found.text == "from [redacted], [redacted] and [redacted]"
    assert found.columns == {"note": "[redacted]", "other": "x"}
    assert Redactor(rules).text(given.text) == found.text
    assert found.id == "a@b.cd"  # outcomes are joined by it
    assert (found.label, found.probabilities) == (given.label, given.probabilities)


@pytest.mark.parametrize("name", ["text", "body"])
def test_a_column_is_blanked_as_a_whole(name: str) -> None:
    found = Redactor(Redaction(columns=(name, "customer")), "body").row(row("a", columns={"customer": "A", "c": "x"}))
    assert (found.text, found.columns) == ("[redacted]", {"customer": "[redacted]", "c": "x"})


@pytest.mark.parametrize("pattern", [r"(a|aa)+$", r"(x+x+)+y", r"^(\w+\s?)*$"])
def test_a_pattern_that_takes_for_ever_blanks_the_value_and_hangs_nobody(pattern: str) -> None:
    redactor = Redactor(Redaction(patterns=(pattern,)))
    text = ("a" * 60 + "!") if "aa" in pattern else ("x" * 5000 if "y" in pattern else "word " * 20 + "!")
    steps, working = 0, threading.Event()

    def others() -> None:
        nonlocal steps
        while not working.is_set():
            steps += 1
            time.sleep(0.001)

    thread = threading.Thread(target=others)
    thread.start()
    while True:  # a search that kept everything to itself would last for years, and no step would be made
        found = redactor.row(row("a", text=text))
        if steps >= 20:
            break
    working.set()
    thread.join()
    assert found.text in ("[redacted]", text)  # given up, or found quickly that nothing matches


def test_a_match_at_the_cut_is_not_kept_by_half() -> None:
    found = Redactor(Redaction(patterns=(r"\d{16}",))).row(row("a", text="x" * (MOST_TEXT - 8) + "1234567812345678"))
    assert "1234" not in found.text and len(found.text) == MOST_TEXT


def test_a_pattern_that_cannot_be_used_is_named() -> None:
    with pytest.raises(TaskFileError, match=r"serving\.redact\.patterns"):
        Redactor(Redaction.model_construct(columns=(), patterns=("(",)))


def test_whatever_a_search_fails_with_nothing_is_kept() -> None:
    found = Redactor(Redaction(patterns=("a",))).row(row("a", columns={"number": 7}))
    assert (found.text, found.columns) == ("[redacted]", {"number": "[redacted]"})


def test_further_columns_become_bounded_text() -> None:
    nested = {"a": None, "b": float("nan"), "c": 7, "d": {"x": ["é"]}, "e": True, "f": ""}
    assert further_columns(nested) == {"c": "7", "d": '{"x": ["é"]}', "e": "True", "f": ""}
    many = further_columns({f"{number}" * 80: "v" for number in range(1000)})
    assert len(many) == 50 and max(map(len, many)) <= 100
