from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for

from playbook.evaluate.regression import regression
from playbook.spec import TaskSpec


def budget(share: float, of_class: float) -> TaskSpec:
    document = spec_for(ORDINARY).model_dump(mode="json")
    document["evaluation"]["regression"] = {"share": share, "share_of_class": of_class}
    return TaskSpec.model_validate(document)


def models(broken: int, mended: int) -> tuple[Any, Any, Any]:
    """200 rows of five classes; the candidate breaks the first rows of class 0 and mends the last ones of class 4."""
    truth = np.repeat(np.arange(5), 40)
    other, candidate = truth.copy(), truth.copy()
    candidate[:broken] = 1
    other[200 - mended :] = 0
    return truth, other, candidate


def test_broken_and_mended_rows_are_counted_per_class() -> None:
    found = regression(budget(0.05, 0.15), *models(5, 20))
    assert (found.broken, found.mended, found.share, found.passed) == (5, 20, 0.025, True)
    assert [(one.rows, one.broken, one.mended) for one in found.per_class] == [
        (40, 5, 0), (40, 0, 0), (40, 0, 0), (40, 0, 0), (40, 0, 20)
    ]  # fmt: skip
    assert found.text == (
        "The candidate gets 5 rows wrong that the frozen baseline had right (2.5 %; allowed 5 %), and 20 rows right "
        "that it had wrong."
    )


def test_the_budget_of_all_rows_and_of_a_class() -> None:
    assert regression(budget(0.05, 0.25), *models(10, 0)).passed
    assert not regression(budget(0.05, 1.0), *models(11, 50)).passed  # mended rows pay for nothing
    found = regression(budget(0.05, 0.15), *models(7, 0), against="champion", version="1.2.0")
    assert not found.passed
    assert (found.against, found.version) == ("champion", "1.2.0")
    assert "that the champion 1.2.0 had right" in found.text
    assert "Over 15 % of a class: access (7 of 40, 17.5 %)." in found.text


def test_a_class_of_few_rows_is_not_held_against_its_budget() -> None:
    truth, other, candidate = models(7, 0)
    keep = np.r_[0:19, 40:200]
    assert regression(budget(0.05, 0.15), truth[keep], other[keep], candidate[keep]).passed
    keep = np.r_[0:20, 40:200]
    assert not regression(budget(0.05, 0.15), truth[keep], other[keep], candidate[keep]).passed


def test_rows_that_both_have_wrong_break_nothing() -> None:
    truth, other, _ = models(0, 0)
    wrong = (truth + 1) % 5
    found = regression(budget(0.0, 0.0), truth, wrong, (truth + 2) % 5)
    assert (found.broken, found.mended, found.passed) == (0, 0, True)
    assert not regression(budget(0.0, 0.0), truth, other, wrong).passed
    with pytest.raises(ValueError, match="expected three label arrays of one length"):
        regression(budget(0.0, 0.0), truth, other, wrong[:-1])


def test_a_baseline_that_ships_is_named() -> None:
    found = regression(budget(0.05, 0.15), *models(5, 0), against="champion", version="1.2.0", model="baseline")
    assert found.text.startswith("The model that ships, the frozen baseline, gets 5 rows wrong that the champion 1.2.0")
