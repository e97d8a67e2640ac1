"""Which class is answered from a probability on: the one that the task file names, or the second of two (B8)."""

from __future__ import annotations

from collections.abc import Sequence

from playbook.spec import NEED_PROBABILITIES, PER_CLASS_METRICS, Target


def threshold_class(target: Target, labels: Sequence[str]) -> str | None:
    """The class with a threshold; None where every row is answered with its likeliest class.

    It is the class of the first limit that depends on which rows are given that class. With `operating_point: auto` a
    task of more than two classes has a threshold only where the target itself is of one class. Where no limit of a
    two-class task is of one class, any of the two would do: a threshold t on one is 1 - t on the other, and the second
    one is taken, as scikit-learn does. Limits on probabilities alone need no threshold.

    Args:
        target: of the task file.
        labels: classes of the task in their fixed order (`TaskSpec.labels`).
    """
    answers = [limit for limit in target.all_limits if not limit.is_budget and limit.metric not in NEED_PROBABILITIES]
    if target.operating_point == "argmax" or not answers:
        return None
    named = next((limit.of_class for limit in answers if limit.metric in PER_CLASS_METRICS), None)
    if len(labels) == 2:
        return named or labels[1]
    wanted = target.operating_point == "threshold" or target.metric in PER_CLASS_METRICS
    return named if wanted else None
