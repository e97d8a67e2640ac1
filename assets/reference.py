"""What production will be held against: figures of validation and test rows, kept while the test split is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.base import base_folder
from assets.examination import class_numbers, validation_answers
from assets.play import Play
from assets.steps import Steps
from assets.test_answers import Answered
from playbook.artifacts import Evaluation, Score
from playbook.data.tables import ROW_ID, TEXT, TIME
from playbook.operate.reference import LEAST_ROWS, REFERENCE
from playbook.plays import DATASET

if TYPE_CHECKING:
    import pandas as pd

    from playbook.operate.figures import RowFigures
    from playbook.operate.reference import Reference

SOURCE, PRODUCTION = "1", "2"  # where a row came from, before its time


def write_reference(play: Play, steps: Steps, done: Evaluation, answers: Answered, work: Path) -> dict[str, Path]:
    """The reference of the model that would ship, under its role; nothing where there are too few rows for one.

    Texts are redacted as the prediction log redacts them, so that a window's rows are compared with their like. After a
    round it is the newest held-out rows, as far back as nothing changed: what production looked like when the model
    learned from it (`playbook.operate.recent`).
    """
    import pandas as pd

    from playbook.adapt.features import FeatureExtractor
    from playbook.evaluate.calibration import fit_temperature, scaled
    from playbook.evaluate.report_content import shown_name
    from playbook.operate.figures import row_figures
    from playbook.operate.redaction import Redactor
    from playbook.operate.reference import Reference, save_reference

    spec, pin, frame = play.task.spec, steps.frozen.pin, answers.frame
    shown = shown_name(done)
    model = steps.model if shown == "candidate" else steps.frozen
    pin = model.pin or pin
    validation = pd.read_parquet(play.world.store.path(steps.dataset, DATASET, "validation"))
    if pin is None or len(validation) + len(frame) < LEAST_ROWS:
        return {}
    truth, known = validation_answers(play, steps, shown)
    temperature = done.calibration.temperature if done.calibration else fit_temperature(truth, known)
    redactor = Redactor(spec.serving.redact, spec.data.columns.text)
    extractor = FeatureExtractor(base_folder(play, pin), pin, spec.adaptation)

    def figures_of(texts: Sequence[str]) -> RowFigures:
        return row_figures([redactor.text(text) for text in texts], extractor)

    reference = Reference(
        figures=figures_of([*validation[TEXT], *frame[TEXT]]),
        # As the bundle will say them, which divides by the same temperature: the log's rows need no further one.
        probabilities=_float32(scaled(np.concatenate([known, answers.probabilities[shown]]), temperature)),
        truth=np.concatenate([truth, class_numbers(spec.labels, frame)]).astype(np.int32),
        labels=spec.labels,
        base_name=pin.title,
        base_sha256=pin.weights_sha256,
        held_out=_on_test(play, done, shown),
        threshold=answers.served[shown].threshold,
    )
    held_out = pd.concat([validation, frame], ignore_index=True)
    kept = _of_today(play, steps, reference, held_out, figures_of)
    return {"reference": save_reference(kept, work / REFERENCE)}


def _on_test(play: Play, done: Evaluation, shown: str) -> Score | None:
    side = done.candidate if shown == "candidate" else done.baseline
    return side.scores.get(play.task.spec.target.label) if side is not None else None


def _of_today(
    play: Play,
    steps: Steps,
    reference: Reference,
    held_out: pd.DataFrame,
    figures_of: Callable[[Sequence[str]], RowFigures],
) -> Reference:
    """The held-out rows after the last change, in order, where production has added to the data; else all."""
    import pandas as pd

    from playbook.data.accumulated import read_accumulated
    from playbook.operate.recent import last_change, looked_at

    added, spec = read_accumulated(play.task), play.task.spec
    name = spec.data.columns.id
    known = set(added.rows[name].astype(str)) if added is not None and name in added.rows else set()
    came = _came(held_out, known)
    if not any(time.startswith(PRODUCTION) for time in came):
        return reference
    train = pd.read_parquet(play.world.store.path(steps.dataset, DATASET, "train"))
    every = pd.concat([train, held_out], ignore_index=True)
    every = every.assign(came=_came(every, known)).sort_values("came", kind="stable")
    every = every.iloc[looked_at(len(every), spec.adaptation.seed)]
    since = last_change(figures_of(every[TEXT].tolist()), every["came"].tolist(), spec.adaptation.seed)
    order = np.argsort(came, kind="stable")
    kept = order[-max(LEAST_ROWS, sum(time >= (since or "") for time in came)) :]
    play.report(f"the reference of drift: the newest {len(kept)} of {len(reference)} held-out rows")
    return reference.take(kept)


def _came(rows: pd.DataFrame, added: set[str]) -> list[str]:
    """When each row came, in a form that sorts: what production added comes after the source."""
    late = rows[ROW_ID].astype(str).isin(added)
    return [f"{PRODUCTION if new else SOURCE} {time}" for new, time in zip(late, rows[TIME], strict=True)]


def _float32(table: Any) -> Any:
    return np.ascontiguousarray(table, dtype=np.float32)
