"""CSV by Python's strict parser: no field is cut, no record is swallowed by a quotation mark that nobody closed.

Sources: RFC 4180 for the plain form; the dialects of spreadsheets (semicolons, `sep=`, tabs), of Spark and MySQL
(backslashes) and, between tabs, of files without quotation marks are tried where that form does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from playbook.data.formats.cells import column_names, frame_of, is_whole
from playbook.data.formats.dialect import DELIMITERS, Dialect, find_dialect, lines_of, other_delimiter
from playbook.data.formats.parsing import Parsed, parse
from playbook.data.formats.records import BROKEN_CHARACTER, TOO_FEW, TOO_MANY, Form, Records, Rejected, require_most
from playbook.data.text import shown

ABSENT = "\\N"  # of MySQL, PostgreSQL and Hive, where text may be empty


def read_delimited(text: str, form: Form, usual: str = ",") -> Records:
    """All records of a CSV file with a header.

    Args:
        text: of the file.
        form: what was said about it.
        usual: the delimiter that its name promises.

    Raises:
        ValueError: it has a column name twice, quotation marks that do not close, a first record or most records of
            another width than the header, or an end in the middle of a record; with the line.
    """
    lines = lines_of(text)
    dialect, skipped = find_dialect(lines, form, usual)
    if ABSENT in text:
        lines = _without_absent(lines, dialect.delimiter)
    parsed = _best(lines, dialect, skipped, form)
    if parsed.broken:
        raise ValueError(f"not readable as CSV: {parsed.broken}")
    names = column_names(parsed.header)
    _require_widths(parsed, lines, form)
    try:
        return _records(parsed, names, usual)
    except UnicodeEncodeError:
        return _records(_without_broken_characters(parsed), names, usual)


def _without_absent(lines: Sequence[str], delimiter: str) -> list[str]:
    """Lines with nothing where databases write their mark of an absent value as a whole field."""
    mark = re.escape(delimiter)
    field = re.compile(rf"(?:^|(?<={mark})){re.escape(ABSENT)}(?={mark}|[\r\n]*$)")
    return [field.sub("", line) if ABSENT in line else line for line in lines]


def _records(parsed: Parsed, names: list[str], usual: str) -> Records:
    require_most(len(parsed.rows), parsed.rejected, "fix these records, or export the data again")
    columns = list(zip(*(one.cells for one in parsed.rows), strict=True)) or [()] * len(names)
    frame = frame_of(names, columns, len(parsed.rows))
    said = parsed.dialect.said(usual)
    if parsed.trailing:
        said.append(f"a {_name(parsed.dialect)} at the end of every row but the header")
    return Records(frame, [one.first for one in parsed.rows], tuple(parsed.rejected), "CSV", tuple(said))


def _best(lines: Sequence[str], dialect: Dialect, skipped: int, form: Form) -> Parsed:
    """The parse by the dialect that was found, or by another way of quoting where only that one fits every record."""
    first = parse(lines, dialect, skipped, form)
    if first.sound or (form.quoting and form.certain):
        return first
    others = []
    if any(f"\\{dialect.quote}" in line for line in lines):
        others.append(replace(dialect, quoting="backslash"))
    if dialect.delimiter == "\t":  # IANA's text/tab-separated-values knows no quotation marks
        others.append(replace(dialect, quoting="none"))
    for other in others:
        parsed = parse(lines, other, skipped, form)
        if parsed.sound and not (other.quoting == "none" and _has_quoted_field(parsed)):
            return parsed
    return first


def _has_quoted_field(parsed: Parsed) -> bool:
    """Whether a field stands between two quotation marks: then they do not belong to the text."""
    quote = parsed.dialect.quote
    return any(
        len(cell) > 1 and cell.startswith(quote) and cell.endswith(quote)
        for cells in (parsed.header, *(one.cells for one in parsed.rows))
        for cell in cells
    )


def _name(dialect: Dialect) -> str:
    return DELIMITERS.get(dialect.delimiter, f"{dialect.delimiter}s")[:-1]


def _require_widths(parsed: Parsed, lines: Sequence[str], form: Form) -> None:
    """Refuse a file whose header does not describe its records, and one that was cut off."""
    wrong = [one for one in parsed.rejected if one.reason in (TOO_MANY, TOO_FEW)]
    if not wrong:
        return
    remedy = _remedy(parsed, wrong, lines, form)
    if wrong[0] is parsed.rejected[0] and wrong[0].before == 0:
        alike = len(wrong) - 1
        more = f" ({alike} more record{'' if alike == 1 else 's'} of another width)" if alike else ""
        raise ValueError(f"{wrong[0]}{more}; {remedy}")
    require_most(len(parsed.rows), parsed.rejected, remedy)
    last = wrong[-1]
    if last.last == len(lines) and last.reason == TOO_FEW and not lines[-1].endswith(("\n", "\r")):
        raise ValueError(
            f"line {last.first}: the file ends in the middle of a record ({last.detail}); fetch or export it again"
        )


def _remedy(parsed: Parsed, wrong: Sequence[Rejected], lines: Sequence[str], form: Form) -> str:
    """What to do about records of another width than the header."""
    other = other_delimiter(lines, parsed.dialect) if form.delimiter and form.certain else ""
    if other:
        told, seems = (DELIMITERS.get(mark, repr(mark)) for mark in (parsed.dialect.delimiter, other))
        return f"data.source.delimiter says {told}, the file seems to have {seems} between its fields: set that one"
    if wrong[0].reason == TOO_FEW and 2 * len(wrong) < len(parsed.rows):
        return "fix that line, or take it out if it is not a record"
    title = ", or take out what stands above the names of the columns" if len(parsed.header) == 1 else ""
    return f"put a text that has a {_name(parsed.dialect)} in quotation marks{form.or_set('delimiter')}{title}"


def _without_broken_characters(parsed: Parsed) -> Parsed:
    """Set rows with half of a surrogate pair aside."""
    rejected = list(parsed.rejected)
    rows = []
    for one in parsed.rows:
        bad = next((cell for cell in one.cells if not is_whole(cell)), None)
        if bad is None:
            rows.append(one)
        else:
            detail = f"half of a surrogate pair, which is not a character: {shown(bad)}"
            rejected.append(Rejected(one.first, one.last, BROKEN_CHARACTER, detail, before=len(rows)))
    return replace(parsed, rows=rows, rejected=sorted(rejected, key=lambda one: one.first))
