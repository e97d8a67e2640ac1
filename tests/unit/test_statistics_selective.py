"""From which confidence on a model may answer: the promise held against a known truth, and its arithmetic by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from playbook.statistics.selective import STARTS, grid_of, guarantee, risk_curve

Floats = npt.NDArray[np.float64]
REPEATS = 400


def rows(random: np.random.Generator, count: int, boast: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Answers that are right with a known chance: confidence to the power of `boast`; over 1 it is too sure."""
    confidence = random.beta(3, 0.5, count)
    return confidence, random.random(count) < confidence**boast


@pytest.mark.parametrize("boast", [1.0, 2.0, 0.5], ids=["calibrated", "too sure", "too unsure"])
def test_the_stated_error_is_broken_no_more_often_than_stated(boast: float) -> None:
    everywhere = np.sort(rows(np.random.default_rng(99), 200_000, boast)[0])
    error = 1 - np.cumsum(everywhere[::-1] ** boast) / np.arange(1, len(everywhere) + 1)  # of so many answered rows
    broken, found = 0, []
    for seed in range(REPEATS):
        known = guarantee(*rows(np.random.default_rng(seed), 600, boast), 0.1, 0.1)
        if known.threshold is not None:
            answered = len(everywhere) - int(np.searchsorted(everywhere, known.threshold))
            found.append(answered / len(everywhere))
            broken += bool(error[answered - 1] > 0.1)
    assert broken <= binom.ppf(0.999, REPEATS, 0.1)
    assert len(found) > 0.9 * REPEATS
    assert np.mean(found) > 0.6 * (error <= 0.1).mean()  # a promise that is kept by silence would be worth nothing


def test_the_threshold_that_only_looks_at_the_observed_error_breaks_it() -> None:
    """The peer: the lowest threshold whose observed error is at most the stated one. Half of the time it is luck."""
    everywhere, _ = rows(np.random.default_rng(99), 200_000, 1.0)
    broken = 0
    for seed in range(100):
        confidence, right = rows(np.random.default_rng(seed), 600, 1.0)
        curve = risk_curve(confidence, right)
        threshold = curve.threshold[curve.wrong <= 0.1 * curve.answered].min()
        broken += bool(1 - everywhere[everywhere >= threshold].mean() > 0.1)
    assert broken > 30


def test_by_hand() -> None:
    confidence = np.array([0.99] * 100 + [0.6] * 10 + [0.4] * 40)
    right = np.array([True] * 110 + [False] * 40)
    found = guarantee(confidence, right, 0.05, 0.05)
    assert found.threshold == pytest.approx(0.405)  # just above the rows that are wrong
    assert (found.rows, found.answered, found.wrong, found.rows_needed) == (150, 110, 0, None)
    assert binom.cdf(0, 110, 0.05) <= 0.05 * STARTS[0.5] < binom.cdf(0, 60, 0.05)


def test_too_few_rows_promise_nothing_and_say_how_many_would_do() -> None:
    random = np.random.default_rng(5)
    found = guarantee(*rows(random, 40, 1.0), 0.05, 0.05)
    assert found.threshold is None and found.answered == 0
    assert found.rows_needed is not None and 40 < found.rows_needed < 1000
    enough = rows(random, 4 * found.rows_needed, 1.0)
    assert guarantee(*enough, 0.05, 0.05).threshold is not None


def test_a_model_that_is_wrong_everywhere_is_helped_by_no_rows() -> None:
    found = guarantee(np.full(500, 0.999), np.arange(500) % 2 == 0, 0.05, 0.05)
    assert (found.threshold, found.rows_needed) == (None, None)


def test_rows_that_are_silent_anyway_are_never_answered() -> None:
    confidence = np.concatenate([np.full(200, 0.99), np.full(100, -1.0)])
    found = guarantee(confidence, np.arange(300) < 200, 0.05, 0.05)
    assert (found.threshold, found.answered, found.wrong) == (0.0, 200, 0)
    assert risk_curve(confidence, np.arange(300) < 200).answered.tolist() == [200]


def test_the_grid_is_fixed_and_falls() -> None:
    for error in (0.01, 0.05, 0.1, 0.5):
        grid, starts = grid_of(error)
        assert (np.diff(grid) < 0).all() and grid[-1] == 0 and grid[0] < 1
        assert [grid[at] for at in starts] == pytest.approx([1 - error * share for share in STARTS])


def test_a_curve_by_hand() -> None:
    curve = risk_curve(np.array([0.5, 0.9, 0.5, 0.7]), np.array([True, True, False, False]))
    assert curve.threshold.tolist() == [0.9, 0.7, 0.5]
    assert curve.answered.tolist() == [1, 2, 4]
    assert curve.wrong.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("error", "failure"), [(0.0, 0.05), (1.0, 0.05), (0.05, 0.0), (0.05, float("nan"))])
def test_shares_that_are_none_are_refused(error: float, failure: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        guarantee(np.ones(3), np.ones(3, bool), error, failure)
