"""Play 5 in a retraining round: the model that serves, beside what would take its place (6.6)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from assets.candidate import asset_of
from assets.champion_answers import champion_on_validation
from assets.incumbent import DATASET_TAG, base_out
from assets.play import Play
from assets.served import champion_served
from assets.steps import Steps
from assets.test_answers import CHAMPION, Answered, champion_beside
from playbook.artifacts import Evaluation, Trigger
from playbook.data.tables import LABEL, ROW_ID
from playbook.operate.definition import asked_by_change, define, read_definition
from playbook.operate.rounds import asked_by
from resources.release import TAGS

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from playbook.evaluate.verdict import Resolution
    from resources.registry import Registered


@dataclass(frozen=True)
class Round:
    """The version that serves while a dataset version is judged, and what its rounds were asked for."""

    incumbent: Registered
    asked_by: tuple[Trigger, ...]
    base_out: str  # why the task no longer uses the base of the incumbent; empty where it does


def round_of(play: Play, steps: Steps) -> Round | None:
    """The round that this evaluation decides; None where nothing serves that it would replace."""
    own = [model for model in (steps.model, steps.frozen) if model.files]  # none where plays before were skipped
    at = champion_beside(play, steps.dataset, own)
    if at is None:
        return None
    spec = play.task.spec
    fired = asked_by(play.world.decision_log(spec.task).entries(), at.version, spec.package.alias)
    changed = asked_by_change(read_definition(at.tags.get(TAGS["definition"], "")), define(play.task))
    asked = tuple(trigger for trigger in get_args(Trigger) if trigger in {*fired, *changed})
    return Round(at, asked, base_out(play, steps.base, at))


def round_inputs(play: Play, current: Round) -> dict[str, Any]:
    """What a round's verdict depends on beside the answers of the task's own models."""
    from playbook.evaluate.round_verdict import FIXABLE, round_margin, round_tolerance

    spec = play.task.spec
    return {
        "incumbent": current.incumbent.bundle_sha256,
        "asked_by": [trigger for trigger in current.asked_by if trigger in FIXABLE],
        "base_out": bool(current.base_out),  # the reason carries measured times
        "rules": [round_margin(spec), round_tolerance(spec)],
    }


def round_resolution(play: Play, steps: Steps, current: Round) -> Resolution:
    """Whether the test split can decide the round, judged on validation; the split stays closed."""
    import pandas as pd

    from playbook.adapt.staircase import served_answers
    from playbook.evaluate.round_verdict import may_fix, rows_for_round

    store = play.world.store
    table = pd.read_parquet(store.path(steps.model, asset_of(steps.model), "predictions"))
    served = champion_on_validation(play, steps.dataset, current.incumbent)
    truth, contender = served_answers(table, play.task.spec)
    with tempfile.TemporaryDirectory(prefix="rules-") as scratch:
        incumbent = champion_served(play, current.incumbent.version, Path(scratch)).answers(served)
    fixes = may_fix(
        current.asked_by,
        base_out=bool(current.base_out),
        new_classes=not served.any(axis=0).all(),  # `answers_under` gives a class that a model does not know no share
        new_rows=new_rows(play, steps.dataset.dataset_hash, current.incumbent.version),
    )
    rows = steps.dataset.class_rows["test"]
    return rows_for_round(play.task.spec, truth, incumbent, contender, rows, fixes=fixes)


def judge_round(play: Play, steps: Steps, current: Round, answered: Answered, done: Evaluation) -> Evaluation:
    """The evaluation with the verdict of the round: what serves stays, or what takes its place."""
    from playbook.evaluate.compare import describe_side
    from playbook.evaluate.round_verdict import Serving, decide_round
    from playbook.evaluate.verdict import name_failing

    spec, frame = play.task.spec, answered.frame
    number = {label: place for place, label in enumerate(spec.labels)}
    truth = frame[LABEL].map(number).to_numpy(np.int64)
    served = answered.given[CHAMPION]
    serving = Serving(
        version=current.incumbent.version,
        answers=served,
        side=describe_side(spec, truth, served),
        known=answered.answers[CHAMPION].known,
        old=old_rows(play, frame, current.incumbent.version),
        asked_by=current.asked_by,
        base_out=current.base_out,
    )
    sides = {name: side for name, side in (("baseline", done.baseline), ("candidate", done.candidate)) if side}
    answers = {name: answered.given[name] for name in sides}
    verdict, found = decide_round(spec, serving, truth, answers, sides)
    shown = sides["baseline" if found.ship == "baseline" or "candidate" not in sides else "candidate"]
    said = {"verdict": name_failing(verdict.text, shown), "next_steps": verdict.next_steps}
    return done.model_copy(update={"ship": verdict.ship, "round": found, **said})


def refuse_round_of(play: Play, current: Round, resolution: Resolution, done: Evaluation) -> Evaluation:
    """The evaluation of a round whose test split is too small: it is not opened for it, and what serves stays."""
    from playbook.evaluate.round_verdict import refuse_round

    verdict, found = refuse_round(play.task.spec, current.incumbent.version, resolution, done.openings)
    said = {"ship": verdict.ship, "verdict": verdict.text, "next_steps": verdict.next_steps}
    return done.model_copy(update={**said, "round": found})


def old_rows(play: Play, frame: pd.DataFrame, version: str) -> npt.NDArray[np.bool_] | None:
    """Which test rows were in the own test split of a version, shape (rows,); None where that is not known."""
    ids = _own_test_ids(play, version)
    return frame[ROW_ID].isin(ids).to_numpy(bool) if ids is not None else None


def new_rows(play: Play, dataset_hash: str, version: str) -> int:
    """How many test rows were not in the own test split of a version; 0 where that is not known.

    Ids alone are compared, in DVC's cache: the split stays closed.
    """
    before = _own_test_ids(play, version)
    now = play.world.datasets.test_ids(play.task, dataset_hash) if before is not None else None
    return len(now - before) if now is not None and before is not None else 0


def _own_test_ids(play: Play, version: str) -> frozenset[str] | None:
    world, task = play.world, play.task
    served = next((one for one in world.registry.versions(task.spec.task) if one.version == version), None)
    data = served.tags.get(DATASET_TAG, "") if served else ""
    return world.datasets.test_ids(task, data) if data else None
