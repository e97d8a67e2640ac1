"""What a model answered on some rows: classes, and probabilities where they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Answers:
    """Predicted classes, shape (rows,), and probabilities, shape (rows, classes), or None where they are not known.

    The class need not be the most probable one: a decision threshold may say otherwise.

    Raises:
        ValueError: shapes that do not match.
    """

    classes: npt.NDArray[np.integer[Any]]
    probabilities: npt.NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        known = self.probabilities
        if self.classes.ndim != 1 or (known is not None and (known.ndim != 2 or len(known) != len(self.classes))):
            raise ValueError(
                f"expected classes of shape (rows,) and probabilities of shape (rows, classes), found shapes "
                f"{self.classes.shape} and {None if known is None else known.shape}"
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def constant(self) -> bool:
        """Whether every row gets the same class: then nothing was learnt from the texts."""
        return len(np.unique(self.classes)) < 2

    def take(self, rows: npt.NDArray[Any]) -> Answers:
        """The answers on some rows, given as a mask or as row numbers."""
        return Answers(self.classes[rows], None if self.probabilities is None else self.probabilities[rows])


def joined(first: Answers, second: Answers) -> Answers:
    """The answers to the rows of both, probabilities where both have them."""
    classes = np.concatenate([first.classes, second.classes])
    if first.probabilities is None or second.probabilities is None:
        return Answers(classes)
    return Answers(classes, np.concatenate([first.probabilities, second.probabilities]))


Given = Answers | npt.NDArray[Any]  # Answers, classes of shape (rows,), or probabilities of shape (rows, classes)


def answers_of(given: Given) -> Answers:
    """Answers from what a caller has; from probabilities alone, the most probable class, the first one on a tie.

    Raises:
        ValueError: an array of another shape.
    """
    if isinstance(given, Answers):
        return given
    if given.ndim == 2:
        return Answers(given.argmax(axis=1), given)
    return Answers(given)
