"""Keys that repeat inside of texts: numbers of customers, orders or accounts, mail addresses, mentions (3.3).

Rows that name one customer belong together, but only a group column says so. Where many texts carry such keys and no
group is named, the same customers are on two sides of the split, and a model is tested on people whom it knows.

A key is known by its kind: the letters around its digits ("C-9"), or the word before a bare number ("customer 9").
Amounts, decimals, percentages, times of day and years are no keys. Nor are numbers of things that many people share:
error codes, versions, models, pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_VALUES = 10  # of a kind that occur in two rows or more
LEAST_SHARE = 0.05  # of all rows that carry such a value
SHARED = frozenset(
    ("error", "fault", "code", "errors", "version", "v", "model", "page", "line", "step", "room", "chapter", "article")
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_MENTION = re.compile(r"(?<![\w@.])@\w+")
_TOKEN = re.compile(
    r"(?:(\w+)[\s:=#.(]{1,3}(?:(?:no|nr|number|id|is)[\s.:#]{1,2})?)?(?<![\w$€£¥.,:/-])([\w-]*\d[\w-]*)(?![\w%€£$]|[.,:/]\d)",
    re.I,
)
_YEAR = re.compile(r"(?:19|20)\d\d(?:-\d\d){0,2}")


@dataclass(frozen=True)
class RepeatedKey:
    """One kind of key: how many of its values occur in two rows or more, and how many of those on two sides."""

    kind: str
    values: int
    across: int
    example: str
    rows: int  # that carry such a value


def repeated_keys(texts: Sequence[str], sides: Sequence[str]) -> list[RepeatedKey]:
    """Kinds of keys whose values lie on two sides, the ones with most rows first.

    Args:
        texts: of all rows.
        sides: the split of each.
    """
    seen: dict[str, dict[str, list[int]]] = {}
    for at, text in enumerate(texts):
        for kind, value in keys_in(text):
            seen.setdefault(kind, {}).setdefault(value, []).append(at)
    found = []
    for kind, values in seen.items():
        repeated = {value: rows for value, rows in values.items() if len(set(rows)) > 1}
        rows = {at for own in repeated.values() for at in own}
        across = [value for value, own in repeated.items() if len({sides[at] for at in own}) > 1]
        if len(repeated) >= LEAST_VALUES and len(rows) >= LEAST_SHARE * len(texts) and across:
            found.append(RepeatedKey(kind, len(repeated), len(across), across[0], len(rows)))
    return sorted(found, key=lambda one: -one.rows)


def keys_in(text: str) -> list[tuple[str, str]]:
    """Kind and value of what may be a key in a text."""
    found = []
    if "@" in text:
        found += [("mail address", value.casefold()) for value in _MAIL.findall(text)]
        text = _MAIL.sub(" ", text)
        found += [("mention", value.casefold()) for value in _MENTION.findall(text)]
    if not any(map(str.isdigit, text)):
        return found
    for match in _TOKEN.finditer(text):
        word, value = (match[1] or "").casefold(), match[2].strip("-_")
        digits = sum(map(str.isdigit, value))
        if digits < 2 or _YEAR.fullmatch(value) or word in SHARED or len(value) > 40:
            continue
        bare = digits == len(value.replace("-", ""))
        if bare and (digits < 3 or not word):
            continue
        letters = re.sub(r"[\d-]*\d", "9", value)
        if not bare and len(letters) > 12:  # a hash or a UUID: letters and digits mixed
            letters = "long code"
        found.append((f"{word} {letters}" if bare else letters, value))
    return found
