"""Regression tests: what another model had right and the candidate has wrong, net of the reverse (5.4).

Two models never err on the same rows alone: some rows change sides even where nothing gets worse. So the budget is
about the net loss, rows broken minus rows fixed, and it is exceeded where the whole interval of that loss lies beyond
it (`playbook.statistics.net_change`). A class has a budget of its own, judged likewise however few rows it has; the
p-values of the classes are corrected by Holm's method, so that among many classes none is over by chance. Without a net
loss anywhere, at most 2.5 in 100 evaluations are blocked by all rows and as many by a class, at 95 % confidence
(`benchmarks/regressions.py`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from playbook.artifacts import ClassRegression, Figure, Regression
from playbook.evaluate import wording
from playbook.evaluate.metrics import Labels
from playbook.evaluate.paired import holm
from playbook.spec import TaskSpec
from playbook.statistics.metric import TOLERANCE
from playbook.statistics.net_change import NetChange, harm_p_value, net_change


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
    """Rows broken and fixed by the candidate or what ships instead, held against `evaluation.regression`.

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
    rules = spec.evaluation
    broken, mended = (other == truth) & (candidate != truth), (other != truth) & (candidate == truth)
    net = net_change(int(mended.sum()), int(broken.sum()), len(truth), rules.confidence)
    classes = _classes(spec, truth, broken, mended)
    over = [one for one in classes if one.over]
    text = f"{_who(model)} {net_text(net, _named(against, version), rules.regression.share)}"
    return Regression(
        against=against,
        version=version,
        broken=net.broken,
        mended=net.fixed,
        share=net.broken / net.rows,
        allowed=rules.regression.share,
        net=figure_of(net),
        per_class=classes,
        passed=not exceeds(net, rules.regression.share) and not over,
        text=f"{text} {_over_text(over, spec)}" if over else text,
    )


def exceeds(net: NetChange, allowed: float) -> bool:
    """Whether a net loss beyond a share of the rows is shown: the whole interval lies beyond it."""
    return net.high < -allowed - TOLERANCE


def figure_of(net: NetChange) -> Figure:
    """The net change as a share of the rows, with its interval."""
    return Figure(value=net.value, low=net.low, high=net.high)


def net_text(net: NetChange, other: str, allowed: float) -> str:
    """Fixed, broken, and the net with its interval, beside another model: the end of a sentence."""
    loss = f"A net loss of more than {wording.asked(allowed)} is {'shown' if exceeds(net, allowed) else 'not shown'}."
    return (
        f"gets {wording.size(net.broken)} wrong that {other} had right, and {wording.size(net.fixed)} right that it "
        f"had wrong: net {_counted(net.fixed - net.broken)} of {net.rows:,}, {wording.difference(figure_of(net))}. "
        f"{loss}"
    )


def _counted(net: int) -> str:
    return f"{net:+,}".replace("-", "−")


def _classes(spec: TaskSpec, truth: Labels, broken: np.ndarray, mended: np.ndarray) -> tuple[ClassRegression, ...]:
    rules, found = spec.evaluation, []
    for at, label in enumerate(spec.labels):
        own = truth == at
        fixed, lost, rows = (int(part.sum()) for part in (mended[own], broken[own], own))
        net = net_change(fixed, lost, rows, rules.confidence) if rows else None
        found.append((ClassRegression(label=label, rows=rows, broken=lost, mended=fixed), net))
    budget = rules.regression.share_of_class
    judged = [at for at, (one, _) in enumerate(found) if one.rows]
    p_values = dict(zip(judged, holm([_harm(found[at][1], budget) for at in judged]), strict=True))
    beyond = 0.5 - rules.confidence / 2
    return tuple(
        one.model_copy(
            update={
                "net": figure_of(net) if net is not None else None,
                "p_value": p_values.get(at),
                "over": p_values.get(at, 1.0) <= beyond,
            }
        )
        for at, (one, net) in enumerate(found)
    )


def _harm(net: NetChange | None, budget: float) -> float:
    return 1.0 if net is None else harm_p_value(net, budget)


def _who(model: str) -> str:
    return "The candidate" if model == "candidate" else "The model that ships, the frozen baseline,"


def _named(against: str, version: str) -> str:
    return f"the {against}{f' {version}' if version else ''}"


def _over_text(over: list[ClassRegression], spec: TaskSpec) -> str:
    worst = sorted(over, key=lambda one: (one.net.value if one.net else 0.0, one.label))
    named = [
        f"{one.label} (net {_counted(one.mended - one.broken)} of {one.rows:,}, {wording.difference(one.net)})"
        for one in worst
        if one.net is not None
    ]
    allowed = wording.asked(spec.evaluation.regression.share_of_class)
    return f"Beyond {allowed} of a class, corrected for the number of classes: {wording.listing(named)}."
