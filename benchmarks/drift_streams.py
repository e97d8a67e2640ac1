"""Streams of daily windows: how often the triggers of the retraining policy hold, with and without a change.

A stream is 60 days of a few rows each, drawn at random from a set, and a reference drawn from the rest of it. Every day
the window of the last seven days is judged as in production, and the policy looks at it as in production
(`playbook.operate.policy`). For the metric the stream is made up: outcomes that are right with a known chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from benchmarks.real_texts import Texts
from playbook.artifacts import Drift, Score, Trigger
from playbook.operate.drift import Judge
from playbook.operate.policy import Facts, decide_retraining
from playbook.spec import Monitoring, TaskSpec
from playbook.statistics.daily_looks import PERIOD_DAYS

STREAMS, SEED = 24, 17
ROWS_PER_DAY, REFERENCE_ROWS = 10, 500
FIRST = date(2025, 3, 1)
METRIC_STREAMS, OUTCOMES_PER_DAY, THRESHOLD = 1000, 12, 0.85
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Streams:
    """What came of the streams of one line."""

    kind: str  # set, or what the metric does
    trigger: str
    share: float  # of changed rows from the first day on, or points of the metric under its threshold
    streams: int
    windows: int  # judged, in all
    alarms: int  # windows with an alarm
    fired: int  # streams in which the trigger held on some day
    delay: float | None  # days until it held, median of those in which it did


def drift_streams(spec: TaskSpec, texts: Texts, streams: int = STREAMS) -> Streams:
    """Streams of a set without drift: a reference and a stream of its own each; the head is that of the set."""
    windows = alarms = 0
    held: list[int] = []
    for number in range(streams):
        random = np.random.default_rng([SEED, number])
        order = random.permutation(texts.free)
        reference, later = texts.reference(order[:REFERENCE_ROWS]), order[REFERENCE_ROWS:]
        judged = list(_days(spec, texts, Judge(reference, spec.monitoring, number), later, random))
        windows += len(judged)
        alarms += sum(drift.alarm for drift in judged)
        held += _first_day(spec, judged, "drift")
    delay = float(np.median(held)) if held else None
    return Streams(texts.name, "drift", 0.0, streams, windows, alarms, len(held), delay)


def changed_streams(
    spec: TaskSpec, name: str, texts: Texts, usual: Rows, new: Rows, share: float, streams: int = STREAMS
) -> Streams:
    """Streams in which a share of the rows is of another kind from the first day on, each until the trigger holds."""
    windows = alarms = 0
    held: list[int] = []
    for number in range(streams):
        random = np.random.default_rng([SEED, number, 1])
        order = random.permutation(usual)
        judge = Judge(texts.reference(order[:REFERENCE_ROWS]), spec.monitoring, number)
        later = order[REFERENCE_ROWS:]
        swapped = random.random(len(later)) < share
        later = np.where(swapped, random.choice(new, len(later)), later)
        judged: list[Drift] = []
        for drift in _days(spec, texts, judge, later, random, days=28):
            judged.append(drift)
            if _holds(spec, judged, "drift"):
                held.append(len(judged))
                break
        windows += len(judged)
        alarms += sum(drift.alarm for drift in judged)
    delay = float(np.median(held)) if held else None
    return Streams(name, "drift", share, streams, windows, alarms, len(held), delay)


def _days(
    spec: TaskSpec,
    texts: Texts,
    judge: Judge,
    later: Rows,
    random: np.random.Generator,
    days: int = PERIOD_DAYS,
) -> Iterator[Drift]:
    """The window of every day, once there are as many days as it takes."""
    width = spec.monitoring.window_days
    counts = random.poisson(ROWS_PER_DAY, days + width - 1)
    ends = np.cumsum(counts)
    for day in range(width - 1, len(counts)):
        rows = later[ends[day - width + 1] - counts[day - width + 1] : ends[day]]
        figures = judge.judge(texts.figures.take(rows), texts.probabilities[rows], day)
        least = min(figure.p_value for figure in figures if figure.p_value is not None)
        yield Drift(
            task=spec.task,
            day=(FIRST + timedelta(day)).isoformat(),
            rows=len(rows),
            judged=True,
            alarm=least <= spec.monitoring.false_alarm_rate,
            p_value=least,
            model_version="1.0.0",
        )


def _first_day(spec: TaskSpec, judged: list[Drift], trigger: Trigger) -> list[int]:
    """Days until the trigger held, counted from the first window; none where it never did."""
    return [at + 1 for at in range(len(judged)) if _holds(spec, judged[: at + 1], trigger)][:1]


def _holds(spec: TaskSpec, windows: list[Drift], trigger: Trigger) -> bool:
    """Whether the trigger holds on the day of the last window."""
    facts = Facts(day=date.fromisoformat(windows[-1].day), version="1.0.0", windows=windows)
    return trigger in decide_retraining(spec, facts).triggers


def metric_streams(
    spec: TaskSpec, true: float, held_out: Score | None = None, streams: int = METRIC_STREAMS
) -> Streams:
    """Streams whose live accuracy is `true` on every day; with a held-out result, how it differs is looked at."""
    from playbook.evaluate.paired import wilson

    width, trigger = spec.monitoring.window_days, "metric_differs" if held_out else "metric"
    random, held = np.random.default_rng([SEED, round(1e4 * true)]), []
    counts = random.poisson(OUTCOMES_PER_DAY, (streams, PERIOD_DAYS + width - 1))
    hits = random.binomial(counts, true)
    for stream in range(streams):
        for at in range(PERIOD_DAYS):
            n, right = int(counts[stream, at : at + width].sum()), int(hits[stream, at : at + width].sum())
            if n < spec.monitoring.min_outcomes:
                continue
            low, high = wilson(right, n, spec.evaluation.confidence)
            live = Score(metric="accuracy", value=right / n, low=low, high=high, n=n)
            day = FIRST + timedelta(at)
            drift = Drift(task=spec.task, day=day.isoformat(), live=live, model_version="1.0.0")
            facts = Facts(day=day, version="1.0.0", windows=[drift], held_out=held_out)
            if trigger in decide_retraining(spec, facts).triggers:
                held.append(at + 1)
                break
    delay = float(np.median(held)) if held else None
    return Streams("outcomes", trigger, true - THRESHOLD, streams, streams * PERIOD_DAYS, 0, len(held), delay)


def stream_spec(**retraining: object) -> TaskSpec:
    """The sample task with seven-day windows and the policy's defaults, but for what is given."""
    from benchmarks.rows import ROOT
    from playbook.taskfile import load_task

    spec = load_task(ROOT / "pipelines" / "tasks" / "tickets.yaml").spec
    document = spec.model_dump(mode="json")
    document["monitoring"] = Monitoring(min_rows=10).model_dump(mode="json")
    document["retraining"] = {"metric_below": THRESHOLD, **retraining}
    return TaskSpec.model_validate(document)
