"""Who may decide what, and which texts explain nothing."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from report_samples import spec_for
from sign_off_samples import ANNA, ANSWERS, waiting

from playbook.artifacts import Blocker
from playbook.authority import Action, explains, no_reason, not_allowed, owner_named
from playbook.decide.log import DecisionLog
from playbook.errors import ApprovalRefused
from playbook.evaluate.approval import approve, reject, waive
from playbook.evaluate.sign_off_state import current_state
from playbook.operate.promotion import move_inputs, rolled_back, version_before
from playbook.operate.rounds import ask_by_hand, ask_for_round
from playbook.spec.target import Owners

OWNERS = Owners(model="max@example.org", data="team:data", sign_off=ANNA)
FILLERS = ("", " ", ".", "x", "ok", "yes", "ok ok ok", "+1", "\x07", "no problem", "a b c", "1 2 3", "x, y, z")


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("approve", {ANNA}),
        ("reject", {ANNA}),
        ("waive", {ANNA}),
        ("reinstate", {ANNA}),
        ("rollback", {ANNA, OWNERS.model, OWNERS.data}),
        ("retrain", {ANNA, OWNERS.model, OWNERS.data}),
        ("override", {ANNA, OWNERS.model}),
    ],
)
def test_who_may_do_what(action: Action, allowed: set[str]) -> None:
    people = {ANNA, OWNERS.model, OWNERS.data, "nobody", "", "team:other", "data", "operator", "playbook"}
    assert {name for name in people if not not_allowed(OWNERS, action, name)} == allowed
    assert not_allowed(OWNERS, action, f" {ANNA.upper()} ") == [], "case and blanks make nobody else"
    (said,) = not_allowed(OWNERS, action, "nobody")
    assert all(name in said for name in allowed) and "found 'nobody'" in said


def test_every_action_has_its_owners() -> None:
    for action in get_args(Action):
        assert not_allowed(OWNERS, action, "nobody")


def test_one_person_with_three_hats_may_do_everything() -> None:
    alone = Owners(model="a@b.org", data="a@b.org", sign_off="a@b.org")
    for action in get_args(Action):
        assert not_allowed(alone, action, "A@b.org") == []
    assert not_allowed(alone, "rollback", "x") == [
        "expected the model and data and sign-off owner a@b.org, found 'x'; nobody else may decide this"
    ]
    assert owner_named(alone, " A@B.ORG ") == "a@b.org" and owner_named(alone, "x\x07") == "x"


@pytest.mark.parametrize("text", FILLERS)
def test_filler_is_no_reason(text: str) -> None:
    assert not explains(text)
    (said,) = no_reason(text, "--reason")
    assert "expected a reason of at least 3 words" in said and "--reason" in said


@pytest.mark.parametrize(
    "text", ["fails on refunds", "Ja, drei Punkte.", "值得，误差减半了", "it is slow", "a bad idea", "120 more rows"]
)
def test_a_few_words_are_a_reason(text: str) -> None:
    assert explains(text) and no_reason(text, "--reason") == []


@pytest.mark.parametrize("filler", FILLERS)
def test_filler_is_refused_by_whatever_records_a_decision(tmp_path: Path, filler: str) -> None:
    blocker = Blocker(what="regression_budget", text="7 % got worse")
    place = waiting(tmp_path, "recorded", blocker)
    calls = (
        lambda: approve(place.case(), ANNA, {**ANSWERS, "gain": filler}),
        lambda: reject(place.case(), ANNA, filler),
        lambda: waive(place.case(), blocker.what, ANNA, filler, "2026-12-24"),
        lambda: ask_by_hand(place.log, place.task.spec, by=ANNA, reason=filler),
    )
    for call in calls:
        with pytest.raises(ApprovalRefused, match=r"at least 3 words|not answered"):
            call()
    assert place.log.entries() == ()


def test_filler_that_is_on_record_does_not_hold(tmp_path: Path) -> None:
    place = waiting(tmp_path)
    entry = approve(place.case(), ANNA, ANSWERS)
    assert current_state(place.case()).state == "approved"
    statement = {**entry.body["statement"], "answers": dict.fromkeys(entry.body["statement"]["answers"], "x")}  # type: ignore[dict-item]
    place.log.append("sign_off", "x", by=ANNA, inputs=dict(entry.inputs), body={"statement": statement})
    state = current_state(place.case())
    assert state.state == "awaiting" and "does not answer the three questions" in state.reason


def test_only_an_owner_asks_for_a_round(tmp_path: Path) -> None:
    log, spec = DecisionLog(tmp_path / "decisions.jsonl"), spec_for(("a", "b"))
    for by in ("operator", "", "eve@example.org"):
        with pytest.raises(ApprovalRefused, match="nobody else may decide this"):
            ask_by_hand(log, spec, by=by, reason="a new product line")
    with pytest.raises(ValueError, match="use ask_by_hand"):
        ask_for_round(log, spec.task, {"button": "a new product line"}, by="playbook")
    with pytest.raises(ValueError, match="use ask_by_hand"):
        ask_for_round(log, spec.task, {"drift": "three alarms"}, by="eve")  # type: ignore[arg-type]
    assert log.entries() == ()
    entry = ask_by_hand(log, spec, by="TEAM:data ", reason="a new product line", day=date(2026, 5, 1))
    assert (entry.by, entry.body["triggers"]) == ("team:data", {"button": "a new product line"})


def moved(log: DecisionLog, kind: str, before: str, after: str) -> None:
    ends = [{"version": version} if version else {} for version in (before, after)]
    log.append(kind, after, by=ANNA, inputs=move_inputs("champion", *ends), body={"reason": "why"})  # type: ignore[arg-type]


def test_a_rollback_goes_back_and_never_forward(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl")

    def before(now: str) -> str:
        return version_before(log.entries(), "champion", now)

    assert before("1.0.0") == ""
    for old, new in (("", "1.0.0"), ("1.0.0", "1.1.0"), ("1.1.0", "1.2.0")):
        moved(log, "promotion", old, new)
    assert (before("1.2.0"), before("1.1.0"), before("1.0.0")) == ("1.1.0", "1.0.0", "")
    moved(log, "rollback", "1.2.0", "1.1.0")
    assert before("1.1.0") == "1.0.0", "not 1.2.0, which was rolled back from"
    moved(log, "promotion", "1.1.0", "1.3.0")
    assert before("1.3.0") == "1.1.0", "1.2.0 is stepped over"
    moved(log, "rollback", "1.3.0", "1.2.0")  # by its name: it counts again
    assert list(rolled_back(log.entries(), "champion")) == ["1.3.0"]
    moved(log, "promotion", "1.2.0", "1.3.0")  # by a new approval: so does this one
    assert rolled_back(log.entries(), "champion") == {}
    assert before("1.3.0") == "1.2.0"
    assert version_before(log.entries(), "blue", "1.3.0") == ""


def test_putting_a_version_back_finds_no_other_one_bad(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.jsonl")
    for old, new in (("", "1.0.0"), ("1.0.0", "1.1.0")):
        moved(log, "promotion", old, new)
    moved(log, "rollback", "1.1.0", "1.0.0")
    ends = [{"version": version} for version in ("1.0.0", "1.1.0")]
    body = {"reason": "the complaints were about another release", "reinstates": "entry"}
    log.append("rollback", "1.1.0", by=ANNA, inputs=move_inputs("champion", *ends), body=body)
    assert rolled_back(log.entries(), "champion") == {}
    assert version_before(log.entries(), "champion", "1.1.0") == "1.0.0", "if it fails again, there is a way back"
