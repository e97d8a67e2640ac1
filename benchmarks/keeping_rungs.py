"""How often a rung is kept that has no true gain: the rule of the staircase on simulated trainings with known truth.

Every model of a simulation is right with the same probability. Rows on which two of them differ are contested; from one
epoch to the next, 30 % of the contested answers are drawn again. The best epoch is chosen on the same validation rows,
as training does. Both rules are those of the product (`playbook.adapt.staircase.decide_rung`).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from benchmarks.rows import TASK, write_row

if TYPE_CHECKING:
    import pandas as pd

    from playbook.adapt.staircase import Decision
    from playbook.spec import TaskSpec

CHANCES = (0.31, 0.16, 0.05)
RUNGS, MOVED, RIGHT = 2, 0.3, 0.8

INTRODUCTION = """# How often is a rung kept that has no true gain?

Written by `python -m benchmarks.keeping_rungs --trials {trials} --write docs/keeping_rungs.md`; do not edit.

Each line simulates {trials} staircases on which no rung has a true gain (`benchmarks/keeping_rungs.py`), and counts how
often the first rung was kept all the same. The best epoch is chosen on the same validation rows, as training does.

- `adaptation.keep.chance` counts that choice: White's reality check over all epochs
  (`playbook.statistics.best_of`), and the exact sign test where fewer than six rows tell two models apart.
- `adaptation.keep.standard_errors`, the older rule, does not. Half a standard error means 31 %, one means 16 % and 1.64
  mean 5 %, but for one epoch, and for a dozen rows or more that tell the models apart.

**`chance` keeps its promise in {held} of {cells} cells**, two standard errors of the simulation
allowed; a cell whose true share is just the promised one goes beyond that in one of 44 simulations.

The chance is that of one rung. It is also that of keeping any rung without a true gain on the whole staircase, however
many are allowed: the first such rung either is reverted, and the climb ends, or is the one kept by chance. That a
second one follows is rarer still (last column).
"""
HEAD = (
    "| metric | rows | tell models apart | epochs | `chance` 31 % | 16 % | 5 % | `standard_errors` 0.5 | 0.99 | 1.64 | "
    "two kept at 16 % |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
LIMITS = """Where the promise stops: it is about the choice of rows. That another seed trains another model is not in it
(`adaptation.controls.seeds` measures that), nor is that people choose rates and epochs on the same validation rows. The
test split, which no choice was made on, says what a gain is worth.
"""


@dataclass(frozen=True)
class Setting:
    """Validation rows, the share of them on which two models differ, epochs of a rung, and the metric."""

    rows: int
    apart: float
    epochs: int
    metric: str = "accuracy"


def settings() -> Iterator[Setting]:
    """What is simulated."""
    for rows, apart in ((150, 0.02), (450, 0.01), (450, 0.06), (1500, 0.04)):
        yield from (Setting(rows, apart, epochs) for epochs in (1, 10))
    yield Setting(450, 0.06, 4)
    yield Setting(450, 0.06, 10, "macro_f1")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400, help="simulated staircases per line")
    parser.add_argument("--write", type=Path, help="the page to write, docs/keeping_rungs.md")
    arguments = parser.parse_args()
    found = []
    for setting in settings():
        row = measure(setting, arguments.trials)
        write_row(benchmark="rungs kept without a true gain", trials=arguments.trials, **row)
        found.append(row)
    if arguments.write:
        arguments.write.write_text(page(found, arguments.trials), encoding="utf-8")


def measure(setting: Setting, trials: int) -> dict[str, Any]:
    """Shares of staircases without any true gain on which the first rung, and the first two, were kept."""
    rng, spec = np.random.default_rng(11), _spec(setting)
    rules = [(rule, chance) for rule in ("chance", "errors") for chance in CHANCES]
    one, two = dict.fromkeys(rules, 0), dict.fromkeys(rules, 0)
    for _ in range(trials):
        first, second = _decisions(spec, *_staircase(setting, rng))
        for rule in rules:
            one[rule] += _kept(first, *rule)
            two[rule] += _kept(first, *rule) and _kept(second, *rule)
    return {
        "metric": setting.metric,
        "rows": setting.rows,
        "apart": setting.apart,
        "epochs": setting.epochs,
        "kept": {f"{rule} {chance:g}": count / trials for (rule, chance), count in one.items()},
        "two kept": {f"{rule} {chance:g}": count / trials for (rule, chance), count in two.items()},
    }


def _spec(setting: Setting) -> TaskSpec:
    from playbook.spec import TaskSpec

    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    task["target"]["metric"] = setting.metric
    task["data"]["classes"] = {"a": "one", "b": "other"}
    task["adaptation"] |= {"keep": {"chance": 0.5}}
    task["evaluation"] = {"resamples": 500}
    return TaskSpec.model_validate(task)


def _kept(found: Decision, rule: str, chance: float) -> bool:
    """What `decide_rung` says under a rule, from the figures that it decided on."""
    from playbook.spec.adaptation import Keep

    if rule == "chance":
        return found.gain > 0 and found.chance <= chance
    return found.gain > 0 and found.gain >= Keep(chance=chance).errors_needed * found.error - 1e-9


def _staircase(setting: Setting, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[list[np.ndarray]]]:
    """Truth, what the frozen baseline has right, and what each rung has right after each of its epochs."""
    rows = setting.rows
    contested, common = rng.random(rows) < 2 * setting.apart, rng.random(rows) < RIGHT
    rungs, now = [], rng.random(rows) < 0.5
    for _ in range(RUNGS):
        now, epochs = rng.random(rows) < 0.5, []
        for _ in range(setting.epochs):
            epochs.append(np.where(contested, now, common))
            now = np.where(rng.random(rows) < MOVED, rng.random(rows) < 0.5, now)
        rungs.append(epochs)
    return rng.integers(0, 2, rows), np.where(contested, rng.random(rows) < 0.5, common), rungs


def _decisions(
    spec: TaskSpec, truth: np.ndarray, frozen: np.ndarray, rungs: list[list[np.ndarray]]
) -> tuple[Decision, Decision]:
    """On the first rung, and on a second one that stands on the first."""
    from playbook.adapt.staircase import decide_rung
    from playbook.statistics.metric import target_metric

    metric, found, stands_on = target_metric(spec), [], frozen
    for epochs in rungs:
        best = max(epochs, key=lambda right: metric.value(truth, np.where(right, truth, 1 - truth)))
        given = [_probabilities(truth, right) for right in epochs] if len(epochs) > 1 else []
        found.append(decide_rung(spec, _table(truth, stands_on), _table(truth, best), given))
        stands_on = best
    return found[0], found[1]


def _probabilities(truth: np.ndarray, right: np.ndarray) -> np.ndarray:
    second = np.where(truth == 1, right, ~right).astype(float)
    return np.stack([1 - second, second], axis=1)


def _table(truth: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    given = _probabilities(truth, right)
    return pd.DataFrame({"label": np.where(truth == 1, "b", "a"), "p_0": given[:, 0], "p_1": given[:, 1]})


def page(found: list[dict[str, Any]], trials: int) -> str:
    """The table as a page."""
    held = [
        row["kept"][f"chance {chance:g}"] <= chance + 2 * math.sqrt(chance / trials)
        for row in found
        for chance in CHANCES
    ]
    lines = [INTRODUCTION.format(trials=trials, held=sum(held), cells=len(held)), *HEAD]
    for row in found:
        shares = [
            f"{100 * row['kept'][f'{rule} {chance:g}']:.1f} %" for rule in ("chance", "errors") for chance in CHANCES
        ]
        cells = [
            row["metric"].replace("_", " "),
            f"{row['rows']:,}",
            f"{row['apart'] * row['rows']:.0f} rows",
            row["epochs"],
            *shares,
            f"{100 * row['two kept']['chance 0.16']:.1f} %",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", LIMITS]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
