"""Made-up populations of two models on labelled rows, whose true difference is known in every metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.statistics.metric import Metric

Labels = npt.NDArray[np.int64]
SAME_MISTAKE = 0.7  # where both models are wrong, they mostly give the same wrong answer


@dataclass(frozen=True)
class Population:
    """Cells (truth, first, second) of shape (cells, 3) and the probability of each."""

    cells: Labels
    chances: npt.NDArray[np.float64]
    classes: int

    def true_difference(self, metric: Metric) -> float:
        """Gain of the second model over the first in the population itself, not in a sample of it."""
        truth, first, second = self.cells.T
        values = [float(metric.values(truth, answers, self.chances[None, :])[0]) for answers in (first, second)]
        return metric.gain(values[0], values[1])

    def draw(self, random: np.random.Generator, rows: int) -> tuple[Labels, Labels, Labels]:
        """Truth and both models' answers on so many rows, each of shape (rows,)."""
        drawn = self.cells[random.choice(len(self.cells), rows, p=self.chances)]
        return drawn[:, 0], drawn[:, 1], drawn[:, 2]


def population(priors: tuple[float, ...], accuracy: float, gain: float, lost: float) -> Population:
    """Two models of which the second is `gain` more accurate than the first.

    Args:
        priors: share of every class; rare classes are made harder, as they are in practice.
        accuracy: of the first model, over all classes about.
        gain: true gain in accuracy, the same in every class.
        lost: share of rows that only the first model has right; `lost + gain` is what only the second has right.
    """
    classes = len(priors)
    table = np.zeros((classes, classes, classes))
    for truth, prior in enumerate(priors):
        right = accuracy - 0.1 * max(0.0, 1 - prior * classes)
        gained = lost + gain
        wrong = [at for at in range(classes) if at != truth]
        table[truth, truth, truth] = prior * (right - lost)
        both = prior * (1 - right - gained)
        for one in wrong:
            table[truth, truth, one] = prior * lost / len(wrong)
            table[truth, one, truth] = prior * gained / len(wrong)
            table[truth, one, one] += both * SAME_MISTAKE / len(wrong)
            for other in wrong:
                table[truth, one, other] += both * (1 - SAME_MISTAKE) / len(wrong) ** 2
    if table.min() < 0:
        raise ValueError(f"no such models: accuracy {accuracy}, gain {gain}, lost {lost} leave a negative share")
    cells = np.argwhere(table > 0)
    chances = table[tuple(cells.T)]
    return Population(cells, chances / chances.sum(), classes)
