"""Plots of the monitoring page, on one time axis; made as the report's are (`playbook.evaluate.plots`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Drift, DriftFigure, Figure, Score
from playbook.evaluate import wording
from playbook.evaluate.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SKY,
    VERMILION,
    Format,
    label_text,
    metric_axis,
    percent_axis,
    rendered,
)
from playbook.operate.drift import FIGURES, ROWS_PER_DAY
from playbook.operate.monitoring_content import EVENT_WORDS, MonitoringContent, excess, short_words
from playbook.operate.watch import SILENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_EVENTS: dict[str, tuple[str, str]] = {
    "trigger": ("^", VERMILION), "round": ("s", ORANGE), "promotion": ("o", GREEN), "rollback": ("X", INK),
}  # fmt: skip
_LANES = 3  # of event texts above each other
_LETTER = 0.0075  # of the plot's width, about what a letter takes
_SHOWN_CLASSES = 12
_PERCENT = {"predicted_classes", "confidence", "unknown_tokens", "other_scripts", SILENT}
_MOST_EXCESS = 6.0
Days = npt.NDArray[np.float64]


def story_plot(content: MonitoringContent, kind: Format = "png") -> bytes:
    """The whole story in one picture: events, metric, drift, rows, on one time axis.

    PNG for Dagster's metadata and MLflow, SVG for the page.
    """

    def draw(canvas: Canvas) -> None:
        rows: Any = canvas.subplots(4, 1, sharex=True, height_ratios=[0.62, 2.1, 1.8, 1.0])
        layout: Any = canvas.get_layout_engine()
        layout.set(hspace=0.03)
        lane, metric, drift, volume = rows
        _events(lane, rows[1:], content)
        _metric(metric, content)
        _drift(drift, content)
        _volume(volume, content)
        _time(volume, content)

    return rendered(draw, 7.4, kind)


def figures_plot(content: MonitoringContent, kind: Format = "svg") -> bytes:
    """Every drift figure over time with its threshold, alarms marked."""
    names = [name for name in (*FIGURES, ROWS_PER_DAY, SILENT) if any(_named(drift, name) for drift in content.days)]

    def draw_one(axes: Axes, name: str) -> None:
        found = [_named(drift, name) for drift in content.days]
        days = _days(content.days)
        axes.plot(days, _values(found, lambda one: one.value), color=BLUE, linewidth=1.4)
        for side in (_values(found, lambda one: one.threshold), _values(found, lambda one: one.low)):
            axes.plot(days, side, color=VERMILION, linestyle=(0, (4, 2)), linewidth=1.1)
        alarms = [at for at, one in enumerate(found) if one is not None and one.alarm]
        axes.scatter(days[alarms], [found[at].value for at in alarms], s=16, color=VERMILION, zorder=3)  # type: ignore[union-attr]
        if name in _PERCENT:
            percent_axis(axes.yaxis)
            axes.set_ylim(bottom=max(axes.get_ylim()[0], -0.001))

    return _panels(content, names, short_words, draw_one, kind, columns=2)


def recall_plot(content: MonitoringContent, kind: Format = "svg") -> bytes:
    """Live recall of every class over time with its interval; of more than twelve classes the worst."""
    names = worst_classes(content)

    def draw_one(axes: Axes, name: str) -> None:
        found = [drift.live_per_class.get(name) for drift in content.days]
        _band(axes, _days(content.days), found, BLUE, "recall")
        axes.set_ylim(-0.04, 1.04)
        percent_axis(axes.yaxis)

    return _panels(content, names, lambda name: label_text(name, 30), draw_one, kind, columns=3)


def worst_classes(content: MonitoringContent) -> list[str]:
    """Labels with a live recall, the worst by their last one first, twelve at most."""
    last: dict[str, float] = {}
    for drift in content.days:
        last |= {name: score.value for name, score in drift.live_per_class.items()}
    return sorted(last, key=lambda name: (last[name], name))[:_SHOWN_CLASSES]


def _panels(
    content: MonitoringContent,
    names: Sequence[str],
    title: Callable[[str], str],
    draw_one: Callable[[Axes, str], None],
    kind: Format,
    columns: int,
) -> bytes:
    lines = max(1, -(-len(names) // columns))

    def draw(canvas: Canvas) -> None:
        layout: Any = canvas.get_layout_engine()
        layout.set(wspace=0.05, hspace=0.07)
        grid = canvas.subplots(lines, columns, squeeze=False, sharex=True)
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(grid.flat, names, strict=False):
            for event in content.happened:
                axes.axvline(_day(event.day), color=_EVENTS[event.kind][1], alpha=0.35, linewidth=0.9, zorder=0)
            draw_one(axes, name)
            axes.set_title(title(name), fontsize=9, loc="left", color=INK)
            axes.grid(axis="y")
            axes.tick_params(labelsize=8, labelbottom=True)
            _time(axes, content, few=True)

    return rendered(draw, 1.55 * lines + 0.2, kind)


def _events(lane: Axes, panels: Sequence[Axes], content: MonitoringContent) -> None:
    """Marks in the lane on top with their texts, and a line through everything below."""
    first, last = _span(content)
    ends = [-1.0] * _LANES
    lane.set_ylim(-0.6, _LANES - 0.1)
    for event in content.happened:
        mark, colour = _EVENTS[event.kind]
        at, text = _day(event.day), label_text(event.text, 24)
        place = (at - first) / max(last - first, 1.0)
        width = _LETTER * len(text) + 0.02
        left = place + width > 1
        free = [row for row, end in enumerate(ends) if (place - width if left else place) > end + 0.006]
        row = free[0] if free else 0
        lane.scatter([at], [row], s=34, marker=mark, color=colour, zorder=3)
        if free:
            ends[row] = place + (0.01 if left else width)
            lane.annotate(
                text, (at, row), (-6 if left else 6, 0), textcoords="offset points", va="center",
                ha="right" if left else "left", fontsize=8,
            )  # fmt: skip
        for panel in (lane, *panels):
            panel.axvline(at, color=colour, alpha=0.45, linewidth=1.0, zorder=0)
    for kind in dict.fromkeys(event.kind for event in content.happened):
        lane.scatter([], [], s=34, marker=_EVENTS[kind][0], color=_EVENTS[kind][1], label=EVENT_WORDS[kind])
    lane.set_yticks([])
    lane.spines[["left", "bottom"]].set_visible(False)
    if content.happened:
        _legend(lane, 4)


def _metric(axes: Axes, content: MonitoringContent) -> None:
    days, target = _days(content.days), content.spec.target
    _band(
        axes, days, [drift.estimate for drift in content.days], ORANGE, "estimated from confidence", dash=(0, (4, 1.5))
    )
    _band(axes, days, [drift.live for drift in content.days], BLUE, "live, on rows with outcomes")
    axes.axhline(
        target.bound,
        color=GREEN,
        linestyle=(0, (5, 3)),
        linewidth=1.4,
        label=f"target {wording.wanted(target)}",
    )
    metric_axis(axes.yaxis, target.label)
    axes.grid(axis="y")
    axes.set_ylabel(label_text(target.label, 24))
    _legend(axes, 3)


def _drift(axes: Axes, content: MonitoringContent) -> None:
    """Every figure as a share of the distance that raises the alarm; the largest as the line that counts."""
    days = _days(content.days)
    table = np.array([[_excess(drift, name) for name in FIGURES] for drift in content.days]).reshape(-1, len(FIGURES))
    table = np.minimum(table, _MOST_EXCESS)
    for column in table.T:
        axes.plot(days, column, color=SKY, linewidth=0.8, alpha=0.55)
    axes.plot([], [], color=SKY, linewidth=0.8, label="each figure")
    known = ~np.isnan(table).all(axis=1)
    largest = np.full(len(table), np.nan)
    largest[known] = np.nanmax(table[known], axis=1)
    axes.plot(days, largest, color=BLUE, linewidth=1.5, label="largest")
    axes.axhline(1, color=VERMILION, linestyle=(0, (4, 2)), linewidth=1.2, label="threshold")
    alarms = [at for at, drift in enumerate(content.days) if drift.alarm]
    axes.scatter(days[alarms], np.nan_to_num(largest[alarms], nan=1.0), s=22, color=VERMILION, zorder=3, label="alarm")
    axes.set_ylim(0, max(1.6, 1.08 * float(np.nanmax(largest)) if known.any() else 0.0))
    axes.grid(axis="y")
    axes.set_ylabel("drift, threshold = 1")
    _legend(axes, 4)


def _volume(axes: Axes, content: MonitoringContent) -> None:
    days, width = _days(content.days), content.spec.monitoring.window_days
    axes.fill_between(days, [drift.rows / width for drift in content.days], step="mid", color=SKY, alpha=0.45,
                      linewidth=0, label="rows")  # fmt: skip
    known = [content.outcomes.get(drift.day, 0) / width for drift in content.days]
    axes.fill_between(days, known, step="mid", color=BLUE, alpha=0.65, linewidth=0, label="with outcome by then")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_ylabel("per day")
    _legend(axes, 2)


def _band(
    axes: Axes, days: Days, found: Sequence[Figure | Score | None], colour: str, label: str, dash: Any = "-"
) -> None:
    low, value, high = (_values(found, lambda one, end=end: getattr(one, end)) for end in ("low", "value", "high"))  # type: ignore[misc]
    axes.fill_between(days, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(days, value, color=colour, linewidth=1.5, linestyle=dash, label=label)


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(ncols=columns, loc="lower right", bbox_to_anchor=(1.0, 0.97), borderpad=0, fontsize=8, handlelength=1.6)


def _time(axes: Axes, content: MonitoringContent, few: bool = False) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2 if few else 4, maxticks=5 if few else 10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    first, last = _span(content)
    axes.set_xlim(first - 0.01 * (last - first) - 0.5, last + 0.01 * (last - first) + 0.5)


def _span(content: MonitoringContent) -> tuple[float, float]:
    """First and last day that anything is known of, as matplotlib counts days."""
    days = [*(_day(drift.day) for drift in content.days), *(_day(event.day) for event in content.happened)]
    return (min(days), max(days)) if days else (0.0, 1.0)


def _day(day: str) -> float:
    return float((date.fromisoformat(day[:10]) - date(1970, 1, 1)) / timedelta(days=1))


def _days(drifts: Sequence[Drift]) -> Days:
    return np.array([_day(drift.day) for drift in drifts], dtype=np.float64)


def _named(drift: Drift, name: str) -> DriftFigure | None:
    return next((figure for figure in drift.figures if figure.name == name), None)


def _excess(drift: Drift, name: str) -> float:
    figure = _named(drift, name)
    found = excess(figure) if figure is not None else None
    return float("nan") if found is None else found


def _values(found: Sequence[Any], of: Callable[[Any], float | None]) -> Days:
    """A series with gaps where nothing is known."""
    numbers = [None if one is None else of(one) for one in found]
    return np.array([float("nan") if number is None else number for number in numbers], dtype=np.float64)
