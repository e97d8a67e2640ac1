"""JSON Lines, and arrays of objects: numbers to the last digit, null, NaN and a missing key alike absent."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from playbook.data.formats.cells import (
    as_text,
    column_names,
    frame_of,
    is_nested,
    is_whole,
    number_text,
    without_half_characters,
)
from playbook.data.formats.records import (
    BROKEN_CHARACTER,
    NESTED,
    NO_JSON,
    NO_OBJECT,
    REPEATED_KEY,
    Records,
    Rejected,
    require_most,
)
from playbook.data.text import shown
from playbook.names import normal_form

_MORE = "expected one JSON object, found more behind it"
_SPACES = " \t\r\n"
_NAMES = {dict: "object", list: "list", str: "text", int: "number", bool: "true or false"}


class Repeated(dict[str, Any]):
    """An object that had a key twice; `key` is that one."""

    key = ""


@dataclass(frozen=True)
class Number:
    """A number with a point or an exponent, as the text that it stands for."""

    text: str


@dataclass(frozen=True)
class _Found:
    """One JSON value with its line, or why there is none."""

    first: int
    value: Any
    fault: str = ""
    reason: str = NO_JSON
    comma: bool = False  # one stands behind it, as in a list


def decoder() -> json.JSONDecoder:
    """Reads JSON so that nothing is lost: repeated keys are noticed, numbers are exact, NaN and infinities are None."""
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=lambda token: Number(number_text(token)), parse_constant=lambda _: None
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = {_key(name): value for name, value in pairs}
    if len(plain) == len(pairs):
        return plain
    names = [_key(name) for name, _ in pairs]
    repeated = Repeated(plain)
    repeated.key = next(name for position, name in enumerate(names) if name in names[:position])
    return repeated


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    """A key in the normal form of column names."""
    return normal_form(without_half_characters(name))


def value_text(value: Any) -> str:
    """Any value of `decoder` as text."""
    if isinstance(value, Number):
        return value.text
    return as_text(plain_value(value)) if is_nested(value) else as_text(value)


def plain_value(value: Any) -> Any:
    """A value of `decoder` in which numbers are Python's own."""
    if isinstance(value, Number):
        return float(value.text)
    if isinstance(value, dict):
        return {name: plain_value(one) for name, one in value.items()}
    return [plain_value(one) for one in value] if isinstance(value, list) else value


def read_json_lines(text: str, used: Collection[str] = ()) -> Records:
    """All records of a file with one object per line.

    Args:
        text: of the file.
        used: columns in which a list or an object makes a record unfit; in others it becomes its JSON text.

    Raises:
        ValueError: most records are unfit, or the file ends in the middle of one; with the line.
    """
    found = [one for number, line in enumerate(text.split("\n"), start=1) for one in _values(line, number)]
    if found and found[-1].fault and not text.endswith("\n") and "{" in text[text.rfind("\n") + 1 :]:
        raise ValueError(
            f"line {found[-1].first}: the file ends in the middle of a record ({found[-1].fault}); fetch or export it "
            "again"
        )
    _refuse_one_object(text, found, used)
    records = _records(found, used, "line", "JSON Lines", _remedy(text, found))
    return replace(records, found=("commas between the objects",)) if any(one.comma for one in found) else records


def read_json_array(text: str, used: Collection[str] = ()) -> Records:
    """All records of a JSON document that is a list of objects.

    Raises:
        ValueError: it is not such a document, or most records are unfit.
    """
    try:
        values = decoder().decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"not readable as JSON: {_why(error)}; export it again, best as JSON Lines; if it is "
            "no JSON, name it for what it is (.csv)"
        ) from None
    if not isinstance(values, list):
        raise ValueError(
            f"expected a list of objects, found {_NAMES.get(type(values), 'something else')}; export the rows as JSON "
            "Lines, one object per line (pandas: orient='records', lines=True)"
        )
    found = [_checked(number, value) for number, value in enumerate(values, start=1)]
    return _records(found, used, "row", "JSON", "export the rows as objects")


def _values(line: str, number: int) -> list[_Found]:
    """The objects of one line: one, none, or several where a line end went missing. A line with anything else is one
    unfit record."""
    found: list[_Found] = []
    position = _begin(line, 0)
    while position < len(line):
        if found and line[position] != "{":
            return [_Found(number, None, f"{_MORE}: {shown(line)}")]
        try:
            value, end = _DECODER.raw_decode(line, position)
        except (ValueError, RecursionError) as error:
            return [*found, _Found(number, None, f"{_why(error)}: {shown(line[position:])}")]
        found.append(_checked(number, value))
        if found[-1].reason == NO_OBJECT and found[-1].fault:
            return found
        position = _begin(line, end)
        after = _begin(line, position + 1)
        if line[position : position + 1] == "," and line[after : after + 1] in ("", "{"):
            found[-1], position = replace(found[-1], comma=True), after
    return found


def _refuse_one_object(text: str, found: Sequence[_Found], used: Collection[str]) -> None:
    """Refuse a document that is one object around the rows, or an object of columns.

    Raises:
        ValueError: what it is, and how to get at the rows.
    """
    whole = found[0].value if len(found) == 1 else None
    if found and all(one.fault for one in found) and text.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            whole = _DECODER.decode(text.strip())
    if not whole or not isinstance(whole, dict) or any(not is_nested(whole[name]) for name in used if name in whole):
        return
    below = [name for name, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if below and not any(name in whole for name in used):
        raise ValueError(
            f"expected one object per row, found one object whose {shown(below[0])} is a list of objects: write that "
            f"list alone (jq -c '.[\"{shown(below[0])}\"][]')"
        )
    if all(map(is_nested, whole.values())):
        raise ValueError(
            "expected one object per row, found one object of columns: export the rows one by one (pandas: "
            "orient='records', lines=True)"
        )


def _begin(line: str, position: int) -> int:
    """Where the next value begins."""
    while position < len(line) and line[position] in _SPACES:
        position += 1
    return position


def _why(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _checked(number: int, value: Any) -> _Found:
    if isinstance(value, Repeated):
        return _Found(number, None, f"the key {shown(value.key)!r} comes twice", REPEATED_KEY)
    if not isinstance(value, dict):
        kind = _NAMES.get(type(value), "number" if isinstance(value, Number) else "null")
        return _Found(number, None, f"expected one JSON object per line, found {kind}", NO_OBJECT)
    return _Found(number, value)


def _remedy(text: str, found: Sequence[_Found]) -> str:
    if found and found[0].fault.startswith(_MORE):
        return "take away what stands behind the objects, or write them as a list in [ ]"
    if found and found[0].fault and text.lstrip().startswith("{") and len(found) > 1:
        return "write each object on one line (`jq -c`; pandas: orient='records', lines=True)"
    if found and found[0].fault and found[0].reason == NO_JSON and len(found) > 1:
        return "fix the lines; if the file is no JSON Lines, name it for what it is (.csv)"
    return "fix the lines, or export the data again"


def _records(found: Sequence[_Found], used: Collection[str], unit: str, kind: str, remedy: str) -> Records:
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    rejected: list[Rejected] = []
    for one in found:
        reason, fault = (one.reason, one.fault) if one.fault else _unfit(one.value, used)
        if fault:
            rejected.append(Rejected(one.first, one.first, reason, fault, unit=unit, before=len(rows)))
        else:
            rows.append({name: value_text(value) for name, value in one.value.items()})
            lines.append(one.first)
    require_most(len(rows), rejected, remedy)
    given = dict.fromkeys(name for row in rows for name in row)
    names = column_names(given)
    columns = [[row.get(name, "") for row in rows] for name in given]
    return Records(frame_of(names, _encodable(columns), len(rows)), lines, tuple(rejected), kind)


def _unfit(value: dict[str, Any], used: Collection[str]) -> tuple[str, str]:
    """Why an object cannot become a row; nothing where it can."""
    for name, cell in value.items():
        if type(cell) is str:
            if not cell.isascii() and not is_whole(cell) and (not used or name in used):
                return BROKEN_CHARACTER, f"half of a surrogate pair, which is not a character, in {shown(name)}"
        elif is_nested(cell) and name in used:
            return NESTED, f"expected a text, a number or null in {shown(name)}, found {_NAMES[type(cell)]}"
    return "", ""


def _encodable(columns: list[list[str]]) -> list[list[str]]:
    """Halves of surrogate pairs are replaced in columns that nobody uses."""
    return [
        column
        if all(cell.isascii() or is_whole(cell) for cell in column)
        else [without_half_characters(cell) for cell in column]
        for column in columns
    ]


_DECODER = decoder()
