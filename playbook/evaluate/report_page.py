"""Which sections the report has for what came about, in their order, and the plots in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from playbook.artifacts import Adapted, Evaluation, Refresh
from playbook.evaluate import plots, suite_plots, wording
from playbook.evaluate.report_content import (
    ReportInputs,
    ledger_rows,
    opened,
    shown_name,
    shown_side,
    skipped_rungs,
    wrong_answers,
)
from playbook.evaluate.report_sections import dots, model_comparison, transfer_view
from playbook.evaluate.silence_plot import silence_plot
from playbook.evaluate.threshold_plot import threshold_plot

SHOWN_CLASSES = 20
MEASURED = 2  # candidates with a score that a plot takes to be worth drawing


class PageSection(NamedTuple):
    """A section of the page: its id, which names its template `section_ID.html.j2` too, its title, a note beside it."""

    name: str
    title: str
    note: str = ""


def page_sections(context: ReportInputs) -> list[PageSection]:
    """The sections that have something to say, in the order of the page: what is decided first, details later."""
    evaluation, audit, decision = opened(context), context.audit, context.decision
    labels = context.dataset.agreement or context.dataset.guideline or (audit and not audit.skipped)
    shown = {
        PageSection("asked", "What was asked"): True,
        PageSection("sign_off", "Your decision", f"for {context.spec.owners.sign_off}"): evaluation is not None,
        PageSection("comparison", "What each model reaches"): bool(model_comparison(context)),
        PageSection("gain", "What adaptation adds, and at what price"): bool(
            evaluation or ledger_rows(context) or skipped_rungs(context)
        ),
        PageSection("transfer", "Does transfer itself help?"): transfer_view(context) is not None,
        PageSection("base", "Which base, and why"): bool(context.base and context.base.candidates),
        **(_details(context, evaluation) if evaluation else {}),
        PageSection("data", "The data"): True,
        PageSection("labels", "Are the labels right, and are there enough?"): bool(labels),
        PageSection("speed", "Speed and cost of an answer"): bool(evaluation and evaluation.speed),
        PageSection("decision", "Why this path was taken"): bool(decision and not decision.skipped),
    }
    return [section for section, there in shown.items() if there]


def _details(context: ReportInputs, evaluation: Evaluation) -> dict[PageSection, bool]:
    model = "frozen baseline" if shown_name(evaluation) == "baseline" else "candidate"
    note = f"{model}, test split"
    return {
        PageSection("classes", "Where it fails: class by class", note): True,
        PageSection("confusion", "Where it fails: what is taken for what", note): True,
        PageSection("slices", "Where it fails: slices of the data", note): bool(evaluation.slices.figures),
        PageSection("behaviour", "Where it fails: behavioural tests"): bool(evaluation.behaviour),
        PageSection("incumbent", "Against the model that serves"): evaluation.incumbent is not None,
        PageSection("regressions", "What it could do before and no longer can"): bool(
            evaluation.regressions or evaluation.capabilities
        ),
        PageSection("examples", "Where it fails: the most confident wrong answers", note): bool(wrong_answers(context)),
        PageSection("calibration", "Can its confidence be trusted?", note): evaluation.calibration is not None,
        PageSection("operating_point", "From which probability on?", note): evaluation.operating_point is not None,
        PageSection("silence", "When does it ask a person?", note): evaluation.silence is not None,
        PageSection("shift", "Does it hold on data like production?"): True,
    }


def plots_of(context: ReportInputs) -> dict[str, bytes]:
    """Every plot that has something to show, as SVG, by the name that the templates ask for."""
    drawn: dict[str, bytes] = {}
    target, metric = context.spec.target.bound, context.spec.target.label
    ledger, evaluation = ledger_rows(context), opened(context)
    split, shown = dots(model_comparison(context))
    if shown:
        drawn["comparison"] = suite_plots.comparison_plot(shown, target, f"{metric}, {split}")
    if ledger:
        drawn["staircase"] = plots.staircase_plot(ledger, target, context.spec.evaluation.confidence, metric=metric)
    curves = _curves([context.frozen, *context.rungs])
    if curves:
        drawn["curves"] = plots.curves_plot(curves)
    transfer = transfer_view(context)
    if transfer is not None and transfer.rows:
        label = f"{wording.unit(metric)} that the candidate is ahead, {transfer.split}"
        drawn["transfer"] = suite_plots.differences_plot(transfer.rows, label, metric=metric)
    if context.base is not None and sum(found.score is not None for found in context.base.candidates) >= MEASURED:
        budget = context.spec.bake_off.budget.latency_p95_ms
        drawn["base"] = plots.bake_off_plot(context.base.candidates, context.base.chosen, budget, metric)
    if context.audit is not None and context.audit.curve is not None and context.audit.curve.points:
        drawn["data_curve"] = suite_plots.data_curve_plot(context.audit.curve)
    if evaluation is not None:
        drawn |= _test_plots(context, evaluation)
    return drawn


def _test_plots(context: ReportInputs, evaluation: Evaluation) -> dict[str, bytes]:
    side = shown_side(evaluation)
    drawn = {
        "classes": plots.per_class_plot(side.per_class, SHOWN_CLASSES),
        "confusion": plots.confusion_plot(side.confusion, [f.label for f in side.per_class], SHOWN_CLASSES),
    }
    if evaluation.candidate is not None:
        drawn["delta"] = plots.delta_plot(
            evaluation.delta, evaluation.interval, evaluation.margin, metric=evaluation.metric
        )
    if evaluation.calibration is not None:
        drawn["calibration"] = suite_plots.reliability_plot(evaluation.calibration)
    if evaluation.operating_point is not None:
        drawn["operating_point"] = threshold_plot(context.spec, evaluation.operating_point, side.scores)
    if evaluation.silence is not None and evaluation.silence.curve:
        drawn["silence"] = silence_plot(evaluation.silence)
    if evaluation.slices.figures:
        target = context.spec.target
        drawn["slices"] = suite_plots.slices_plot(evaluation.slices.figures, target.bound, target.label)
    return drawn


def _curves(models: Sequence[Adapted | None]) -> dict[str, Any]:
    found = {}
    for model in models:
        if model is not None and not model.skipped and model.curve:
            trained = "refreshed champion" if isinstance(model, Refresh) else f"{model.unfrozen} unfrozen"
            found["frozen head" if model.unfrozen == 0 else trained] = model.curve
    return found
