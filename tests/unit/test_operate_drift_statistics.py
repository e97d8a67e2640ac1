from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from playbook.operate import two_sample
from playbook.operate.drift import drawn
from playbook.operate.thresholds import Thresholds, thresholds_of
from playbook.operate.two_sample import RIDGE, Standardised


def sample(rows: int = 40, width: int = 6, markings: int = 5, inside: int = 11) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    features = random.normal(3, np.linspace(1, 4, width), (rows, width)).astype(np.float32)
    return features, drawn(random, rows, inside, markings)


def test_leaving_one_row_out_is_exact() -> None:
    features, members = sample()
    rows = Standardised(features)
    found = rows.left_out_scores(members)
    x = rows.scaled.astype(np.float64)
    for marking in range(members.shape[1]):
        target = members[:, marking] - members[:, marking].mean()
        for row in range(len(x)):
            kept = np.arange(len(x)) != row
            # the penalty stays that of all rows
            weights = np.linalg.solve(
                x[kept].T @ x[kept] + RIDGE * len(x) * np.eye(x.shape[1]), x[kept].T @ target[kept]
            )
            assert found[row, marking] == pytest.approx(x[row] @ weights, abs=1e-5)


def test_auc_is_that_of_scikit_learn() -> None:
    features, members = sample()
    scores = Standardised(features).left_out_scores(members)
    wanted = [roc_auc_score(members[:, at], scores[:, at]) for at in range(members.shape[1])]
    assert two_sample.auc(scores, members) == pytest.approx(wanted, abs=1e-6)
    assert Standardised(features).classifier_auc(members) == pytest.approx(wanted, abs=1e-6)
    signed = np.array([[-2.0], [-1.0], [0.0], [3.0]], np.float32)
    assert two_sample.auc(signed, np.array([[False], [False], [True], [True]])) == [1.0]
    assert two_sample.auc(-signed, np.array([[False], [False], [True], [True]])) == [0.0]


def test_squared_mmd_is_that_of_the_definition() -> None:
    features, members = sample()
    squares = two_sample.squared_distances(features, features)
    width = two_sample.median_distance(squares)
    gram = two_sample.kernel(squares, width)
    x = features.astype(np.float64)
    assert width == pytest.approx(np.median(pdist(x)), rel=1e-4)
    plain = np.exp(-((x[:, None] - x) ** 2).sum(axis=2) / (2 * width**2))
    found = two_sample.squared_mmd(two_sample.doubly_centred(gram), members)
    for marking, value in enumerate(found):
        inside = members[:, marking]
        within, without = plain[np.ix_(inside, inside)].mean(), plain[np.ix_(~inside, ~inside)].mean()
        assert value == pytest.approx(within + without - 2 * plain[np.ix_(inside, ~inside)].mean(), rel=1e-3)


def test_mean_shift_and_differences_are_those_of_the_definition() -> None:
    features, members = sample()
    rows = Standardised(features)
    x = rows.scaled.astype(np.float64)
    inside = members[:, 0]
    apart = x[inside].mean(axis=0) - x[~inside].mean(axis=0)
    wanted = apart @ np.linalg.solve(x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]), apart)
    assert rows.mean_shift(members)[0] == pytest.approx(wanted, rel=1e-4)
    difference = two_sample.differences(features, members)[0]
    assert difference == pytest.approx(features[inside].mean(axis=0) - features[~inside].mean(axis=0), abs=1e-5)


def test_features_without_variance_tell_nothing() -> None:
    _, members = sample()
    rows = Standardised(np.ones((40, 3), np.float32))
    assert (rows.classifier_auc(members) == 0.5).all() and (rows.mean_shift(members) == 0).all()
    flat = np.ones((40, 3), np.float32)
    assert two_sample.median_distance(two_sample.squared_distances(flat, flat)) == 1.0


def test_rare_events_count_from_a_floor_of_rows_on() -> None:
    members = np.zeros((100, 1), bool)
    members[:20] = True
    for inside, outside, counts in ((2, 0, False), (3, 0, True), (0, 4, False), (0, 12, True)):
        events = np.zeros(100, bool)
        events[:inside] = True
        events[20 : 20 + outside] = True
        assert two_sample.frequent(events, members, 3).tolist() == [counts]


def test_markings_are_random_and_of_one_size() -> None:
    members = drawn(np.random.default_rng(2), 30, 7, 2000)
    assert (members.sum(axis=0) == 7).all()
    assert members.mean(axis=1) == pytest.approx(np.full(30, 7 / 30), abs=0.05)
    assert drawn(np.random.default_rng(2), 30, 0, 5).sum() == 0


def alarm(thresholds: Thresholds, values: np.ndarray) -> bool:
    return bool(thresholds.p_values(values).min() <= thresholds.rate + 1e-12)


@pytest.mark.parametrize(
    "kind", ["independent", *(pytest.param(kind, marks=pytest.mark.proof) for kind in ("the same", "discrete"))]
)
@pytest.mark.parametrize("rate", [0.02, pytest.param(0.1, marks=pytest.mark.proof)])
def test_min_p_keeps_the_joint_rate(kind: str, rate: float) -> None:
    random, alarms, runs, figures = np.random.default_rng(3), 0, 1500, 6

    def draw(count: int) -> np.ndarray:
        if kind == "discrete":
            return random.poisson(0.5, (count, figures)).astype(float)
        return random.normal(size=(count, figures if kind == "independent" else 1)).repeat(
            1 if kind == "independent" else figures, axis=1
        )

    for _ in range(runs):
        alarms += alarm(thresholds_of(draw(199), rate, 10), draw(1)[0])
    found = binomtest(alarms, runs).proportion_ci(0.99, method="exact")
    assert found.low <= rate
    if kind != "discrete":  # ties are on the safe side
        assert found.high >= rate


def test_each_figure_alone_gets_more_than_an_equal_share_where_figures_move_together() -> None:
    random = np.random.default_rng(4)
    common = random.normal(size=(999, 1))
    together = thresholds_of(common + 0.01 * random.normal(size=(999, 5)), 0.05, 10)
    apart = thresholds_of(random.normal(size=(999, 5)), 0.05, 10)
    assert together.threshold(4) < apart.threshold(4)


def test_a_value_at_the_threshold_is_no_alarm_and_above_it_is() -> None:
    random = np.random.default_rng(5)
    thresholds = thresholds_of(random.normal(size=(999, 4)), 0.05, 10)
    for figure in range(4):
        values = np.full(4, -9.0)
        values[figure] = thresholds.threshold(figure)
        assert not alarm(thresholds, values)
        values[figure] += 1e-6
        assert alarm(thresholds, values)
        assert int(np.argmin(thresholds.p_values(values))) == figure
    assert thresholds.p_values(np.full(4, -9.0)).min() == 1.0
    assert thresholds.p_values(np.full(4, 99.0)).min() == pytest.approx(1 / 1000)
