from __future__ import annotations

import time

import numpy as np
import pytest
from drift_samples import LABELS, WIDTH, reference, rows
from scipy.stats import binomtest

from playbook.operate import drift
from playbook.operate.detectable import SHARES, detectable
from playbook.operate.drift import FIGURES, Judge, calibrate, rows_per_day
from playbook.operate.figures import RowFigures
from playbook.operate.reference import Reference
from playbook.spec import Monitoring

FAST = Monitoring(false_alarm_rate=0.05, resamples=199)


def holds(alarms: int, windows: int, rate: float) -> bool:
    """Whether the exact 99 % interval has the rate."""
    found = binomtest(alarms, windows).proportion_ci(0.99, method="exact")
    return bool(found.low <= rate <= found.high)


@pytest.mark.parametrize("size", [25, 90])
def test_false_alarms_come_at_the_promised_rate(size: int) -> None:
    random, alarms, windows = np.random.default_rng(size), 0, 300
    each = np.zeros(len(FIGURES))
    for window in range(windows):
        judge = Judge(reference(random, 200), FAST, window)
        found = judge.judge(*rows(random, size), window)
        alarms += any(figure.alarm for figure in found)
        each += [figure.alarm for figure in found]
    assert holds(alarms, windows, 0.05)
    assert each.max() < alarms  # no figure alone makes all of it, and no figure alone has the whole rate
    assert each.sum() > alarms * 0.99


def test_rows_of_another_kind_raise_the_alarm() -> None:
    random = np.random.default_rng(3)
    judge = Judge(reference(random, 400), Monitoring())
    seen = [any(figure.alarm for figure in judge.judge(*rows(random, 80, 0.3), at)) for at in range(20)]
    assert sum(seen) >= 18
    loud = {figure.name for figure in judge.judge(*rows(random, 80, 0.5), 1) if figure.alarm}
    assert {"mean_shift", "classifier", "mmd"} <= loud
    assert "words" not in loud


@pytest.mark.parametrize("name", ["words", "unknown_tokens", "other_scripts", "confidence", "predicted_classes"])
def test_each_simple_figure_sees_its_own_shift(name: str) -> None:
    random = np.random.default_rng(4)
    judge = Judge(reference(random, 400), Monitoring())
    figures, probabilities = rows(random, 100)
    if name == "words":
        figures = RowFigures(figures.features, figures.words + 8, figures.unknown, figures.letters)
    elif name == "unknown_tokens":
        figures = RowFigures(figures.features, figures.words, figures.unknown + np.float32(0.1), figures.letters)
    elif name == "other_scripts":
        figures = RowFigures(figures.features, figures.words, figures.unknown, figures.letters[:, ::-1].copy())
    elif name == "confidence":
        probabilities = (probabilities + 1) / (1 + len(LABELS))
    else:
        probabilities = np.sort(probabilities, axis=1)
    loud = {figure.name: figure for figure in judge.judge(figures, probabilities, 1) if figure.alarm}
    assert set(loud) == {name}
    found = loud[name]
    assert found.threshold is not None and found.usual is not None
    assert found.value > found.threshold or (found.low is not None and found.value < found.low)


def test_alarm_p_value_and_threshold_say_the_same() -> None:
    random = np.random.default_rng(5)
    judge, both = Judge(reference(random), FAST), set()
    for window in range(60):
        for found in judge.judge(*rows(random, 60, 0.02 * (window % 12)), window):
            over = found.threshold is not None and (
                found.value > found.threshold or (found.low is not None and found.value < found.low)
            )
            assert found.p_value is not None
            assert found.alarm == over == (found.p_value <= 0.05)
            both.add(found.alarm)
    assert both == {True, False}


def test_thresholds_are_known_before_the_window_and_repeat() -> None:
    random = np.random.default_rng(6)
    held = reference(random)
    first, again = calibrate(held, 60, FAST, 1), Judge(held, FAST, 1).thresholds(60)
    assert (first.drawn == again.drawn).all() and first.reference == held.digest
    assert first.drawn.shape == (len(FIGURES), 199)
    window = rows(random, 60)
    assert Judge(held, FAST, 1).judge(*window, 9) == Judge(held, FAST, 1).judge(*window, 9)
    assert (calibrate(held, 30, FAST, 1).drawn[0] != first.drawn[0]).all()
    assert calibrate(held, 30, FAST, 1).threshold(0) > first.threshold(0)  # a smaller window varies more


def test_a_large_window_is_cut_to_half_of_the_reference() -> None:
    random = np.random.default_rng(7)
    judge = Judge(reference(random, 100), FAST)
    assert judge.most_rows == 50 and judge.thresholds(5000).rows == 50
    quiet = [any(figure.alarm for figure in judge.judge(*rows(random, 400), at)) for at in range(20)]
    assert sum(quiet) < 8
    assert any(figure.alarm for figure in judge.judge(*rows(random, 400, 0.6), 1))


def test_a_large_reference_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "MOST_ROWS", 120)
    held = reference(np.random.default_rng(8), 300)
    judge = Judge(held, FAST)
    assert len(judge.reference) == 120 and judge.digest == held.digest


def test_constant_features_and_one_class_raise_no_alarm() -> None:
    random = np.random.default_rng(9)
    figures, probabilities = rows(random, 100)
    flat = RowFigures(np.ones((100, 4), np.float32), np.full(100, 7, np.int32), figures.unknown * 0, figures.letters)
    sure = np.zeros_like(probabilities)
    sure[:, 2] = 1
    judge = Judge(Reference(flat, sure, np.full(100, 2, np.int32), LABELS), FAST)
    window = flat.take(np.arange(40)), sure[:40]
    found = {figure.name: figure for figure in judge.judge(*window, 3)}
    assert not any(figure.alarm for figure in found.values())
    assert found["classifier"].value == 0.5 and found["mmd"].value == pytest.approx(0, abs=1e-6)
    assert all(np.isfinite(figure.value) for figure in found.values())
    longer = RowFigures(window[0].features, window[0].words + 1, window[0].unknown, window[0].letters)
    assert [figure.name for figure in judge.judge(longer, window[1], 3) if figure.alarm] == ["words"]
    assert detectable(judge, 40) is None


def test_a_window_of_one_row_many_times_is_seen_and_duplicates_in_the_reference_are_not() -> None:
    random = np.random.default_rng(10)
    held = reference(random, 150)
    twice = held.take(np.repeat(np.arange(150), 2))
    judge = Judge(twice, FAST)
    quiet = [any(figure.alarm for figure in judge.judge(*rows(random, 40), at)) for at in range(40)]
    assert sum(quiet) <= 10
    figures, probabilities = rows(random, 1)
    same = np.zeros(40, np.int64)
    assert any(figure.alarm for figure in judge.judge(figures.take(same), probabilities[same], 1))


@pytest.mark.parametrize(
    ("width", "classes", "said"),
    [(WIDTH + 1, 5, "features of the reference's base"), (WIDTH, 4, "expected probabilities of shape")],
)
def test_a_window_that_does_not_fit_is_refused(width: int, classes: int, said: str) -> None:
    random = np.random.default_rng(11)
    judge = Judge(reference(random), FAST)
    figures, probabilities = rows(random, 30, width=width)
    with pytest.raises(ValueError, match=said):
        judge.judge(figures, probabilities[:, :classes], 1)
    with pytest.raises(ValueError, match="at least one row"):
        judge.judge(*rows(random, 0), 1)


def test_with_as_few_resamples_as_the_rate_allows_the_first_figure_alone_can_alarm() -> None:
    random = np.random.default_rng(12)
    judge = Judge(reference(random), Monitoring(false_alarm_rate=0.005, resamples=199))
    found = judge.judge(*rows(random, 100, 0.9), 1)
    assert [figure.name for figure in found if figure.alarm] == [FIGURES[0]]
    assert all(figure.threshold is None for figure in found[1:])


def test_what_could_be_seen_grows_with_the_window() -> None:
    random = np.random.default_rng(13)
    judge = Judge(reference(random, 600), FAST)
    small, large = detectable(judge, 20), detectable(judge, 200)
    assert large in SHARES and (small is None or small > large)
    assert detectable(judge, 201) == large and len(judge.seen) == 2  # kept


def test_what_could_be_seen_is_what_windows_show() -> None:
    """Two kinds of rows, far apart: a window of half the missing kind is seen, of none is not."""
    random = np.random.default_rng(14)
    figures, probabilities = rows(random, 500, 0.5)
    judge = Judge(Reference(figures, probabilities, probabilities.argmax(axis=1).astype(np.int32), LABELS), FAST)
    assert (detectable(judge, 60) or 1.0) <= 0.4


def test_rows_per_day_are_held_against_earlier_days() -> None:
    random = np.random.default_rng(15)
    counts = [int(count) for count in random.poisson(20, 60)]
    usual = rows_per_day(counts, 7, FAST, 1)
    assert usual is not None and not usual.alarm and usual.low is not None and usual.threshold is not None
    assert usual.low < 20 < usual.threshold
    for factor in (0, 3):
        changed = rows_per_day([*counts[:-7], *(factor * count for count in counts[-7:])], 7, FAST, 1)
        assert changed is not None and changed.alarm and changed.p_value is not None and changed.p_value <= 0.05
    assert rows_per_day(counts[:20], 7, FAST) is None  # 13 earlier days
    assert rows_per_day(counts[:21], 7, FAST) is not None


def test_it_is_fast_enough_for_a_year_of_windows() -> None:
    random = np.random.default_rng(16)
    held = reference(random, 1000, width=384)
    judge = Judge(held, Monitoring())
    began = time.perf_counter()
    judge.judge(*rows(random, 200, width=384), 1)
    assert time.perf_counter() - began < 5  # 0.15 s on two quiet cores
