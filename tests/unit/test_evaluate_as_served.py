"""Answers as a model serves them: its own temperature and threshold, from validation to the estimate in production."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from drift_samples import reference
from report_samples import spec_for
from threshold_samples import rows

from playbook.adapt.staircase import served_answers
from playbook.artifacts import Score
from playbook.data.tables import LABEL
from playbook.evaluate.as_served import as_served, operating_point, threshold_number
from playbook.evaluate.calibration import scaled
from playbook.evaluate.threshold_plot import threshold_plot
from playbook.operate.estimate import expected_rows
from playbook.operate.reference import load_reference, save_reference
from playbook.spec import TaskSpec
from playbook.statistics.metric import metrics_of
from playbook.statistics.operating_point import Threshold
from playbook.statistics.threshold_class import threshold_class

RECALL: dict[str, Any] = {"metric": "recall", "of_class": "calm", "at_least": 0.9, "margin": 0.02}
ALARMS = {"metric": "false_positive_rate", "of_class": "calm", "at_most": 0.1}
TWO = {"classes": {"anger": "Is angry.", "calm": "Is not."}}


def spec_of(target: dict[str, Any], classes: dict[str, Any] = TWO) -> TaskSpec:
    """A task with that target."""
    document = spec_for(("anger", "calm")).model_dump(exclude_defaults=True, mode="json")
    return TaskSpec.model_validate({**document, "target": target, "data": {**document["data"], **classes}})


TASK = spec_of({**RECALL, "limits": [ALARMS]})


def test_recall_and_false_positives_are_met_together_on_new_rows() -> None:
    truth, table = rows(1, 2000)  # class 1, "calm", is the rare one
    found = as_served(TASK, truth, scaled(table, 0.5))  # twice as sure as it should be
    assert found.temperature == pytest.approx(2.0, rel=0.2)
    fresh, answers = rows(2, 20_000)
    served, trained = found.answers(scaled(answers, 0.5)), scaled(answers, 0.5)
    recall, alarms = metrics_of(TASK)
    assert recall.value(fresh, trained) < 0.87  # what the likeliest class comes to
    assert recall.value(fresh, served) >= 0.9 and alarms.value(fresh, served) <= 0.1
    assert served.probabilities is not None and np.abs(served.probabilities - answers).max() < 0.06


def test_a_model_that_says_the_same_of_every_row_gets_no_threshold_anywhere() -> None:
    truth, _ = rows(1, 200)
    table = np.tile([0.6, 0.4], (200, 1))
    assert as_served(TASK, truth, table).threshold is None
    assert operating_point(TASK, truth, table) is None, "what is packaged is what was scored"


def test_the_point_comes_with_its_uncertainty() -> None:
    truth, table = rows(1, 2000)
    point, found = operating_point(TASK, truth, table), as_served(TASK, truth, table)
    assert point is not None and found.threshold is not None
    assert (point.of_class, point.threshold, point.rows, point.met) == ("calm", found.threshold.value, 2000, True)
    assert point.interval[0] <= point.threshold <= point.interval[1]
    assert point.figures["recall of calm"].value >= 0.9 > point.at_argmax["recall of calm"]
    assert "calm is answered from a probability of" in point.text and "all limits are met there" in point.text
    assert len(point.curve) == 80
    drawn = threshold_plot(TASK, point, {"recall of calm": Score(metric="r", value=0.9, low=0.8, high=0.95, n=50)})
    assert b"recall of calm" in drawn and b"<script" not in drawn


ACCURACY: dict[str, Any] = {"metric": "accuracy", "at_least": 0.9, "margin": 0.02}
LOSS: dict[str, Any] = {"metric": "log_loss", "at_most": 0.5, "margin": 0.02}


@pytest.mark.parametrize(
    ("target", "classes", "of_class"),
    [
        ({**RECALL, "limits": [ALARMS]}, 2, "calm"),
        ({**ACCURACY, "limits": [ALARMS | {"of_class": "anger"}]}, 2, "anger"),
        ({**ACCURACY, "limits": [ALARMS]}, 5, None),
        (ACCURACY, 2, "calm"),  # the second of two
        ({**ACCURACY, "metric": "macro_f1", "operating_point": "threshold"}, 2, "calm"),
        ({**ACCURACY, "metric": "balanced_accuracy"}, 3, None),
        ({**ACCURACY, "operating_point": "argmax"}, 2, None),
        (LOSS, 2, None),  # of probabilities alone
        ({**LOSS, "limits": [{"metric": "accuracy", "at_least": 0.9}]}, 2, "calm"),
        ({**RECALL, "limits": [ALARMS]}, 5, "calm"),
        ({**RECALL, "limits": [ALARMS], "operating_point": "argmax"}, 2, None),
        ({**ACCURACY, "limits": [ALARMS], "operating_point": "threshold"}, 5, "calm"),
    ],
)
def test_which_tasks_get_a_threshold(target: dict[str, Any], classes: int, of_class: str | None) -> None:
    labels = ("anger", "calm", "fear", "joy", "sorrow")[:classes]
    spec = spec_of(target, {"classes": dict.fromkeys(labels, "A class.")})
    assert threshold_class(spec.target, spec.labels) == of_class


def test_a_threshold_of_no_class_is_refused() -> None:
    asked = {"operating_point": "threshold"}
    with pytest.raises(ValueError, match="operating_point: threshold needs a limit on one class"):
        spec_of({**ACCURACY, **asked}, {"classes": dict.fromkeys(("a", "b", "c"), "A class.")})
    with pytest.raises(ValueError, match=r"depends on which class is answered .* only log_loss"):
        spec_of({**LOSS, **asked})


def test_without_a_threshold_answers_are_the_likeliest_classes() -> None:
    spec = spec_of({**ACCURACY, "operating_point": "argmax"})
    truth, table = rows(3, 500)
    found = as_served(spec, truth, table)
    assert found.threshold is None and operating_point(spec, truth, table) is None
    assert np.array_equal(found.answers(table).classes, table.argmax(axis=1))


def test_validation_is_scored_as_served() -> None:
    truth, table = rows(1, 2000)
    columns: dict[str, Any] = {f"p_{at}": table[:, at] for at in range(2)}
    frame = pd.DataFrame({LABEL: [TASK.labels[at] for at in truth], **columns})
    found, answers = served_answers(frame, TASK)
    recall = metrics_of(TASK)[0]
    assert np.array_equal(found, truth)
    assert recall.value(truth, answers) >= 0.9 > recall.value(truth, table)


def test_the_estimate_in_production_decides_as_the_model_does(tmp_path: Any) -> None:
    number = threshold_number(TASK)
    assert number == 1
    table: npt.NDArray[np.float64] = np.array([[0.6, 0.4], [0.9, 0.1]])
    assert expected_rows(table)[:, 4:].argmax(axis=1).tolist() == [0, 0]
    assert expected_rows(table, Threshold(1, 0.3))[:, 4:].argmax(axis=1).tolist() == [1, 0]
    kept = dataclasses.replace(reference(np.random.default_rng(1), 40), threshold=Threshold(1, 0.3))
    assert load_reference(save_reference(kept, tmp_path / "r.safetensors")).threshold == Threshold(1, 0.3)
