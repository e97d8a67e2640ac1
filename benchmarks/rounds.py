"""How often a round replaces the model that serves, by what is true of the model that would take its place.

Test splits of the size that a refusal names are drawn from populations of answers whose truth is known: made-up ones,
and the held-out answers of two models of one real task each (Banking77 queries, and the handwritten digits that come
with scikit-learn), of which the second was trained on more rows. From such a pair come a model that is better by just
the round's margin, one that is as good (answers swapped at random), and one that is worse by the margin (the two
exchanged). Each is judged by `playbook.evaluate.round_verdict.decide_round`, once where nothing that a model can fix
asked for the round, and once where something did and the model fixes it. `--write docs/rounds.md` writes the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.populations import population
from benchmarks.rows import ROOT, write_row
from playbook.artifacts import Trigger
from playbook.evaluate.compare import describe_side
from playbook.evaluate.round_verdict import Serving, decide_round
from playbook.spec import TaskSpec
from playbook.statistics.sample_size import rows_needed

POWER, CONFIDENCE, RESAMPLES, SEED = 0.8, 0.95, 500, 7
PRIORS = {"made up, five classes": (0.35, 0.25, 0.2, 0.13, 0.07), "made up, two classes": (0.6, 0.4)}
Labels = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator, int], tuple[Labels, Labels, Labels]]


@dataclass(frozen=True)
class Pair:
    """Two models on one population: true gain of the second, share of rows on which they differ, and how to draw."""

    name: str
    classes: int
    gain: float
    apart: float
    draw: Draw


@dataclass(frozen=True)
class Replaced:
    """Share of simulated rounds in which the model that serves was replaced."""

    population: str
    margin: float
    discordance: float
    rows: int
    true_gain: float
    fixes: bool
    replaced: float


def made_up() -> Iterator[Pair]:
    """Pairs of the benchmark of sample sizes."""
    for name, priors in PRIORS.items():
        drawn = population(priors, 0.85, 0.03, 0.02)
        yield Pair(name, len(priors), 0.03, 0.07, drawn.draw)


def real(banking: Path) -> Iterator[Pair]:
    """Held-out answers of linear models of two real tasks, the second trained on more rows."""
    yield _pair("Banking77", *_banking(banking))
    yield _pair("digits", *_digits())


def _banking(folder: Path) -> tuple[Labels, Labels, Labels]:
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    rows, held = (pd.read_csv(folder / f"{split}.csv") for split in ("train", "test"))
    rows = rows.sample(frac=1, random_state=SEED)
    text, label = rows.columns[:2]
    words = TfidfVectorizer(ngram_range=(1, 2)).fit(rows[text])
    known, held_rows = words.transform(rows[text]), words.transform(held[text])
    names = sorted(set(rows[label]))
    number = {name: at for at, name in enumerate(names)}
    truth, train = (frame[label].map(number).to_numpy(np.int64) for frame in (held, rows))
    first, second = (LinearSVC().fit(known[:count], train[:count]).predict(held_rows) for count in (5000, 6500))
    return truth, first.astype(np.int64), second.astype(np.int64)


def _digits() -> tuple[Labels, Labels, Labels]:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import RidgeClassifier

    images, truth = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(truth))
    images, truth = images[order], truth[order].astype(np.int64)
    models = [RidgeClassifier().fit(images[:count], truth[:count]) for count in (150, 400)]
    first, second = (model.predict(images[800:]).astype(np.int64) for model in models)
    return truth[800:], first, second


def _pair(name: str, truth: Labels, first: Labels, second: Labels) -> Pair:
    right = [answers == truth for answers in (first, second)]

    def draw(random: np.random.Generator, rows: int) -> tuple[Labels, Labels, Labels]:
        at = random.integers(0, len(truth), rows)
        return truth[at], first[at], second[at]

    gain = float(right[1].mean() - right[0].mean())
    return Pair(name, int(truth.max()) + 1, gain, float((right[0] != right[1]).mean()), draw)


def measure(pair: Pair, runs: int) -> Iterator[Replaced]:
    """Rounds whose margin is the pair's true gain: better by it, as good, and worse by it."""
    rows = rows_needed(pair.gain, pair.apart, CONFIDENCE, POWER)
    spec, random = _task(pair), np.random.default_rng(SEED)
    for true_gain in (pair.gain, 0.0, -pair.gain):
        for fixes in (False, True):
            replaced = sum(_replaced(spec, pair, rows, true_gain, fixes, random) for _ in range(runs)) / runs
            yield Replaced(pair.name, pair.gain, pair.apart, rows, true_gain, fixes, replaced)


def _replaced(
    spec: TaskSpec, pair: Pair, rows: int, true_gain: float, fixes: bool, random: np.random.Generator
) -> bool:
    truth, first, second = pair.draw(random, rows)
    if true_gain < 0:
        first, second = second, first
    elif true_gain == 0:
        swap = random.random(rows) < 0.5
        first, second = np.where(swap, second, first), np.where(swap, first, second)
    asked: tuple[Trigger, ...] = ("task_changed",) if fixes else ()  # fixed by any model of the changed task
    serving = Serving("1.0.0", first, describe_side(spec, truth, first), spec.labels, asked_by=asked)
    # One contender: validation chose it, and it is the simplest one.
    sides = {"baseline": describe_side(spec, truth, second)}
    return decide_round(spec, serving, truth, {"baseline": second}, sides)[0].ship == "baseline"


def _task(pair: Pair) -> TaskSpec:
    labels = [f"c{at:03d}" for at in range(pair.classes)]
    return TaskSpec.model_validate(
        {
            "task": "rounds",
            "question": "Which class does this row belong to?",
            # Under what every model reaches, so that no limit decides.
            "target": {"metric": "accuracy", "at_least": 0.55, "margin": 0.5},
            "owners": {"model": "team:a", "data": "team:b", "sign_off": "team:c"},
            "data": {
                "source": {"path": "x.csv"},
                "columns": {"text": "text", "label": "label"},
                "classes": dict.fromkeys(labels, "a class"),
            },
            "base": {"folder": "base", "sha256": "0" * 64, "licence": "MIT"},
            "evaluation": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "power": POWER},
            "retraining": {"margin": pair.gain},
        }
    )


HEAD = """# How often does a round replace the model that serves?

Written by `python -m benchmarks.rounds --write docs/rounds.md`; do not edit.

A round is decided against the model that serves. Another takes its place where it is better by the round's margin, or
where it is not worse by the tolerance (here the margin) and fixes what asked for the round. The promise: a model that
is better by just the margin replaces it in 80 of 100 rounds, one that is as good in at most 2.5, and one that is worse
by the margin never; where it fixes what asked for the round, one that is as good replaces it in 80 of 100 rounds and
one that is worse by the tolerance in at most 2.5. Test splits have the size that a refusal names. {runs} rounds per
line: a share of 80 % is known to 4 points and one of 2.5 % to 1.5 points (95 % interval, about). Read so, the promise
holds: the sizes come from exact sums over the rows on which the models differ and who has each right (`rows_needed`).
Banking77 and the digits are held-out answers of two linear models each, drawn with replacement.

| population | margin | models differ on | rows | the other model is | it fixes what fired | replaced |
| --- | --- | --- | --- | --- | --- | --- |
"""


def page(found: list[Replaced], runs: int) -> str:
    """The table as Markdown."""
    lines = []
    for one in found:
        truth = "as good" if not one.true_gain else "better by the margin" if one.true_gain > 0 else "worse by it"
        margin, differ = f"{100 * one.margin:.1f} points", f"{100 * one.discordance:.1f} %"
        shown = (one.population, margin, differ, f"{one.rows:,}", truth, "yes" if one.fixes else "no")
        lines.append(f"| {' | '.join(shown)} | {100 * one.replaced:.1f} % |")
    return HEAD.format(runs=runs) + "\n".join(lines) + "\n"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "banking77")
    parser.add_argument("--write", type=Path, help="Markdown file that the table is written to")
    arguments = parser.parse_args()
    found = []
    for pair in (*made_up(), *real(arguments.data)):
        for one in measure(pair, arguments.runs):
            found.append(one)
            write_row(benchmark="does a round replace the model that serves", **asdict(one), runs=arguments.runs)
    if arguments.write:
        arguments.write.write_text(page(found, arguments.runs), encoding="utf-8")


if __name__ == "__main__":
    main()
