"""Does the drift alarm keep its promise? False alarms and power, of single windows and of the retraining triggers.

Every window is judged as in production (`playbook.operate.drift.Judge`), with the features of the sample task's base.

- `tickets`: synthetic tickets; windows from rows that the reference does not have, from customers that it does not
  have, and against one reference that is kept. Power: windows with rows of the product line that begins in month ten.
- `real`: windows and references split at random from real texts (`benchmarks.real_texts`).
- `streams`: sixty days of overlapping windows, as the policy looks at them (`benchmarks.drift_streams`).
- `changes`: the day on which production changed, found and true (`benchmarks.change_points`).

Each part prints one JSON row per line and adds it to `--rows FILE`; `--write docs/drift.md` writes the page from all
rows of that file. One run gives both rates, because an alarm is a p-value at or under the rate.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import drift_streams
from benchmarks.change_points import Changes, change_points
from benchmarks.drift_page import RATES, RESAMPLES, page
from benchmarks.real_texts import Texts, banking, real_sets, with_answers
from benchmarks.rows import write_row
from benchmarks.ticket_windows import Tickets, tickets
from playbook.artifacts import Score
from playbook.operate.detectable import detectable
from playbook.operate.drift import Judge
from playbook.spec import Monitoring

SEED, HEAD_ROWS, HEAD_CUSTOMERS, TICKETS = 11, 1500, 150, 8000
REFERENCE_ROWS = {50: 1000, 200: 1000, 1000: 2200}  # by rows of the window
WINDOWS = {50: 200, 200: 120, 1000: 30}  # a large window takes longer
POWER_WINDOWS = {50: 40, 200: 40, 1000: 12}
SHARES = (0.1, 0.2, 0.4)
REAL_SIZES = {50: 200, 200: 120}  # and how many windows of it
RULES = Monitoring(resamples=RESAMPLES)
PARTS = ("tickets", "real", "streams", "changes")
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Tickets, answers to them, and the rows that neither head nor drift has used."""

    tickets: Tickets
    probabilities: npt.NDArray[np.float32]
    usual: Rows
    new: Rows


@dataclass(frozen=True)
class Alarms:
    """Alarms of the windows of one line."""

    kind: str
    rows: int
    share: float  # of rows of the new product line
    reference_rows: int
    windows: int
    alarms: tuple[int, ...]  # by rate
    detectable: float | None = None


def world() -> World:
    """A year of tickets; the head learns from the rows of a third of the customers, which nothing else uses."""
    found = tickets(TICKETS)
    random = np.random.default_rng(SEED)
    teachers = random.permutation(found.customer.max() + 1)[:HEAD_CUSTOMERS]
    taught = np.isin(found.customer, teachers)
    usual, new = np.flatnonzero(~taught & ~found.new), np.flatnonzero(~taught & found.new)
    head = random.permutation(np.flatnonzero(taught & ~found.new))[:HEAD_ROWS]
    return World(found, found.answers(head), usual, new)


def drawn(where: World, kind: str, rows: int, random: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows of a reference and of a window without drift."""
    size = REFERENCE_ROWS[rows]
    if kind == "other customers":
        customers = where.tickets.customer[where.usual]
        names = random.permutation(np.unique(customers))
        inside = np.isin(customers, names[: len(names) // 2])
        return random.permutation(where.usual[inside])[:size], random.permutation(where.usual[~inside])[:rows]
    order = random.permutation(where.usual)
    return order[rows : rows + size], order[:rows]


def false_alarms(where: World, kind: str, rows: int) -> Alarms:
    """Alarms of windows without drift; a reference of its own for each."""
    random, windows = np.random.default_rng([SEED, rows]), WINDOWS[rows]
    p_values = []
    for window in range(windows):
        reference, chosen = drawn(where, kind, rows, random)
        judge = Judge(where.tickets.reference(reference, where.probabilities), RULES, window)
        p_values.append(least(where, judge, chosen, window))
    return Alarms(kind, rows, 0.0, REFERENCE_ROWS[rows], windows, counted(p_values))


def real_alarms(texts: Texts, rows: int) -> Alarms:
    """Alarms of windows of a real set, reference and window drawn at random; a reference of its own for each."""
    windows, size = REAL_SIZES[rows], 1000
    p_values = []
    for window in range(windows):
        order = np.random.default_rng([SEED, rows, window]).permutation(texts.free)
        judge, chosen = Judge(texts.reference(order[:size]), RULES, window), order[size : size + rows]
        figures = judge.judge(texts.figures.take(chosen), texts.probabilities[chosen], window)
        p_values.append(min(figure.p_value for figure in figures if figure.p_value is not None))
    return Alarms(texts.name, rows, 0.0, size, windows, counted(p_values))


def power(where: World, rows: int) -> Iterator[Alarms]:
    """Alarms with none and with more and more rows of the new product line, against one reference."""
    random = np.random.default_rng([SEED, rows, 1])
    order = random.permutation(where.usual)
    size = REFERENCE_ROWS[rows]
    judge, others = Judge(where.tickets.reference(order[:size], where.probabilities), RULES, 1), order[size:]
    seen = detectable(judge, rows)
    for share in (0.0, *SHARES):
        p_values, windows = [], POWER_WINDOWS[rows] if share else WINDOWS[rows]
        for window in range(windows):
            strange = round(share * rows)
            usual = random.choice(others, rows - strange, replace=False)
            chosen = np.concatenate([usual, random.choice(where.new, strange, replace=False)])
            p_values.append(least(where, judge, chosen, window))
        yield Alarms("kept" if not share else "new line", rows, share, size, windows, counted(p_values), seen)


def least(where: World, judge: Judge, chosen: Rows, seed: int) -> float:
    """The smallest corrected p-value of a window: an alarm where it is at most the rate."""
    figures = judge.judge(where.tickets.figures.take(chosen), where.probabilities[chosen], seed)
    return min(figure.p_value for figure in figures if figure.p_value is not None)


def counted(p_values: Sequence[float]) -> tuple[int, ...]:
    """Alarms at each rate."""
    return tuple(int(sum(p_value <= rate + 1e-12 for p_value in p_values)) for rate in RATES)


def measured(part: str, data: Path, packages: Path) -> Iterator[Alarms | drift_streams.Streams | Changes]:
    """The lines of a part."""
    if part == "tickets":
        where = world()
        for rows in REFERENCE_ROWS:
            yield from power(where, rows)
            for kind in ("fresh", "other customers"):
                yield false_alarms(where, kind, rows)
    elif part == "real":
        for texts in real_sets(data, packages):
            yield from (real_alarms(texts, rows) for rows in REAL_SIZES)
    elif part == "changes":
        yield from change_points(with_answers("Banking77", *banking(data)))
    else:
        yield from streams(data, packages)


def streams(data: Path, packages: Path) -> Iterator[drift_streams.Streams]:
    """Metric first (a minute), then drift on real texts and on tickets with a new product line."""
    yield from metric_lines()
    spec = drift_streams.stream_spec()
    for texts in real_sets(data, packages, strange=False):
        yield drift_streams.drift_streams(spec, texts)
    where = world()
    made = where.tickets
    rows = Texts("tickets", made.figures, where.probabilities, made.truth, made.labels, where.usual)
    for share in SHARES:
        name = "tickets with a new product line"
        yield drift_streams.changed_streams(spec, name, rows, where.usual, where.new, share, streams=12)


def metric_lines() -> Iterator[drift_streams.Streams]:
    """The live metric above, at and under its threshold; then as far from the held-out result as allowed, and more."""
    spec, differs = drift_streams.stream_spec(), drift_streams.stream_spec(metric_differs=0.05)
    for points in (0.01, 0.0, -0.05, -0.1):
        yield drift_streams.metric_streams(spec, drift_streams.THRESHOLD + points)
    held_out = Score(metric="accuracy", value=0.9, low=0.88, high=0.917, n=800)
    for true in (0.9, 0.85, 0.75):
        yield drift_streams.metric_streams(differs, true, held_out)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", default=[], help="what is measured; may be repeated")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with banking77/")
    parser.add_argument("--packages", type=Path, default=Path("build/packages"), help="folder with vaderSentiment")
    parser.add_argument("--rows", type=Path, default=Path("build/drift.jsonl"), help="file that lines are added to")
    parser.add_argument("--write", type=Path, help="Markdown file that is written from the lines")
    arguments = parser.parse_args()
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    for part in arguments.part:
        began = time.perf_counter()
        for found in measured(part, arguments.data, arguments.packages):
            figures: dict[str, Any] = {"part": part, **asdict(found)}
            with arguments.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(figures) + "\n")
            write_row(benchmark="drift alarms", **figures, seconds=round(time.perf_counter() - began, 1))
            began = time.perf_counter()
    if arguments.write:
        lines = [json.loads(line) for line in arguments.rows.read_text(encoding="utf-8").splitlines()]
        arguments.write.write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
