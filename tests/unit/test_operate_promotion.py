"""What a promotion needs, read from the decision log; and how an approval after a rollback differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from release_samples import approve, binding, last
from sign_off_samples import ANNA, ANSWERS, waiting

from playbook.decide.log import DecisionLog
from playbook.evaluate.approval import approve as approve_case
from playbook.operate.promotion import (
    Standing,
    against_promotion,
    held_back,
    move_inputs,
    standing,
    were_champions,
)

ONE = {"version": "1.0.0", "bundle_sha256": "b1", "weights_sha256": "w1", "dataset_hash": "data", "source": "rung_1"}
TWO = {"version": "1.1.0", "bundle_sha256": "b2", "weights_sha256": "w2", "dataset_hash": "data", "source": "refresh"}


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "decisions.jsonl")


def move(log: DecisionLog, kind: str, before: dict[str, str], after: dict[str, str], decision: str = "") -> None:
    inputs = move_inputs("champion", before, after, decision=decision)
    log.append(kind, f"{kind} to {after['version']}", by="ola", inputs=inputs, body={"reason": "slow"}, key="champion")  # type: ignore[arg-type]


def test_the_log_says_what_is_in_production(log: DecisionLog) -> None:
    assert standing(log.entries(), "champion") == Standing()
    move(log, "promotion", {}, ONE)
    assert standing(log.entries(), "champion") == Standing("1.0.0", "", "rung_1")
    move(log, "promotion", ONE, TWO)
    move(log, "rollback", TWO, ONE)
    assert standing(log.entries(), "champion") == Standing("1.0.0", "1.1.0", "rung_1")
    assert standing(log.entries(), "blue") == Standing()
    assert were_champions(log.entries(), "champion") == {"1.0.0": "b1", "1.1.0": "b2"}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({}, ""),
        ({"weights_sha256": "w2"}, "expected trained weights w2, found w1"),
        ({"weights_sha256": ""}, r"expected trained weights \(no tag\)"),
        ({"dataset_hash": "other"}, "expected dataset other, found data"),
    ],
)
def test_an_approval_speaks_of_one_model(log: DecisionLog, tags: dict[str, str], message: str) -> None:
    entry = approve(log, binding("demo", "w1"))
    found = against_promotion("demo", {**ONE, **tags}, entry, log.entries())
    assert bool(found) is bool(message)
    if message:
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(found[0])
    assert "expected task other" in against_promotion("other", ONE, entry, log.entries())[0]


def test_what_is_no_approval(log: DecisionLog) -> None:
    for entry in ("", "f" * 64):
        assert "expected its approval in the decision log" in against_promotion("demo", ONE, entry, log.entries())[0]
    other = log.append("ship", "ship it", by="playbook").sha256
    assert "expected an approval, found a ship" in against_promotion("demo", ONE, other, log.entries())[0]
    empty = log.append("sign_off", "yes", by="anna").sha256
    assert "no statement that can be read" in against_promotion("demo", ONE, empty, log.entries())[0]
    signed = approve(log, binding("demo", "w1"))
    assert against_promotion("demo", ONE, signed, log.entries()) == []
    log.append("rejection", "not that", by="anna", inputs=binding("demo", "w1", evaluation="e2").model_dump())
    assert against_promotion("demo", ONE, signed, log.entries()) == [], "of another evaluation"
    log.append("rejection", "not this", by="anna", inputs=binding("demo", "w1").model_dump())
    assert "it was rejected since, by anna" in against_promotion("demo", ONE, signed, log.entries())[0]


def test_an_approval_promotes_once(log: DecisionLog) -> None:
    first = approve(log, binding("demo", "w1"))
    assert held_back("1.0.0", "champion", first, log.entries()) == ""
    move(log, "promotion", {}, ONE, first)
    assert held_back("1.0.0", "champion", first, log.entries()) == "", "it is there"
    second = approve(log, binding("demo", "w2", evaluation="e2"))
    move(log, "promotion", ONE, TWO, second)
    assert "1.1.0 took its place since" in held_back("1.0.0", "champion", first, log.entries())


def test_after_a_rollback_only_a_younger_approval_counts(log: DecisionLog) -> None:
    first, second = approve(log, binding("demo", "w1")), approve(log, binding("demo", "w2"))
    waits = approve(log, binding("demo", "w3"))
    move(log, "promotion", {}, ONE, first)
    move(log, "promotion", ONE, TWO, second)
    move(log, "rollback", TWO, ONE)
    for version, entry in (("1.1.0", second), ("1.2.0", waits)):
        assert "ola rolled back from 1.1.0 to 1.0.0 after this approval" in held_back(
            version, "champion", entry, log.entries()
        )
    by_rule = approve(log, binding("demo", "w2"), mode="automatic")
    assert "does not overrule a person" in held_back("1.1.0", "champion", by_rule, log.entries())
    assert held_back("1.2.0", "champion", by_rule, log.entries()) == "", "a rule may still promote what is new"
    younger = approve(log, binding("demo", "w2"))
    assert held_back("1.1.0", "champion", younger, log.entries()) == ""


def test_the_same_words_after_a_rollback_are_a_new_approval(tmp_path: Path) -> None:
    place = waiting(tmp_path)
    entry = approve_case(place.case(), ANNA, ANSWERS)
    assert approve_case(place.case(), ANNA, ANSWERS) == entry, "said twice, on record once"
    move(place.log, "rollback", TWO, ONE)
    rolled = last(place.log)
    again = approve_case(place.case(), ANNA, ANSWERS)
    assert again.index > rolled.index and again.body["after_rollback"] == rolled.sha256
    assert approve_case(place.case(), ANNA, ANSWERS) == again
