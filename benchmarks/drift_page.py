"""The page docs/drift.md, from the rows that `benchmarks.false_alarms` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playbook.evaluate.wording import percent
from playbook.operate.recent import RATE as CHANGE_RATE
from playbook.spec import Monitoring, Retraining
from playbook.statistics.daily_looks import PERIOD_DAYS

RATES = (0.01, 0.05)
RESAMPLES = 199  # random windows of a test: its rate does not depend on them, and fewer leave time for more windows
MISSING = "Not measured with the present code; run the command above with all its parts."
Line = Mapping[str, Any]
KINDS = {
    "fresh": "tickets that the reference does not have",
    "kept": "tickets that it does not have, one reference kept",
    "other customers": "tickets of customers that the reference does not have",
}


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson, Biometrika 26 (1934) 404-413)."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def page(lines: Sequence[Line]) -> str:
    """The whole page."""
    single = [line for line in lines if line["part"] not in ("streams", "changes")]
    promised = [line for line in single if line["kind"] not in ("kept", "other customers", "new line")]
    kept, others = ([line for line in single if line["kind"] == kind] for kind in ("kept", "other customers"))
    streams, changes = ([line for line in lines if line["part"] == part] for part in ("streams", "changes"))
    defaults, policy = Monitoring(), Retraining()
    return f"""# Does the drift alarm keep its promise?

Written by `python -m benchmarks.false_alarms --part tickets --part real --part streams --part changes --write
docs/drift.md`; do not edit.

`monitoring.false_alarm_rate` of a task file is the share of windows without any drift that may raise the alarm at most,
whatever their size and however many figures are looked at. Windows are judged as production judges them, with
features of the sample task's base and answers of a logistic head. In brackets: the exact 95 % interval (Clopper and
Pearson) of the true rate.

## One window

A reference of its own for each window, because the rate that is promised is one over references and windows. Each is
held against {RESAMPLES} random windows, on whose number the rate does not depend.
{_verdict(promised)}

{_rates(promised)}

Banking77: 13,083 queries of a bank's customers. Tweets and sentences of product reviews: those rated for VADER (Hutto
and Gilbert, 2014), by positive, neutral and negative. References and windows are split at random. The alarm is an exact
permutation test, so a foreign word or a strange sign that the reference happens not to have raises no alarm.

## Sixty days of windows

Windows of {defaults.window_days} days overlap, and the policy looks at them every day. A trigger that rests on a test
holds within {PERIOD_DAYS} days in at most {percent(policy.false_alarm_rate)} of streams in which nothing changed
(`retraining.false_alarm_rate`): an upper bound that needs no assumption on how days depend on each other
(`playbook/statistics/daily_looks.py`).

### Drift

Ten rows a day, a reference of 500 rows, {defaults.resamples} random windows for each; the trigger asks for three sure
windows of the last five. Each stream has a reference of its own; one with new rows ends when the trigger holds, after
four weeks at the latest.

{_kept([line for line in streams if line["trigger"] == "drift"], policy.false_alarm_rate)}

{_drift_streams([line for line in streams if line["trigger"] == "drift"])}

### The live metric

Twelve outcomes a day. The first trigger asks for an accuracy under 85 %, the second for one more than five points away
from the 90 % that 800 test rows gave.

{_metric_streams([line for line in streams if line["trigger"] != "drift"])}

## Where the promise stops

The promise is for windows whose rows are drawn like those of the reference. Two things are not that.

A reference is itself a sample. All windows that are compared with one reference share that sample's luck, good or bad,
the more so the larger the window is beside it. One such reference for each size:

{_rates(kept)}

Rows of one customer resemble each other. Here no customer of the window is in the reference, as if all customers had
changed: on small windows that is hardly seen, on a window of half the reference it is a small shift, and it is found.

{_rates(others)}

Drawing whole customers instead of rows would make up for that only if customers of a window and of the reference had
about as many rows each; a week of production has one or two of each where a reference has ten, so it is not done.

After a retraining round the reference is small: the held-out rows that came since the last change. Its rate holds as
well, but what it can see is little, and the page says so.

## What is seen

Windows with rows of the product line Havenloop, which begins in month ten and of which the reference has no row.
*Named* is what the monitoring page would say of that size: the share of rows of a kind that the reference does not know
that is seen four times in five, modelled by holding out clusters of the reference.

{_power(single)}

## Since when?

After a round the reference is the newest rows, as far back as nothing changed (`playbook/operate/recent.py`). Its
settings were chosen on one replayed year of the sample tickets. Here the rows are Banking77's, ten a day for a hundred
days, and from a known day on some of them are of intents that no earlier row had. Where nothing changed, a change is
found in at most {percent(CHANGE_RATE, 0)} of cases by design. A change that is found by chance costs
rows of the reference; a change that is missed leaves the old world in it.

{_changes(changes)}

*Days off*: from the true day to the one that was found, the middle 80 % of the trials in which one was found; negative
days are too early. The newest rows are looked at in stretches, each a quarter longer than the one before, so the day is
found less precisely the longer ago it was. The rows after a change are looked at again, which by chance finds a
second, later one now and then: the latest days are of that kind. They cost rows and leave nothing old in the reference.

How thresholds are set, and why the rate holds, is written in `playbook/operate/thresholds.py` and
`playbook/operate/drift.py`.
"""


def _verdict(lines: Sequence[Line]) -> str:
    above = [
        f"{line['rows']:,} rows of {_named(line)} at {percent(rate, 0)}"
        for line in lines
        for at, rate in enumerate(RATES)
        if clopper_pearson(line["alarms"][at], line["windows"])[0] > rate
    ]
    number, windows = len(lines) * len(RATES), sum(line["windows"] for line in lines)
    verb = "lie" if len(above) > 1 else "lies"
    said = f"**{len(above) or 'None'} of {number} intervals {verb} above the promised rate.**"
    said += f" Outside: {'; '.join(above)}." if above else ""
    together = [
        f"{_share(sum(line['alarms'][at] for line in lines), windows)} at {percent(rate, 0)}"
        for at, rate in enumerate(RATES)
    ]
    return f"{said}\nAll {windows:,} windows together: {', '.join(together)}."


def _named(line: Line) -> str:
    return KINDS.get(line["kind"], line["kind"])


def _rates(lines: Sequence[Line]) -> str:
    if not lines:
        return MISSING
    rows = [
        f"| window | reference | windows drawn from | windows | {' | '.join(f'at {percent(r, 0)}' for r in RATES)} |",
        "| ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for line in lines:
        cells = " | ".join(_share(alarms, line["windows"]) for alarms in line["alarms"])
        size = f"| {line['rows']:,} | {line['reference_rows']:,} | {_named(line)} | {line['windows']} |"
        rows.append(f"{size} {cells} |")
    return "\n".join(rows)


def _share(hits: int, n: int) -> str:
    low, high = clopper_pearson(hits, n)
    return f"{percent(hits / n)} ({100 * low:.1f} to {100 * high:.1f})"


def _drift_streams(lines: Sequence[Line]) -> str:
    if not lines:
        return MISSING
    head = "| rows of | new rows | windows with alarm | streams in which the trigger held | days until then |"
    rows = [head, "| --- | ---: | ---: | ---: | ---: |"]
    for line in lines:
        share = percent(line["share"], 0) if line["share"] else "none"
        alarms = f"{percent(line['alarms'] / line['windows'])} of {line['windows']:,}"
        held = f"{line['fired']} of {line['streams']}"
        rows.append(f"| {line['kind']} | {share} | {alarms} | {held} | {_days(line)} |")
    return "\n".join(rows)


def _kept(lines: Sequence[Line], rate: float) -> str:
    """Whether the trigger keeps its promise on streams without a change, over all sets and for each."""
    still = [line for line in lines if not line["share"]]
    if not still:
        return MISSING
    fired, number = sum(line["fired"] for line in still), sum(line["streams"] for line in still)
    over = [line["kind"] for line in still if clopper_pearson(line["fired"], line["streams"])[0] > rate]
    said = f"Outside: {'; '.join(over)}." if over else f"No set's interval lies above {percent(rate, 0)}."
    return (
        f"**It held without a change in {fired} of {number} streams, {_share(fired, number)}, where at most "
        f"{percent(rate, 0)} are promised.**\n{said}"
    )


def _changes(lines: Sequence[Line]) -> str:
    if not lines:
        return MISSING
    rows = [
        "| new from a day on | days since | a change is found | within a week of the day | days off (median) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for line in lines:
        found = _share(line["found"], line["trials"])
        if not line["intents"]:
            rows.append(f"| nothing | – | {found} of {line['trials']} | – | – |")
            continue
        what = f"{line['intents']} intent{'s' if line['intents'] > 1 else ''}, {percent(line['share'], 0)} of rows"
        low, middle, high = line["off"] or (None,) * 3
        off = "–" if low is None else f"{low:+.0f} to {high:+.0f} ({middle:+.0f})"
        near = percent(line["near"] / line["trials"], 0)
        rows.append(
            f"| {what} | {line['after'][0]} to {line['after'][1]} | {found} of {line['trials']} | {near} | {off} |"
        )
    return "\n".join(rows)


def _metric_streams(lines: Sequence[Line]) -> str:
    rows = ["| trigger | true accuracy | streams in which it held | days until then |", "| --- | ---: | ---: | ---: |"]
    for line in lines:
        name = line["trigger"].replace("_", " ")
        held = _share(line["fired"], line["streams"])
        rows.append(f"| {name} | {percent(0.85 + line['share'], 0)} | {held} | {_days(line)} |")
    return "\n".join(rows)


def _days(line: Line) -> str:
    return "–" if line["delay"] is None else f"{line['delay']:.0f}"


def _power(lines: Sequence[Line]) -> str:
    new = [line for line in lines if line["kind"] == "new line"]
    if not new:
        return MISSING
    shares = sorted({line["share"] for line in new})
    head = " | ".join(f"{percent(share, 0)} new" for share in shares)
    rows = [f"| window | reference | rate | {head} | named |", "| ---: | ---: | ---: |" + " ---: |" * (len(shares) + 1)]
    for size in sorted({line["rows"] for line in new}):
        found = [line for line in new if line["rows"] == size]
        if len(found) < len(shares):
            continue  # the run was ended in between
        for at, rate in enumerate(RATES):
            cells = " | ".join(percent(line["alarms"][at] / line["windows"], 0) for line in found)
            seen = found[0]["detectable"]
            named = "" if rate != Monitoring().false_alarm_rate else "none" if seen is None else percent(seen, 0)
            rows.append(f"| {size:,} | {found[0]['reference_rows']:,} | {percent(rate, 0)} | {cells} | {named} |")
    return "\n".join(rows)
