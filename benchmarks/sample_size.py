"""Is the size that a refusal names the right one? Power of the paired test at that size and at half of it.

For each setting `rows_needed` says how many rows show a gain of the margin with a power of 80 %; simulated test splits
of that size, and of half of it, then say how often the interval excludes zero. One JSON row per setting.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from benchmarks.populations import Population, population
from benchmarks.rows import write_row
from playbook.evaluate.paired import paired_difference
from playbook.statistics.sample_size import rows_needed

CONFIDENCE, POWER, RESAMPLES, SEED = 0.95, 0.8, 500, 3
PRIORS = (0.35, 0.25, 0.2, 0.13, 0.07)
SETTINGS = ((0.01, 0.02), (0.02, 0.04), (0.05, 0.04), (0.05, 0.1), (0.02, 0.002))  # margin, share only the first has


@dataclass(frozen=True)
class Power:
    """The size for a margin, and the share of simulated test splits that show the gain there and at half of it."""

    margin: float
    discordance: float
    needed: int
    at_needed: float
    at_half: float


def measure(margin: float, lost: float, runs: int, seed: int = SEED) -> Power:
    """Simulate `runs` test splits of the size that `rows_needed` names for a true gain of the margin."""
    discordance = 2 * lost + margin
    needed = rows_needed(margin, discordance, CONFIDENCE, POWER)
    drawn_from = population(PRIORS, 0.85, margin, lost)
    random = np.random.default_rng(seed)
    shown = [share_shown(drawn_from, rows, runs, random) for rows in (needed, needed // 2)]
    return Power(margin, discordance, needed, *shown)


def share_shown(drawn_from: Population, rows: int, runs: int, random: np.random.Generator) -> float:
    """Share of test splits of a size on which the interval of the gain in accuracy lies above zero."""
    shown = 0
    for run in range(runs):
        truth, first, second = drawn_from.draw(random, rows)
        found = paired_difference(
            "accuracy", None, truth, first, second, drawn_from.classes, CONFIDENCE, RESAMPLES, run
        )
        shown += found.low > 0
    return shown / runs


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    arguments = parser.parse_args()
    for margin, lost in SETTINGS:
        found = measure(margin, lost, arguments.runs)
        write_row(benchmark="rows that show the margin", **vars(found), power=POWER, runs=arguments.runs)


if __name__ == "__main__":
    main()
