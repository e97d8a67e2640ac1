"""Costs of the paths: counted by hand on a probe with round figures, and the ratios that earlier tasks leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for

from playbook.artifacts import PATHS, BasePin, PathCost
from playbook.decide.cost import Workload, path_costs, run_seconds, saved
from playbook.decide.floors import ROW_FLOORS
from playbook.decide.probe import Probe
from playbook.decide.ratios import Spread, past_spread, read_ratios, record_ratio, spread_of
from playbook.errors import ArtifactError
from playbook.spec import TaskSpec

PROBE = Probe(20, 640, 6, frozen_seconds=0.001, training_seconds=0.003, losses=(1.6, 1.1), hardware="x", seconds=5)
PIN = BasePin(
    name="base", origin="folder", revision="r", weights_sha256="0" * 64, tokenizer_sha256="0" * 64, licence="MIT",
    parameters=20_000_000, blocks=6, width=400, pooling="mean", max_length=128,
)  # fmt: skip
WORK = Workload(1000, 100, PIN, PROBE, answer_seconds=0.012)


def spec_with(prices: dict[str, Any] | None = None, **adaptation: Any) -> TaskSpec:
    spec = spec_for(ORDINARY)
    plan = {"max_rungs": 2, "epochs": 5, "controls": {"scratch": False, "other_base": False}} | adaptation
    return TaskSpec.model_validate(spec.model_dump(mode="json") | {"adaptation": plan, "prices": prices or {}})


def by_path(costs: tuple[PathCost, ...]) -> dict[str, PathCost]:
    return {cost.path: cost for cost in costs}


def test_a_run_is_counted_by_hand() -> None:
    assert run_seconds(spec_with(), WORK) == {
        "frozen_baseline": pytest.approx(1100 * 6 * 0.001),
        "rungs": pytest.approx(5 * (1000 * 3 * 0.003 + 100 * 3 * 0.001)),  # one block, then two
    }


def test_controls_and_seeds_are_counted() -> None:
    spec = spec_with(controls={"scratch": True, "other_base": True, "seeds": 3})
    found = run_seconds(spec, WORK)
    assert found["scratch"] == pytest.approx(10 * (1000 * 7 * 0.003 + 100 * 6 * 0.001))  # epochs of both rungs
    assert found["seeds"] == pytest.approx(2 * 5 * (1000 * 2 * 0.003 + 100 * 2 * 0.001))
    assert "other_base" not in found  # the task has one base
    two = spec.model_copy(update={"bake_off": spec.bake_off.model_copy(update={"alternatives": (spec.base,)})})
    other = run_seconds(two, WORK)["other_base"]
    assert other == pytest.approx(found["frozen_baseline"] + 10 * (1000 * 2 * 0.003 + 100 * 2 * 0.001))


def test_without_the_cache_frozen_blocks_cost_in_every_epoch() -> None:
    cached, slow = (run_seconds(spec_with(cache_activations=flag), WORK)["rungs"] for flag in (True, False))
    assert slow - cached == pytest.approx(5 * 1100 * (5 + 4) * 0.001)


def test_rungs_are_no_more_than_the_base_has_blocks() -> None:
    assert run_seconds(spec_with(max_rungs=48), WORK) == run_seconds(spec_with(max_rungs=6), WORK)


def test_devices_share_the_time_but_not_the_device_hours() -> None:
    one, four = spec_with(devices=1), spec_with(devices=4)
    assert run_seconds(four, WORK)["rungs"] == pytest.approx(run_seconds(one, WORK)["rungs"] / 4)
    assert by_path(path_costs(four, WORK))["fine_tune"].device_hours == pytest.approx(
        by_path(path_costs(one, WORK))["fine_tune"].device_hours
    )


def test_every_path_has_its_price() -> None:
    prices = {
        "currency": "CHF", "device_hour": 3600.0, "person_hour": 100.0, "iteration_person_hours": 10.0, "label": 2.0,
        "storage_gb_month": 1.0, "storage_months": 10.0, "prompts_per_1000": 0.5, "serving_hour": 3600.0,
    }  # fmt: skip
    spec = spec_with(prices)
    spec = spec.model_copy(update={"decision": spec.decision.model_copy(update={"rows_obtainable": 50})})
    costs = by_path(path_costs(spec, WORK))
    assert tuple(costs) == PATHS and all(cost.unpriced == () for cost in costs.values())
    seconds = sum(run_seconds(spec, WORK).values())
    tuned = costs["fine_tune"]
    stored = (2 * 3 * 12 * 400**2 + 20_000_000) * 4 / 1e9  # one block, two blocks, each twice, and MLflow's bundle
    assert tuned.storage_gb == pytest.approx(8 * stored)
    assert costs["from_scratch"].storage_gb == pytest.approx(8 * 3 * 20_000_000 * 4 / 1e9)
    assert tuned.iterations == (3, 8)
    assert tuned.device_hours == pytest.approx(8 * seconds / 3600)
    assert tuned.hours_interval == pytest.approx((4 * seconds / 3600, 16 * seconds / 3600))
    assert tuned.money == pytest.approx(50 * 2 + 8 * (seconds + 1000 + 10 * stored))
    assert tuned.money_interval == pytest.approx((tuned.money - 4 * seconds, tuned.money + 8 * seconds))
    assert tuned.inference_per_1000 == pytest.approx(1000 * 0.012), "as serving gives them, one by one"
    assert costs["no_model"].money == 1000 and costs["no_model"].iterations == (1, 1)
    assert costs["prompt_or_retrieve"].money == 8000 and costs["prompt_or_retrieve"].inference_per_1000 == 0.5
    floor = ROW_FLOORS["text"]["from_scratch"].rows
    scratch = 3 * 10 * (floor * 7 * 0.003 + 100 * 6 * 0.001)
    assert costs["from_scratch"].device_hours == pytest.approx(8 * scratch / 3600)
    assert "50 further labels at 2 CHF" in tuned.how and "3 iterations come to" in tuned.how
    assert f"{floor - 1000:,} further labels at 2 CHF" in costs["from_scratch"].how
    assert costs["from_scratch"].money is not None and costs["from_scratch"].money > 2 * (floor - 1000)


def test_controls_are_stored_too() -> None:
    """On the sample task 213 MB of weights lay in the store and 71 MB in MLflow, of 17.2 million parameters."""
    plan = {"max_rungs": 2, "controls": {"scratch": True, "other_base": True}}
    spec = TaskSpec.model_validate(spec_for(ORDINARY).model_dump(mode="json") | {"adaptation": plan})
    spec = spec.model_copy(update={"bake_off": spec.bake_off.model_copy(update={"alternatives": (spec.base,)})})
    pin = PIN.model_copy(update={"parameters": 17_243_904, "blocks": 3, "width": 384})
    found = by_path(path_costs(spec, Workload(1883, 355, pin, PROBE)))["fine_tune"]
    assert found.storage_gb / 8 == pytest.approx(0.213 + 0.071, rel=0.03)
    without = spec_with()
    less = by_path(path_costs(without, Workload(1883, 355, pin, PROBE)))["fine_tune"]
    assert less.storage_gb < 0.5 * found.storage_gb


def test_what_has_no_price_is_not_priced_and_a_price_of_nothing_is_one() -> None:
    for cost in path_costs(spec_with(), WORK):
        assert (cost.money, cost.money_interval, cost.inference_per_1000) == (None, None, None)
        assert "work" in cost.unpriced and "1,000 answers are not priced" in cost.how
    assert by_path(path_costs(spec_with(), WORK))["from_scratch"].unpriced == (
        "device time", "work", "storage", "labels",
    )  # fmt: skip
    some = by_path(path_costs(spec_with({"person_hour": 50.0}), WORK))["fine_tune"]
    assert some.money == 8 * 16 * 50 and some.unpriced == ("device time", "storage")
    own = by_path(path_costs(spec_with({"device_hour": 0.0, "serving_hour": 0.0}), WORK))["fine_tune"]
    assert own.money == 0.0 and own.unpriced == ("work", "storage") and own.inference_per_1000 == 0.0


def test_what_takes_nothing_that_could_be_priced_costs_nothing() -> None:
    free = by_path(path_costs(spec_with({"iteration_person_hours": 0}), WORK))["prompt_or_retrieve"]
    assert free.money == 0 and free.unpriced == ()


def test_earlier_tasks_correct_the_estimate() -> None:
    twice = Spread(2.0, 1.5, 2.5, "as 9 earlier runs")
    plain, corrected = (by_path(path_costs(spec_with(), WORK, known))["fine_tune"] for known in (None, twice))
    assert corrected.device_hours == pytest.approx(2 * plain.device_hours)
    assert corrected.hours_interval == pytest.approx((1.5 * plain.device_hours, 2.5 * plain.device_hours))
    assert "times 2.00" in corrected.how and "as 9 earlier runs" in corrected.how and "times" not in plain.how


def test_without_a_probe_nothing_is_claimed() -> None:
    spec, blind = spec_with(), Workload(1000, 100)
    assert run_seconds(spec, blind) == {}
    tuned = by_path(path_costs(spec, blind))["fine_tune"]
    assert tuned.device_hours == 0 and tuned.hours_interval is None and "could not be read" in tuned.how
    assert "device time" in tuned.unpriced and tuned.storage_gb == 0


def test_what_ending_early_saves() -> None:
    spec = spec_with({"person_hour": 50.0})
    text = saved(path_costs(spec, WORK), "EUR", "tfidf")
    hours = 8 * sum(run_seconds(spec, WORK).values()) / 3600
    assert "by tfidf" in text and "3 to 8 iterations" in text and f"{hours:.2g} device-hours ({hours / 2:.2g}" in text
    assert "5,600.00 EUR" in text  # seven iterations of 16 hours at 50
    assert "Not priced: device time, storage." in text
    assert "EUR" not in saved(path_costs(spec_with(), WORK), "EUR", "tfidf")


def test_the_ratio_is_the_median_of_the_last_ten(tmp_path: Path) -> None:
    path = tmp_path / "ledgers" / "cost_ratios.jsonl"
    assert past_spread(path).ratio == 1.0
    for number in range(12):
        assert record_ratio(path, f"task_{number}", 100.0, 50.0 + 10 * number) == pytest.approx(0.5 + 0.1 * number)
    assert past_spread(path).ratio == pytest.approx((1.1 + 1.2) / 2)  # of 0.7 to 1.6
    first = read_ratios(path)[0]
    assert (first["task"], first["estimated"], first["actual"]) == ("task_0", 100.0, 50.0)


def test_one_training_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for task, actual in (("a", 11.0), ("b", 11.0), ("a", 11.0), ("a", 12.0), ("a", 11.0)):
        assert record_ratio(path, task, 10.0, actual) == pytest.approx(actual / 10)
    told = [(line["task"], line["actual"]) for line in read_ratios(path)]
    assert told == [("a", 11.0), ("b", 11.0), ("a", 12.0), ("a", 11.0)]
    path.write_text(path.read_text() + "{\n")
    assert record_ratio(path, "c", 10.0, 5.0) == 0.5 and '"c"' in path.read_text().splitlines()[-1]


@pytest.mark.parametrize("times", [(0.0, 5.0), (5.0, 0.0), (-1.0, 5.0), (float("inf"), 5.0), (5.0, float("nan"))])
def test_no_ratio_without_two_times(tmp_path: Path, times: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two positive times"):
        record_ratio(tmp_path / "r.jsonl", "tickets", *times)
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize("line", ["{", "[1]", '{"task": "x"}', '{"ratio": 0}', '{"ratio": "fast"}', '{"ratio": NaN}'])
def test_an_edited_ratio_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    record_ratio(path, "tickets", 10, 11)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ArtifactError, match="line 2"):
        past_spread(path)
    path.write_text(path.read_text().splitlines()[0] + "\n" + json.dumps({"ratio": 3.1}) + "\n")
    assert past_spread(path).ratio == pytest.approx((1.1 + 3.1) / 2)


def test_few_earlier_runs_leave_a_wide_interval_that_is_said_to_be_one() -> None:
    assert (spread_of([]).low, spread_of([]).high) == (0.5, 2.0) and "as there are no earlier runs yet" in spread_of(
        []
    ).told
    few = spread_of([1.2, 1.4])
    assert (few.ratio, few.low, few.high) == pytest.approx((1.3, 0.65, 2.6)) and "2 earlier runs" in few.told
    assert few.low <= 191 / 140 <= few.high, "191 s came where 140 s were promised"


@pytest.mark.parametrize("spread", [0.4, *(pytest.param(spread, marks=pytest.mark.proof) for spread in (0.15, 0.8))])
def test_the_interval_of_an_estimate_holds_a_further_run_in_nine_of_ten_cases(spread: float) -> None:
    """Simulated: ratios of a log-normal kind, 5 to 10 of them known, the next one inside or not."""
    draws = np.random.default_rng(4)
    for known in (5, 7, 10):
        tried = np.exp(0.3 + spread * draws.standard_normal((800, known + 1)))
        found = [spread_of(row[:-1].tolist()) for row in tried]
        inside = np.mean([one.low <= row[-1] <= one.high for one, row in zip(found, tried, strict=True)])
        assert 0.87 <= inside <= 0.935, known
    alike = spread_of([1.0] * 8)
    assert alike.low == pytest.approx(1 / 1.1) and alike.high == pytest.approx(1.1), "never narrower than a tenth"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in (1, 2))])
def test_the_interval_holds_for_ratios_that_are_no_log_normal(seed: int) -> None:
    """Two further kinds with known truth: uniform ratios, and a heavy tail to the slow side."""
    draws = np.random.default_rng(seed)
    for kind in (draws.uniform(0.6, 1.8, (600, 9)), 1 + draws.gamma(1.5, 0.3, (600, 9))):
        found = [spread_of(row[:-1].tolist()) for row in kind]
        inside = np.mean([one.low <= row[-1] <= one.high for one, row in zip(found, kind, strict=True)])
        assert inside >= 0.86
