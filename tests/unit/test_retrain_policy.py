"""The retraining policy: each trigger both ways, and everything that holds a round back."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from report_samples import ORDINARY, spec_for
from scipy.stats import binomtest

from playbook.artifacts import Drift, DriftFigure, Score
from playbook.evaluate.paired import wilson
from playbook.operate.drift import FIGURES
from playbook.operate.policy import Facts, decide_retraining, drift_began, sure_enough
from playbook.operate.thresholds import thresholds_of
from playbook.spec import Monitoring, TaskSpec
from playbook.spec.drift_rates import finer

DAY = date(2025, 10, 10)


def spec_with(**retraining: Any) -> TaskSpec:
    document = spec_for(ORDINARY).model_dump(mode="json")
    document["retraining"] = {"drift": {"alarms": 2, "windows": 3}, "min_new_labels": 10, **retraining}
    document["monitoring"] = {"window_days": 3}
    document["target"]["at_least"] = 0.85
    return TaskSpec.model_validate(document)


def windows(*alarms: bool, version: str = "1.0.0", live: Score | None = None) -> list[Drift]:
    days = [DAY - timedelta(back) for back in range(len(alarms) - 1, -1, -1)]
    found = [
        Drift(
            task="tickets",
            day=day.isoformat(),
            judged=True,
            alarm=alarm,
            p_value=0.001 if alarm else 0.4,
            model_version=version,
        )
        for day, alarm in zip(days, alarms, strict=True)
    ]
    return [*found[:-1], found[-1].model_copy(update={"live": live})]


def facts(**more: Any) -> Facts:
    given = {"day": DAY, "version": "1.0.0", "windows": windows(False, False, False), "new_rows": [DAY] * 20}
    return Facts(**{**given, **more})


def score(value: float, low: float, high: float) -> Score:
    return Score(metric="accuracy", value=value, low=low, high=high, n=80)


def test_nothing_holds_so_nothing_fires_and_all_that_was_looked_at_is_kept() -> None:
    found = decide_retraining(spec_with(), facts())
    assert (found.fired, found.triggers, found.reason) == (False, {}, "not fired: no trigger holds")
    assert set(found.checked) == {
        "metric",
        "metric_differs",
        "drift",
        "new_labels",
        "new_class",
        "task_changed",
        "better_base",
    }
    assert found.checked["drift"] == "p at most 0.0016 in 0 of the last 3 windows, 2 count"


def test_drift_fires_in_k_of_n_windows_of_the_version_that_serves() -> None:
    assert not decide_retraining(spec_with(), facts(windows=windows(False, False, True))).fired
    found = decide_retraining(spec_with(), facts(windows=windows(True, False, True)))
    assert found.fired
    assert found.triggers == {"drift": "p at most 0.0016 in 2 of the last 3 windows, 2 count"}
    older = decide_retraining(spec_with(), facts(windows=windows(True, True, True, version="0.9.0")))
    assert not older.fired
    assert not decide_retraining(spec_with(drift=None), facts(windows=windows(True, True, True))).fired


def test_alarms_before_the_windows_that_count_do_not_count() -> None:
    found = decide_retraining(spec_with(), facts(windows=windows(True, True, False, False, True)))
    assert not found.fired


@pytest.mark.parametrize(
    ("live", "fires"),
    [
        (score(0.80, 0.78, 0.82), True),
        (score(0.80, 0.76, 0.84), False),  # enough for one look, not for sixty
        (score(0.80, 0.70, 0.86), False),
        (None, False),
    ],
)
def test_the_metric_fires_by_its_interval_not_by_its_point(live: Score | None, fires: bool) -> None:
    found = decide_retraining(spec_with(), facts(windows=windows(False, False, False, live=live)))
    assert found.fired is fires
    assert ("metric" in found.triggers) is fires


def test_a_threshold_of_its_own_for_the_metric() -> None:
    low = facts(windows=windows(False, False, False, live=score(0.80, 0.78, 0.82)))
    assert decide_retraining(spec_with(metric_below=0.84), low).fired
    assert not decide_retraining(spec_with(metric_below=0.75), low).fired


def test_new_labels_a_new_class_a_changed_task_and_a_better_base() -> None:
    assert decide_retraining(spec_with(new_labels=20), facts()).triggers.keys() == {"new_labels"}
    assert not decide_retraining(spec_with(new_labels=21), facts()).fired
    ready = {"new_classes": {"returns": 50}, "classes_may_grow": True}
    assert decide_retraining(spec_with(), facts(**ready)).triggers.keys() == {"new_class"}
    waits = decide_retraining(spec_with(), facts(strange={"returns": 50}, classes_may_grow=True))
    assert (waits.fired, "enough in every split" in waits.checked["new_class"]) == (False, True)
    alone = decide_retraining(spec_with(), facts(strange={"returns": 50}))
    assert not alone.fired
    assert "the label set does not grow" in alone.checked["new_class"]
    for name, text in (("task_changed", "another target"), ("better_base", "B instead of A")):
        found = decide_retraining(spec_with(), facts(**{name: text, "new_rows": []}))
        assert (found.fired, found.triggers) == (True, {name: text})  # no new label is needed for these
        assert not decide_retraining(spec_with(**{name: False}), facts(**{name: text})).fired


def test_a_round_waits_for_labels_since_the_drift_began() -> None:
    seen = windows(True, False, True)
    before = [DAY - timedelta(30)] * 500
    waits = decide_retraining(spec_with(), facts(windows=seen, new_rows=[*before, *[DAY] * 9]))
    assert not waits.fired
    assert waits.held_back == "9 new labelled rows since 2025-10-06, a round waits for 10"
    assert decide_retraining(spec_with(), facts(windows=seen, new_rows=[*before, *[DAY] * 10])).fired
    assert drift_began(spec_with(), facts(windows=seen)) == date(2025, 10, 6)  # the window of the 8th began there


def test_drift_that_goes_on_counts_labels_from_its_beginning() -> None:
    """Labels come twelve days late: what counts is when the first alarm of the row was raised, not the last windows."""
    seen = windows(*[True] * 40)
    late = [DAY - timedelta(12)] * 10
    assert drift_began(spec_with(), facts(windows=seen)) == DAY - timedelta(41)
    assert decide_retraining(spec_with(), facts(windows=seen, new_rows=late)).fired
    pause = windows(*[True] * 10, *[False] * 4, *[True] * 2)
    assert drift_began(spec_with(), facts(windows=pause)) == DAY - timedelta(3)


def test_without_a_place_for_rows_nothing_fires_that_would_teach_nothing() -> None:
    found = decide_retraining(spec_with(), facts(windows=windows(True, True, True), rows_may_grow=False, new_rows=()))
    assert not found.fired
    assert "names no data.accumulated" in found.held_back
    assert decide_retraining(spec_with(), facts(task_changed="another target", rows_may_grow=False)).fired


def test_cool_down_and_a_round_that_was_asked_for_hold_back() -> None:
    seen = {"windows": windows(True, True, True)}
    cool = decide_retraining(spec_with(cool_down_days=14), facts(**seen, last_round=DAY - timedelta(13)))
    assert (cool.fired, cool.held_back) == (False, "cool-down after the round of 2025-09-27, until 2025-10-11")
    assert decide_retraining(spec_with(cool_down_days=14), facts(**seen, last_round=DAY - timedelta(14))).fired
    asked = decide_retraining(spec_with(), facts(**seen, asked_already="2025-10-09"))
    assert asked.held_back == "a round was asked for on 2025-10-09 and has not begun"
    assert asked.reason.startswith("held back: drift (p at most 0.0016 in 3 of the last 3 windows, 2 count)")


def test_without_a_model_there_is_nothing_to_retrain() -> None:
    found = decide_retraining(spec_with(), facts(version=""))
    assert (found.fired, found.reason) == (False, "no model serves yet: there is nothing to retrain")


@pytest.mark.parametrize(
    ("live", "fires"),
    [(score(0.80, 0.78, 0.82), True), (score(0.97, 0.96, 0.98), True), (score(0.84, 0.82, 0.86), False), (None, False)],
)
def test_the_live_metric_is_held_against_the_test_split_both_ways(live: Score | None, fires: bool) -> None:
    spec = spec_with(metric_differs=0.03, metric_below=0.1)
    known = facts(windows=windows(False, False, False, live=live), held_out=score(0.89, 0.88, 0.90))
    found = decide_retraining(spec, known)
    assert ("metric_differs" in found.triggers) is fires
    if live is not None:
        assert "on test 0.890" in found.checked["metric_differs"]
    unknown = decide_retraining(spec, facts(windows=windows(False, False, False, live=live)))
    assert not unknown.triggers and "package it again" in unknown.checked["metric_differs"]
    assert decide_retraining(spec_with(), known).checked["metric_differs"] == "not asked for"


def test_every_trigger_states_how_often_it_holds_without_cause() -> None:
    found = decide_retraining(spec_with(metric_differs=0.05), facts())
    assert set(found.false_alarms) == set(found.checked)
    for name in ("metric", "metric_differs", "drift"):
        assert found.false_alarms[name] == "at most 5.0 % of streams without a change in 60 days"
    assert "no false alarm" in found.false_alarms["new_labels"]
    often = spec_with(false_alarm_rate=0.5)  # no surer than the alarm asks: the rate that is stated is the kept one
    assert decide_retraining(often, facts()).false_alarms["drift"].startswith("at most 31.0 %")


def policy(rate: float, alarms: int, windows: int, resamples: int) -> TaskSpec:
    document = spec_for(ORDINARY).model_dump(mode="json")
    document["retraining"] = {"drift": {"alarms": alarms, "windows": windows}, "false_alarm_rate": rate}
    document["monitoring"] = {"resamples": resamples}
    return TaskSpec.model_validate(document)


@pytest.mark.parametrize(
    ("rate", "alarms", "windows", "resamples"),
    [(0.05, 3, 5, 682), (0.05, 3, 5, 999), (0.5, 1, 1, 199), (0.01, 3, 5, 3413), (0.00103, 5, 5, 20_000)],
)
def test_at_every_rate_that_is_allowed_each_figure_can_count(
    rate: float, alarms: int, windows: int, resamples: int
) -> None:
    """A window beyond all random ones in one figure alone; in each other figure another random window is the first."""
    sure, count, random = sure_enough(policy(rate, alarms, windows, resamples)), len(FIGURES), np.random.default_rng(2)
    thresholds = thresholds_of(random.random((finer(resamples), count)), sure, 70)
    for figure in range(count):
        window = np.full(count, 0.5)
        window[figure] = 2.0
        assert thresholds.p_values(window).min() <= sure, FIGURES[figure]


@pytest.mark.parametrize(
    ("rate", "alarms", "windows", "resamples", "enough", "least"),
    [
        (0.05, 3, 5, 681, 682, 0.0501),
        (0.01, 3, 5, 999, 3413, 0.0342),
        (0.001, 3, 5, 999, None, 0.0342),  # of resamples more than are allowed would be needed
        (0.05, 1, 92, 199, 4831, None),  # of the rate
        (0.001, 1, 92, 199, None, None),
    ],
)
def test_a_rate_at_which_some_figure_could_never_count_is_refused(
    rate: float, alarms: int, windows: int, resamples: int, enough: int | None, least: float | None
) -> None:
    with pytest.raises(ValueError, match="cannot show in every figure of drift") as refused:
        policy(rate, alarms, windows, resamples)
    said = str(refused.value)
    assert (f"monitoring.resamples of at least {enough or 0:,}" in said) is (enough is not None)
    assert (f"a rate of at least {least or 0:g}" in said) is (least is not None)
    assert ("a larger rate with more" in said) is (enough is None and least is None)
    if enough is not None:
        assert policy(rate, alarms, windows, enough).monitoring.resamples == enough
    if least is not None:
        assert policy(least, alarms, windows, resamples).retraining.false_alarm_rate == least


def test_an_alarm_that_some_figure_could_never_raise_is_refused() -> None:
    with pytest.raises(ValueError, match="resamples of at least 1599, so that every figure"):
        Monitoring(false_alarm_rate=0.001)
    assert Monitoring(false_alarm_rate=0.001, resamples=1599).resamples == 1599


def test_windows_of_earlier_releases_have_the_p_value_of_their_figures() -> None:
    old = [
        one.model_copy(
            update={"p_value": None, "figures": (DriftFigure(name="mmd", value=1.0, p_value=0.001, alarm=True),)}
        )
        for one in windows(True, True, True)
    ]
    assert "drift" in decide_retraining(spec_with(), facts(windows=old)).triggers


def test_a_metric_at_its_threshold_seldom_fires_in_sixty_days_of_daily_looks() -> None:
    """One point above it, 9 of 24 streams fired when each day was looked at as if it were the only one."""
    spec, random, fired, streams = spec_with(metric_below=0.85), np.random.default_rng(3), 0, 150
    counts = random.poisson(12, (streams, 62))
    hits = random.binomial(counts, 0.86)
    for stream in range(streams):
        for at in range(60):
            n, right = int(counts[stream, at : at + 3].sum()), int(hits[stream, at : at + 3].sum())
            low, high = wilson(right, n, spec.evaluation.confidence)
            live = Score(metric="accuracy", value=right / n, low=low, high=high, n=n)
            seen = windows(False, live=live)
            if "metric" in decide_retraining(spec, facts(windows=seen)).triggers:
                fired += 1
                break
    assert binomtest(fired, streams).proportion_ci(0.99, method="exact").low <= 0.05
