"""Inputs unlike the training data: p-values that are uniform on inputs alike, and small on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from playbook.errors import ArtifactError
from playbook.statistics.strangers import Strangers, learn_strangers, load_strangers, save_strangers

WIDTH, CLASSES = 16, 4
Floats = npt.NDArray[np.float32]


def rows(seed: int, count: int, centre_seed: int = 1) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features around a centre per class."""
    centres = np.random.default_rng(centre_seed).normal(size=(CLASSES, WIDTH))
    random = np.random.default_rng(seed)
    classes = random.integers(0, CLASSES, count)
    return (centres[classes] + 0.4 * random.normal(size=(count, WIDTH))).astype(np.float32), classes


@pytest.fixture(scope="module")
def known() -> Strangers:
    return learn_strangers(*rows(2, 400), *rows(3, 300))


def test_inputs_alike_are_flagged_at_the_stated_rate() -> None:
    """Over calibrations, too: what is promised is a rate over held-out rows and inputs together."""
    flagged = 0
    for seed in range(200):
        found = learn_strangers(*rows(2, 200), *rows(1000 + seed, 199))
        scores = found.score(*rows(5000 + seed, 50))
        flagged += int((found.p_values(scores) <= 0.05).sum())
    assert binom.ppf(0.0005, 10_000, 0.05) * 0.8 < flagged < binom.ppf(0.9995, 10_000, 0.05) * 1.2


def test_strangers_have_small_p_values(known: Strangers) -> None:
    features, _ = rows(7, 200, centre_seed=8)
    assert (known.p_values(known.score(features, np.zeros(200, np.int64))) <= 0.01).mean() > 0.95


def test_a_row_of_a_class_that_is_answered_with_another_is_far_away(known: Strangers) -> None:
    features, classes = rows(9, 100)
    assert known.score(features, classes).max() < known.score(features, (classes + 1) % CLASSES).mean()


def test_the_cut_and_the_p_value_say_the_same(known: Strangers) -> None:
    scores = np.concatenate([known.scores, known.scores + 1e-4, [0.0, 2.0]]).astype(np.float32)
    for level in (0.005, 0.01, 0.05, 0.5):
        assert np.array_equal(known.p_values(scores) <= level, scores > known.cut(level))
    assert known.cut(1 / 302) == float("inf")  # 300 rows cannot show a p-value of 1 in 302
    assert known.p_values(np.array([2.0], np.float32))[0] == pytest.approx(1 / 301)


def test_a_class_without_known_rows_is_as_far_as_can_be(known: Strangers) -> None:
    features, _ = rows(4, 3)
    assert known.score(features, np.full(3, CLASSES)).tolist() == [2.0, 2.0, 2.0]


def test_at_most_twenty_thousand_rows_are_kept_and_the_size_is_said() -> None:
    features, classes = rows(2, 25_000)
    found = learn_strangers(features, classes, *rows(3, 10), seed=4)
    assert len(found.rows) == 20_000
    assert found.size_mb == pytest.approx(20_000 * WIDTH * 2 / 1e6)


def test_the_file_comes_back_as_it_was_and_always_has_the_same_bytes(known: Strangers, tmp_path: Path) -> None:
    first, second = (save_strangers(known, tmp_path / f"{name}.safetensors") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    again, asked = load_strangers(first), rows(11, 20)
    assert np.array_equal(again.score(*asked), known.score(*asked))
    assert np.array_equal(again.scores, known.scores)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"12345678")
    for name in ("x.safetensors", "none.safetensors"):
        with pytest.raises(ArtifactError, match="package the model again"):
            load_strangers(tmp_path / name)


def test_features_that_are_no_numbers_are_refused() -> None:
    features, classes = rows(2, 30)
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        learn_strangers(features, classes, *rows(3, 10))
