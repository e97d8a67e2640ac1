"""Finding records that a quotation mark has swallowed.

A mark at the beginning of a field that nobody closes takes in the lines that follow, up to the next mark that happens
to stand before a delimiter; what comes out is one valid record with several in its text. It shows in those lines: they
are records of their own. A line counts as one if it has as many fields as the header and its fields fit the columns
that have a pattern: those whose values come again and again (labels, channels), and those whose values are all built
alike (ids, dates). Lines of prose that happen to have as many delimiters do not fit.

Where no column has a pattern, a run of lines that are all as wide as the header counts.

What this cannot see: lines in a file of one column, and one or two in a file without any column of a pattern.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from playbook.data.formats.cells import value_form
from playbook.data.formats.dialect import Dialect

COMMON = 0.6  # share of rows whose value another row has, from which a column's values come again and again
ALIKE = 0.95  # share of values of a column that the few most frequent forms cover
FORMS = 3
SAMPLE = 2000  # rows that patterns are taken from, spread over the file
RUN = 3  # lines as wide as the header that are not prose; twice as many where one delimiter is enough
LEAST = 5  # rows from which a column's pattern is known

Fits = Callable[[str], bool]


class Record(NamedTuple):
    """Fields of one record of a CSV file, and the lines on which it begins and ends."""

    first: int
    last: int
    cells: list[str]


def swallowed(
    dialect: Dialect, lines: Sequence[str], wide: int, rows: Sequence[Record], broad: Sequence[Record]
) -> str:
    """What is wrong where a record over several lines has others inside; nothing where none has.

    Args:
        dialect: that the file was read by.
        lines: of the file.
        wide: fields of the header.
        rows: records of that width.
        broad: records over several lines, of any width.
    """
    if wide < 2 or not broad or all(lines[one.first - 1].startswith(dialect.quote) for one in rows):
        return ""  # where every record begins with a mark, a swallowed one would have ended the field
    columns = _patterns([one.cells for one in rows[:: len(rows) // SAMPLE + 1]], wide)
    for one in broad:
        within = lines[one.first - 1 : one.last]
        if _holds_records(dialect, within, one.cells, wide, columns) if columns else _all_wide(dialect, within, wide):
            return (
                f"line {one.first}: a quotation mark opens a field here that closes on line {one.last} only, and lines "
                f"between them are records of their own; close it on its line, or double it ({dialect.quote * 2}) "
                "where it belongs to the text (if the field does hold these lines, save the file as JSON Lines or "
                "Parquet)"
            )
    return ""


def _holds_records(
    dialect: Dialect, lines: Sequence[str], cells: Sequence[str], wide: int, columns: Sequence[tuple[int, Fits]]
) -> bool:
    """Whether a line of a record is a record of its own.

    What stands before the field that goes over lines is the record's own on its first line, as is what comes after it
    on its last one: that fits its columns in any case, so another column must fit there as well.
    """
    broken = [position for position, cell in enumerate(cells) if "\n" in cell or "\r" in cell] or [0]
    bare = replace(dialect, quoting="none")
    for number, line in enumerate(lines):
        found = _split(bare if number == 0 else dialect, line)
        # A mark that opened or closes the field belongs to none of the values.
        if len(found) != wide or not all(fits(found[place].strip(dialect.quote)) for place, fits in columns):
            continue
        after, before = number > 0 or columns[-1][0] > broken[0], number < len(lines) - 1 or columns[0][0] <= broken[-1]
        if after and before:
            return True
    return False


def _all_wide(dialect: Dialect, lines: Sequence[str], wide: int) -> bool:
    """Whether a record has a run of lines inside that are all as wide as the header; for files without a pattern."""
    inner = [_split(dialect, line) for line in lines[1:-1]]
    return len(inner) >= (RUN if wide > 2 else 2 * RUN) and all(len(cells) == wide for cells in inner)


def _split(dialect: Dialect, line: str) -> list[str]:
    """Fields of a line by itself, quotation marks or not."""
    if dialect.delimiter not in line:
        return []
    try:
        return next(dialect.reader([line], strict=False), [])
    except csv.Error:
        return []


def _patterns(rows: Sequence[list[str]], wide: int) -> list[tuple[int, Fits]]:
    """Columns with a pattern, and whether a value has it."""
    if len(rows) < LEAST:
        return []
    out: list[tuple[int, Fits]] = []
    for position in range(wide):
        values = Counter(row[position] for row in rows)
        forms = Counter(value_form(row[position]) for row in rows)
        usual = {form for form, _ in forms.most_common(FORMS)}
        if len(values) > 1 and sum(n for n in values.values() if n > 1) >= COMMON * len(rows):
            out.append((position, lambda value, known=frozenset(values): value.strip("\r\n") in known))  # type: ignore[misc]
        elif sum(forms[form] for form in usual) >= ALIKE * len(rows) and any("9" in form for form in usual):
            out.append((position, lambda value, known=frozenset(usual): value_form(value) in known))  # type: ignore[misc]
    return out
