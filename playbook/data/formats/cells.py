"""Values of typed files as text: whole numbers exactly and without a decimal point, absent values as nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from playbook.data.text import shown
from playbook.names import normal_form

_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
LONGEST = 40  # digits of a whole number that is written out


def number_text(token: str) -> str:
    """Text of a number: `123.0` and `1.23e2` are `123`, to the last digit; others as the nearest float is written."""
    try:
        value = Decimal(token)
    except ArithmeticError:  # an exponent beyond all bounds
        return token
    if value == value.to_integral_value() and value.adjusted() < LONGEST:
        return str(int(value))
    number = float(token)
    return repr(number) if math.isfinite(number) else token


def as_text(value: Any) -> str:
    """Any value as text; None, NaN and the infinities, which stand for missing figures, are absent."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        return _figure(value) if math.isfinite(value) else ""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) if is_nested(value) else str(value)


def _figure(value: float | Decimal) -> str:
    if isinstance(value, float):
        return number_text(repr(value))
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_nested(value: Any) -> bool:
    """Whether a value is a list or an object."""
    return isinstance(value, list | dict | tuple)


def is_whole(text: str) -> bool:
    """Whether a text can be written as UTF-8: it has no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def without_half_characters(text: str) -> str:
    """The text with a replacement character for each half of a surrogate pair."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def column_names(names: Iterable[str]) -> list[str]:
    """Names of columns in their normal form; a column without a name is called as pandas calls it.

    Raises:
        ValueError: two columns have one name.
    """
    given = [without_half_characters(name) for name in names]
    tidy = [normal_form(name) for name in given]
    out: list[str] = []
    before: set[str] = set()
    for position, name in enumerate(tidy):
        if name and name in before:
            places = [number for number, other in enumerate(tidy) if other == name]
            alike = len({given[number] for number in places}) > 1
            raise ValueError(
                f"expected every column's name once, found: {len(places)} columns are called {shown(name)} (columns "
                f"{', '.join(str(number + 1) for number in places)}{', in different spellings' if alike else ''}); "
                "rename or drop all but one"
            )
        before.add(name)
        unnamed = f"Unnamed: {position}"
        while not name and unnamed in (*tidy, *out):
            unnamed += "'"
        out.append(name or unnamed)
    return out


def value_form(value: str) -> str:
    """How a value is built: `S100` and `S7` are `a9`."""
    return _LETTERS.sub("a", _DIGITS.sub("9", value.strip()))


def frame_of(names: Sequence[str], columns: Sequence[Sequence[str]], rows: int) -> pd.DataFrame:
    """A table of text.

    Raises:
        UnicodeEncodeError: a cell has half of a surrogate pair.
    """
    index = pd.RangeIndex(rows)
    return pd.DataFrame(
        {name: pd.Series(list(cells), index=index, dtype="str") for name, cells in zip(names, columns, strict=True)},
        index=index,
        columns=list(names),
    )
