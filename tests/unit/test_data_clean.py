from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
from data_samples import rows, sample

from playbook.data.clean import clean_rows, garbage
from playbook.data.prepare import prepare
from playbook.data.read import read_rows
from playbook.data.text import clean_text, comparison_key, shown
from playbook.spec import SPLITS

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
    assert comparison_key("I like it :)") != comparison_key("I like it :(")
    assert comparison_key("Thanks;-)") != comparison_key("Thanks")
    assert comparison_key("Well - my card: (lost): see [1]") == comparison_key("well my card lost see 1")
    assert comparison_key("At 10:30 (https://a.b/c): no!") == comparison_key("at 1030 https a b c no")


def test_values_from_the_data_are_harmless_in_messages() -> None:
    assert shown("<script>\n\x1b[31m" + "x" * 99) == "<script> \N{REPLACEMENT CHARACTER}[31m" + "x" * 45 + "…"


def test_every_fault_has_its_reason_and_nothing_is_lost(tmp_path: Path) -> None:
    table = rows(40)
    for position, change in enumerate(
        [
            {"text": " \t "},
            {"label": ""},
            {"label": "Billing"},
            {"when": "2025-13-45"},
            {"when": "yesterday"},
            {"id": "R0039"},
            {"text": table[10]["text"].upper() + "!", "label": "nobody knows"},
            {"text": table[11]["text"].upper() + "!", "label": "billing"},
        ]
    ):
        table[position] |= change
    table[12]["when"] = ""
    table[13]["when"] = "2025/3/1"
    table[14]["when"] = "2025-03-01T10:00:00Z"
    task = sample(tmp_path, table)
    fit, unfit = clean_rows(read_rows(task), task.spec.data)
    reasons = dict(zip(unfit["row_id"], unfit["reason"], strict=True))
    assert len(fit) + len(unfit) == 40
    assert reasons == {
        "R0000": "missing text",
        "R0001": "missing label",
        "R0002": "unknown label",
        "R0003": "unparsable time",
        "R0004": "unparsable time",
        "R0039": "row id of another text",
        "R0006": "unknown label",
        "R0007": "same text, different labels",
        "R0011": "same text, different labels",
    }
    assert unfit.set_index("row_id")["detail"]["R0011"] == "row R0007 says billing"
    times = fit.set_index("row_id")["time"]
    assert (times["R0012"], times["R0013"]) == ("", "2025-03-01")
    assert times["R0014"] == "2025-03-01T10:00:00+00:00"
    assert fit["row_id"].tolist() == sorted(fit["row_id"], key=fit["row_id"].tolist().index)
    assert "R0039" in fit["row_id"].tolist()  # the first row of that id stays


def test_emoji_and_emoticons_are_texts_of_their_own(tmp_path: Path) -> None:
    up, down = "\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"
    said = {":-)": "billing", ":-(": "delivery", ":)": "billing", up: "billing", down: "delivery"}
    said |= {"=)": "billing", "=(": "delivery", "<3": "billing", "</3": "delivery", ":D": "billing", "D:": "delivery"}
    table = rows(60)
    for row, (text, label) in zip(table, said.items(), strict=False):
        row |= {"text": text, "label": label}
    task = sample(tmp_path, table)
    prepare(task, tmp_path / "out")
    kept = pd.concat([pd.read_parquet(tmp_path / "out" / f"{split}.parquet") for split in SPLITS])
    assert set(said) <= set(kept["text"]) and len(kept) == 60


def test_labels_match_whatever_their_unicode_form(tmp_path: Path) -> None:
    table = [{**row, "label": " re\u0301clamation "} for row in rows(10)]
    task = sample(tmp_path, table, classes={"r\u00e9clamation": "x", "other": "y"})
    fit, unfit = clean_rows(read_rows(task), task.spec.data)
    assert set(fit["label"]) == {"r\u00e9clamation"} and unfit.empty


def test_rows_whose_customer_is_an_error_of_a_spreadsheet_are_not_of_one_customer(tmp_path: Path) -> None:
    task = sample(tmp_path, [{**row, "customer": "#N/A"} for row in rows(10)])
    assert set(clean_rows(read_rows(task), task.spec.data)[0]["group"]) == {""}


def test_opposite_emoticons_beside_the_same_words_contradict_nothing(tmp_path: Path) -> None:
    table = rows(60)
    table[0]["text"], table[1]["text"] = "So this is how it went :)", "So this is how it went :("
    assert prepare(sample(tmp_path, table), tmp_path / "out")["quarantined_rows"] == 0
