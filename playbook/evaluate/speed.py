"""What an answer takes and costs on this machine: time per call at batch 1 and 32, money per 1,000 answers (5.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

from playbook.artifacts import Latency, Speed
from playbook.bases.latency import time_calls
from playbook.spec import Prices, TaskSpec

BATCHES = {1: 20, 32: 5}  # texts per call -> fewest calls that are timed
SECONDS = 0.4  # per batch size
ROUNDS = 2  # of every model and batch size where models are compared
HOUR = 3600.0
Model = Literal["baseline", "candidate"]
Answer = Callable[[list[str]], object]


def measure_speed(
    spec: TaskSpec,
    model: Model,
    answer: Answer,
    texts: Sequence[str],
    seconds: float = SECONDS,
) -> Speed:
    """Time a model on real texts, after a warm-up.

    A request is answered when it comes, so the price is that of calls with one text: seconds of `prices.serving_hour`.
    Without it the answers are not priced.

    Args:
        spec: the task; its prices are used.
        model: which one it is.
        answer: texts -> anything; tokenising is part of the call.
        texts: what calls are made of.
        seconds: time spent per batch size, about.

    Raises:
        ValueError: no texts.
    """
    return measure_speeds(spec, {model: answer}, texts, seconds, rounds=1)[0]


def measure_speeds(
    spec: TaskSpec,
    models: Mapping[str, Answer],
    texts: Sequence[str],
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
) -> tuple[Speed, ...]:
    """Time several models so that they can be compared: in turn, more than once.

    Whatever else the machine does meanwhile slows one round down, seldom all of them. Of every model and batch size the
    round with the lower median is kept, so load that comes and goes speaks for no model.

    Args:
        spec: the task; its prices are used.
        models: texts -> anything, by name (`baseline`, `candidate`); tokenising is part of the call.
        texts: what calls are made of.
        seconds: time spent per model, batch size and round, about.
        rounds: how often every model has its turn.

    Returns:
        One for each model, in their order.

    Raises:
        ValueError: no texts.
    """
    if not texts:
        raise ValueError("expected at least one text to time answers with, found none")
    quietest: dict[tuple[str, int], Latency] = {}
    for batch, fewest in BATCHES.items():
        for _ in range(rounds):
            for name, answer in models.items():
                found = time_calls(answer, texts, batch, fewest, seconds)
                quietest[name, batch] = min(quietest.get((name, batch), found), found, key=lambda one: one.p50_ms)
    return tuple(
        _speed(spec, cast("Model", name), tuple(quietest[name, batch] for batch in BATCHES)) for name in models
    )


def _speed(spec: TaskSpec, model: Model, latency: tuple[Latency, ...]) -> Speed:
    return Speed(
        model=model,
        latency=latency,
        cost_per_1000=cost_per_1000(spec.prices, latency[0]),
        currency=spec.prices.currency,
    )


def cost_per_1000(prices: Prices, single: Latency) -> float | None:
    """Money for 1,000 answers that are given one by one, from calls with one text; None where no hour has a price."""
    if prices.serving_hour is None:
        return None
    return 1000 / max(single.per_second, 1e-9) / HOUR * prices.serving_hour
