"""Regression tests: what another model had right and the candidate has wrong (5.4)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from playbook.artifacts import ClassRegression, Regression
from playbook.evaluate import wording
from playbook.evaluate.metrics import Labels
from playbook.evaluate.paired import TOLERANCE
from playbook.spec import TaskSpec

LEAST_CLASS_ROWS = 20  # the budget per class is asked only of classes with so many rows


def regression(
    spec: TaskSpec,
    truth: Labels,
    other: Labels,
    candidate: Labels,
    *,
    against: Literal["frozen baseline", "champion"] = "frozen baseline",
    version: str = "",
    model: Literal["candidate", "baseline"] = "candidate",
) -> Regression:
    """Rows broken and mended by the candidate or what ships instead, held against `evaluation.regression`.

    Args:
        spec: the task.
        truth: true classes, shape (rows,).
        other: answers of the model that is to be replaced, shape (rows,).
        candidate: answers of the candidate, or of the model that ships, shape (rows,).
        against: which model `other` is.
        version: of the champion.
        model: which model the answers `candidate` are of.

    Raises:
        ValueError: no rows, or arrays of different lengths.
    """
    if not truth.shape == other.shape == candidate.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(
            f"expected three label arrays of one length, found shapes {truth.shape}, {other.shape}, {candidate.shape}"
        )
    broken, mended = (other == truth) & (candidate != truth), (other != truth) & (candidate == truth)
    classes = tuple(
        ClassRegression(
            label=label,
            rows=int((truth == at).sum()),
            broken=int(broken[truth == at].sum()),
            mended=int(mended[truth == at].sum()),
        )
        for at, label in enumerate(spec.labels)
    )
    budget = spec.evaluation.regression
    share = float(np.mean(broken))
    over = [one for one in classes if one.rows >= LEAST_CLASS_ROWS and _share(one) > budget.share_of_class + TOLERANCE]
    passed = share <= budget.share + TOLERANCE and not over
    name = f"the {against}{f' {version}' if version else ''}"
    new = "candidate" if model == "candidate" else "model that ships, the frozen baseline,"
    text = (
        f"The {new} gets {wording.size(int(broken.sum()))} wrong that {name} had right ({wording.percent(share)}; "
        f"allowed {wording.asked(budget.share)}), and {wording.size(int(mended.sum()))} right that it had wrong."
    )
    if over:
        worst = sorted(over, key=lambda one: (-_share(one), one.label))
        named = [f"{one.label} ({one.broken} of {one.rows}, {wording.percent(_share(one))})" for one in worst]
        text += f" Over {wording.asked(budget.share_of_class)} of a class: {wording.listing(named)}."
    return Regression(
        against=against,
        version=version,
        broken=int(broken.sum()),
        mended=int(mended.sum()),
        share=share,
        allowed=budget.share,
        per_class=classes,
        passed=passed,
        text=text,
    )


def _share(one: ClassRegression) -> float:
    return one.broken / one.rows if one.rows else 0.0
