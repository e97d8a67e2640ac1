"""Reading a column of dates or times: one form for the whole column, decided by the column, never guessed row by row.

Understood without being told, also mixed, because each value says by itself what it is:

- year first: 2025-10-03, 2025/3/1, 2025.3.1, 20251003, 202510031405, 2025-W40-5 (ISO 8601);
- months by name, in English: 3 Oct 2025, Oct 3, 2025, Fri, 03 Oct 2025, 03-Oct-2025, Fri Oct 3 14:05:00 2025.

Understood where the whole column has the form:

- day and month as numbers with the year last, parted by dots, slashes or dashes: 31.12.2024, 12/31/2024. A single value
  with a 13 or more in one place decides the order for all; where none does, nobody can know, and
  `data.columns.time_format` has to say it;
- seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their length (from 1973 to 2286).

A time of day may follow a date: 14:05, 14:05:30.25, 2:05 PM, with a zone (Z, UTC, GMT, +02:00) or without one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from playbook.data.text import shown
from playbook.errors import DataError
from playbook.names import normal_form
from playbook.spec.section import EPOCHS

FORMS = (
    "Forms that are understood: 2025-10-03, 2025/10/3, 2025-10-03T14:05:00+02:00, 2025-10-03 2:05 PM, 31.12.2024 or "
    "12/31/2024 (one order in the whole column), 3 Oct 2025, seconds or milliseconds since 1970, or any other one that "
    "data.columns.time_format names"
)
NAMED = 3  # values that a message shows
Moment = date | datetime

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"  # noqa: E501
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? )?"
_CLOCK = (
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?"
)
_ZONE = r"(?: ?(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d{2}(?::?\d{2})?)(?:\[[\w/+-]+\])?)?"
_LATER = rf"(?:(?:t|,? (?:at )?){_CLOCK}{_ZONE})?"
_PATTERNS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE | re.ASCII)
    for name, pattern in {
        "year": rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_LATER}",
        "numbers": rf"(?P<one>\d{{1,2}})(?P<mark>[-/.])(?P<two>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){_LATER}",
        "compact": rf"(?P<year>(?:19|20)\d{{2}})(?P<month>\d{{2}})(?P<day>\d{{2}})(?:t(?P<hour>\d{{2}})(?P<minute>\d{{2}})(?P<second>\d{{2}})(?P<fraction>)(?P<half>){_ZONE})?",  # noqa: E501
        "day": rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-/ .]+{_MONTH}[-/ ,]+(?P<year>\d{{4}}){_LATER}",
        "month": rf"{_WEEKDAY}{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}}){_LATER}",
        "unix": rf"{_WEEKDAY}{_MONTH} (?P<day>\d{{1,2}}) {_CLOCK}{_ZONE} (?P<year>\d{{4}})",
    }.items()
}
_JOINED = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(\d{2})(?:(\d{2})(\d{2})?)?", re.ASCII)
_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d{1,9}))?", re.ASCII)
_DIGITS = {9: "epoch_s", 10: "epoch_s", 12: "epoch_ms", 13: "epoch_ms", 15: "epoch_us", 16: "epoch_us",
           18: "epoch_ns", 19: "epoch_ns"}  # fmt: skip
SURE = "dates with the year first or the month by name"
IN_WORDS = {
    "epoch_s": "seconds since 1970",
    "epoch_ms": "milliseconds since 1970",
    "epoch_us": "microseconds since 1970",
    "epoch_ns": "nanoseconds since 1970",
}


@dataclass(frozen=True)
class Times:
    """A column as it was read.

    Attributes:
        values: one per row; None where the cell is blank or could not be read.
        unread: rows whose value could not be read.
        form: what the column was read as, in words; '' of a column without a value.
        fault: why the column as a whole cannot be read, with what to do; then no row is.
    """

    values: tuple[Moment | None, ...]
    unread: tuple[int, ...]
    form: str
    fault: str = ""

    @property
    def iso(self) -> list[str]:
        """ISO 8601 of each row, in UTC where the value names a zone, so that the texts sort; '' without a value."""
        return ["" if value is None else value.isoformat() for value in self.values]


def read_times(values: Iterable[str], time_format: str | None = None) -> Times:
    """Read a column.

    Args:
        values: cells; blank ones are absent.
        time_format: `data.columns.time_format`: a strptime format, or `epoch_s`, `epoch_ms`. None: the column decides.
    """
    cells = [normal_form(value) for value in values]
    counts = Counter(filter(None, cells))
    if not counts:
        return Times((None,) * len(cells), (), "")
    if time_format is not None:
        known, form, fault = _by_format(counts, time_format), f"the form {time_format}", ""
    else:
        known, form, fault = _decided(counts)
    read = tuple(map(known.get, cells))
    unread = tuple(row for row, (cell, value) in enumerate(zip(cells, read, strict=True)) if cell and value is None)
    return Times(read, unread, form, fault)


def moments(values: Sequence[str], missing: datetime, where: str, time_format: str | None = None) -> list[datetime]:
    """Times of a column of a file, aware, in UTC where they name no zone; `missing` stands for blank ones.

    The column is read by `time_format` where all of it has that format, else by its own form.

    Raises:
        DataError: values are not times, or nobody can know the order of day and month.
    """
    found = read_times(values, time_format)
    if time_format is not None and found.unread:
        found = read_times(values)
    if found.fault or found.unread:
        raise DataError(f"{where}: {unreadable(values, found)}; fix them, or leave them blank")
    return [missing if value is None else aware(value) for value in found.values]


def aware(value: Moment) -> datetime:
    """The moment in UTC: a date is its midnight, and a time without a zone is one of UTC."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def unreadable(values: Sequence[str], found: Times) -> str:
    """What was expected of a column, and what stands there instead: three values at most, with the first one's row."""
    rows: dict[str, int] = {}
    for row in found.unread:
        rows.setdefault(shown(values[row]), row + 1)
    some = ", ".join(f"{value!r} in row {row}" for value, row in list(rows.items())[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    why = f": {found.fault}" if found.fault else f", among {found.form}"
    return f"expected times of one form, found {some}{more}{why}.{_hint(list(rows))} {FORMS}"


# Values that stand for times and cannot be read: their form, and what is said of them.
_LIKELY = {
    r"[2-6]\d{4}(?:[.,]\d+)?": "{} may be days since 1900, as spreadsheets count them: format the column as a date and "
    "export it again",
    r"\d+[.,]\d+[eE]\+?\d+": "{} has lost digits: format the column as a whole number and export it again",
    rf"{_CLOCK}{_ZONE}": "{} is a time of day without a date",
    r"\d{1,2}([-/. ])(?:\d{1,2}|[^\W\d]{3,})\1\d{2}(?:\D.*)?": "{} has a year of two digits: name the form in "
    "data.columns.time_format, with %y",
    r"0000-.*|19\d\d-\d\d-00.*": "{} stands for an absent time in some databases: leave it blank",
    r"/Date\(\d+\)/": "{} is milliseconds since 1970 in an old form of JSON: keep the digits alone",
    r"null|none|nan|nat|n/?a|\\n|-+": "{} is a word here: leave absent times blank",
}


def _hint(values: Sequence[str]) -> str:
    """What the values may be, with what to do about it; '' where nothing is known."""
    for pattern, said in _LIKELY.items():
        like = [value for value in values if re.fullmatch(pattern, value, re.IGNORECASE)]
        if 2 * len(like) > len(values):
            return f" {said.format(repr(like[0]))}."
    return ""


def _decided(counts: Counter[str]) -> tuple[dict[str, Moment], str, str]:
    """Values that can be read, the column's form in words, and why the column as a whole cannot be read."""
    rows: Counter[str] = Counter()
    read: dict[str, dict[str, Any]] = {}
    for cell, n in counts.items():
        form, found = _recognised(cell)
        if form:
            rows[form] += n
            read.setdefault(form, {})[cell] = found
    if not rows:
        return {}, "", "none of them has a form that is understood"
    main = max(rows, key=lambda form: (rows[form], form == SURE))
    numbers = [cell for form in (main, "epoch_s", "epoch_ms") if form in EPOCHS for cell in read.get(form, ())]
    joined = {cell: made for cell in numbers if (made := _joined(cell)) is not None}
    if main == SURE or 2 * len(joined) > len(set(numbers)):
        return {**read.get(SURE, {}), **joined}, SURE, ""
    if main in EPOCHS:
        return read[main], IN_WORDS[main], ""
    day_first, fault = _order(read[main])
    form = f"{'day, month' if day_first else 'month, day'} and year"
    return {} if fault else _by_order(read[main], day_first), form, fault


def _recognised(cell: str) -> tuple[str, Any]:
    """The kind of form that a cell has, and its moment where it is sure, else its match; ('', None) without one."""
    if cell[4:5] == "-" and (len(cell) <= 10 or cell[10] in "Tt "):
        try:
            return SURE, date.fromisoformat(cell) if len(cell) <= 10 else _in_utc(datetime.fromisoformat(cell))
        except (ValueError, OverflowError):  # the latter: in UTC the moment lies beyond the year 9999, or before 1
            pass
    unit = _unit(cell)
    if unit:
        return unit, _epoch(cell, unit)
    match = _PATTERNS["numbers"].fullmatch(cell)
    if match:
        return f"numbers {match['mark']}", match
    joined = _joined(cell)
    if joined is not None:
        return SURE, joined
    for name in ("year", "compact", "day", "month", "unix"):
        match = _PATTERNS[name].fullmatch(cell)
        if match:
            named = match["month"]
            month = int(named) if named.isdigit() else _MONTHS.index(named[:3].lower()) + 1
            found = _moment(int(match["year"]), month, int(match["day"]), match)
            return (SURE, found) if found is not None else ("", None)
    return "", None


def _unit(cell: str) -> str:
    """What a number counts since 1970, by its length; '' of other lengths, and where it is not a number."""
    number = _NUMBER.fullmatch(cell)
    return _DIGITS.get(len(number[1]), "") if number else ""


def _joined(cell: str) -> datetime | None:
    """The moment of a date and a time without marks, to the hour, the minute or the second; None where it is not one.

    With 10 or 12 digits it could be seconds or milliseconds since 1970 as well. Those of 2030 to 2036 and of 1976 have
    such digits, and few of them have a month, a day and an hour: most of a column decides.
    """
    match = _JOINED.fullmatch(cell)
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _order(matches: Mapping[str, re.Match[str]]) -> tuple[bool, str]:
    """Whether the day comes first in dates such as 03/04/2025, and why that cannot be known."""
    parts = [(cell, int(match["one"]), int(match["two"])) for cell, match in matches.items()]
    day = next((cell for cell, one, two in parts if one > 12 >= two), "")
    month = next((cell for cell, one, two in parts if two > 12 >= one), "")
    mark = next(iter(matches.values()))["mark"]
    both = f"set data.columns.time_format, for example '%d{mark}%m{mark}%Y' or '%m{mark}%d{mark}%Y'"
    if day and month:
        only = f"{shown(day)!r} can only be day and month, {shown(month)!r} only month and day"
        return True, f"{only}; fix them, or {both}"
    if not day and not month and any(one != two for _, one, two in parts):
        return True, f"no value says which is the day and which the month: {both}"
    return not month, ""


def _by_order(matches: Mapping[str, re.Match[str]], day_first: bool) -> dict[str, Moment]:
    """Dates whose year comes last."""
    found: dict[str, Moment] = {}
    for cell, match in matches.items():
        one, two = int(match["one"]), int(match["two"])
        made = _moment(int(match["year"]), two if day_first else one, one if day_first else two, match)
        if made is not None:
            found[cell] = made
    return found


def _moment(year: int, month: int, day: int, match: re.Match[str]) -> Moment | None:
    """A date, or a time where the match has an hour; None where there is no such day or time."""
    try:
        if match["hour"] is None:
            return date(year, month, day)
        hour, half = int(match["hour"]), (match["half"] or "").lower()
        if (half and not 1 <= hour <= 12) or (not half and match["minute"] is None):
            return None
        hour = hour % 12 + 12 * (half == "p") if half else hour
        micro = int((match["fraction"] or "0").ljust(6, "0")[:6])
        made = datetime(year, month, day, hour, int(match["minute"] or 0), int(match["second"] or 0), micro)
        return _in_utc(made.replace(tzinfo=_zone(match["zone"]))) if match["zone"] else made
    except (ValueError, OverflowError):
        return None


def _zone(named: str) -> timezone:
    offset = named.lower().removeprefix("utc").removeprefix("gmt")
    if offset in ("", "z"):
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = 60 * int(digits[:2]) + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _in_utc(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC)


def _epoch(cell: str, unit: str) -> datetime | None:
    match = _NUMBER.fullmatch(cell)
    if match is None:
        return None
    if cell.isdigit() and unit == "epoch_s":
        return datetime.fromtimestamp(int(cell), UTC) if len(cell) <= 11 else None
    whole, part = divmod(int(match[1]), EPOCHS[unit])
    micro = part * 10**6 // EPOCHS[unit] + (int((match[2] or "0").ljust(6, "0")[:6]) if unit == "epoch_s" else 0)
    try:
        return datetime.fromtimestamp(whole, UTC) + timedelta(microseconds=micro)
    except (ValueError, OverflowError, OSError):
        return None


def _by_format(cells: Iterable[str], time_format: str) -> dict[str, Moment]:
    """What has the form that the task file names, read at once; see `pandas.to_datetime` with a format."""
    if time_format in EPOCHS:
        # A number of another length counts another part of a second: read as milliseconds, seconds are all of 1970.
        fit = (cell for cell in cells if _unit(cell) in ("", time_format))
        read = {cell: _epoch(cell, time_format) for cell in fit}
        return {cell: value for cell, value in read.items() if value is not None}
    import pandas as pd

    given = list(cells)
    zoned = "%z" in time_format.lower()
    found = pd.to_datetime(pd.Series(given, dtype="str"), format=time_format, errors="coerce", utc=zoned)
    with_clock = re.search(r"%[HIMSfcXTRsp]", time_format) is not None
    moments = found.dt.to_pydatetime() if with_clock else found.dt.date
    return {cell: value for cell, value in zip(given, moments, strict=True) if not pd.isna(value)}
