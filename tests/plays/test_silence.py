"""A whole run of a task that asks for silence: from validation to the answers of the packaged model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adapt_samples import pairs
from play_runs import Place, make_place

from playbook.data.tables import TEXT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    made = make_place(tmp_path_factory.mktemp("silent"), database, begun=True, max_rungs=1)
    made.task(serving={"ask_a_person": {"error": 0.1, "strangers": 0.05}})
    ended = made.run()
    assert ended.code == 0 and ended.status["state"] == "shipped", ended.said
    return made


@pytest.fixture(scope="module")
def bundle(place: Place) -> Path:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    uri = place.places.mlflow_tracking_uri
    source = MlflowClient(tracking_uri=uri).get_model_version_by_alias("pairs", "champion").source
    (about,) = Path(download_artifacts(artifact_uri=source, tracking_uri=uri)).rglob("bundle.json")
    return about.parent


def test_the_evaluation_says_when_it_asks_a_person(place: Place) -> None:
    found = place.current()["evaluation"].silence  # type: ignore[attr-defined]
    assert (found.error, found.strangers) == (0.1, 0.05)
    assert found.threshold is not None and found.rows > 100 and found.wrong / found.answered <= 0.1
    assert found.test_error.value < 0.15 and 0.8 < found.test_answered.value < 1
    assert found.memory_mb > 0 and "The model answers from" in found.text


def test_the_report_has_its_section(place: Place) -> None:
    pages = [page.read_text("utf-8") for page in (place.folder / "home").rglob("report.html")]
    assert pages and all("When does it ask a person?" in page for page in pages)


def test_the_packaged_model_answers_by_the_rules(place: Place, bundle: Path) -> None:
    from playbook.operate.answering import load_answering

    silence: Any = place.current()["evaluation"].silence  # type: ignore[attr-defined]
    model = load_answering(bundle)
    assert model.rules.threshold == silence.threshold
    assert (bundle / "frozen.safetensors").is_file() and (bundle / "strangers.safetensors").is_file()
    known = model.answer([row[TEXT] for row in pairs(300, 7)])
    assert known.ask.mean() == pytest.approx(1 - silence.test_answered.value, abs=0.15)
    sure = known.probabilities.max(axis=1)
    assert all(sure[~known.ask] >= silence.threshold)
    foreign = model.answer(["zq xj wk vv qq zz jj xx kk ww" for _ in range(3)])
    assert foreign.ask.all() and all(foreign.reasons)
