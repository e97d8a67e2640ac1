"""How a CSV file is written: its delimiter, its quotation marks, its line ends. Found in its first lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from playbook.data.formats.records import Form, Quoting
from playbook.names import normal_form

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Marks that other programs put between fields; they are advised, not guessed.
OTHER_MARKS = {":": "colons", "^": "carets", "~": "tildes", "\xa6": "broken bars"}
SAMPLE = 500  # lines that are looked at
ALIKE = 0.9  # share of records as wide as the header from which a delimiter explains a file
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)  # the first line that Excel understands


@dataclass(frozen=True)
class Dialect:
    """Delimiter and quotation marks of a CSV file."""

    delimiter: str = ","
    quoting: Quoting = "doubled"
    quote: str = '"'
    padded: bool = False  # a blank stands between a delimiter and the quotation mark behind it

    def reader(self, lines: Sequence[str], strict: bool = True) -> Any:
        """Python's reader of CSV over lines with their ends."""
        if self.quoting == "none":
            return csv.reader(iter(lines), delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=strict)
        plain = (self._escaped(line) for line in lines) if self.quoting == "backslash" else iter(lines)
        return csv.reader(
            plain,
            delimiter=self.delimiter,
            quotechar=self.quote,
            doublequote=self.quoting == "doubled",
            escapechar="\\" if self.quoting == "backslash" else None,
            skipinitialspace=self.padded,
            strict=strict,
        )

    def _escaped(self, line: str) -> str:
        """A line whose backslashes before anything but a quotation mark, a delimiter or a line end stay in the text."""
        if "\\" not in line:
            return line
        marks = f"\\{self.quote}{self.delimiter}\r\n"
        pairs = re.compile(r"\\(.?)", re.DOTALL)
        return pairs.sub(lambda one: one[0] if one[1] and one[1] in marks else f"\\{one[0]}", line)

    def fits(self, record: str) -> bool:
        """Whether nothing follows the closing mark of a field but a delimiter.

        Python's strict reader looks at it where marks are doubled, and at nothing where a backslash stands before them.
        """
        if self.quoting != "backslash":
            return True
        mark, part, pad = re.escape(self.quote), re.escape(self.delimiter), " *" if self.padded else ""
        quoted = rf"{mark}[^{mark}\\]*(?:\\.[^{mark}\\]*)*{mark}"
        field = rf"{pad}(?:{quoted}|(?!{mark})[^{part}\\\r\n]*(?:\\.[^{part}\\\r\n]*)*)"
        return re.fullmatch(rf"{field}(?:{part}{field})*[\r\n]*", record, re.DOTALL) is not None

    def said(self, usual: str) -> list[str]:
        """What is not as in a plain file, where fields are parted by `usual`."""
        out = []
        if self.delimiter != usual:
            out.append(f"{DELIMITERS.get(self.delimiter, repr(self.delimiter))} between the fields")
        if self.quoting == "none":
            out.append("quotation marks taken as they stand: no field is quoted")
        elif self.quote != '"':
            out.append(f"fields quoted by {self.quote}")
        if self.padded:
            out.append("blanks before quotation marks")
        if self.quoting == "backslash":
            out.append("quotation marks inside of fields marked by a backslash")
        return out


def lines_of(text: str) -> list[str]:
    """Lines with their ends. A lone carriage return ends a line only in a file whose first line ends in one."""
    first = re.search(r"[\r\n]", text)
    if first and first.group() == "\r" and not re.match(r"\r+\n", text[first.start() :]):
        return list(io.StringIO(text, newline=""))
    return text.splitlines(keepends=True) if _only_newlines(text) else _split(text)


def _only_newlines(text: str) -> bool:
    """Whether `splitlines`, which is fast, would split at newlines alone."""
    return text.isascii() and re.search(r"[\r\x0b\x0c\x1c-\x1e]", text) is None


def _split(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def find_dialect(lines: Sequence[str], form: Form, usual: str) -> tuple[Dialect, int]:
    """The dialect of a file, as far as its first lines show it, and how many lines come before the header.

    Args:
        lines: of the file.
        form: what was said about it.
        usual: the delimiter where nothing speaks for another one.
    """
    skipped = 0
    told = form if form.certain else Form()
    hint = SEPARATOR_LINE.match(lines[0]) if lines else None
    delimiter = told.delimiter
    if hint and len(lines) > 1:
        skipped, delimiter = 1, delimiter or hint[1]
    sample = lines[skipped : skipped + SAMPLE]
    quote = told.quote or _quote(sample, delimiter)
    quoting: Quoting = told.quoting or "doubled"
    if delimiter is not None:
        return _padded(Dialect(delimiter, quoting, quote), sample), skipped
    order = [usual, *(one for one in DELIMITERS if one != usual)]
    dialects = [_padded(Dialect(one, quoting, quote), sample) for one in order]
    return max(dialects, key=lambda one: _fits(sample, one)), skipped


def other_delimiter(lines: Sequence[str], dialect: Dialect) -> str:
    """The delimiter that explains the first lines where the one of the dialect does not; '' where none does."""
    sample = [line for line in lines[: SAMPLE + 1] if line.strip()]
    others = [one for one in DELIMITERS if one != dialect.delimiter]
    fits = {one: _fits(sample, replace(dialect, delimiter=one, padded=False)) for one in others}
    best = max(others, key=lambda one: fits[one])
    return best if fits[best][0] >= ALIKE else ""


def delimiter_of_names(names: Sequence[str], wanted: Sequence[str]) -> str:
    """The mark that parts one of the names into all that are wanted, as a wrong delimiter leaves them; '' without."""
    for mark in (*DELIMITERS, *OTHER_MARKS):
        for name in names:
            parts = {normal_form(part.strip("\"'")) for part in name.split(mark)}
            if len(parts) > 1 and parts.issuperset(wanted):
                return mark
    return ""


def _padded(dialect: Dialect, sample: Sequence[str]) -> Dialect:
    """The dialect with blanks before quotation marks where most lines have one: else the marks would be text."""
    if dialect.quoting == "none" or dialect.delimiter == " ":
        return dialect
    filled = [line for line in sample if line.strip()]
    mark = re.compile(f"{re.escape(dialect.delimiter)} +{re.escape(dialect.quote)}")
    found = sum(mark.search(line) is not None for line in filled)
    return replace(dialect, padded=True) if 2 * found > len(filled) else dialect


def _quote(sample: Sequence[str], delimiter: str | None) -> str:
    """The quotation mark: an apostrophe only where every name of the header stands between two."""
    header = next((line.strip() for line in sample if line.strip()), "")
    between = re.escape(delimiter) if delimiter else "[,;\t|]"
    return "'" if re.fullmatch(rf"'[^']*'(?:{between}'[^']*')*", header) else '"'


def _fits(sample: Sequence[str], dialect: Dialect) -> tuple[float, int]:
    """How well a delimiter explains the first lines: the share of records that are as wide as the header, its width.

    A header of one field explains nothing: every other delimiter that splits it goes before.
    """
    widths: list[int] = []
    with suppress(csv.Error):  # what was read so far is enough
        for cells in dialect.reader(sample, strict=False):
            widths += [len(cells)] if any(cell.strip() for cell in cells) else []
    if not widths or widths[0] < 2:
        return (-1.0, 0)
    rows = widths[1:]
    alike = sum(width == widths[0] for width in rows) / len(rows) if rows else 0.0
    return (round(alike, 1), widths[0])
