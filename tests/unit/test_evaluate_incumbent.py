"""The model that is to be replaced on the same rows: gain, forgetting, new classes."""

from __future__ import annotations

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for

from playbook.evaluate.incumbent import answers_under, compare_incumbent, gain_on
from playbook.spec import LOWER_IS_BETTER

SPEC = spec_for(ORDINARY)
CLASSES = len(SPEC.labels)
TRUTH = np.tile(np.arange(CLASSES), 60)
OLD = np.arange(len(TRUTH)) < len(TRUTH) // 2


def wrong(rows: np.ndarray, every: int) -> np.ndarray:
    """The truth, but wrong in every n-th of some rows."""
    answers = TRUTH.copy()
    chosen = np.flatnonzero(rows)[::every]
    answers[chosen] = (answers[chosen] + 1) % CLASSES
    return answers


def test_gain_on_new_rows_and_forgetting_on_old_ones_are_kept_apart() -> None:
    incumbent, refreshed = wrong(~OLD, 2), wrong(OLD, 10)
    found = compare_incumbent(SPEC, "1.2.0", TRUTH, incumbent, refreshed, OLD, SPEC.labels)
    assert found.score.value == pytest.approx(0.75)
    assert found.delta.value == pytest.approx(0.20)
    assert found.forgetting is not None
    assert found.on_new is not None
    assert (found.forgetting.value, found.on_new.value) == (pytest.approx(-0.10), pytest.approx(0.50))
    assert found.forgetting.high < 0 < found.on_new.low
    assert (found.old_rows, found.new_rows) == (150, 150)
    assert found.text.startswith("Against version 1.2.0, which serves: +20.0 points")


def test_without_old_rows_there_is_no_forgetting() -> None:
    found = compare_incumbent(SPEC, "1.0.0", TRUTH, TRUTH, TRUTH, None, SPEC.labels)
    assert (found.forgetting, found.on_new, found.delta.value) == (None, None, 0.0)
    few = np.arange(len(TRUTH)) < 19
    assert compare_incumbent(SPEC, "1.0.0", TRUTH, TRUTH, TRUTH, few, SPEC.labels).forgetting is None


def test_a_class_that_the_incumbent_does_not_know_has_no_recall_before() -> None:
    known, new = SPEC.labels[1:], SPEC.labels[0]
    found = compare_incumbent(SPEC, "1.0.0", TRUTH, wrong(TRUTH == 0, 1), TRUTH, None, known)
    assert (found.recall[new].before, found.recall[new].after, found.recall[new].rows) == (None, 1.0, 60)
    assert all(found.recall[label].before == 1.0 for label in known)
    assert f"New classes: {new} (recall 100.0 %)" in found.text


@pytest.mark.parametrize("strays", [0, 1, 6])
def test_answers_of_a_new_class_on_old_rows_are_errors_and_no_class_of_their_own(strays: int) -> None:
    """Each of 4 classes has 75 old rows. `strays` of one go to the new class, whose F1 there would be 0: 20 points."""
    spec, new = spec_for(ORDINARY, metric="macro_f1"), 0
    truth, old = np.concatenate([np.tile([1, 2, 3, 4], 75), np.zeros(60, np.int64)]), np.arange(360) < 300
    incumbent = np.where(truth == new, 1, truth)  # it does not know the class, and makes no error on old rows
    refreshed = truth.copy()
    refreshed[np.flatnonzero(truth == 1)[:strays]] = new
    lost_f1 = 1 - 2 * (75 - strays) / (75 + 75 - strays)  # of the one class that loses rows
    found = compare_incumbent(spec, "1.0.0", truth, incumbent, refreshed, old, spec.labels[1:])
    assert found.forgetting is not None
    assert found.forgetting.value == pytest.approx(-lost_f1 / 4)
    assert found.forgetting.low <= -lost_f1 / 4 <= found.forgetting.high
    assert (found.forgetting.high < 0) is (strays == 6), "six rows are the fewest that can be told from chance"


@pytest.mark.parametrize(
    ("metric", "of_class", "only_own", "without_own", "both"),
    [
        ("false_positive_rate", 0, False, True, True),
        ("recall", 0, True, False, True),
        ("precision", 0, True, False, True),
        ("roc_auc", 0, False, False, True),
        ("roc_auc", None, False, True, True),
        ("average_precision", None, False, True, True),
        ("average_precision", 0, False, False, True),
        ("log_loss", None, True, True, True),
    ],
)
def test_a_gain_is_given_where_the_metric_is_defined(
    metric: str, of_class: int | None, only_own: bool, without_own: bool, both: bool
) -> None:
    side = {"at_least": None, "at_most": 0.5} if metric in LOWER_IS_BETTER else {"at_least": 0.5}
    named = {"of_class": ORDINARY[of_class]} if of_class is not None else {}
    accuracy = {"metric": "accuracy", "at_least": 0.5}  # so that no constant answer meets everything
    spec = spec_for(ORDINARY, metric=metric, **side, **named, limits=[accuracy])
    truth = np.arange(200) % CLASSES
    table = np.full((200, CLASSES), 0.1) + 0.5 * np.eye(CLASSES)[truth]
    for rows, given in ((truth == 0, only_own), (truth != 0, without_own), (truth >= 0, both)):
        found = gain_on(spec, truth, table, table, rows)
        assert (found is not None) is given
        assert found is None or found.value == 0.0


def test_answers_of_a_model_with_other_classes_are_put_in_order() -> None:
    table = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    out = answers_under(table, ("b", "gone", "a"), ("a", "b", "new"))
    np.testing.assert_array_equal(out, [[0.1, 0.7, 0.0], [0.6, 0.1, 0.0]])
