"""Temperature and operating point of every model whose answers to the test split are scored, fitted on validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assets.candidate import asset_of
from assets.play import Play
from assets.steps import Steps
from playbook.artifacts import OperatingPoint, ServedRules
from playbook.evaluate.as_served import AsServed, as_served, operating_point, served_under
from playbook.plays import CONTROLS
from playbook.spec import TaskSpec

if TYPE_CHECKING:
    from assets.test_answers import Answered

CHAMPION = "champion"


def served_by(play: Play, steps: Steps, answered: Answered, work: Path) -> dict[str, AsServed]:
    """What makes served answers of each model's probabilities, by the model's name.

    The task's own models have answered validation already; what suits references there was found when they were
    fitted. The champion has rules of its own.
    """
    spec, found = play.task.spec, {}
    for name in answered.answers:
        kept = _kept(play, steps, name)
        if kept is not None:
            found[name] = as_served(spec, *validation_table(play, kept))
        elif name == CHAMPION:
            found[name] = champion_served(play, answered.champion_version, work)
        elif name in steps.references.served:
            found[name] = served_under(steps.references.served[name], spec.labels)
    return found


def point_of(play: Play, steps: Steps, shown: str) -> OperatingPoint | None:
    """The operating point of the shown model with its uncertainty; None where the task has none."""
    kept = _kept(play, steps, shown)
    return None if kept is None else operating_point(play.task.spec, *validation_table(play, kept))


def _kept(play: Play, steps: Steps, name: str) -> Path | None:
    """Where a model's answers to validation are, if they were kept."""
    store = play.world.store
    if name in ("baseline", "candidate"):
        model = steps.frozen if name == "baseline" else steps.model
        return store.path(model, asset_of(model), "predictions")
    role = f"predictions_{name}"
    return store.path(steps.controls, CONTROLS, role) if role in steps.controls.files else None


def validation_table(play: Play, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """True classes (rows,) and probabilities as trained (rows, classes) of a predictions file."""
    import pandas as pd

    from playbook.adapt.staircase import read_answers

    labels, table = play.task.spec.labels, pd.read_parquet(path)
    truth, _ = read_answers(table, labels)
    return truth, table[[f"p_{place}" for place in range(len(labels))]].to_numpy()


def champion_served(play: Play, version: str, work: Path) -> AsServed:
    """What a registered version serves."""
    spec, registry = play.task.spec, play.world.registry
    return bundle_served(registry.fetch_bundle(registry.find(spec.task, version), work / f"rules-{CHAMPION}"), spec)


def bundle_served(bundle: Path, spec: TaskSpec) -> AsServed:
    """What a bundle serves: it calibrates by itself, and has its threshold, if it has one, in its rules."""
    from playbook.operate.answering import load_rules

    rules = load_rules(bundle)
    return served_under(ServedRules(of_class=rules.of_class, decide_from=rules.decide_from), spec.labels)
