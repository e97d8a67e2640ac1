from __future__ import annotations

import math

import numpy as np
import pytest
from metric_samples import metric_of
from scipy.stats import norm

from benchmarks.intervals import Setting, made_up, measure
from playbook.evaluate import wording
from playbook.spec.section import LimitName
from playbook.statistics.least_rows import LEAST_ROWS, LEAST_ROWS_OF_EACH
from playbook.statistics.ranking_intervals import auc_interval, auc_of, loss_interval
from playbook.statistics.resampling import wilson

RUNS = 600
CHANCE = 3.3 * math.sqrt(0.95 * 0.05 / RUNS)  # of a simulated coverage, one case in a thousand


@pytest.mark.parametrize(
    ("metric", "share", "rows", "paired"),
    [
        ("f1", 0.03, 200, False),  # a percentile bootstrap covers 82 to 91 % of such splits
        ("macro_f1", 0.1, 200, True),
        ("balanced_accuracy", 0.1, 100, False),
        pytest.param("f1", 0.05, 100, False, marks=pytest.mark.proof),
        pytest.param("f1", 0.1, 600, True, marks=pytest.mark.proof),
        pytest.param("macro_f1", 0.05, 200, False, marks=pytest.mark.proof),
        pytest.param("balanced_accuracy", 0.2, 600, True, marks=pytest.mark.proof),
    ],
)
def test_intervals_cover_a_known_truth_as_often_as_promised(metric: str, share: float, rows: int, paired: bool) -> None:
    found = measure(Setting("made up", share, rows, metric, paired), made_up(share), RUNS)
    assert not found.is_refused
    assert 0.93 - CHANCE <= found.covered <= 0.975 + CHANCE


@pytest.mark.parametrize("metric", ["f1", "macro_f1", "balanced_accuracy", "recall"])
def test_a_class_of_one_per_cent_in_sixty_rows_is_refused(metric: str) -> None:
    assert measure(Setting("made up", 0.01, 60, metric, False), made_up(0.01), 100).is_refused


def test_the_interval_of_f1_is_wilsons_of_the_rows_that_are_or_are_taken_for_the_class() -> None:
    truth = np.array([1] * 20 + [0] * 180)
    said = truth.copy()
    said[:4] = 0  # four missed, six taken for it: 16 of 26 rows are hits
    said[20:26] = 1
    found = metric_of("f1", 1).score(truth, said)
    low, high = wilson(16, 26, 0.95)
    assert found.value == pytest.approx(32 / 42)
    assert (found.low, found.high) == (pytest.approx(2 * low / (1 + low)), pytest.approx(2 * high / (1 + high)))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "recall", "f1"])
def test_a_difference_that_is_clear_is_told_though_hardly_anything_varies(metric: LimitName) -> None:
    """A baseline that never finds a class of one row in ten, and a model that finds nearly all of them."""
    truth = np.repeat([0, 1, 2], [240, 120, 40])
    never, nearly = np.where(truth == 2, 0, truth), truth.copy()
    nearly[360:363] = 0
    of_class = 2 if metric in ("recall", "f1") else None
    gain = metric_of(metric, of_class, 3).difference(truth, never, nearly)
    assert gain.too_few == "" and gain.low > gain.high - gain.low
    some, more = truth.copy(), truth.copy()
    some[360:372], more[360:368] = 0, 0
    little = metric_of(metric, of_class, 3).difference(truth, some, more)
    assert "too few rows of 2 to tell the models apart" in little.too_few, "four rows are no clear difference"


def test_too_few_rows_are_named_with_the_number_that_would_do() -> None:
    truth = np.array([0] * 100 + [1] * 3)
    found = metric_of("recall", 1).score(truth, truth)
    assert found.too_few == f"too few rows of 1 to say; {LEAST_ROWS} would do"
    assert (found.low, found.high) == wilson(3, 3, 0.95)
    mean = metric_of("macro_f1", None, 4).score(truth, truth)
    assert mean.too_few == f"too few rows of 1 and 2 more to say; {LEAST_ROWS_OF_EACH} of each would do"
    assert wording.score_range(mean) == f"100.0 % ({mean.too_few})"
    assert not any(metric_of("macro_f1", bound=0.5).met(mean, errors) for errors in (0.0, 0.1))
    assert metric_of("accuracy").score(truth, truth).too_few == ""
    first = truth.copy()
    first[100:] = 0
    gain = metric_of("f1", 1).difference(truth, first, truth)
    assert gain.delta == 1 and gain.low <= 0 and "too few rows of 1" in gain.too_few


def test_a_difference_that_hangs_on_unseen_rows_says_how_many_would_do() -> None:
    random = np.random.default_rng(1)
    truth = np.array([0] * 500 + [1] * 20)
    first, second = (np.where(random.random(520) < 0.03, 1 - truth, truth) for _ in range(2))
    found = metric_of("balanced_accuracy").difference(truth, first, second)
    assert found.too_few.startswith("too few rows of 1 to tell the models apart; about ")
    would_do = int(found.too_few.split("about ")[1].split()[0].replace(",", ""))
    assert 20 < would_do < 500
    more = np.array([0] * 500 + [1] * would_do * 2)
    first, second = (np.where(random.random(len(more)) < 0.1, 1 - more, more) for _ in range(2))
    assert metric_of("balanced_accuracy").difference(more, first, second).too_few == ""


def test_identical_models_differ_by_nothing_and_that_is_not_certain() -> None:
    truth = np.random.default_rng(2).integers(0, 3, 300)
    for name, of_class in (("macro_f1", None), ("f1", 1), ("precision", 2), ("false_positive_rate", 0)):
        found = metric_of(name, of_class, 3).difference(truth, truth, truth)
        assert found.delta == 0 and found.low < 0 < found.high


@pytest.mark.parametrize(("share", "rows"), [(0.1, 100), (0.3, 200)])
def test_roc_auc_covers_a_known_truth(share: float, rows: int) -> None:
    random, covered, runs = np.random.default_rng(3), 0, 300
    true = norm.cdf(1.5 / math.sqrt(2))
    for _ in range(runs):
        positive = random.random(rows) < share
        positive[:2] = (True, False)
        one = auc_of(positive, random.normal(size=rows) + 1.5 * positive)
        assert one is not None
        low, high = auc_interval([one], 0.95)
        covered += low <= true <= high
    assert 0.93 - 0.042 <= covered / runs <= 0.975 + 0.025


def test_log_loss_covers_a_known_truth_though_it_is_skewed() -> None:
    random, covered, runs = np.random.default_rng(4), 0, 400
    for _ in range(runs):
        low, high = loss_interval(random.gamma(0.5, 1.0, 100), 0.95)
        covered += low <= 0.5 <= high
    assert 0.91 <= covered / runs <= 0.99


def test_nothing_crashes_on_degenerate_rows() -> None:
    none, one = np.array([], np.int64), np.array([0])
    for name in ("macro_f1", "balanced_accuracy", "accuracy"):
        metric = metric_of(name, None, 2)
        for rows in (none, one):
            score, gain = metric.score(rows, rows), metric.difference(rows, rows, rows)
            assert 0 <= score.low <= score.value <= score.high <= 1 and gain.low <= 0 <= gain.high
    for name in ("roc_auc", "average_precision", "log_loss"):
        for rows in (none, one):
            chances = np.full((len(rows), 2), 0.5)
            metric_of(name).score(rows, chances)
            metric_of(name).difference(rows, chances, chances)
