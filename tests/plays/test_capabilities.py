"""A capability set in a real task: scored for both models, part of the evaluation's key, refused with its faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapt_samples import pairs
from play_runs import Place, make_place

from playbook.artifacts import Evaluation

pytestmark = [pytest.mark.story, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    place = make_place(tmp_path_factory.mktemp("capabilities"), database, begun=True, max_rungs=1)
    write(place, 40)
    place.task(evaluation={"capabilities": "able.csv"})
    done = place.run()
    assert done.code == 0, done.said
    return place


def write(place: Place, rows: int, more: str = "") -> None:
    lines = [f"{row['text']},{row['label']}" for row in pairs(rows, 99)]
    (place.folder / "able.csv").write_text("\n".join(["text,label", *lines]) + f"\n{more}", encoding="utf-8")


def evaluation(place: Place) -> Evaluation:
    found = place.current()["evaluation"]
    assert isinstance(found, Evaluation)
    return found


def test_both_models_answer_the_set_and_it_blocks_nothing_by_chance(place: Place) -> None:
    (able,) = evaluation(place).capabilities
    assert able.against == "frozen baseline" and 20 <= able.rows <= 40
    assert able.mended - able.broken == round((able.now - able.before) * able.rows)
    page = place.places.report("pairs").read_text("utf-8").replace("&#39;", "'").replace("\u00a0", " ")
    assert able.text in page


def test_the_gain_over_the_reference_is_in_verdict_and_status(place: Place) -> None:
    done = evaluation(place)
    assert done.over_reference is not None and done.over_reference.text in done.verdict
    shown = place.do("show", str(place.file), "--json").status["test"]["over_reference"]
    assert shown["name"] == done.over_reference.name and shown["delta"] == done.over_reference.gain.value


def test_the_file_is_locked_by_the_opening_and_another_one_is_another_evaluation_of_the_same_answers(
    place: Place,
) -> None:
    before, openings = evaluation(place), place.ledger
    write(place, 60)
    again = place.run()
    assert again.code == 0 and again.status["state"] == "refused", again.said
    assert "evaluation.capabilities (locked: " in again.status["verdict"] and place.ledger == openings
    why = ("--as", "team:c", "--reason", "the first file was half of the set", "--until", "2099-01-01")
    assert place.command("waive", str(place.file), "locked_terms", *why).code == 0
    again = place.run()
    assert again.code == 0, again.said
    after = evaluation(place)
    assert after.play_key != before.play_key and after.capabilities[0].rows > before.capabilities[0].rows
    assert place.ledger == openings, "the test split stays closed"
    write(place, 40)
    assert place.run().status["state"] == "shipped"
    assert evaluation(place).capabilities == before.capabilities


def test_a_fault_of_the_file_is_found_before_anything_else(place: Place) -> None:
    write(place, 40, "some text,no class at all\n")
    failed = place.run()
    assert failed.code == 1 and "expected one of the classes mixed, same, found no class at all" in failed.said
    assert "dataset_version" not in failed.err
