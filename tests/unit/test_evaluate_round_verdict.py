"""Rounds are decided against the model that serves: what replaces it, what does not, and how often by chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from report_samples import ORDINARY, spec_for

from playbook.artifacts import RoundVerdict, Score, Trigger
from playbook.evaluate.compare import describe_side
from playbook.evaluate.round_verdict import (
    FIXABLE,
    ON_NEW,
    Serving,
    decide_round,
    may_fix,
    refuse_round,
    round_margin,
    round_tolerance,
    rows_for_round,
)
from playbook.evaluate.verdict import Verdict
from playbook.spec import Evaluation, TaskSpec

CLASSES = len(ORDINARY)
TRUTH = np.tile(np.arange(CLASSES), 300)
OLD = np.arange(len(TRUTH)) < 1000
Labels = npt.NDArray[np.int64]


def task(margin: float = 0.06, at_least: float = 0.5, **retraining: Any) -> TaskSpec:
    document = spec_for(ORDINARY).model_dump(mode="json")
    document["target"] |= {"margin": margin, "at_least": at_least, "limits": []}
    document["retraining"] = retraining
    return TaskSpec.model_validate(document)


SPEC = task()


def wrong(count: int, start: int = 0, truth: Labels = TRUTH) -> Labels:
    """The truth, but wrong in `count` rows from `start` on."""
    answers = truth.copy()
    answers[start : start + count] = (answers[start : start + count] + 1) % CLASSES
    return answers


def decided(
    incumbent: Labels,
    candidate: Labels | None,
    baseline: Labels | None = None,
    *asked_by: Trigger,
    spec: TaskSpec = SPEC,
    known: tuple[str, ...] = ORDINARY,
    old: npt.NDArray[np.bool_] | None = OLD,
    base_out: str = "",
    latency: float | None = None,
) -> tuple[Verdict, RoundVerdict]:
    answers = {"baseline": wrong(700) if baseline is None else baseline}
    answers |= {"candidate": candidate} if candidate is not None else {}
    name = "latency_p95_ms"
    measured = {name: Score(metric=name, value=latency, low=latency, high=latency, n=1)} if latency is not None else {}
    sides = {name: describe_side(spec, TRUTH, given, measured) for name, given in answers.items()}
    serving = Serving(
        "1.2.0", incumbent, describe_side(spec, TRUTH, incumbent), known, old, asked_by=asked_by, base_out=base_out
    )
    return decide_round(spec, serving, TRUTH, answers, sides)


def test_the_margin_is_half_the_targets_unless_the_task_file_says_otherwise() -> None:
    assert round_margin(SPEC) == pytest.approx(0.03)
    assert round_margin(TaskSpec.model_validate({**SPEC.model_dump(), "retraining": {"margin": 0.01}})) == 0.01
    assert round_tolerance(SPEC) == round_margin(SPEC)
    assert round_tolerance(task(tolerance=0.005)) == 0.005


def test_a_constant_answer_takes_nobodys_place() -> None:
    """The incumbent is right in one row of ten, and whoever says one of five classes to everything in two."""
    same, spec = np.zeros_like(TRUTH), task(at_least=0.1)
    verdict, found = decided(wrong(1350), same, same, spec=spec)
    assert found.contenders[0].better and found.contenders[0].always == ORDINARY[0]
    assert verdict.ship == "incumbent"
    assert f"the candidate answers {ORDINARY[0]!r} to every row, which is not a model" in verdict.text
    assert decided(wrong(1350), wrong(1200), same, spec=spec)[0].ship == "candidate"


def test_a_gain_on_too_few_rows_of_a_class_replaces_nobody() -> None:
    """Macro-F1 with four test rows of a class: the interval is not relied on, however far it lies from zero."""
    document = task().model_dump(mode="json")
    document["target"] |= {"metric": "macro_f1", "margin": 0.04}
    spec = TaskSpec.model_validate(document)
    truth = np.concatenate([np.tile(np.arange(CLASSES - 1), 250), np.full(4, CLASSES - 1)])
    incumbent, candidate = wrong(300, truth=truth), wrong(60, truth=truth)
    sides = {name: describe_side(spec, truth, candidate) for name in ("candidate", "baseline")}
    serving = Serving("1.2.0", incumbent, describe_side(spec, truth, incumbent), ORDINARY, None)
    verdict, found = decide_round(spec, serving, truth, dict.fromkeys(sides, candidate), sides)
    assert found.contenders[0].over.low > 0.04 and "too few rows" in found.contenders[0].too_few
    assert (verdict.ship, found.contenders[0].better, found.contenders[0].not_worse) == ("incumbent", False, False)
    assert f"there are too few rows of {ORDINARY[-1]} to say; 8 would do" in verdict.text


def test_a_better_model_takes_the_place_of_the_one_that_serves() -> None:
    verdict, found = decided(wrong(300), wrong(150))
    assert (verdict.ship, found.ship, found.why) == ("candidate", "candidate", "better")
    assert verdict.text.startswith("Ship the candidate in place of version 1.2.0: the candidate is +10.0 points (")
    assert "3 points were asked of a round" in verdict.text
    (first, _) = found.contenders
    assert first.on_old is not None and first.on_new is not None
    assert (first.over.value, first.on_old.value, first.on_new.value) == (
        pytest.approx(0.1), pytest.approx(0.15), pytest.approx(0.0),
    )  # fmt: skip


def test_a_worse_one_does_not_although_it_beats_the_frozen_baseline_by_far() -> None:
    verdict, found = decided(wrong(60), wrong(150))
    assert (verdict.ship, found.why) == ("incumbent", "not shown")
    assert verdict.text.startswith("Keep version 1.2.0, which serves: the candidate is −6.0 points (")
    assert verdict.next_steps[0].startswith("Version 1.2.0 goes on serving")


def test_a_tie_changes_nothing() -> None:
    same = wrong(150)
    assert decided(same, same.copy())[0].ship == "incumbent"
    verdict, found = decided(same, same.copy(), None, "drift")
    assert verdict.ship == "incumbent"
    assert found.contenders[0].not_worse and not found.contenders[0].fixes_all
    assert "it does not fix what asked for the round (drift: +0.0 points" in verdict.text
    assert "label more rows like those that are new" in verdict.next_steps[1]


def test_a_gain_under_the_margin_replaces_only_what_needed_mending() -> None:
    incumbent, candidate = wrong(40, start=1200), wrong(20, start=1200)  # 1.3 points in all, 4 on the new rows
    for asked_by in ((), ("button",), ("schedule",)):
        assert decided(incumbent, candidate, None, *asked_by)[0].ship == "incumbent"
    assert {*FIXABLE, "schedule", "button"} == set(get_args(Trigger)), "every trigger is thought of"
    for trigger in ON_NEW:
        verdict, found = decided(incumbent, candidate, None, trigger)
        assert (verdict.ship, found.why) == ("candidate", "fixes"), trigger
        assert "not worse by the tolerance of 3 points, and it fixes what asked for the round" in verdict.text
    unknown, found = decided(incumbent, candidate, None, "drift", old=None)
    assert unknown.ship == "incumbent", "which rows are new is not known, so nothing is claimed of them"
    assert found.contenders[0].fixes[0].text == "too few new rows to say"


def test_what_is_mended_may_not_cost_more_than_the_tolerance() -> None:
    incumbent = wrong(100, start=1100)  # all on new rows
    forgetful = wrong(130)  # and this one all on old rows
    verdict, found = decided(incumbent, forgetful, None, "drift")
    assert found.contenders[0].fixes_all and not found.contenders[0].not_worse
    assert verdict.ship == "incumbent"
    assert "it could be worse by more than the tolerance" in verdict.text


def test_every_trigger_must_be_answered() -> None:
    known = ORDINARY[1:]
    incumbent = TRUTH.copy()
    incumbent[TRUTH == 0] = 1
    candidate = incumbent.copy()
    candidate[(TRUTH == 0) & OLD] = 0  # the new class is found on old rows, on new ones nothing is better
    assert decided(incumbent, candidate, None, "new_class", known=known, spec=task(0.5))[1].why == "fixes"
    verdict, found = decided(incumbent, candidate, None, "new_class", "metric", known=known, spec=task(0.5))
    assert verdict.ship == "incumbent"
    assert [(fix.trigger, fix.fixed) for fix in found.contenders[0].fixes] == [("new_class", True), ("metric", False)]


def test_a_new_class_that_is_not_found_is_not_covered() -> None:
    known = ORDINARY[1:]
    blind = TRUTH.copy()
    blind[TRUTH == 0] = 1
    verdict, found = decided(blind, blind.copy(), None, "new_class", known=known)
    assert verdict.ship == "incumbent"
    assert found.contenders[0].fixes[0].text == f"new classes: {ORDINARY[0]}: recall 0.0 % of 300 rows"


def test_what_a_round_loses_on_old_rows_is_no_class_that_has_no_row_there() -> None:
    document = task(0.5).model_dump(mode="json")
    spec = TaskSpec.model_validate(document | {"target": document["target"] | {"metric": "macro_f1"}})
    old = OLD & (TRUTH != 0)  # 800 rows of four classes
    incumbent, candidate = np.where(TRUTH == 0, 1, TRUTH), TRUTH.copy()
    candidate[np.flatnonzero(old & (TRUTH == 1))[:10]] = 0
    _, found = decided(incumbent, candidate, None, "new_class", known=ORDINARY[1:], old=old, spec=spec)
    lost = found.contenders[0].on_old
    assert lost is not None and lost.value == pytest.approx((2 * 190 / 390 - 1) / 4)


def test_a_base_that_is_out_and_a_changed_task_are_fixed_by_a_model_that_is_no_worse() -> None:
    same = wrong(150)
    verdict, _ = decided(same, same.copy(), None, "better_base", base_out="latency 40 ms over 3 ms")
    assert verdict.ship == "candidate"
    assert "that of version 1.2.0 is out (latency 40 ms over 3 ms)" in verdict.text
    assert decided(same, same.copy(), None, "better_base")[0].ship == "incumbent"
    assert decided(same, same.copy(), None, "task_changed")[0].ship == "candidate"


def test_nothing_that_the_incumbent_meets_may_be_missed() -> None:
    document = task(at_least=0.5).model_dump(mode="json")
    document["target"]["limits"] = [{"metric": "recall", "of_class": ORDINARY[0], "at_least": 0.9}]
    spec = TaskSpec.model_validate(document)
    incumbent, candidate = wrong(400, start=1), TRUTH.copy()
    incumbent[TRUTH == 0] = 0
    candidate[np.flatnonzero(TRUTH == 0)[:60]] = 1  # better by far, but one in five of the class is lost
    verdict, found = decided(incumbent, candidate, None, spec=spec)
    assert found.contenders[0].better and found.contenders[0].misses == (f"recall of {ORDINARY[0]}",)
    assert verdict.ship == "incumbent"
    assert f"the candidate misses recall of {ORDINARY[0]}, which it meets" in verdict.text
    both = decided(candidate, wrong(0), None, spec=spec)[0]
    assert both.ship == "candidate", "a limit that the incumbent misses as well holds nobody back"


def test_a_limit_on_the_model_holds_although_it_is_not_measured_on_the_incumbent() -> None:
    document = task().model_dump(mode="json")
    document["target"]["limits"] = [{"metric": "latency_p95_ms", "at_most": 20}]
    spec = TaskSpec.model_validate(document)
    verdict, found = decided(wrong(300), wrong(150), None, spec=spec, latency=95.0)
    assert found.contenders[0].better and found.contenders[0].misses == ("latency_p95_ms",)
    assert verdict.ship == found.ship == "incumbent"
    assert "the candidate misses latency_p95_ms 95.0 ms against at most 20 ms asked, 75.0 ms over." in verdict.text
    assert "which it meets" not in verdict.text
    assert decided(wrong(300), wrong(150), None, spec=spec, latency=12.0)[0].ship == "candidate"


def test_a_new_class_that_the_incumbent_knows_by_now_asks_for_nothing() -> None:
    incumbent, candidate = wrong(40, start=1200), wrong(20, start=1200)  # better on new rows, by less than the margin
    verdict, found = decided(incumbent, candidate, None, "new_class", "drift")
    assert [(fix.trigger, fix.fixed) for fix in found.contenders[0].fixes] == [("drift", True)]
    assert (verdict.ship, found.asked_by) == ("candidate", ("drift",))
    alone, found = decided(incumbent, candidate, None, "new_class")
    assert (alone.ship, found.asked_by, found.contenders[0].fixes) == ("incumbent", (), ())
    assert len(alone.next_steps) == 1, "nothing is left that asks for a model"


def test_a_better_base_alone_has_a_next_step_of_its_own() -> None:
    same = wrong(150)
    verdict, _ = decided(same, same.copy(), None, "better_base")
    assert verdict.next_steps[1:] == (
        "Another base did better in the bake-off. The task still allows the base of version 1.2.0, so a model on the "
        "other base has to gain 3 points on the test split to replace it.",
    )
    both = decided(same, same.copy(), None, "drift", "better_base")[0].next_steps
    assert "still there (drift): label more rows" in both[1] and both[2] == verdict.next_steps[1]
    worse, _ = decided(same, wrong(400), None, "better_base", base_out="latency 40 ms over 3 ms")
    assert worse.ship == "incumbent"
    assert worse.next_steps[1].startswith("The task no longer allows the base of version 1.2.0.")


@pytest.mark.parametrize(
    ("asked_by", "base_out", "new_classes", "new_rows", "expected"),
    [
        (("better_base",), False, False, 500, False),
        (("better_base",), True, False, 0, True),
        ((), True, False, 0, True),
        (("new_class",), False, False, 500, False),
        (("new_class",), False, True, 0, True),
        (("task_changed",), False, False, 0, True),
        (("drift",), False, False, 19, False),
        (("drift",), False, False, 20, True),
        (("drift", "new_class"), False, True, 0, False),
        (("drift", "better_base"), False, False, 20, True),
        (("schedule", "button"), False, True, 500, False),
    ],
)
def test_a_fix_counts_only_where_it_can_be_shown(
    asked_by: tuple[Trigger, ...], base_out: bool, new_classes: bool, new_rows: int, expected: bool
) -> None:
    assert may_fix(asked_by, base_out=base_out, new_classes=new_classes, new_rows=new_rows) is expected
    new_to_it = ORDINARY[1:] if new_classes else ORDINARY
    blind = wrong(200, start=len(TRUTH) - 200)
    if new_classes:
        blind[TRUTH == 0] = 1
    old = np.arange(len(TRUTH)) < len(TRUTH) - new_rows
    why = "latency 40 ms over 3 ms" if base_out else ""
    _, found = decided(blind, TRUTH.copy(), None, *asked_by, known=new_to_it, old=old, base_out=why)
    assert found.contenders[0].fixes_all is expected, "a perfect model fixes whatever can be fixed"


def test_the_simpler_one_of_two_that_qualify_is_shipped() -> None:
    verdict, found = decided(wrong(400), wrong(100), wrong(130))
    assert (verdict.ship, found.ship) == ("baseline", "baseline")
    assert verdict.text.startswith("Ship the frozen baseline in place of version 1.2.0")
    assert "It is the simpler one" in verdict.text
    assert decided(wrong(400), wrong(100), wrong(300))[0].ship == "candidate"
    alone, _ = decided(wrong(400), None, wrong(130))
    assert alone.ship == "baseline"
    assert decided(wrong(130), None, wrong(130))[0].ship == "incumbent"


def test_the_size_is_judged_for_the_round_before_anything_is_opened() -> None:
    truth = np.tile(np.arange(CLASSES), 60)
    incumbent, refreshed = wrong(60, truth=truth), wrong(60, start=18, truth=truth)
    small = rows_for_round(SPEC, truth, incumbent, refreshed, {"access": 200})
    assert not small.enough and small.available == 200
    assert small.needed == pytest.approx(7.85 * 36 / 300 / 0.03**2, rel=0.05), "Connor at the round's margin"
    verdict, found = refuse_round(SPEC, "1.2.0", small)
    assert (verdict.ship, found.why, found.contenders) == ("incumbent", "not judged", ())
    assert verdict.text.startswith("Version 1.2.0 stays: 200 rows in the test split cannot tell")
    assert "cannot tell whether another model is better; " in verdict.text
    assert verdict.text.endswith("The test split stays closed.") and verdict.next_steps[0].startswith("Label ")
    again, _ = refuse_round(SPEC, "1.2.0", small, openings=2)
    assert again.text.endswith("opened 2 times for another model, is not opened for this one.")
    unjudged, _ = refuse_round(SPEC, "1.2.0", replace(small, limit="log_loss"))
    assert "200 rows in the test split cannot tell whether log_loss is met; " in unjudged.text
    clear = rows_for_round(SPEC, truth, wrong(120, truth=truth), wrong(10, truth=truth), {"access": 200})
    assert clear.enough, "what validation shows by far needs fewer rows, however often the models differ"


def test_a_round_that_fixes_something_is_sized_for_not_being_worse() -> None:
    truth = np.tile(np.arange(CLASSES), 60)
    incumbent, refreshed = wrong(40, truth=truth), wrong(28, start=20, truth=truth)  # +4 points
    plain = rows_for_round(SPEC, truth, incumbent, refreshed, {"access": 300})
    fixing = rows_for_round(SPEC, truth, incumbent, refreshed, {"access": 300}, fixes=True)
    assert plain.discordance == fixing.discordance == pytest.approx(28 / 300)
    assert plain.needed == pytest.approx(7.85 * plain.discordance / 0.03**2, rel=0.05)
    assert fixing.needed == pytest.approx(7.85 * plain.discordance / 0.07**2, rel=0.1), "3 points of tolerance and 4"
    assert "a model which gains the 4 points of validation does not lose 3 points" in fixing.how
    alike = rows_for_round(SPEC, truth, incumbent, wrong(40, start=20, truth=truth), {"access": 300}, fixes=True)
    assert alike.needed == pytest.approx(7.85 * alike.discordance / 0.03**2, rel=0.05)


def drawn(rng: np.random.Generator, rows: int, gain: float, apart: float = 0.08) -> tuple[Labels, Labels, Labels]:
    """Truth and answers of two models that differ on a share of rows; the second is better by `gain` in truth."""
    truth = rng.integers(0, CLASSES, rows)
    kind = rng.choice(3, size=rows, p=[1 - apart, (apart - gain) / 2, (apart + gain) / 2])
    miss = (truth + 1) % CLASSES
    return truth, np.where(kind == 2, miss, truth), np.where(kind == 1, miss, truth)


@pytest.mark.parametrize(
    ("gain", "times", "low", "high"),
    [
        (0.0, 200, 0.0, 0.05),
        pytest.param(0.03, 200, 0.74, 0.92, marks=pytest.mark.proof),
        (-0.02, 60, 0.0, 0.0),
        pytest.param(-0.02, 400, 0.0, 0.0, marks=pytest.mark.proof),
    ],
)
def test_how_often_the_incumbent_is_replaced(gain: float, times: int, low: float, high: float) -> None:
    rng, spec = np.random.default_rng(11), SPEC.model_copy(update={"evaluation": Evaluation(resamples=400)})
    rows, shipped = 750, 0  # Connor: 697 rows for 3 points at a discordance of 8 %
    for _ in range(times):
        truth, incumbent, candidate = drawn(rng, rows, gain)
        side = describe_side(spec, truth, incumbent)
        serving = Serving("1.0.0", incumbent, side, ORDINARY)
        sides = {"candidate": side, "baseline": side}
        answers = {"candidate": candidate, "baseline": (truth + 1) % CLASSES}
        shipped += decide_round(spec, serving, truth, answers, sides)[0].ship == "candidate"
    assert low <= shipped / times <= high
