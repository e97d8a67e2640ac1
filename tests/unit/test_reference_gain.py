"""The gain over the strongest simple reference: chosen on validation, measured on test, said wherever a delta is."""

from __future__ import annotations

import numpy as np
import pytest
from report_samples import ORDINARY, answers_to_probabilities, score, spec_for

from playbook.artifacts import Evaluation, Figure, ReferenceGain, Side
from playbook.evaluate.reference_gain import reference_gain, strongest_reference, with_reference
from playbook.evaluate.verdict import FAILING
from playbook.operate.changelog import gain_text

SPEC = spec_for(ORDINARY)
TRUTH = np.tile(np.arange(5), 200)


def wrong_on(first: int, last: int) -> np.ndarray:
    answers = TRUTH.copy()
    answers[first:last] = (answers[first:last] + 1) % 5
    return answers


ANSWERS = {
    "candidate": wrong_on(0, 128),
    "baseline": wrong_on(100, 322),
    "tfidf": wrong_on(0, 190),
    "majority": TRUTH * 0,
}


def test_validation_chooses_the_reference_and_test_has_no_say() -> None:
    validation = {"majority": score(0.2), "tfidf": score(0.79), "zero_shot": score(0.79)}
    assert strongest_reference(SPEC, validation) == "tfidf", "the one named first on a tie"
    answers = {**ANSWERS, "zero_shot": TRUTH}  # perfect on test, but that is not what chooses
    found = reference_gain(SPEC, TRUTH, answers, validation, "candidate")
    assert found is not None and found.name == "tfidf" and found.test.value == pytest.approx(0.81)
    assert strongest_reference(SPEC, {}) == ""
    assert reference_gain(SPEC, TRUTH, {"candidate": TRUTH}, validation, "candidate") is None


def test_less_is_better_for_some_metrics() -> None:
    document = SPEC.model_dump(mode="json")
    document["target"] = {"metric": "log_loss", "at_most": 0.5, "margin": 0.02}
    spec = type(SPEC).model_validate(document)
    assert strongest_reference(spec, {"majority": score(1.6), "tfidf": score(0.7)}) == "tfidf"
    answers = {name: answers_to_probabilities(classes, 5) for name, classes in ANSWERS.items()}
    found = reference_gain(spec, TRUTH, answers, {"tfidf": score(0.7)}, "candidate")
    assert found is not None and found.gain.value > 0, "a gain is what is better, whatever the metric"


def test_the_gain_is_paired_and_said_in_points() -> None:
    found = reference_gain(SPEC, TRUTH, ANSWERS, {"tfidf": score(0.79)}, "candidate")
    assert found is not None and found.gain.value == pytest.approx(0.062) and found.gain.low > 0.04
    assert found.text.startswith(
        "Beside TF-IDF with logistic regression (81.0 %, the strongest simple reference), the gain of the candidate is "
        "+6.2 points (+"
    )
    baseline = reference_gain(SPEC, TRUTH, ANSWERS, {"tfidf": score(0.79)}, "baseline")
    assert baseline is not None and baseline.model == "baseline"
    assert "gain of the frozen baseline is −3.2 points" in baseline.text
    assert baseline.text.endswith("the simple reference does better.")
    same = reference_gain(SPEC, TRUTH, {**ANSWERS, "tfidf": wrong_on(2, 130)}, {"tfidf": score(0.79)}, "candidate")
    assert same is not None and same.text.endswith("no gain over the simple reference is shown.")


def test_the_verdict_says_it_before_the_failing_classes() -> None:
    found = reference_gain(SPEC, TRUTH, ANSWERS, {"tfidf": score(0.79)}, "candidate")
    assert found is not None
    assert with_reference("Ship it.", None) == "Ship it."
    assert with_reference("Ship it.", found) == f"Ship it. {found.text}"
    assert with_reference(f"Ship it. {FAILING} a.", found) == f"Ship it. {found.text} {FAILING} a."


def test_the_changelog_says_it() -> None:
    gain = ReferenceGain(
        name="tfidf", model="candidate", test=score(0.81), gain=Figure(value=0.062, low=0.035, high=0.089), text="-"
    )
    side = Side(scores={"accuracy": score(0.87)}, per_class=(), confusion=())
    done = Evaluation(
        task="demo", ship="candidate", metric="accuracy", baseline=side, candidate=side, delta=0.094,
        interval=(0.07, 0.12), over_reference=gain,
    )  # fmt: skip
    assert gain_text(done) == (
        "accuracy +0.0940 (+0.0700 to +0.1200) over the frozen baseline, +0.0620 (+0.0350 to +0.0890) over tfidf "
        "(95% intervals)"
    )
