from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from metric_samples import paired_difference
from report_samples import ORDINARY, score, spec_for

from playbook.artifacts import Side
from playbook.evaluate.verdict import decide
from playbook.statistics.sample_size import least_gain, missing, rows_needed, rows_to_show

MARGIN, LOST = 0.05, 0.04  # a true gain of the margin: 9 % of rows gained, 4 % lost


def test_rows_needed_by_hand_and_its_limits() -> None:
    z_a, z_b, d, m = 1.959964, 0.841621, 0.1, 0.02
    assert rows_needed(m, d, 0.95, 0.8) == math.ceil(((z_a * d**0.5 + z_b * (d - m * m) ** 0.5) / m) ** 2)
    assert rows_needed(m, 0.0, 0.95, 0.8) == rows_needed(m, m, 0.95, 0.8)
    assert rows_needed(m, 0.2, 0.95, 0.8) > rows_needed(m, 0.1, 0.95, 0.8) > rows_needed(0.04, 0.1, 0.95, 0.8)
    assert rows_needed(m, d, 0.95, 0.9) > rows_needed(m, d, 0.95, 0.8)
    with pytest.raises(ValueError, match="between 0 and 1"):
        rows_needed(0.0, 0.1, 0.95, 0.8)


def test_the_least_gain_approaches_the_margin_with_the_rows() -> None:
    assert least_gain(0.05, 0.0, 0.8) == 0.05
    assert least_gain(0.05, 0.02, 0.8) == pytest.approx(0.05 - 0.8416 * 0.02, abs=1e-5)
    assert least_gain(0.05, 0.02, 0.5) == pytest.approx(0.05)


@pytest.mark.parametrize(("threshold", "rows"), [(0.8, 16), (0.9, 35), (0.5, 4), (1.0, 0), (0.0, 0)])
def test_a_perfect_result_on_so_many_rows_reaches_the_threshold(threshold: float, rows: int) -> None:
    from playbook.evaluate.paired import wilson

    assert rows_to_show(threshold, 0.95) == rows
    if 0 < threshold < 1:
        assert wilson(rows, rows, 0.95)[0] >= threshold > wilson(rows - 1, rows - 1, 0.95)[0]


def drawn(random: np.random.Generator, rows: int, gain: float) -> tuple[Any, Any, Any]:
    """A test split from a population in which the second model is truly better by `gain`."""
    truth = random.integers(0, 5, rows)
    kind = random.choice(4, rows, p=[LOST + gain, LOST, 0.8, 0.2 - 2 * LOST - gain])
    wrong = (truth + 1) % 5
    return truth, np.where(np.isin(kind, (0, 3)), wrong, truth), np.where(np.isin(kind, (1, 3)), wrong, truth)


def shipped(rows: int, gain: float, runs: int = 200) -> float:
    """Share of test splits of a size on which the whole rule ships a candidate with such a true gain."""
    spec, random = spec_for(ORDINARY, margin=MARGIN, at_least=0.5), np.random.default_rng(rows)
    ships = 0
    for run in range(runs):
        truth, first, second = drawn(random, rows, gain)
        difference = paired_difference("accuracy", None, truth, first, second, 5, 0.95, 300, run)
        scores = [float(np.mean(answers == truth)) for answers in (first, second)]
        sides = [Side(scores={"accuracy": score(value)}, per_class=(), confusion=()) for value in scores]
        ships += decide(spec, sides[0], sides[1], difference).ship == "candidate"
    return ships / runs


def test_a_true_gain_of_the_margin_ships_as_often_as_promised_on_small_and_large_splits() -> None:
    rows = rows_needed(MARGIN, 2 * LOST + MARGIN, 0.95, 0.8)
    assert 0.72 <= shipped(rows, MARGIN) <= 0.88  # 0.80, three standard errors wide; the old rule shipped half
    assert 0.72 <= shipped(4 * rows, MARGIN) <= 0.88
    assert shipped(rows // 2, MARGIN) < 0.65


def test_no_gain_and_half_a_margin_seldom_ship() -> None:
    rows = rows_needed(MARGIN, 2 * LOST + MARGIN, 0.95, 0.8)
    assert shipped(rows, 0.0) <= 0.07  # 0.025
    assert shipped(4 * rows, MARGIN / 2) < 0.1


def test_a_false_positive_rate_counts_the_rows_of_the_other_classes() -> None:
    limits = [{"metric": "false_positive_rate", "of_class": "fault", "at_most": 0.02}]
    spec = spec_for(ORDINARY, margin=0.05, limits=limits)
    short = missing(spec, {"fault": 900, "billing": 100})
    assert short is not None and (short.needed, short.available) == (189, 100)  # 0 of 189: Wilson's upper end is 2 %
    assert short.counted == "rows of other classes than fault" and short.of_split == 1890
    assert missing(spec, {"fault": 900, "billing": 189}) is None
