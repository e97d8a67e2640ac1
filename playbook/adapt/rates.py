"""Are the learning rates those of adapting, or of training from scratch (4.3)?

What a base knows is kept by rates well below the one that it takes to learn from nothing: 10 to 100 times lower, lower
still for earlier blocks (Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, section 3.2). A rate above
that of training from scratch is a finding, not a fault: docs/learning_rates.md shows where it did better all the same.
"""

from __future__ import annotations

from playbook.evaluate import wording
from playbook.spec import Adaptation

GENTLE = 10.0  # times lower than from scratch


def block_rates(plan: Adaptation, blocks: int) -> tuple[float, ...]:
    """Highest learning rate of each of so many unfrozen blocks, from the top down."""
    return tuple(plan.learning_rate * plan.block_decay**depth for depth in range(blocks))


def rate_finding(plan: Adaptation, blocks: int) -> str:
    """What is to be said of rates above that of training from scratch, with the remedy; empty where none is above it.

    Args:
        plan: the adaptation section in force.
        blocks: blocks that a rung of the task unfroze at most; with none, no block had a rate.
    """
    scratch = plan.controls.scratch_learning_rate
    over = [rate for rate in block_rates(plan, blocks) if rate > scratch]
    if not over:
        return ""
    which = wording.size(len(over), "block")
    return (
        f"The learning rate of {which} from the top, {over[0]:g} at most, is above that of training from scratch, "
        f"{scratch:g}: what the base knows there may be overwritten and learnt again rather than adapted. To adapt, "
        f"set adaptation.learning_rate to {scratch / GENTLE:g} or lower, head_learning_rate to a tenth of its value, "
        "and allow twice the epochs and patience; keep the one that validates better. Of the three data sets of "
        "docs/learning_rates.md, the higher rate was better on two, and none helped on the third."
    )
