"""Error among the answered rows by how many are answered: the risk-coverage curve with the point that was chosen.

El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification (JMLR 2010), for the curve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playbook.artifacts import Silence
from playbook.evaluate import wording
from playbook.evaluate.plots import BLUE, MUTED, VERMILION, Format, percent_axis, rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def silence_plot(silence: Silence, kind: Format = "svg") -> bytes:
    """The curve on test and on validation, the stated error, and the chosen point with its interval on test."""

    def draw(figure: Canvas) -> None:
        axes = figure.subplots()
        curves = (("test", silence.curve, BLUE, 1.8), ("validation", silence.validation_curve, MUTED, 1.1))
        for name, curve, colour, width in curves:
            shares, errors = [point.answered for point in curve], [point.error for point in curve]
            axes.plot(shares, errors, color=colour, linewidth=width, label=name)
        stated = f"stated error {wording.asked(silence.error)}"
        axes.axhline(silence.error, color=VERMILION, linestyle=(0, (4, 2)), linewidth=1.1, label=stated)
        answered, wrong = silence.test_answered, silence.test_error
        if answered is not None and wrong is not None:
            axes.errorbar(
                [answered.value],
                [wrong.value],
                yerr=[[wrong.value - wrong.low], [wrong.high - wrong.value]],
                color=BLUE,
                marker="o",
                markersize=7,
                capsize=4,
                label="chosen, on test",
            )
        ends = [point.error for curve in (silence.curve, silence.validation_curve) for point in curve]
        axes.set_ylim(0, 1.08 * max([*ends, 1.5 * silence.error, wrong.high if wrong else 0.0]))
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("share of rows that are answered")
        axes.set_ylabel("wrong among answered")
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        axes.grid()
        axes.legend(fontsize=8, loc="upper left")

    return rendered(draw, 2.9, kind)
