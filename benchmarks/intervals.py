"""Are the intervals honest? Coverage of the 95 % intervals of scores and of paired differences over simulated splits.

The truth is the population's, computed from it and not from a sample. Populations: made-up ones, on which constants of
the intervals were chosen, and the confusions of real models (`benchmarks.confusions`), on which they were not. Each
setting draws many test splits and asks how often the interval covers the truth, and how often it is refused because
rows are too few. `--write docs/intervals.md` writes the tables; `--banking FOLDER` names Banking77's two files.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.confusions import banking_confusions, ticket_confusions, with_rare
from benchmarks.populations import Population, population
from benchmarks.rows import write_row
from playbook.evaluate.wording import percent
from playbook.spec import Limit
from playbook.statistics.answers import Answers
from playbook.statistics.metric import Kinds, Metric, bind

RUNS, CONFIDENCE, RESAMPLES, SEED = 1000, 0.95, 500, 5
WANTED = (0.93, 0.975)
NOISE = 2.58 * (CONFIDENCE * (1 - CONFIDENCE) / RUNS) ** 0.5  # of a coverage, in 99 of 100 cells
GLANCE, CLEARLY = 60, 0.8  # a cell of whose first draws so many are refused is not looked at further
REFUSED = 0.5  # a cell in which more splits than this are refused counts as refused
ROWS = (60, 100, 200, 600, 3000)
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
METRICS = ("f1", "macro_f1", "balanced_accuracy")
SHARES_OF_ROWS = ("recall", "precision")  # Wilson's interval; on made-up populations alone
MADE_UP = "made up"


@dataclass(frozen=True)
class Setting:
    """One population, the share of its rare class, one size of the test split and one metric."""

    population: str
    share: float
    rows: int
    metric: str
    paired: bool


@dataclass(frozen=True)
class Coverage:
    """What the simulated test splits of a setting gave; `covered` is of those that were not refused."""

    truth: float
    covered: float
    refused: float
    mean_width: float

    @property
    def is_refused(self) -> bool:
        """Whether most splits are refused."""
        return self.refused > REFUSED

    def honest(self, noise: float = 0.0) -> bool:
        """Whether the coverage is as promised, or refused; `noise` widens the promise."""
        return self.is_refused or WANTED[0] - noise <= self.covered <= WANTED[1] + noise


def made_up(share: float) -> Population:
    """Four classes of which the last is rare; the second model is two points better, and they differ on a tenth."""
    others = np.array([1.6, 1.2, 0.8])
    priors = [float(prior) for prior in others / others.sum() * (1 - share)]
    return population((*priors, share), 0.85, 0.02, 0.04)


def metric_of(name: str, drawn_from: Population, resamples: int = RESAMPLES) -> Metric:
    """The metric, of the rare class where it is of one."""
    labels = tuple(str(at) for at in range(drawn_from.classes))
    of_class = labels[-1] if name in ("f1", "recall", "precision") else None
    limit = Limit.model_validate({"metric": name, "at_least": 0.5, "of_class": of_class})
    return bind(limit, labels, confidence=CONFIDENCE, resamples=resamples)


def measure(
    setting: Setting, drawn_from: Population, runs: int = RUNS, seed: int = SEED, metric: Metric | None = None
) -> Coverage:
    """How often the interval covers the truth, over `runs` drawn test splits."""
    metric = metric or metric_of(setting.metric, drawn_from)
    truth, random = true_value(drawn_from, metric, setting.paired), np.random.default_rng(seed)
    drawn = random.multinomial(setting.rows, drawn_from.chances, size=runs)
    covered, widths, refused = [], [], 0
    for run, counts in enumerate(drawn):
        if run == GLANCE and refused > CLEARLY * run:
            return Coverage(truth, 1.0, refused / run, 1.0)
        kinds = counted(drawn_from, counts, setting.paired)
        found = metric.difference_of(kinds) if setting.paired else metric.score_of(kinds)
        refused += bool(found.too_few)
        if not found.too_few:
            covered.append(found.low - 1e-9 <= truth <= found.high + 1e-9)
            widths.append(found.high - found.low)
    if not covered:
        return Coverage(truth, 1.0, refused / runs, 1.0)
    return Coverage(truth, float(np.mean(covered)), refused / runs, float(np.mean(widths)))


def true_value(drawn_from: Population, metric: Metric, paired: bool) -> float:
    """The metric of the first model in the population itself, or the gain of the second over it."""
    if paired:
        return drawn_from.true_difference(metric)
    truth, first, _ = drawn_from.cells.T
    return float(metric.values(truth, first, drawn_from.chances[None, :])[0])


def counted(drawn_from: Population, counts: np.ndarray, paired: bool) -> Kinds:
    """A drawn test split by kinds of rows."""
    seen = counts > 0
    truth, first, second = drawn_from.cells[seen].T
    answers = (Answers(first), Answers(second)) if paired else (Answers(first),)
    return Kinds(truth, answers, counts[seen], np.arange(0))


def settings(names: Sequence[str]) -> Iterator[Setting]:
    """Every setting of the tables."""
    for name in names:
        for metric in (*METRICS, *(SHARES_OF_ROWS if name == MADE_UP else ())):
            for paired in (False, True):
                for share in SHARES:
                    for rows in ROWS:
                        yield Setting(name, share, rows, metric, paired)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file that the tables are written to")
    parser.add_argument("--banking", type=Path, help="folder with Banking77's train.csv and test.csv")
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    real = {"tickets": ticket_confusions()}
    if arguments.banking:
        real["Banking77"] = banking_confusions(arguments.banking)
    results = []
    began = time.perf_counter()
    for setting in settings([MADE_UP, *real]):
        own = real.get(setting.population)
        drawn_from = made_up(setting.share) if own is None else with_rare(own, setting.share)
        found = measure(setting, drawn_from, arguments.runs)
        results.append((setting, found))
        write_row(benchmark="coverage of intervals", **asdict(setting), **asdict(found), runs=arguments.runs)
    print(f"{time.perf_counter() - began:.0f} s")
    if arguments.write:
        arguments.write.write_text(page(results, arguments.runs), encoding="utf-8")


def page(results: list[tuple[Setting, Coverage]], runs: int) -> str:
    """The tables as a page of the documentation."""
    low, high = WANTED
    answered = [found for _, found in results if not found.is_refused]
    noise = 2.58 * (CONFIDENCE * (1 - CONFIDENCE) / runs) ** 0.5
    inside = sum(found.honest() for found in answered)
    near = sum(found.honest(noise) for found in answered)
    asked = list(dict.fromkeys((one.paired, one.metric, one.population) for one, _ in results))
    asked.sort(key=lambda one: (one[0], (*METRICS, *SHARES_OF_ROWS).index(one[1])))
    tables = "\n\n".join(_section(results, name, metric, paired) for paired, metric, name in asked)
    return f"""# Are the intervals honest?

Written by `python -m benchmarks.intervals --banking ../shared/data/banking77 --write docs/intervals.md`; do not edit.

Every cell simulates {runs:,} test splits from a population whose truth is known and counts how often the
{percent(CONFIDENCE, 0)} interval that the report shows covers it. An honest interval covers it in {percent(low, 0)} to
{percent(high)} of cases. Where a class has too few rows for that, the interval is refused: the report says which rows
are too few and how many would do. A cell in which most splits are refused is a dash; elsewhere the coverage is of the
splits that were answered.

**{inside} of {len(answered)} answered cells lie between {percent(low, 0)} and {percent(high)}; {near} do within the
chance of {runs:,} draws ({100 * noise:.1f} points, 99 of 100 cells); {len(results) - len(answered)} of {len(results)}
cells are refused.**{_outside(results, noise)}

Rows of the tables are the share of the rare class, columns the rows of the test split. F1, recall and precision are of
the rare class. Intervals and the rules for refusing: `playbook.statistics.ratio_intervals`.

- *made up*: four classes, a model that is right on 85 % of rows (fewer of the rare class), a second one that is two
  points better and differs from it on a tenth of rows. The intervals' constants were chosen on populations like it.
- *tickets*: the five classes of the sample task, answered by a weak and a fuller TF-IDF model.
- *Banking77*: eight intents about cards, likewise. Nothing was chosen on these two; their confusions are real, and only
  the shares of the classes are set.

{tables}
"""


def _outside(results: list[tuple[Setting, Coverage]], noise: float) -> str:
    """The cells that are not as promised, worst first."""
    missed = [(setting, found) for setting, found in results if not found.honest(noise)]
    missed.sort(key=lambda one: one[1].covered)
    named = [
        f"{_named(setting)} on {setting.rows:,} rows with {percent(setting.share, 0)}, {setting.population} "
        f"({percent(found.covered)})"
        for setting, found in missed
    ]
    return f" Outside beyond chance: {'; '.join(named)}." if named else " None lies outside beyond chance."


def _named(setting: Setting) -> str:
    name = setting.metric.replace("_", " ")
    return f"paired difference in {name}" if setting.paired else name


def _section(results: list[tuple[Setting, Coverage]], population: str, metric: str, paired: bool) -> str:
    cells = {
        (setting.share, setting.rows): found
        for setting, found in results
        if (setting.population, setting.metric, setting.paired) == (population, metric, paired)
    }
    title = _named(Setting(population, 0, 0, metric, paired))
    lines = [
        f"## {title[:1].upper()}{title[1:]}: {population}",
        "",
        "| share | " + " | ".join(f"{rows:,} rows" for rows in ROWS) + " |",
        "| ---: |" + " ---: |" * len(ROWS),
    ]
    for share in SHARES:
        found = [cells[share, rows] for rows in ROWS]
        shown = ["–" if one.is_refused else percent(one.covered) for one in found]
        lines.append(f"| {percent(share, 0)} | {' | '.join(shown)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
