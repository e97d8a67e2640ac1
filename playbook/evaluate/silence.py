"""When should the model ask a person? The threshold is chosen on validation, and test says what it comes to (B9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import RiskPoint, Score, Silence
from playbook.data.tables import LABEL, TEXT
from playbook.evaluate import wording
from playbook.spec import AskAPerson, TaskSpec
from playbook.statistics.operating_point import Threshold, decide
from playbook.statistics.selective import Guarantee, guarantee, risk_curve
from playbook.statistics.strangers import Strangers, kept_rows, learn_strangers

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 80  # of a curve
Probabilities = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Rows:
    """Labelled rows with calibrated answers.

    `truth` (rows,), `probabilities` (rows, classes) after temperature scaling, `scores` (rows,) of
    `playbook.statistics.strangers`, none where inputs are not looked at, and the operating point's threshold.
    """

    truth: npt.NDArray[np.integer[Any]]
    probabilities: Probabilities
    scores: npt.NDArray[np.floating[Any]] | None = None
    threshold: Threshold | None = None

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """What is answered, (rows,)."""
        return decide(self.probabilities, self.threshold)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether the answer is right, (rows,)."""
        found: npt.NDArray[np.bool_] = self.classes == self.truth
        return found

    def confidence(self, cut: float) -> npt.NDArray[np.float64]:
        """Probability of the answer, (rows,); -1 where the input is a stranger, which is never answered."""
        sure = self.probabilities[np.arange(len(self.truth)), self.classes].astype(np.float64)
        return sure if self.scores is None else np.where(self.scores > cut, -1.0, sure)

    def strange(self, cut: float) -> int:
        """Rows whose input is a stranger."""
        return 0 if self.scores is None else int((self.scores > cut).sum())


def known_rows(
    spec: TaskSpec,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    answered: npt.NDArray[np.int64],
    extractor: Callable[[list[str]], npt.NDArray[np.float32]],
) -> Strangers:
    """Known rows from train, calibrated on validation.

    Args:
        spec: the task; `adaptation.seed` draws where there are more rows than are kept.
        train: prepared rows, columns of `playbook.data.tables`.
        validation: likewise.
        answered: class numbers that the model answers validation with, shape (validation rows,).
        extractor: pooled features of the frozen base, texts -> (texts, width).
    """
    number = {label: place for place, label in enumerate(spec.labels)}
    train = train.iloc[kept_rows(len(train), spec.adaptation.seed)]
    classes = train[LABEL].map(number).to_numpy(np.int64)
    return learn_strangers(extractor(train[TEXT].tolist()), classes, extractor(validation[TEXT].tolist()), answered)


def choose_confidence(rules: AskAPerson, validation: Rows, strangers: Strangers | None) -> tuple[float, Guarantee]:
    """The score above which an input is a stranger, and the confidence from which on the model answers.

    Args:
        rules: of the task file.
        validation: rows that choose it.
        strangers: known rows; None where inputs are not looked at.
    """
    cut = strangers.cut(rules.strangers) if strangers is not None else float("inf")
    return cut, guarantee(validation.confidence(cut), validation.right, rules.error, rules.failure)


def judge_silence(
    rules: AskAPerson, validation: Rows, test: Rows, strangers: Strangers | None, confidence: float
) -> Silence:
    """The confidence from which on the model answers, and what that came to on test.

    Args:
        rules: of the task file.
        validation: rows that choose the threshold and calibrate the strangers.
        test: rows that had no say.
        strangers: known rows; None where inputs are not looked at.
        confidence: of the intervals on test.
    """
    cut, found = choose_confidence(rules, validation, strangers)
    sure = validation.confidence(cut)
    on_test = test.confidence(cut)
    answered = on_test >= (found.threshold if found.threshold is not None else 2.0)
    wrong = int((answered & ~test.right).sum())
    known = Silence(
        error=rules.error,
        failure=rules.failure,
        threshold=found.threshold,
        rows=found.rows,
        answered=found.answered,
        wrong=found.wrong,
        rows_needed=found.rows_needed,
        strangers=rules.strangers if strangers is not None else 0.0,
        strange=validation.strange(cut),
        memory_mb=strangers.size_mb if strangers is not None else 0.0,
        test_rows=len(test.truth),
        test_strange=test.strange(cut),
        test_answered=share("answered", int(answered.sum()), len(answered), confidence),
        test_error=share("error among answered", wrong, int(answered.sum()), confidence) if answered.any() else None,
        curve=_points(on_test, test.right),
        validation_curve=_points(sure, validation.right),
    )
    return known.model_copy(update={"text": _in_words(known, found)})


def share(name: str, count: int, rows: int, confidence: float) -> Score:
    """A share of rows with its exact interval (Clopper and Pearson, Biometrika 1934)."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, rows - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, rows - count)) if count < rows else 1.0
    return Score(metric=name, value=count / rows, low=low, high=high, n=rows)


def _points(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[RiskPoint, ...]:
    curve = risk_curve(confidence, right)
    places = np.unique(np.linspace(0, len(curve.threshold) - 1, MOST_POINTS).round().astype(int))
    return tuple(
        RiskPoint(
            threshold=float(curve.threshold[at]),
            answered=float(curve.answered[at] / len(confidence)),
            error=float(curve.wrong[at] / curve.answered[at]),
        )
        for at in places
        if len(curve.threshold)
    )


def _in_words(silence: Silence, found: Guarantee) -> str:
    asked, sure = wording.asked(silence.error), wording.asked(1 - silence.failure)
    if silence.threshold is None:
        needed = found.rows_needed
        more = (
            f"About {needed:,} rows of validation would probably do."
            if needed is not None
            else "More rows would not help: even its surest answers are wrong more often."
        )
        return (
            f"No confidence promises at most {asked} wrong answers on {wording.size(silence.rows)} of validation, so a "
            f"person answers every text. {more}"
        )
    said = [
        f"The model answers from {wording.percent(silence.threshold)} confidence on and asks a person otherwise: with "
        f"{sure} certainty at most {asked} of its answers are wrong. {silence.answered:,} of {silence.rows:,} rows of "
        f"validation are answered, {silence.wrong:,} of these answers are wrong.",
    ]
    if silence.strangers:
        said.append(
            f"It also asks about inputs unlike the training data (p of at most {silence.strangers:g}): "
            f"{silence.test_strange:,} of {silence.test_rows:,} test rows."
        )
    if silence.test_answered is not None and silence.test_error is not None:
        answered, wrong = silence.test_answered, silence.test_error
        said.append(
            f"On test it answers {wording.percent(answered.value)} of rows, and of these answers "
            f"{wording.score_range(wrong)} are wrong."
        )
        if wrong.low > silence.error:
            said.append("That is more than was promised: test rows are not like those of validation.")
    return " ".join(said)
