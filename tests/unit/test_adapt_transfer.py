"""The verdict on transfer: three outcomes, the interval against zero, minutes per point, the spread of seeds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from data_samples import task_document

from playbook.adapt.transfer import minutes_per_point, paired_figure, transfer_verdict
from playbook.artifacts import Figure
from playbook.errors import ArtifactError
from playbook.evaluate.verdict import task_difference
from playbook.spec import TaskSpec

Answers = npt.NDArray[np.int64]
ROWS = 400
TRUTH: Answers = np.arange(ROWS) % 2


def spec_with(**target: object) -> TaskSpec:
    document = task_document({"path": "rows.csv"})
    return TaskSpec.model_validate({**document, "target": {**document["target"], **target}})


SPEC = spec_with()


def wrong_on(first: int, last: int) -> Answers:
    """Answers that are right but for the rows from `first` to `last`."""
    answers = TRUTH.copy()
    answers[first:last] = 1 - answers[first:last]
    return answers


GOOD, POOR, ALIKE = wrong_on(0, 20), wrong_on(0, 80), wrong_on(4, 25)


def test_it_helps_when_the_interval_lies_above_zero() -> None:
    found = transfer_verdict(SPEC, TRUTH, {"candidate": GOOD, "scratch": POOR}, {})
    assert found.transfer == "helps" and found.over_scratch is not None
    assert found.over_scratch.value == pytest.approx(0.15) and found.over_scratch.low > 0.1
    assert found.text.startswith("Transfer helps: +15.0 points (+")
    assert found.over_frozen is found.over_other_base is found.minutes_per_point is None


def test_it_hurts_when_the_interval_lies_below_zero() -> None:
    found = transfer_verdict(SPEC, TRUTH, {"candidate": POOR, "scratch": GOOD}, {})
    assert found.transfer == "hurts" and found.over_scratch is not None and found.over_scratch.high < 0
    assert found.text.startswith("NEGATIVE TRANSFER: −15.0 points") and "choosing a base" in found.text


def test_it_does_nothing_that_is_shown_when_the_interval_holds_zero() -> None:
    for candidate, scratch in ((GOOD, ALIKE), (ALIKE, GOOD), (GOOD, GOOD)):
        found = transfer_verdict(SPEC, TRUTH, {"candidate": candidate, "scratch": scratch}, {})
        assert found.transfer == "does nothing" and "an interval that holds zero" in found.text
        assert found.over_scratch is not None and found.over_scratch.low <= 0 <= found.over_scratch.high


def test_without_training_from_scratch_it_is_not_measured() -> None:
    found = transfer_verdict(SPEC, TRUTH, {"candidate": GOOD, "frozen": POOR}, {})
    assert found.transfer == "not measured" and found.over_scratch is None
    assert found.text.startswith("Transfer was not measured") and "Unfreezing adds to it: +15.0" in found.text


@pytest.mark.parametrize(
    ("candidate", "other", "said"),
    [
        (GOOD, POOR, "The base was chosen well: +15.0 points"),
        (POOR, GOOD, "Another base does better: −15.0 points"),
        (GOOD, ALIKE, "No difference between bases is claimed: +0.2 points"),
    ],
)
def test_another_base_that_does_better_is_named(candidate: Answers, other: Answers, said: str) -> None:
    answers = {"candidate": candidate, "scratch": wrong_on(0, 200), "other_base": other}
    found = transfer_verdict(SPEC, TRUTH, answers, {})
    assert found.transfer == "helps" and said in found.text
    assert ("runner-up in front" in found.text) is (said.startswith("Another"))


@pytest.mark.parametrize(
    ("frozen", "said"),
    [(POOR, "adds to it"), (ALIKE, "adds nothing that is shown"), (wrong_on(0, 2), "Unfreezing did harm")],
)
def test_what_unfreezing_adds_is_said(frozen: Answers, said: str) -> None:
    found = transfer_verdict(SPEC, TRUTH, {"candidate": GOOD, "scratch": POOR, "frozen": frozen}, {})
    assert said in found.text


def test_minutes_are_those_of_the_staircase_per_point_over_the_frozen_baseline() -> None:
    answers = {"candidate": GOOD, "scratch": POOR, "frozen": POOR}
    found = transfer_verdict(SPEC, TRUTH, answers, {"candidate": 1000.0, "frozen": 100.0, "scratch": 5000.0})
    assert found.minutes_per_point == pytest.approx(900 / 60 / 15)
    worse = transfer_verdict(SPEC, TRUTH, {**answers, "frozen": GOOD}, {"candidate": 1000.0, "frozen": 100.0})
    assert worse.minutes_per_point is None


def test_minutes_per_point_of_any_two_models() -> None:
    ahead = Figure(value=0.02, low=0.0, high=0.04)
    assert minutes_per_point(ahead, 300.0, 60.0) == pytest.approx(2.0)
    assert minutes_per_point(ahead, 60.0, 300.0) == 0.0
    assert minutes_per_point(ahead, None, 60.0) is None
    assert minutes_per_point(Figure(value=-0.02, low=-0.04, high=0.0), 300.0, 60.0) is None
    assert minutes_per_point(None, 300.0, 60.0) is None


def test_the_figure_is_the_paired_difference_of_the_committed_metric() -> None:
    recall = spec_with(metric="recall", of_class="billing", limits=[{"metric": "macro_f1", "at_least": 0.1}])
    truth_of_billing = TRUTH == 0
    for spec in (SPEC, recall):
        plain = task_difference(spec, TRUTH, POOR, GOOD)
        found = paired_figure(spec, TRUTH, POOR, GOOD)
        assert (found.value, found.low, found.high) == pytest.approx((plain.delta, plain.low, plain.high))
    in_class = (GOOD == TRUTH)[truth_of_billing].mean() - (POOR == TRUTH)[truth_of_billing].mean()
    assert paired_figure(recall, TRUTH, POOR, GOOD).value == pytest.approx(in_class)


def test_the_spread_of_seeds_widens_the_interval_and_can_take_a_claim_back() -> None:
    first, second = wrong_on(0, 35), wrong_on(0, 20)  # 3.75 points apart
    plain = paired_figure(SPEC, TRUTH, first, second)
    wide = paired_figure(SPEC, TRUTH, first, second, 0.02, 2)
    one = paired_figure(SPEC, TRUTH, first, second, 0.02, 1)
    assert plain.low > 0 > wide.low and wide.high > plain.high and plain.value == wide.value
    assert wide.value - wide.low == pytest.approx(np.hypot(plain.value - plain.low, 1.959964 * 0.02 * np.sqrt(2)))
    assert wide.low < one.low < plain.low
    answers = {"candidate": second, "scratch": first, "frozen": first}
    assert transfer_verdict(SPEC, TRUTH, answers, {}).transfer == "helps"
    found = transfer_verdict(SPEC, TRUTH, answers, {}, seed_deviation=0.02)
    assert found.transfer == "does nothing" and found.over_scratch == wide
    assert found.over_frozen == one, "a frozen head has no seed, so only one of the two trainings varies"


@pytest.mark.parametrize(
    "answers",
    [
        {"scratch": GOOD},
        {"candidate": GOOD, "scratch": GOOD[:-1]},
        {"candidate": GOOD[:-1], "scratch": GOOD[:-1]},
        {"candidate": GOOD, "unheard_of": GOOD},
    ],
)
def test_answers_that_do_not_fit_together_are_refused(answers: dict[str, Answers]) -> None:
    with pytest.raises(ArtifactError, match="expected answers to 400 rows of candidate"):
        transfer_verdict(SPEC, TRUTH, answers, {})


def test_two_trainings_that_differ_by_chance_alone_are_rarely_told_apart() -> None:
    """Each errs on its own random rows: at 95 % confidence a difference is claimed in about one of twenty cases."""
    rng, claims = np.random.default_rng(3), 0
    quick = SPEC.model_copy(update={"evaluation": SPEC.evaluation.model_copy(update={"resamples": 500})})
    for _ in range(200):
        first, second = (np.where(rng.random(ROWS) < 0.1, 1 - TRUTH, TRUTH) for _ in range(2))
        verdict = transfer_verdict(quick, TRUTH, {"candidate": first, "scratch": second}, {})
        claims += verdict.transfer != "does nothing"
    assert claims / 200 < 0.09


def test_controls_that_had_not_settled_are_named_where_they_are_compared() -> None:
    answers = {"candidate": GOOD, "scratch": POOR, "other_base": POOR}
    found = transfer_verdict(SPEC, TRUTH, answers, {}, rising=("other_base", "seed_14"))
    assert "training of the runner-up base was still rising in its last epoch" in found.text
    assert "random weights was still rising" not in found.text
