"""Whether the test split can answer, judged on the models' answers to validation; it stays closed meanwhile."""

from __future__ import annotations

import numpy as np

from assets.candidate import asset_of
from assets.play import Play
from assets.steps import Steps
from playbook.artifacts import FrozenBaseline, Rung
from playbook.evaluate.limit_rows import rows_for_limits
from playbook.evaluate.verdict import Resolution, needed_rows
from playbook.plays import FROZEN
from playbook.statistics.answers import Answers


def gain_resolution(play: Play, steps: Steps) -> Resolution | None:
    """Whether the test split can show a gain of the margin; None where there are no two models to compare."""
    if steps.choice.source == FROZEN:
        return None
    truth, first = _on_validation(play, steps.frozen)
    _, second = _on_validation(play, steps.model)
    return needed_rows(play.task.spec, truth, first, second, steps.dataset.class_rows["test"])


def limits_resolution(play: Play, steps: Steps) -> Resolution:
    """Whether every limit for which row counts say nothing can be judged there, whichever model is the candidate."""
    truth, answers = _on_validation(play, steps.model)
    return rows_for_limits(play.task.spec, truth, answers, steps.dataset.class_rows["test"])


def _on_validation(play: Play, model: FrozenBaseline | Rung) -> tuple[np.ndarray, Answers]:
    """True classes of validation, shape (rows,), and a model's answers as it would serve them."""
    import pandas as pd

    from playbook.adapt.staircase import served_answers

    table = pd.read_parquet(play.world.store.path(model, asset_of(model), "predictions"))
    return served_answers(table, play.task.spec)
