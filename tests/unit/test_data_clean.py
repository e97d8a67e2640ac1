from __future__ import annotations

import time
from pathlib import Path

import pytest
from data_samples import rows, sample

from playbook.data.clean import garbage
from playbook.data.prepare import prepare
from playbook.data.text import clean_text, comparison_key, duplicate_key

GOOD = [
    "Why?",
    "ok",
    "hmm ok",
    "My card https://example.com/a was declined",
    "asdf is what my keyboard writes",
    "The test of my heater failed",
    "testing the new app crashes it",
    "Wert",
    "http status 500",
    "zmrzl",
    "привет",
    "返金してください",
    "čtvrt vlk",
    "WWW is down",
    "🙂🙂",
    "👍",
    "❤️",
    "★★★★☆",
    "1️⃣",
    ":-)",
    "^_^ <3",
    "(\u256f\u00b0\u25a1\u00b0)\u256f",
    "\u00af\\_(\u30c4)_/\u00af",
    "(\u256f\u00b0\u25a1\u00b0)\u256f\ufe35 \u253b\u2501\u253b",
    "(>_<)",
    "(\uffe3\u25bd\uffe3)",
    "\uff08\uff1b\uff3f\uff1b\uff09",
    "\\(^_^)/",
    "\u00ac_\u00ac",
    "( \u00b0 \u25a1 \u00b0 )",
    ">:(",
    "\u3297\ufe0f",
    "\u2122\ufe0f",
]
BAD = {
    "": "missing text",
    "\u200b\u200d": "missing text",
    "\u3164": "missing text",
    "?!... 123": "no letters",
    "─────": "no letters",
    "8/10": "no letters",
    "--": "no letters",
    "(20\u00b0)": "no letters",
    "#NAME?": "spreadsheet error",
    "#BEZUG!": "spreadsheet error",
    "(\u2026)": "no letters",
    "+---+---+": "no letters",
    "(***) *.*": "no letters",
    "=====_=====": "no letters",
    "https://example.com/a?id=1": "lone URL",
    "www.example.net/pic.jpg": "lone URL",
    "asdf": "keyboard mash",
    "sdkfjh skdjfh ksjdf": "keyboard mash",
    "qwertzuiop": "keyboard mash",
    "jjjjjjjjkkkk;;;": "keyboard mash",
    "test": "test message",
    "test test 123": "test message",
    "TESTING please ignore": "test message",
}


@pytest.mark.parametrize("text", GOOD)
def test_what_somebody_may_have_meant_is_no_garbage(text: str) -> None:
    assert garbage(clean_text(text)) == ""


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_garbage_is_recognised(text: str, reason: str) -> None:
    assert garbage(clean_text(text)) == reason


def test_a_long_line_of_decoration_is_no_emoticon() -> None:
    started = time.process_time()
    assert garbage("*" * 30_000) == "no letters"
    assert time.process_time() - started < 1  # 6 s where every part of the line is tried as a mouth


def test_texts_are_normalised() -> None:
    assert clean_text(" cafe\u0301\t\x00 au\u00a0 lait\n") == "caf\u00e9 au lait"
    assert clean_text("half \ud83d pair") == "half ? pair"
    assert comparison_key("Can't -- LOGIN!") == comparison_key("cant login")
    assert comparison_key("Straße") == comparison_key("STRASSE")
    assert comparison_key("C++ course") != comparison_key("C course")
    assert comparison_key(":-)") != comparison_key(":-(")


APART = [
    ("I like it :)", "I like it :("),
    ("Great news :D", "Great news D:"),
    ("I love you <3", "I love you </3"),
    ("ok :\u2019(", "ok :\u2019)"),
    ("ok :,(", "ok :,)"),
    ("ok : )", "ok : ("),
    ("nice(:", "nice):"),
    ("good ):.", "good (:."),
    ("ok 8)", "ok 8("),
    ("ok \uff1a\uff09", "ok \uff1a\uff08"),
    ("ok :\u2011)", "ok :\u2011("),
    ("pay 1.5 euro", "pay 15 euro"),
    ("it is -5 here", "it is 5 here"),
    ("10\u00b2 m", "102 m"),
]
ALIKE = [
    ("Can't -- LOGIN!", "cant login"),
    ("Well - my card: (lost), see [1]", "well my card lost see 1"),
    ("At 10:30 (https://a.b/c)!", "at 1030 https a b c"),
    ("Don\u2019t", "dont"),
]


@pytest.mark.parametrize(("one", "two"), APART)
def test_punctuation_that_changes_what_a_text_says_makes_no_duplicate(one: str, two: str) -> None:
    assert duplicate_key(one) != duplicate_key(two) and duplicate_key(one) == duplicate_key(one.upper())


@pytest.mark.parametrize(("one", "two"), ALIKE)
def test_other_punctuation_does_not(one: str, two: str) -> None:
    assert duplicate_key(one) == duplicate_key(two)


def test_opposite_emoticons_beside_the_same_words_contradict_nothing(tmp_path: Path) -> None:
    table = rows(60)
    table[0]["text"], table[1]["text"] = "So this is how it went :)", "So this is how it went :("
    assert prepare(sample(tmp_path, table), tmp_path / "out")["quarantined_rows"] == 0
