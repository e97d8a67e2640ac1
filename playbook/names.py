"""The one form of a name: of classes, labels, columns, ids, groups, split names, and values that rows are sliced by.

Two names are the same where their normal forms are. The form takes away what nobody can see, and nothing else:

- Unicode NFC (Unicode Standard Annex 15), so that "é" is one character, whichever way a file spells it;
- outer blanks go, and a run of blanks inside becomes one blank; no-break, thin and ideographic blanks, tabs and line
  breaks are blanks;
- characters without a width go: zero-width blanks, byte order marks, soft hyphens, marks of direction, controls. The
  two joiners go at the ends of a word alone: inside they change what is seen (Persian words, emoji of several parts).
  At its end, one joiner stays where it shapes the letter before it: after a virama (Malayalam chillus, Sinhala), and
  after an Arabic letter.

Case, punctuation and compatibility forms ("ﬁ", full-width letters) stay: they can be seen, and two names that differ in
them may be meant to.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_JOINER = "\u200d"
_JOINERS = f"\u200c{_JOINER}"
_VIRAMA = 9  # combining class
_UNSEEN = dict.fromkeys(
    (0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
)
NEAR = 0.7  # of difflib's ratio, from which one name may be meant by another: one letter in four is wrong


def normal_form(name: str) -> str:
    """The form in which names are compared, kept and shown; half a surrogate pair becomes U+FFFD."""
    if name.isascii() and name.isprintable() and "  " not in name and name[:1] != " " and name[-1:] != " ":
        return name
    return _normal_form(name)


@lru_cache(maxsize=1 << 14)
def _normal_form(name: str) -> str:
    name = "".join(c for c in name if c.isspace() or unicodedata.category(c) != "Cc")
    if not name.isascii():  # what is unseen goes first: it may part a letter from its accent
        name = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace").translate(_UNSEEN)
        name = unicodedata.normalize("NFC", name)
    return " ".join(filter(None, map(_without_outer_joiners, name.split())))


def _without_outer_joiners(word: str) -> str:
    bare = word.strip(_JOINERS)
    last = bare[-1:]
    shaped = last and (unicodedata.combining(last) == _VIRAMA or unicodedata.bidirectional(last) == "AL")
    return f"{bare}{_JOINER}" if shaped and _JOINER in word[word.rfind(last) :] else bare


def normal_forms(names: Iterable[str]) -> tuple[str, ...]:
    """The normal form of each."""
    return tuple(map(normal_form, names))


def spelled_twice(names: Iterable[str]) -> list[list[str]]:
    """Names of one normal form that are spelled in several ways, each group in the order given."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(normal_form(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def near_name(name: str, known: Iterable[str]) -> str:
    """The known name that is probably meant, whatever its case and the marks between words; '' where none is near."""
    by_key: dict[str, str] = {}
    for one in known:
        by_key.setdefault(_loose(one), one)
    near = difflib.get_close_matches(_loose(name), by_key, n=1, cutoff=NEAR)
    return by_key[near[0]] if near else ""


def _loose(name: str) -> str:
    return " ".join(normal_form(name).casefold().replace("_", " ").replace("-", " ").split())
