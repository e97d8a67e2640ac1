"""What is blanked before a prediction is stored (6.3): whole columns, and what patterns match in any column.

A pattern that takes for ever must hang nothing. Python's `re` cannot be stopped and lets no other thread run while it
searches, so the patterns are run by the `regex` package, which understands the same ones, lets others run, and gives
up after a time limit. A value that could not be searched in time is blanked as a whole.

Redaction is done by whoever writes the log, never in the way of an answer: until then an input is in memory only.
Ids are stored as they are, because outcomes are joined by them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import regex

from playbook.errors import TaskFileError
from playbook.names import normal_form
from playbook.operate.prediction_log_rows import Prediction
from playbook.spec import Redaction

REDACTED = "[redacted]"
TEXT = "text"
SECONDS = 0.05  # for all patterns in one value
MOST_TEXT = 20_000  # characters of a text that are kept
MOST_VALUE = 2_000  # characters of a further column's value that are kept
MOST_COLUMNS = 50
MOST_NAME = 100  # characters of a column's name


class Redactor:
    """Blanks what the task file names.

    Args:
        rules: `serving.redact` of the task file.
        text_column: the task's own name of the column `text`; naming either one blanks the text.

    Raises:
        TaskFileError: `re` takes a pattern, but `regex` does not (rare).
    """

    def __init__(self, rules: Redaction, text_column: str = TEXT) -> None:
        self._columns = {TEXT if name == text_column else name for name in rules.columns}
        self._patterns = [_compiled(pattern) for pattern in rules.patterns]

    def row(self, row: Prediction) -> Prediction:
        """A prediction as it may be stored: blanked, and cut to a size that a log can bear."""
        try:
            columns = {name: self._value(name, value, MOST_VALUE) for name, value in row.columns.items()}
            return replace(row, text=self._value(TEXT, row.text, MOST_TEXT), columns=columns)
        except Exception:  # whatever a search may come to: nothing is stored that was not searched
            return replace(row, text=REDACTED, columns=dict.fromkeys(row.columns, REDACTED))

    def text(self, text: str) -> str:
        """A text as `row` would store it; what logged texts are compared with has to be treated like them."""
        return self._value(TEXT, text, MOST_TEXT)

    def _value(self, column: str, value: str, most: int) -> str:
        if column in self._columns:
            return REDACTED
        try:
            for pattern in self._patterns:
                value = pattern.sub(REDACTED, value, timeout=SECONDS / len(self._patterns), concurrent=True)
        except TimeoutError:
            return REDACTED
        return value[:most]  # after the search: half a match at the cut would be kept


def _compiled(pattern: str) -> Any:
    try:
        return regex.compile(pattern)
    except regex.error as error:
        fault = f"found {pattern!r}; the module `regex` refuses it ({error}): write it otherwise"
        raise TaskFileError("serving.redact.patterns", [fault]) from None


def further_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Further columns of an input as text: absent values left out, nested ones as JSON, names and number bounded."""
    present = {normal_form(str(name))[:MOST_NAME]: value for name, value in row.items() if not _absent(value)}
    return {name: _as_text(present[name]) for name in list(present)[:MOST_COLUMNS]}


def _absent(value: Any) -> bool:
    missing = type(value).__name__ in ("NAType", "NaTType")  # pandas'
    return value is None or missing or (isinstance(value, float) and math.isnan(value))


def _as_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
