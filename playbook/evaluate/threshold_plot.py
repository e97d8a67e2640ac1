"""Every limit by the probability from which on a class is answered, with the chosen threshold and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from playbook.artifacts import OperatingPoint, Score
from playbook.evaluate.plots import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    SKY,
    VERMILION,
    Format,
    label_text,
    percent_axis,
    rendered,
)
from playbook.spec import TaskSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

COLOURS = (BLUE, ORANGE, GREEN, SKY, VERMILION)


def threshold_plot(spec: TaskSpec, point: OperatingPoint, test: Mapping[str, Score], kind: Format = "svg") -> bytes:
    """Curves on validation with each limit's bound dashed in its colour; dots with intervals are the test split.

    Args:
        spec: the task, for the bounds.
        point: the chosen threshold.
        test: scores of the same model on test, by `Limit.label`.
        kind: svg or png.
    """
    bounds = {limit.label: limit.bound for limit in spec.target.all_limits}

    def draw(figure: Canvas) -> None:
        axes = figure.subplots()
        axes.axvspan(*point.interval, color=MUTED, alpha=0.18, linewidth=0)
        axes.axvline(point.threshold, color=MUTED, linewidth=1.2)
        for at, name in enumerate(point.figures):
            colour = COLOURS[at % len(COLOURS)]
            places = [one.threshold for one in point.curve]
            axes.plot(places, [one.values[name] for one in point.curve], color=colour, label=label_text(name, 40))
            axes.axhline(bounds[name], color=colour, linestyle=(0, (4, 3)), linewidth=1.0)
            score = test.get(name)
            if score is not None:
                reach = [[score.value - score.low], [score.high - score.value]]
                axes.errorbar([point.threshold], [score.value], yerr=reach, color=colour, marker="o", capsize=3)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(label_text(f"probability from which on {point.of_class} is answered", 80))
        axes.set_ylabel("limit")
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        axes.grid()
        axes.legend(fontsize=8, loc="best")

    return rendered(draw, 3.1, kind)
