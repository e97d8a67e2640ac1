"""Forms of a text: the normalised one that is kept, and the ones in which two texts are compared."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SHOWN = 60  # characters of a value from the data in a message


class _Dropped(dict[int, str | None]):
    """Translation table that fills itself: letters, marks, numbers and symbols stay, the rest becomes `instead`."""

    def __init__(self, instead: str) -> None:
        self.instead = instead

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LMNS" else self.instead
        return self[code]


_CLOSED = _Dropped("")
_SPACED = _Dropped(" ")


def clean_text(text: str) -> str:
    """Unicode NFC, without control characters or halves of surrogate pairs, blanks collapsed."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(text.split())


# Letters, marks and symbols that show nothing: fillers, the grapheme joiner, variation selectors (Unicode's property
# Default_Ignorable_Code_Point), and the empty Braille cell.
_UNSEEN = frozenset(map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10),
                              *range(0x180B, 0x1810), *range(0xE0100, 0xE01F0))))  # fmt: skip


# What a spreadsheet writes where a formula failed, in English, German and French; the value itself is lost.
_ERROR = re.compile(r"#(?:N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|NV|WERT!|BEZUG!|ZAHL!|VALEUR!|NOM\?|NOMBRE!)")


def is_spreadsheet_error(text: str) -> bool:
    """Whether a value is what a spreadsheet writes where a formula failed, such as a lookup without a match."""
    return _ERROR.fullmatch(text) is not None


def is_blank(text: str) -> bool:
    """Whether a text has nothing to read: no letter, mark, number, punctuation or symbol that can be seen."""
    return not any(unicodedata.category(one)[0] in "LMNPS" and one not in _UNSEEN for one in text)


# Blocks of pictures; the symbols between them (frames, arrows, currency, copyright) are not a message by themselves,
# unless a variation selector makes a picture of one.
_EMOJI = re.compile(
    "[\u203c\u2049\u20e3\u231a\u231b\u23e9-\u23fa\u25b6\u25c0\u2600-\u27bf\u2b50\u2b55\u3297\u3299\U0001f000-\U0001faff]"
    "|[^\\d#*\\s]\ufe0f"
)
_LONGEST_EMOTICON = 20  # a longer run of signs is a line of decoration
_EYES, _MOUTH = ">?[:;=]", r"[()\[\]{}|/\\*<]+"
_EMOTICON = re.compile(
    rf"{_EYES}[-^o'*]*{_MOUTH}|{_MOUTH}[-^o'*]*{_EYES}|8-[()]+|<3+|</3|\^[_.-]*\^|-[_.]+-|\(\^.{{0,2}}\^\)"
)
_LETTERED = re.compile(r"[:;=][-^']*[a-z]|[a-z][-^']*[:;=]")  # :D and D: are opposites
# Faces made of signs: two eyes that are alike or turn to each other, and a mouth between them.
_EYE = r"[^\w\s\"'()\[\]{}|,]"
_FACE = re.compile(rf"({_EYE})_{{1,3}}\1(?!\1)|>[_.]{{1,3}}<|\^[_.-]\^|[/;]_[/;]")
# Between brackets, where a face is likely, any mouth will do, if not all of it is ASCII.
_BETWEEN_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}\w]|_){3,12}[)\]}]")
_STRANGE_FACE = re.compile(r"([^\w\s])(?!\1)(?:[^\w\s]|_){1,3}\1")


# Punctuation that changes what a text says. To keep too much here only makes an exact duplicate a near one.
_TYPED = str.maketrans("\u2018\u2019\u201c\u201d\u2010\u2011\u2212", "''\"\"---")
_MEANS = re.compile(
    r">?[:;=][-^o'*,\"~]{0,2}(?:[()\[\]{}|\\*<>]{1,3}|/(?!/))"  # :) ;-( :'( :/
    r"|[:;=] [()]+(?!\S)|[()]{1,3}[-^o'*]{0,2}[:;=](?![\w/])"  # : ) and (:
    r"|(?<!\w)(?:[:;=][-^']{0,2}[dpc]|[dc][-^']{0,2}[:;=])(?!\w)"  # :D and D:
    r"|(?<![\w.])8-?[()]+(?!\w)|</3|-_{1,3}-"
    r"|\d[.,](?=\d)|(?<!\w)-(?=\d)"  # 1.5 and -5
)
_MAY_MEAN = re.compile(r"[:;=]|8-?[()]|</3|-_|\d[.,]\d|-\d")


def says_something(text: str) -> bool:
    """Whether a text has a letter of any script, an emoji, an emoticon or a face made of signs."""
    if any(one.isalpha() for one in text):
        return True
    words = (word for word in text.split() if len(word) <= _LONGEST_EMOTICON)
    return _EMOJI.search(text) is not None or any(map(_EMOTICON.fullmatch, words)) or _has_face(text)


def _has_face(text: str) -> bool:
    """Whether a short text without letters is a face such as (>_<) or (╯°□°)╯."""
    if len(text) > 2 * _LONGEST_EMOTICON:
        return False
    for form in (text, unicodedata.normalize("NFKC", text)):
        if _FACE.search(form):
            return True
        for inside in _BETWEEN_BRACKETS.finditer(form):
            if not inside[0].isascii() and _STRANGE_FACE.search("".join(inside[0][1:-1].split())):
                return True
    return False


def comparison_key(text: str) -> str:
    """What two forms of one text have in common: casefolded, without punctuation and blanks.

    A text of punctuation alone is its own key, without blanks, and so is one of emoticons: ":)" is no copy of ":(".
    Ledgers keep hashes of this key, so that it stays as it is; `duplicate_key` tells more texts apart.
    """
    folded = unicodedata.normalize("NFC", text.casefold())
    key = folded.translate(_CLOSED)
    return "".join(folded.split()) if not key or _is_emoticons(folded) else key


@lru_cache(maxsize=1 << 16)
def duplicate_key(text: str) -> str:
    """What two exact duplicates have in common: `comparison_key`, and the punctuation that changes what a text says.

    "I like it :)" is no copy of "I like it :(", nor "it is -5.2 here" of "it is 52 here".
    """
    key = comparison_key(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_TYPED)  # full-width signs are signs
    return key if _MAY_MEAN.search(text) is None else "\0".join((key, *_MEANS.findall(text.casefold())))


def _is_emoticons(folded: str) -> bool:
    """Whether a casefolded text is one emoticon or some."""
    if len(folded) > _LONGEST_EMOTICON:
        return False
    return all(_EMOTICON.fullmatch(word) or _LETTERED.fullmatch(word) for word in folded.split())


def comparison_words(text: str) -> str:
    """Casefolded text without punctuation, words one blank apart: near duplicates are measured on it."""
    folded = unicodedata.normalize("NFC", text.casefold())
    return " ".join((folded if _is_emoticons(folded) else folded.translate(_SPACED)).split())


def shown(value: str) -> str:
    """A value from the data as it may stand in a message: one printable line, cut. Pages escape it as any text."""
    flat = " ".join(
        "".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in value).split()
    )
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
