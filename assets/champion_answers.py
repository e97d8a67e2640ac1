"""What the model that serves answers to validation: asked once, by whichever play of a round needs it first (6.6)."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assets.code_versions import version_of
from assets.play import Made, Play, remembered
from assets.test_answers import champion_model
from playbook.artifacts import DatasetVersion, IncumbentAnswers
from playbook.data.tables import TEXT
from playbook.plays import DATASET

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from resources.registry import Registered

INCUMBENT_ANSWERS = "incumbent_answers"  # where the store keeps them
ANSWERS = "answers"  # role of the table


def champion_on_validation(play: Play, dataset: DatasetVersion, at: Registered) -> npt.NDArray[np.floating]:
    """Probabilities of a registered version on validation, (rows, classes) in the task's order; kept once computed.

    A class that the version does not know has probability 0 (`answers_under`).
    """
    import pandas as pd

    from playbook.evaluate.incumbent import answers_under

    labels, store = play.task.spec.labels, play.world.store
    columns = [f"p_{place}" for place in range(len(labels))]
    own = replace(play, asset=INCUMBENT_ANSWERS)

    def make(key: str) -> Made:
        play.report(f"validation: champion {at.version}")
        texts = pd.read_parquet(store.path(dataset, DATASET, "validation"))[TEXT].tolist()
        with tempfile.TemporaryDirectory(prefix="incumbent-") as scratch:
            loaded = champion_model(play, at).load(Path(scratch) / "bundle")
            found = answers_under(loaded.predict_proba(texts), loaded.labels, labels)
        path = own.work(key) / "answers.parquet"
        pd.DataFrame(found, columns=columns).to_parquet(path, index=False)
        return Made(IncumbentAnswers(task=play.task.spec.task, version=at.version), {ANSWERS: path})

    inputs = {
        "model": at.bundle_sha256,
        "rows": dataset.files["validation"].sha256,
        "labels": labels,
        "code": version_of("answers"),
    }
    kept = remembered(own, IncumbentAnswers, inputs, make)
    return pd.read_parquet(store.path(kept, INCUMBENT_ANSWERS, ANSWERS))[columns].to_numpy()
