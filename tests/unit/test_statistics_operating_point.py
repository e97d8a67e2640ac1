"""A decision threshold that meets all limits: by hand, and against thresholds that are known to be right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threshold_samples import rows

from playbook.spec import Limit
from playbook.statistics.metric import Metric, bind
from playbook.statistics.operating_point import Threshold, answers_at, best_threshold, candidates, choose_point, decide

LABELS = ("calm", "anger")
RECALL = Limit(metric="recall", of_class="anger", at_least=0.9)
ALARMS = Limit(metric="false_positive_rate", of_class="anger", at_most=0.1)


def metrics(*limits: Limit, labels: tuple[str, ...] = LABELS) -> list[Metric]:
    return [bind(limit, labels) for limit in limits]


def test_classes_by_hand() -> None:
    table = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    assert decide(table).tolist() == [0, 2, 1]
    assert decide(table, Threshold(1, 0.3)).tolist() == [1, 1, 1]
    assert decide(table, Threshold(1, 0.31)).tolist() == [0, 2, 1]
    assert decide(table, Threshold(1, 0.81)).tolist() == [0, 2, 0]  # the likeliest of the others
    assert answers_at(table, Threshold(1, 0.3)).probabilities is table


def test_limits_that_the_likeliest_class_misses_are_met_on_new_rows() -> None:
    truth, table = rows(1, 2000)
    found = choose_point(metrics(RECALL, ALARMS), 1, truth, table)
    assert found is not None
    fresh, answers = rows(2, 20_000)
    recall, alarms = metrics(RECALL, ALARMS)
    plain = recall.value(fresh, answers_at(answers))
    decided = answers_at(answers, found.threshold)
    assert plain < 0.87
    assert recall.value(fresh, decided) >= 0.9 and alarms.value(fresh, decided) <= 0.1
    assert found.threshold.value < 0.5
    low, high = found.interval
    assert low <= found.threshold.value <= high and high - low < 0.4
    assert found.at_argmax[0] < 0.9 <= found.values[0, found.place]


def test_the_intervals_cover_new_rows() -> None:
    fresh, answers = rows(99, 50_000)
    asked = metrics(RECALL, ALARMS)
    hits = 0
    for seed in range(40):
        found = choose_point(asked, 1, *rows(seed, 600), seed=seed)
        assert found is not None
        above = answers[:, 1] >= found.threshold.value
        truths = [above[fresh == number].mean() for number in (1, 0)]  # recall and false positives, the quick way
        hits += sum(low <= value <= high for value, (low, high) in zip(truths, found.intervals, strict=True))
    assert hits / 80 >= 0.89  # 0.95, two and a half standard errors


def test_what_cannot_be_met_is_missed_least() -> None:
    truth, table = rows(3, 1500)
    hard = [RECALL.model_copy(update={"at_least": 0.999}), ALARMS.model_copy(update={"at_most": 0.001})]
    found = choose_point(metrics(*hard), 1, truth, table)
    assert found is not None
    recall, alarms = found.values[:, found.place]
    assert 0.5 < recall < 0.999 and 0.001 < alarms < 0.5


def test_one_class_against_the_rest() -> None:
    random = np.random.default_rng(4)
    truth = random.integers(0, 3, 900)
    odds = random.normal(size=(900, 3)) + 1.5 * np.eye(3)[truth]
    table = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    limit = Limit(metric="recall", of_class="b", at_least=0.9)
    accuracy = Limit(metric="accuracy", at_least=0.6)
    found = choose_point(metrics(limit, accuracy, labels=("a", "b", "c")), 1, truth, table)
    assert found is not None and found.threshold.number == 1
    recall, right = found.values[:, found.place]
    assert recall > found.at_argmax[0] and right > 0.6


def test_limits_of_probabilities_alone_need_no_threshold() -> None:
    truth, table = rows(5, 100)
    assert choose_point(metrics(Limit(metric="log_loss", at_most=0.5)), 1, truth, table) is None


def test_the_same_rows_give_the_same_point() -> None:
    first, second = (choose_point(metrics(RECALL, ALARMS), 1, *rows(6, 400), seed=3) for _ in range(2))
    assert first is not None and second is not None
    assert best_threshold(metrics(RECALL, ALARMS), 1, *rows(6, 400)) == first.threshold
    assert (first.threshold, first.interval, first.intervals) == (second.threshold, second.interval, second.intervals)


@pytest.mark.parametrize("values", [[0.5], [0.2, 0.2, 0.9], list(np.linspace(0, 1, 5000))])
def test_candidates_lie_between_probabilities(values: list[Any]) -> None:
    found = candidates(np.array(values), np.arange(len(values)) % 2 == 0)
    assert len(found) <= 200 and (np.diff(found) > 0).all()
    assert found[0] <= min(values) and found[-1] >= max(values)


@pytest.mark.parametrize(("number", "slack"), [(1, 0.0), (0, 0.0005)])
def test_a_rare_class_has_what_the_full_set_of_thresholds_has(number: int, slack: float) -> None:
    """1 % of 10,000 rows, as the class and as its opposite: at every recall the fewest false positives that there are.

    `slack` is of the recall: 9,900 rows of a class cannot each have a threshold.
    """
    truth, table = rows(11, 10_000, share=0.01)
    truth = truth if number else 1 - truth
    table = table if number else table[:, ::-1]
    own, shown = truth == 1, table[:, 1]
    distinct = np.unique(shown)
    every = np.concatenate([[0.0], (distinct[1:] + distinct[:-1]) / 2, [1.0]])
    found = candidates(shown, own)
    (recalls, alarms), (few_recalls, few_alarms) = (
        [1 - np.searchsorted(np.sort(shown[part]), thresholds) / part.sum() for part in (own, ~own)]
        for thresholds in (every, found)
    )
    assert len(found) <= 200
    for least in np.linspace(0.5, 1.0, 51):
        fewest = alarms[recalls >= least].min()
        assert ((few_recalls >= least - slack) & (few_alarms <= fewest)).any(), least


def test_limits_that_few_thresholds_of_a_rare_class_meet_are_met() -> None:
    """26 of the 9,949 thresholds do; of every fiftieth by rank none."""
    truth, table = rows(4, 10_000, share=0.01)
    asked = metrics(RECALL.model_copy(update={"at_least": 0.5}), ALARMS.model_copy(update={"at_most": 0.002}))
    found = best_threshold(asked, 1, truth, table)
    recall, alarms = (metric.value(truth, answers_at(table, found)) for metric in asked)
    assert recall >= 0.5 and alarms <= 0.002


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="found none"):
        choose_point(metrics(RECALL), 1, np.zeros(0, np.int64), np.zeros((0, 2)))


def test_loose_limits_do_not_make_every_answer_the_same() -> None:
    truth, table = rows(7, 1500)
    loose = [RECALL.model_copy(update={"at_least": 0.5}), ALARMS.model_copy(update={"at_most": 0.9})]
    found = choose_point(metrics(*loose), 1, truth, table)
    assert found is not None
    wrong = (answers_at(table, found.threshold).classes != truth).mean()
    assert wrong <= (answers_at(table).classes != truth).mean() + 1e-9
    assert found.threshold.value == pytest.approx(0.5, abs=0.2)


def on_new_rows(name: str, share: float, at_least: float, count: int = 300, seeds: int = 20) -> list[float]:
    """Gain of the chosen threshold over the likeliest class on rows that it was not chosen on, in points."""
    metric = bind(Limit(metric=name, at_least=at_least), LABELS)  # type: ignore[arg-type]
    found = []
    for seed in range(seeds):
        fresh, answers = rows(1000 + seed, 20_000, share)
        threshold = best_threshold([metric], 1, *rows(seed, count, share))
        found.append(
            100 * (metric.value(fresh, answers_at(answers, threshold)) - metric.value(fresh, answers_at(answers)))
        )
    return found


@pytest.mark.parametrize(("name", "at_least"), [("accuracy", 0.8), ("accuracy", 0.97), ("macro_f1", 0.97)])
def test_even_classes_lose_next_to_nothing_by_a_threshold(name: str, at_least: float) -> None:
    gains = on_new_rows(name, 0.5, at_least)
    assert np.mean(gains) > -0.15


@pytest.mark.parametrize(
    ("share", "count"),
    [(0.2, 300), *(pytest.param(0.5, count, marks=pytest.mark.proof) for count in (300, 1000))],
)
def test_without_a_true_gain_another_threshold_is_rarely_taken_for_better(share: float, count: int) -> None:
    """Accuracy of calibrated probabilities is greatest at 0.5. With 2 standard errors 5 to 12 % leave it."""
    metric = bind(Limit(metric="accuracy", at_least=0.97), LABELS)
    drawn = [best_threshold([metric], 1, *rows(seed, count, share)) for seed in range(60)]
    assert sum(one != Threshold(1, 0.5) for one in drawn) <= 1


def test_a_rare_class_gains_by_a_threshold_in_what_it_weighs_in() -> None:
    gains = on_new_rows("balanced_accuracy", 0.05, 0.97, count=1000)
    assert np.mean(gains) > 3 and min(gains) > -1


def test_a_likeliest_class_that_meets_every_limit_with_room_stays_the_answer() -> None:
    metric = bind(Limit(metric="macro_f1", at_least=0.6), LABELS)
    assert best_threshold([metric], 1, *rows(3, 1000)) == Threshold(1, 0.5)
    point = choose_point([metric], 1, *rows(3, 1000))
    assert point is not None and point.threshold == Threshold(1, 0.5)
    assert point.values[0, point.place] == pytest.approx(point.at_argmax[0])
