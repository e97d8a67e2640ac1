"""What production will be held against: figures of validation and test rows, kept while the test split is open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.base import base_folder
from assets.examination import class_numbers, validation_answers
from assets.play import Play
from assets.steps import Steps
from assets.test_answers import TestAnswers
from playbook.artifacts import Evaluation
from playbook.data.tables import TEXT
from playbook.operate.reference import LEAST_ROWS, REFERENCE
from playbook.plays import DATASET

if TYPE_CHECKING:
    import pandas as pd


def write_reference(
    play: Play, steps: Steps, done: Evaluation, frame: pd.DataFrame, answers: TestAnswers, work: Path
) -> dict[str, Path]:
    """The reference of the model that would ship, under its role; nothing where there are too few rows for one.

    Texts are redacted as the prediction log redacts them, so that a window's rows are compared with their like.
    """
    import pandas as pd

    from playbook.adapt.features import FeatureExtractor
    from playbook.evaluate.calibration import fit_temperature, scaled
    from playbook.evaluate.report_content import shown_name
    from playbook.operate.figures import row_figures
    from playbook.operate.redaction import Redactor
    from playbook.operate.reference import Reference, save_reference

    spec, pin = play.task.spec, steps.frozen.pin
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
    )
    return {"reference": save_reference(reference, work / REFERENCE)}


def _float32(table: Any) -> Any:
    return np.ascontiguousarray(table, dtype=np.float32)
