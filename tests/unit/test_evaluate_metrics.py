from __future__ import annotations

import numpy as np
import pytest
from metric_samples import metric_value
from sklearn import metrics as sk

from playbook.evaluate.metrics import confusion, per_class
from playbook.statistics.resampling import label_cells
from playbook.statistics.values import metric_values, values_of_many

TRUTH = np.array([0, 0, 0, 1, 1, 2])
ANSWER = np.array([0, 0, 1, 1, 0, 2])


@pytest.mark.parametrize(
    ("metric", "of_class", "expected"),
    [
        ("accuracy", None, 4 / 6),
        ("recall", 0, 2 / 3),
        ("precision", 0, 2 / 3),
        ("f1", 1, 0.5),
        ("balanced_accuracy", None, (2 / 3 + 1 / 2 + 1) / 3),
        ("macro_f1", None, (2 / 3 + 1 / 2 + 1) / 3),
    ],
)
def test_values_worked_out_by_hand(metric: str, of_class: int | None, expected: float) -> None:
    assert metric_value(metric, of_class, TRUTH, ANSWER, 3) == pytest.approx(expected)


def test_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        truth, answer = random.integers(0, 6, 40), random.integers(0, 6, 40)
        expected = {
            ("accuracy", None): sk.accuracy_score(truth, answer),
            ("macro_f1", None): sk.f1_score(truth, answer, average="macro"),
            ("recall", 2): sk.recall_score(truth, answer, labels=[2], average="macro", zero_division=0),
            ("precision", 2): sk.precision_score(truth, answer, labels=[2], average="macro", zero_division=0),
            ("f1", 2): sk.f1_score(truth, answer, labels=[2], average="macro", zero_division=0),
        }
        for (metric, of_class), value in expected.items():
            assert metric_value(metric, of_class, truth, answer, 6) == pytest.approx(value), metric
        if set(answer) <= set(truth):
            assert metric_value("balanced_accuracy", None, truth, answer, 6) == pytest.approx(
                sk.balanced_accuracy_score(truth, answer)
            )


def test_what_has_no_denominator_is_zero_and_absent_classes_do_not_count() -> None:
    truth, answer = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    assert metric_value("recall", 2, truth, answer, 3) == 0
    assert metric_value("precision", 2, truth, answer, 3) == 0
    assert metric_value("f1", 2, truth, answer, 3) == 0
    assert metric_value("macro_f1", None, truth, answer, 3) == 1
    assert metric_value("balanced_accuracy", None, truth, answer, 3) == 1
    never_said = np.array([0, 0, 0, 0])
    assert metric_value("macro_f1", None, truth, never_said, 3) == pytest.approx((2 / 3) / 2)
    nothing = np.array([], dtype=np.int64)
    assert metric_value("accuracy", None, nothing, nothing, 3) == 0


def test_weights_are_multiplicities() -> None:
    random = np.random.default_rng(5)
    truth, answer = random.integers(0, 4, 30), random.integers(0, 4, 30)
    picks = random.integers(0, 30, size=(25, 30))
    weights = np.stack([np.bincount(pick, minlength=30) for pick in picks]).astype(float)
    for metric, of_class in (("accuracy", None), ("macro_f1", None), ("recall", 1), ("precision", 3), ("f1", 0)):
        values = metric_values(metric, of_class, truth, answer, weights, 4)
        expected = [metric_value(metric, of_class, truth[pick], answer[pick], 4) for pick in picks]
        assert np.allclose(np.nan_to_num(values), expected), metric


def test_a_resample_without_the_class_is_marked() -> None:
    weights = np.array([[1.0, 0.0], [1.0, 1.0]])
    values = metric_values("recall", 1, np.array([0, 1]), np.array([0, 1]), weights, 2)
    assert np.isnan(values[0])
    assert values[1] == 1


@pytest.mark.parametrize(
    ("metric", "of_class", "answer", "message"),
    [
        ("auc", None, ANSWER, "unknown metric 'auc'"),
        ("recall", None, ANSWER, "of_class goes with"),
        ("accuracy", 1, ANSWER, "of_class goes with"),
        ("roc_auc", 1, ANSWER, "roc_auc is computed from probabilities"),
        ("recall", 3, ANSWER, "not between 0 and 2"),
        ("accuracy", None, ANSWER[:-1], "one length"),
        ("accuracy", None, ANSWER + 1, "labels from 1 to 3"),
    ],
)
def test_misuse_says_what_was_expected(metric: str, of_class: int | None, answer: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric_values(metric, of_class, TRUTH, answer, np.ones((1, len(TRUTH))), 3)


def test_confusion_and_figures_per_class() -> None:
    assert confusion(TRUTH, ANSWER, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    figures = per_class(TRUTH, ANSWER, ("a", "b", "c"))
    assert [f.label for f in figures] == ["a", "b", "c"]
    assert [f.support for f in figures] == [3, 2, 1]
    assert figures[0].recall == pytest.approx(2 / 3)
    assert figures[1].precision == pytest.approx(1 / 2)
    assert per_class(TRUTH, ANSWER, ("a", "b", "c", "d"))[3].f1 == 0


def test_resamples_taken_together_are_those_taken_one_by_one() -> None:
    random = np.random.default_rng(0)
    truth, answer = random.integers(0, 77, 3080), random.integers(0, 77, 3080)
    weights = random.multinomial(3080, np.full(3080, 1 / 3080), size=1000).astype(float)
    together = metric_values("macro_f1", None, truth, answer, weights, 77)
    assert together.shape == (1000,)
    for at in (0, 499, 999):
        rows = np.repeat(np.arange(3080), weights[at].astype(int))
        expected = sk.f1_score(truth[rows], answer[rows], average="macro", labels=range(77), zero_division=0)
        assert together[at] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "of_class", "averaged"),
    [
        ("accuracy", None, None), ("macro_f1", None, None), ("macro_f1", None, (0, 3)), ("micro_f1", None, None),
        ("balanced_accuracy", None, None), ("balanced_accuracy", None, (1,)), ("recall", 1, None), ("f1", 0, None),
        ("precision", 3, None), ("false_positive_rate", 2, None),
    ],
)  # fmt: skip
def test_many_sets_of_answers_have_the_values_that_each_has_alone(
    metric: str, of_class: int | None, averaged: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(7)
    truth, answers = random.integers(0, 4, 40), random.integers(0, 4, (9, 40))
    answers[0], answers[1] = 2, truth
    weights = random.multinomial(6, np.full(40, 1 / 40), size=30).astype(float)
    each = [metric_values(metric, of_class, truth, answer, weights, 5, averaged) for answer in answers]
    for most in (1, 300, 4_000_000):
        monkeypatch.setattr("playbook.statistics.values.CHUNK", most)
        together = values_of_many(metric, of_class, truth, answers, weights, 5, averaged)
        assert np.array_equal(together, each, equal_nan=True)
    with pytest.raises(ValueError, match="labels from"):
        values_of_many(metric, of_class, truth, answers + 2, weights, 5, averaged)


@pytest.mark.parametrize(("columns", "classes"), [(1, 3), (3, 4), (12, 77)])
def test_rows_are_counted_by_kind_in_their_order(columns: int, classes: int) -> None:
    table = np.random.default_rng(8).integers(0, classes, (columns, 200))
    table = np.hstack([table, table[:, :50]])
    cells, counts, place = label_cells(*table)
    expected = np.unique(table.T, axis=0, return_inverse=True, return_counts=True)
    assert np.array_equal(cells, expected[0]) and np.array_equal(counts, expected[2])
    assert np.array_equal(place, expected[1].reshape(-1))
