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

from playbook.bases.licence_names import Ways, names_in, names_named, ways_of, ways_of_text
from playbook.data.text import shown
from playbook.spec import Base, TaskSpec

CARD = "README.md"
NO_LICENCE = {"", "not stated", "unknown", "none", "null", "other", "n/a", "na", "tbd", "todo", "?", "-", "unlicensed"}
MOST = 200_000  # bytes that are read of a card
HEADING = re.compile(r"^#+\s*[^\n]*licen[sc]e[^\n]*\n(.*?)(?=^#|\Z)", re.IGNORECASE | re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^\W*licen[sc]e\W*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Stated:
    """What a base states of its licence itself, and where; no ways where that names no licence that is known."""

    ways: Ways
    where: str
    says: str = ""  # the word in place of a licence, for example `other`

    @property
    def names(self) -> tuple[str, ...]:
        """Every licence that is named, once."""
        return names_in(self.ways)


def licence_fault(base: Base, allowed: Sequence[str], forbidden: Sequence[str] = ()) -> str:
    """Why the task may not use a base's licence, or nothing; without a list, any licence that is stated will do."""
    licence = base.licence.strip()
    if licence.casefold() in NO_LICENCE:
        return f"licence {licence or 'empty'!r}: expected one that is stated"
    usable = [way for way in ways_of(licence) if not way & _listed(forbidden)]
    if not usable:
        return f"licence {licence}: bake_off.forbidden_licences names it"
    if allowed and not any(way <= _listed(allowed) for way in usable):
        return f"licence {licence}: expected one of {', '.join(allowed)}"
    return ""


def _listed(licences: Sequence[str]) -> frozenset[str]:
    return frozenset(name for one in licences for name in names_in(ways_of(one)))


def card_fault(spec: TaskSpec, located: Path) -> str:
    """Why a base is out by what its own card says: a licence that the task file forbids; or nothing."""
    forbidden = _listed(spec.bake_off.forbidden_licences)
    for stated in stated_licences(located):
        if stated.ways and all(way & forbidden for way in stated.ways):
            named = names_in(way & forbidden for way in stated.ways)
            return f"licence {' or '.join(named)}, as {stated.where} says: bake_off.forbidden_licences names it"
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
    ways = ways_of(base.licence)
    for stated in stated_licences(located) if located is not None else ():
        says = " or ".join(" and ".join(map(shown, sorted(way))) for way in stated.ways)
        if stated.says:
            found.append(f"{name}: {stated.where} says only {shown(stated.says)} of its licence: read it")
        elif not says:
            found.append(f"{name}: {stated.where} is not a licence that is known by its words: read it")
        elif not any(holds <= way for holds in stated.ways for way in ways):
            found.append(
                f"{name}: the task file says licence {shown(base.licence)}, {stated.where} says {says}: find out which "
                "holds, and correct the task file or take another base"
            )
    return tuple(found)


def stated_licences(folder: Path) -> tuple[Stated, ...]:
    """What a base says of its licence: its card, and the LICENSE file beside it; they may differ.

    Without a card the file counts too whose words are not known; without both, the file of the package around it does.
    """
    card, beside = _card(folder / CARD), _licence_file(folder)
    if card is not None and card.ways:
        return (card, beside) if beside is not None and beside.ways else (card,)
    if card is not None and not (beside is not None and beside.ways):
        return (card,)
    around = (_licence_file(place) for place in _package_of(folder))
    found = beside or next((one for one in around if one is not None), None)
    return (found,) if found is not None else ()


def _licence_file(place: Path) -> Stated | None:
    """The licence files of a folder; those that are named by their licences, as LICENSE-MIT, offer a choice."""
    files = sorted(path for path in place.glob("LICEN[CS]E*") if path.is_file()) if place.is_dir() else []
    if not files:
        return None
    known = [(path.name, ways) for path in files if (ways := ways_of_text(_start_of(path)))]
    if not known:
        return Stated((), f"its file {files[0].name}")
    where = f"its file{'s' if len(known) > 1 else ''} {' and '.join(name for name, _ in known)}"
    if len(known) == 1 or all(_named_by_its_licence(name, ways) for name, ways in known):
        return Stated(tuple(way for _, ways in known for way in ways), where)
    return Stated((frozenset(name for _, ways in known for name in names_in(ways)),), where)


def _named_by_its_licence(file: str, ways: Ways) -> bool:
    words = re.split(r"[-_.]", Path(file).stem.casefold())[1:]
    return bool(words) and any(name.startswith(words[0]) for name in names_in(ways))


def _package_of(folder: Path) -> list[Path]:
    """Folders of an installed package around a base: its own, and where its distribution keeps the licence."""
    site = next((parent for parent in folder.parents if parent.name == "site-packages"), None)
    if site is None:
        return []
    top = site / folder.relative_to(site).parts[0]
    about = sorted(site.glob(f"{top.name}-*.dist-info"))
    return [top, *(place for one in about for place in (one, one / "licenses"))]


def _card(path: Path) -> Stated | None:
    """What a card says of the licence: in its front matter, else in a line or under a heading of its own."""
    text, where = _start_of(path), f"its card {CARD}"
    matter = re.match(r"\A\ufeff?\s*---\s*\n(.*?)\n(?:---|\.\.\.)\s*(?:\n|\Z)", text, flags=re.DOTALL)
    given = _given(matter.group(1)) if matter is not None else []
    if given and not all(one.casefold() in NO_LICENCE for one in given):
        lists = [ways_of(one) for one in given if one.casefold() not in NO_LICENCE]
        return Stated(
            lists[0] if len(lists) == 1 else (frozenset(name for one in lists for name in names_in(one)),), where
        )
    body = text[matter.end() :] if matter is not None else text
    written = [*LINE.findall(body)[:1], *HEADING.findall(body)[:1]]
    ways = next((found for one in written if (found := ways_of_text(one) or _sentence(one))), ())
    if ways:
        return Stated(ways, where)
    return Stated((), where, given[0]) if given else None


def _sentence(text: str) -> Ways:
    named = names_named(text[:1000])
    return (frozenset(named),) if named else ()


def _given(matter: str) -> list[str]:
    """The values of `license` in a card's front matter; of `other` its name beside it, where there is one."""
    try:
        said = yaml.safe_load(matter)
    except yaml.YAMLError:
        line = LINE.search(matter)
        return list(names_named(line.group(1))) if line is not None else []
    if not isinstance(said, dict):
        return []
    fields = {str(name).casefold(): value for name, value in said.items()}
    given = fields.get("license", fields.get("licence"))
    if isinstance(given, str) and given.strip().casefold() in NO_LICENCE:
        given = fields.get("license_name") or given
    values = given if isinstance(given, list) else [given]
    return [str(one).strip() for one in values if isinstance(one, str | float | int) and str(one).strip()]


def _start_of(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(MOST).decode("utf-8", errors="replace")
