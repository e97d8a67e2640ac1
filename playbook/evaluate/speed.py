"""What an answer takes and costs on this machine: time per call at batch 1 and 32, money per 1,000 answers (5.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from playbook.artifacts import Speed
from playbook.bases.latency import time_calls
from playbook.spec import TaskSpec

BATCHES = {1: 20, 32: 5}  # texts per call -> fewest calls that are timed
SECONDS = 0.4  # per batch size
HOUR = 3600.0


def measure_speed(
    spec: TaskSpec,
    model: Literal["baseline", "candidate"],
    answer: Callable[[list[str]], object],
    texts: Sequence[str],
    seconds: float = SECONDS,
) -> Speed:
    """Time a model on real texts, after a warm-up.

    A request is answered when it comes, so the price is that of calls with one text: seconds of `prices.serving_hour`.
    A price of 0 there means that the machine's hours are not counted.

    Args:
        spec: the task; its prices are used.
        model: which one it is.
        answer: texts -> anything; tokenising is part of the call.
        texts: what calls are made of.
        seconds: time spent per batch size, about.

    Raises:
        ValueError: no texts.
    """
    if not texts:
        raise ValueError("expected at least one text to time answers with, found none")
    latency = tuple(time_calls(answer, texts, batch, fewest, seconds) for batch, fewest in BATCHES.items())
    seconds_each = 1 / max(latency[0].per_second, 1e-9)
    return Speed(
        model=model,
        latency=latency,
        cost_per_1000=1000 * seconds_each / HOUR * spec.prices.serving_hour,
        currency=spec.prices.currency,
    )
