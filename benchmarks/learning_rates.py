"""Learning rates of scratch and of rungs, each at its best on validation: is 10 to 100 times lower as good (4.3)?

Three problems: a slice of Banking77, the sample tickets, and snippets of film reviews with the sign of a human rating
(Hutto and Gilbert, ICWSM 2014; `additional_resources` of the source package vaderSentiment, which is not part of this
project). For each: training from random weights at several rates, then the staircase at several rates of the topmost
block. Every figure is of validation rows; no row of a test split is read. One JSON row per training.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.rows import ROOT, TASK, write_row

if TYPE_CHECKING:
    import pandas as pd

    from playbook.adapt.controls import Setting
    from playbook.artifacts import BasePin
    from playbook.spec import TaskSpec

SCRATCH_RATES = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)
RATES = (1e-3, 3e-4, 1e-4, 5e-5, 2e-5, 5e-6)
RUNGS, SHUFFLED = 2, 1  # rungs tried at most; the seed that draws rows of a slice


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and to measure on: `row_id`, `text`, `label`."""

    name: str
    train: pd.DataFrame
    validation: pd.DataFrame


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--banking", type=Path, help="Banking77's folder with train.csv")
    parser.add_argument("--tickets", action="store_true", help="the sample task, from its own file")
    parser.add_argument("--snippets", type=Path, help="movieReviewSnippets_GroundTruth.txt")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    parser.add_argument("--head-rates", type=float, nargs="*", default=(1e-2,))
    parser.add_argument("--scratch-rates", type=float, nargs="*", default=SCRATCH_RATES)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--scratch-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=(13,))
    parser.add_argument("--work", type=Path, help="folder for trainings and caches, taken up again in a later call")
    arguments = parser.parse_args()
    for problem in problems(arguments):
        with tempfile.TemporaryDirectory() as folder:
            place = (arguments.work or Path(folder)) / problem.name.replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            measure(problem, place, arguments)


def problems(arguments: argparse.Namespace) -> Iterator[Problem]:
    """The problems that were asked for."""
    if arguments.banking:
        yield banking(arguments.banking)
    if arguments.tickets:
        yield tickets()
    if arguments.snippets:
        yield snippets(arguments.snippets)


def banking(folder: Path, rows: int = 1000, held_out: int = 1500) -> Problem:
    """The intents of Banking77's training file that are about cards, which are easily confused."""
    import pandas as pd

    table = pd.read_csv(folder / "train.csv", dtype=str).rename(columns={"category": "label"})
    return _drawn("Banking77, cards", table[table["label"].str.contains("card")], rows, held_out)


def snippets(file: Path, rows: int = 1200, held_out: int = 1500) -> Problem:
    """Snippets of film reviews, rated by people from -4 to 4; those between -0.5 and 0.5 are left out."""
    import pandas as pd

    table = pd.read_csv(file, sep="\t", names=["row", "rating", "text"], quoting=3, encoding="latin-1")
    table = table[table["rating"].abs() > 0.5]
    table["label"] = ["positive" if rating > 0 else "negative" for rating in table["rating"]]
    return _drawn("film reviews", table[["text", "label"]], rows, held_out)


def tickets() -> Problem:
    """Train and validation of the sample task, as its data play prepares them."""
    import pandas as pd

    from playbook.data.prepare import prepare
    from playbook.taskfile import load_task

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "prepared"
        prepare(load_task(ROOT / "pipelines" / "tasks" / "tickets.yaml"), out)
        tables = [pd.read_parquet(out / f"{split}.parquet") for split in ("train", "validation")]
    return Problem("sample tickets", *tables)


def _drawn(name: str, table: pd.DataFrame, rows: int, held_out: int) -> Problem:
    table = table.drop_duplicates("text").sample(frac=1, random_state=SHUFFLED)
    table.insert(0, "row_id", [f"R{number}" for number in range(len(table))])
    return Problem(name, table[:rows], table[rows : rows + held_out])


def measure(problem: Problem, folder: Path, arguments: argparse.Namespace) -> None:
    """All trainings of one problem."""
    from playbook.bases.locate import locate_base
    from playbook.bases.pin import pin_base

    problem.train.to_parquet(folder / "train.parquet")
    problem.validation.to_parquet(folder / "validation.parquet")
    for seed in arguments.seeds:
        spec = _spec(problem, {"seed": seed, "epochs": arguments.epochs, "patience": arguments.patience})
        base = locate_base(spec.base, str)
        pin = pin_base(spec.base, base)
        for rate in arguments.scratch_rates:
            _scratch(problem, spec, _with(spec, controls={"scratch_learning_rate": rate}), pin, base, folder, arguments)
        for head_rate in arguments.head_rates:
            for rate in arguments.rates:
                changed = _with(spec, learning_rate=rate, head_learning_rate=head_rate)
                _climb(problem, changed, pin, base, folder)


def _spec(problem: Problem, plan: dict[str, Any]) -> TaskSpec:
    """The tests' Banking77 task with the classes of a problem; class weights as the sample task has them."""
    from playbook.spec import TaskSpec

    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    task["data"]["classes"] = {label: label for label in sorted(problem.train["label"].unique())}
    weighting = "balanced" if problem.name == "sample tickets" else "none"
    plan = {"batch_size": 32, "label_smoothing": 0.1, "class_weighting": weighting, **plan}
    task["adaptation"] = {**plan, "keep": {"standard_errors": 0.5}}  # as the sample task: a small gain is climbed on
    return TaskSpec.model_validate(task)


def _with(spec: TaskSpec, **plan: Any) -> TaskSpec:
    document = spec.adaptation.model_dump() | plan
    return spec.model_copy(update={"adaptation": type(spec.adaptation).model_validate(document)})


def _setting(spec: TaskSpec, folder: Path, work: str) -> Setting:
    from playbook.adapt.controls import Setting

    return Setting(spec, folder / "train.parquet", folder / "validation.parquet", folder / "cache", folder / work)


def _scratch(
    problem: Problem,
    plain: TaskSpec,
    spec: TaskSpec,
    pin: BasePin,
    base: Path,
    folder: Path,
    arguments: argparse.Namespace,
) -> None:
    from playbook.adapt.controls import train_scratch
    from playbook.adapt.rung import run_rung
    from playbook.bases.derive import random_weights

    rate, seed = spec.adaptation.controls.scratch_learning_rate, plain.adaptation.seed
    drawn = random_weights(base, seed, folder / "bases")
    setting = _setting(spec, folder, f"scratch_{rate:g}_{seed}")
    began = time.perf_counter()
    done = train_scratch(setting, pin, drawn, arguments.scratch_epochs, lambda job: run_rung(job, _silent))
    _write(problem, "scratch", spec, done.curve, began, arguments.scratch_epochs, rate=rate)


def _climb(problem: Problem, spec: TaskSpec, pin: BasePin, base: Path, folder: Path) -> None:
    """The staircase: each rung from the last one kept, until one is reverted."""
    import pandas as pd

    from playbook.adapt.frozen import FrozenJob, boundaries_of, train_frozen
    from playbook.adapt.job import Job
    from playbook.adapt.results import read_epochs
    from playbook.adapt.rung import run_rung
    from playbook.adapt.staircase import decide_rung

    plan = spec.adaptation
    setting = _setting(
        spec, folder, f"{plan.learning_rate:g}_{plan.head_learning_rate:g}_{plan.epochs}_{plan.patience}_{plan.seed}"
    )
    shared: dict[str, Any] = {
        "base_folder": base,
        "pin": pin,
        "labels": spec.labels,
        "train": setting.train,
        "validation": setting.validation,
        "boundaries": boundaries_of(pin.blocks, RUNGS),
        "metric": spec.target.all_limits[0],
        "adaptation": plan,
        "cache": setting.cache,
    }
    frozen = FrozenJob(out=folder / "frozen", **shared)
    if not (frozen.out / "weights.safetensors").exists():
        found = train_frozen(frozen, _silent)
        figure = round(float((found.truth == found.answers.classes).mean()), 4)
        print(json.dumps({"problem": problem.name, "what": "frozen", "validation": figure}), flush=True)
    stands_on = frozen.out
    for index in range(1, RUNGS + 1):
        began = time.perf_counter()
        job = Job(
            task="rates",
            start=stands_on / "weights.safetensors",
            unfrozen=index,
            out=setting.work / f"rung_{index}",
            **shared,
        )
        curve = run_rung(job, _silent).curve
        before, after = (pd.read_parquet(place / "predictions.parquet") for place in (stands_on, job.out))
        decision = decide_rung(spec, before, after, read_epochs(job.out))
        figures = {"gain": round(decision.gain, 4), "error": round(decision.error, 4), "kept": decision.kept}
        rates = {"rate": plan.learning_rate, "head_rate": plan.head_learning_rate}
        _write(problem, f"rung_{index}", spec, curve, began, plan.epochs, **rates, **figures)
        if not decision.kept:
            break
        stands_on = job.out


def _write(
    problem: Problem, what: str, spec: TaskSpec, curve: Sequence[Any], began: float, allowed: int, **figures: Any
) -> None:
    from playbook.adapt.curve import best_epoch

    best = best_epoch(curve)
    write_row(
        benchmark="learning rates",
        problem=problem.name,
        what=what,
        **figures,
        seed=spec.adaptation.seed,
        validation=round(curve[best].validation, 4),
        validation_loss=round(curve[best].validation_loss, 4),
        best_epoch=best + 1,
        epochs=len(curve),
        allowed=allowed,
        patience=spec.adaptation.patience,
        curve=[[round(figure, 4) for figure in (e.train_loss, e.validation_loss, e.validation)] for e in curve],
        seconds=round(time.perf_counter() - began, 1),
        threads=os.environ.get("PLAYBOOK_THREADS", "all"),
    )


def _silent(message: str) -> None:
    """Report nothing."""


if __name__ == "__main__":
    main()
