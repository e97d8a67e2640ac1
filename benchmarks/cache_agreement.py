"""Training with and without the activations cache on Banking77: the same rungs, the same answers, different seconds."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import banking_task, run_task, write_row
from playbook.settings import settings
from playbook.taskfile import load_task


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and test.csv")
    parser.add_argument("--rungs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        runs = {}
        for cached in (True, False):
            name = "cached" if cached else "uncached"
            options = {"max_rungs": arguments.rungs, "cache_activations": cached}
            task = banking_task(arguments.data, Path(scratch), name, **options)
            status, seconds = run_task(task, home)
            runs[name] = (status, seconds, answers(task, home, status["candidate"]))
        compare(runs)


def answers(task: Path, home: Path, source: str) -> Any:
    """Validation predictions of the candidate, one class number per row."""
    import pandas as pd

    from playbook.adapt.staircase import read_answers
    from playbook.plays import asset_kinds
    from playbook.store import Store

    spec = load_task(task).spec
    store = Store(str(home / "store"), settings().home / "cache")
    artifact = store.current(spec.task, source, asset_kinds(spec)[source])
    return read_answers(pd.read_parquet(store.path(artifact, source, "predictions")), spec.labels)[1]


def compare(runs: dict[str, tuple[dict[str, Any], float, Any]]) -> None:
    """Write the row that holds both runs against each other."""
    (cached, quick, first), (uncached, slow, second) = runs["cached"], runs["uncached"]
    write_row(
        benchmark="activations cache against recomputing, Banking77",
        kept_cached=[rung["unfrozen"] for rung in cached["rungs"] if rung["kept"]],
        kept_uncached=[rung["unfrozen"] for rung in uncached["rungs"] if rung["kept"]],
        equal_predictions=float((first == second).mean()),
        rows=len(first),
        training_seconds_cached=cached["seconds"]["training"],
        training_seconds_uncached=uncached["seconds"]["training"],
        ratio=round(uncached["seconds"]["training"] / cached["seconds"]["training"], 2),
        wall_seconds=[round(quick, 1), round(slow, 1)],
    )


if __name__ == "__main__":
    main()
