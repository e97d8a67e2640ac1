"""Whether a model that always answers the same meets a target and all its limits (1.8).

Such a target asks for nothing: `recall of anger at least 0.9` alone is met by whoever always answers anger, and a
false-positive rate of anger alone by whoever never does. A task file is refused only for what holds whatever the
classes' shares are: accuracy, precision and F1 of a constant answer depend on the shares, and are taken as the rarest
class would have them. The data gate knows the shares and asks again; there it is a warning, since a model still has to
earn its gain over the frozen baseline, and a constant classifier neither ends a task nor ships.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from playbook.spec.target import Limit


def constant_answer(
    limits: Sequence[Limit], classes: Sequence[str], shares: Mapping[str, float] | None = None
) -> str | None:
    """A class that meets every limit if it is the answer to everything; None where there is no such class.

    Args:
        limits: the target and all limits beside it.
        classes: of the task.
        shares: fraction of the rows that each class has, where that is known; else the worst ones are taken.
    """
    found = _worst if shares is None else partial(_known, shares=shares)
    return next((label for label in classes if all(_met(one, found(one, label, classes)) for one in limits)), None)


def remedy(limits: Sequence[Limit], label: str) -> str:
    """Why a constant answer is not a model, and which limit would rule it out."""
    met = " and ".join(limit.label for limit in limits if not limit.is_budget)
    of_class = next((limit.of_class for limit in limits if limit.of_class is not None), label)
    named = {limit.metric for limit in limits if limit.of_class == of_class}
    failed = ("precision", "false_positive_rate") if label == of_class else ("precision", "recall")
    own = [f"{name} of {of_class}" for name in failed if name not in named]
    return (
        f"a model that answers {label!r} to everything would meet {met}; add a limit that it fails under "
        f"target.limits, for example {', '.join(own)}, balanced_accuracy or macro_f1"
    )


def _met(limit: Limit, value: float) -> bool:
    return value >= limit.bound if limit.direction == "at_least" else value <= limit.bound


def _known(limit: Limit, label: str, classes: Sequence[str], shares: Mapping[str, float]) -> float:
    """What a metric of the constant answer comes to; its probabilities are the shares, for every row alike.

    Means over classes are over those with rows; a metric of a class without rows counts as its worst value.
    """
    share, even = shares.get(label, 0.0), 1 / max(sum(part > 0 for part in shares.values()), 1)
    f1 = 2 * share / (1 + share)
    own, of_class = limit.of_class == label, shares.get(limit.of_class, 0.0) if limit.of_class else 1.0
    found = {
        "recall": 1.0 if own and share else 0.0,
        "balanced_accuracy": even if share else 0.0,
        "roc_auc": 0.5 if of_class else 0.0,
        "accuracy": share,
        "micro_f1": share,
        "macro_f1": f1 * even,
        "precision": share if own else 0.0,
        "f1": f1 if own else 0.0,
        "average_precision": of_class if limit.of_class else even,
        "log_loss": -sum(part * math.log(part) for part in shares.values() if part),
    }
    return found[limit.metric] if limit.metric in found else _worst(limit, label, classes)


def _worst(limit: Limit, label: str, classes: Sequence[str]) -> float:
    """What a metric of the constant answer comes to for the shares of classes that suit it least.

    Its probabilities are taken to be the same for every row, and even: no other ones do better for all shares.
    """
    own = limit.of_class == label
    if limit.is_budget:
        return 0.0
    return {
        "recall": 1.0 if own else 0.0,
        "false_positive_rate": 1.0 if own else 0.0,
        "balanced_accuracy": 1 / len(classes),
        "roc_auc": 0.5,
        "average_precision": 0.0 if limit.of_class else 1 / len(classes),
        "log_loss": math.log(len(classes)),
    }.get(limit.metric, 0.0)
