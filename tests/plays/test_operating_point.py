"""A whole run of a task whose target is of one class: its threshold from validation to the packaged model."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapt_samples import pairs
from play_runs import Place, make_place

from playbook.data.tables import TEXT

TARGET = {
    "metric": "recall",
    "of_class": "same",
    "at_least": 0.9,
    "margin": 0.25,
    "limits": [{"metric": "false_positive_rate", "of_class": "same", "at_most": 0.2}],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Place:
    made = make_place(tmp_path_factory.mktemp("point"), database, begun=True, max_rungs=1)
    made.document["target"] = TARGET
    made.task()
    ended = made.run()
    assert ended.code == 0, ended.said
    return made


def test_the_threshold_is_in_the_evaluation_and_in_the_report(place: Place) -> None:
    evaluation = place.current()["evaluation"]
    point = evaluation.operating_point  # type: ignore[attr-defined]
    assert point.of_class == "same" and 0 < point.threshold < 1
    assert point.interval[0] <= point.threshold <= point.interval[1]
    assert set(point.figures) == {"recall of same", "false_positive_rate of same"}
    pages = [page.read_text("utf-8") for page in (place.folder / "home").rglob("report.html")]
    assert pages and all("From which probability on?" in page for page in pages)


def test_the_packaged_model_decides_with_it(place: Place) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    from playbook.operate.answering import load_answering
    from playbook.operate.reference import load_reference

    evaluation = place.current()["evaluation"]
    if evaluation.ship == "nothing":  # type: ignore[attr-defined]
        pytest.skip("nothing was shipped, so nothing was packaged")
    uri = place.places.mlflow_tracking_uri
    source = MlflowClient(tracking_uri=uri).get_model_version_by_alias("pairs", "champion").source
    (about,) = Path(download_artifacts(artifact_uri=source, tracking_uri=uri)).rglob("bundle.json")
    model = load_answering(about.parent)
    point = evaluation.operating_point  # type: ignore[attr-defined]
    assert (model.rules.of_class, model.rules.decide_from) == ("same", point.threshold)
    answers = model.answer([row[TEXT] for row in pairs(200, 7)])
    same = model.labels.index("same")
    assert ((answers.classes == same) == (answers.probabilities[:, same] >= point.threshold)).all()
    reference = load_reference(about.parent / "reference.safetensors")
    assert reference.threshold is not None and reference.threshold.value == pytest.approx(point.threshold)
