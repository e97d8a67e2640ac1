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
    "self explanatory", "ditto", "test", "foo", "bar", "foo bar", "asdf", "abc", "qwerty", "lorem",
    "t b d", "t b c", "t b a", "wip", "work in progress", "in progress", "pending", "undefined", "not defined",
    "not yet defined", "not defined yet", "not written yet", "missing", "to follow", "none yet", "no description",
    "no definition", "text here", "insert text", "insert text here", "your text here", "description here",
    "description goes here", "enter description", "enter description here", "write description here",
}  # fmt: skip
# The same in other languages, as whole definitions: "pendiente de pago" is one.
_ABROAD = {
    # German
    "noch offen", "folgt", "folgt noch", "fehlt", "fehlt noch", "kommt noch", "noch zu definieren", "zu definieren",
    "noch zu ergänzen", "zu ergänzen", "wird ergänzt", "wird noch ergänzt", "wird nachgereicht", "in arbeit",
    "platzhalter", "beschreibung", "beschreibung folgt", "definition folgt", "keine beschreibung",
    "ohne beschreibung", "beschreibung fehlt", "noch keine beschreibung", "unklar", "k a", "keine angabe",
    # French
    "à compléter", "a compléter", "à definir", "à définir", "a définir", "à faire", "a faire", "à venir", "a venir",
    "à préciser", "à rédiger", "à remplir", "à déterminer", "en cours", "en attente", "non défini", "non définie",
    "sans description", "pas de description", "aucune description",
    # Spanish
    "pendiente", "por definir", "por completar", "por hacer", "a definir", "a completar", "sin definir",
    "sin descripción", "sin descripcion", "en proceso", "descripción", "descripcion", "falta",
    # Portuguese
    "por preencher", "a preencher", "pendente", "a fazer", "por fazer", "sem descrição", "descrição", "em curso",
    # Italian
    "da definire", "da completare", "da fare", "in lavorazione", "descrizione", "senza descrizione", "in sospeso",
    # Dutch
    "nog in te vullen", "in te vullen", "nader te bepalen", "nog te bepalen", "n t b", "volgt", "volgt nog",
    "beschrijving", "beschrijving volgt", "geen beschrijving",
    # Polish, Czech
    "do uzupełnienia", "do ustalenia", "brak", "brak opisu", "opis", "doplnit", "bude doplněno", "popis",
    # Danish, Norwegian, Swedish, Finnish
    "mangler", "kommer senere", "saknas", "kommer snart", "kommer", "ikke defineret", "ej definierad", "beskrivelse",
    "beskrivning", "puuttuu", "täydennetään", "kuvaus",
    # Russian, Ukrainian, Turkish
    "не определено", "уточняется", "будет дополнено", "описание", "в работе", "позже", "не визначено", "опис",
    "tanımlanacak", "eklenecek", "açıklama",
    # Chinese, Japanese, Korean
    "未定", "待定", "待补充", "待補充", "暂无", "暫無", "要確認", "準備中",
    "作成中", "記入予定", "後で記入", "미정", "추후", "작성 예정",
}  # fmt: skip
_EMPTY_WORDS = {"a", "an", "the", "class", "category", "label", "of", "for", "is", "this", "called", "named", "all"}


def is_placeholder(text: str) -> bool:
    """Whether a text stands where a definition is to be written."""
    plain = normal_form(text)
    words = comparison_words(plain.replace("_", " ").replace("/", " "))
    one_sign = len(set(words.replace(" ", ""))) <= 1  # "x", "???", "---"; also a single letter of a long alphabet
    marked = _MARK.match(plain) or _PLACE.fullmatch(words) or plain.endswith(UNWRITTEN)
    said = words.strip("<>$ ")  # <description>, ${description}
    return one_sign or said in _WORDS or said in _ABROAD or bool(marked)


def vague(name: str, text: str) -> bool:
    """Whether a definition of a class says no more than its name does, or nothing."""
    own = set(comparison_words(name.replace("_", " ").replace("-", " ")).split())
    said = set(comparison_words(text.replace("_", " ").replace("-", " ")).split())
    return is_placeholder(text) or not said - own - _EMPTY_WORDS


def vague_classes(classes: Mapping[str, str]) -> tuple[str, ...]:
    """Names of classes that are not really defined, in their order."""
    return tuple(name for name, text in classes.items() if vague(name, text))
