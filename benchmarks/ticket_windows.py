"""Rows of the sample task for measurements of drift: more of them than the sample has, with features and answers."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.rows import ROOT
from playbook.operate.figures import RowFigures, row_figures
from playbook.operate.reference import Reference

TASK = ROOT / "pipelines" / "tasks" / "tickets.yaml"
ROWS, SEED = 12000, 21


@dataclass(frozen=True)
class Tickets:
    """Tickets of one year: figures, true classes, customers, and which are of the product line of month ten."""

    figures: RowFigures
    truth: npt.NDArray[np.int32]
    customer: npt.NDArray[np.int64]
    new: npt.NDArray[np.bool_]
    month: npt.NDArray[np.int64]
    labels: tuple[str, ...]
    base: tuple[str, str]  # name, SHA-256 of its weights

    def answers(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Probabilities for all tickets of a logistic head that was trained on the features of `rows`."""
        from sklearn.linear_model import LogisticRegression

        head = LogisticRegression(max_iter=500).fit(self.figures.features[rows], self.truth[rows])
        found: npt.NDArray[np.float32] = head.predict_proba(self.figures.features).astype(np.float32)
        return found

    def reference(self, rows: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]) -> Reference:
        """The tickets at `rows` as a reference."""
        return Reference(
            self.figures.take(rows), probabilities[rows], self.truth[rows], self.labels, 1.0, self.base[0], self.base[1]
        )


def tickets(rows: int = ROWS, seed: int = SEED) -> Tickets:
    """Tickets made by the sample's generator with the features of the sample task's base; about a minute."""
    from playbook.adapt.features import FeatureExtractor
    from playbook.bases.locate import locate_base
    from playbook.bases.pin import pin_base
    from playbook.taskfile import load_task

    task = load_task(TASK)
    spec = task.spec
    sys.path.insert(0, str(ROOT / "data" / "tickets"))
    import generate

    drawn = random.Random(seed)  # noqa: S311 - repeatable on purpose
    made = generate.clean_tickets(drawn, generate.make_customers(drawn), rows)
    folder: Path = locate_base(spec.base, task.resolve)
    pin = pin_base(spec.base, folder)
    extractor = FeatureExtractor(folder, pin, spec.adaptation)
    return Tickets(
        figures=row_figures([row.text for row in made], extractor),
        truth=np.array([spec.labels.index(row.truth) for row in made], np.int32),
        customer=np.unique([row.customer for row in made], return_inverse=True)[1],
        new=np.array([row.product == generate.NEW_PRODUCT for row in made]),
        month=np.array([int(row.date[5:7]) for row in made]),
        labels=spec.labels,
        base=(pin.name, pin.weights_sha256),
    )
