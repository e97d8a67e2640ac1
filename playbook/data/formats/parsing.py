"""One pass over a CSV file by one dialect: its records with their lines, and what is wrong with it."""

from __future__ import annotations

import csv
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from playbook.data.formats.dialect import Dialect
from playbook.data.formats.records import HEADER_AGAIN, PLAIN, QUOTES, TOO_FEW, TOO_MANY, Form, Rejected
from playbook.data.formats.swallowed import Record, swallowed
from playbook.data.text import shown

LONGEST_FIELD = 2**31 - 1  # characters; Python's own limit of 131,072 is shorter than a long text
LONG_HEADER = 5  # lines
PROSE = 0.1  # share of rows with a comma as texts have them from which delimiters are taken for those of sentences
# A number within a sentence, cut at the comma of its decimals or thousands; dates and numbers of columns are not cut.
_BEFORE_A_COMMA = re.compile(r"\s\S*\d$")
_BEHIND_IT = re.compile(r"\d{1,3}(?!\d|[-./:]\d)")
TRAIL = 10  # records from which it is no chance that all of them end in a delimiter


@dataclass
class Parsed:
    """What one dialect makes of a file. `broken` is a fault after which nobody knows where records begin."""

    dialect: Dialect
    header: list[str] = field(default_factory=list)
    rows: list[Record] = field(default_factory=list)  # as wide as the header
    rejected: list[Rejected] = field(default_factory=list)
    broken: str = ""
    trailing: bool = False  # every record ended in a delimiter

    @property
    def sound(self) -> bool:
        """Whether every record became a row."""
        return bool(self.header) and not self.rejected and not self.broken


def parse(lines: Sequence[str], dialect: Dialect, skipped: int = 0, form: Form = PLAIN) -> Parsed:
    """Every record by one dialect; one of another width than the header is set aside.

    Args:
        lines: of the file, with their ends.
        dialect: to read it by.
        skipped: lines before the header.
        form: what can be advised.
    """
    csv.field_size_limit(LONGEST_FIELD)
    out = Parsed(dialect)
    records: list[Record] = []
    reader = dialect.reader(lines[skipped:])
    last = skipped
    while not out.broken:
        first, cells, reason = last + 1, [], ""
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            reason = str(error)
        last = skipped + reader.line_num
        if cells and not dialect.fits("".join(lines[first - 1 : last])):
            reason = "more text after a closing mark"
        if reason:
            _fault(out, lines, first, last, reason, form.or_set("quoting"))
        elif len(cells) < 2 and not "".join(lines[first - 1 : last]).strip():
            continue  # a blank line is not a record
        elif out.header:
            records.append(Record(first, last, cells))
        else:
            out.header = cells
            out.broken = _long_header(first, last)
    return out if out.broken else _by_width(out, lines, records)


def _long_header(first: int, last: int) -> str:
    """A header may break a name or two over lines; one over more has taken in rows."""
    if last - first < LONG_HEADER:
        return ""
    return f"line {first}: a quotation mark in the header opens a field that closes on line {last} only; fix that line"


def _fault(out: Parsed, lines: Sequence[str], first: int, last: int, reason: str, advice: str) -> None:
    """What the parser refused: one record where it is one line with its marks in pairs, else the file is broken."""
    quote = out.dialect.quote
    if "unexpected end" in reason:
        out.broken = (
            f"line {first}: a quotation mark opens a field here and is never closed, up to the end of the file (line "
            f"{last}); close it, or double it ({quote * 2}) where it belongs to the text{advice}"
        )
    elif not out.header:
        out.broken = f"line {first}: the header is not readable as CSV ({reason}); fix that line"
    elif "new-line" in reason and _holds_records(lines[first - 1], out.dialect, len(out.header)):
        out.broken = (
            f"line {first}: records are separated by carriage returns alone here, and by other line ends elsewhere; "
            "write all of the file with one kind of line end"
        )
    elif first == last and lines[first - 1].count(quote) % 2 == 0:
        detail = f"{_out_of_place(reason, quote)}: {shown(lines[first - 1])}"
        out.rejected.append(Rejected(first, last, QUOTES, detail))
    elif first == last:
        out.broken = (
            f"line {first}: {_out_of_place(reason, quote)}, and the quotation marks of the line are not pairs; double "
            f"those that belong to the text ({quote * 2}){advice}"
        )
    else:
        out.broken = (
            f"line {first}: a quotation mark opens a field here that runs on to line {last}, where more text follows "
            f"the closing mark; close it on its line, or double it ({quote * 2}) where it belongs to the text{advice}"
        )


def _holds_records(line: str, dialect: Dialect, wide: int) -> bool:
    """Whether the pieces between the carriage returns of a line are several records rather than parts of a text."""
    pieces = [piece for piece in re.split(r"[\r\n]+", line) if piece.strip()]
    return wide > 1 and sum(piece.count(dialect.delimiter) == wide - 1 for piece in pieces) > 1


def _out_of_place(reason: str, quote: str) -> str:
    if "new-line" in reason:
        return "a carriage return in the middle of a field that is not quoted"
    return f"expected the end of the field after its closing {quote}, found more text"


def _by_width(out: Parsed, lines: Sequence[str], records: list[Record]) -> Parsed:
    wide = len(out.header)
    if _all_trail(records, wide):
        out.trailing = True
        records = [Record(one.first, one.last, one.cells[:-1]) for one in records]
    names = [name.strip() for name in out.header]
    for one in records:
        if len(one.cells) == wide:
            if wide > 1 and one.cells[-1].strip() == names[-1] and [cell.strip() for cell in one.cells] == names:
                detail = "expected a row, found the names of the columns again"  # files that were put together
                out.rejected.append(Rejected(one.first, one.last, HEADER_AGAIN, detail))
            else:
                out.rows.append(one)
        else:
            found = f"{len(one.cells)} field{'' if len(one.cells) == 1 else 's'} where the header has {wide}"
            detail = f"{found}: {shown(''.join(lines[one.first - 1 : one.last]))}"
            reason = TOO_MANY if len(one.cells) > wide else TOO_FEW
            out.rejected.append(Rejected(one.first, one.last, reason, detail))
    firsts = [one.first for one in out.rows]
    out.rejected = [
        replace(one, before=bisect_left(firsts, one.first)) for one in sorted(out.rejected, key=lambda one: one.first)
    ]
    broad = [one for one in records if one.last > one.first]
    out.broken = swallowed(out.dialect, lines, wide, out.rows, broad)
    return out


def _all_trail(records: Sequence[Record], wide: int) -> bool:
    """Whether every record ends in a delimiter that the header does not have.

    A last field that is empty in all rows looks the same when the delimiter stands in all the texts; there, as in
    prose, a blank follows it, or it stands within a number, or the rows are few.
    """
    if len(records) < TRAIL or any(len(one.cells) != wide + 1 or one.cells[-1].strip() for one in records):
        return False
    return sum(_as_in_prose(one.cells[:-1]) for one in records) <= PROSE * len(records)


def _as_in_prose(cells: Sequence[str]) -> bool:
    """Whether two cells look like one text that was cut: "Well" and " no", "It costs 12" and "50 euros"."""
    return any(
        right.startswith(" ") or (_BEFORE_A_COMMA.search(left) and _BEHIND_IT.match(right))
        for left, right in pairwise(cells)
    )
