from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from report_samples import ORDINARY, spec_for

from playbook.evaluate.calibration import calibrate, expected_error, fit_temperature, reliability, scaled

Floats = npt.NDArray[np.float64]


def sharpened(seed: int, rows: int, power: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rows whose truth follows the probabilities, which are then said with the given power: over 1 is too sure."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet(np.full(5, 0.4), rows)
    truth = np.array([random.choice(5, p=row) for row in honest])
    return truth, scaled(honest, 1 / power)


@pytest.mark.parametrize(("power", "said"), [(2.5, "too sure of itself"), (0.4, "too unsure of itself")])
def test_the_temperature_undoes_what_was_done_to_honest_probabilities(power: float, said: str) -> None:
    found = calibrate(spec_for(ORDINARY), *sharpened(1, 1500, power), *sharpened(2, 1500, power))
    assert found.temperature == pytest.approx(power, rel=0.15)
    assert found.ece_before > 0.1
    assert found.ece_after < 0.04
    assert said in found.text
    assert f"T = {found.temperature:.2f}, fitted on validation) brings the expected calibration error" in found.text
    assert sum(one.rows for one in found.before) == sum(one.rows for one in found.after) == 1500
    assert found.ece_before == pytest.approx(expected_error(found.before))


def test_honest_probabilities_are_left_alone() -> None:
    found = calibrate(spec_for(ORDINARY), *sharpened(3, 2000, 1.0), *sharpened(4, 2000, 1.0))
    assert found.temperature == pytest.approx(1.0, rel=0.1)
    assert found.ece_before < 0.05
    assert "about as sure as it is right" in found.text


def test_test_rows_have_no_say_in_the_temperature() -> None:
    spec, validation = spec_for(ORDINARY), sharpened(5, 800, 2.0)
    temperatures = {calibrate(spec, *validation, *sharpened(seed, 300, 0.5)).temperature for seed in (6, 7)}
    assert temperatures == {fit_temperature(*validation)}


def test_where_scaling_makes_it_worse_the_text_says_so() -> None:
    found = calibrate(spec_for(ORDINARY), *sharpened(5, 800, 2.5), *sharpened(6, 800, 0.5))
    assert found.ece_after > found.ece_before
    assert "does not help" in found.text


def test_scaling_changes_no_answer_and_survives_certainty() -> None:
    table = np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    for temperature in (0.05, 0.7, 20.0):
        cooled = scaled(table, temperature)
        assert cooled.argmax(axis=1).tolist() == [0, 1]
        assert np.isfinite(cooled).all()
        assert cooled.sum(axis=1) == pytest.approx(1)


def test_bins_by_hand() -> None:
    table = np.array([[0.5, 0.5], [0.6, 0.4], [0.55, 0.45], [0.0, 1.0]])
    bins = reliability(np.array([0, 0, 1, 1]), table, 10)
    assert [(one.low, one.rows) for one in bins] == [(0.4, 1), (0.5, 2), (0.9, 1)]  # (low, high]: 0.5 is in the lower
    assert (bins[1].confidence, bins[1].accuracy) == (pytest.approx(0.575), 0.5)
    assert expected_error(bins) == pytest.approx((0.5 + 2 * 0.075 + 0) / 4)


@pytest.mark.parametrize(
    ("truth", "table"),
    [
        (np.array([0, 1]), np.array([[0.5, 0.5]])),
        (np.array([0]), np.array([[2.0, 3.0]])),
        (np.array([0]), np.array([[np.nan, 0.5]])),
        (np.array([], dtype=np.int64), np.zeros((0, 2))),
    ],
)
def test_what_is_no_probability_is_refused(truth: npt.NDArray[np.int64], table: Floats) -> None:
    with pytest.raises(ValueError, match="expected"):
        fit_temperature(truth, table)
