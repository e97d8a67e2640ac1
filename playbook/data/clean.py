"""Normalising rows and setting bad ones aside: nothing is dropped in silence, every quarantined row says why."""

from __future__ import annotations

import re

import pandas as pd

from playbook.data.accumulated import ACCUMULATED
from playbook.data.identity import require_ids
from playbook.data.known_ids import side_called
from playbook.data.tables import ASKED, DETAIL, GROUP, KEPT_PREFIX, LABEL, REASON, ROW_ID, TEXT, TIME
from playbook.data.text import (
    clean_text,
    comparison_key,
    duplicate_key,
    is_blank,
    is_spreadsheet_error,
    says_something,
    shown,
)
from playbook.data.times import read_times, unreadable
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.spec import Data

MISSING_TEXT = "missing text"
SPREADSHEET_ERROR = "spreadsheet error"
NO_LETTERS = "no letters"
LONE_URL = "lone URL"
KEYBOARD_MASH = "keyboard mash"
TEST_MESSAGE = "test message"
MISSING_LABEL = "missing label"
UNKNOWN_LABEL = "unknown label"
UNPARSABLE_TIME = "unparsable time"
REPEATED_ID = "repeated row id"
ID_ON_TWO_TEXTS = "row id of another text"
CONFLICT = "same text, different labels"

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)\S+", re.IGNORECASE)
_KEYBOARDS = ("qwertyuiop", "qwertzuiopü", "asdfghjkl", "asdfghjklöä", "zxcvbnm", "yxcvbnm", "azertyuiop", "qsdfghjklm")
_ROWS = tuple(row for keys in _KEYBOARDS for row in (keys, keys[::-1]))
_VOWELS = set("aeiouy")
_TESTING = {"test", "tests", "testing", "tested"}
_AROUND_TESTING = {"please", "ignore", "this", "is", "a", "just", "only", "message"}


def clean_rows(rows: pd.DataFrame, data: Data, labelled: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Normalise all rows and part the fit ones from those that are quarantined with a reason and a detail.

    Fit rows keep the order of the source. Copies of a text are for `playbook.data.split` to find, except that a text
    with two different labels is unfit in all its rows: nobody knows which label is right. Of rows with one id the first
    stays. Where rows need not be `labelled`, an absent label is not a fault.

    Raises:
        DataError: the column of times cannot be read, or the one of ids names something else than rows.
    """
    rows = _normalised(rows, data)
    if data.columns.id is not None:
        source = rows[rows[ASKED] != ACCUMULATED]
        require_ids(source[ROW_ID].tolist(), source[TEXT].tolist(), data.columns.id)
    if not labelled:
        rows["_label"] = rows["_label"].replace(MISSING_LABEL, "")
    faults = [
        _row_fault(*row) for row in zip(*(rows[name].tolist() for name in (TEXT, "_label", "_time")), strict=True)
    ]
    rows[REASON] = pd.Series([reason for reason, _ in faults], index=rows.index, dtype="str")
    rows[DETAIL] = pd.Series([detail for _, detail in faults], index=rows.index, dtype="str")
    rows = _conflicts(rows)
    rows = _repeated_ids(rows)
    rows = rows.drop(columns=["_label", "_time"])
    fit = rows[REASON] == ""
    return rows[fit].drop(columns=[REASON, DETAIL]).reset_index(drop=True), rows[~fit].reset_index(drop=True)


def _normalised(rows: pd.DataFrame, data: Data) -> pd.DataFrame:
    """Texts, labels and times in their normal forms; `_label` and `_time` carry what is wrong with them."""
    known = {normal_form(name): name for name in data.classes}
    labels = [normal_form(value) for value in rows[LABEL].tolist()]
    times = _times(rows, data)
    out = rows.copy()
    out[TEXT] = pd.Series(map(clean_text, rows[TEXT].tolist()), index=rows.index, dtype="str")
    names = [GROUP, ROW_ID, ASKED, *(name for name in rows.columns if name.startswith(KEPT_PREFIX))]
    for name in names:
        out[name] = pd.Series(map(normal_form, rows[name].tolist()), index=rows.index, dtype="str")
    # A customer called #N/A is not a customer.
    out[GROUP] = pd.Series(
        ["" if is_spreadsheet_error(name) else name for name in out[GROUP].tolist()], rows.index, "str"
    )
    out[LABEL] = pd.Series([known.get(label, label) for label in labels], index=rows.index, dtype="str")
    out[TIME] = pd.Series([when for when, _ in times], index=rows.index, dtype="str")
    out["_label"] = ["" if label in known else (UNKNOWN_LABEL if label else MISSING_LABEL) for label in labels]
    out["_time"] = [fault for _, fault in times]
    return out


def _times(rows: pd.DataFrame, data: Data) -> list[tuple[str, str]]:
    """Each row's time in ISO 8601, or as it stands there with what it is not.

    Rows that production added have a form of their own: their times were written here.

    Raises:
        DataError: fewer than half of the column's values can be read.
    """
    asked, values = rows[ASKED].tolist(), rows[TIME].tolist()
    out = [(normal_form(value), "") for value in values]
    for added in (False, True):
        places = [row for row, side in enumerate(asked) if (side == ACCUMULATED) == added]
        cells = [values[row] for row in places]
        found = read_times(cells, None if added else data.columns.time_format)
        if added and found.unread and data.columns.time_format:
            found = read_times(cells, data.columns.time_format)
        if 2 * len(found.unread) > sum(value is not None for value in found.values) + len(found.unread):
            where = data.columns.time or "time"
            raise DataError(f"column {where!r} (data.columns.time): {unreadable(cells, found)}")
        unread = set(found.unread)
        for at, (row, iso) in enumerate(zip(places, found.iso, strict=True)):
            if at in unread:
                out[row] = (out[row][0], f"{shown(values[row])} is not among {found.form}")
            else:
                out[row] = (iso, "")
    return out


def _row_fault(text: str, label_fault: str, time_fault: str) -> tuple[str, str]:
    reason = garbage(text) or label_fault
    return (reason, "") if reason or not time_fault else (UNPARSABLE_TIME, time_fault)


def garbage(text: str) -> str:
    """Why a normalised text cannot be anybody's message, or an empty string.

    Deliberately mild: every word must be garbage, and words with letters beyond a-z never are. Emoji and emoticons
    alone are a message (a thumb, ":-)"): people answer with them, and they say what is felt. Digits and
    punctuation alone are not: a number or "???" says nothing about its class that would hold for another one.
    """
    if not text or is_blank(text):
        return MISSING_TEXT
    if is_spreadsheet_error(text):
        return SPREADSHEET_ERROR
    if _URL.fullmatch(text):
        return LONE_URL
    if not says_something(text):
        return NO_LETTERS
    words = _words(text)
    if _is_mash(words):
        return KEYBOARD_MASH
    return TEST_MESSAGE if _is_test(words) else ""


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.casefold())


def _is_test(words: list[str]) -> bool:
    return bool(_TESTING.intersection(words)) and set(words) <= _TESTING | _AROUND_TESTING


def _is_mash(words: list[str]) -> bool:
    speakable = 6 if len(words) == 1 else 5  # Czech writes a whole word of five consonants
    return bool(words) and all(_is_mashed(word, speakable) for word in words)


def _is_mashed(word: str, speakable: int) -> bool:
    """A run along a keyboard row, one key held down, or `speakable` letters and more without a vowel."""
    if len(word) < 4 or not word.isascii():
        return False
    along_row = any(row.startswith(word) or (len(word) >= 5 and word in row) for row in _ROWS)
    held_down = all(len(run.group()) >= 3 for run in re.finditer(r"(.)\1*", word))
    consonants = len(word) >= speakable and len(set(word)) >= 4 and not _VOWELS.intersection(word)
    return along_row or held_down or consonants


def _mark(rows: pd.DataFrame, found: dict[int, tuple[str, str]]) -> pd.DataFrame:
    for position, (reason, detail) in found.items():
        rows.loc[position, [REASON, DETAIL]] = [reason, detail]
    return rows


def _repeated_ids(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows with one id the first stays: the others are copies of it, or other texts under the same id."""
    fit = rows[rows[REASON] == ""]
    again = fit[fit[ROW_ID].duplicated(keep=False)]
    first: dict[str, str] = {}
    found = {}
    for i, name, text in zip(again.index, again[ROW_ID], map(comparison_key, again[TEXT]), strict=True):
        if name not in first:
            first[name] = text
        elif first[name] == text:
            found[i] = (REPEATED_ID, f"an earlier row has the id {name} and the same text")
        else:
            found[i] = (ID_ON_TWO_TEXTS, f"an earlier row has the id {name} and another text")
    return _mark(rows, found)


def _source_agrees(group: pd.DataFrame) -> bool:
    """Whether all rows of the source with one text have one label, so that only added rows contradict it."""
    return bool(group.loc[group[ASKED] != ACCUMULATED, LABEL].nunique() == 1)


def _conflicts(rows: pd.DataFrame) -> pd.DataFrame:
    fit = rows[(rows[REASON] == "") & (rows[LABEL] != "")]
    keys = pd.Series(map(duplicate_key, fit[TEXT].tolist()), index=fit.index, dtype="str")
    labels = fit[LABEL].groupby(keys).transform("nunique")
    found = {}
    for _, group in fit[labels > 1].groupby(keys):
        for i in group.index:
            if side_called(group[ASKED][i]) == "test":
                continue  # a test split that the team brought stays as it is
            if group[ASKED][i] != ACCUMULATED and _source_agrees(group):
                continue  # what production says never takes a row from the source
            other = group[group[LABEL] != group[LABEL][i]].iloc[0]
            found[i] = (CONFLICT, f"row {other[ROW_ID]} says {other[LABEL]}")
    return _mark(rows, found)
