"""Curves of every kind, constructed, drawn with noise and of real trainings; what is said of a whole staircase."""

from __future__ import annotations

import math

import numpy as np
import pytest

from playbook.adapt.diagnosis import (
    Reading,
    StaircaseDiagnosis,
    diagnose,
    diagnose_refresh,
    diagnose_staircase,
    read_curve,
    smoothing_floor,
    still_rising,
    with_refresh,
)
from playbook.adapt.staircase import diagnose as diagnose_from_staircase
from playbook.artifacts import Epoch, Refresh, Rung, Score

Points = list[tuple[float, float]]
Real = tuple[list[tuple[float, float, float]], int, int, int, float, str]


def curve(points: Points, metric: tuple[float, ...] = ()) -> tuple[Epoch, ...]:
    """Epochs from (train loss, validation loss); the metric stays at 0.5 unless given."""
    values = metric or (0.5,) * len(points)
    return tuple(
        Epoch(epoch=at, train_loss=train, validation_loss=validation, validation=values[at], seconds=1)
        for at, (train, validation) in enumerate(points)
    )


BOTH_IMPROVE = [(1.0, 1.0), (0.7, 0.8), (0.6, 0.7)]
OVERFITTING = [(1.0, 1.0), (0.5, 0.8), (0.3, 0.9), (0.2, 0.95)]
TURNED = (0.5, 0.6, 0.57, 0.55)  # the metric that goes with it
NEITHER = [(1.0, 1.0), (1.0, 1.01), (0.99, 1.0)]


@pytest.mark.parametrize(
    ("points", "case", "said", "next_thing"),
    [
        ([], "too short", "Too few epochs", "more adaptation.epochs"),
        ([(1.0, 1.0)], "too short", "Too few epochs", "more adaptation.epochs"),
        (BOTH_IMPROVE, "improving", "both improve", "one more block"),
        ([(1.0, 1.0), (0.7, 0.8), (0.6, 0.9)], "improving", "both improve", "one more block"),  # up, but no gap yet
        (OVERFITTING, "overconfident", "too sure of themselves", "temperature"),  # the metric holds
        ([*OVERFITTING[:2], (0.3, 0.9)], "improving", "both improve", "one more block"),  # one epoch is not a trend
        ([(1.0, 1.0), (0.3, 1.0), (0.1, 1.3)], "stalled", "does not get beyond", "cleaner labels"),
        ([(1.0, 1.0), (0.8, 0.99), (0.6, 1.0)], "stalled", "does not get beyond", "cleaner labels"),
        (NEITHER, "wrong base", "does not fit this task", "Play 2"),
        ([(1.0, 1.0), (1.0, 0.9), (0.99, 0.8)], "unfinished", "only begun", "more adaptation.epochs"),
        ([(1.0, 1.0), (2.0, 3.0)], "diverging", "diverges", "learning_rate"),
        ([(1.0, 1.0), (0.6, 0.9), (1.1, 1.4)], "diverging", "diverges", "warmup"),
        ([(1.0, 1.0), (math.nan, 1.0)], "diverging", "not a finite number", "float32"),
        ([(1.0, math.inf)], "diverging", "not a finite number", "float32"),
    ],
)
def test_curves_are_read(points: Points, case: str, said: str, next_thing: str) -> None:
    found = read_curve(curve(points))
    assert found.case == case and said in found.finding and next_thing in found.next_thing
    assert diagnose(curve(points)) == found.text == f"{found.finding} {found.next_thing}"


def test_overfitting_is_where_metric_and_loss_have_turned_while_training_goes_on() -> None:
    found = read_curve(curve(OVERFITTING, TURNED))
    assert found.case == "overfitting" and "labelled rows" in found.next_thing
    assert "(Best in epoch 2 of 4, lowest validation loss in epoch 2; training loss 1.00 to 0.20.)" in found.finding
    assert read_curve(curve(OVERFITTING, (0.5, 0.6, 0.62, 0.64))).case == "overconfident", "the metric still rises"
    held = [(train, 0.8) for train, _ in OVERFITTING]
    assert read_curve(curve(held, TURNED)).case == "improving", "the loss has not turned"
    stuck = [*OVERFITTING[:2], (0.55, 0.9), (0.5, 0.95)]
    assert read_curve(curve(stuck, TURNED)).case != "overfitting", "training does not fall any more"


def test_the_metric_has_turned_only_beyond_its_error_on_so_many_rows() -> None:
    """0.60 to 0.56: an error of 0.049 on 100 rows, of 0.011 on 2000."""
    few, many = (read_curve(curve(OVERFITTING, TURNED), Reading(rows=rows)).case for rows in (100, 2000))
    assert (few, many) == ("overconfident", "overfitting")


@pytest.mark.parametrize(("best", "rows", "case"), [(0.1, 300, "overfitting"), (0.5, 300, "overconfident")])
def test_a_log_loss_is_no_share_of_rows(best: float, rows: int, case: str) -> None:
    """0.015 nats up: three errors of a loss of 0.1, and one of a share of 0.1 is as large; of 0.5 it is chance."""
    epochs = [
        Epoch(epoch=at, train_loss=train, validation_loss=loss, validation=loss, seconds=1, lower_is_better=True)
        for at, (train, loss) in enumerate([(1.0, best + 0.1), (0.5, best), (0.3, best + 0.015), (0.2, best + 0.015)])
    ]
    assert read_curve(epochs, Reading(rows=rows, metric="log_loss")).case == case


def test_a_rung_that_never_gets_beyond_its_start_has_stalled_whatever_its_first_epoch_broke() -> None:
    metric = (0.6, 0.7, 0.75)
    assert read_curve(curve(BOTH_IMPROVE, metric), Reading(start=0.76)).case == "stalled"
    assert read_curve(curve(BOTH_IMPROVE, metric), Reading(start=0.74)).case == "improving"


def test_a_loss_that_rises_a_little_after_it_fell_is_not_divergence() -> None:
    assert read_curve(curve([(1.0, 1.0), (0.4, 0.7), (0.5, 0.7)])).case == "improving"


RISING = [(1.0, 1.0), (0.85, 0.70), (0.75, 0.80), (0.65, 0.90), (0.55, 0.95)]


def test_validation_that_ends_well_above_its_best_is_overfitting_whatever_the_training_loss() -> None:
    assert read_curve(curve(RISING, (0.70, 0.70, 0.69, 0.67, 0.66))).case == "overfitting"
    assert read_curve(curve(RISING, (0.60, 0.70, 0.72, 0.74, 0.76))).case == "overconfident"
    assert read_curve(curve([*RISING[:2], (0.75, 0.80)], (0.70, 0.70, 0.69))).case == "improving"


def test_the_metric_alone_may_show_that_validation_improves() -> None:
    points = [(1.0, 1.0), (0.8, 0.99), (0.6, 1.0)]
    assert read_curve(curve(points, (0.50, 0.55, 0.60))).case == "improving"
    assert read_curve(curve(points, (0.50, 0.51, 0.51))).case == "stalled"


def test_a_best_epoch_at_the_limit_asks_for_more_epochs() -> None:
    metric = (0.5, 0.6, 0.7)
    assert read_curve(curve(BOTH_IMPROVE, metric), Reading(3)).case == "unfinished"
    assert read_curve(curve(BOTH_IMPROVE, metric), Reading(4)).case == "improving"
    assert read_curve(curve(BOTH_IMPROVE, (0.5, 0.7, 0.6)), Reading(3)).case == "improving"
    assert read_curve(curve(BOTH_IMPROVE, metric)).case == "improving", "what was allowed is not known"
    less_sure = read_curve(curve(OVERFITTING, (0.5, 0.6, 0.7, 0.8)), Reading(4))
    assert less_sure.case == "unfinished" and "too sure of themselves" in less_sure.finding
    assert read_curve(curve(OVERFITTING, TURNED), Reading(4)).case == "overfitting", "more epochs would be worse"


def test_the_floor_of_smoothed_labels_is_their_entropy() -> None:
    assert smoothing_floor(0.0, 5) == 0.0
    true, other = 0.9 + 0.1 / 4, 0.1 / 4
    assert smoothing_floor(0.1, 4) == pytest.approx(-true * math.log(true) - 3 * other * math.log(other))


def test_learning_is_seen_above_the_floor_of_smoothed_labels() -> None:
    """A smoothed training loss never gets below its floor: what falls by 1 % may have halved what can fall."""
    floor = smoothing_floor(0.1, 5)
    points = [(floor + 0.010, 1.0), (floor + 0.0075, 0.9), (floor + 0.005, 0.8)]
    assert read_curve(curve(points), Reading(floor=floor)).case == "improving"
    assert read_curve(curve(points)).case == "unfinished", "validation improves, training hardly moves"


def rung(index: int, points: Points, kept: bool = True, metric: tuple[float, ...] = ()) -> Rung:
    return Rung(task="t", index=index, unfrozen=index, kept=kept, curve=curve(points, metric))


def test_every_tried_rung_is_diagnosed_and_the_last_one_says_what_is_next() -> None:
    skipped = Rung(task="t", status="skipped", reason="rung_2 did not help", index=3)
    found = diagnose_staircase([rung(1, BOTH_IMPROVE), rung(2, OVERFITTING, False, TURNED), skipped], 9, 0.0, 3)
    assert list(found.diagnoses) == ["rung_1", "rung_2"]
    assert "both improve" in found.diagnoses["rung_1"] and "overfitting" in found.diagnoses["rung_2"]
    assert found.diagnosis.startswith("rung_2: Training goes on") and "weight decay" in found.next_thing


@pytest.mark.parametrize(
    ("last", "max_rungs", "said"),
    [
        (rung(2, BOTH_IMPROVE), 2, "raise adaptation.max_rungs above 2"),
        (rung(2, BOTH_IMPROVE), 3, "one more block may help"),
        (rung(2, BOTH_IMPROVE, kept=False), 2, "More labelled rows are the next thing to try"),
        (rung(2, NEITHER, kept=False), 2, "Play 2"),
    ],
)
def test_healthy_curves_lead_up_the_staircase_only_where_the_rung_was_kept(
    last: Rung, max_rungs: int, said: str
) -> None:
    found = diagnose_staircase([rung(1, BOTH_IMPROVE), last], 9, 0.0, max_rungs)
    assert said in found.next_thing


def refreshed(points: Points, metric: tuple[float, ...], gain: float, rows: int = 2000) -> Refresh:
    """Training on from a champion that had `gain` less than the last of the metric."""
    score = Score(metric="accuracy", value=max(metric), low=0.0, high=1.0, n=rows)
    return Refresh(task="t", unfrozen=1, kept=True, validation=score, gain=gain, curve=curve(points, metric))


LEARNS = ([(0.5, 0.6), (0.4, 0.5), (0.35, 0.45)], (0.80, 0.84, 0.83))


@pytest.mark.parametrize(
    ("points", "metric", "gain", "said", "next_thing"),
    [
        (*LEARNS, 0.04, "both improve on the champion", "rows of what is new"),
        (*LEARNS, 0.0, "does not get beyond where it began", "cleaner labels"),
        ([(0.5, 0.5), (0.5, 0.51), (0.499, 0.5)], (0.8, 0.8, 0.8), 0.0, "are learned already", "nothing is missing"),
        ([(0.5, 0.5), (2.0, 3.0)], (0.8, 0.3), 0.0, "leaves what the champion had learned", "learning_rate_factor"),
        ([(0.5, 0.5), (0.4, 0.6), (0.3, 0.7)], (0.8, 0.82, 0.82), 0.05, "too sure of themselves", "label smoothing"),
        (OVERFITTING, TURNED, 0.3, "overfitting", "weight decay"),
    ],
)
def test_a_refresh_is_read_beside_the_champion_that_it_goes_on_from(
    points: Points, metric: tuple[float, ...], gain: float, said: str, next_thing: str
) -> None:
    found = diagnose_refresh(refreshed(points, metric, gain), 9, 0.0)
    assert said in found.finding and next_thing in found.next_thing
    assert "one more block" not in found.text and "Play 2" not in found.text
    assert found.finding.count("(Best in epoch") == 1


def test_a_refresh_stands_beside_the_rungs_and_says_what_is_next_where_it_is_the_candidate() -> None:
    climbed, one = diagnose_staircase([rung(1, NEITHER, False)], 9, 0.0, 3), refreshed(*LEARNS, 0.04)
    for stands, said in ((False, "rung_1: Neither"), (True, "refresh: Training and validation both improve on")):
        found = with_refresh(climbed, one, 9, 0.0, stands=stands)
        assert list(found.diagnoses) == ["rung_1", "refresh"]
        assert found.diagnoses["rung_1"] == climbed.diagnoses["rung_1"]
        assert found.diagnosis.startswith(said) and found.diagnosis.endswith(found.next_thing)
    alone = with_refresh(StaircaseDiagnosis(), one, 9, 0.0, stands=False)
    assert alone.diagnosis.startswith("refresh: ") and alone.next_thing


# (train loss, validation loss, accuracy) by epoch, classes, validation rows, epochs allowed, accuracy before, the case.
# Of real trainings: benchmarks/learning_rates.py at rates of 1e-3 and 1e-4, in the order of docs/learning_rates.md.
REAL: dict[str, Real] = {
    "sample tickets, rung_1 at 0.001, head 0.01": (
        [(1.079, 0.707, 0.7577), (0.836, 0.540, 0.8282), (0.627, 0.522, 0.8451), (0.542, 0.521, 0.8366)],
        5,
        355,
        4,
        0.8226,
        "improving",
    ),
    "sample tickets, rung_2 at 0.001, head 0.01": (
        [(0.760, 0.565, 0.8282), (0.673, 0.579, 0.8282), (0.530, 0.487, 0.8704), (0.480, 0.489, 0.8704)],
        5,
        355,
        4,
        0.8450,
        "improving",
    ),
    "Banking77, cards, rung_1 at 0.001, head 0.01": (
        [
            (0.870, 0.374, 0.9120),
            (0.893, 0.401, 0.9180),
            (0.825, 0.326, 0.9380),
            (0.748, 0.318, 0.9433),
            (0.705, 0.345, 0.9387),
            (0.683, 0.336, 0.9433),
            (0.664, 0.329, 0.9433),
        ],
        27,
        1500,
        10,
        0.9460,
        "stalled",
    ),
    "Banking77, cards, rung_2 at 0.0001, head 0.001": (
        [
            (0.751, 0.318, 0.9433),
            (0.734, 0.287, 0.9420),
            (0.714, 0.299, 0.9440),
            (0.696, 0.309, 0.9460),
            (0.684, 0.321, 0.9440),
            (0.678, 0.318, 0.9413),
            (0.670, 0.319, 0.9433),
        ],
        27,
        1500,
        10,
        0.9487,
        "stalled",
    ),
    "film reviews, rung_1 at 0.001, head 0.01": (
        [
            (0.560, 0.769, 0.6627),
            (0.613, 0.657, 0.6893),
            (0.508, 0.518, 0.7673),
            (0.354, 0.543, 0.7627),
            (0.268, 0.505, 0.7607),
            (0.225, 0.522, 0.7727),
            (0.212, 0.503, 0.7720),
            (0.206, 0.496, 0.7747),
            (0.204, 0.497, 0.7753),
            (0.204, 0.497, 0.7760),
        ],
        2,
        1500,
        10,
        0.7580,
        "unfinished",
    ),
    "film reviews, rung_2 at 0.001, head 0.01": (
        [
            (0.243, 0.850, 0.6533),
            (0.417, 0.598, 0.7660),
            (0.287, 0.561, 0.7420),
            (0.235, 0.624, 0.7720),
            (0.220, 0.549, 0.7827),
            (0.206, 0.556, 0.7840),
            (0.201, 0.549, 0.7893),
            (0.200, 0.540, 0.7947),
            (0.200, 0.542, 0.7933),
            (0.200, 0.540, 0.7933),
        ],
        2,
        1500,
        10,
        0.7760,
        "improving",
    ),
    "film reviews, rung_1 at 0.001, head 0.001": (
        [
            (0.561, 1.113, 0.6033),
            (0.660, 0.482, 0.7653),
            (0.428, 0.531, 0.7520),
            (0.323, 0.561, 0.7560),
            (0.264, 0.542, 0.7467),
        ],
        2,
        1500,
        10,
        0.7580,
        "overfitting",
    ),
    "film reviews, rung_1 at 0.0001, head 0.01": (
        [(0.449, 0.531, 0.7513), (0.439, 0.543, 0.7380), (0.403, 0.538, 0.7373), (0.364, 0.560, 0.7440)],
        2,
        1500,
        10,
        0.7580,
        "stalled",
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_curves_of_real_trainings_are_read_as_they_look(name: str) -> None:
    points, classes, rows, allowed, start, case = REAL[name]
    read = curve([(train, loss) for train, loss, _ in points], tuple(accuracy for *_, accuracy in points))
    assert read_curve(read, Reading(allowed, smoothing_floor(0.1, classes), rows, start)).case == case


NOISY = 200  # curves per kind
ROWS = 600


def drawn(kind: str, rng: np.random.Generator, epochs: int = 10) -> tuple[Epoch, ...]:
    """A curve of a known kind; the metric has the noise of 600 validation rows of which two epochs share most."""
    at = np.arange(epochs) / (epochs - 1)
    train = 1.2 * np.exp(-2.5 * at)
    metric = {
        "improve": 0.86 - 0.16 * np.exp(-8 * at),
        "rise": 0.70 + 0.15 * at,
        "stall": np.full(epochs, 0.80),
        "overfit": 0.86 - 0.16 * np.exp(-12 * at) - 0.10 * np.maximum(at - 0.3, 0),
    }[kind]
    loss = {
        "improve": 0.5 + 0.5 * np.exp(-6 * at),
        "rise": 1.0 - 0.5 * at,
        "stall": np.full(epochs, 0.70),
        "overfit": 0.5 + 0.5 * np.exp(-12 * at) + 0.5 * np.maximum(at - 0.3, 0),
    }[kind]
    error = 0.5 * math.sqrt(0.85 * 0.15 / ROWS)
    metric, loss = metric + rng.normal(0, error, epochs), loss * (1 + rng.normal(0, 0.01, epochs))
    return curve(list(zip(train.tolist(), loss.tolist(), strict=True)), tuple(metric.tolist()))


@pytest.mark.parametrize(
    ("kind", "start", "right", "often"),
    [
        ("improve", 0.72, ("improving", "unfinished"), 0.97),
        ("rise", 0.70, ("unfinished", "improving"), 0.97),
        ("stall", 0.83, ("stalled",), 0.95),
        ("overfit", 0.72, ("overfitting",), 0.90),
    ],
)
def test_noisy_curves_of_a_known_kind_are_read_rightly(
    kind: str, start: float, right: tuple[str, ...], often: float
) -> None:
    rng = np.random.default_rng(8)
    found = [read_curve(drawn(kind, rng), Reading(10, 0.0, ROWS, start)).case for _ in range(NOISY)]
    assert sum(case in right for case in found) >= often * NOISY, {case: found.count(case) for case in set(found)}


def test_what_still_rises_is_told_from_what_has_settled() -> None:
    rng = np.random.default_rng(9)
    rising = [still_rising(drawn("rise", rng), 10) for _ in range(NOISY)]
    settled = [still_rising(drawn("overfit", rng), 10) for _ in range(NOISY)]
    assert sum(rising) > 0.6 * NOISY and sum(settled) < 0.05 * NOISY
    assert not still_rising(drawn("rise", rng), 20), "it stopped before its budget ended"


def test_without_a_tried_rung_there_is_nothing_to_say() -> None:
    found = diagnose_staircase([Rung(task="t", status="skipped", index=1)], 9, 0.0, 3)
    assert (found.diagnosis, found.diagnoses, found.next_thing) == ("", {}, "")


def test_the_staircase_module_still_offers_it() -> None:
    assert diagnose_from_staircase is diagnose
