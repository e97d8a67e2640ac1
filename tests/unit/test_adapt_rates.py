"""A learning rate above that of training from scratch is found, for any block, and said with its remedy."""

from __future__ import annotations

import pytest

from playbook.adapt.rates import block_rates, rate_finding
from playbook.spec import Adaptation, Controls


def plan(rate: float, scratch: float = 5e-4, decay: float = 0.7) -> Adaptation:
    return Adaptation(learning_rate=rate, block_decay=decay, controls=Controls(scratch_learning_rate=scratch))


def test_rates_of_blocks_fall_from_the_top_down() -> None:
    assert block_rates(plan(1e-3), 3) == pytest.approx((1e-3, 7e-4, 4.9e-4))


def test_every_block_above_the_rate_from_scratch_is_counted() -> None:
    found = rate_finding(plan(1e-3), 3)
    assert "The learning rate of 2 blocks from the top, 0.001 at most, is above that of training from scratch" in found
    assert "0.0005" in found and "adaptation.learning_rate to 5e-05 or lower" in found
    assert "of 1 block from the top" in rate_finding(plan(1e-3), 1)


def test_rates_at_or_below_it_are_no_finding() -> None:
    assert rate_finding(plan(5e-4), 6) == rate_finding(plan(5e-5), 6) == ""
    assert rate_finding(plan(1e-3, scratch=2e-3), 6) == ""
    assert rate_finding(plan(1e-3), 0) == "", "nothing was unfrozen"
