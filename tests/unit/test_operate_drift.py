from __future__ import annotations

import numpy as np
import pytest
from drift_samples import LABELS, WIDTH, drawn_truth, reference, rows
from scipy.stats import binomtest

from playbook.operate import drift
from playbook.operate.detectable import SHARES, detectable
from playbook.operate.drift import FIGURES, Judge, rows_per_day
from playbook.operate.figures import RowFigures
from playbook.operate.reference import Reference
from playbook.spec import Monitoring
from playbook.spec.drift_rates import FIGURES as FIGURE_COUNT
from playbook.spec.drift_rates import resamples_for

FAST = Monitoring(false_alarm_rate=0.05, resamples=199)


def holds(alarms: int, windows: int, rate: float) -> bool:
    """Whether the exact 99 % interval has the rate."""
    found = binomtest(alarms, windows).proportion_ci(0.99, method="exact")
    return bool(found.low <= rate <= found.high)


@pytest.mark.parametrize(("size", "windows"), [(25, 200), pytest.param(90, 300, marks=pytest.mark.proof)])
def test_false_alarms_come_at_the_promised_rate(size: int, windows: int) -> None:
    random, alarms = np.random.default_rng(size), 0
    each = np.zeros(len(FIGURES))
    for window in range(windows):
        judge = Judge(reference(random, 120), FAST, window)
        found = judge.judge(*rows(random, size), window)
        alarms += any(figure.alarm for figure in found)
        each += [figure.alarm for figure in found]
    assert holds(alarms, windows, 0.05)
    assert each.max() < alarms  # no figure alone makes all of it, and no figure alone has the whole rate
    assert each.sum() > alarms * 0.99


def test_rows_of_another_kind_raise_the_alarm() -> None:
    random = np.random.default_rng(3)
    judge = Judge(reference(random, 400), Monitoring(resamples=199))
    seen = [any(figure.alarm for figure in judge.judge(*rows(random, 80, 0.3), at)) for at in range(8)]
    assert sum(seen) >= 7
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
    judge, both = Judge(reference(random, 150), FAST), set()
    for window in range(60):
        for found in judge.judge(*rows(random, 60, 0.02 * (window % 12)), window):
            over = found.threshold is not None and (
                found.value > found.threshold or (found.low is not None and found.value < found.low)
            )
            assert found.p_value is not None
            assert found.alarm == over == (found.p_value <= 0.05)
            both.add(found.alarm)
    assert both == {True, False}


def test_a_window_is_judged_the_same_every_time() -> None:
    random = np.random.default_rng(6)
    held = reference(random)
    window = rows(random, 60)
    first, again, other = (Judge(held, FAST, 1).judge(*window, seed) for seed in (9, 9, 10))
    assert first == again and [one.value for one in first] == pytest.approx([one.value for one in other])
    smaller, larger = (Judge(held, FAST, 1).judge(*rows(random, size), 9)[0] for size in (30, 90))
    assert smaller.threshold is not None and larger.threshold is not None
    assert smaller.threshold > larger.threshold  # a smaller window varies more


@pytest.mark.parametrize("name", ["unknown_tokens", "other_scripts"])
def test_one_foreign_word_where_the_reference_has_none_is_no_alarm(name: str) -> None:
    random = np.random.default_rng(21)
    held = reference(random, 400)
    judge = Judge(Reference(plain(held.figures), held.probabilities, held.truth, LABELS), Monitoring())
    for strange, alarms in ((1, False), (2, False), (10, True)):
        figures, probabilities = rows(random, 60)
        figures = plain(figures)
        if name == "unknown_tokens":
            figures.unknown[:strange] = 0.2
        else:
            figures.letters[:strange, 1] = 9
        found = {figure.name: figure for figure in judge.judge(figures, probabilities, 1)}[name]
        assert found.alarm is alarms
        assert (found.threshold is None) is (strange < 3)  # under the floor it is only shown


@pytest.mark.parametrize(
    ("size", "held"), [pytest.param(*one, marks=pytest.mark.proof) for one in ((30, 150), (60, 60))]
)
def test_rare_words_raise_false_alarms_no_more_often_than_promised(size: int, held: int) -> None:
    """One row in a hundred has a foreign word: most references have some, some have none."""
    random, alarms, windows = np.random.default_rng(size + held), 0, 200
    for window in range(windows):
        figures, probabilities = rows(random, held + size)
        figures = plain(figures)
        figures.letters[random.random(len(figures)) < 0.01, 1] = 9
        first, rest = np.arange(held), np.arange(held, held + size)
        kept = Reference(figures.take(first), probabilities[first], drawn_truth(random, probabilities[first]), LABELS)
        found = Judge(kept, FAST, window).judge(figures.take(rest), probabilities[rest], window)
        alarms += any(figure.alarm for figure in found)
    assert binomtest(alarms, windows).proportion_ci(0.99, method="exact").low <= 0.05


def plain(figures: RowFigures) -> RowFigures:
    """Without a rare token and with letters of one script."""
    letters = figures.letters.copy()
    letters[:, 1:] = 0
    return RowFigures(figures.features, figures.words, np.zeros_like(figures.unknown), letters)


def test_a_large_window_is_cut_and_a_small_reference_takes_windows_larger_than_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(7)
    judge = Judge(reference(random, 100), FAST)
    assert judge.most_rows == 1000
    quiet = [any(figure.alarm for figure in judge.judge(*rows(random, 400), at)) for at in range(20)]
    assert sum(quiet) < 6
    assert any(figure.alarm for figure in judge.judge(*rows(random, 400, 0.6), 1))
    monkeypatch.setattr(drift, "LARGE_WINDOW", 60)
    assert judge.most_rows == 60
    whole, cut = judge.judge(*rows(random, 60), 1), judge.judge(*rows(random, 5000), 1)
    assert whole[0].threshold is not None and cut[0].threshold == pytest.approx(whole[0].threshold, rel=0.2)


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


@pytest.mark.parametrize("rate", [0.01, 0.002])
def test_what_is_extreme_in_the_last_figure_alone_raises_the_alarm_with_the_fewest_resamples(rate: float) -> None:
    """Other figures have random windows that are more extreme: the first p-value of it is 8 over the resamples."""
    random = np.random.default_rng(21)
    resamples = max(199, resamples_for(rate))
    judge = Judge(reference(random), Monitoring(false_alarm_rate=rate, resamples=resamples))
    for at in range(2):
        figures, probabilities = rows(random, 60)
        strange = RowFigures(figures.features, figures.words, figures.unknown, figures.letters[:, ::-1].copy())
        found = judge.judge(strange, probabilities, at)
        assert [figure.name for figure in found if figure.alarm] == ["other_scripts"]


def test_the_task_files_arithmetic_knows_how_many_figures_there_are() -> None:
    assert len(FIGURES) == FIGURE_COUNT


def test_near_the_rate_more_windows_are_drawn() -> None:
    random = np.random.default_rng(12)
    judge = Judge(reference(random), Monitoring(false_alarm_rate=0.005, resamples=319))
    found = judge.judge(*rows(random, 100, 0.9), 1)
    assert min(figure.p_value or 1.0 for figure in found) == pytest.approx(1 / 1600)
    assert {"mean_shift", "classifier", "mmd"} <= {figure.name for figure in found if figure.alarm}
    quiet = min(figure.p_value or 1.0 for figure in judge.judge(*rows(random, 100), 2))
    assert quiet > FIGURE_COUNT / 320 and round(quiet * 320, 6) == round(quiet * 320)


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
