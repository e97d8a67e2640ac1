from __future__ import annotations

import numpy as np
from drift_samples import LABELS, drawn_truth, reference, rows

from playbook.artifacts import Score
from playbook.operate.drift import Judge
from playbook.operate.figures import RowFigures
from playbook.operate.recent import LEAST_RECENT, NEWEST, OLDER, last_change, looked_at, stretches
from playbook.operate.reference import Reference
from playbook.spec import Monitoring


def changed(random: np.random.Generator, old: int, new: int, share: float = 0.4) -> Reference:
    """Old rows, then new ones of which a share is of another kind."""
    parts = [rows(random, old), rows(random, new, share)]
    order = np.concatenate([np.arange(old), old + random.permutation(new)])
    figures = RowFigures(
        *(
            np.concatenate([getattr(one, name) for one, _ in parts])[order]
            for name in ("features", "words", "unknown", "letters")
        )
    )
    probabilities = np.concatenate([one for _, one in parts])[order]
    return Reference(figures, probabilities, drawn_truth(random, probabilities), LABELS)


def days(rows: int) -> list[str]:
    """Four rows a day."""
    return [f"{at // 4:05}" for at in range(rows)]


def newest(held: Reference, seed: int = 0) -> np.ndarray:
    """Places of the rows after the last change."""
    times = days(len(held))
    since = last_change(held.figures, times, seed)
    return np.array([at for at, time in enumerate(times) if time >= (since or "")])


def test_the_newest_rows_are_kept_as_far_back_as_nothing_changed() -> None:
    for seed in range(3):
        assert 45 <= len(newest(changed(np.random.default_rng(seed), 500, 70), seed)) <= 95


def test_without_a_change_all_rows_are_kept() -> None:
    cut = 0
    for seed in range(20):
        cut += last_change(reference(np.random.default_rng(seed), 160).figures, days(160), seed) is not None
    assert cut <= 2
    few = reference(np.random.default_rng(1), 2 * LEAST_RECENT - 1)
    assert not stretches(days(len(few))) and last_change(few.figures, days(len(few))) is None


def test_rows_of_one_time_are_not_taken_apart() -> None:
    """Production's rows of one day, the new kind last: that is an order of the file, not a change."""
    held = changed(np.random.default_rng(8), 400, 40, 1.0)
    times = ["2025-01-01"] * 340 + ["2025-06-01"] * 100
    assert stretches(times) == [100]
    assert last_change(held.figures, times) == "2025-06-01"
    assert last_change(held.figures, [""] * 440) is None


def test_of_many_rows_the_newest_and_some_of_the_older_are_looked_at() -> None:
    assert looked_at(700).tolist() == list(range(700))
    found = looked_at(9000)
    assert len(found) == NEWEST + OLDER and (np.diff(found) > 0).all()
    assert found[OLDER:].tolist() == list(range(8000, 9000))


def test_after_the_cut_windows_like_the_newest_rows_raise_no_alarm() -> None:
    """The whole of the held-out rows, in which the new kind is rare, alarms on every window of what was learned."""
    random = np.random.default_rng(5)
    held, monitoring = changed(random, 600, 80), Monitoring(resamples=199)
    whole, of_newest = Judge(held, monitoring), Judge(held.take(newest(held)), monitoring)
    alarms = {"whole": 0, "newest": 0}
    for window in range(6):
        of_today = rows(random, 150, 0.4)
        alarms["whole"] += any(figure.alarm for figure in whole.judge(*of_today, window))
        alarms["newest"] += any(figure.alarm for figure in of_newest.judge(*of_today, window))
    assert alarms["whole"] == 6 and alarms["newest"] <= 1
    assert any(figure.alarm for figure in of_newest.judge(*rows(random, 150, 0.9), 1))


def test_a_reference_keeps_the_result_of_the_test_split() -> None:
    held = reference(np.random.default_rng(6), 40)
    assert held.held_out is None
    score = Score(metric="accuracy", value=0.9, low=0.85, high=0.94, n=200)
    with_score = Reference(held.figures, held.probabilities, held.truth, LABELS, held_out=score)
    assert with_score.take(np.arange(30)).held_out == score and with_score.digest != held.digest
