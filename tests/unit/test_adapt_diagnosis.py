"""Constructed curves, one per case, and what is said of a whole staircase."""

from __future__ import annotations

import math

import pytest

from playbook.adapt.diagnosis import diagnose, diagnose_staircase, read_curve, smoothing_floor
from playbook.adapt.staircase import diagnose as diagnose_from_staircase
from playbook.artifacts import Epoch, Rung

Points = list[tuple[float, float]]


def curve(points: Points, metric: tuple[float, ...] = ()) -> tuple[Epoch, ...]:
    """Epochs from (train loss, validation loss); the metric stays at 0.5 unless given."""
    values = metric or (0.5,) * len(points)
    return tuple(
        Epoch(epoch=at, train_loss=train, validation_loss=validation, validation=values[at], seconds=1)
        for at, (train, validation) in enumerate(points)
    )


BOTH_IMPROVE = [(1.0, 1.0), (0.7, 0.8), (0.6, 0.7)]
OVERFITTING = [(1.0, 1.0), (0.5, 0.8), (0.2, 0.9)]
NEITHER = [(1.0, 1.0), (1.0, 1.01), (0.99, 1.0)]


@pytest.mark.parametrize(
    ("points", "case", "said", "next_thing"),
    [
        ([], "too short", "Too few epochs", "more adaptation.epochs"),
        ([(1.0, 1.0)], "too short", "Too few epochs", "more adaptation.epochs"),
        (BOTH_IMPROVE, "improving", "both improve", "one more block"),
        ([(1.0, 1.0), (0.7, 0.8), (0.6, 0.9)], "improving", "both improve", "one more block"),  # up, but no gap yet
        (OVERFITTING, "overfitting", "overfitting", "labelled rows"),
        ([(1.0, 1.0), (0.3, 1.0), (0.1, 1.3)], "overfitting", "overfitting", "dropout"),
        ([(1.0, 1.0), (0.8, 0.99), (0.6, 1.0)], "stalled", "validation does not move", "cleaner labels"),
        (NEITHER, "wrong base", "does not fit this task", "Play 2"),
        ([(1.0, 1.0), (1.0, 0.9), (0.99, 0.8)], "unfinished", "only begun", "more adaptation.epochs"),
        ([(1.0, 1.0), (2.0, 3.0)], "diverging", "diverges", "learning_rate"),
        ([(1.0, 1.0), (0.6, 0.9), (1.1, 1.4)], "diverging", "diverges", "warmup"),
        ([(1.0, 1.0), (math.nan, 1.0)], "diverging", "no finite number", "float32"),
        ([(1.0, math.inf)], "diverging", "no finite number", "float32"),
    ],
)
def test_curves_are_read(points: Points, case: str, said: str, next_thing: str) -> None:
    found = read_curve(curve(points))
    assert found.case == case and said in found.finding and next_thing in found.next_thing
    assert diagnose(curve(points)) == found.text == f"{found.finding} {found.next_thing}"


def test_a_loss_that_rises_a_little_after_it_fell_is_not_divergence() -> None:
    assert read_curve(curve([(1.0, 1.0), (0.4, 0.7), (0.5, 0.7)])).case == "improving"


RISING = [(1.0, 1.0), (0.85, 0.70), (0.75, 0.80), (0.65, 0.90), (0.55, 0.95)]


def test_validation_that_ends_well_above_its_best_is_overfitting_whatever_the_training_loss() -> None:
    assert read_curve(curve(RISING, (0.70, 0.70, 0.69, 0.67, 0.66))).case == "overfitting"
    assert read_curve(curve(RISING, (0.60, 0.70, 0.72, 0.74, 0.76))).case == "improving", "only less sure of itself"
    assert read_curve(curve([*RISING[:2], (0.75, 0.80)], (0.70, 0.70, 0.69))).case == "improving"


def test_the_metric_alone_may_show_that_validation_improves() -> None:
    points = [(1.0, 1.0), (0.8, 0.99), (0.6, 1.0)]
    assert read_curve(curve(points, (0.50, 0.55, 0.60))).case == "improving"
    assert read_curve(curve(points, (0.50, 0.51, 0.51))).case == "stalled"


def test_a_best_epoch_at_the_limit_asks_for_more_epochs() -> None:
    metric = (0.5, 0.6, 0.7)
    assert read_curve(curve(BOTH_IMPROVE, metric), allowed_epochs=3).case == "unfinished"
    assert read_curve(curve(BOTH_IMPROVE, metric), allowed_epochs=4).case == "improving"
    assert read_curve(curve(BOTH_IMPROVE, (0.5, 0.7, 0.6)), allowed_epochs=3).case == "improving"
    assert read_curve(curve(BOTH_IMPROVE, metric)).case == "improving", "what was allowed is not known"
    assert read_curve(curve(OVERFITTING, metric), allowed_epochs=3).case == "overfitting", "more epochs would be worse"


def test_the_floor_of_smoothed_labels_is_their_entropy() -> None:
    assert smoothing_floor(0.0, 5) == 0.0
    true, other = 0.9 + 0.1 / 4, 0.1 / 4
    assert smoothing_floor(0.1, 4) == pytest.approx(-true * math.log(true) - 3 * other * math.log(other))


def test_overfitting_is_seen_above_the_floor_of_smoothed_labels() -> None:
    """A smoothed training loss never gets below its floor, so half of the validation loss may be out of its reach."""
    floor = smoothing_floor(0.1, 5)
    points = [(1.5, 0.9), (0.8, 0.6), (floor + 0.05, 0.7)]
    assert read_curve(curve(points), floor=floor).case == "overfitting"
    assert read_curve(curve(points)).case == "improving"


def rung(index: int, points: Points, kept: bool = True) -> Rung:
    return Rung(task="t", index=index, unfrozen=index, kept=kept, curve=curve(points))


def test_every_tried_rung_is_diagnosed_and_the_last_one_says_what_is_next() -> None:
    skipped = Rung(task="t", status="skipped", reason="rung_2 did not help", index=3)
    found = diagnose_staircase([rung(1, BOTH_IMPROVE), rung(2, OVERFITTING, kept=False), skipped], 9, 0.0, 3)
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


def test_without_a_tried_rung_there_is_nothing_to_say() -> None:
    found = diagnose_staircase([Rung(task="t", status="skipped", index=1)], 9, 0.0, 3)
    assert (found.diagnosis, found.diagnoses, found.next_thing) == ("", {}, "")


def test_the_staircase_module_still_offers_it() -> None:
    assert diagnose_from_staircase is diagnose
