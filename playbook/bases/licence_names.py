"""Names of licences in one spelling, and licences recognised by their texts (1.6).

A way is a set of licences that hold together; where a licence says `MIT OR Apache-2.0`, there are two of them, and who
uses the base chooses (https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Ways = tuple[frozenset[str], ...]  # of each way, the names of all licences that it is bound by

HEAD = 4_000  # characters of a licence in which its kind is looked for; what is appended is of other works
CHOICE = 600  # characters in which a text says that one may choose
BRIEF = 300  # characters: a text as short as this names its licence instead of quoting it
# Words by which a licence's text is recognised; the first of them in the text count, the narrower ones before others.
TEXTS: tuple[tuple[str, str], ...] = (
    (r"gnu affero general public license", "agpl-3.0"),
    (r"gnu lesser general public license\s+version 2\.1", "lgpl-2.1"),
    (r"gnu lesser general public license", "lgpl-3.0"),
    (r"gnu general public license\s+version 2", "gpl-2.0"),
    (r"gnu general public license", "gpl-3.0"),
    (r"mozilla public license,? version 2", "mpl-2.0"),
    (r"apache license,?\s+version 2\.0", "apache-2.0"),
    (r"attribution-noncommercial-sharealike (\d\.\d)", r"cc-by-nc-sa-\1"),
    (r"attribution-noncommercial-noderiv(?:ative)?s (\d\.\d)", r"cc-by-nc-nd-\1"),
    (r"attribution-noncommercial (\d\.\d)", r"cc-by-nc-\1"),
    (r"attribution-noderiv(?:ative)?s (\d\.\d)", r"cc-by-nd-\1"),
    (r"attribution-sharealike (\d\.\d)", r"cc-by-sa-\1"),
    (r"attribution (\d\.\d)", r"cc-by-\1"),
    (r"cc0 1\.0|creative commons zero", "cc0-1.0"),
    (r"llama\s*([\d.]+) community license", r"llama\1"),
    (r"gemma terms of use", "gemma"),
    (r"open ?rail", "openrail"),
    (r"the unlicense|free and unencumbered software", "unlicense"),
    (r"redistribution and use in source and binary forms[\s\S]*neither the name", "bsd-3-clause"),
    (r"redistribution and use in source and binary forms", "bsd-2-clause"),
    (r"permission is hereby granted, free of charge", "mit"),
    (r"permission to use, copy, modify,? and(?:/or)? distribute", "isc"),
)
# Names of licences as people write them in a sentence.
NAMED = re.compile(
    r"(?<![\w-])(?:apache(?: software)?(?: license)?,?[ -]?(?:version |v)?2(?:\.0)?|mit(?= |-|,|\.|\)|$)|"
    r"(?:gnu )?[al]?gpl[ -]?v?[23](?:\.\d)?(?:-only|-or-later)?|cc[ -]by(?:[ -](?:nc|sa|nd))*[ -]v?\d\.\d|"
    r"cc0(?:[ -]1\.0)?|bsd[ -][23][ -]clause|mpl[ -]?v?2(?:\.0)?|openrail(?:\+\+)?|llama[ -]?\d[\d.]*\d?)",
    re.IGNORECASE,
)
ALIASES = {
    "gnu-general-public": "gpl", "gnu-lesser-general-public": "lgpl", "gnu-affero-general-public": "agpl", "gnu-": "",
    "mozilla-public": "mpl", "apache2": "apache-2", "asl-": "apache-", "bsd3": "bsd-3", "bsd2": "bsd-2",
    "new-bsd": "bsd-3", "modified-bsd": "bsd-3", "3-clause-bsd": "bsd-3", "simplified-bsd": "bsd-2",
    "freebsd": "bsd-2", "2-clause-bsd": "bsd-2", "expat": "mit", "creative-commons-zero": "cc0",
    "creative-commons-": "cc-by-", "cc-by-attribution": "cc-by", "cc-by-by": "cc-by", "noncommercial": "nc",
    "non-commercial": "nc",
    "sharealike": "sa", "share-alike": "sa", "noderivatives": "nd", "no-derivatives": "nd", "meta-llama": "llama",
    "gemma-terms-of-use": "gemma",
}  # fmt: skip
# Words of a name that tell no two licences apart.
SILENT = {"the", "license", "licence", "licensed", "version", "software", "only", "or", "later", "international",
          "agreement", "january", "2004", "unported"}  # fmt: skip
COMMON = re.compile(
    r"mit|isc|unlicense|apache-2\.0|mpl-2\.0|cc0-1\.0|[al]?gpl-\d\.\d|bsd-[23]-clause|cc-by(-nc|-sa|-nd)*-\d\.\d|"
    r"llama\d[\d.]*|gemma|openrail"
)


def licence_name(text: str) -> str:
    """One spelling of a licence's name: `Apache 2.0`, `apache-2.0` and `Apache License, Version 2.0` are one."""
    words = re.split(r"[\s_,/()-]+", text.strip().casefold().rstrip(".+"))
    name = "-".join(word for word in dict.fromkeys(words) if word and word not in SILENT) or text.strip().casefold()
    for spelling, short in ALIASES.items():
        name = name.replace(spelling, short)
    name = re.sub(r"(?<=[a-z-])v(?=\d)", "", name)  # gplv3, gpl-v3
    name = re.sub(r"^llama-?(\d[\d.]*)(-community)?$", r"llama\1", name)
    name = re.sub(r"^((?:a|l)?gpl|bsd)(?=\d)", r"\1-", name)
    name = re.sub(r"^bsd-([23])$", r"bsd-\1-clause", name)
    name = re.sub(r"^cc0(-1(\.0)?)?(-universal)?$", "cc0-1.0", name)
    return re.sub(r"^((?:a|l)?gpl|apache|mpl|cc-by[a-z-]*)-(\d)$", r"\1-\2.0", name)


def ways_of(expression: str) -> Ways:
    """The ways in which a licence may be used: `MIT OR Apache-2.0` has two, `MIT AND CC-BY-4.0` one with both.

    A licence that is `or later` is one licence, and so is whatever has no licences that are common on both sides.
    """
    plain = re.sub(r"\s+with\s+[\w.-]*exception[\w.-]*", "", expression, flags=re.IGNORECASE).strip().strip("()")
    choices = _parts(plain, r"\s+or\s+(?!later|newer|any\b)") or _parts(plain, r"\s*[/|]\s*") or [plain]
    return tuple(frozenset(map(licence_name, _parts(one, r"\s+and\s+|\s*&\s*") or [one])) for one in choices)


def _parts(text: str, between: str) -> list[str]:
    """The parts of an expression, if there are several and each is a licence that is common."""
    parts = [part.strip().strip("()") for part in re.split(between, text, flags=re.IGNORECASE)]
    names = [name for part in parts for name in (re.split(r"\s+and\s+", part, flags=re.IGNORECASE))]
    return parts if len(parts) > 1 and all(COMMON.fullmatch(licence_name(name)) for name in names) else []


def names_in(ways: Iterable[frozenset[str]]) -> tuple[str, ...]:
    """Every licence of these ways, once."""
    return tuple(dict.fromkeys(name for way in ways for name in sorted(way)))


def recognised(licence: str) -> tuple[str, ...]:
    """The names of a licence, by its text; nothing where its words are not known."""
    return names_in(ways_of_text(licence))


def ways_of_text(licence: str) -> Ways:
    """The ways in which a licence may be used, by its text; nothing where its words are not known."""
    said = re.search(r"spdx-license-identifier:\s*([^\n*]+)", licence[:HEAD], flags=re.IGNORECASE)
    if said is not None:
        return ways_of(said.group(1))
    text = re.sub(r"\s+", " ", licence.casefold()).strip()
    if re.search(r"dual.?licen[sc]ed|at your option|\beither\b", text[:CHOICE]):
        named = names_named(text[:CHOICE])
        if len(named) > 1:
            return tuple(frozenset([name]) for name in named)
    found = [
        (match.start(), at, match.expand(name))
        for at, (words, name) in enumerate(TEXTS)
        if (match := re.search(words, text[:HEAD]))
    ]
    if found:
        return (frozenset([min(found)[2]]),)
    brief = names_named(text) if len(text) <= BRIEF else ()
    return (frozenset(brief),) if brief else ()


def names_named(text: str) -> tuple[str, ...]:
    """Licences that a sentence names, in one spelling."""
    return tuple(dict.fromkeys(licence_name(match.group()) for match in NAMED.finditer(text)))
