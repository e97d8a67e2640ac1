"""What production will be held against: figures of validation and test rows, kept while the test split is open."""

from __future__ import annotations

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

    from playbook.operate.reference import Reference


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
    texts = [redactor.text(text) for text in [*validation[TEXT], *frame[TEXT]]]
    reference = Reference(
        figures=row_figures(texts, FeatureExtractor(base_folder(play, pin), pin, spec.adaptation)),
        # As the bundle will say them, which divides by the same temperature: the log's rows need no further one.
        probabilities=_float32(scaled(np.concatenate([known, answers.probabilities[shown]]), temperature)),
        truth=np.concatenate([truth, class_numbers(spec.labels, frame)]).astype(np.int32),
        labels=spec.labels,
        base_name=pin.title,
        base_sha256=pin.weights_sha256,
        held_out=_on_test(play, done, shown),
        threshold=answers.served[shown].threshold,
    )
    kept = _of_today(play, reference, pd.concat([validation, frame], ignore_index=True))
    return {"reference": save_reference(kept, work / REFERENCE)}


def _on_test(play: Play, done: Evaluation, shown: str) -> Score | None:
    side = done.candidate if shown == "candidate" else done.baseline
    return side.scores.get(play.task.spec.target.label) if side is not None else None


def _of_today(play: Play, reference: Reference, rows: pd.DataFrame) -> Reference:
    """The reference's newest rows up to the last change, where production has added to the data; else all."""
    from playbook.data.accumulated import read_accumulated
    from playbook.operate.recent import newest_alike

    added = read_accumulated(play.task)
    name = play.task.spec.data.columns.id
    known = set(added[name].astype(str)) if added is not None and name in added else set()
    late = rows[ROW_ID].astype(str).isin(known)
    if not late.any():
        return reference
    came = rows.assign(late=late).sort_values(["late", TIME], kind="stable")  # production comes after
    ordered = reference.take(came.index.to_numpy())
    times = [f"{added} {time}" for added, time in zip(came["late"], came[TIME], strict=True)]
    newest = newest_alike(ordered, times, play.task.spec.adaptation.seed)
    play.report(f"the reference of drift: the newest {len(newest)} of {len(reference)} held-out rows")
    return ordered.take(newest)


def _float32(table: Any) -> Any:
    return np.ascontiguousarray(table, dtype=np.float32)
