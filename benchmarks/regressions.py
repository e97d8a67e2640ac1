"""Does the regression budget block what it should: simulated test splits with a known net change.

Rows change sides independently, with known chances to be fixed and to be broken, so the true net is known. The rule of
`playbook.evaluate.regression` is applied with the defaults of the task file and, for the first table, with budgets of
zero. Beside it stands the share of evaluations that a budget on broken rows alone (5 % of all, 15 % of a class) blocks.

`python -m benchmarks.regressions --write docs/regressions.md`; a few minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.rows import write_row
from playbook.evaluate.regression import regression
from playbook.spec import TaskSpec

SIMULATIONS = 1000
LEAST_CLASS_ROWS = 20  # a budget on broken rows alone is asked only of classes with so many rows
SEED = 7


@dataclass(frozen=True)
class Setting:
    """Rows and classes of a split, and the chances of a row to be broken and to be fixed."""

    rows: int
    classes: int
    broken: float
    fixed: float
    class_broken: float | None = None  # of the first class, where it is hit alone


NO_HARM = [
    Setting(rows, classes, churn, churn)
    for rows, classes in ((200, 5), (663, 5), (3080, 77))
    for churn in (0.02, 0.05, 0.1)
]
HARM = [Setting(rows, 5, 0.03 + harm, 0.03) for rows in (200, 663, 3000) for harm in (0.02, 0.04, 0.08)]
ONE_CLASS = [Setting(rows, 5, 0.03, 0.05, 0.03 + harm) for rows in (200, 663, 3000) for harm in (0.1, 0.2, 0.3)]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file for the tables")
    arguments = parser.parse_args()
    tables = [
        ("Nothing is lost, net", "budgets of 0", NO_HARM, (0.0, 0.0)),
        ("All rows lose, net", "default budgets", HARM, None),
        ("One class loses, the others gain", "default budgets", ONE_CLASS, None),
    ]
    parts = [f"# What the regression budget blocks\n\n{__doc__.partition('`python')[0].strip()}"]
    for title, note, settings, budgets in tables:
        head = (
            "| rows | classes | broken | fixed | broken of the first class | blocked | blocked by broken rows alone |"
        )
        lines = [f"## {title} ({note})", "", head, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        for setting in settings:
            rule, churn = simulate(setting, budgets)
            write_row(benchmark="regressions", table=title, **setting.__dict__, blocked=rule, by_broken_alone=churn)
            own = "" if setting.class_broken is None else f"{setting.class_broken:.0%}"
            lines.append(
                f"| {setting.rows:,} | {setting.classes} | {setting.broken:.0%} | {setting.fixed:.0%} | {own} "
                f"| {rule:.1%} | {churn:.1%} |"
            )
        parts.append("\n".join(lines))
    parts.append(
        "What is not blocked is not shown to be harmless: on a small split the loss of one class is seldom shown, as "
        f"the last table says.\n\n{SIMULATIONS:,} simulated splits per row of the tables, seed {SEED}."
    )
    if arguments.write:
        arguments.write.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def simulate(setting: Setting, budgets: tuple[float, float] | None) -> tuple[float, float]:
    """Share of simulated splits that the rule blocks, and that a budget on broken rows alone would."""
    random, spec = np.random.default_rng(SEED), task(setting.classes, budgets)
    by_rule = by_churn = 0
    for _ in range(SIMULATIONS):
        truth = random.integers(0, setting.classes, setting.rows)
        lost = np.full(setting.rows, setting.broken)
        if setting.class_broken is not None:
            lost[truth == 0] = setting.class_broken
        draw = random.random(setting.rows)
        broken, fixed = draw < lost, (draw >= lost) & (draw < lost + setting.fixed)
        wrong = (truth + 1) % setting.classes
        by_rule += not regression(spec, truth, np.where(fixed, wrong, truth), np.where(broken, wrong, truth)).passed
        by_churn += over_churn(truth, broken, setting.classes)
    return by_rule / SIMULATIONS, by_churn / SIMULATIONS


def over_churn(truth: np.ndarray, broken: np.ndarray, classes: int) -> bool:
    """Whether more than 5 % of all rows are broken, or 15 % of a class."""
    counts, lost = (np.bincount(truth[part], minlength=classes) for part in (np.ones(len(truth), bool), broken))
    large = counts >= LEAST_CLASS_ROWS
    return bool(broken.mean() > 0.05 or (lost[large] > 0.15 * counts[large]).any())


def task(classes: int, budgets: tuple[float, float] | None) -> TaskSpec:
    """A task with so many classes; `budgets` are `share` and `share_of_class`, the defaults where None."""
    rules = {} if budgets is None else {"regression": dict(zip(("share", "share_of_class"), budgets, strict=True))}
    return TaskSpec.model_validate(
        {
            "task": "simulated",
            "question": "Which class does a row belong to?",
            "target": {"metric": "accuracy", "at_least": 0.5, "margin": 0.02},
            "owners": dict.fromkeys(("model", "data", "sign_off"), "team:simulation"),
            "data": {
                "source": {"path": "rows.csv"},
                "columns": {"text": "text", "label": "label"},
                "classes": {f"c{at:02d}": "a class" for at in range(classes)},
            },
            "base": {"folder": "base", "sha256": "0" * 64, "licence": "MIT"},
            "evaluation": rules,
        }
    )


if __name__ == "__main__":
    main()
