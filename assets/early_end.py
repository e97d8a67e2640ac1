"""Play 4: whether the frozen baseline ends the task, asked of the test split; the same question for references."""

# Annotations are real types here: Dagster reads them to load each input as the artefact that it is.
from collections.abc import Mapping
from typing import TypeGuard

import dagster as dg
import numpy as np

from assets.budgets import measured_model
from assets.candidate import asset_of
from assets.code_versions import version_of
from assets.factory import AssetMaker
from assets.incumbent import incumbent_of
from assets.play import Made, Play, remembered, require_green, result, skip
from assets.served import validation_table
from assets.terms import terms_now
from assets.test_answers import answer, reference_model, trained_model
from playbook.artifacts import (
    DatasetVersion,
    Decision,
    EarlyEnd,
    EarlyEndClaim,
    FrozenBaseline,
    ReferenceBaselines,
    Score,
    TooFewRows,
)
from playbook.evaluate.answers import AskedModel
from playbook.evaluate.as_served import AsServed, as_served, served_under
from playbook.evaluate.terms_waiver import locked_text
from playbook.plays import DATASET, DECISION, EARLY_END, FROZEN
from playbook.statistics.answers import Answers

PURPOSE = "early end"  # in the ledger of openings


def early_end(maker: AssetMaker) -> dg.AssetsDefinition:
    """The frozen baseline's claim to meet the target, confirmed or not."""
    options = maker.options(
        EARLY_END,
        play=4,
        owner=maker.task.spec.owners.sign_off,
        part="early_end",
        kinds={"pytorch"},
        upstream={"dataset": DATASET, "decided": DECISION, "frozen": FROZEN},
    )

    @dg.asset(
        **options, description="Where the frozen baseline meets the target on validation, the test split is asked."
    )
    def confirmed(
        context: dg.AssetExecutionContext, dataset: DatasetVersion, decided: Decision, frozen: FrozenBaseline
    ) -> dg.Output[EarlyEnd]:
        play = maker.play(context, EARLY_END)
        require_green(dataset)
        if frozen.skipped:
            return result(play, skip(play, EarlyEnd, frozen.reason))
        done = _asked(play, dataset, decided, frozen)
        return result(
            play, done, {"ends": done.ends, "claim": done.claim.text if done.claim else done.reason or "none"}
        )

    return confirmed


def _asked(play: Play, dataset: DatasetVersion, decided: Decision, frozen: FrozenBaseline) -> EarlyEnd:
    from playbook.decide.references import meets_target
    from playbook.evaluate.budgets import over_budget
    from playbook.evaluate.compare import describe_side
    from playbook.evaluate.limit_rows import too_few_rows

    spec = play.task.spec
    truth, answers = _validation(play, frozen)
    # In a round a model trained from the base competes with the refreshed champion, whatever the baseline reaches.
    in_round = incumbent_of(play, dataset.dataset_hash) is not None
    inputs = {
        "model": frozen.digest,
        "in_round": in_round,
        "data": dataset.dataset_hash,
        "asked": asked_of(play),
        "terms": terms_now(play, dataset).key,
        "reference": decided.claim.text if _may_not_ask(decided.claim) else "",
        "code": version_of("early_end"),
    }

    def make(key: str) -> Made:
        if _may_not_ask(decided.claim):  # a reference's: the split is not asked for the frozen baseline either
            return _ended(play, decided.claim)
        validation = describe_side(spec, truth, answers).scores
        if in_round or not meets_target(spec, validation, answers):
            return Made(EarlyEnd(task=spec.task))
        few = too_few_rows(spec, truth, answers, dataset.class_rows.get("test", {}))
        measured = {} if few else measured_model(play, dataset, FROZEN, frozen, play.work(key))
        over = () if few else over_budget(spec.target.budgets, measured)
        if over:  # known without the test split, which stays closed
            why = f"the frozen baseline meets the target on validation, but is over a limit: {'; '.join(over)}"
            play.report(why)
            return Made(EarlyEnd(task=spec.task, reason=f"{why}. The task goes on."))
        model = trained_model(play, FROZEN, frozen)
        table = play.world.store.path(frozen, asset_of(frozen), "predictions")
        served = as_served(spec, *validation_table(play, table))
        claim = confirm(play, dataset, model, FROZEN, validation[spec.target.label], served, measured, few)
        return _ended(play, claim)

    return remembered(play, EarlyEnd, inputs, make)


def _may_not_ask(claim: EarlyEndClaim | None) -> TypeGuard[EarlyEndClaim]:
    return claim is not None and claim.locked is not None


def _ended(play: Play, claim: EarlyEndClaim) -> Made:
    reason = " ".join((claim.text, *claim.next_steps))
    return Made(EarlyEnd(task=play.task.spec.task, claim=claim, reason=reason))


def asked_of(play: Play) -> dict[str, object]:
    """Parts of the task file that decide whether a baseline meets the target."""
    spec = play.task.spec
    fields = {"confidence", "resamples", "early_end_standard_errors"}
    return {
        "limits": [limit.model_dump(mode="json") for limit in spec.target.all_limits],
        "operating_point": spec.target.operating_point,
        "evaluation": spec.evaluation.model_dump(mode="json", include=fields),
        "seed": spec.adaptation.seed,
    }


def _validation(play: Play, frozen: FrozenBaseline) -> tuple[np.ndarray, Answers]:
    """True classes of validation, shape (rows,), and the frozen baseline's answers as it would serve them."""
    import pandas as pd

    from playbook.adapt.staircase import served_answers

    table = pd.read_parquet(play.world.store.path(frozen, asset_of(frozen), "predictions"))
    return served_answers(table, play.task.spec)


def reference_claim(play: Play, dataset: DatasetVersion, references: ReferenceBaselines) -> EarlyEndClaim | None:
    """The claim of the reference that meets the target on validation; None where none does."""
    name = references.meets_target
    if not name:
        return None
    served = served_under(references.served[name], play.task.spec.labels)
    model = reference_model(play, dataset, name, references.tfidf)
    return confirm(
        play, dataset, model, name, references.validation[name], served, references.measured, references.too_few
    )


def confirm(
    play: Play,
    dataset: DatasetVersion,
    model: AskedModel,
    name: str,
    validation: Score,
    served: AsServed,
    measured: Mapping[str, Score],
    too_few: TooFewRows | None,
) -> EarlyEndClaim:
    """Ask the test split whether a baseline meets the target; the opening goes on record first, once per model.

    Where the terms changed after an opening and nobody waived that, the split is not asked: the claim says so, with
    what can be done, as an evaluation does. Nor is it asked where it is too small for a limit (`too_few`).
    """
    from playbook.data.tables import LABEL
    from playbook.evaluate.compare import describe_side
    from playbook.evaluate.early_end import judge_claim, locked_claim, small_claim
    from playbook.evaluate.suite import waived_text

    spec, terms = play.task.spec, terms_now(play, dataset)
    if terms.lock is not None and terms.refused:
        claim = locked_claim(name, validation, terms.lock, locked_text(terms.lock, play.task))
        return _not_asked(play, dataset, model, claim)
    if too_few is not None:
        return _not_asked(play, dataset, model, small_claim(spec, name, validation, too_few))
    play.report(f"{name} meets the target on validation; the test split is asked")
    answered = answer(play, dataset, model, purpose=PURPOSE)
    number = {label: at for at, label in enumerate(spec.labels)}
    truth = np.array([number[label] for label in answered.frame[LABEL]], dtype=np.int64)
    found = answered.probabilities[model.name]
    test = describe_side(spec, truth, served.answers(found)).scores
    alike = dataset.gate.resemblance if dataset.gate else None
    unlike = alike.text if alike is not None and not alike.alike else ""
    claim = judge_claim(spec, name, validation, test, openings=answered.openings, unlike=unlike, measured=measured)
    if terms.waiver is not None:
        claim = claim.model_copy(update={"text": f"{claim.text} {waived_text(terms.waiver)}"})
    play.report(claim.text)
    outcome = "confirmed on test" if claim.confirmed else "not confirmed on test"
    figures = {"value": test[spec.target.label].value, "openings": claim.openings}
    inputs = {"model": model.digest, "data": dataset.dataset_hash}
    play.decide("early_end", f"{name} meets the target on validation, {outcome}", inputs, figures)
    return claim


def _not_asked(play: Play, dataset: DatasetVersion, model: AskedModel, claim: EarlyEndClaim) -> EarlyEndClaim:
    """A claim that ends the task without an answer: said, and on record."""
    play.report(" ".join((claim.text, *claim.next_steps)))
    inputs = {"model": model.digest, "data": dataset.dataset_hash}
    title = f"{claim.baseline} meets the target on validation; the test split may not be asked"
    play.decide("early_end", title, inputs, {"why": claim.text, "next": list(claim.next_steps)})
    return claim
