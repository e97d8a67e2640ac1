from __future__ import annotations

import numpy as np
import pytest

from playbook.artifacts import Score
from playbook.statistics.daily_looks import difference, rate_of_a_day, rate_of_all_days, reaching


@pytest.mark.parametrize(("alarms", "windows"), [(1, 1), (3, 5), (2, 2), (5, 7)])
def test_the_rate_of_a_period_is_kept_however_days_depend_on_each_other(alarms: int, windows: int) -> None:
    day = rate_of_a_day(0.2, alarms, windows)
    assert rate_of_all_days(day, alarms, windows) == pytest.approx(0.2)
    random, streams, days = np.random.default_rng(1), 4000, 60 + windows - 1
    runs = np.repeat(random.random((streams, -(-days // alarms))), alarms, axis=1)[:, :days]  # the worst that can be
    for levels in (random.random((streams, days)), np.repeat(random.random((streams, 1)), days, axis=1), runs):
        seen = np.cumsum(levels <= day, axis=1)
        seen[:, windows:] -= seen[:, :-windows].copy()
        fired = (seen >= alarms).any(axis=1).mean()
        assert fired <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / streams)


def test_an_interval_for_many_looks_is_wider_in_proportion() -> None:
    score = Score(metric="accuracy", value=0.8, low=0.7, high=0.88, n=80)
    assert reaching(score, 0.95, 0.025) == pytest.approx((0.7, 0.88))
    low, high = reaching(score, 0.95, 0.05 / 60)
    assert (0.8 - low) / 0.1 == pytest.approx((high - 0.8) / 0.08) == pytest.approx(1.604, abs=0.001)


def test_a_difference_of_independent_results_adds_their_arms_in_squares() -> None:
    low, high = difference(0.8, (0.77, 0.84), 0.9, (0.86, 0.93))
    assert low == pytest.approx(-0.1 - np.hypot(0.03, 0.03)) and high == pytest.approx(-0.1 + np.hypot(0.04, 0.04))
