"""What a file of rows is read into: the rows, and the records that could not become rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from playbook.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Quoting = Literal["doubled", "backslash", "none"]

# Why a record is set aside.
TOO_MANY, TOO_FEW = "too many fields", "too few fields"
QUOTES = "quotation marks out of place"
HEADER_AGAIN = "header again"
NO_JSON, NO_OBJECT, REPEATED_KEY = "not JSON", "no JSON object", "repeated key"
NESTED = "list or object as a value"
BROKEN_CHARACTER = "broken character"


@dataclass(frozen=True)
class Form:
    """How a file is written, as far as somebody has said so; what is None is found in the content.

    Attributes:
        encoding: name of a text encoding that Python knows.
        delimiter: one character between the fields of a CSV file.
        quoting: how a quotation mark inside of a quoted field is written; `none`: fields are never quoted.
        quote: the quotation mark.
        certain: whether this holds for the file; otherwise the encoding is tried where the file is not UTF-8, and the
            rest is found.
        settable: whether the task file can say how this very file is written, so that messages may advise it.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quoting: Quoting | None = None
    quote: str | None = None
    certain: bool = True
    settable: bool = False

    def hint(self) -> Form:
        """The same for files of other makers than the source."""
        return replace(self, certain=False, settable=False)

    def or_set(self, field: str) -> str:
        """Advice to say it in the task file, where that helps."""
        return f", or set data.source.{field} in the task file" if self.settable else ""


PLAIN = Form()


@dataclass(frozen=True)
class Rejected:
    """A record that could not become a row.

    Attributes:
        first: the line on which it begins, from 1; the number of the row where a file has no lines (Parquet).
        last: the line on which it ends.
        reason: one of the few reasons above.
        detail: what was expected and what was found.
        file: part of a folder that it comes from; empty where there is one file.
        unit: `line` or `row`.
        before: how many records of the file were read before it.
    """

    first: int
    last: int
    reason: str
    detail: str
    file: str = ""
    unit: str = "line"
    before: int = 0

    @property
    def place(self) -> str:
        """`line 7`, `lines 7 to 9`, `part-1.csv, line 7`."""
        lines = f"{self.unit} {self.first}" if self.last <= self.first else f"{self.unit}s {self.first} to {self.last}"
        return f"{self.file}, {lines}" if self.file else lines

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}"


@dataclass(frozen=True)
class Records:
    """All records of a file or folder.

    Attributes:
        rows: those that were read, all columns as text; an absent value is the empty string.
        lines: where each row begins (see `Rejected.first`).
        rejected: the others, in the order of the file.
        kind: `CSV`, `JSON Lines`, `JSON` or `Parquet`.
        found: what is not as one would expect it (comma, UTF-8, a name that fits the content), in a few words each.
    """

    rows: pd.DataFrame
    lines: list[int]
    rejected: tuple[Rejected, ...]
    kind: str
    found: tuple[str, ...] = field(default=())

    @property
    def count(self) -> int:
        """Records in the file."""
        return len(self.lines) + len(self.rejected)


def require_most(rows: int, rejected: Sequence[Rejected], remedy: str) -> None:
    """Refuse a file of which more records are set aside than read.

    Raises:
        ValueError: so it is; the first one is named.
    """
    if len(rejected) > rows:
        raise ValueError(f"{rejected[0]} ({len(rejected)} of {rows + len(rejected)} records are unfit); {remedy}")


def refuse_rejected(location: str, rejected: Sequence[Rejected]) -> None:
    """For files of which every record is needed.

    Raises:
        DataError: there are records that could not be read; the first few are named.
    """
    if rejected:
        named = "; ".join(map(str, rejected[:5]))
        more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
        raise DataError(f"{location}: {named}{more}; fix the file")
