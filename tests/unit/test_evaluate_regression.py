"""The regression budget: net loss with its interval, of all rows and of a class, on counts and on known truths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for

from playbook.evaluate.regression import regression
from playbook.spec import TaskSpec
from playbook.statistics.net_change import harm_p_value, net_change
from playbook.statistics.sign_test import sign_test


def budget(share: float, of_class: float, labels: tuple[str, ...] = ORDINARY) -> TaskSpec:
    document = spec_for(labels).model_dump(mode="json")
    document["evaluation"]["regression"] = {"share": share, "share_of_class": of_class}
    return TaskSpec.model_validate(document)


def models(broken: int, mended: int, rows: int = 40) -> tuple[Any, Any, Any]:
    """Five classes of `rows`; the candidate breaks the first rows of class 0 and fixes the last ones of class 4."""
    truth = np.repeat(np.arange(5), rows)
    other, candidate = truth.copy(), truth.copy()
    candidate[:broken] = 1
    other[5 * rows - mended :] = 0
    return truth, other, candidate


def test_broken_and_fixed_rows_are_counted_per_class() -> None:
    found = regression(budget(0.01, 0.05), *models(3, 20))
    assert (found.broken, found.mended, found.share, found.passed) == (3, 20, 0.015, True)
    assert [(one.rows, one.broken, one.mended) for one in found.per_class] == [
        (40, 3, 0), (40, 0, 0), (40, 0, 0), (40, 0, 0), (40, 0, 20)
    ]  # fmt: skip
    assert found.net is not None and found.net.value == pytest.approx(0.085)
    assert found.text.startswith(
        "The candidate gets 3 rows wrong that the frozen baseline had right, and 20 rows right that it had wrong: net "
        "+17 of 200, +8.5 points (+"
    )
    assert found.text.endswith("A net loss of more than 1 % is not shown.")


def test_churn_without_a_net_loss_costs_nothing() -> None:
    """39 rows fixed and 29 broken: more than 4 % of the rows changed for the worse, and nothing got worse."""
    truth = np.tile(np.arange(5), 120)
    other, candidate = truth.copy(), truth.copy()
    candidate[:29], other[29:68] = (truth[:29] + 1) % 5, (truth[29:68] + 1) % 5
    found = regression(budget(0.0, 0.0), truth, other, candidate)
    assert (found.broken, found.mended, found.passed) == (29, 39, True)
    assert "net +10 of 600, +1.7 points (−1.1 to +4.4)" in found.text
    turned = regression(budget(0.0, 0.0), truth, candidate, other)
    assert (turned.broken, turned.mended, turned.passed) == (39, 29, True), "ten rows more are within chance"


def test_a_net_loss_blocks_where_its_whole_interval_is_beyond_the_budget() -> None:
    lost = models(60, 20, 120)
    assert not regression(budget(0.01, 1.0), *lost).passed
    assert regression(budget(0.06, 1.0), *lost).passed, "6.7 % of 600 rows, but hardly 6 % is shown"
    found = regression(budget(0.01, 0.05), *lost, against="champion", version="1.2.0", model="baseline")
    assert found.text.startswith(
        "The model that ships, the frozen baseline, gets 60 rows wrong that the champion 1.2.0"
    )
    assert "A net loss of more than 1 % is shown." in found.text
    assert "Beyond 5 % of a class, corrected for the number of classes: access (net −60 of 120, −50.0 p" in found.text


def test_a_class_has_its_own_interval() -> None:
    found = regression(budget(1.0, 0.05), *models(12, 40))
    assert not found.passed and [one.label for one in found.per_class if one.over] == ["access"]
    assert found.per_class[0].net is not None and found.per_class[0].net.high < -0.05
    few = regression(budget(1.0, 0.05), *models(5, 40))
    assert few.passed, "5 of 40 are more than 5 %, but their interval is not"


def test_many_classes_are_not_over_by_chance() -> None:
    """Seven rows lost of a class of thirty: shown beside one other class, within chance among seventy-seven."""
    for classes, passed in ((1, False), (77, True)):
        labels = tuple(f"c{at:02d}" for at in range(max(2, classes)))
        truth = np.repeat(np.arange(len(labels)), 30 if classes > 1 else [30, 10])
        candidate = truth.copy()
        candidate[:7] = 1
        found = regression(budget(1.0, 0.0, labels), truth, truth, candidate)
        assert found.passed is passed, found.per_class[0].p_value


@pytest.mark.parametrize(("rows", "passed"), [(19, False), (8, False), (7, True), (2, True)])
def test_a_class_of_few_rows_is_held_against_its_budget_too(rows: int, passed: bool) -> None:
    """All rows of one class of five are broken: by the exact test 1/2 to the power of the rows, times five classes."""
    truth, other, candidate = models(40, 0)
    keep = np.r_[0:rows, 40:200]
    found = regression(budget(1.0, 0.05), truth[keep], other[keep], candidate[keep])
    assert found.passed is passed
    assert found.per_class[0].p_value == pytest.approx(min(1.0, 5 * 0.5**rows), abs=1e-4)
    if not passed:
        assert (
            f"Beyond 5 % of a class, corrected for the number of classes: access (net −{rows} of {rows}" in found.text
        )


def test_a_class_without_rows_is_not_counted() -> None:
    truth, other, candidate = models(40, 0)
    found = regression(budget(1.0, 0.05), truth[40:], other[40:], candidate[40:])
    assert found.passed and (found.per_class[0].p_value, found.per_class[0].net) == (None, None)


def test_rows_that_both_have_wrong_break_nothing() -> None:
    truth, other, _ = models(0, 0)
    wrong = (truth + 1) % 5
    found = regression(budget(0.0, 0.0), truth, wrong, (truth + 2) % 5)
    assert (found.broken, found.mended, found.passed) == (0, 0, True)
    assert not regression(budget(0.0, 0.0), truth, other, wrong).passed
    with pytest.raises(ValueError, match="expected three label arrays of one length"):
        regression(budget(0.0, 0.0), truth, other, wrong[:-1])


def test_the_net_interval_by_hand() -> None:
    """With no difference the statistic is McNemar's; few discordant rows are left to the exact test."""
    found = net_change(5, 20, 100, 0.95)
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (-0.15, -0.249, -0.056)
    assert harm_p_value(found, 0.0) == pytest.approx(max(0.00135, sign_test(20, 5)), abs=1e-5)
    assert net_change(0, 5, 50, 0.95).high == 0.0 and sign_test(5, 0) > 0.025
    assert net_change(0, 6, 50, 0.95).high < 0.0 and sign_test(6, 0) < 0.025
    same = net_change(7, 7, 200, 0.95)
    assert same.low == pytest.approx(-same.high) and harm_p_value(same, 0.0) >= 0.5
    assert net_change(20, 0, 20, 0.95).high == pytest.approx(1.0)
    for counts in ((3, 3, 5), (-1, 0, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="expected counts within"):
            net_change(*counts, 0.95)
    assert sign_test(2000, 0) == 0.0 < sign_test(1100, 1000) < 0.02, "a large split has thousands of such rows"


def test_test_and_interval_agree() -> None:
    random = np.random.default_rng(0)
    for _ in range(400):
        rows = int(random.integers(20, 400))
        fixed, broken, _ = (int(count) for count in random.multinomial(rows, random.dirichlet((1, 1, 8))))
        found = net_change(fixed, broken, rows, 0.95)
        for allowed in (0.0, 0.01, 0.05):
            assert (found.high < -allowed - 1e-9) == (harm_p_value(found, allowed) <= 0.025)


@pytest.mark.parametrize(
    ("rows", "churn"),
    [(60, 0.1), *(pytest.param(*given, marks=pytest.mark.proof) for given in ((200, 0.2), (600, 0.05)))],
)
def test_without_a_net_loss_few_evaluations_are_blocked(rows: int, churn: float) -> None:
    """Simulated splits of five classes whose rows change sides as often for the better as for the worse."""
    random, spec = np.random.default_rng(rows), budget(0.0, 0.0)
    blocked = 0
    for _ in range(400):
        truth = random.integers(0, 5, rows)
        side = random.choice(3, rows, p=(churn / 2, churn / 2, 1 - churn))
        other, candidate = (np.where(side == at, (truth + 1) % 5, truth) for at in (0, 1))
        blocked += not regression(spec, truth, other, candidate).passed
    assert blocked <= 32, "5 in 100 at most, with three standard errors of 400 simulations"


def test_a_real_net_loss_is_found() -> None:
    random, spec, blocked = np.random.default_rng(1), budget(0.01, 0.05), 0
    for _ in range(200):
        truth = random.integers(0, 5, 600)
        side = random.choice(3, 600, p=(0.03, 0.10, 0.87))
        other, candidate = (np.where(side == at, (truth + 1) % 5, truth) for at in (0, 1))
        blocked += not regression(spec, truth, other, candidate).passed
    assert blocked > 180
