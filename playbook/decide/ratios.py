"""How good earlier estimates were: actual over estimated training time, task by task, and the interval that follows.

Each task leaves the ratio of actual to estimated time behind. The next estimate is multiplied by the median of the last
ten and carries an interval: from five ratios on, the one in which a further ratio of their kind lies in 90 of 100 cases
(a prediction interval of Student's t on their logarithms: Hahn and Meeker, Statistical Intervals, 1991, section 4.7);
with fewer, half to double, which is a judgement.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from filelock import FileLock, Timeout

from playbook.errors import ArtifactError

RECENT = 10  # earlier ratios that count
LEAST_RATIOS = 5  # from so many on their own spread is used
COVERAGE = 0.9
WIDE = 2.0  # with fewer ratios: from half to double
NARROWEST = 1.1  # no interval is closer than this factor, however alike the ratios were
LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Spread:
    """The correction of an estimate, and between which factors of the uncorrected one the truth is expected."""

    ratio: float = 1.0
    low: float = 1 / WIDE
    high: float = WIDE
    told: str = "half to double, as there are no earlier runs yet"

    def around(self, uncorrected: float) -> tuple[float, float]:
        """The interval of a quantity that was estimated without correction."""
        return uncorrected * self.low, uncorrected * self.high


def spread_of(ratios: Sequence[float]) -> Spread:
    """Correction and interval from earlier ratios, oldest first."""
    recent = list(ratios[-RECENT:])
    centre = median(recent) if recent else 1.0
    if len(recent) < LEAST_RATIOS:
        known = f"half to double: {len(recent)} earlier run{'s' if len(recent) != 1 else ''}, too few for a spread"
        return Spread(centre, centre / WIDE, centre * WIDE, known if recent else Spread().told)
    from scipy.stats import t

    logs, n = [math.log(ratio) for ratio in recent], len(recent)
    reach = float(t.ppf((1 + COVERAGE) / 2, n - 1)) * stdev(logs) * math.sqrt(1 + 1 / n)
    reach, middle = max(reach, math.log(NARROWEST)), mean(logs)
    told = f"as {n} earlier runs missed their estimates, 90 in 100"
    return Spread(centre, min(math.exp(middle - reach), centre), max(math.exp(middle + reach), centre), told)


def past_spread(path: Path) -> Spread:
    """Correction and interval from the tasks on record.

    Raises:
        ArtifactError: a line is not a record; the file was edited.
    """
    return spread_of([float(line["ratio"]) for line in read_ratios(path)])


def read_ratios(path: Path) -> list[dict[str, Any]]:
    """Every record, oldest first: `time`, `task`, `estimated` and `actual` in seconds, `ratio`.

    Raises:
        ArtifactError: a line is not a record; the file was edited, or the disk was full.
    """
    found = []
    for number, text in enumerate(path.read_text("utf-8").splitlines() if path.exists() else (), start=1):
        try:
            line = json.loads(text)
            usable = math.isfinite(line["ratio"]) and line["ratio"] > 0
        except (ValueError, KeyError, TypeError):
            usable = False
        if not usable:
            raise ArtifactError(
                f"{path}, line {number}: expected a record with a positive ratio, found {text[:60]!r}; fix or remove "
                "the line"
            )
        found.append(line)
    return found


def record_ratio(path: Path, task: str, estimated: float, actual: float) -> float:
    """Add how a task's training time compares with its estimate; returns the ratio.

    Where the task's last record has the same two times, nothing is added: one training counts once, however often what
    follows it runs.

    Args:
        path: `cost_ratios.jsonl` of the installation, shared by all tasks.
        task: its name.
        estimated: seconds as estimated, without the correction (`Decision.training_seconds / Decision.ratio`): a
            corrected estimate would wear the correction off.
        actual: seconds that it took.

    Raises:
        ValueError: a time that is not positive; nothing was estimated or trained.
        ArtifactError: the file cannot be written.
    """
    if not (estimated > 0 and actual > 0 and math.isfinite(estimated) and math.isfinite(actual)):
        raise ValueError(f"expected two positive times, found {estimated} and {actual} seconds")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task,
        "estimated": round(estimated, 3),
        "actual": round(actual, 3),
        "ratio": actual / estimated,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            last = _last_record(path, task)
            if last and all(last.get(name) == line[name] for name in ("estimated", "actual")):
                return actual / estimated
            with path.open("ab") as stream:
                stream.write((json.dumps(line) + "\n").encode())
                stream.flush()
                os.fsync(stream.fileno())
    except (OSError, Timeout) as error:
        raise ArtifactError(
            f"{path}: expected to record the ratio of {task}, but {type(error).__name__}: {error}; make it writable"
        ) from error
    return actual / estimated


def _last_record(path: Path, task: str) -> dict[str, Any] | None:
    try:
        return next((line for line in reversed(read_ratios(path)) if line.get("task") == task), None)
    except ArtifactError:  # an edited line must not cost a finished training its record; `past_spread` names it
        return None
