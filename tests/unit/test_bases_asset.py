"""Play 2 as an asset: when it has nothing to do, what its result depends on, and where a chosen base lies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from adapt_samples import LABELS
from report_samples import dataset_for, score, spec_for
from tiny_base import tiny_spec, write_tiny_base

from assets.base import _nothing_to_do, bake_off_inputs, base_folder, bases_folder
from playbook.artifacts import Decision, EarlyEndClaim, ReferenceBaselines
from playbook.bases.admission import find_bases
from playbook.bases.pin import pin_base
from playbook.errors import PinMismatch
from playbook.spec import BakeOff

CONFIRMED = EarlyEndClaim(baseline="tfidf", validation=score(0.9), confirmed=True)


@pytest.mark.parametrize(
    ("meets", "decision", "reason"),
    [
        ("", {}, ""),
        ("tfidf", {"path": "no_model", "claim": CONFIRMED}, "target already met by tfidf"),
        ("tfidf", {"path": "no_model", "why": "overridden"}, "overridden"),  # test did not confirm it
        ("tfidf", {"path": "fine_tune"}, ""),
        ("tfidf", {"path": "prompt_or_retrieve", "why": "overridden"}, "overridden"),
        ("", {"path": "no_model", "why": "a rule does it"}, "a rule does it"),
        ("", {"path": "prompt_or_retrieve"}, "decided: prompt_or_retrieve"),
        ("", {"status": "skipped", "reason": "refused"}, "refused"),
    ],
)
def test_only_fine_tuning_needs_a_base(meets: str, decision: dict[str, Any], reason: str) -> None:
    references = ReferenceBaselines(task="demo", meets_target=meets)
    assert _nothing_to_do(references, Decision(task="demo", **decision)) == reason


@pytest.fixture
def play(tmp_path: Path) -> Any:
    write_tiny_base(tmp_path / "base")
    base = tiny_spec(tmp_path / "base")
    rules = BakeOff(alternatives=(base.model_copy(update={"layers": 1}),))
    spec = spec_for(LABELS).model_copy(update={"base": base, "bake_off": rules})
    places = SimpleNamespace(derived_bases=tmp_path / "home" / "cache" / "bases")
    return SimpleNamespace(task=SimpleNamespace(spec=spec, resolve=str), world=SimpleNamespace(places=places))


def test_a_base_is_found_by_its_pin_and_the_first_without_one(play: Any, tmp_path: Path) -> None:
    spec = play.task.spec
    assert base_folder(play) == tmp_path / "base"
    short = find_bases(spec, str, bases_folder(play))[1]
    assert short.pin is not None and short.folder is not None
    assert base_folder(play, short.pin) == short.folder
    assert short.folder.parent == tmp_path / "home" / "cache" / "bases"
    assert base_folder(play, pin_base(spec.base, tmp_path / "base")) == tmp_path / "base"
    with pytest.raises(PinMismatch, match="materialise base_selection again"):
        base_folder(play, short.pin.model_copy(update={"tokenizer_sha256": "0" * 64}))


def test_a_truncated_first_base_is_the_truncated_one(play: Any) -> None:
    short = play.task.spec.bake_off.alternatives[0]
    play.task.spec = play.task.spec.model_copy(update={"base": short, "bake_off": BakeOff()})
    folder = base_folder(play)
    assert folder.parent == bases_folder(play)
    assert pin_base(short, folder).blocks == 1


def test_the_choice_depends_on_bases_rows_and_rule(play: Any, tmp_path: Path) -> None:
    dataset = dataset_for(play.task.spec)

    def inputs() -> dict[str, Any]:
        found = find_bases(play.task.spec, str, bases_folder(play))
        return bake_off_inputs(play, dataset, found)

    before = inputs()
    assert inputs() == before
    rules = play.task.spec.bake_off
    for change in ({"close_call": 2.0}, {"licences": ("apache-2.0",)}, {"alternatives": ()}):
        play.task.spec = play.task.spec.model_copy(update={"bake_off": rules.model_copy(update=change)})
        assert inputs() != before
    play.task.spec = play.task.spec.model_copy(update={"bake_off": rules})
    config = tmp_path / "base" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert inputs()["configs"] != before["configs"]
    dataset = dataset.model_copy(update={"dataset_hash": "other"})
    assert inputs()["data"] != before["data"]
