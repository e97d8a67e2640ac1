"""What the replayed year says of the days after its round."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipelines.year_table import after_the_round
from playbook.artifacts import Drift
from playbook.plays import DRIFT
from playbook.store import Store

PROMOTED = date(2025, 10, 12)


def replayed(folder: Path, loud: set[int]) -> Any:
    """A world with twenty days before and after a promotion; `loud` are the days after it with an alarm."""
    store = Store(str(folder / "store"), folder / "cache")
    for number in range(-20, 21):
        day, version = PROMOTED + timedelta(number), "1.0.0" if number < 1 else "1.0.1"
        alarm = number in loud or number < 1
        facts = {"day": day.isoformat(), "judged": number != 1, "alarm": alarm, "model_version": version}
        store.put(DRIFT, Drift(task="year", play_key=f"key{number}", **facts), {})
        store.set_current("year", DRIFT, f"key{number}", day.isoformat())
    return SimpleNamespace(store=store)


def test_only_windows_of_the_promoted_version_count(tmp_path: Path) -> None:
    task: Any = SimpleNamespace(spec=SimpleNamespace(task="year"))
    first = (date(2025, 7, 1), "promoted", "version 1.0.0, built on the tickets of January to June")
    lines = [first, (PROMOTED, "round", "launched"), (PROMOTED, "promoted", "version 1.0.1 instead of 1.0.0")]
    world = replayed(tmp_path, {5, 6})
    windows, alarms = after_the_round(task, world, lines)
    assert (len(windows), alarms) == (19, 2)  # the first day after the promotion was not judged
    assert [day for day, alarm in windows if alarm] == [PROMOTED + timedelta(5), PROMOTED + timedelta(6)]
    assert after_the_round(task, world, [first]) == ([], 0)
