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
    """Score on validation against training rows, the law dashed from all rows to twice as many, with its interval."""
    curve = measured.curve
    rows, scores = np.array([p.rows for p in curve.points]), np.array([p.score for p in curve.points])
    spread, now = np.array([p.deviation for p in curve.points]), curve.rows_now
    along = np.geomspace(rows[0], 2 * now, 120)
    tail = [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]
    low, high = np.quantile(measured.resampled(along), tail, axis=0)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        seen = along <= now
        fitted = measured.law(along)[0]
        axes.fill_between(along, low, high, color=BLUE, alpha=0.12, linewidth=0, label=f"{CONFIDENCE:.0%} interval")
        axes.plot(along[seen], fitted[seen], color=BLUE, linewidth=2, label="fitted law")
        axes.plot(along[~seen], fitted[~seen], color=BLUE, linewidth=2, linestyle=(0, (4, 3)), label="extrapolated")
        axes.errorbar(
            rows, scores, yerr=spread, fmt="o", color=INK, ecolor=MUTED, markersize=5, capsize=3, elinewidth=1.1,
            label="measured, with deviation between series",
        )  # fmt: skip
        axes.plot([2 * now], measured.law([2 * now])[0], "D", color=ORANGE, markersize=6, label="twice the rows")
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
