"""Which rows make an epoch, and which a step."""

from __future__ import annotations

import numpy as np
import pytest

from playbook.adapt.batches import epoch_batches, epoch_rows, parts_per_step, resampled, share
from playbook.spec import Adaptation

LENGTHS = np.random.default_rng(9).integers(3, 40, 203)


def batches(epoch: int = 0, seed: int = 13, size: int = 16) -> list[np.ndarray]:
    return epoch_batches(LENGTHS, size, seed, epoch)


def flat(steps: list[np.ndarray]) -> list[int]:
    return [int(row) for step in steps for row in step]


@pytest.mark.parametrize("size", [1, 16, 64, 500])
@pytest.mark.parametrize("epoch", [0, 7])
def test_every_row_is_in_one_step_of_an_epoch(size: int, epoch: int) -> None:
    steps = batches(epoch, size=size)
    assert sorted(flat(steps)) == list(range(203))
    assert len(steps) == max(1, round(203 / size))
    assert max(map(len, steps)) - min(map(len, steps)) <= 1, "steps are of one size, or rows would weigh unequally"


def test_steps_follow_from_seed_and_epoch_alone() -> None:
    assert flat(batches()) == flat(batches())
    assert flat(batches(0)) != flat(batches(1)) and flat(batches(seed=13)) != flat(batches(seed=14))
    together = {frozenset(step.tolist()) for step in batches(0)}
    assert together != {frozenset(step.tolist()) for step in batches(1)}, "other company, not only another order"


def test_steps_are_ordered_and_bucketed_by_length() -> None:
    steps = batches()
    assert all((np.diff(LENGTHS[step]) >= 0).all() for step in steps)
    spread = np.mean([np.ptp(LENGTHS[step]) for step in steps])
    assert spread < np.ptp(LENGTHS) / 2
    means = [float(LENGTHS[step].mean()) for step in steps]
    assert means != sorted(means), "short texts first would be a curriculum that nobody asked for"


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_of_the_ranks_make_up_the_step(world: int) -> None:
    for step in batches():
        shares = [share(step, rank, world) for rank in range(world)]
        assert sorted(flat(shares)) == sorted(step.tolist())
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert all((np.diff(LENGTHS[part]) >= 0).all() for part in shares)


IMBALANCED = np.repeat([0, 2, 3], [70, 23, 7])  # class 1 has no row


def test_an_epoch_of_resampled_rows_has_as_many_of_each_class() -> None:
    rows = resampled(IMBALANCED, seed=13, epoch=0)
    assert np.bincount(IMBALANCED[rows]).tolist() == [70, 0, 70, 70] and len(rows) == epoch_rows(IMBALANCED, "resample")
    taken = np.bincount(rows, minlength=100)
    assert set(taken[:70]) == {1} and set(taken[70:93]) == {3, 4} and set(taken[93:]) == {10}, "evenly within a class"
    assert epoch_rows(IMBALANCED, "none") == epoch_rows(IMBALANCED, "balanced") == 100


def test_resampled_rows_follow_from_seed_and_epoch_alone() -> None:
    first = resampled(IMBALANCED, 13, 0)
    assert np.array_equal(first, resampled(IMBALANCED, 13, 0))
    assert not np.array_equal(first, resampled(IMBALANCED, 13, 1)), "another epoch draws other rows once more"
    assert not np.array_equal(first, resampled(IMBALANCED, 14, 0))


@pytest.mark.parametrize(
    ("rows", "batch", "world", "asked", "parts"),
    [(600, 32, 1, 4, 4), (600, 32, 2, 8, 8), (600, 32, 1, 1, 1), (10, 64, 1, 16, 10), (10, 64, 4, 16, 2)],
)
def test_no_part_of_a_step_is_without_rows(rows: int, batch: int, world: int, asked: int, parts: int) -> None:
    found = parts_per_step(rows, batch, world, asked)
    assert found == parts
    for step in epoch_batches(np.full(rows, 5), batch, 1, 0):
        for rank in range(world):
            assert min(map(len, np.array_split(share(step, rank, world), found))) >= 1


def test_a_batch_has_two_rows_for_each_part_and_device() -> None:
    assert Adaptation(batch_size=32, devices=2, accumulation=8).accumulation == 8
    with pytest.raises(ValueError, match="at least two rows per device and part of a step, 64, not 32"):
        Adaptation(batch_size=32, devices=2, accumulation=16)
