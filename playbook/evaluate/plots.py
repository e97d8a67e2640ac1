"""Plots of the report and of the catalogue: SVG with text as text for the page, small PNG for Dagster's metadata.

The same figures give the same bytes (fixed salt, no date). Names from data are shown as they are: never read as
mathematics, escaped by matplotlib, control characters replaced, long ones shortened. Colours are those of Okabe and Ito
(https://jfly.uni-koeln.de/color/), which colour-blind readers can tell apart; no meaning is carried by colour alone.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from playbook.artifacts import BaseCandidate, ClassFigures, Epoch, LedgerRow
from playbook.evaluate import wording
from playbook.statistics.sample_size import two_sided_z

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
INK, MUTED, RULE = "#1b2530", "#5c6875", "#d8dee5"
WIDTH = 9.2  # inches: 662 points, about the text width of the page
MOST_CURVES = 12
EPOCH_STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
MOST_FIGURES = 14  # written beside the points of the staircase
_GRID = 6  # decimals of an axes' position, as a fraction of the figure
_STYLE: Any = {  # of matplotlib's rc_context
    "svg.fonttype": "none",
    "svg.hashsalt": "playbook",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e9edf1",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def label_text(text: str, width: int = 26) -> str:
    """A name from data as a label: control characters replaced, shortened to `width` characters."""
    clean = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def staircase_plot(
    steps: Sequence[LedgerRow],
    target: float | None = None,
    confidence: float = 0.95,
    kind: Format = "svg",
    metric: str = "",
) -> bytes:
    """Validation score of every step, kept or reverted, with the paired uncertainty of its gain."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places, values = np.arange(len(steps)), np.array([step.validation for step in steps])
        kept = np.array([step.kept or at == 0 for at, step in enumerate(steps)], dtype=bool)
        stands = [next(values[at] for at in range(here, -1, -1) if kept[at]) for here in places]
        axes.step(places, stands, where="post", color=BLUE, linewidth=2, alpha=0.35, zorder=1)
        reach = [two_sided_z(confidence) * step.gain_error for step in steps]
        axes.errorbar(places, values, yerr=reach, fmt="none", ecolor=MUTED, elinewidth=1.1, capsize=3, zorder=2)
        axes.scatter(places[kept], values[kept], s=58, color=BLUE, label="kept", zorder=3)
        axes.scatter(
            places[~kept], values[~kept], s=58, marker="X", facecolor="white", edgecolor=VERMILION, linewidth=1.5,
            label="reverted", zorder=3,
        )  # fmt: skip
        for at, value in zip(places, values, strict=True) if len(steps) <= MOST_FIGURES else ():
            written = wording.amount(float(value), metric).removesuffix(" %")
            axes.annotate(written, (at, value), (8, 5), textcoords="offset points", fontsize=8.5)
        if target is not None:
            axes.axhline(target, color=GREEN, linestyle=(0, (5, 3)), linewidth=1.3, label="target", zorder=1)
        axes.set_xticks(places, ["none" if step.unfrozen == 0 else f"{step.unfrozen}" for step in steps])
        axes.set_xlim(-0.4, max(len(steps), 1) - 0.4)
        axes.set_xlabel("blocks unfrozen")
        metric_axis(axes.yaxis, metric)
        axes.grid(axis="y")
        axes.set_ylabel("validation score")
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderpad=0)

    return rendered(draw, 3.1, kind)


def curves_plot(curves: Mapping[str, Sequence[Epoch]], kind: Format = "svg") -> bytes:
    """Loss by epoch, one panel per training run; the last 12 where there are more."""
    shown = [(name, curve) for name, curve in curves.items() if curve][-MOST_CURVES:]
    columns = min(4, max(len(shown), 1))
    rows = -(-max(len(shown), 1) // columns)

    def draw(figure: Figure) -> None:
        layout: Any = figure.get_layout_engine()
        layout.set(wspace=0.06, hspace=0.06)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes, (name, curve) in zip(grid.flat, shown, strict=False):
            epochs = [point.epoch + 1 for point in curve]
            mark = "o" if len(curve) == 1 else None
            axes.plot(epochs, [p.train_loss for p in curve], color=SKY, marker=mark, linewidth=1.8, label="training")
            axes.plot(
                epochs, [p.validation_loss for p in curve], color=ORANGE, marker=mark, linewidth=1.8,
                linestyle=(0, (4, 1.5)), label="validation",
            )  # fmt: skip
            axes.set_title(label_text(name), fontsize=9, loc="left", color=INK)
            axes.set_xticks(epoch_ticks(epochs[-1]))
            axes.grid(axis="y")
            axes.set_xlabel("epoch")
        for axes in grid[:, 0]:
            axes.set_ylabel("loss")
        if shown:
            grid[0, 0].legend(fontsize=8)

    return rendered(draw, 2.2 * rows + 0.1, kind)


def epoch_ticks(last: int) -> list[int]:
    """Whole numbers to write along an axis of epochs, the first one always: 1, then at most seven round ones."""
    step = next(step for step in (*EPOCH_STEPS, last) if last <= 7 * step)
    return [1, *(epoch for epoch in range(step, last + 1, step) if epoch > 1)]


def delta_plot(
    delta: float, interval: tuple[float, float], margin: float, kind: Format = "svg", metric: str = ""
) -> bytes:
    """The gain on the test split with its interval, beside zero and the margin, in the unit of the metric."""
    scale = wording.per_unit(metric)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        low, high = (scale * bound for bound in interval)
        axes.axvline(0, color=MUTED, linewidth=1.2)
        axes.axvline(scale * margin, color=GREEN, linestyle=(0, (5, 3)), linewidth=1.4)
        axes.plot([low, high], [0, 0], color=BLUE, linewidth=6, alpha=0.35, solid_capstyle="round")
        axes.scatter([scale * delta], [0], s=85, color=BLUE, zorder=3)
        top = axes.get_xaxis_transform()
        axes.text(0, 1.02, "frozen baseline", transform=top, ha="right", va="bottom", fontsize=8.5, color=MUTED)
        asked = scale * margin
        axes.text(asked, 1.02, "margin asked", transform=top, ha="left", va="bottom", fontsize=8.5, color=MUTED)
        ends = (min(low, 0.0), max(high, scale * margin, 0.0))
        room = 0.12 * (ends[1] - ends[0])
        axes.set_xlim(ends[0] - room, ends[1] + room)
        axes.set_ylim(-1, 1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("gain in percentage points" if scale > 1 else f"gain in {wording.unit(metric)}")

    return rendered(draw, 1.25, kind)


def per_class_plot(figures: Sequence[ClassFigures], worst: int = 20, kind: Format = "svg") -> bytes:
    """Recall, precision and F1 of the `worst` classes by recall, the worst on top, with their support."""
    shown = sorted(figures, key=lambda f: (f.recall, f.f1, f.label))[:worst]

    def draw(figure: Figure) -> None:
        axes, bars = figure.subplots(1, 2, sharey=True, width_ratios=[4.2, 1], gridspec_kw={"wspace": 0.04})
        places = np.arange(len(shown))
        recall, precision = [f.recall for f in shown], [f.precision for f in shown]
        axes.hlines(places, np.minimum(recall, precision), np.maximum(recall, precision), color=RULE, linewidth=3)
        axes.scatter(
            precision, places, s=34, marker="D", facecolor="white", edgecolor=ORANGE, linewidth=1.6, label="precision"
        )
        axes.scatter([f.f1 for f in shown], places, s=70, marker="|", color=INK, linewidth=1.6, label="F1")
        axes.scatter(recall, places, s=48, color=BLUE, label="recall", zorder=3)
        axes.set_yticks(places, [label_text(f.label, 34) for f in shown], color=INK)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        lowest = min([*recall, *precision, 1.0])
        axes.set_xlim(max(0.1 * np.floor(10 * lowest - 0.5), 0) - 0.02, 1.02)
        percent_axis(axes.xaxis)
        axes.grid(axis="x")
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderpad=0)
        bars.barh(places, [f.support for f in shown], color=SKY, alpha=0.45, height=0.55)
        for at, f in enumerate(shown):
            bars.annotate(
                f"{f.support:,}", (f.support, at), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
        bars.set_xlim(0, 1.35 * max([f.support for f in shown] or [1]))
        bars.set_xticks([])
        bars.spines["bottom"].set_visible(False)
        bars.set_title("test rows", fontsize=8.5, color=MUTED, loc="left")

    return rendered(draw, 0.26 * len(shown) + 0.75, kind)


def most_confused(confusion: Sequence[Sequence[int]], most: int = 20) -> list[int]:
    """Numbers of the classes in the largest confusions, at most `most`, in the order of the classes."""
    counts = np.array(confusion)
    if len(counts) <= most:
        return list(range(len(counts)))
    np.fill_diagonal(counts, 0)
    chosen: list[int] = []
    for pair in np.argsort(-counts, axis=None, kind="stable"):
        fresh = [at for at in divmod(int(pair), len(counts)) if at not in chosen]
        if counts.flat[pair] == 0 or len(chosen) + len(fresh) > most:
            break
        chosen += fresh
    return sorted(chosen) or list(range(most))


def confusion_plot(
    confusion: Sequence[Sequence[int]], labels: Sequence[str], most: int = 20, kind: Format = "svg"
) -> bytes:
    """The most confused classes: true class down, answer across, shaded by the share of the true class."""
    block = most_confused(confusion, most)
    counts = np.array(confusion)
    shares = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[np.ix_(block, block)]
    cells = counts[np.ix_(block, block)]
    side = min(WIDTH, 0.29 * len(block) + 3.2)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=1)
        _numbers_in(axes, cells, shares, 8.5 if len(block) <= 12 else 6.5)
        names = [label_text(labels[at], 24) for at in block]
        middles = np.arange(len(block)) + 0.5
        axes.set_xticks(
            middles, names, rotation=45 if len(block) > 4 else 0, ha="right" if len(block) > 4 else "center"
        )
        axes.set_yticks(middles, names)
        axes.tick_params(labelcolor=INK, labelsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("answer")
        axes.set_ylabel("true class")
        for spine in axes.spines.values():
            spine.set_visible(False)

    return rendered(draw, 0.27 * len(block) + 1.7, kind, width=side)


def _numbers_in(axes: Axes, cells: npt.NDArray[Any], shares: npt.NDArray[Any], size: float) -> None:
    for (row, column), count in np.ndenumerate(cells):
        if count:
            colour = "white" if shares[row, column] > 0.55 else INK
            axes.text(column + 0.5, row + 0.5, f"{count}", ha="center", va="center", fontsize=size, color=colour)


def metric_axis(axis: Any, metric: str) -> None:
    """Write values of a metric along an axis in its unit: fractions as per cent, log loss in nats."""
    if wording.unit(metric) == "points":
        percent_axis(axis)


def percent_axis(axis: Any) -> None:
    """Write fractions as per cent along an axis."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")


def rendered(draw: Callable[[Figure], None], height: float, kind: Format, width: float = WIDTH) -> bytes:
    """What `draw` draws on a fresh figure of the given size in inches.

    An SVG comes without prolog, metadata and style sheet.
    """
    import matplotlib as mpl

    target = io.BytesIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure = _figure_drawn_once()(figsize=(width, height), layout=_steady_layout())
        draw(figure)
        if kind == "png":
            figure.savefig(target, format="png", dpi=80, metadata={"Software": None})
            return target.getvalue()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(target, format="svg", metadata=empty, transparent=True)
    return _inline(target.getvalue().decode()).encode()


@cache
def _figure_drawn_once() -> type[Figure]:
    """The class of figures that savefig draws once: for its layout it would draw them whole, and throw that away."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    class DrawnOnce(Figure):
        def draw(self, renderer: Any) -> None:
            layout = self.get_layout_engine()
            if isinstance(layout, ConstrainedLayoutEngine):  # the first time: savefig takes it away for the second
                with suppress(ValueError):  # as Figure.draw does
                    layout.execute(self)
            else:
                super().draw(renderer)

    return DrawnOnce


def _steady_layout() -> Any:
    """Constrained layout whose axes stand on a fixed grid, so that the same content gives the same bytes.

    Matplotlib's solver (kiwisolver) adds terms in the order of their memory addresses. Where objects are placed
    differently, positions differ in the last bit, and so do the SVG's ids, which are digests of exact positions.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.transforms import Bbox

    class SteadyLayout(ConstrainedLayoutEngine):
        def execute(self, fig: Figure) -> Any:
            found = super().execute(fig)
            for axes in fig.axes:
                place, takes_part = axes.get_position(original=True), axes.get_in_layout()
                axes.set_position(Bbox(np.round(place.get_points(), _GRID)))
                axes.set_in_layout(takes_part)  # set_position takes axes out of the layout
            return found

    return SteadyLayout()


def _inline(svg: str) -> str:
    """What may stand inside a page: the svg element alone, without the rules that would reach beyond it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # names such as axes_1, which every plot of a page would repeat
    return re.sub(r"<defs>\s*<style type=\"text/css\">.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL)


def bake_off_plot(
    candidates: Sequence[BaseCandidate],
    chosen: int,
    budget_ms: float | None = None,
    metric: str = "score",
    kind: Format = "svg",
) -> bytes:
    """Score of every candidate base against its latency for one text (p95), with the line of the latency budget.

    Candidates that were out before they were scored are left out; `chosen` is a place in `candidates`.
    """
    shown = [
        (at, found, found.score, next(one.p95_ms for one in found.latency if one.batch == 1))
        for at, found in enumerate(candidates)
        if found.score is not None and any(one.batch == 1 for one in found.latency)
    ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for at, found, score, time in shown:
            axes.plot([time, time], [score.low, score.high], color=MUTED, linewidth=1.4, zorder=1)
            won = at == chosen
            axes.scatter([time], [score.value], s=80, marker="o" if won else "D", facecolor=BLUE if won else "white",
                         edgecolor=BLUE if won else ORANGE, linewidth=1.8, zorder=3)  # fmt: skip
            text = f"{label_text(found.name, 34)}{', chosen' if won else ''}: {wording.of_score(score)}"
            axes.annotate(text, (time, score.value), (9, 6), textcoords="offset points", fontsize=8.5)
        if budget_ms is not None:
            axes.axvline(budget_ms, color=GREEN, linestyle=(0, (5, 3)), linewidth=1.5)
            axes.annotate(f"budget {budget_ms:g} ms", (budget_ms, 1.02), xycoords=axes.get_xaxis_transform(),
                          ha="center", fontsize=8.5, color=MUTED, annotation_clip=False)  # fmt: skip
        furthest = max([time for *_, time in shown] + ([budget_ms] if budget_ms is not None else []), default=1.0)
        axes.set_xlim(0, 1.45 * furthest)  # room for the names
        axes.margins(y=0.15)
        metric_axis(axes.yaxis, metric)
        axes.grid()
        axes.set_xlabel("time for one text, 95th percentile, milliseconds")
        axes.set_ylabel(f"frozen probe: {label_text(metric, 30)}")

    return rendered(draw, 3.0, kind)
