"""Does the rule that ships keep the task file's promise? How often candidates ship, by size of the test split.

For each setting `rows_needed` names a size for a power of 80 %. Test splits of that size, of four times and of half of
it are drawn from a population whose true gain is known: just the margin, half of it, and none. The share on which the
whole rule ships (`playbook.evaluate.verdict.earned`) is set beside the share that a rule would ship which asks the
measured gain to reach the margin. `--write docs/sample_size.md` writes the table; one JSON row per setting.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.populations import Population, population
from benchmarks.rows import write_row
from playbook.spec import Limit
from playbook.statistics.metric import PairedDifference, bind
from playbook.statistics.sample_size import least_gain, rows_needed

CONFIDENCE, POWER, RESAMPLES, SEED = 0.95, 0.8, 500, 3
ACCURACY = Limit(metric="accuracy", at_least=0.5)  # the number is not used
PRIORS = {"five classes": (0.35, 0.25, 0.2, 0.13, 0.07), "two classes": (0.9, 0.1)}
SETTINGS = ((0.01, 0.02), (0.02, 0.04), (0.05, 0.04), (0.05, 0.1), (0.02, 0.002))  # margin, share only the first has
MOST_ROWS = 20_000


@dataclass(frozen=True)
class Shipped:
    """Shares of simulated test splits that ship: by the rule, and by one that asks the gain to reach the margin."""

    population: str
    margin: float
    discordance: float
    rows: int
    times_needed: float
    true_gain: float
    ships: float
    reaching_the_margin: float


def measure(name: str, margin: float, lost: float, runs: int, seed: int = SEED) -> list[Shipped]:
    """Simulate `runs` test splits of three sizes for each of three true gains."""
    discordance = 2 * lost + margin
    needed = rows_needed(margin, discordance, CONFIDENCE, POWER)
    random, found = np.random.default_rng(seed), []
    for times, gain in ((1.0, margin), (4.0, margin), (0.5, margin), (4.0, margin / 2), (1.0, 0.0)):
        rows = round(times * needed)
        if rows > MOST_ROWS:
            continue
        drawn_from = population(PRIORS[name], 0.85, gain, lost)
        shares = _shares(drawn_from, rows, margin, runs, random)
        found.append(Shipped(name, margin, discordance, rows, times, gain, *shares))
    return found


def _shares(
    drawn_from: Population, rows: int, margin: float, runs: int, random: np.random.Generator
) -> tuple[float, float]:
    shipped = reached = 0
    for run in range(runs):
        truth, first, second = drawn_from.draw(random, rows)
        labels = tuple(str(at) for at in range(drawn_from.classes))
        metric = bind(ACCURACY, labels, confidence=CONFIDENCE, resamples=RESAMPLES, seed=run)
        gain = metric.difference(truth, first, second)
        shipped += _ships(gain, margin)
        reached += gain.low > 0 and gain.delta >= margin
    return shipped / runs, reached / runs


def _ships(gain: PairedDifference, margin: float) -> bool:
    return gain.low > 0 and gain.delta >= least_gain(margin, gain.standard_error, POWER)


HEAD = """# Does a candidate that is worth its margin ship?

Written by `python -m benchmarks.sample_size --write docs/sample_size.md`; do not edit.

The task file's `evaluation.power` is a promise: a candidate whose true gain over the frozen baseline is the margin
ships that often, here in 80 of 100 cases, on every test split that is not refused. The rule: the 95 % interval of the
gain lies above zero, and the measured gain is at least the margin less 0.84 standard errors. The last column is a rule
that asks the measured gain itself to reach the margin: it turns half of these candidates away, whatever the split's
size. Where the models differ on a few rows only (2.4 %: eleven of 469) the exact part of the interval is cautious, and
somewhat fewer ship than promised. {runs} simulated test splits per line; the first model is right on 85 % of rows. A
size in bold is the one that a refusal names, the others are four times or half of it.

| population | margin | models differ on | rows | true gain | ships | if the gain had to reach the margin |
| --- | --- | --- | --- | --- | --- | --- |
"""


def page(found: list[Shipped], runs: int) -> str:
    """The table as Markdown."""
    lines = []
    for one in found:
        rows = f"**{one.rows:,}**" if one.times_needed == 1 else f"{one.rows:,}"
        gain = "none" if not one.true_gain else _points(one.true_gain)
        shares = f"{100 * one.ships:.1f} % | {100 * one.reaching_the_margin:.1f} %"
        differ = f"{100 * one.discordance:g} %"
        lines.append(f"| {one.population} | {_points(one.margin)} | {differ} | {rows} | {gain} | {shares} |")
    return HEAD.format(runs=runs) + "\n".join(lines) + "\n"


def _points(fraction: float) -> str:
    written = f"{100 * fraction:g}"
    return f"{written} point{'' if written == '1' else 's'}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--write", type=Path, help="Markdown file that the table is written to")
    arguments = parser.parse_args()
    found = []
    for name in PRIORS:
        for margin, lost in SETTINGS:
            for one in measure(name, margin, lost, arguments.runs):
                found.append(one)
                write_row(benchmark="does a gain of the margin ship", **asdict(one), power=POWER, runs=arguments.runs)
    if arguments.write:
        arguments.write.write_text(page(found, arguments.runs), encoding="utf-8")


if __name__ == "__main__":
    main()
