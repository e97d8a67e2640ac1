"""The learning curve on made-up features: what is measured, and how often what it says of twice the rows holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from playbook.adapt.fewer_rows import heads_with_fewer_rows
from playbook.adapt.frozen import FrozenFeatures, validated_by
from playbook.adapt.head import L2_GRID, fit_head, strengths_near
from playbook.adapt.rows import RungData, class_weights
from playbook.artifacts import Figure
from playbook.data.learning_curve import (
    CurveHeads,
    CurveRows,
    CurveRules,
    MeasuredCurve,
    default_repeats,
    judge_gain,
    learning_curve,
    nested_order,
    subsample_sizes,
)
from playbook.data.learning_curve_plot import learning_curve_plot
from playbook.data.twice_the_rows import Steps, outlook
from playbook.spec import Limit
from playbook.statistics.answers import answers_of
from playbook.statistics.metric import bind

METRIC = Limit(metric="accuracy", at_least=0.5)
Made = tuple[np.ndarray, np.ndarray]  # features, labels


def rules(repeats: int = 6, classes: int = 2) -> CurveRules:
    return CurveRules(METRIC, tuple("abcdefghij"[:classes]), 6, repeats, 0.01, 13)


def world(rows: int, distance: float, seed: int = 2, classes: int = 2, width: int = 40) -> Made:
    """Rows around the centres of their classes."""
    labels = np.arange(rows, dtype=np.int64) % classes
    centres = np.random.default_rng(5).normal(size=(classes, width)) * distance
    noise = np.random.default_rng(seed).normal(size=(rows, width))
    return (centres[labels] + noise).astype(np.float32), labels


def curve_of(made: Made, train: int, validation: int, classes: int = 2) -> tuple[MeasuredCurve | None, float]:
    """The curve of the first rows, measured on the next ones, and the validation score of the frozen baseline."""
    features, labels = (part[: train + validation] for part in made)
    numbers = np.arange(train + validation)
    data = RungData(np.ones(len(labels)), labels, numbers[:train], numbers[train:])
    found, metric = FrozenFeatures(features, data, pd.DataFrame(), ""), bind(METRIC, rules(classes=classes).labels)
    weights = class_weights(labels[:train], classes, "none")
    validate = validated_by(found, metric)
    fitted = fit_head(features[:train], labels[:train], classes, weights, validate, lambda said: None)
    fewer = heads_with_fewer_rows(found, metric, "none", fitted.l2)
    heads = CurveHeads(answers_of(fitted.head.probabilities(features[train:])), lambda rows: answers_of(fewer(rows)))
    curve = learning_curve(CurveRows(labels, data.train, data.validation), rules(classes=classes), heads)
    return curve, fitted.grid[fitted.l2]


def test_sizes_grow_to_all_rows_and_tiny_data_has_none() -> None:
    assert subsample_sizes(1883, 5, 6) == [59, 118, 236, 471, 942, 1883]
    assert subsample_sizes(3000, 77, 6)[0] == 231
    assert subsample_sizes(40, 2, 6) == []
    assert curve_of(world(140, 0.3), 40, 100)[0] is None


def test_large_data_is_drawn_less_often() -> None:
    assert default_repeats(8, 4999, 19) == 8 and default_repeats(3, 9000, 77) == 3
    assert default_repeats(8, 5000, 2) == default_repeats(8, 300, 20) == 4


def test_every_beginning_of_the_order_has_the_classes_in_proportion() -> None:
    labels = np.array([0] * 300 + [1] * 90 + [2] * 10)
    order = nested_order(labels, np.random.default_rng(4))
    assert sorted(order.tolist()) == list(range(400))
    for size in (40, 120, 200):
        counts = np.bincount(labels[order[:size]], minlength=3)
        assert np.abs(counts - size * np.array([300, 90, 10]) / 400).max() <= 1


def test_a_head_on_fewer_rows_may_take_the_strengths_around_the_same_penalty_in_total() -> None:
    assert strengths_near(0.01) == (0.03, 0.01, 0.003)
    assert strengths_near(0.011 * 8) == (0.1, 0.03) and strengths_near(1e-7) == L2_GRID[-2:]


@pytest.fixture(scope="module")
def rising() -> tuple[MeasuredCurve, float]:
    found, baseline = curve_of(world(600, 0.12), 300, 300)
    assert found is not None
    return found, baseline


def test_the_curve_ends_where_the_baseline_stands(rising: tuple[MeasuredCurve, float]) -> None:
    found, baseline = rising
    last = found.curve.points[-1]
    assert last.score == baseline and last.rows == found.curve.rows_now == 300 and last.repeats == 1
    assert [point.repeats for point in found.curve.points[:-1]] == [6, 6, 6, 6, 6]
    assert found.outlook.expected([300]) == pytest.approx([baseline])
    assert "the frozen baseline reaches accuracy" in found.curve.text


def test_a_curve_that_still_rises_predicts_a_gain_and_a_flat_one_none(rising: tuple[MeasuredCurve, float]) -> None:
    flat, _ = curve_of(world(600, 1.0), 300, 300)
    assert flat is not None
    gain = rising[0].curve.gain_of_twice
    assert gain.low < gain.value < gain.high and gain.value > 0.008 > flat.curve.gain_of_twice.high
    assert flat.curve.verdict == "plateau" and "does not pay" in flat.curve.text
    again, _ = curve_of(world(600, 0.12), 300, 300)
    assert again is not None
    assert again.curve.model_copy(update={"seconds": 0}) == rising[0].curve.model_copy(update={"seconds": 0})


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.02, 0.05, "data-limited"), (0.0, 0.009, "plateau"), (0.0, 0.02, "unclear")]
)
def test_the_verdict_follows_its_rule(low: float, high: float, verdict: str) -> None:
    assert judge_gain(Figure(value=(low + high) / 2, low=low, high=high), 0.01) == verdict


# What is said of twice the rows

SIZES = np.array([50.0, 100, 200, 400, 800, 1600])


def steps(scores: np.ndarray, noise: float = 0.0, highest: float = 1.0) -> Steps:
    covariance = noise**2 * (2 * np.eye(5) - np.eye(5, k=1) - np.eye(5, k=-1))
    return Steps(SIZES, scores, covariance, noise, highest, 1)


@pytest.mark.parametrize(("a", "b", "c"), [(0.95, 1.2, 0.5), (0.8, 0.4, 0.25), (1.0, 0.9, 0.3)])
def test_a_law_without_noise_is_found(a: float, b: float, c: float) -> None:
    found = outlook(steps(a - b * SIZES**-c), 1)
    truth = b * (1600**-c - 3200**-c)
    assert found.gain == pytest.approx(truth, rel=0.3) and found.ratio == pytest.approx(2**-c, rel=0.15)
    assert np.quantile(found.gains, 0.025) < truth < np.quantile(found.gains, 0.975)
    assert found.expected(SIZES) == pytest.approx(a - b * SIZES**-c, abs=0.03)


def test_a_gain_goes_no_further_than_the_best_score() -> None:
    found = outlook(steps(np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.99]), 0.01), 1)
    assert found.gains.max() <= 0.01 + 1e-12 and (found.drawn([3200]) <= 1 + 1e-12).all()


def test_the_interval_covers_curves_of_several_kinds() -> None:
    """Power laws, a straight line in log n, a logistic and an exponential curve, with noise of two sizes."""
    kinds = [
        lambda n: 0.9 - 1.1 * n**-0.35,
        lambda n: 0.97 - 2.5 * n**-0.6,
        lambda n: 0.4 + 0.04 * np.log2(n),
        lambda n: 0.85 / (1 + (150 / n) ** 0.6),
        lambda n: 0.8 - 0.4 * np.exp(-n / 900),
    ]
    random = np.random.default_rng(6)
    held = []
    for kind in kinds:
        for noise in (0.004, 0.012):
            truth = float(kind(3200.0) - kind(1600.0))
            for trial in range(40):
                found = outlook(steps(kind(SIZES) + random.normal(0, noise, 6), noise), trial)
                low, high = np.quantile(found.gains, [0.025, 0.975])
                held.append(low <= truth <= high)
    assert 0.9 <= np.mean(held) <= 1


@pytest.mark.proof
@pytest.mark.parametrize(("classes", "width", "distance", "train"), [(2, 60, 0.22, 300), (5, 100, 0.2, 800)])
def test_the_interval_covers_the_gain_on_new_rows(classes: int, width: int, distance: float, train: int) -> None:
    held = []
    for seed in range(40):
        made = world(2 * train + 200 + 8000, distance, seed, classes, width)
        found, _ = curve_of(made, train, 200, classes)
        assert found is not None
        more = np.r_[0:train, train + 200 : 2 * train + 200]
        score = []
        for rows in (np.arange(train), more):
            data = RungData(np.ones(1), made[1], rows, np.arange(train, train + 200))
            frozen = FrozenFeatures(made[0], data, pd.DataFrame(), "")
            validate = validated_by(frozen, bind(METRIC, rules(classes=classes).labels))
            ones = np.ones(classes, np.float32)
            head = fit_head(made[0][rows], made[1][rows], classes, ones, validate, lambda said: None).head
            new = slice(2 * train + 200, None)
            score.append(float((head.probabilities(made[0][new]).argmax(1) == made[1][new]).mean()))
        gain = found.curve.gain_of_twice
        held.append(gain.low <= score[1] - score[0] <= gain.high)
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize(("kind", "head"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_the_plot_is_labelled(rising: tuple[MeasuredCurve, float], kind: str, head: bytes) -> None:
    image = learning_curve_plot(rising[0], kind)  # type: ignore[arg-type]
    assert image.startswith(head)
    if kind == "svg":
        text = image.decode()
        parts = ("training rows", "accuracy on validation", "extrapolated", "95% interval", "twice the rows")
        for said in (*parts, "frozen baseline"):
            assert said in text
