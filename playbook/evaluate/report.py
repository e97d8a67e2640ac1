"""The evaluation report: one self-contained HTML page for a sign-off owner who was not there (5.3, 5.6, 5.8).

No script, no font and no picture comes from elsewhere, and the page's content security policy forbids it. Everything
that comes from data or from the task file is escaped. The same inputs give the same bytes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from playbook.evaluate import report_sections as sections
from playbook.evaluate import report_sign_off as approval
from playbook.evaluate import wording
from playbook.evaluate.report_content import (
    ReportInputs,
    class_rows,
    facts,
    ledger_rows,
    model_rows,
    opened,
    shown_name,
    shown_side,
    skipped_rungs,
    stamp,
    top_confusions,
    warnings,
    wrong_answers,
)
from playbook.evaluate.report_headline import Headline, headline
from playbook.evaluate.report_page import SHOWN_CLASSES, page_sections, plots_of
from playbook.evaluate.report_price import price_rows
from playbook.evaluate.verdict import failing_classes

__all__ = ["Headline", "ReportInputs", "headline", "render_report"]


def render_report(context: ReportInputs) -> str:
    """The page as HTML text; also for refused evaluations and for tasks that ended before one."""
    page = _environment().get_template("report.html.j2").render(_values(context))
    return re.sub(r"(?<=\d) %", "\u00a0%", page)  # no line ends between a figure and its sign


def _values(context: ReportInputs) -> dict[str, Any]:
    evaluation = opened(context)
    plots = {name: Markup(svg.decode()) for name, svg in plots_of(context).items()}  # noqa: S704
    return {
        "c": context,
        "spec": context.spec,
        "headline": headline(context),
        "warnings": warnings(context),
        "evaluation": context.evaluation,
        "sections": page_sections(context),
        "stamp": stamp(context),
        "facts": facts(context),
        "plots": plots,  # matplotlib escapes the texts of an SVG, so it may stand in the page
        "shown_classes": SHOWN_CLASSES,
        "ledger": ledger_rows(context),
        "skipped": skipped_rungs(context),
        "models": sections.model_comparison(context),
        "transfer": sections.transfer_view(context),
        "base_columns": sections.base_columns(context.base) if context.base else (),
        "base_table": sections.base_table(context.base) if context.base else (),
        "sign_off": approval.sign_off_view(context),
        **(_of_evaluation(context) if evaluation else _NOTHING_OPENED),
    }


_NOTHING_OPENED: dict[str, Any] = {
    "sides": [], "interval": "", "unit": "", "classes": [], "failing": (), "shown_name": "", "confusions": [],
    "examples": [], "questions": (), "prices": (), "blockers": [], "speed": [], "production_seen": False,
    "shown_scores": {},
}  # fmt: skip


def _of_evaluation(context: ReportInputs) -> dict[str, Any]:
    evaluation = opened(context)
    if evaluation is None:
        return _NOTHING_OPENED
    side = shown_side(evaluation)
    return {
        "sides": model_rows(context.spec, evaluation),
        "interval": wording.interval(*evaluation.interval, evaluation.metric),
        "unit": wording.unit(evaluation.metric),
        "classes": class_rows(evaluation),
        "failing": failing_classes(side.per_class),
        "shown_name": "frozen baseline" if shown_name(evaluation) == "baseline" else "candidate",
        "shown_scores": side.scores,
        "confusions": top_confusions(side),
        "examples": wrong_answers(context),
        "questions": approval.questions(evaluation, context.decision),
        "prices": price_rows(context),
        "blockers": [(blocker, *approval.lifts(context, blocker)) for blocker in evaluation.blockers],
        "speed": sections.speed_rows(evaluation.speed),
        "production_seen": approval.production_seen(evaluation),
    }


@cache
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
        "wanted": wording.wanted,
        "amount": wording.amount,
        "value": wording.of_score,
        "ends": wording.ends,
        "margin": wording.margin,
        "duration": wording.duration,
        "money": wording.money,
        "money_around": wording.money_around,
        "duration_around": wording.duration_around,
        "difference": wording.difference,
        "told": wording.told,
        "size": wording.size,
        "path": lambda path: wording.PATH_NAMES[path],
        "model": wording.model_name,
        "name": _breakable,
    }
    return environment


def _breakable(name: str) -> Markup:
    """A name from data, escaped, that may be broken after underscores rather than anywhere."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))
