"""Licences of bases (1.6): what the task file says of them, what their own cards say, and who has allowed them.

A card is the `README.md` beside the weights, whose front matter may name a `license` as model hubs have it; a LICENSE
file is recognised by its first words. The task file's word is what counts; where it differs from card or file, or
nobody has said whether a licence may be used, that is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from playbook.data.text import shown
from playbook.spec import Base, TaskSpec

CARD = "README.md"
NO_LICENCE = {"", "not stated", "unknown", "none", "other"}
MOST = 200_000  # bytes that are read of a card
HEAD = 4_000  # characters of a licence in which its kind is looked for; what is appended is of other works
# Words by which a licence's text is recognised; the first of them in the text count, the narrower ones before others.
TEXTS: tuple[tuple[str, str], ...] = (
    (r"gnu affero general public license", "agpl-3.0"),
    (r"gnu lesser general public license\s+version 2\.1", "lgpl-2.1"),
    (r"gnu lesser general public license", "lgpl-3.0"),
    (r"gnu general public license\s+version 2", "gpl-2.0"),
    (r"gnu general public license", "gpl-3.0"),
    (r"mozilla public license,? version 2", "mpl-2.0"),
    (r"apache license,?\s+version 2\.0", "apache-2.0"),
    (r"attribution-noncommercial-sharealike 4\.0", "cc-by-nc-sa-4.0"),
    (r"attribution-noncommercial-noderivatives 4\.0", "cc-by-nc-nd-4.0"),
    (r"attribution-noncommercial 4\.0", "cc-by-nc-4.0"),
    (r"attribution-noderivatives 4\.0", "cc-by-nd-4.0"),
    (r"attribution-sharealike 4\.0", "cc-by-sa-4.0"),
    (r"attribution 4\.0", "cc-by-4.0"),
    (r"cc0 1\.0|creative commons zero", "cc0-1.0"),
    (r"llama\s*([\d.]+) community license", r"llama\1"),
    (r"openrail", "openrail"),
    (r"the unlicense|free and unencumbered software", "unlicense"),
    (r"redistribution and use in source and binary forms[\s\S]*neither the name", "bsd-3-clause"),
    (r"redistribution and use in source and binary forms", "bsd-2-clause"),
    (r"permission is hereby granted, free of charge", "mit"),
    (r"permission to use, copy, modify,? and(?:/or)? distribute", "isc"),
)
ALIASES = {
    "gnu-general-public": "gpl", "gnu-lesser-general-public": "lgpl", "gnu-affero-general-public": "agpl", "gnu-": "",
    "mozilla-public": "mpl", "apache2": "apache-2", "bsd3": "bsd-3", "bsd2": "bsd-2", "new-bsd": "bsd-3",
    "creative-commons-zero": "cc0", "creative-commons-": "cc-by-", "cc-by-attribution": "cc-by",
    "noncommercial": "nc", "sharealike": "sa", "noderivatives": "nd",
}  # fmt: skip
SILENT = {"the", "license", "licence", "version", "software", "only", "or", "later", "international"}  # in a name


@dataclass(frozen=True)
class Stated:
    """Licences that a base states itself, in one spelling, and where; of a text that is not recognised, none."""

    names: tuple[str, ...]
    where: str


def licence_name(text: str) -> str:
    """One spelling of a licence's name: `Apache 2.0`, `apache-2.0` and `Apache License, Version 2.0` are one."""
    words = re.split(r"[\s_,/()-]+", text.strip().casefold().rstrip("."))
    name = "-".join(word for word in dict.fromkeys(words) if word and word not in SILENT) or text.strip().casefold()
    for spelling, short in ALIASES.items():
        name = name.replace(spelling, short)
    name = re.sub(r"(?<=[a-z-])v(?=\d)", "", name)  # gplv3, gpl-v3
    name = re.sub(r"^llama-?(\d[\d.]*)(-community)?$", r"llama\1", name)
    name = re.sub(r"^((?:a|l)?gpl|bsd)(?=\d)", r"\1-", name)
    name = re.sub(r"^bsd-([23])$", r"bsd-\1-clause", name)
    name = re.sub(r"^cc0(-1(\.0)?)?(-universal)?$", "cc0-1.0", name)
    return re.sub(r"^((?:a|l)?gpl|apache|mpl|cc-by[a-z-]*)-(\d)$", r"\1-\2.0", name)


def licence_fault(base: Base, allowed: Sequence[str], forbidden: Sequence[str] = ()) -> str:
    """Why the task may not use a base's licence, or nothing; without a list, any licence that is stated will do."""
    licence = base.licence.strip()
    if licence.casefold() in NO_LICENCE:
        return f"licence {licence or 'empty'!r}: expected one that is stated"
    name = licence_name(licence)
    if name in {licence_name(one) for one in forbidden}:
        return f"licence {licence}: bake_off.forbidden_licences names it"
    if allowed and name not in {licence_name(one) for one in allowed}:
        return f"licence {licence}: expected one of {', '.join(allowed)}"
    return ""


def card_fault(spec: TaskSpec, located: Path) -> str:
    """Why a base is out by what its own card says: a licence that the task file forbids; or nothing."""
    forbidden = {licence_name(one) for one in spec.bake_off.forbidden_licences}
    for stated in stated_licences(located):
        for name in stated.names:
            if name in forbidden:
                return f"licence {name}, as {stated.where} says: bake_off.forbidden_licences names it"
    return ""


def licence_findings(spec: TaskSpec, base: Base, name: str, located: Path | None) -> tuple[str, ...]:
    """What somebody should look at in a base's licence; it decides nothing.

    Args:
        spec: the task.
        base: one of its bases.
        name: how messages call it.
        located: the folder that the base comes from, where it is on this machine.
    """
    found = []
    said = spec.decision.base_licences_allow_use
    if not spec.bake_off.licences and said is None and not licence_fault(base, (), spec.bake_off.forbidden_licences):
        found.append(
            f"{name}: licence {shown(base.licence)} is neither allowed nor forbidden: name it in bake_off.licences or "
            "bake_off.forbidden_licences, or answer decision.base_licences_allow_use"
        )
    for stated in stated_licences(located) if located is not None else ():
        says = " and ".join(shown(one) for one in stated.names)
        if not says:
            found.append(f"{name}: {stated.where} is no licence that is known by its words: read it")
        elif licence_name(base.licence) not in stated.names:
            found.append(
                f"{name}: the task file says licence {shown(base.licence)}, {stated.where} says {says}: find out which "
                "holds, and correct the task file or take another base"
            )
    return tuple(found)


def stated_licences(folder: Path) -> tuple[Stated, ...]:
    """What a base says of its licence: its card, and the LICENSE file beside it; they may differ.

    Without a card the file counts too whose words are not known; without both, the file of the package around it does.
    """
    names = _card_names(_start_of(folder / CARD))
    card = (Stated(names, f"its card {CARD}"),) if names else ()
    beside = _licence_file(folder)
    if card:
        return (*card, beside) if beside is not None and beside.names else card
    around = (_licence_file(place) for place in _package_of(folder))
    found = beside or next((one for one in around if one is not None), None)
    return (found,) if found is not None else ()


def _licence_file(place: Path) -> Stated | None:
    files = sorted(path for path in place.glob("LICEN[CS]E*") if path.is_file()) if place.is_dir() else []
    return Stated(recognised(_start_of(files[0])), f"its file {files[0].name}") if files else None


def _package_of(folder: Path) -> list[Path]:
    """Folders of an installed package around a base: its own, and where its distribution keeps the licence."""
    site = next((parent for parent in folder.parents if parent.name == "site-packages"), None)
    if site is None:
        return []
    top = site / folder.relative_to(site).parts[0]
    about = sorted(site.glob(f"{top.name}-*.dist-info"))
    return [top, *(place for one in about for place in (one, one / "licenses"))]


def recognised(licence: str) -> tuple[str, ...]:
    """The name of a licence, by its text; nothing where its words are not known."""
    text = re.sub(r"\s+", " ", licence.casefold())
    found = [
        (match.start(), at, match.expand(name))
        for at, (words, name) in enumerate(TEXTS)
        if (match := re.search(words, text[:HEAD]))
    ]
    return (min(found)[2],) if found else ()


def _card_names(text: str) -> tuple[str, ...]:
    """The licences of a card's front matter; none where it has no such lines, or says only `other`."""
    matter = re.match(r"\A\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", text, flags=re.DOTALL)
    if matter is None:
        return ()
    try:
        said = yaml.safe_load(matter.group(1))
    except yaml.YAMLError:
        return ()
    if not isinstance(said, dict):
        return ()
    given = said.get("license", said.get("licence"))
    if isinstance(given, str) and given.casefold() == "other":
        given = said.get("license_name")
    names = given if isinstance(given, list) else [given]
    return tuple(licence_name(str(name)) for name in names if name and str(name).casefold() not in NO_LICENCE)


def _start_of(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(MOST).decode("utf-8", errors="replace")
