"""The monitoring page of a task: one self-contained HTML page with the whole story (6.4).

It is made like the evaluation report and shares its style sheet: no script, no font and no picture comes from
elsewhere, the content security policy forbids it, and everything from data or from the task file is escaped. The same
content gives the same bytes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from playbook.evaluate import wording
from playbook.operate import monitoring_plots as plots
from playbook.operate.estimate import ASSUMPTIONS
from playbook.operate.monitoring_content import (
    EVENT_WORDS,
    SHOWN_DECISIONS,
    Event,
    MonitoringContent,
    could_see,
    figure_words,
    headline,
    last_windows,
    short_words,
    written,
)
from playbook.operate.monitoring_plots import story_plot
from playbook.operate.policy import false_alarms

__all__ = ["Event", "MonitoringContent", "monitoring_page", "story_plot"]


class _Section(NamedTuple):
    name: str
    title: str


def monitoring_page(content: MonitoringContent) -> str:
    """The page as HTML text; also before anything was watched."""
    page = _environment().get_template("monitoring.html.j2").render(_values(content))
    return re.sub(r"(?<=\d) %", "\u00a0%", page)  # no line ends between a figure and its sign


def _values(content: MonitoringContent) -> dict[str, Any]:
    days = content.days
    drawn = {name: Markup(svg.decode()) for name, svg in _plots(content).items()}  # noqa: S704 - escaped by matplotlib
    judged = [drift for drift in days if drift.judged]
    return {
        "c": content,
        "spec": content.spec,
        "rules": content.spec.monitoring,
        "headline": headline(content),
        "last": days[-1] if days else None,
        "judged": len(judged),
        "alarms": sum(drift.alarm for drift in judged),
        "plots": drawn,
        "sections": _sections(content, drawn),
        "windows": last_windows(content),
        "seen": could_see(content),
        "decisions": content.evaluations,
        "shown_decisions": SHOWN_DECISIONS,
        "false_alarms": false_alarms(content.spec),
        "fired": [decision for decision in content.evaluations if decision.fired],
        "events": tuple(reversed(content.happened)),
        "event_words": EVENT_WORDS,
        "assumptions": ASSUMPTIONS,
        "classes": plots.worst_classes(content),
        "versions": list(dict.fromkeys(drift.model_version for drift in days if drift.model_version)),
    }


def _plots(content: MonitoringContent) -> dict[str, bytes]:
    if not content.days:
        return {}
    drawn = {"story": story_plot(content, "svg")}
    if any(drift.figures for drift in content.days):
        drawn["figures"] = plots.figures_plot(content)
    if plots.worst_classes(content):
        drawn["recall"] = plots.recall_plot(content)
    return drawn


def _sections(content: MonitoringContent, drawn: dict[str, Any]) -> list[_Section]:
    shown = {
        _Section("figures", "What is watched, figure by figure"): "figures" in drawn,
        _Section("recall", "Class by class, where outcomes are known"): "recall" in drawn,
        _Section("windows", "The last windows"): bool(content.days),
        _Section("seen", "What could have been seen"): any(drift.judged for drift in content.days),
        _Section("triggers", "Retraining: what was asked, and the answer"): bool(content.evaluations),
        _Section("events", "What happened"): bool(content.events),
        _Section("assumptions", "How to read this page"): True,
    }
    return [section for section, there in shown.items() if there]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("playbook", "operate/templates"), PackageLoader("playbook", "evaluate/templates")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "wanted": wording.wanted,
        "amount": wording.amount,
        "value": wording.of_score,
        "ends": wording.ends,
        "size": wording.size,
        "figure_words": figure_words,
        "short": short_words,
        "written": written,
        "trigger": lambda name: name.replace("_", " "),
    }
    return environment
