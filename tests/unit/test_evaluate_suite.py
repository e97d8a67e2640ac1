from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from report_samples import ORDINARY, PIN, score, spec_for

from playbook.artifacts import (
    Agreement,
    BaseCandidate,
    BaseSelection,
    BehaviourTest,
    Capability,
    Comparison,
    Evaluation,
    Figure,
    Latency,
    Regression,
    Score,
    Shift,
    Side,
    TransferVerdict,
)
from playbook.evaluate.report_sign_off import LIFTS
from playbook.evaluate.speed import BATCHES, measure_speed, measure_speeds
from playbook.evaluate.suite import blockers, headline_warnings
from playbook.spec import TaskSpec

SHIFTED = "Validation and test differ: a classifier tells them apart with AUC 0.83 (0.5 would mean no difference)."


def evaluation(**parts: Any) -> Evaluation:
    fields = {"task": "demo", "ship": "candidate", "target": 0.85, "metric": "accuracy"}
    return Evaluation(**(fields | parts))


def shift(name: Any = "validation and test", differs: bool = True) -> Shift:
    return Shift(name=name, rows=(300, 600), auc=0.83, p_value=0.001, class_mix=0.12, class_mix_p_value=0.001,
                 length_ratio=1.0, score=None, differs=differs, text=SHIFTED)  # fmt: skip


def regressed(passed: bool, against: Any = "frozen baseline") -> Regression:
    return Regression(against=against, version="", broken=40, mended=9, share=0.06, allowed=0.05,
                      per_class=(), passed=passed, text="The candidate gets 40 rows wrong.")  # fmt: skip


def behaved(passed: bool, cases: int = 100, shown: Any = "candidate", name: str = "typos") -> BehaviourTest:
    return BehaviourTest(name=name, kind="invariance", cases=cases, failed_baseline=30, failed_candidate=12,
                         allowed=0.05, passed=passed, shown=shown)  # fmt: skip


def agreed(kappa: float) -> Agreement:
    figure = Figure(value=kappa, low=kappa - 0.1, high=kappa + 0.1)
    return Agreement(rows=300, kappa=figure, observed=0.8, per_class={}, disagreements=())


def production(value: float, high: float) -> Score:
    return Score(metric="accuracy", value=value, low=value - 0.05, high=high, n=200)


STANDS = [
    ("regression_budget", {"regressions": (regressed(False),)}, {"regressions": (regressed(True),)}, "40 rows wrong"),
    ("behavioural_tests", {"behaviour": (behaved(False),)}, {"behaviour": (behaved(True),)},
     "“typos” (12 of 100 cases, allowed 5 %)"),
    ("production_slice", {"production": production(0.78, 0.83)}, {"production": production(0.82, 0.86)},
     "On 200 rows like those of production accuracy is 78.0 % (73.0 % to 83.0 %), under the target of 85 %; the whole"),
    ("shifted_test", {"shifts": (shift(),)}, {"shifts": (shift(differs=False), shift("test and production"))}, SHIFTED),
    ("negative_transfer", {"transfer": TransferVerdict(transfer="hurts", text="Scratch is better.")},
     {"transfer": TransferVerdict(transfer="does nothing")}, "Scratch is better."),
]  # fmt: skip


@pytest.mark.parametrize(("what", "bad", "good", "said"), STANDS, ids=[row[0] for row in STANDS])
def test_every_blocker_stands_by_its_rule_and_only_by_it(
    what: str, bad: dict[str, Any], good: dict[str, Any], said: str
) -> None:
    spec = spec_for(ORDINARY)
    found = blockers(spec, evaluation(**bad))
    assert [blocker.what for blocker in found] == [what]
    assert said in found[0].text
    assert blockers(spec, evaluation(**good)) == ()


def test_labels_that_two_people_do_not_agree_on() -> None:
    spec = spec_for(ORDINARY)
    found = blockers(spec, evaluation(), agreed(0.65))  # the lower end of its interval is under the floor
    assert [blocker.what for blocker in found] == ["label_agreement"]
    assert "Cohen's kappa 0.65 (0.55 to 0.75) on 300 rows, floor 0.6" in found[0].text
    assert blockers(spec, evaluation(), agreed(0.7)) == ()


def test_what_the_candidate_breaks_is_no_matter_where_the_baseline_ships() -> None:
    spec, parts = spec_for(ORDINARY), {"regressions": (regressed(False),)}
    assert blockers(spec, evaluation(ship="baseline", **parts)) == ()
    assert len(blockers(spec, evaluation(ship="nothing", **parts))) == 1
    champion = {"regressions": (regressed(False, "champion"),)}  # whatever ships is held against it
    for ship in ("baseline", "candidate"):
        assert [one.what for one in blockers(spec, evaluation(ship=ship, **champion))] == ["regression_budget"]


def test_all_blockers_come_together() -> None:
    everything: dict[str, Any] = {}
    for _, bad, _, _ in STANDS:
        everything |= bad
    found = blockers(spec_for(ORDINARY), evaluation(**everything), agreed(0.1))
    assert [blocker.what for blocker in found] == [
        "regression_budget", "behavioural_tests", "production_slice", "shifted_test", "label_agreement",
        "negative_transfer",
    ]  # fmt: skip


def test_the_headline_says_what_is_shifted_failing_or_short() -> None:
    shifts = (shift(), shift("test and production"))
    tests = (behaved(True), behaved(False, shown="baseline"), behaved(False, cases=0, name="names"))
    found = headline_warnings(evaluation(shifts=shifts, production=production(0.82, 0.87), behaviour=tests))
    assert found[:2] == (SHIFTED, SHIFTED)
    assert found[2].endswith("under the target of 85 %; its interval still reaches it.")
    assert found[3] == (
        "Behavioural tests failed: “typos” (30 of 100 cases, allowed 5 %) and “names” (no case to test)."
    )
    assert headline_warnings(evaluation(shifts=(shift(differs=False),), production=score(0.9))) == ()
    assert headline_warnings(evaluation()) == ()


def test_the_headline_says_that_no_behavioural_test_was_written() -> None:
    opened = {"baseline": Side(scores={}, per_class=(), confusion=())}
    (said,) = headline_warnings(evaluation(**opened))
    assert said.startswith("No behavioural tests were written: ") and "evaluation.behaviour" in said
    assert headline_warnings(evaluation(**opened, behaviour=(behaved(True),))) == ()


def able(passed: bool, against: Any = "champion") -> Capability:
    lost = Figure(value=-0.1, low=-0.2, high=-0.02)
    return Capability(against=against, version="", rows=60, before=0.95, now=0.85, broken=8, mended=2, net=lost,
                      allowed=0.01, passed=passed, text="It lost.")  # fmt: skip


def test_a_capability_that_is_lost_blocks() -> None:
    spec = spec_for(ORDINARY)
    assert blockers(spec, evaluation(capabilities=(able(True),))) == ()
    (found,) = blockers(spec, evaluation(capabilities=(able(False),)))
    assert (found.what, found.text) == ("capability", "It lost.")
    baseline = evaluation(ship="baseline", capabilities=(able(False, "frozen baseline"),))
    assert blockers(spec, baseline) == (), "what ships is the frozen baseline itself"
    assert LIFTS["capability"]


def test_losing_to_the_runner_up_base_is_in_the_headline() -> None:
    def over(low: float, high: float) -> Evaluation:
        return evaluation(transfer=TransferVerdict(over_other_base=Figure(value=(low + high) / 2, low=low, high=high)))

    assert headline_warnings(over(-0.041, -0.009)) == (
        "The runner-up base does better: the frozen baseline is −2.5 points (−4.1 to −0.9) beside it.",
    )
    assert "the interval includes zero" in headline_warnings(over(-0.041, 0.001))[0]
    assert headline_warnings(over(0.01, 0.02)) == ()


def bake_off() -> BaseSelection:
    pins = [PIN.model_copy(update={"name": name}) for name in ("MiniLM", "bge-small")]
    candidates = [
        BaseCandidate(name=pin.name, score=score(value)) for pin, value in zip(pins, (0.79, 0.8), strict=True)
    ]
    return BaseSelection(task="demo", pin=pins[0], chosen=0, runner_up=1, runner_up_pin=pins[1], candidates=candidates)


def test_the_headline_says_why_a_stronger_runner_up_was_not_taken() -> None:
    over = TransferVerdict(over_other_base=Figure(value=-0.019, low=-0.036, high=-0.002))
    compared = [
        Comparison(name=name, test=score(value)) for name, value in (("candidate", 0.872), ("other_base", 0.891))
    ]
    lost = evaluation(transfer=over, comparisons=compared, candidate=Side(scores={}, per_class=(), confusion=()))
    (said,) = headline_warnings(lost, bake_off())
    assert said.startswith(
        "The runner-up base bge-small reaches 89.1 % on test, the candidate 87.2 %: the candidate is −1.9 points "
        "(−3.6 to −0.2) beside it. It was not taken because the base is chosen before fine-tuning: frozen, it reached "
        "80.0 % on validation and the chosen one 79.0 % (see “Which base, and why”)."
    )
    assert (
        "by a frozen probe on validation rows."
        in headline_warnings(lost, bake_off().model_copy(update={"chosen": None}))[0]
    )
    assert "make it the task's only base" in said and "fresh test rows" in said


def priced(**prices: Any) -> TaskSpec:
    document = spec_for(ORDINARY).model_dump(mode="json")
    document["prices"] |= prices
    return TaskSpec.model_validate(document)


def test_speed_and_what_it_costs() -> None:
    asked: list[int] = []

    def answer(texts: list[str]) -> Any:
        asked.append(len(texts))
        return np.zeros((len(texts), 5))

    spec = priced(serving_hour=3.6, currency="CHF")
    found = measure_speed(spec, "candidate", answer, ["a", "b", "c"], seconds=0.0)
    assert [one.batch for one in found.latency] == [1, 32]
    assert {1, 32} == set(asked)
    assert all(0 <= one.p50_ms <= one.p95_ms for one in found.latency)
    assert found.cost_per_1000 == pytest.approx(1 / found.latency[0].per_second)  # 3.6 an hour: 0.001 a second
    assert (found.currency, found.model) == ("CHF", "candidate")
    assert measure_speed(priced(), "baseline", answer, ["a"], seconds=0.0).cost_per_1000 is None, "not priced"
    assert measure_speed(priced(serving_hour=0.0), "baseline", answer, ["a"], seconds=0.0).cost_per_1000 == 0
    with pytest.raises(ValueError, match="at least one text"):
        measure_speed(spec, "baseline", answer, [])


def test_models_are_timed_in_turn_and_keep_their_quieter_round(monkeypatch: pytest.MonkeyPatch) -> None:
    medians = {"baseline": iter((9.0, 2.0, 9.0, 60.0)), "candidate": iter((3.0, 8.0, 50.0, 70.0))}
    turns: list[tuple[str, int]] = []

    def timed(answer: Any, texts: Any, batch: int, fewest: int, seconds: float) -> Latency:
        name = answer(["a"])
        turns.append((name, batch))
        median = next(medians[name])
        return Latency(batch=batch, p50_ms=median, p95_ms=2 * median, per_second=1000 / median)

    monkeypatch.setattr("playbook.evaluate.speed.time_calls", timed)
    found = measure_speeds(
        priced(serving_hour=3.6), {"baseline": lambda _: "baseline", "candidate": lambda _: "candidate"}, ["a"]
    )
    assert turns == [(name, batch) for batch in BATCHES for _ in range(2) for name in ("baseline", "candidate")]
    assert [one.model for one in found] == ["baseline", "candidate"]
    assert [[part.p50_ms for part in one.latency] for one in found] == [[2.0, 9.0], [3.0, 50.0]]
    assert found[0].cost_per_1000 == pytest.approx(0.002)
    with pytest.raises(ValueError, match="at least one text"):
        measure_speeds(priced(), {}, [])
