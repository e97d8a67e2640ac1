"""Are the intervals honest? Coverage of the 95 % interval of a paired difference over simulated test splits.

The true difference is the population's, computed from it and not from a sample. Each setting draws 400 test splits and
asks how often the interval covers the truth. `--write docs/intervals.md` writes the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.populations import population
from benchmarks.rows import write_row
from playbook.evaluate.wording import percent
from playbook.spec import Limit
from playbook.statistics.metric import FEWEST_DISCORDANT as FEW
from playbook.statistics.metric import bind

RUNS, CONFIDENCE, RESAMPLES, SEED = 400, 0.95, 2000, 5
WANTED = (0.92, 0.98)
EVEN, SKEWED = (0.2,) * 5, (0.35, 0.25, 0.2, 0.13, 0.07)  # the last class is as rare as cancellation in the sample task
TINY = (0.36, 0.28, 0.2, 0.14, 0.02)  # the last class has 13 of 663 rows
NAMES: dict[tuple[float, ...], str] = {EVEN: "even", SKEWED: "skewed", TINY: "one of 2 %"}
RARE = 4


@dataclass(frozen=True)
class Setting:
    """One population and one size of the test split; `gain` is the true gain in accuracy."""

    metric: str
    rows: int
    accuracy: float
    gain: float
    lost: float
    priors: tuple[float, ...] = SKEWED
    of_class: int | None = None

    @property
    def discordant(self) -> float:
        """Rows, of those the metric speaks of, on which exactly one model is right: the mean over test splits."""
        counted = self.rows if self.of_class is None else self.rows * self.priors[self.of_class]
        return counted * (2 * self.lost + self.gain)


@dataclass(frozen=True)
class Coverage:
    """What the simulated test splits of a setting gave."""

    true_difference: float
    covered: float
    mean_width: float


def settings() -> Iterator[Setting]:
    """Every setting of the table."""
    for rows in (200, 663, 3000):
        for gain in (0.0, 0.01, 0.05):
            yield Setting("accuracy", rows, 0.85, gain, 0.04)
    yield Setting("accuracy", 60, 0.85, 0.05, 0.04)
    yield Setting("accuracy", 200, 0.95, 0.01, 0.01)
    yield Setting("accuracy", 663, 0.95, 0.01, 0.01)
    yield Setting("accuracy", 3000, 0.95, 0.01, 0.01)
    yield Setting("accuracy", 663, 0.6, 0.05, 0.1)
    for rows in (200, 663, 3000):
        for gain in (0.0, 0.05):
            yield Setting("macro_f1", rows, 0.85, gain, 0.04)
    yield Setting("macro_f1", 663, 0.85, 0.01, 0.04, EVEN)
    yield Setting("balanced_accuracy", 663, 0.85, 0.05, 0.04)
    for metric in ("macro_f1", "balanced_accuracy"):
        for gain in (0.0, 0.05):
            yield Setting(metric, 663, 0.85, gain, 0.04, TINY)
    yield Setting("recall", 200, 0.85, 0.05, 0.04, of_class=RARE)
    yield Setting("recall", 663, 0.85, 0.0, 0.04, of_class=RARE)
    yield Setting("recall", 663, 0.85, 0.05, 0.04, of_class=RARE)
    yield Setting("recall", 3000, 0.85, 0.05, 0.04, of_class=RARE)
    yield Setting("precision", 663, 0.85, 0.05, 0.04, of_class=RARE)
    yield Setting("f1", 663, 0.85, 0.05, 0.04, of_class=RARE)


def measure(setting: Setting, runs: int = RUNS, seed: int = SEED) -> Coverage:
    """How often the interval covers the true difference, over `runs` drawn test splits."""
    drawn_from = population(setting.priors, setting.accuracy, setting.gain, setting.lost)
    labels = tuple(str(at) for at in range(drawn_from.classes))
    of_class = None if setting.of_class is None else labels[setting.of_class]
    limit = Limit.model_validate({"metric": setting.metric, "at_least": 0.5, "of_class": of_class})
    true = drawn_from.true_difference(bind(limit, labels))
    random, covered, widths = np.random.default_rng(seed), 0, []
    for run in range(runs):
        truth, first, second = drawn_from.draw(random, setting.rows)
        metric = bind(limit, labels, confidence=CONFIDENCE, resamples=RESAMPLES, seed=run)
        found = metric.difference(truth, first, second)
        covered += found.low <= true <= found.high
        widths.append(found.high - found.low)
    return Coverage(true, covered / runs, float(np.mean(widths)))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file that the table is written to")
    arguments = parser.parse_args()
    results = []
    for setting in settings():
        began = time.perf_counter()
        found = measure(setting)
        seconds = round(time.perf_counter() - began, 1)
        results.append((setting, found))
        write_row(benchmark="coverage of intervals", **asdict(setting), **asdict(found), runs=RUNS, seconds=seconds)
    if arguments.write:
        arguments.write.write_text(page(results), encoding="utf-8")


def page(results: list[tuple[Setting, Coverage]]) -> str:
    """The table as a page of the documentation."""
    low, high = WANTED
    enough = [one for one in results if one[0].discordant >= FEW]
    few = [one for one in results if one[0].discordant < FEW]
    kept = sum(low <= found.covered <= high for _, found in enough)
    noise = 100 * (CONFIDENCE * (1 - CONFIDENCE) / RUNS) ** 0.5
    return f"""# Are the intervals honest?

Written by `python -m benchmarks.intervals --write docs/intervals.md`; do not edit.

Each line simulates {RUNS} test splits from a population of two models whose true difference is known, and counts how
often the interval that the report shows covers that difference (`playbook.statistics.metric.Metric.difference`,
{percent(CONFIDENCE, 0)}, {RESAMPLES:,} resamples). An honest interval covers it between {percent(low, 0)} and \
{percent(high, 0)} of the time; {RUNS} runs have a standard error
of {noise:.1f} points. The truth of every metric is computed from the population itself, not from a sample.

**{kept} of {len(enough)} settings lie between {percent(low, 0)} and {percent(high, 0)}.**{_outside(enough)}

{_table(enough)}

## Where almost nothing can be known

Here fewer than {FEW} discordant rows are expected, rows on which exactly one of the models is right. McNemar's exact
test cannot reach a p-value of 5 % on so few, whatever they say. The interval errs on the wide side and covers the truth
more often than it promises: on fewer than {FEW} discordant rows it includes zero.

{_table(few)}

## The populations

Skewed classes have shares of {", ".join(percent(share, 0) for share in SKEWED)}, the rarer ones with more mistakes;
recall, precision and f1 are of the rarest. With one of 2 % the shares are \
{", ".join(percent(share, 0) for share in TINY)}.
Discordant rows are counted among the rows of the class where the metric speaks of one.
Where both models are wrong they mostly make the same mistake.
"""


def _outside(results: list[tuple[Setting, Coverage]]) -> str:
    """The settings that are not as promised, by name, and on which side."""
    low, high = WANTED
    named = [
        f"{setting.metric.replace('_', ' ')} on {setting.rows:,} rows, classes {NAMES[setting.priors]}, true gain "
        f"{100 * setting.gain:.0f} points ({percent(found.covered)}, too {'short' if found.covered < low else 'wide'})"
        for setting, found in results
        if not low <= found.covered <= high
    ]
    return f" Outside: {'; '.join(named)}." if named else ""


def _table(results: list[tuple[Setting, Coverage]]) -> str:
    lines = [
        "| metric | rows | classes | first model | discordant rows | true difference | covered | mean width |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for setting, found in results:
        classes = NAMES[setting.priors]
        name = setting.metric.replace("_", " ") + (" of the rarest class" if setting.of_class is not None else "")
        true, width = 100 * found.true_difference, 100 * found.mean_width
        lines.append(
            f"| {name} | {setting.rows:,} | {classes} | {percent(setting.accuracy, 0)} | {setting.discordant:.0f} "
            f"| {true:+.2f} points | {percent(found.covered)} | {width:.1f} points |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
