"""Limits on the model itself, measured for evaluation and for the package."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from assets.candidate import write_bundle
from assets.play import Play
from assets.steps import Steps
from playbook.artifacts import DatasetVersion, FrozenBaseline, Rung, Score
from playbook.data.tables import TEXT
from playbook.plays import DATASET, FROZEN


def measured_budgets(play: Play, steps: Steps, work: Path) -> dict[str, dict[str, Score]]:
    """What the limits on the model come to for `baseline` and `candidate`; empty where the task file has none."""
    if not play.task.spec.target.budgets:
        return {}
    models: dict[str, FrozenBaseline | Rung] = {"baseline": steps.frozen}
    if steps.choice.source != FROZEN:
        models["candidate"] = steps.model
    return {name: measured_model(play, steps.dataset, name, model, work) for name, model in models.items()}


def measured_model(
    play: Play, dataset: DatasetVersion, name: str, model: FrozenBaseline | Rung, work: Path
) -> dict[str, Score]:
    """What the limits on the model come to for one of the staircase; empty where the task file has none."""
    from playbook.evaluate.budgets import measure_budgets

    if not play.task.spec.target.budgets:
        return {}
    folder = write_bundle(play, model, work / f"budget-{name}")
    found = measure_budgets(play.task.spec, folder, validation_texts(play, dataset))
    shutil.rmtree(folder)
    said = ", ".join(f"{label} {score.value:g}" for label, score in found.items())
    play.report(f"{name} in a clean process: {said}")
    return found


def require_budgets(play: Play, dataset: DatasetVersion, folder: Path) -> Mapping[str, Score]:
    """Refuse a package that misses a limit on the model; what was measured.

    Raises:
        dagster.Failure: with figure, limit and remedy; a retry would not help and is not made.
    """
    from playbook.evaluate.budgets import measure_budgets, over_budget

    spec = play.task.spec
    found = measure_budgets(spec, folder, validation_texts(play, dataset))
    missed = over_budget(spec.target.budgets, found)
    if missed:
        raise dg.Failure(f"not packaged, the packaged model is over a limit: {'; '.join(missed)}", allow_retries=False)
    return found


def validation_texts(play: Play, dataset: DatasetVersion) -> list[str]:
    """Texts to time calls with."""
    import pandas as pd

    texts: list[str] = pd.read_parquet(play.world.store.path(dataset, DATASET, "validation"))[TEXT].tolist()
    return texts
