"""What the monitoring page shows, put together from artefacts (6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from playbook.artifacts import Drift, DriftFigure, ProductionWindow, RetrainDecision
from playbook.evaluate import wording
from playbook.operate.drift import FIGURES, ROWS_PER_DAY
from playbook.operate.policy import daily_interval
from playbook.operate.watch import FIGURE_WORDS, SHORT_WORDS, SILENT, alarming
from playbook.spec import TaskSpec

EventKind = Literal["trigger", "round", "promotion", "rollback"]
EVENT_WORDS: dict[str, str] = {
    "trigger": "trigger", "round": "retraining round", "promotion": "promotion", "rollback": "rollback",
}  # fmt: skip
_SHARES = {"predicted_classes", "confidence", "unknown_tokens", "other_scripts", SILENT}
SHOWN_WINDOWS = 14
SHOWN_DECISIONS = 14


@dataclass(frozen=True)
class Event:
    """Something that happened to the model: `day` is an ISO date, `text` short, for example `1.1.0`."""

    day: str
    kind: EventKind
    text: str


@dataclass(frozen=True)
class MonitoringContent:
    """Everything on the page; artefacts and events in any order, one drift artefact and one decision per day."""

    spec: TaskSpec
    drifts: Sequence[Drift]
    decisions: Sequence[RetrainDecision] = ()
    events: Sequence[Event] = ()
    windows: Sequence[ProductionWindow] = ()  # for the outcomes that are known

    @cached_property
    def days(self) -> tuple[Drift, ...]:
        """The windows, oldest first; a skipped asset says nothing of its day."""
        return tuple(sorted((drift for drift in self.drifts if drift.day and not drift.skipped), key=lambda d: d.day))

    @cached_property
    def evaluations(self) -> tuple[RetrainDecision, ...]:
        """The evaluations of the policy, newest first."""
        known = [decision for decision in self.decisions if decision.day and not decision.skipped]
        return tuple(sorted(known, key=lambda decision: decision.day, reverse=True))

    @cached_property
    def happened(self) -> tuple[Event, ...]:
        """The events, oldest first."""
        return tuple(sorted(self.events, key=lambda event: event.day))

    @cached_property
    def outcomes(self) -> dict[str, int]:
        """Rows with a true label in each day's window, where that is known."""
        known = {drift.day: drift.live.n for drift in self.days if drift.live is not None}
        return known | {window.day: window.outcomes for window in self.windows if window.day and not window.skipped}


class Headline(NamedTuple):
    """What the page says first."""

    tone: str  # good, simple, stop: classes of the style sheet
    mark: str
    title: str
    text: str
    steps: tuple[str, ...]


def headline(content: MonitoringContent) -> Headline:
    """Is there an alarm on the last day, since when, and what is to be done."""
    if not content.days:
        return Headline(
            "simple", "–", "Nothing was watched yet", "No window of the prediction log was judged so far.", ()
        )
    last = content.days[-1]
    fallen = _fallen(content, last)
    if last.alarm:
        title = f"Drift alarm since {alarm_since(content)}"
        return Headline("stop", "!", title, f"Window up to {last.day}: {last.text} {fallen}".strip(), _steps(content))
    if fallen:
        return Headline("stop", "!", "The live metric is below its threshold", f"{fallen} {last.text}", _steps(content))
    if not last.judged:
        return Headline("simple", "?", f"The window up to {last.day} was not judged", last.text or last.reason, ())
    before = [drift for drift in content.days if drift.alarm]
    earlier = f" The last alarm was on {before[-1].day}." if before else " There was no alarm so far."
    return Headline("good", "✓", "No alarm", f"Window up to {last.day}: {last.text}{earlier}", ())


def alarm_since(content: MonitoringContent) -> str:
    """First day of the alarm that still holds; a day that could not be judged does not end it."""
    since = ""
    for drift in reversed([drift for drift in content.days if drift.judged]):
        if not drift.alarm:
            break
        since = drift.day
    return since


def _fallen(content: MonitoringContent, last: Drift) -> str:
    asked = content.spec.retraining.metric_below
    target = content.spec.target
    threshold = target.bound if asked is None else asked
    if last.live is None:
        return ""
    low, high = daily_interval(content.spec, last.live)
    worse = low > threshold if target.direction == "at_most" else high < threshold
    if not worse:
        return ""
    side = "above" if target.direction == "at_most" else "below"
    limit = wording.written(threshold, target.metric)
    found = f"Live {last.live.metric} is {wording.score_range(last.live)}"
    return f"{found}, {side} {limit} by more than daily looks show by chance."


def _steps(content: MonitoringContent) -> tuple[str, ...]:
    look = "Look at the figures over their thresholds below: is it a new kind of input, or a fault before the model?"
    decision = content.evaluations[0] if content.evaluations else None
    if decision is None:
        return (look, "No retraining policy was evaluated yet.")
    if decision.fired:
        found = "; ".join(f"{name.replace('_', ' ')}: {what}" for name, what in decision.triggers.items())
        return (
            look,
            f"Retraining was asked for on {decision.day} ({found}). Label new rows and sign the candidate off.",
        )
    why = decision.held_back or decision.reason or "no trigger holds"
    return (look, f"Retraining was not asked for on {decision.day}: {why}.")


def excess(figure: DriftFigure) -> float | None:
    """Distance from the usual value as a share of the distance that raises the alarm: over 1 is an alarm."""
    if figure.threshold is None or figure.usual is None:
        return None
    apart, reach = figure.value - figure.usual, figure.threshold - figure.usual
    return max(0.0, apart if figure.low is None else abs(apart)) / reach if reach > 0 else None


def figure_words(name: str) -> str:
    """A figure's name as a sentence would have it."""
    return FIGURE_WORDS.get(name, name.replace("_", " "))


def short_words(name: str) -> str:
    """A figure's name in a plot or a table."""
    return SHORT_WORDS.get(name, name.replace("_", " "))


def written(name: str, value: float | None) -> str:
    """A figure's value as it is read: shares as per cent, others with three digits that count."""
    if value is None:
        return "–"
    if name in _SHARES:
        return wording.percent(max(value, 0.0))
    form = {"classifier": ".3f", "words": ".1f", ROWS_PER_DAY: ".1f"}.get(name, ".3g")
    return f"{max(value, 0.0):{form}}"


class Seen(NamedTuple):
    """Windows at which the same shift could have been seen."""

    rows: str
    windows: int
    share: str


def could_see(content: MonitoringContent) -> list[Seen]:
    """What shift could have been seen at which sizes, the largest windows first."""
    judged = [drift for drift in content.days if drift.judged]
    found = []
    for share in sorted({drift.detectable for drift in judged}, key=lambda one: 2.0 if one is None else one):
        sizes = [drift.rows for drift in judged if drift.detectable == share]
        rows = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"
        said = "none up to 60 %" if share is None else wording.percent(share, 0)
        found.append(Seen(rows, len(sizes), said))
    return found


class Day(NamedTuple):
    """One line of the table of windows."""

    drift: Drift
    verdict: str
    loud: str
    p_value: float | None
    outcomes: int | None


def last_windows(content: MonitoringContent) -> list[Day]:
    """The last windows, newest first."""
    rows = []
    for drift in reversed(content.days[-SHOWN_WINDOWS:]):
        p_values = [figure.p_value for figure in drift.figures if figure.p_value is not None and figure.name in FIGURES]
        loud = wording.listing([short_words(figure.name) for figure in alarming(drift.figures)])
        verdict = "alarm" if drift.alarm else "no alarm" if drift.judged else "not judged"
        least = min(p_values) if p_values and drift.judged else None
        rows.append(Day(drift, verdict, loud, least, content.outcomes.get(drift.day)))
    return rows
