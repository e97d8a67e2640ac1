"""Whether a model that always answers the same meets a target and all its limits (1.8).

Such a target asks for nothing: `recall of anger at least 0.9` alone is met by whoever always answers anger, and a
false-positive rate of anger alone by whoever never does. Only what holds whatever the classes' shares are is counted:
accuracy, precision and F1 of a constant answer depend on the shares, and are taken as the rarest class would have them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from playbook.spec.target import Limit


def constant_answer(limits: Sequence[Limit], classes: Sequence[str]) -> str | None:
    """A class that meets every limit if it is the answer to everything; None where there is no such class.

    Args:
        limits: the target and all limits beside it.
        classes: of the task.
    """
    return next((label for label in classes if all(_met(limit, label, len(classes)) for limit in limits)), None)


def remedy(limits: Sequence[Limit], label: str) -> str:
    """Why a constant answer is no model, and which limit would rule it out."""
    met = " and ".join(limit.label for limit in limits if not limit.is_budget)
    of_class = next((limit.of_class for limit in limits if limit.of_class is not None), label)
    named = {limit.metric for limit in limits if limit.of_class == of_class}
    own = [f"{name} of {of_class}" for name in ("precision", "false_positive_rate", "recall") if name not in named][:2]
    return (
        f"a model that answers {label!r} to everything would meet {met}; add a limit that it fails under "
        f"target.limits, for example {', '.join(own)}, balanced_accuracy or macro_f1"
    )


def _met(limit: Limit, label: str, classes: int) -> bool:
    worst = _worst(limit, label, classes)
    return worst >= limit.bound if limit.direction == "at_least" else worst <= limit.bound


def _worst(limit: Limit, label: str, classes: int) -> float:
    """What a metric of the constant answer comes to for the shares of classes that suit it least.

    Its probabilities are taken to be the same for every row, and even: no other ones do better for all shares.
    """
    own = limit.of_class == label
    if limit.is_budget:
        return 0.0
    return {
        "recall": 1.0 if own else 0.0,
        "false_positive_rate": 1.0 if own else 0.0,
        "balanced_accuracy": 1 / classes,
        "roc_auc": 0.5,
        "average_precision": 0.0 if limit.of_class else 1 / classes,
        "log_loss": math.log(classes),
    }.get(limit.metric, 0.0)
