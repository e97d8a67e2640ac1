from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from metric_samples import limit_of, metric_of, paired_difference

from playbook.artifacts import Score
from playbook.evaluate.paired import discordance, wilson
from playbook.statistics.metric import bind

Labels = npt.NDArray[np.int64]


def pair(random: np.random.Generator, rows: int, gained: float, lost: float) -> tuple[Labels, Labels, Labels]:
    """Two models on two classes: the second alone is right on `gained` of the rows, the first alone on `lost`."""
    truth = random.integers(0, 2, rows)
    kind = random.choice(4, rows, p=[gained, lost, 0.7, 0.3 - gained - lost])
    first = np.where((kind == 0) | (kind == 3), 1 - truth, truth)
    second = np.where((kind == 1) | (kind == 3), 1 - truth, truth)
    return truth, first, second


def test_wilson_against_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263 and 0 of 20.
    assert wilson(81, 263, 0.95) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert wilson(0, 20, 0.95) == (0, pytest.approx(0.1611, abs=1e-4))
    assert wilson(0, 0, 0.95) == (0, 1)


def test_score_of_recall_counts_rows_of_its_class() -> None:
    truth, answer = np.array([0] * 80 + [1] * 20), np.array([0] * 80 + [1] * 15 + [0] * 5)
    found = bind(limit_of("recall", "b"), ("a", "b"), resamples=200, seed=1).score(truth, answer)
    assert (found.metric, found.value, found.n) == ("recall of b", 0.75, 100)
    assert (found.low, found.high) == wilson(15, 20, 0.95)


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy"])
def test_score_of_other_metrics_is_bracketed_and_repeatable(metric: str) -> None:
    truth, _, answer = pair(np.random.default_rng(1), 300, 0.1, 0.05)
    runs = [metric_of(metric, resamples=500, seed=4).score(truth, answer) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].low < runs[0].value < runs[0].high
    assert runs[0].high - runs[0].low == pytest.approx(4 * math.sqrt(0.16 / 300), rel=0.35)


def test_difference_is_repeatable_and_signed() -> None:
    truth, first, second = pair(np.random.default_rng(2), 500, 0.12, 0.02)
    forth = paired_difference("accuracy", None, truth, first, second, 2, seed=9)
    assert forth == paired_difference("accuracy", None, truth, first, second, 2, seed=9)
    assert forth != paired_difference("accuracy", None, truth, first, second, 2, seed=10)
    assert forth.delta == pytest.approx(np.mean(second == truth) - np.mean(first == truth))
    assert forth.low < forth.delta < forth.high
    apart = discordance(truth, first, second)
    assert forth.standard_error == pytest.approx(math.sqrt((apart - forth.delta**2) / 500), rel=0.1)
    assert paired_difference("accuracy", None, truth, second, first, 2, seed=9).delta == -forth.delta


def test_a_handful_of_discordant_rows_proves_nothing() -> None:
    truth = np.zeros(200, dtype=np.int64)
    first = truth.copy()
    first[:4] = 1  # the second model is right on these four as well: McNemar's exact p is 0.125
    assert paired_difference("accuracy", None, truth, first, truth, 2).low <= 0
    same = paired_difference("accuracy", None, truth, truth, truth, 2)
    assert same.delta == 0
    assert same.low < 0 < same.high


def test_a_class_without_rows_leaves_everything_open() -> None:
    truth = np.zeros(20, dtype=np.int64)
    found = paired_difference("recall", 1, truth, truth, truth, 2)
    assert (found.delta, found.low, found.high, found.standard_error) == (0, -1, 1, 1)


@pytest.mark.parametrize(("metric", "true_gain"), [("accuracy", 0.05), ("balanced_accuracy", 0.05)])
def test_coverage_of_the_interval(metric: str, true_gain: float) -> None:
    random, covered, runs = np.random.default_rng(11), 0, 400
    for run in range(runs):
        truth, first, second = pair(random, 400, 0.10, 0.05)
        found = paired_difference(metric, None, truth, first, second, 2, 0.90, 300, run)
        covered += found.low <= true_gain <= found.high
    assert 0.85 <= covered / runs <= 0.95  # 0.90, four standard errors wide: 95 % or 80 % intervals would fail


def test_discordance() -> None:
    truth = np.array([0, 0, 0, 0, 0])
    assert discordance(truth, np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])) == pytest.approx(2 / 5)
    assert discordance(truth[:0], truth[:0], truth[:0]) == 0


def test_meeting_a_limit_with_room_to_spare() -> None:
    metric = metric_of("accuracy", bound=0.85)
    score = Score(metric="accuracy", value=0.87, low=0.87 - 1.959964 * 0.015, high=0.9, n=500)
    assert metric.standard_error(score) == pytest.approx(0.015, abs=1e-6)
    assert metric.met(score)
    assert metric.met(score, 1.0)
    assert not metric.met(score, 1.5)
    assert metric_of("accuracy", bound=0.3).met(score.model_copy(update={"value": 0.1 + 0.2 - 1e-12}))


def test_a_difference_of_many_classes_is_seen() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 77, 3080)
    sides = [np.where(random.random(3080) < 0.9, truth, random.integers(0, 77, 3080)) for _ in range(2)]
    found = paired_difference("macro_f1", None, truth, *sides, 77, 0.95, 500, 1)
    assert found.low < 0 < found.high
    worse = np.where(random.random(3080) < 0.7, truth, random.integers(0, 77, 3080))
    assert paired_difference("macro_f1", None, truth, worse, sides[0], 77, 0.95, 500, 1).low > 0.1


@pytest.mark.parametrize(
    ("metric", "of_class"),
    [("accuracy", None), ("macro_f1", None), ("balanced_accuracy", None), ("f1", 1), ("precision", 1), ("recall", 1)],
)
def test_under_six_discordant_rows_include_zero_whatever_the_metric(metric: str, of_class: int | None) -> None:
    truth = np.array([0] * 190 + [1] * 10)
    for changed, claims in ((5, False), (10, True)):
        first = truth.copy()
        first[190 : 190 + changed] = 0  # the second model finds these rows of the small class, the first does not
        if metric == "precision":
            first = truth.copy()
            first[:changed] = 1
        found = paired_difference(metric, of_class, truth, first, truth, 2)
        assert found.delta > 0
        assert metric_of(metric, of_class).discordant(truth, first, truth) == changed
        assert (found.low > 0) == claims, (metric, changed, found)


def test_discordant_rows_are_those_that_the_metric_counts() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2])
    first = np.array([0, 1, 1, 0, 2, 0])
    second = np.array([0, 2, 0, 1, 1, 1])
    assert metric_of("accuracy", None, 3).discordant(truth, first, second) == 3  # rows 2, 3 and 4
    assert metric_of("recall", 1, 3).discordant(truth, first, second) == 2  # rows 2 and 3
    assert metric_of("f1", 1, 3).discordant(truth, first, second) == 5  # all on which one of them alone says 1


def test_balanced_accuracy_is_as_unsure_as_its_smallest_class() -> None:
    truth = np.array([0] * 600 + [1] * 12)
    first, second = truth.copy(), truth.copy()
    first[:30] = 1  # the second model is better by 5 points on the large class, and both have all of the small one
    found = paired_difference("balanced_accuracy", None, truth, first, second, 2)
    assert found.delta == pytest.approx(0.025)
    # By hand, Agresti and Min per class: 600 rows with 30 against 0, 12 rows with none; a quarter of a row per cell.
    apart = [30 / 601, 0.0]
    variance = [((30.5 / 601) - apart[0] ** 2) / 601, (0.5 / 13) / 13]
    half = 1.959964 * math.sqrt(sum(variance)) / 2
    assert found.low == pytest.approx(sum(apart) / 2 - half, abs=1e-6)
    assert found.high == pytest.approx(sum(apart) / 2 + half, abs=1e-6)
    assert found.low < 0 < paired_difference("accuracy", None, truth, first, second, 2).low
