"""What a call takes on this machine, told apart from what other programs do at the same moment.

A call takes texts to features or answers: tokenising, all blocks, pooling, the head. Calls are timed in short rounds.
Of each call the time is taken out in which its threads stood ready and waited for a processor, which Linux counts for
every thread (`/proc/self/task/*/schedstat`, Documentation/scheduler/sched-stats.rst). Threads of one call wait for each
other at every operation, so their waits add up; but a call takes at least what its busiest thread worked. Then the
quieter half of the rounds counts. Without both, one base read 67 ms in a quiet minute and 145 ms beside other work, and
was in the budget or out of it by chance. What remains of other programs is what they take from caches and from the
processor's clock.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from playbook.artifacts import Latency

BATCHES = {1: 30, 32: 8}  # texts per call -> fewest calls that are timed
SECONDS = 0.4  # per batch size, at most; the fewest calls are made in any case
ROUNDS = 8  # short ones, that the seconds and the fewest calls are cut into
QUIET = 0.5  # share of the rounds that count, the quietest
PRECISION = 0.1  # half the width of the intervals at which timing ends sooner, as a share of the figure
MOST_CALLS = 400
WARM_UP = 2
MIB = 2**20
THREADS = Path("/proc/self/task")
Answer = Callable[[list[str]], object]


@dataclass(frozen=True)
class Round:
    """Seconds of each call of one short round, and how much of each the process waited for a processor."""

    durations: tuple[float, ...]
    waited: tuple[float, ...]

    @property
    def own(self) -> list[float]:
        """Seconds of each call without the waiting."""
        return [max(0.0, took - waited) for took, waited in zip(self.durations, self.waited, strict=True)]

    @property
    def disturbed(self) -> tuple[float, float]:
        """What rounds are ordered by: the share of the time that was waited, then the median."""
        return round(sum(self.waited) / max(sum(self.durations), 1e-12), 2), float(np.median(self.own))


@dataclass
class Stopwatch:
    """Times calls of one batch size, round by round; texts go in turn, the first calls warm up and are not counted."""

    answer: Answer
    texts: Sequence[str]
    batch: int
    rounds: list[Round] = field(default_factory=list)
    calls: int = 0

    def round(self, seconds: float, fewest: int) -> Round:
        """Call for `seconds`, and `fewest` times at least."""
        while self.calls < WARM_UP:
            self._call()
        started, durations, waited = time.perf_counter(), list[float](), list[float]()
        while len(durations) < fewest or (time.perf_counter() - started < seconds and len(durations) < MOST_CALLS):
            before, worked, began = threads(), time.thread_time(), time.perf_counter()
            self._call()
            took, worked = time.perf_counter() - began, time.thread_time() - worked
            durations.append(took)
            waited.append(stood_still(before, threads(), took, worked))
        self.rounds.append(Round(tuple(durations), tuple(waited)))
        return self.rounds[-1]

    def _call(self) -> None:
        part = [self.texts[(self.calls * self.batch + at) % len(self.texts)] for at in range(self.batch)]
        self.calls += 1
        self.answer(part)


class Thread(NamedTuple):
    """Nanoseconds that a thread has worked, and stood ready and waited for a processor, so far."""

    worked: int
    waited: int


def threads() -> dict[str, Thread]:
    """The other threads of this process by id, and this one as `own`; empty where nobody counts."""
    found, own = {}, str(threading.get_native_id())
    try:
        for thread in THREADS.iterdir():
            worked, waited, _ = (thread / "schedstat").read_bytes().split()
            found["own" if thread.name == own else thread.name] = Thread(int(worked), int(waited))
    except (OSError, ValueError):  # another system, a kernel without it, a thread that has just ended
        return {}
    return found


def stood_still(before: dict[str, Thread], after: dict[str, Thread], took: float, worked: float) -> float:
    """Seconds of a call in which it stood still because its threads waited for a processor.

    Args:
        before: threads before the call.
        after: threads after it; one that came meanwhile says nothing.
        took: seconds that the call took.
        worked: seconds that the calling thread worked, which is exact: reading the others' counters is work too.
    """
    both = {one: (before[one], after[one]) for one in after if one in before}
    waits = sum(now.waited - then.waited for then, now in both.values()) / 1e9
    busiest = max([worked, *((now.worked - then.worked) / 1e9 for one, (then, now) in both.items() if one != "own")])
    return max(0.0, min(waits, took - busiest))


def time_calls(answer: Answer, texts: Sequence[str], batch: int, fewest: int, seconds: float = SECONDS) -> Latency:
    """Median, 95th percentile and minimum of calls with `batch` texts each, after a warm-up; texts go in turn.

    Timing ends when the figures are precise enough, or after `seconds`: the median, and the 95th percentile of calls
    with one text, which limits are judged by. Calls in a row share what else the machine does at that moment, and the
    interval takes them for independent; so the 95th percentile is timed for half of the seconds in any case.
    """
    watch = Stopwatch(answer, texts, batch)
    started, few = time.perf_counter(), math.ceil(fewest / ROUNDS)
    while True:
        watch.round(seconds / ROUNDS, min(few, max(1, fewest - _calls(watch.rounds))))
        spent = time.perf_counter() - started
        if _calls(watch.rounds) >= fewest and (spent >= seconds or settled(batch, watch.rounds)):
            return figures(batch, watch.rounds)


def settled(batch: int, rounds: Sequence[Round]) -> bool:
    """Whether half of the rounds or more were made and further ones would hardly move what they say."""
    return len(rounds) * 2 >= ROUNDS and is_precise(_counted(rounds), (0.5, 0.95) if batch == 1 else (0.5,))


def figures(batch: int, rounds: Sequence[Round]) -> Latency:
    """What the quieter rounds say of calls with `batch` texts."""
    quiet = quietest(rounds)
    durations = [took for one in quiet for took in one.own]
    p50, p95 = np.percentile(durations, [50, 95])
    waited = sum(sum(one.waited) for one in rounds) / max(sum(sum(one.durations) for one in rounds), 1e-12)
    return Latency(
        batch=batch,
        p50_ms=round(1000 * p50, 3),
        p95_ms=round(1000 * p95, 3),
        per_second=round(batch * len(durations) / max(sum(durations), 1e-12), 1),
        fastest_ms=round(1000 * min(durations), 3),
        waited=round(waited, 3),
    )


def quietest(rounds: Sequence[Round]) -> list[Round]:
    """The rounds that other work disturbed least: half of them, at least one."""
    return sorted(rounds, key=lambda one: one.disturbed)[: max(1, math.ceil(QUIET * len(rounds)))]


def seconds_of_one(answer: Answer, texts: Sequence[str]) -> float:
    """Seconds of one answer that is given by itself, as serving gives it: requests are answered one by one."""
    return 1 / max(time_calls(answer, texts, 1, BATCHES[1]).per_second, 1e-9)


def _calls(rounds: Sequence[Round]) -> int:
    return sum(len(one.durations) for one in rounds)


def _counted(rounds: Sequence[Round]) -> list[float]:
    return [took for one in quietest(rounds) for took in one.own]


def is_precise(durations: Sequence[float], quantiles: Sequence[float]) -> bool:
    """Whether the 95 % interval of each quantile lies within 10 % of it, on either side.

    An interval between two of the sorted durations, free of their distribution (David and Nagaraja, Order Statistics,
    2003, section 7.1), with the normal approximation of the binomial.
    """
    ordered, n = np.sort(durations), len(durations)
    for quantile in quantiles:
        spread = 1.96 * math.sqrt(n * quantile * (1 - quantile))
        low, high = math.floor(n * quantile - spread) - 1, math.ceil(n * quantile + spread) - 1
        if low < 0 or high >= n:
            return False  # too few calls to bound it
        middle = np.quantile(ordered, quantile)
        if max(ordered[high] - middle, middle - ordered[low]) > PRECISION * middle:
            return False
    return True
