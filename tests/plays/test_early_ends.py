"""Ends that are not failures, and what the report says of each: a met target, another path, a shifted test split."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from adapt_samples import pairs
from play_runs import Place, make_place


def spelling(count: int, seed: int) -> list[dict[str, str]]:
    """Words that never come twice, of letters that give the class away, then as many of the other letters.

    The base reads no further than the first three, of ten tokens each; whoever counts over the whole text is no
    wiser, by words as by characters.
    """
    rng = random.Random(seed)  # noqa: S311
    rows = []
    for number in range(count):
        halves = ["abcdefghijklm", "nopqrstuvwxyz"] if number % 2 else ["nopqrstuvwxyz", "abcdefghijklm"]
        words = ["log" + "".join(rng.choices(letters, k=9)) for letters in halves for _ in range(3)]
        rows.append({"row_id": f"R{number:04d}", "text": " ".join(words), "label": "same" if number % 2 else "mixed"})
    return rows


def report(place: Place) -> str:
    return (place.folder / "home" / "reports" / "pairs.html").read_text("utf-8")


def test_a_target_that_the_frozen_baseline_meets_ends_the_task(tmp_path: Path, database: Path) -> None:
    place = make_place(tmp_path, database, {"path": spelling(700, 1)}, max_rungs=1)
    ended = place.run()
    status, current = ended.status, place.current()
    assert ended.code == 0 and status["state"] == "baseline_shipped", "it is registered: no early end any more"
    assert status["reference_baselines"]["tfidf"] < 0.9 <= status["frozen_baseline"]["validation"]
    claim = current["early_end"].claim  # type: ignore[attr-defined]
    assert claim.confirmed and claim.test["accuracy"].value >= 0.9 and claim.openings == 1
    assert "Frozen base with a fresh head meets the target: accuracy" in status["early_end"]["text"]
    assert json.loads(place.ledger[0])["purpose"] == "early end"
    assert all(current[name].skipped for name in ("rung_1", "controls")), "nothing is fine-tuned"
    assert not any(name in {"rung_1", "controls: scratch"} for name in place.attempts())
    assert status["ship"] == "baseline" and status["model"]["source"] == "frozen_baseline"
    assert "frozen baseline" in report(place)
    before, ledger = place.attempts(), place.ledger
    place.task(target={"at_least": 0.89})
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "refused", ended.said
    assert "target.at_least (locked: 0.9, now: 0.89)" in ended.status["verdict"] and place.ledger == ledger
    assert "the test split is not asked" in ended.status["early_end"]["text"]
    assert any("playbook waive" in step for step in ended.status["next_steps"])
    assert set(place.attempts()) <= {*before, "evaluation"} and "rung_1" not in place.attempts()


def words_of(kind: str, count: int, seed: int, told: bool) -> list[dict[str, str]]:
    """Rows whose words give the class away where `told`, and say nothing of it otherwise."""
    rng = random.Random(seed)  # noqa: S311
    out = []
    for number in range(count):
        label = ("mixed", "same")[number % 2]
        sign = {"mixed": "parcel", "same": "refund"}[label if told else rng.choice(["mixed", "same"])]
        words = [sign, *("".join(rng.choices("bdfgkmnprstvz", k=7)) for _ in range(4))]
        out.append({"row_id": f"{kind}{number:04d}", "text": " ".join(words), "label": label})
    return out


@pytest.mark.proof
def test_a_reference_that_fails_on_test_ends_nothing_and_is_the_first_finding(tmp_path: Path, database: Path) -> None:
    tables = {
        "train": words_of("T", 500, 1, True),
        "validation": words_of("V", 200, 2, True),
        "test": words_of("X", 200, 3, False),  # inputs alike, labels of another kind
    }
    place = make_place(tmp_path, database, tables, max_rungs=1, epochs=1)
    status = place.run().status
    current: dict[str, Any] = dict(place.current())
    assert status["reference_baselines"]["tfidf"] > 0.95
    claim = current["decision"].claim
    assert (claim.baseline, claim.confirmed, claim.missed) == ("tfidf", False, ("accuracy",))
    assert claim.test["accuracy"].value < 0.65
    assert current["decision"].path == "fine_tune" and not current["frozen_baseline"].skipped, "the task goes on"
    assert status["state"] != "target_already_met"
    page = report(place)
    headline = page[page.index("<h1") : page.index("What was asked")]
    first = headline[headline.index("Warning:") :]
    assert "met the target on validation only" in first[:400] and "The task goes on." in first
    purposes = [json.loads(line)["purpose"] for line in place.ledger]
    assert purposes[0] == "early end" and len(purposes) == len(set(map(str, place.ledger)))
    again = place.run()
    assert [json.loads(line)["purpose"] for line in place.ledger] == purposes, "asked once"
    assert again.status["early_end"]["confirmed"] is False


def test_a_test_split_of_other_texts_is_in_the_headline_of_an_early_end_too(tmp_path: Path, database: Path) -> None:
    tables = {
        "train": words_of("T", 500, 1, True),
        "validation": words_of("V", 200, 2, True),
        "test": [row | {"text": f"{row['text']} sent from my telephone"} for row in words_of("X", 200, 3, True)],
    }
    place = make_place(tmp_path, database, tables, max_rungs=1)
    ended = place.run()
    status, dataset = ended.status, place.current()["dataset_version"]
    check = next(one for one in dataset.gate.checks if one.name == "test split like the others")  # type: ignore[attr-defined]
    assert (check.passed, check.severity) == (False, "warning") and "AUC 1.00" in check.found
    assert status["state"] == "target_already_met" and status["test_split"]["differs"]
    assert "unlike those of training and validation" in place.do("show", str(place.file)).out
    page = report(place)
    headline = page[page.index("<h1") : page.index("What was asked")]
    assert "on the test split (95" in headline and "unlike those of training and validation" in headline


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> Place:
    """The usual task, whose data need not be prepared again for each path."""
    return make_place(tmp_path_factory.mktemp("begun"), database, begun=begun_store, max_rungs=1)


def test_another_path_ends_the_task_with_the_evidence(begun: Place) -> None:
    place = begun
    override = {"path": "prompt_or_retrieve", "by": "team:c", "because": "a prompt will do for the pilot"}
    place.task(decision={"override": override})
    ended = place.run()
    status, current = ended.status, place.current()
    assert ended.code == 0 and status["state"] == "other_path"
    assert status["decision"]["path"] == "prompt_or_retrieve" and status["decision"]["recommended"] == "fine_tune"
    assert "team:c" in status["decision"]["overridden"]
    assert all(current[name].skipped for name in ("base_selection", "frozen_baseline", "rung_1", "packaged_model"))
    assert "a prompt will do for the pilot" in report(place) and place.ledger == []


def test_a_licence_of_the_data_that_forbids_training_ends_the_task(begun: Place) -> None:
    place = begun
    place.task(decision={"data_licence_allows_training": False})
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "other_path"
    assert ended.status["decision"]["path"] not in {"fine_tune", "from_scratch"}
    assert place.current()["frozen_baseline"].skipped


@pytest.mark.proof
def test_a_shifted_test_split_is_in_the_headline_by_how_much(tmp_path: Path, database: Path) -> None:
    rows = pairs(1400, 1)
    train, validation, rest = rows[:700], rows[700:1000], rows[1000:]
    mixed = [row for row in rest if row["label"] == "mixed"]
    shifted = [row for row in rest if row["label"] == "same"] + mixed[: len(mixed) // 5]
    place = make_place(tmp_path, database, {"train": train, "validation": validation, "test": shifted}, max_rungs=1)
    ended = place.run()
    current: dict[str, Any] = dict(place.current())
    evaluation, page = current["evaluation"], report(place)
    shift = next(one for one in evaluation.shifts if one.name == "validation and test")
    assert shift.differs and shift.class_mix > 0.2
    assert f"class mix differs by {shift.class_mix * 100:.1f} points" in shift.text
    headline = page[page.index("<h1") : page.index("What was asked")]
    assert shift.text.split(":")[0] in headline and f"{shift.class_mix * 100:.1f} points" in headline
    assert [blocker.what for blocker in evaluation.blockers] == ["shifted_test"]
    assert ended.code == 4 and ended.status["state"] == "awaiting_sign_off", "and a person has to say that it is fine"
    assert current["packaged_model"].skipped
