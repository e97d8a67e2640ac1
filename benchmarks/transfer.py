"""Training from scratch at several learning rates, on validation rows of a slice of Banking77 or of a task's tables.

The default of `adaptation.controls.scratch_learning_rate` is chosen by this: a control with a poor rate would flatter
the candidate. Every training has the same steps; rows of a test split are not read.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from benchmarks.rows import TASK, write_row

if TYPE_CHECKING:
    import pandas as pd

    from playbook.spec import TaskSpec

RATES, HEAD_RATES = (1e-4, 2e-4, 5e-4, 1e-3), (1e-2,)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="Banking77's folder with train.csv")
    parser.add_argument(
        "--tables", type=Path, help="folder with train.parquet and validation.parquet of a task, instead"
    )
    parser.add_argument("--intents", type=int, default=10)
    parser.add_argument("--rows", type=int, default=600, help="training rows of the slice; 400 more are for validation")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--head-rates", type=float, nargs="+", default=HEAD_RATES)
    parser.add_argument("--weighting", default="none", choices=("none", "balanced"))
    arguments = parser.parse_args()
    train, validation = _tables(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        train.to_parquet(folder / "train.parquet")
        validation.to_parquet(folder / "validation.parquet")
        for head_rate in arguments.head_rates:
            for rate in arguments.rates:
                spec = _spec(sorted(train["label"].unique()), rate, head_rate, arguments.weighting)
                _measure(spec, folder, arguments.epochs)


def _tables(arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    if arguments.tables is not None:
        train, validation = (
            pd.read_parquet(arguments.tables / f"{split}.parquet") for split in ("train", "validation")
        )
        return train, validation
    rows = pd.read_csv(arguments.data / "train.csv", dtype=str)
    rows = rows[rows["category"].isin(sorted(rows["category"].unique())[: arguments.intents])]
    rows = rows.sample(frac=1, random_state=1).rename(columns={"category": "label"})
    rows.insert(0, "row_id", [f"B{number}" for number in range(len(rows))])
    return rows[: arguments.rows], rows[arguments.rows : arguments.rows + 400]


def _spec(labels: list[str], rate: float, head_rate: float, weighting: str) -> TaskSpec:
    """The tests' Banking77 task with these classes and rates, in batches of 32."""
    from playbook.spec import TaskSpec

    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    task["data"]["classes"] = {label: label for label in labels}
    rates = {"head_learning_rate": head_rate, "controls": {"scratch_learning_rate": rate}}
    task["adaptation"] |= {"batch_size": 32, "class_weighting": weighting, **rates}
    return TaskSpec.model_validate(task)


def _measure(spec: TaskSpec, folder: Path, epochs: int) -> None:
    from playbook.adapt.controls import Setting, train_scratch
    from playbook.adapt.rung import run_rung
    from playbook.bases.derive import random_weights
    from playbook.bases.locate import locate_base
    from playbook.bases.pin import pin_base

    base = locate_base(spec.base, str)
    drawn = random_weights(base, spec.adaptation.seed, folder / "bases")
    plan = spec.adaptation
    work = folder / f"{plan.controls.scratch_learning_rate:g}_{plan.head_learning_rate:g}"
    setting = Setting(spec, folder / "train.parquet", folder / "validation.parquet", folder / "cache", work)
    began = time.perf_counter()
    done = train_scratch(
        setting, pin_base(spec.base, base), drawn, epochs, lambda job: run_rung(job, lambda message: None)
    )
    write_row(
        benchmark="training from scratch",
        rate=plan.controls.scratch_learning_rate,
        head_rate=plan.head_learning_rate,
        steps=done.steps,
        epochs=done.epochs,
        validation=round(max(epoch.validation for epoch in done.curve), 4),
        validation_loss=round(min(epoch.validation_loss for epoch in done.curve), 4),
        seconds=round(time.perf_counter() - began, 1),
        hardware=done.hardware,
    )


if __name__ == "__main__":
    main()
