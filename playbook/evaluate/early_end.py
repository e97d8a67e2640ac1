"""An early end is a claim like any other: a baseline that "already meets the target" has to do so on test (1.8, 5.1).

Validation asks first, with room to spare (`evaluation.early_end_standard_errors`), because the split is opened only
where there is something to confirm. The test split is then asked by the same rule. Where it says no, the task goes on
and the claim that failed is its first finding: either luck on validation, or a test split that is unlike it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from playbook.artifacts import EarlyEndClaim, LockedTerms, Score, TooFewRows
from playbook.evaluate import wording
from playbook.evaluate.budgets import budgets_in_words
from playbook.evaluate.verdict import Resolution, refuse
from playbook.plays import FROZEN
from playbook.spec import TaskSpec
from playbook.statistics.metric import is_met, metrics_of


def judge_claim(
    spec: TaskSpec,
    baseline: str,
    validation: Score,
    test: Mapping[str, Score],
    *,
    openings: int,
    unlike: str = "",
    measured: Mapping[str, Score] | None = None,
) -> EarlyEndClaim:
    """What the test split says of a baseline that meets the target on validation.

    Args:
        spec: the task.
        baseline: its name, `tfidf` for example.
        validation: its score in the target's metric there.
        test: its scores on the test split by `Limit.label`, every limit on answers among them.
        openings: how often this split was opened, this time included.
        unlike: a sentence on how the test split differs from validation, where it does.
        measured: what limits on the model itself come to, by `Limit.label`, as far as they could be measured; the claim
            names the others.
    """
    spare, known = spec.evaluation.early_end_standard_errors, dict(measured or {})
    missed = tuple(metric.label for metric in metrics_of(spec) if not metric.met(test[metric.label], spare))
    over = [one for one in spec.target.budgets if one.label in known and not is_met(one, known[one.label].value)]
    missed = (*missed, *(limit.label for limit in over))
    found = EarlyEndClaim(
        baseline=baseline,
        validation=validation,
        test={**test, **known},
        missed=missed,
        confirmed=not missed,
        openings=openings,
    )
    said = (_in_words(spec, found, unlike), budgets_in_words(spec, known))
    return found.model_copy(update={"text": " ".join(part for part in said if part)})


def locked_claim(
    baseline: str, validation: Score, lock: LockedTerms, refusal: tuple[str, Sequence[str]]
) -> EarlyEndClaim:
    """The claim of a baseline where the test split may not be asked, because the terms changed after it was opened.

    Args:
        baseline: its name.
        validation: its score in the target's metric there.
        lock: the opening that binds the split.
        refusal: what an evaluation says in the same case, and its next steps (`playbook.evaluate.locked_terms`).
    """
    text, steps = refusal
    name = wording.model_name(baseline)
    said = f"{name[:1].upper()}{name[1:]} meets the target on validation ({wording.of_score(validation)}); the test "
    return EarlyEndClaim(
        baseline=baseline,
        validation=validation,
        locked=lock,
        text=f"{said}split is not asked whether it does there, and nothing is unfrozen. {text}",
        next_steps=tuple(steps),
    )


def small_claim(spec: TaskSpec, baseline: str, validation: Score, few: TooFewRows) -> EarlyEndClaim:
    """The claim of a baseline where the test split is too small for a limit, as its answers to validation scatter.

    Where it is the frozen baseline's, the evaluation would refuse as well, and nothing is unfrozen. Answers of a
    reference say nothing about those of a base, so that the task goes on and the frozen baseline is asked next.

    Args:
        spec: the task.
        baseline: its name.
        validation: its score in the target's metric there.
        few: from `playbook.evaluate.limit_rows`.
    """
    refusal = refuse(spec, Resolution(few.needed, few.available, 0.0, few.how, few.limit))
    name = wording.model_name(baseline)
    said = f"{name[:1].upper()}{name[1:]} meets the target on validation ({wording.of_score(validation)}); the test "
    end = "and nothing is unfrozen" if baseline == FROZEN else "and the task goes on"
    return EarlyEndClaim(
        baseline=baseline,
        validation=validation,
        too_few=few,
        text=f"{said}split is not asked whether it does there, {end}. {refusal.text}",
        next_steps=refusal.next_steps[:1],
    )


def _in_words(spec: TaskSpec, claim: EarlyEndClaim, unlike: str) -> str:
    name = wording.model_name(claim.baseline)
    score = claim.test[spec.target.label]
    interval = f"{wording.percent(spec.evaluation.confidence, 0)} interval"
    figures = f"{score.metric} {wording.score_range(score)} on the test split ({interval}, {wording.size(score.n)})"
    validation = f"{wording.of_score(claim.validation)} on validation"
    if claim.confirmed:
        return f"{name[:1].upper()}{name[1:]} meets the target: {figures}, {validation}."
    end = f" {unlike}" if unlike else ""
    spare = f"{spec.evaluation.early_end_standard_errors:g} standard errors to spare"
    return (
        f"{name[:1].upper()}{name[1:]} met the target on validation only ({validation}). On the test split it misses "
        f"{wording.listing(list(claim.missed))}: {figures}, where {wording.wanted(spec.target)} is asked with {spare}. "
        f"The task goes on.{end}"
    )
