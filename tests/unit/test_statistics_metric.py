from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from metric_samples import limit_of, metric_of
from report_samples import ORDINARY, spec_for
from sklearn import metrics as sk

from playbook.artifacts import Score
from playbook.spec import LOWER_IS_BETTER, METRICS, Limit, Target
from playbook.statistics.answers import Answers, answers_of
from playbook.statistics.metric import bind, metrics_of, target_metric

CLASSES = 4
OF_CLASS = {"recall": 2, "precision": 2, "f1": 2, "false_positive_rate": 2}


def drawn(seed: int, rows: int = 80, sure: float = 1.5) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Truth and probabilities with ties, some right and some wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, CLASSES, rows)
    truth[:CLASSES] = np.arange(CLASSES)
    logits = random.normal(size=(rows, CLASSES)).round(1)
    logits[np.arange(rows), truth] += sure
    raised = np.exp(logits)
    return truth, raised / raised.sum(axis=1, keepdims=True)


def expected(name: str, of_class: int | None, truth: npt.NDArray[Any], probabilities: npt.NDArray[Any]) -> float:
    """The same by scikit-learn."""
    said, one = probabilities.argmax(axis=1), truth == of_class
    if name in ("roc_auc", "average_precision"):
        score = sk.roc_auc_score if name == "roc_auc" else sk.average_precision_score
        chosen = range(CLASSES) if of_class is None else [of_class]
        return float(np.mean([score(truth == at, probabilities[:, at]) for at in chosen]))
    if name == "false_positive_rate":
        true_negative, false_positive, _, _ = sk.confusion_matrix(one, said == of_class).ravel()
        return float(false_positive / (false_positive + true_negative))
    simple = {
        "accuracy": lambda: sk.accuracy_score(truth, said),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(truth, said),
        "macro_f1": lambda: sk.f1_score(truth, said, average="macro"),
        "micro_f1": lambda: sk.f1_score(truth, said, average="micro"),
        "recall": lambda: sk.recall_score(one, said == of_class),
        "precision": lambda: sk.precision_score(one, said == of_class),
        "f1": lambda: sk.f1_score(one, said == of_class),
        "log_loss": lambda: sk.log_loss(truth, probabilities, labels=range(CLASSES)),
    }
    return float(simple[name]())


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_agrees_with_scikit_learn(name: str) -> None:
    for seed in range(12):
        truth, probabilities = drawn(seed)
        for of_class in {OF_CLASS.get(name), 1 if name in ("roc_auc", "average_precision") else OF_CLASS.get(name)}:
            metric = metric_of(name, of_class, CLASSES)
            assert metric.value(truth, probabilities) == pytest.approx(expected(name, of_class, truth, probabilities))


def test_macro_roc_auc_is_scikit_learns_one_versus_rest() -> None:
    truth, probabilities = drawn(3)
    found = metric_of("roc_auc", None, CLASSES).value(truth, probabilities)
    assert found == pytest.approx(sk.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))


def test_an_impossible_answer_costs_what_scikit_learn_says() -> None:
    truth, probabilities = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metric_of("log_loss").value(truth, probabilities) == pytest.approx(sk.log_loss(truth, probabilities))


@pytest.mark.parametrize("name", METRICS)
def test_weights_are_multiplicities(name: str) -> None:
    truth, probabilities = drawn(5, rows=30)
    metric, random = metric_of(name, OF_CLASS.get(name), CLASSES), np.random.default_rng(1)
    picks = random.integers(0, 30, size=(15, 30))
    weights = np.stack([np.bincount(pick, minlength=30) for pick in picks]).astype(float)
    drawn_values = metric.values(truth, probabilities, weights)
    for pick, value in zip(picks, drawn_values, strict=True):
        if not math.isnan(value):
            assert metric.value(truth[pick], probabilities[pick]) == pytest.approx(value), name


@pytest.mark.parametrize("name", METRICS)
def test_a_positive_difference_says_that_the_second_is_better(name: str) -> None:
    truth, poor = drawn(7, rows=300, sure=0.4)
    good = 0.3 * poor + 0.7 * np.eye(CLASSES)[truth] * 0.9 + 0.7 * 0.1 / CLASSES
    metric = metric_of(name, OF_CLASS.get(name), CLASSES, resamples=300)
    values = metric.value(truth, poor), metric.value(truth, good)
    gain = metric.difference(truth, poor, good)
    assert gain.delta == pytest.approx(abs(values[1] - values[0]))
    assert (values[1] < values[0]) == (name in LOWER_IS_BETTER)
    assert 0 < gain.low < gain.delta < gain.high
    back = metric.difference(truth, good, poor)
    assert back.delta == pytest.approx(-gain.delta) and back.high < 0
    assert metric.gain(*values) == pytest.approx(gain.delta)


@pytest.mark.parametrize("name", METRICS)
def test_every_score_has_an_interval_that_repeats(name: str) -> None:
    truth, probabilities = drawn(8, rows=200)
    metric = metric_of(name, OF_CLASS.get(name), CLASSES, resamples=300, seed=2)
    score = metric.score(truth, probabilities)
    assert score == metric.score(truth, probabilities) and score.metric == metric.label
    assert score.low < score.value < score.high and score.low >= 0


def test_a_limit_from_above_is_met_below_it() -> None:
    metric = metric_of("false_positive_rate", 1, bound=0.1)
    score = Score(metric=metric.label, value=0.08, low=0.06, high=0.08 + 1.959964 * 0.015, n=400)
    assert metric.standard_error(score) == pytest.approx(0.015, abs=1e-6)
    assert metric.met(score) and metric.met(score, 1.0) and not metric.met(score, 1.5)
    assert not metric_of("log_loss", bound=0.05).met(score)


def test_false_positives_are_told_apart_on_the_rows_of_other_classes() -> None:
    truth = np.array([0] * 200 + [1] * 20)
    first, second = truth.copy(), truth.copy()
    first[:12] = 1
    second[:2] = 1
    second[200:210] = 0  # misses rows of the class, which do not count here
    metric = metric_of("false_positive_rate", 1)
    assert metric.discordant(truth, first, second) == 10
    gain = metric.difference(truth, first, second)
    assert gain.delta == pytest.approx(0.05) and gain.low > 0
    assert metric.proportion(truth, second) is not None
    assert metric.score(truth, second).value == pytest.approx(0.01)


def test_answers_are_the_most_probable_class_unless_they_say_otherwise() -> None:
    truth, probabilities = np.array([0, 1]), np.array([[0.6, 0.4], [0.6, 0.4]])
    assert answers_of(probabilities).classes.tolist() == [0, 0]
    strict = Answers(np.array([0, 1]), probabilities)
    assert metric_of("accuracy").value(truth, strict) == 1
    assert metric_of("accuracy").value(truth, probabilities) == 0.5
    assert strict.take(np.array([True, False])).classes.tolist() == [0]
    with pytest.raises(ValueError, match="expected classes of shape"):
        Answers(np.array([0, 1]), probabilities[:1])


def test_what_needs_probabilities_says_so() -> None:
    with pytest.raises(ValueError, match="computed from probabilities, and these answers have classes alone"):
        metric_of("roc_auc").value(np.array([0, 1]), np.array([0, 1]))
    with pytest.raises(ValueError, match="expected probabilities of 2 classes"):
        metric_of("log_loss").value(np.array([0, 1]), np.ones((2, 3)) / 3)


def test_an_undefined_metric_counts_as_its_worst() -> None:
    none = np.array([], dtype=np.int64)
    assert metric_of("false_positive_rate", 0).value(np.array([0, 0]), np.array([0, 0])) == 1
    assert metric_of("roc_auc").value(np.zeros(3, np.int64), np.full((3, 2), 0.5)) == 0
    assert metric_of("log_loss").value(none, np.zeros((0, 2))) > 30
    assert metric_of("accuracy").value(none, none) == 0


def test_means_may_leave_classes_out() -> None:
    truth, said = np.array([0, 1, 2, 2]), np.array([0, 1, 0, 1])
    all_classes = metric_of("balanced_accuracy", None, 3)
    own = bind(limit_of("balanced_accuracy"), ("0", "1", "2"), averaged=(0, 1))
    assert all_classes.value(truth, said) == pytest.approx(2 / 3) and own.value(truth, said) == 1


def test_the_task_files_limits_come_target_first_without_those_on_the_model() -> None:
    limits = [{"metric": "latency_p95_ms", "at_most": 50}, {"metric": "log_loss", "at_most": 0.4}]
    spec = spec_for(
        ORDINARY, metric="false_positive_rate", of_class="fault", at_least=None, at_most=0.02, limits=limits
    )
    assert [metric.label for metric in metrics_of(spec)] == ["false_positive_rate of fault", "log_loss"]
    assert target_metric(spec).sign == -1
    assert [limit.label for limit in spec.target.budgets] == ["latency_p95_ms"]
    with pytest.raises(ValueError, match="measured on the model"):
        bind(spec.target.budgets[0], spec.labels)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"metric": "accuracy"}, "exactly one of at_least and at_most, found neither"),
        ({"metric": "accuracy", "at_least": 0.5, "at_most": 0.6}, "found both"),
        ({"metric": "accuracy", "at_most": 0.6}, "accuracy is better the higher it is: give at_least"),
        ({"metric": "log_loss", "at_least": 0.6}, "log_loss is better the lower it is: give at_most"),
        ({"metric": "false_positive_rate", "of_class": "a", "at_most": 2}, "is a fraction"),
        ({"metric": "false_positive_rate", "at_most": 0.1}, "of_class is required"),
        ({"metric": "log_loss", "of_class": "a", "at_most": 0.1}, "and for nothing else"),
    ],
)
def test_a_limit_has_one_side_and_it_is_the_metrics(limit: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limit.model_validate(limit)
    assert Limit.model_validate({"metric": "log_loss", "at_most": 1.7}).bound == 1.7
    assert Limit.model_validate({"metric": "roc_auc", "at_least": 0.7, "of_class": "a"}).label == "roc_auc of a"


def test_what_cannot_be_a_target_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"cannot be the target: an empty model would meet it.*target\.limits"):
        Target.model_validate({"metric": "size_mb", "at_most": 90, "margin": 0.01})
    with pytest.raises(ValueError, match=r"margin of at most 0\.5"):
        Target.model_validate({"metric": "accuracy", "at_least": 0.9, "margin": 0.6})
    assert Target.model_validate({"metric": "log_loss", "at_most": 2, "margin": 0.6}).margin == 0.6
    twice = [{"metric": "log_loss", "at_most": 2}]
    with pytest.raises(ValueError, match="two or more for log_loss"):
        Target.model_validate({"metric": "log_loss", "at_most": 1, "margin": 0.1, "limits": twice})
