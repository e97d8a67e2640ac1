"""When the model asks a person: what is chosen on validation, what it came to on test, and the words for it."""

from __future__ import annotations

import numpy as np
import pytest

from playbook.artifacts import Silence
from playbook.evaluate.silence import Rows, judge_silence, share
from playbook.spec import AskAPerson
from playbook.statistics.strangers import Strangers, learn_strangers

CLASSES = 5


def rows(seed: int, count: int, boast: float = 1.0, scores: np.ndarray | None = None) -> Rows:
    """Calibrated answers of five classes, or such that are too sure of themselves."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet(np.full(CLASSES, 0.08), count)
    truth = np.array([random.choice(CLASSES, p=row) for row in honest])
    told = honest**boast
    return Rows(truth, told / told.sum(axis=1, keepdims=True), scores)


def judged(validation: int = 1500, error: float = 0.05, boast: float = 1.0) -> Silence:
    return judge_silence(AskAPerson(error=error), rows(1, validation), rows(2, 2000, boast), None, 0.95)


def test_the_threshold_keeps_its_promise_on_test() -> None:
    found = judged()
    assert found.threshold is not None and found.test_answered is not None and found.test_error is not None
    assert 0.5 < found.threshold < 0.99
    assert found.test_error.value <= 0.05 and found.test_answered.value > 0.5
    assert found.wrong / found.answered < 0.05
    assert f"On test it answers {100 * found.test_answered.value:.1f} % of rows" in found.text
    assert "with 95 % certainty at most 5 % of its answers are wrong" in found.text


def test_everybody_is_asked_where_nothing_can_be_promised() -> None:
    found = judged(validation=40)
    assert found.threshold is None and found.test_error is None and found.rows_needed is not None
    assert found.test_answered is not None and found.test_answered.value == 0
    assert "a person answers every text" in found.text
    assert f"About {found.rows_needed:,} rows of validation would probably do." in found.text


def test_a_promise_that_test_breaks_is_said() -> None:
    random = np.random.default_rng(3)
    wrong = rows(2, 2000)
    other = Rows(random.integers(0, CLASSES, 2000), wrong.probabilities)
    found = judge_silence(AskAPerson(error=0.05), rows(1, 1500), other, None, 0.95)
    assert "more than was promised" in found.text


def test_strangers_are_never_answered() -> None:
    random = np.random.default_rng(0)
    features, classes = random.normal(size=(300, 8)).astype(np.float32), random.integers(0, CLASSES, 300)
    known: Strangers = learn_strangers(features, classes, features, classes)
    far = np.zeros(2000, np.float32)
    far[:100] = 2.0
    found = judge_silence(AskAPerson(error=0.05), rows(1, 1500), rows(2, 2000, scores=far), known, 0.95)
    assert (found.strange, found.test_strange, found.strangers) == (0, 100, 0.01)
    assert found.test_answered is not None and found.test_answered.value <= 0.95
    assert found.memory_mb == pytest.approx(300 * 8 * 2 / 1e6)
    assert "100 of 2,000 test rows" in found.text


def test_the_curve_rises_to_every_row() -> None:
    curve = judged().curve
    assert 20 < len(curve) <= 80
    answered = [point.answered for point in curve]
    assert answered == sorted(answered) and answered[-1] == 1.0
    assert curve[0].error < curve[-1].error


def test_an_exact_interval_by_hand() -> None:
    found = share("x", 0, 100, 0.95)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))  # the rule of three, two-sided
    assert share("x", 100, 100, 0.95).high == 1.0
