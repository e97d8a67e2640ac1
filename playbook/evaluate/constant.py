"""A model that answers the same to everything is not a model, whatever it scores (1.8)."""

from __future__ import annotations

import numpy as np

from playbook.artifacts import Side
from playbook.spec import TaskSpec


def always(side: Side) -> str:
    """The class that is the answer to every row of the split; empty where there are several."""
    counts = np.array(side.confusion)
    answered = np.flatnonzero(counts.sum(axis=0)) if counts.size else np.zeros(0)
    return side.per_class[int(answered[0])].label if len(answered) == 1 else ""


def never_ships(name: str, label: str) -> str:
    """Why a constant classifier does not ship, after its name: `the frozen baseline`."""
    return f"{name} meets every limit, but answers {label!r} to every row, and a constant answer is not a model"


def remedy(spec: TaskSpec, label: str) -> str:
    """What to do about a target that a constant answer meets; the terms of an open test split are locked."""
    return (
        f"For the next test rows add a limit under target.limits that answering {label!r} to everything fails, for "
        f"example balanced_accuracy well above {1 / len(spec.labels):.2g}, or macro_f1; for these rows the terms stay."
    )
