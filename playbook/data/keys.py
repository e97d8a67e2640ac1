"""Keys that repeat inside of texts: numbers of customers, orders or accounts, mail addresses, mentions (3.3).

Rows that name one customer belong together, but only a group column says so. Where many texts carry such keys and no
group is named, the same customers are on two sides of the split, and a model is tested on people whom it knows.

A key is known by its kind: the letters around its digits ("C-9"), or the word before a bare number ("customer 9").
Amounts, decimals, percentages, times of day, years, counts ("for 150 people") and measures ("20kg", "12th") are no
keys. Nor are numbers of things that many people share: error codes, versions, models, pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_VALUES = 10  # of a kind that occur in two rows or more
LEAST_SHARE = 0.05  # of all rows that carry such a value
FEWEST_DIGITS, LONG_NUMBER = 2, 5
LETTERS, LONGEST = 12, 40  # characters of the letters around digits that name a kind; of a key at all
DIGITS = "numbers of "  # begins the kind of numbers without a word or a letter
SHARED = frozenset(
    ("error", "fault", "code", "errors", "version", "v", "model", "page", "line", "step", "room", "chapter", "article")
)
NAMING = frozenset(("id", "no", "nr", "number", "nummer", "customer", "account", "user", "client", "patient", "kunde"))
BARE = frozenset(("id 9", "no 9", "nr 9", "number 9"))  # kinds that do not say whose number it is
COUNTING = frozenset((
    "a", "about", "after", "all", "almost", "an", "and", "around", "at", "be", "before", "by", "cost", "costs", "every",
    "exactly", "for", "from", "in", "is", "just", "last", "least", "most", "my", "nearly", "next", "of", "on", "only",
    "or", "over", "paid", "past", "per", "since", "than", "the", "these", "those", "till", "to", "under", "until", "up",
    "was", "were", "with", "within",
))  # fmt: skip
_MEASURE = re.compile(r"\d{1,4}[^\W\d_]{1,3}")
_GROUPED = re.compile(  # an IBAN, or a number written in groups of three: one key, not several
    r"(?<!\w)[A-Z]{2}\d{2}(?: [A-Z\d]{4}){3,7}(?: [A-Z\d]{1,3})?(?!\w)"
    r"|(?<![\w.,$€£¥])\d{2,3}(?:\.\d{3}){2,}(?![\w.,]\d|[\w€%])"
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_MENTION = re.compile(r"(?<![\w@.])@\w+")
_TOKEN = re.compile(
    r"(?:\b([^\W\d]+)[\s:=.(]{1,3}(?:(no|nr|number|id|is)\b[\s.:]{1,2})?)?"  # the words before it
    r"(?<![\w$€£¥.,:/-])(\#?)([\w-]*\d[\w-]*)(?![\w%€£$]|[.,:/]\d)",
    re.IGNORECASE,
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
    found, covered = [], set[int]()
    for kind in sorted(seen, key=lambda one: (one.startswith(DIGITS), one in BARE, one)):  # what has a name comes first
        repeated = {value: rows for value, rows in seen[kind].items() if len(set(rows)) > 1}
        rows = {at for own in repeated.values() for at in own}
        if len(repeated) < LEAST_VALUES or len(rows - covered) < LEAST_SHARE * len(texts):
            continue
        covered |= rows
        across = [value for value, own in repeated.items() if len({sides[at] for at in own}) > 1]
        if across:
            found.append(RepeatedKey(kind, len(repeated), len(across), across[0], len(rows)))
    return sorted(found, key=lambda one: -one.rows)


def keys_in(text: str) -> list[tuple[str, str]]:
    """Kind and value of what may be a key in a text."""
    found = []
    if "@" in text:
        found += [("mail address", value.casefold()) for value in _MAIL.findall(text)]
        text = _MAIL.sub(" ", text)
        found += [("mention", value.casefold()) for value in _MENTION.findall(text)]
    if any(map(str.isdigit, text)):
        grouped = [re.sub(r"[ .]", "", value) for value in _GROUPED.findall(text)]
        found += [("numbers in groups", value) for value in grouped]
        text = _GROUPED.sub(" ", text) if grouped else text
        for match in _TOKEN.finditer(text):
            kinds = _kinds(match[1] or "", match[3] or "", match[4].strip("-_"))
            called = f"{(match[2] or '').casefold()} 9"  # "the courier (id: 382)"
            found += [*kinds, *((called, value) for kind, value in kinds[:1] if called in BARE and kind != called)]
    return found


def _kinds(word: str, sign: str, value: str) -> list[tuple[str, str]]:
    """What a run of letters and digits may be: by the word before it, its number sign, its letters or its length."""
    digits = sum(map(str.isdigit, value))
    word = word.casefold()
    if digits < FEWEST_DIGITS or len(value) > LONGEST or word in SHARED or _YEAR.fullmatch(value):
        return []
    if _MEASURE.fullmatch(value):
        return []
    if digits < len(value.replace("-", "").replace("_", "")):
        letters = re.sub(r"[\d_-]*\d", "9", value)
        return [(letters if len(letters) <= LETTERS else "codes of letters and digits", value)]
    if sign:
        return [("#9", value)]
    named = [(f"{word} 9", value)] if word in NAMING or (word not in ("", *COUNTING) and digits > FEWEST_DIGITS) else []
    return named + ([(f"{DIGITS}{digits} digits", value)] if digits >= LONG_NUMBER else [])
