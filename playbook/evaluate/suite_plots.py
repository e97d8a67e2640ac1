"""Plots of the suite around the evaluation: comparisons, differences, reliability, slices; as in `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from playbook.artifacts import Calibration, CalibrationBin, Figure, LearningCurve, Score, SliceFigure
from playbook.evaluate import wording
from playbook.evaluate.plots import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    SKY,
    VERMILION,
    Format,
    label_text,
    metric_axis,
    percent_axis,
    rendered,
)
from playbook.spec import lower_is_better

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ROW_HEIGHT = 0.3  # inches
TARGET_DASH: Any = (0, (5, 3))
SHOWN_SLICES = 12


class Dot(NamedTuple):
    """One row of a dot plot."""

    name: str
    score: Score
    role: str  # reference, frozen, control, candidate


_MARKS: dict[str, dict[str, Any]] = {
    "reference": {"marker": "s", "s": 40, "facecolor": "white", "edgecolor": MUTED, "linewidth": 1.5},
    "control": {"marker": "D", "s": 38, "facecolor": "white", "edgecolor": ORANGE, "linewidth": 1.6},
    "frozen": {"marker": "o", "s": 56, "facecolor": "white", "edgecolor": BLUE, "linewidth": 2},
    "candidate": {"marker": "o", "s": 72, "facecolor": BLUE, "edgecolor": BLUE},
}
_ROLES = {"reference": "reference", "frozen": "frozen baseline", "control": "control", "candidate": "candidate"}


def comparison_plot(dots: Sequence[Dot], target: float, metric: str, kind: Format = "svg") -> bytes:
    """Every model's score with its interval, the first on top, and the line of the target."""

    def draw(figure: Canvas) -> None:
        axes = figure.subplots()
        values = [dot.score.value for dot in dots]
        for at, dot in enumerate(dots):
            axes.plot([dot.score.low, dot.score.high], [at, at], color=MUTED, linewidth=1.6, zorder=2)
        for role, name in _ROLES.items():
            places = [at for at, dot in enumerate(dots) if dot.role == role]
            if places:
                axes.scatter([values[at] for at in places], places, label=name, zorder=3, **_MARKS[role])
        own = dots[0].score.metric if dots else ""
        asked = f"target {wording.written(target, own)}"
        axes.axvline(target, color=GREEN, linestyle=TARGET_DASH, linewidth=1.5, label=asked)
        _numbers_right(axes, [wording.amount(value, own) for value in values])
        _rows(axes, [dot.name for dot in dots])
        ends = [*(dot.score.low for dot in dots), *(dot.score.high for dot in dots), target]
        room = 0.05 * max(max(ends) - min(ends), 0.02)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        metric_axis(axes.xaxis, own)
        axes.set_xlabel(label_text(metric, 60))
        _legend(axes, 5)

    return rendered(draw, ROW_HEIGHT * len(dots) + 0.95, kind)


def differences_plot(rows: Sequence[tuple[str, Figure]], label: str, kind: Format = "svg", metric: str = "") -> bytes:
    """Differences in the unit of the metric with their intervals, beside zero; `label` names the axis."""
    scale = wording.per_unit(metric)

    def draw(figure: Canvas) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=1.2)
        for at, (_, found) in enumerate(rows):
            apart = found.low > 0 or found.high < 0
            colour = VERMILION if found.high < 0 else BLUE
            axes.plot([scale * found.low, scale * found.high], [at, at], color=colour, linewidth=6, alpha=0.3,
                      solid_capstyle="round")  # fmt: skip
            axes.scatter(
                [scale * found.value], [at], s=60, facecolor=colour if apart else "white", edgecolor=colour,
                linewidth=1.8, zorder=3,
            )  # fmt: skip
        _numbers_right(axes, [wording.signed(found.value, metric=metric) for _, found in rows])
        _rows(axes, [name for name, _ in rows])
        ends = [scale * end for _, found in rows for end in (found.low, found.high)] + [0.0]
        room = 0.06 * max(max(ends) - min(ends), scale / 100)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.set_xlabel(label)

    return rendered(draw, ROW_HEIGHT * len(rows) + 0.6, kind)


def reliability_plot(calibration: Calibration, kind: Format = "svg") -> bytes:
    """Share of right answers against confidence, before and after temperature scaling, with the rows of each bin."""

    def draw(figure: Canvas) -> None:
        grid: Any = figure.subplots(
            2, 2, sharex=True, sharey="row", height_ratios=[3.6, 1], gridspec_kw={"hspace": 0.04}
        )
        panels = (
            ("as trained", calibration.before, calibration.ece_before, ORANGE),
            (f"temperature {calibration.temperature:.2f}", calibration.after, calibration.ece_after, BLUE),
        )
        for column, (name, bins, error, colour) in enumerate(panels):
            title = f"{name}: {100 * error:.1f} points apart on average"
            _reliability(grid[0, column], bins, title, colour)
            _bin_rows(grid[1, column], bins, colour)
        grid[0, 0].set_ylabel("share of right answers")
        grid[1, 0].set_ylabel("rows")

    return rendered(draw, 3.6, kind)


def _reliability(axes: Axes, bins: Sequence[CalibrationBin], title: str, colour: str) -> None:
    filled = [found for found in bins if found.rows]
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=TARGET_DASH, linewidth=1.1, label="as sure as right")
    for found in filled:
        axes.plot([found.confidence] * 2, [found.confidence, found.accuracy], color=colour, linewidth=2, alpha=0.35)
    axes.plot(
        [found.confidence for found in filled],
        [found.accuracy for found in filled],
        color=colour,
        marker="o",
        markersize=6,
        linewidth=1.4,
        label="answers of a bin",
    )
    axes.set_title(title, fontsize=9, loc="left", color=INK)
    axes.set_ylim(-0.03, 1.03)
    percent_axis(axes.yaxis)
    axes.grid()
    axes.legend(fontsize=8, loc="upper left")


def _bin_rows(axes: Axes, bins: Sequence[CalibrationBin], colour: str) -> None:
    axes.bar(
        [(found.low + found.high) / 2 for found in bins],
        [found.rows for found in bins],
        width=[0.92 * (found.high - found.low) for found in bins],
        color=colour,
        alpha=0.45,
    )
    axes.set_xlim(-0.02, 1.02)
    axes.locator_params(axis="y", nbins=3, integer=True)
    percent_axis(axes.xaxis)
    axes.set_xlabel("confidence of the answer")


def slices_plot(
    figures: Sequence[SliceFigure], target: float, metric: str, worst: int = SHOWN_SLICES, kind: Format = "svg"
) -> bytes:
    """The metric on the first `worst` slices with intervals, the frozen baseline beside it, and the target."""
    shown = figures[:worst]

    def draw(figure: Canvas) -> None:
        axes = figure.subplots()
        for at, found in enumerate(shown):
            axes.plot([found.score.low, found.score.high], [at, at], color=SKY, linewidth=5, alpha=0.5, zorder=1)
        axes.scatter([f.score.value for f in shown], range(len(shown)), s=52, color=BLUE, label="this model", zorder=3)
        beside = [(f.baseline, at) for at, f in enumerate(shown) if f.baseline is not None]
        if beside:
            axes.scatter(
                [value for value, _ in beside], [at for _, at in beside], s=32, marker="D", facecolor="white",
                edgecolor=ORANGE, linewidth=1.5, label="frozen baseline", zorder=2,
            )  # fmt: skip
        asked = f"target {wording.written(target, metric)}"
        axes.axvline(target, color=GREEN, linestyle=TARGET_DASH, linewidth=1.5, label=asked)
        _rows(axes, [f"{label_text(f'{f.column}: {f.value}', 34)} ({f.score.n:,})" for f in shown], 48)
        metric_axis(axes.xaxis, metric)
        axes.set_xlabel(label_text(metric, 60))
        _legend(axes, 3)

    return rendered(draw, ROW_HEIGHT * len(shown) + 0.95, kind)


def data_curve_plot(curve: LearningCurve, kind: Format = "svg") -> bytes:
    """Validation score against training rows: means, deviations, and what twice the rows are expected to give."""

    def draw(figure: Canvas) -> None:
        axes = figure.subplots()
        rows = np.array([point.rows for point in curve.points])
        scores = np.array([point.score for point in curve.points])
        axes.errorbar(
            rows, scores, yerr=[point.deviation for point in curve.points], fmt="o", color=BLUE, ecolor=MUTED,
            elinewidth=1.1, capsize=3, label="measured, with standard deviation",
        )  # fmt: skip
        if {"a", "b", "c"} <= curve.parameters.keys():
            along = np.geomspace(rows[0], 2 * curve.rows_now, 100)
            fitted = curve.parameters["a"] - curve.parameters["b"] * along ** -curve.parameters["c"]
            axes.plot(along, fitted, color=BLUE, linewidth=1.6, alpha=0.6, label="fitted law")
        now, gain = scores[-1], curve.gain_of_twice
        away = np.array([gain.low, gain.value, gain.high])
        low, middle, high = sorted(now + (-away if lower_is_better(curve.metric) else away))
        axes.errorbar(
            [2 * curve.rows_now], [middle], yerr=[[middle - low], [high - middle]], fmt="D",
            markerfacecolor="white", color=ORANGE, ecolor=ORANGE, capsize=3, label="predicted for twice the rows",
        )  # fmt: skip
        axes.set_xlim(0, 2.12 * curve.rows_now)
        axes.set_xlabel("training rows")
        axes.set_ylabel(label_text(curve.metric, 30))
        metric_axis(axes.yaxis, curve.metric)
        axes.grid(axis="y")
        axes.legend(fontsize=8.5, loc="lower right")

    return rendered(draw, 2.9, kind)


def _rows(axes: Axes, names: Sequence[str], width: int = 44) -> None:
    axes.set_yticks(range(len(names)), [label_text(name, width) for name in names], color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _numbers_right(axes: Axes, texts: Sequence[str]) -> None:
    """A column of figures to the right of the plot, one for each row."""
    for at, text in enumerate(texts):
        axes.annotate(
            text, (1.0, at), (10, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center",
            fontsize=8.5, annotation_clip=False,
        )  # fmt: skip


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(ncols=columns, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderpad=0)
