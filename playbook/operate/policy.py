"""The retraining policy (6.5): whether a day's findings send the task back to its data, and why or why not.

Every trigger is looked at every day and what was found is kept, fired or not. A trigger that holds asks for a round
unless something holds it back: a round that was asked for already, the cool-down, or too few new labels to learn from.

Triggers that rest on a test (metric, metric_differs, drift) are looked at every day, so each look has to be surer than
one look alone would (`playbook.statistics.daily_looks`). How often each trigger holds without cause is part of what is
kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from playbook.artifacts import Drift, RetrainDecision, Score, Trigger
from playbook.data.text import counted
from playbook.evaluate import wording
from playbook.operate.drift import FIGURES
from playbook.spec import TaskSpec
from playbook.statistics.daily_looks import (
    PERIOD_DAYS,
    difference,
    rate_of_a_day,
    rate_of_all_days,
    reaching,
)

COUNTED = "it is counted, not estimated: no false alarm"


@dataclass(frozen=True)
class Facts:
    """What is known at the end of a day."""

    day: date
    version: str  # that serves; empty where none does
    windows: Sequence[Drift] = ()  # of the last days, oldest first; those of another version do not count
    new_rows: Sequence[date] = ()  # days of the labelled rows that a round would add
    rows_may_grow: bool = True  # data.accumulated is named
    new_classes: Mapping[str, int] = field(default_factory=dict)  # classes that a round would add -> rows
    strange: Mapping[str, int] = field(default_factory=dict)  # other labels that are not classes of the task -> rows
    classes_may_grow: bool = False  # data.accumulated.classes is named
    task_changed: str = ""  # what is no longer as the model that serves has it
    better_base: str = ""  # the base that the bake-off prefers
    held_out: Score | None = None  # the target's metric of the version that serves, on the test split
    last_round: date | None = None
    asked_already: str = ""  # since when a round is asked for that has not begun


def decide_retraining(spec: TaskSpec, facts: Facts) -> RetrainDecision:
    """Look at every trigger of the task's policy, and fire or say what holds it back."""
    rules = spec.retraining
    if not facts.version:
        why = "no model serves yet: there is nothing to retrain"
        return RetrainDecision(task=spec.task, day=facts.day.isoformat(), reason=why)
    looked: dict[Trigger, tuple[bool, str]] = {
        "metric": _metric(spec, facts),
        "metric_differs": _metric_differs(spec, facts),
        "drift": _drift(spec, facts),
        "new_labels": _new_labels(spec, facts),
        "new_class": _new_class(spec, facts),
        "task_changed": (bool(rules.task_changed and facts.task_changed), facts.task_changed or "as it was"),
        "better_base": (bool(rules.better_base and facts.better_base), facts.better_base or "none"),
    }
    triggers = {name: found for name, (holds, found) in looked.items() if holds}
    held_back = _held_back(spec, facts, triggers) if triggers else ""
    fired = bool(triggers) and not held_back
    return RetrainDecision(
        task=spec.task,
        day=facts.day.isoformat(),
        fired=fired,
        triggers=triggers,
        held_back=held_back,
        checked={name: found for name, (_, found) in looked.items()},
        false_alarms={name: said for name, said in false_alarms(spec).items() if name in looked},
        new_labels=len(facts.new_rows),
        reason=_in_words(triggers, held_back),
    )


def drift_began(spec: TaskSpec, facts: Facts) -> date | None:
    """First day of the window that raised the first alarm of those that go on until today.

    Alarms belong together where no more days lie between two of them than the trigger looks at.
    """
    rule = spec.retraining.drift
    if rule is None:
        return None
    alarms = [date.fromisoformat(drift.day) for drift in facts.windows if drift.alarm and _mine(facts, drift)]
    began, reach = None, facts.day
    for day in reversed(alarms):
        if (reach - day).days > rule.windows:
            break
        began = reach = day
    return began - timedelta(spec.monitoring.window_days - 1) if began else None


def _mine(facts: Facts, drift: Drift) -> bool:
    return drift.model_version == facts.version and date.fromisoformat(drift.day) <= facts.day


def false_alarms(spec: TaskSpec) -> dict[Trigger, str]:
    """How often each trigger holds although nothing changed, in words."""
    rules = spec.retraining
    tested = f"at most {wording.percent(rules.false_alarm_rate)} of streams without a change in {PERIOD_DAYS} days"
    drift = f"at most {wording.percent(drift_rate(spec))} of streams without a change in {PERIOD_DAYS} days"
    return {
        "metric": tested,
        "metric_differs": tested if rules.metric_differs is not None else "not asked for",
        "drift": drift if rules.drift else "not asked for",
        "new_labels": COUNTED,
        "new_class": COUNTED,
        "task_changed": COUNTED,
        "better_base": "not known: the bake-off compares on validation, and is not a test",
        "schedule": COUNTED,
        "button": COUNTED,
    }


def sure_enough(spec: TaskSpec) -> float:
    """p-value up to which a window counts for the drift trigger.

    The task file has resamples enough that every figure can have one so small (`playbook.spec.drift_rates`).
    """
    rules, rule = spec.monitoring, spec.retraining.drift
    if rule is None:
        return rules.false_alarm_rate
    return min(rules.false_alarm_rate, rate_of_a_day(spec.retraining.false_alarm_rate, rule.alarms, rule.windows))


def drift_rate(spec: TaskSpec) -> float:
    """Bound on the share of streams without drift in which the drift trigger holds within 60 days."""
    rule = spec.retraining.drift
    return rate_of_all_days(sure_enough(spec), rule.alarms, rule.windows) if rule else 0.0


def _looked_at(spec: TaskSpec, facts: Facts) -> list[Drift]:
    rule = spec.retraining.drift
    if rule is None:
        return []
    first = facts.day - timedelta(rule.windows - 1)
    return [drift for drift in facts.windows if _mine(facts, drift) and first <= date.fromisoformat(drift.day)]


def _drift(spec: TaskSpec, facts: Facts) -> tuple[bool, str]:
    rule, sure = spec.retraining.drift, sure_enough(spec)
    if rule is None:
        return False, "not asked for"
    alarms = sum(_p_value(drift) <= sure + 1e-12 for drift in _looked_at(spec, facts) if drift.judged)
    found = f"p at most {sure:.2g} in {alarms} of the last {rule.windows} windows"
    return alarms >= rule.alarms, f"{found}, {rule.alarms} count"


def _p_value(drift: Drift) -> float:
    """The window's p-value; of earlier releases' windows it is the smallest of their figures'."""
    known = [figure.p_value for figure in drift.figures if figure.p_value is not None and figure.name in FIGURES]
    return min(known, default=1.0) if drift.p_value is None else drift.p_value


def _metric(spec: TaskSpec, facts: Facts) -> tuple[bool, str]:
    rules, score = spec.retraining, _live(facts)
    threshold = rules.metric_below if rules.metric_below is not None else spec.target.bound
    if score is None:
        return False, "too few outcomes"
    low, high = daily_interval(spec, score)
    worse = low > threshold if spec.target.direction == "at_most" else high < threshold
    return worse, f"{_in_figures(score, low, high)}, threshold {threshold:g}"


def _metric_differs(spec: TaskSpec, facts: Facts) -> tuple[bool, str]:
    most, score, held_out = spec.retraining.metric_differs, _live(facts), facts.held_out
    if most is None:
        return False, "not asked for"
    if held_out is None:
        return False, "the version that serves has no result of the test split with it: package it again"
    if score is None:
        return False, "too few outcomes"
    low, high = difference(score.value, daily_interval(spec, score), held_out.value, daily_interval(spec, held_out))
    found = f"{score.metric} live {score.value:.3f}, on test {held_out.value:.3f}"
    said = f"{found}: {score.value - held_out.value:+.3f} ({low:+.3f} to {high:+.3f}), {most:g} counts"
    return low > most or high < -most, said


def _live(facts: Facts) -> Score | None:
    today = facts.windows[-1] if facts.windows else None
    return today.live if today is not None and today.day == facts.day.isoformat() else None


def daily_interval(spec: TaskSpec, score: Score) -> tuple[float, float]:
    """Interval of a score that may be looked at every day of the period."""
    return reaching(score, spec.evaluation.confidence, rate_of_a_day(spec.retraining.false_alarm_rate))


def _in_figures(score: Score, low: float, high: float) -> str:
    return (
        f"{score.metric} {score.value:.3f} ({low:.3f} to {high:.3f}, for daily looks) on {counted(score.n, 'outcome')}"
    )


def _new_labels(spec: TaskSpec, facts: Facts) -> tuple[bool, str]:
    wanted, there = spec.retraining.new_labels, len(facts.new_rows)
    new = f"{counted(there, 'labelled row')} {'is' if there == 1 else 'are'} new"
    if wanted is None:
        return False, f"{new}; not asked for"
    return there >= wanted, f"{new}, {wanted} count"


def _new_class(spec: TaskSpec, facts: Facts) -> tuple[bool, str]:
    wanted = spec.retraining.new_class_rows
    ready = ", ".join(f"{label} ({counted(n, 'row')})" for label, n in sorted(facts.new_classes.items()))
    strange = ", ".join(f"{label} ({counted(n, 'row')})" for label, n in sorted(facts.strange.items()))
    if ready:
        return True, f"{ready}, {wanted} count"
    if not strange:
        return False, "none"
    if not facts.classes_may_grow:
        return False, f"{strange}; data.accumulated.classes is not named, so the label set does not grow"
    return False, f"{strange}; {wanted} count, and enough in every split; what the owner left out is not new"


def _held_back(spec: TaskSpec, facts: Facts, triggers: Mapping[Trigger, str]) -> str:
    if facts.asked_already:
        return f"a round was asked for on {facts.asked_already} and has not begun"
    rules = spec.retraining
    if facts.last_round is not None:
        over = facts.last_round + timedelta(rules.cool_down_days)
        if facts.day < over:
            return f"cool-down after the round of {facts.last_round.isoformat()}, until {over.isoformat()}"
    if set(triggers) & {"task_changed", "better_base"}:
        return ""  # for these no new row is needed
    if not facts.rows_may_grow:
        return "the task file names no data.accumulated, so a round would learn nothing new; ask for one by hand"
    began = drift_began(spec, facts) if set(triggers) == {"drift"} else None
    usable = [day for day in facts.new_rows if began is None or day >= began]
    if len(usable) < rules.min_new_labels:
        since = f" since {began.isoformat()}" if began else ""
        return f"{len(usable)} new labelled rows{since}, a round waits for {rules.min_new_labels}"
    return ""


def _in_words(triggers: Mapping[Trigger, str], held_back: str) -> str:
    if not triggers:
        return "not fired: no trigger holds"
    named = "; ".join(f"{name} ({found})" for name, found in triggers.items())
    return f"held back: {named}; {held_back}" if held_back else f"fired: {named}"
