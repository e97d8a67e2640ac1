"""A run of a task that says how its model answers: from which probability on, when it asks a person, what it can do.

The threshold of the target's class, the silence and the capability set go from validation to the packaged model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adapt_samples import pairs
from play_runs import Place, make_place

from playbook.artifacts import Evaluation
from playbook.data.tables import TEXT
from playbook.operate.answering import AnsweringModel, load_answering

pytestmark = [pytest.mark.story, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]
TARGET = {
    "metric": "recall",
    "of_class": "same",
    "at_least": 0.9,
    "margin": 0.25,
    "limits": [{"metric": "false_positive_rate", "of_class": "same", "at_most": 0.2}],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> Place:
    place = make_place(tmp_path_factory.mktemp("answering"), database, begun=begun_store, max_rungs=1)
    place.document["target"] = TARGET
    place.document["serving"] = {"ask_a_person": {"error": 0.1, "strangers": 0.05}}
    place.document["evaluation"] = {"capabilities": "able.csv"}
    write(place, 40)
    place.task()
    done = place.run()
    assert done.code == 0 and done.status["state"] == "shipped", done.said
    return place


def write(place: Place, rows: int, more: str = "") -> None:
    """A capability set of so many rows, and what else its file has."""
    lines = [f"{row['text']},{row['label']}" for row in pairs(rows, 99)]
    (place.folder / "able.csv").write_text("\n".join(["text,label", *lines]) + f"\n{more}", encoding="utf-8")


def evaluation(place: Place) -> Evaluation:
    found = place.current()["evaluation"]
    assert isinstance(found, Evaluation)
    return found


@pytest.fixture(scope="module")
def bundle(place: Place) -> Path:
    """What was packaged."""
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    uri = place.places.mlflow_tracking_uri
    source = MlflowClient(tracking_uri=uri).get_model_version_by_alias("pairs", "champion").source
    (about,) = Path(download_artifacts(artifact_uri=source, tracking_uri=uri)).rglob("bundle.json")
    return about.parent


@pytest.fixture(scope="module")
def model(bundle: Path) -> AnsweringModel:
    return load_answering(bundle)


def test_the_threshold_is_in_the_evaluation(place: Place) -> None:
    point = evaluation(place).operating_point
    assert point is not None
    assert point.of_class == "same" and 0 < point.threshold <= 1
    assert point.interval[0] <= point.threshold <= point.interval[1]
    assert set(point.figures) == {"recall of same", "false_positive_rate of same"}


def test_the_evaluation_says_when_it_asks_a_person(place: Place) -> None:
    found = evaluation(place).silence
    assert found is not None
    assert (found.error, found.strangers) == (0.1, 0.05)
    assert found.threshold is not None and found.rows > 100 and found.wrong / found.answered <= 0.1
    assert found.test_error.value < 0.15 and 0.8 < found.test_answered.value < 1
    assert found.memory_mb > 0 and "The model answers from" in found.text


def test_both_models_answer_the_capability_set_and_it_blocks_nothing_by_chance(place: Place) -> None:
    (able,) = evaluation(place).capabilities
    assert able.against == "frozen baseline" and 20 <= able.rows <= 40
    assert able.mended - able.broken == round((able.now - able.before) * able.rows)


def test_the_report_has_a_section_for_each(place: Place) -> None:
    page = place.places.report("pairs").read_text("utf-8").replace("&#39;", "'").replace("\u00a0", " ")
    assert "From which probability on?" in page and "When does it ask a person?" in page
    assert evaluation(place).capabilities[0].text in page


def test_the_gain_over_the_reference_is_in_verdict_and_status(place: Place) -> None:
    done = evaluation(place)
    assert done.over_reference is not None and done.over_reference.text in done.verdict
    shown = place.do("show", str(place.file), "--json").status["test"]["over_reference"]
    assert shown["name"] == done.over_reference.name and shown["delta"] == done.over_reference.gain.value


def test_the_packaged_model_decides_with_the_threshold(place: Place, bundle: Path, model: AnsweringModel) -> None:
    from playbook.operate.reference import load_reference

    point = evaluation(place).operating_point
    assert point is not None and (model.rules.of_class, model.rules.decide_from) == ("same", point.threshold)
    answers = model.answer([row[TEXT] for row in pairs(200, 7)])
    same = model.labels.index("same")
    assert ((answers.classes == same) == (answers.probabilities[:, same] >= point.threshold)).all()
    reference = load_reference(bundle / "reference.safetensors")
    assert reference.threshold is not None and reference.threshold.value == pytest.approx(point.threshold)


def test_the_packaged_model_asks_by_the_rules(place: Place, bundle: Path, model: AnsweringModel) -> None:
    silence: Any = evaluation(place).silence
    assert model.rules.threshold == silence.threshold
    assert (bundle / "frozen.safetensors").is_file() and (bundle / "strangers.safetensors").is_file()
    known = model.answer([row[TEXT] for row in pairs(300, 7)])
    assert known.ask.mean() == pytest.approx(1 - silence.test_answered.value, abs=0.15)
    sure = known.probabilities.max(axis=1)
    assert all(sure[~known.ask] >= silence.threshold)
    foreign = model.answer(["zq xj wk vv qq zz jj xx kk ww" for _ in range(3)])
    assert foreign.ask.all() and all(foreign.reasons)


def test_the_capability_file_is_locked_by_the_opening_and_another_one_is_judged_by_the_same_answers(
    place: Place,
) -> None:
    before, openings = evaluation(place), place.ledger
    write(place, 60)
    again = place.run()
    assert again.code == 0 and again.status["state"] == "refused", again.said
    assert "evaluation.capabilities (locked: " in again.status["verdict"] and place.ledger == openings
    why = ("--as", "team:c", "--reason", "the first file was half of the set", "--until", "2099-01-01")
    assert place.do("waive", str(place.file), "locked_terms", *why).code == 0
    again = place.run("--until", "evaluation")
    assert again.code == 0, again.said
    after = evaluation(place)
    assert after.play_key != before.play_key and after.capabilities[0].rows > before.capabilities[0].rows
    assert place.ledger == openings, "the test split stays closed"
    write(place, 40)
    assert place.run().status["state"] == "shipped"
    assert evaluation(place).capabilities == before.capabilities


def test_a_fault_of_the_capability_file_is_found_before_anything_else(place: Place) -> None:
    write(place, 40, "some text,no class at all\n")
    failed = place.run()
    assert failed.code == 1 and "expected one of the classes mixed, same, found no class at all" in failed.said
    assert "dataset_version" not in failed.err
