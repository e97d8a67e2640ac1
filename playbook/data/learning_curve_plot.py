"""The learning curve as a picture: points with their spread, the fitted law, what it says of twice the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from playbook.data.learning_curve import CONFIDENCE, MeasuredCurve
from playbook.evaluate.plots import BLUE, INK, MUTED, ORANGE, Format, label_text, metric_axis, rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.6  # inches


def learning_curve_plot(measured: MeasuredCurve, kind: Format = "png") -> bytes:
    """Score on validation against training rows up to the frozen baseline; dashed, what twice as many would give."""
    curve = measured.curve
    rows, scores = np.array([p.rows for p in curve.points]), np.array([p.score for p in curve.points])
    spread, now = np.array([p.deviation for p in curve.points]), curve.rows_now
    seen, ahead = np.geomspace(rows[0], now, 90), np.geomspace(now, 2 * now, 30)
    tail = [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]
    low, high = np.quantile(measured.outlook.drawn(ahead), tail, axis=0)
    expected = measured.outlook.expected

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(ahead, low, high, color=BLUE, alpha=0.12, linewidth=0, label=f"{CONFIDENCE:.0%} interval")
        axes.plot(seen, expected(seen), color=BLUE, linewidth=2, label="fitted law")
        axes.plot(ahead, expected(ahead), color=BLUE, linewidth=2, linestyle=(0, (4, 3)), label="extrapolated")
        axes.errorbar(
            rows, scores, yerr=spread, fmt="o", color=INK, ecolor=MUTED, markersize=5, capsize=3, elinewidth=1.1,
            label="measured, with deviation between series",
        )  # fmt: skip
        axes.plot([now], scores[-1:], "s", color=INK, markersize=7, label="frozen baseline")
        axes.plot([2 * now], expected([2 * now]), "D", color=ORANGE, markersize=6, label="twice the rows")
        axes.set_xscale("log")
        ticks = [*rows.tolist(), 2 * now]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("training rows (logarithmic)")
        axes.set_ylabel(f"{label_text(curve.metric)} on validation")
        metric_axis(axes.yaxis, curve.metric)
        axes.grid(axis="y")
        axes.legend(loc="lower right", fontsize=8)

    return rendered(draw, HEIGHT, kind)
