"""Why a runner-up base that did better was not taken, and what to do about it (2.2, 4.6)."""

from __future__ import annotations

from playbook.artifacts import BaseSelection, Evaluation
from playbook.evaluate import wording


def runner_up_text(evaluation: Evaluation, base: BaseSelection | None = None) -> str:
    """What to say of a runner-up base whose control scored above the shown model; empty where none did.

    Args:
        evaluation: with the comparisons of the test split and the verdict on transfer.
        base: the bake-off, which knows why the other base was chosen.
    """
    apart, metric = evaluation.transfer.over_other_base, evaluation.metric
    if apart is None or apart.value >= 0:
        return ""
    scores = {one.name: one.test.value for one in evaluation.comparisons}
    model = "candidate" if evaluation.candidate is not None else "frozen baseline"
    mine = scores.get("candidate" if evaluation.candidate is not None else "frozen")
    known = mine is not None and "other_base" in scores
    reached = (
        f" reaches {wording.amount(scores['other_base'], metric)} on test, the {model} {wording.amount(mine, metric)}"
        if known and mine is not None
        else " does better"
    )
    told = "" if apart.high < 0 else "; the interval includes zero"
    beside = f"the {model} is {wording.difference(apart, metric)} beside it"
    said = f"The runner-up base{_named(base)}{reached}: {beside}{told}."
    if base is None or base.runner_up is None:
        return said
    return f"{said} {_reason(base, metric)} {_remedy(base)}"


def _named(base: BaseSelection | None) -> str:
    pin = base.runner_up_pin if base is not None else None
    return f" {pin.title}" if pin is not None else ""


def _reason(base: BaseSelection, metric: str) -> str:
    """One sentence: the bake-off decides before anything is fine-tuned. The page has its rule in a section."""
    how = "It was not taken because the base is chosen before fine-tuning"
    scores = [base.candidates[place].score for place in (base.runner_up, base.chosen) if place is not None]
    known = [wording.amount(score.value, metric) for score in scores if score is not None]
    if len(known) < 2:
        return f"{how}, by a frozen probe on validation rows."
    return (
        f"{how}: frozen, it reached {known[0]} on validation and the chosen one {known[1]} (see “Which base, and why”)."
    )


def _remedy(base: BaseSelection) -> str:
    name = base.runner_up_pin.title if base.runner_up_pin is not None else "the runner-up"
    return (
        f"To build on {name}, make it the task's only base, without bake_off.alternatives, and run again; this test "
        "split has seen it, so fresh test rows should confirm it."
    )
