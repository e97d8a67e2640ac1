"""Does a split that validation calls large enough keep the promise, in metrics that are counted as ratios?

Populations of two models whose true gain is known and is the margin. Validation and test splits of one size are drawn
from them; `playbook.evaluate.verdict.needed_rows` says on validation whether the test split is large enough, and the
whole rule (`earned`) says on the test split whether the candidate ships. Sizes are half, three quarters, all and twice
of what would be named if the population itself were known. Beside it: a plan that scales the paired error of validation
and nothing else, and so does not ask whether the models can be told apart. The table is part of docs/sample_size.md
(`benchmarks.sample_size`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.populations import population
from playbook.evaluate.verdict import earned, needed_rows, task_difference
from playbook.spec import TaskSpec
from playbook.spec.section import LimitName
from playbook.statistics.metric import target_metric
from playbook.statistics.ratio_rows import rows_to_tell
from playbook.statistics.sample_size import two_sided_z

CONFIDENCE, POWER, SEED, MANY = 0.95, 0.8, 9, 200_000
POPULATIONS: tuple[tuple[tuple[float, ...], float, float], ...] = (
    ((0.6, 0.3, 0.1), 0.06, 0.004),
    ((0.75, 0.25), 0.04, 0.03),
    ((0.45, 0.3, 0.15, 0.1), 0.05, 0.01),
    ((0.3, 0.2, 0.15, 0.1, 0.09, 0.07, 0.05, 0.04), 0.06, 0.04),
)  # shares of classes, true gain in accuracy, share of rows that only the first model has right
METRICS: tuple[tuple[LimitName, bool], ...] = (
    ("balanced_accuracy", False),
    ("macro_f1", False),
    ("precision", True),
    ("f1", True),
)  # and whether it is of the rarest class
TIMES = (0.5, 0.75, 1.0, 2.0)


@dataclass(frozen=True)
class Planned:
    """How often a split is called large enough, and how often a true gain of the margin ships on one that is.

    Shares are None where no split was called large enough. The last two are of a plan by the paired error alone.
    """

    metric: str
    mix: tuple[float, ...]
    margin: float
    rows: int
    enough: float
    ships: float | None
    enough_by_error: float
    ships_by_error: float | None


def measure(
    metric: LimitName, rarest: bool, mix: tuple[float, ...], gain: float, lost: float, runs: int
) -> Iterator[Planned]:
    """Draw `runs` pairs of splits of each size."""
    drawn_from, random = population(mix, 0.8, gain, lost), np.random.default_rng(SEED)
    margin = drawn_from.true_difference(target_metric(task(metric, rarest, len(mix), 0.5)))
    spec = task(metric, rarest, len(mix), margin)
    scatter = target_metric(spec).scatter(*drawn_from.draw(random, MANY))
    assert scatter is not None
    known, reach = rows_to_tell(scatter, margin, CONFIDENCE, POWER), two_sided_z(CONFIDENCE)
    reach += NormalDist().inv_cdf(POWER)
    for times in TIMES:
        rows, ships = round(times * known), np.zeros(runs, bool)
        enough, by_error = np.zeros(runs, bool), np.zeros(runs, bool)
        for run in range(runs):
            validation, test = drawn_from.draw(random, rows), drawn_from.draw(random, rows)
            counts = np.bincount(test[0], minlength=len(mix)).tolist()
            enough[run] = needed_rows(spec, *validation, dict(zip(spec.labels, counts, strict=True))).enough
            by_error[run] = reach * task_difference(spec, *validation).standard_error <= margin
            ships[run] = earned(spec, task_difference(spec, *test))
        found = [(float(said.mean()), float(ships[said].mean()) if said.any() else None) for said in (enough, by_error)]
        yield Planned(spec.target.label, mix, margin, rows, *found[0], *found[1])


def task(metric: LimitName, rarest: bool, classes: int, margin: float) -> TaskSpec:
    """A task with that target; its limits are under what every model reaches."""
    labels = [f"c{at}" for at in range(classes)]
    of_class = {"of_class": labels[-1]} if rarest else {}
    return TaskSpec.model_validate(
        {
            "task": "sizes",
            "question": "Which class does this row belong to?",
            "target": {"metric": metric, "at_least": 0.55, "margin": margin, **of_class},
            "owners": {"model": "team:a", "data": "team:b", "sign_off": "team:c"},
            "data": {
                "source": {"path": "x.csv"},
                "columns": {"text": "text", "label": "label"},
                "classes": dict.fromkeys(labels, "a class"),
            },
            "base": {"folder": "base", "sha256": "0" * 64, "licence": "MIT"},
            "evaluation": {"confidence": CONFIDENCE, "power": POWER},
        }
    )


PART = """
## Metrics that are counted as ratios

Balanced accuracy, macro-F1, precision and F1 have no exact sums. What a split needs is planned from validation: the
size at which the gain can be seen, and the models told apart, with room for how well validation knows their scatter.
Here validation and test split have the same size and the true gain is the margin. The sizes are half, three quarters,
all and twice of what would be named if the population itself were known. "Ships" is the share of the splits called
large enough on which the candidate ships; the promise is 80 %. On as few rows as these validation knows the scatter
roughly, so that up to twice the rows are asked for; where few splits are called large enough, the share that ships of
them is known as roughly. The last two columns are the plan that was used before, by the paired error on validation
alone. Precision and F1 are of the rarest class. {runs:,} pairs of splits per line.

| metric | classes | margin | rows | called large enough | ships | called so by the error alone | ships |
| --- | --- | --- | --- | --- | --- | --- | --- |
{lines}

Of all splits that were called large enough {ships:.1f} % ship, by the error alone {by_error:.1f} %.
"""


def part(found: list[Planned], runs: int) -> str:
    """The table as Markdown."""
    lines = []
    for one in found:
        mix = " / ".join(f"{100 * share:g}" for share in one.mix)
        shares = (one.enough, one.ships, one.enough_by_error, one.ships_by_error)
        shown = " | ".join("–" if share is None else f"{100 * share:.1f} %" for share in shares)
        name = one.metric.partition(" of ")[0]
        lines.append(f"| {name} | {mix} % | {100 * one.margin:.1f} points | {one.rows:,} | {shown} |")
    ships = _together([(one.enough, one.ships) for one in found])
    by_error = _together([(one.enough_by_error, one.ships_by_error) for one in found])
    return PART.format(runs=runs, lines="\n".join(lines), ships=100 * ships, by_error=100 * by_error)


def _together(shares: list[tuple[float, float | None]]) -> float:
    """The share that ships of all splits that were called large enough."""
    called = math.fsum(enough for enough, _ in shares)
    return math.fsum(enough * (ships or 0.0) for enough, ships in shares) / called if called else math.nan
