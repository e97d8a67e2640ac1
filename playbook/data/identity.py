"""Whether ids name rows: one id on several rows, a column that does not hold ids, ids that lost digits on the way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from playbook.data.formats.cells import LONGEST, number_text
from playbook.data.text import comparison_key, shown
from playbook.errors import DataError

NAMED = 3  # ids that a message names
FEWEST = 3  # long numbers whose last digits are zeros, from which it is hardly chance
EXACT = 15  # digits of a number that a spreadsheet keeps
BEYOND_FLOAT = 18  # digits from which at most one number in ten is the shortest name of a float

_DECIMAL = re.compile(r"-?\d+\.0+", re.ASCII)
_POWER = re.compile(r"-?\d(?:[.,]\d+)?[eE]\+\d+", re.ASCII)


def texts_by_id(ids: Iterable[str], texts: Iterable[str]) -> dict[str, int]:
    """How many different texts each id stands on, of ids that stand on several; texts differ as copies do not."""
    found: dict[str, set[str]] = {}
    for name, text in zip(ids, texts, strict=True):
        if name and text:
            found.setdefault(name, set()).add(text)
    several = {name: {comparison_key(text) for text in held} for name, held in found.items() if len(held) > 1}
    return {name: len(keys) for name, keys in several.items() if len(keys) > 1}


def require_ids(ids: Sequence[str], texts: Sequence[str], column: str) -> dict[str, int]:
    """As `texts_by_id`.

    Raises:
        DataError: most of the column's ids stand on several texts, so they name something else than rows.
    """
    several, distinct = texts_by_id(ids, texts), len({name for name in ids if name})
    if 2 * len(several) > distinct:
        most = sorted(several.items(), key=lambda one: (-one[1], one[0]))[:NAMED]
        named = ", ".join(f"{shown(name)} on {n}" for name, n in most)
        raise DataError(
            f"column {column!r}: expected an id of its own for each row, found {len(several)} of {distinct} ids on "
            f"several texts ({named}); name the column of row ids in data.columns.id, or leave that out. A column such "
            "as this one may be the data.columns.group"
        )
    return several


def in_words(several: dict[str, int]) -> str:
    """`2 ids stand on several texts: T1 on 3, T2 on 2`; '' where none does."""
    if not several:
        return ""
    named = ", ".join(f"{shown(name)} on {n}" for name, n in list(several.items())[:NAMED])
    more = f" and {len(several) - NAMED} more" if len(several) > NAMED else ""
    stand = "ids stand" if len(several) > 1 else "id stands"
    return f"{len(several)} {stand} on several texts: {named}{more}"


def spoilt_ids(ids: Sequence[str]) -> str:
    """What a spreadsheet or a column of decimals made of ids, with examples; '' where nothing is to be seen.

    Looked for: whole numbers as decimals (123.0), powers of ten (1.2345E+18), numbers of 16 digits and more that all
    end in zeros after the fifteenth, because a spreadsheet keeps no more, and numbers of 18 digits and more of which
    each is the shortest name of a float of 64 bits, because a column of decimals keeps no more.
    """
    given = [name for name in ids if name]
    decimal = [name for name in given if _DECIMAL.fullmatch(name)]
    power = [name for name in given if _POWER.fullmatch(name)]
    long = [name for name in given if len(name) > EXACT and name.isascii() and name.isdigit()]
    short = [name for name in long if not name[EXACT:].strip("0")]
    said = []
    if decimal and 2 * len(decimal) >= len(given):
        plain = decimal[0].partition(".")[0]
        said.append(f"{_some(decimal)} are whole numbers as decimals: elsewhere the first one is called {plain}")
    if power:
        said.append(f"{_some(power)} are powers of ten: their last digits are lost")
    if len(short) >= FEWEST and len(short) == len(long):
        said.append(f"{_some(short)} end in zeros after {EXACT} digits: the true ones are lost")
    elif len(longer := [name for name in long if len(name) >= BEYOND_FLOAT]) >= FEWEST and all(map(_of_float, longer)):
        said.append(
            f"{_some(longer)} were decimals of 64 bits, beside an absent one for example: the last digits are lost"
        )
    return "; ".join(said)


def _of_float(digits: str) -> bool:
    """Whether a whole number is written as a float of 64 bits is: its shortest digits, then zeros."""
    return len(digits) <= LONGEST and number_text(repr(float(digits))) == digits


def _some(names: Sequence[str]) -> str:
    distinct = list(Counter(names))
    return ", ".join(map(shown, distinct[:NAMED])) + (f" and {len(distinct) - NAMED} more" if distinct[NAMED:] else "")
