"""Does the drift alarm keep its promise? False alarms and power on tickets, with the features of the sample's base.

Every window is judged as in production (`playbook.operate.drift.Judge`). Windows without drift are counted in four
ways: taken out of the reference, from rows that the reference does not have, from customers that it does not have, and
against one reference that is kept. Power: windows with rows of the product line that begins in month ten. One run gives
both rates, because an alarm is a p-value at or under the rate. `--write docs/drift.md` writes the tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.rows import write_row
from benchmarks.ticket_windows import Tickets, tickets
from playbook.evaluate.wording import percent
from playbook.operate.detectable import detectable
from playbook.operate.drift import Judge
from playbook.spec import Monitoring

WINDOWS, SEED, HEAD_ROWS, HEAD_CUSTOMERS = 300, 11, 1500, 150
RATES = (0.01, 0.05)
REFERENCE_ROWS = {50: 1000, 200: 1000, 1000: 2200}  # by rows of the window
SHARES = (0.1, 0.2, 0.4)
PROMISED = ("taken out", "fresh")
KINDS = {
    "taken out": "taken out of the reference",
    "fresh": "rows that the reference does not have",
    "other customers": "rows of customers that the reference does not have",
    "kept": "rows that it does not have, one reference kept",
}
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
    found = tickets()
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
    pool = np.random.default_rng(SEED).permutation(where.usual)[: size + rows] if kind == "taken out" else where.usual
    order = random.permutation(pool)
    return order[rows : rows + size], order[:rows]


def false_alarms(where: World, kind: str, rows: int, windows: int = WINDOWS) -> Alarms:
    """Alarms of windows without drift; a reference of its own for each."""
    random = np.random.default_rng([SEED, rows])
    p_values = []
    for window in range(windows):
        reference, chosen = drawn(where, kind, rows, random)
        judge = Judge(where.tickets.reference(reference, where.probabilities), Monitoring(), window)
        p_values.append(least(where, judge, chosen, window))
    return Alarms(kind, rows, 0.0, REFERENCE_ROWS[rows], windows, counted(p_values))


def power(where: World, rows: int, windows: int = WINDOWS) -> Iterator[Alarms]:
    """Alarms with none and with more and more rows of the new product line, against one reference."""
    random = np.random.default_rng([SEED, rows, 1])
    order = random.permutation(where.usual)
    size = REFERENCE_ROWS[rows]
    judge, others = Judge(where.tickets.reference(order[:size], where.probabilities), Monitoring(), 1), order[size:]
    seen = detectable(judge, rows)
    for share in (0.0, *SHARES):
        p_values = []
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


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson, Biometrika 26 (1934) 404-413)."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file that the tables are written to")
    parser.add_argument("--windows", type=int, default=WINDOWS)
    arguments = parser.parse_args()
    where = world()
    results: list[Alarms] = []
    for found, seconds in timed(where, arguments.windows):
        results.append(found)
        figures: dict[str, Any] = asdict(found)
        write_row(benchmark="drift alarms", **figures, rates=RATES, seconds=seconds)
    if arguments.write:
        arguments.write.write_text(page(results), encoding="utf-8")


def timed(where: World, windows: int) -> Iterator[tuple[Alarms, float]]:
    """Every line with the seconds that it took."""
    for rows in REFERENCE_ROWS:
        began = time.perf_counter()
        for found in power(where, rows, windows):
            yield found, round(time.perf_counter() - began, 1)
            began = time.perf_counter()
        for kind in ("taken out", "fresh", "other customers"):
            yield false_alarms(where, kind, rows, windows), round(time.perf_counter() - began, 1)
            began = time.perf_counter()


def page(results: list[Alarms]) -> str:
    """The tables as a page of the documentation."""
    promised = [one for one in results if one.kind in PROMISED]
    kept, others = ([one for one in results if one.kind == kind] for kind in ("kept", "other customers"))
    lines = [(one, at) for one in promised for at in range(len(RATES))]
    covered = sum(_covers(one, at) for one, at in lines)
    windows = results[0].windows
    defaults = Monitoring()
    return f"""# Does the drift alarm keep its promise?

Written by `python -m benchmarks.false_alarms --write docs/drift.md`; do not edit.

`monitoring.false_alarm_rate` of a task file is the share of windows without any drift that may raise the alarm,
whatever their size and however many figures are looked at. Each line draws {windows} windows of synthetic tickets,
compares them as production does ({defaults.resamples} resamples, features of the sample task's base, answers of a \
logistic head) and
counts alarms. In brackets: the exact 95 % interval (Clopper and Pearson) of the true rate.

**{covered} of {len(lines)} intervals hold the promised rate.**{_outside(lines)}

{_rates(promised)}

For each of these windows a reference of its own was drawn, because the rate that is promised is one over references
and windows.

## Where the promise stops

The promise is for windows whose rows are drawn like those of the reference. Two things are not that.

A reference is itself a sample. All windows that are compared with one reference share that sample's luck, good or bad,
the more so the larger the window is beside it. One such reference for each size:

{_rates(kept)}

Rows of one customer resemble each other. Here no customer of the window is in the reference, as if all customers had
changed: on small windows that is hardly seen, on a window of half the reference it is a small shift, and it is found.

{_rates(others)}

## What is seen

Windows with rows of the product line Havenloop, which begins in month ten and of which the reference has no row.
*Named* is what the monitoring page would say of that size: the share of rows of a kind that the reference does not know
that is seen four times in five, modelled by holding out clusters of the reference.

{_power(results)}

How thresholds are set, and why the rate holds, is written in `playbook/operate/thresholds.py` and
`playbook/operate/drift.py`.
"""


def _covers(one: Alarms, at: int) -> bool:
    low, high = clopper_pearson(one.alarms[at], one.windows)
    return low <= RATES[at] <= high


def _outside(lines: list[tuple[Alarms, int]]) -> str:
    named = [
        f"{one.rows:,} rows, {KINDS[one.kind]}, {percent(RATES[at], 0)} promised"
        for one, at in lines
        if not _covers(one, at)
    ]
    return f" Outside: {'; '.join(named)}." if named else ""


def _rates(results: list[Alarms]) -> str:
    lines = [
        f"| window | reference | windows drawn from | {' | '.join(f'at {percent(rate, 0)}' for rate in RATES)} |",
        "| ---: | ---: | --- | ---: | ---: |",
    ]
    for one in results:
        cells = " | ".join(_share(alarms, one.windows) for alarms in one.alarms)
        lines.append(f"| {one.rows:,} | {one.reference_rows:,} | {KINDS[one.kind]} | {cells} |")
    return "\n".join(lines)


def _share(alarms: int, windows: int) -> str:
    low, high = clopper_pearson(alarms, windows)
    return f"{percent(alarms / windows)} ({100 * low:.1f} to {100 * high:.1f})"


def _power(results: list[Alarms]) -> str:
    head = " | ".join(f"{percent(share, 0)} new" for share in SHARES)
    lines = [f"| window | reference | rate | {head} | named |", "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for rows in REFERENCE_ROWS:
        found = [one for one in results if one.kind == "new line" and one.rows == rows]
        for at, rate in enumerate(RATES):
            cells = " | ".join(percent(one.alarms[at] / one.windows, 0) for one in found)
            seen = found[0].detectable
            named = "" if rate != Monitoring().false_alarm_rate else "none" if seen is None else percent(seen, 0)
            lines.append(f"| {rows:,} | {found[0].reference_rows:,} | {percent(rate, 0)} | {cells} | {named} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
