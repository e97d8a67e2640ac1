"""Whether a class is defined, or only has a place for a definition: TODO, one character, its own name (3.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from playbook.data.text import comparison_words
from playbook.names import normal_form

UNWRITTEN = "its meaning is not written down yet."  # ends what retraining writes of a class that it found
# In capitals: "todo" begins sentences in Spanish and Portuguese.
_MARK = re.compile(r"\W*(?:TODO|TO DO|TB[DCA]|FIXME|XXX+(?!-?\w))\b|\W*(?:todo|tb[dca]|fixme)\s*[:(\u2013-]", re.ASCII)
# What follows must be more of the same: "to be added to the mailing list" and "fill in forms for me" are definitions.
_LATER = r"(?: (?:later|soon|here|yet|now|asap|by|when|once|until|please|in|with the)\b.*)?"
_PLACE = re.compile(
    r"lorem ipsum\b.*|(?:place ?holder|to be (?:defined|done|decided|written|determined|added|completed)|coming soon"
    rf"|fill (?:this |me )?in|write me|add (?:a )?(?:definition|description)){_LATER}"
)
_WORDS = {
    "", "todo", "to do", "tbd", "tbc", "tba", "fixme", "n a", "na", "none", "nil", "null", "nothing", "empty",
    "unknown", "description", "definition", "meaning", "text", "desc", "a description", "the description",
    "class description", "label description", "see name", "see its name", "see above", "same as name",
    "self explanatory", "ditto", "test", "foo", "bar", "foo bar", "asdf",
}  # fmt: skip
_EMPTY_WORDS = {"a", "an", "the", "class", "category", "label", "of", "for", "is", "this", "called", "named", "all"}


def is_placeholder(text: str) -> bool:
    """Whether a text stands where a definition is to be written."""
    plain = normal_form(text)
    words = comparison_words(plain.replace("_", " ").replace("/", " "))
    one_sign = len(set(words.replace(" ", ""))) <= 1  # "x", "???", "---"; also a single letter of a long alphabet
    marked = _MARK.match(plain) or _PLACE.fullmatch(words) or plain.endswith(UNWRITTEN)
    return one_sign or words in _WORDS or bool(marked)


def vague(name: str, text: str) -> bool:
    """Whether a definition of a class says no more than its name does, or nothing."""
    own = set(comparison_words(name.replace("_", " ").replace("-", " ")).split())
    said = set(comparison_words(text.replace("_", " ").replace("-", " ")).split())
    return is_placeholder(text) or not said - own - _EMPTY_WORDS


def vague_classes(classes: Mapping[str, str]) -> tuple[str, ...]:
    """Names of classes that are not really defined, in their order."""
    return tuple(name for name, text in classes.items() if vague(name, text))
