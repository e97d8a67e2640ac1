"""Does the rule that ships keep the task file's promise? How often candidates ship, by size of the test split.

For each setting `rows_needed` names a size for a power of 80 %. Test splits of that size, of four times and of half of
it are drawn from a population whose true gain is known: just the margin, half of it, and none. The share on which the
whole rule ships (`playbook.evaluate.verdict.earned`) is set beside the share that a rule would ship which asks the
measured gain to reach the margin. Larger splits follow by exact sums, then metrics that are counted as ratios
(`benchmarks.planned_sizes`) and the bounds from row counts alone: limits that a perfect model reaches, and gains in
means over classes. `--write docs/sample_size.md` writes the tables; one JSON
row per setting.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from benchmarks import planned_sizes
from benchmarks.populations import Population, population
from benchmarks.rows import write_row
from playbook.spec import Limit, Target
from playbook.spec.section import LimitName
from playbook.statistics.metric import PairedDifference, bind
from playbook.statistics.sample_size import (
    chance_to_ship,
    least_gain,
    rows_for,
    rows_for_gain,
    rows_needed,
    two_sided_z,
)

CONFIDENCE, POWER, RESAMPLES, SEED = 0.95, 0.8, 2000, 3  # resamples: the task file's default
ACCURACY = Limit(metric="accuracy", at_least=0.5)  # the number is not used
PRIORS = {"five classes": (0.35, 0.25, 0.2, 0.13, 0.07), "two classes": (0.9, 0.1)}
SETTINGS = ((0.01, 0.02), (0.02, 0.04), (0.03, 0.035), (0.05, 0.04), (0.05, 0.1), (0.02, 0.002))
# of SETTINGS: margin, and the share of rows that only the first model has right
MOST_ROWS = 20_000
SPARSE = ((0.05, 0.05, 0.8), (0.02, 0.02, 0.8), (0.02, 0.03, 0.8), (0.02, 0.02, 0.9), (0.02, 0.02, 0.95))
# margin, share of rows that models differ on, power: added to SETTINGS in the table of larger splits
MIX = (0.6, 0.3, 0.1)  # classes of the tables of bounds
LIMITS: tuple[tuple[LimitName, str | None, float], ...] = (
    ("balanced_accuracy", None, 0.9), ("balanced_accuracy", None, 0.97), ("macro_f1", None, 0.9),
    ("macro_f1", None, 0.97), ("roc_auc", None, 0.95), ("roc_auc", "2", 0.95),
)  # fmt: skip
GAINS: tuple[tuple[LimitName, float], ...] = (("balanced_accuracy", 0.02), ("balanced_accuracy", 0.05),
                                              ("macro_f1", 0.02), ("macro_f1", 0.05))  # fmt: skip


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
    return gain.low > 0 and gain.delta >= least_gain(margin, gain.standard_error, POWER, gain.step)


@dataclass(frozen=True)
class Reached:
    """A limit, the rows that it demands, and how often a perfect model reaches it on splits about as large."""

    limit: str
    bound: float
    rows: int
    at_nine_tenths: float
    at_rows: float
    at_eleven_tenths: float


def reach(metric: LimitName, of_class: str | None, bound: float, runs: int) -> Reached:
    """Draw splits whose class counts are left to chance, and let a model without a mistake answer them."""
    limit, labels = Limit(metric=metric, of_class=of_class, at_least=bound), tuple(str(at) for at in range(len(MIX)))
    counts = {label: round(1e6 * share) for label, share in zip(labels, MIX, strict=True)}
    needed = rows_for(limit, CONFIDENCE, counts) or 0
    bound_to, random, found = bind(limit, labels, confidence=CONFIDENCE), np.random.default_rng(SEED), []
    for times in (0.9, 1.0, 1.1):
        truths = [random.choice(len(MIX), round(times * needed), p=MIX) for _ in range(runs)]
        found.append(float(np.mean([bound_to.score(truth, np.eye(len(MIX))[truth]).low >= bound for truth in truths])))
    return Reached(limit.label, bound, needed, *found)


@dataclass(frozen=True)
class Seen:
    """How often a gain of the margin in a mean over classes ships, where all of it is gained in one class."""

    metric: str
    margin: float
    rows: int
    in_class: str
    at_half: float
    at_rows: float
    at_twice: float


def see(metric: LimitName, margin: float, place: int, runs: int) -> Seen:
    """A first model that misses a share of one class, and a second one without a mistake: the least noise there is."""
    target = Target(metric=metric, at_least=0.95, margin=margin)
    labels = tuple(str(at) for at in range(len(MIX)))
    needed = rows_for_gain(target, CONFIDENCE, POWER, dict(zip(labels, (600, 300, 100), strict=True)))
    share, random, found = _missed(metric, margin, place), np.random.default_rng(SEED), []
    for times in (0.5, 1.0, 2.0):
        ships = 0
        for run in range(runs):
            truth = random.choice(len(MIX), round(times * needed), p=MIX)
            wrong = (truth == place) & (random.random(len(truth)) < share)
            metric_of = bind(target.all_limits[0], labels, confidence=CONFIDENCE, seed=run)
            ships += _ships(metric_of.difference(truth, np.where(wrong, (truth + 1) % len(MIX), truth), truth), margin)
        found.append(ships / runs)
    return Seen(metric, margin, needed, ("largest", "second", "smallest")[place], *found)


def _missed(metric: LimitName, margin: float, place: int) -> float:
    """The share of one class that a model has to miss for its mean over classes to be the margin under one."""
    low, high = 0.0, 1.0
    bound_to = bind(Limit(metric=metric, at_least=0.5), tuple(str(at) for at in range(len(MIX))))
    truth = np.repeat(np.arange(len(MIX)), [round(100_000 * share) for share in MIX])
    at = np.concatenate([np.arange(count) / count for count in np.bincount(truth)])
    for _ in range(20):
        middle = (low + high) / 2
        told = np.where((truth == place) & (at < middle), (truth + 1) % len(MIX), truth)
        low, high = (middle, high) if 1 - bound_to.value(truth, told) < margin else (low, middle)
    return high


HEAD = """# Does a candidate that is worth its margin ship?

Written by `python -m benchmarks.sample_size --write docs/sample_size.md`; do not edit.

The task file's `evaluation.power` is a promise: a candidate whose true gain over the frozen baseline is the margin
ships that often, here in 80 of 100 cases, on a test split of the size that a refusal names, and on larger ones as often
or about so ([how much so](#on-larger-splits)). The rule: the 95 % interval of the gain lies above zero, and the
measured gain is at least the margin less 0.84 standard errors and half a row. The last column is a rule that asks the
measured gain itself to reach the margin: it turns half of these candidates away, whatever the split's size. {runs}
simulated test splits per line, so that a share is known to about {error:.1f} points (one standard error); the first
model is right on 85 % of rows. A size in bold is the one that a refusal names, the others are four times or half of it.

That size counts rows: it is where the rule ships as often as promised by exact sums over how many rows the models
differ on and which of them has each right. Connor's formula, which takes the gain for normal and its error for known,
was used before and names {connor} rows for a margin of 3 points with models that differ on 10 % of rows. There
{shipped:.1f} % of such candidates ship, and {before:.1f} % would if the rule did not take off half a row. Both parts
of the rule ask for the same gain at that size, so whichever the estimated error makes harder decides, and the interval
adds half a row to each cell: that is where the missing points went.

| population | margin | models differ on | rows | true gain | ships | if the gain had to reach the margin |
| --- | --- | --- | --- | --- | --- | --- |
"""


LARGER = """
## On larger splits

Gains come in whole rows, so the share that ships goes up and down as rows are added, the more the fewer rows models
differ on. The size that is named is the first to keep the promise, or to come within a point of it where a quarter more
rows do not keep it either. On larger ones the share can be under it. By exact sums, on splits from that size to twice
as large:

| power | margin | models differ on | rows | ships there | least often | on rows | on average |
| --- | --- | --- | --- | --- | --- | --- | --- |
{lines}

Where the models differ on twice as many rows as the margin or more, a larger split keeps the promise to a fraction of a
point. Where they differ on hardly more rows than the margin, so that the better one is next to never wrong where the
other is right, a candidate worth its margin may ship five points less often than promised.
"""


def larger(margin: float, apart: float, power: float) -> str:
    """How often a gain of the margin ships from the size that is named to twice that size: a line of the table."""
    rows = rows_needed(margin, apart, CONFIDENCE, power)
    sizes = range(rows, 2 * rows + 1, max(1, rows // 500))
    chances = [chance_to_ship(size, margin, apart, CONFIDENCE, power) for size in sizes]
    least, mean = int(np.argmin(chances)), float(np.mean(chances))
    return (
        f"| {100 * power:g} % | {_points(margin)} | {100 * apart:g} % | {rows:,} | {100 * chances[0]:.1f} % | "
        f"{100 * chances[least]:.1f} % | {sizes[least]:,} | {100 * mean:.1f} % |"
    )


def larger_splits() -> str:
    """The table of larger splits as Markdown."""
    settings = [*((margin, 2 * lost + margin, POWER) for margin, lost in SETTINGS), *SPARSE]
    return LARGER.format(lines="\n".join(larger(*one) for one in settings))


REST = """
## Which limits can be judged at all

From class counts alone, before anything is trained: the rows on which a model without a single mistake can be told
apart from one that misses the limit. Classes are mixed {mix}; how many rows of each a split has is left to
chance here, so that about half of the splits of just that size reach it.

| limit | at least | rows | reached on 0.9 times as many | on as many | on 1.1 times as many |
| --- | --- | --- | --- | --- | --- |
{limits}

Average precision and log loss have no such number: what their intervals make of a model depends on how its answers
scatter. They are judged on the answers to validation, before the test split is opened.

## Which gains in a mean over classes can be seen at all

A bound from the margin alone: on fewer rows not even the model whose gain is easiest to see ships as often as promised.
That is one that puts right what another misses of the largest class and makes no mistake. It is a bound and no size
that would do: intervals of these metrics are cautious where models differ on a dozen rows, so that about twice as many
are needed, and for macro-F1 it allows for worse models too, whose errors weigh less. What would do is judged on
validation.
Gains in ROC-AUC, average precision and log loss have no bound before there are answers.

| metric | margin | rows | gained in the | ships on half as many | on as many | on twice as many |
| --- | --- | --- | --- | --- | --- | --- |
{gains}
"""


def rest(limits: list[Reached], gains: list[Seen]) -> str:
    """The tables of bounds as Markdown."""
    first = [
        f"| {one.limit.replace('of 2', 'of the smallest class')} | {one.bound:g} | {one.rows:,} | "
        f"{100 * one.at_nine_tenths:.0f} % | {100 * one.at_rows:.0f} % | {100 * one.at_eleven_tenths:.0f} % |"
        for one in limits
    ]
    second = [
        f"| {one.metric} | {_points(one.margin)} | {one.rows:,} | {one.in_class} class | {100 * one.at_half:.1f} % | "
        f"{100 * one.at_rows:.1f} % | {100 * one.at_twice:.1f} % |"
        for one in gains
    ]
    mix = ", ".join(f"{100 * share:g} %" for share in MIX)
    return REST.format(mix=mix, limits="\n".join(first), gains="\n".join(second))


def page(found: list[Shipped], runs: int) -> str:
    """The first table and that of larger splits as Markdown."""
    lines = []
    for one in found:
        rows = f"**{one.rows:,}**" if one.times_needed == 1 else f"{one.rows:,}"
        gain = "none" if not one.true_gain else _points(one.true_gain)
        shares = f"{100 * one.ships:.1f} % | {100 * one.reaching_the_margin:.1f} %"
        differ = f"{100 * one.discordance:g} %"
        lines.append(f"| {one.population} | {_points(one.margin)} | {differ} | {rows} | {gain} | {shares} |")
    margin, apart = 0.03, 0.1
    z = two_sided_z(CONFIDENCE) * math.sqrt(apart) + NormalDist().inv_cdf(POWER) * math.sqrt(apart - margin * margin)
    connor = math.ceil((z / margin) ** 2)
    shipped, before = (100 * chance_to_ship(connor, margin, apart, CONFIDENCE, POWER, step) for step in (1.0, 0.0))
    error = 100 * math.sqrt(POWER * (1 - POWER) / runs)
    return (
        HEAD.format(runs=f"{runs:,}", error=error, connor=connor, shipped=shipped, before=before)
        + "\n".join(lines)
        + "\n"
        + larger_splits()
    )


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
    planned = [
        one
        for drawn_from in planned_sizes.POPULATIONS
        for metric in planned_sizes.METRICS
        for one in planned_sizes.measure(*metric, *drawn_from, arguments.runs)
    ]
    for plan in planned:
        write_row(benchmark="does a split that is called large enough do", **asdict(plan), runs=arguments.runs)
    limits = [reach(*limit, arguments.runs) for limit in LIMITS]
    gains = [see(*gain, place, arguments.runs) for gain in GAINS for place in range(2)]
    for limit in limits:
        write_row(benchmark="is a limit within reach of a perfect model", **asdict(limit), runs=arguments.runs)
    for gain in gains:
        write_row(benchmark="is a gain in a mean over classes seen", **asdict(gain), runs=arguments.runs)
    if arguments.write:
        ratios = planned_sizes.part(planned, arguments.runs)
        arguments.write.write_text(page(found, arguments.runs) + ratios + rest(limits, gains), encoding="utf-8")


if __name__ == "__main__":
    main()
