"""What opens the test split, and what makes a result old: answers, figures and pages of a real run after edits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from play_runs import Place, make_place

from playbook.artifacts import Evaluation, Report, TestAnswers
from playbook.plays import REPORT


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> Place:
    """A model that shipped by rule, on a split that was opened once."""
    place = make_place(tmp_path_factory.mktemp("answers"), database, begun=begun_store, max_rungs=1)
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "shipped", ended.said
    assert len(place.ledger) == 1
    return place


@pytest.fixture
def place(shipped: Place) -> Iterator[Place]:
    """The same in whatever order the tests come: before each, the task file and its results are as they were first."""
    document, written = dict(shipped.document), shipped.file.read_text("utf-8")
    shipped.task()
    if shipped.file.read_text("utf-8") != written:  # a test before left it with other results
        assert shipped.run().status["state"] == "shipped"
    yield shipped
    shipped.document = document


def stored_answers(place: Place) -> list[TestAnswers]:
    folder = Path(place.places.store) / "pairs" / "test_answers"
    found = (place.store.get("pairs", "test_answers", key.name, TestAnswers) for key in folder.iterdir())
    return [one for one in found if one is not None]


def facts(place: Place) -> tuple[Any, ...]:
    current: dict[str, Any] = dict(place.current())
    evaluation, approval = current["evaluation"], current["sign_off"]
    weights = [current[name].files["weights"].sha256 for name in ("frozen_baseline", "rung_1")]
    return evaluation.digest, evaluation.made_at, approval.log_entry, approval.state, weights, place.ledger


def test_every_model_has_its_answers_with_the_hardware_that_gave_them(place: Place) -> None:
    answers, evaluation = stored_answers(place), place.current()["evaluation"]
    answers = [one for one in answers if one.opening == 1]
    assert isinstance(evaluation, Evaluation) and len(answers) == 5, "majority, tfidf, zero_shot, frozen and candidate"
    assert {one.test_sha256 for one in answers} == {place.current()["dataset_version"].files["test"].sha256}
    assert all(one.rows == evaluation.rows and one.labels == ("mixed", "same") for one in answers)
    assert all(one.opening == 1 and "1 threads" in one.hardware for one in answers)
    assert "1 threads" in evaluation.hardware and "report" not in evaluation.files
    assert [one.differs for one in evaluation.shifts] == [False] and evaluation.blockers == (), "nothing is accused"


def test_what_is_only_shown_opens_nothing_and_voids_nothing(place: Place) -> None:
    """Which of these edits makes which result again is in tests/unit/test_task_fields.py, one by one."""
    before, page = facts(place), place.places.report("pairs").read_bytes()
    place.document |= {"question": "Do both words of this short text agree?"}
    place.document["owners"] = {**place.document["owners"], "model": "team:new", "data": "team:other"}
    place.document["prices"] = {"device_hour": 7.5, "serving_hour": 1.25, "currency": "CHF"}
    place.document["evaluation"] = {"examples": 3}
    place.task()
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "shipped", ended.said
    assert facts(place) == before, "no opening, no figure, no approval, no weight is new"
    assert "epoch" not in ended.err and "test split opened" not in ended.err
    shown = place.places.report("pairs").read_text("utf-8")
    assert shown.encode() != page and "CHF" in shown, "and the page says what the task file says now"
    assert "Do both words of this short text agree?" in shown
    pages = place.store.current("pairs", REPORT, Report)
    assert pages is not None and pages.evaluation == before[0]


def test_a_figure_is_measured_again_from_the_same_answers(place: Place) -> None:
    before = facts(place)
    place.task(evaluation={"calibration_bins": 5})
    ended = place.run("--until", "evaluation")
    after = facts(place)
    assert "evaluation: suite:" in ended.err and after[0] != before[0]
    assert after[4:] == before[4:], "trained nothing, opened nothing"


def test_other_weights_answer_in_one_opening_of_their_own(place: Place) -> None:
    ledger, known = place.ledger, {one.play_key for one in stored_answers(place)}
    place.task(adaptation={**place.document["adaptation"], "epochs": place.document["adaptation"]["epochs"] + 1})
    ended = place.run("--until", "evaluation")
    assert ended.code == 0 and len(place.ledger) == len(ledger) + 1
    asked = [one for one in stored_answers(place) if one.play_key not in known]
    assert len(asked) == 2, "the new rung and the champion; references and frozen baseline have answered already"
    assert {one.opening for one in asked} == {len(place.ledger)}


def test_terms_that_change_after_the_opening_are_refused_until_somebody_answers_for_them(
    place: Place,
) -> None:
    before, ledger = place.attempts(), place.ledger
    place.task(target={"margin": 0.2})
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "refused", ended.said
    assert "target.margin (locked: 0.25, now: 0.2)" in ended.status["verdict"]
    assert place.attempts() == sorted([*before, "evaluation"]) and "epoch" not in ended.err, "nothing was trained"
    assert place.ledger == ledger and place.current()["packaged_model"].skipped
    page = place.places.report("pairs").read_text("utf-8")
    assert "the terms changed after the test split was opened" in page[page.index("<h1") : page.index("What was asked")]
    waive = ("waive", str(place.file), "locked_terms", "--reason", "the price fell since", "--until", "2099-01-01")
    assert "nobody else may decide this" in place.do(*waive, "--as", "team:b").said
    assert place.do(*waive, "--as", "team:c").code == 0
    ended = place.run()
    assert ended.code == 0 and ended.status["state"] == "shipped", ended.said
    assert place.ledger == ledger, "the stored answers are judged"
    said = "team:c let that pass until 2099-01-01: the price fell since"
    page = place.places.report("pairs").read_text("utf-8")
    assert said in page[page.index("<h1") : page.index("What was asked")]
    assert said in place.places.report("pairs").with_name("pairs-model-card.md").read_text("utf-8")
    assert said in ended.status["waived_terms"] and said in " ".join(place.do("show", str(place.file)).out.split())
