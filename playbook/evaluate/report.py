"""The evaluation report: one self-contained HTML page for somebody who was not there (5.3, 5.8).

No script, no font and no picture comes from elsewhere, and the page's content security policy forbids it. Everything
that comes from data or from the task file is escaped. The same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from playbook.artifacts import Adapted, Evaluation
from playbook.evaluate import plots, wording
from playbook.evaluate.report_content import (
    ReportInputs,
    class_rows,
    facts,
    ledger_rows,
    model_rows,
    opened,
    shown_name,
    shown_side,
    top_confusions,
    wrong_answers,
)
from playbook.evaluate.verdict import FAILING, failing_classes

__all__ = ["Headline", "ReportInputs", "headline", "render_report"]

SHOWN_CLASSES = 20


@dataclass(frozen=True)
class Headline:
    """The box at the top: `tone` is its colour (good, simple, stop), `mark` a sign that needs no colour."""

    tone: str
    mark: str
    title: str
    text: str


def render_report(context: ReportInputs) -> str:
    """The page as HTML text; also for refused evaluations and for tasks that ended before one."""
    evaluation = opened(context)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            c=context,
            spec=context.spec,
            headline=headline(context),
            evaluation=context.evaluation,
            ledger=ledger_rows(context),
            skipped=[
                (f"rung_{rung.index or place}", rung.reason)
                for place, rung in enumerate(context.rungs, 1)
                if rung.skipped
            ],
            sides=model_rows(context.spec, evaluation) if evaluation else [],
            interval=wording.interval(*evaluation.interval) if evaluation else "",
            classes=class_rows(evaluation) if evaluation else [],
            failing=failing_classes(shown_side(evaluation).per_class) if evaluation else (),
            shown_name=shown_name(evaluation) if evaluation else "",
            confusions=top_confusions(shown_side(evaluation)) if evaluation else [],
            examples=wrong_answers(context),
            plots=_plots(context, evaluation),
            facts=facts(context),
            shown_classes=SHOWN_CLASSES,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("playbook", "evaluate/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "signed": wording.signed,
        "asked": wording.asked,
        "margin": wording.margin,
        "name": _breakable,
    }
    return environment


def _breakable(name: str) -> Markup:
    """A name from data, escaped, that may be broken after underscores rather than anywhere."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def headline(context: ReportInputs) -> Headline:
    """What to ship, or why there is nothing to say yet."""
    evaluation, gate = context.evaluation, context.dataset.gate
    if gate is not None and not gate.passed:
        faults = "; ".join(f"{check.name}: found {check.found}" for check in gate.failures)
        return Headline("stop", "■", "Stopped by the data gate", f"Nothing was trained. {faults}.")
    if evaluation is None or evaluation.skipped:
        return _early_end(context)
    if evaluation.refused:
        return Headline("stop", "?", "No answer: the test split is too small", evaluation.verdict)
    tone, mark, title = {
        "candidate": ("good", "✓", "Ship the candidate"),
        "baseline": ("simple", "✓", "Ship the frozen baseline"),
        "nothing": ("stop", "✕", "Ship nothing yet"),
    }[evaluation.ship]
    shown = evaluation.verdict.partition(FAILING)[0].strip()  # the box lists failing classes by itself
    _, found, why = shown.partition(": ")
    return Headline(tone, mark, title, why[:1].upper() + why[1:] if found else shown)


def _early_end(context: ReportInputs) -> Headline:
    said = context.evaluation.reason if context.evaluation else ""
    references, frozen = context.references, context.frozen
    if references is not None and references.meets_target:
        title = f"The target is already met by {references.meets_target}, without a pretrained base"
        score = references.validation[references.meets_target]
    elif frozen is not None and frozen.meets_target and frozen.validation is not None:
        title, score = "The target is already met by the frozen baseline", frozen.validation
    else:
        return Headline("stop", "…", "Ended before the evaluation", said or "The test split was not opened.")
    reached = f"{score.metric} {wording.against(score.value, context.spec.target.at_least)}, on validation."
    return Headline("simple", "✓", title, f"{reached} {said}".strip())


def _plots(context: ReportInputs, evaluation: Evaluation | None) -> dict[str, Markup]:
    """Every plot that has something to show; matplotlib escapes the texts of an SVG, so it may stand in the page."""
    drawn: dict[str, bytes] = {}
    ledger = ledger_rows(context)
    if ledger:
        drawn["staircase"] = plots.staircase_plot(
            ledger, context.spec.target.at_least, context.spec.evaluation.confidence
        )
    curves = _curves([context.frozen, *context.rungs])
    if curves:
        drawn["curves"] = plots.curves_plot(curves)
    if evaluation is not None:
        side = shown_side(evaluation)
        drawn["classes"] = plots.per_class_plot(side.per_class, SHOWN_CLASSES)
        drawn["confusion"] = plots.confusion_plot(side.confusion, [f.label for f in side.per_class], SHOWN_CLASSES)
        if evaluation.candidate is not None:
            drawn["delta"] = plots.delta_plot(evaluation.delta, evaluation.interval, evaluation.margin)
    return {name: Markup(svg.decode()) for name, svg in drawn.items()}  # noqa: S704


def _curves(models: Sequence[Adapted | None]) -> dict[str, Any]:
    found = {}
    for model in models:
        if model is not None and not model.skipped and model.curve:
            found["frozen head" if model.unfrozen == 0 else f"{model.unfrozen} unfrozen"] = model.curve
    return found
