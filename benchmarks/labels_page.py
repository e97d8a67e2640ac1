"""docs/labels.md from the figures of `benchmarks.labels`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

COMMAND = "python -m benchmarks.labels --packages FOLDER --write docs/labels.md"
KINDS = {"none": "no flips", "even": "evenly", "paired": "into the nearest class"}


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """The whole page."""
    parts = (HEAD.splitlines(), _agreement(found["kappa"]), _queue(found["queue"]))
    return "\n".join(line for part in parts for line in part) + "\n"


HEAD = f"""# Can the labels be trusted?

Written by `{COMMAND}`; do not edit.

## Agreement of two people

The gate asks for a floor of kappa (`data.labels.min_kappa`) by the lower end of its 95 % interval. So the interval has
to hold for small samples, and must not shrink to a point where a few rows agree in full. Samples are drawn from two
annotators whose kappa is known: 0.4 to 0.95, even and uneven classes, errors anywhere or into one neighbour; sixteen
kinds of annotators for each row of the table, 600 samples each (150 for the bootstrap). The first figure is the mean
of the shares of samples whose interval has the true kappa, the second the least of them.

Kappa compares what the two people said originally: a label that was corrected later counts as it was before, because
the person who corrected it may have seen the second person's answer. After the guideline has been sharpened, measure
agreement on rows that both label from scratch.

Ours is Wilson's interval of the observed agreement, over as many rows as give it kappa's variance
(`playbook.data.agreement`). The second is kappa and 1.96 standard errors of Fleiss, Cohen and Everitt (1969).

"""


def _agreement(figures: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(one["interval"] for one in figures))
    cells = {(one["classes"], one["rows"], one["interval"]): one for one in figures}
    sizes = dict.fromkeys((one["classes"], one["rows"]) for one in figures)
    rows = [
        [str(classes), str(count)]
        + [f"{cells[classes, count, name]['mean']:.1%}, {cells[classes, count, name]['least']:.1%}" for name in names]
        for classes, count in sizes
    ]
    return _table(["classes", "rows", *names], rows)


QUEUE = """
## The relabel queue

Labels of six sets are flipped at a known rate, evenly over the other classes or each class into the one whose mean
features are nearest. A row is in the queue where its label is wrong with an estimated probability of 0.25 or more
(`data.labels.check_from`); its length follows from that. The estimate is of how many of the queue's labels are wrong,
with its range (`playbook.data.label_noise`). *Flips in it* counts planted errors alone: of a real set nobody knows
which labels were wrong before, and the rows without flips show what is found where nothing was planted. Labels of
tickets are right by construction. *First* is how many flips are among as many first rows as there are flips. cleanlab
prunes by noise rate, on the same probabilities.

The method was built on product reviews, tickets, tweets and Banking77, with another draw of rows and flips than here.
Film reviews and editorials were kept back. On film reviews a first version failed: nine in ten labels of a small class
between two others (5 % of rows, which the model cannot see) were to be checked. Since then every class keeps its share.
So the figures of film reviews are not those of an unseen set. Nothing was chosen on editorials.

"""


def _queue(figures: list[dict[str, Any]]) -> list[str]:
    said = QUEUE.splitlines()
    held = {name: _held(figures, name) for name in dict.fromkeys(one["set"] for one in figures)}
    every = ", ".join(f"{name} {n}" for name, (n, _) in held.items())
    total = f"{sum(n for n, _ in held.values())} of {sum(n for _, n in held.values())}"
    more = sum(one["in_queue"] > one["high"] for one in figures)
    said += [
        f"**The range has the planted errors in {total} cells**; of seven by set:",
        f"{every}.",
        f"In {more} of the others more of the queue is wrong than the range says.",
        "",
    ]
    header = [
        "set",
        "flips",
        "flipped",
        "queue",
        "estimated wrong",
        "range",
        "flips in it",
        "first",
        "cleanlab",
        "flips in it",
    ]
    rows = [
        [
            one["set"],
            KINDS[one["kind"]] + (f", {one['rate']:.0%}" if one["rate"] else ""),
            f"{one['flipped']} of {one['rows']:,}",
            str(one["queue"]),
            f"{one['estimate']:.0f}" + (f" ({one['estimate'] / one['queue']:.0%})" if one["queue"] else ""),
            f"{one['low']:.0f} to {one['high']:.0f}",
            f"{one['in_queue']}" + (f" ({one['in_queue'] / one['queue']:.0%})" if one["queue"] else ""),
            str(one["first"]),
            str(one["cleanlab"]),
            f"{one['in_cleanlab']}" + (f" ({one['in_cleanlab'] / one['cleanlab']:.0%})" if one["cleanlab"] else ""),
        ]
        for one in figures
    ]
    return [*said, *_table(header, rows)]


def _held(figures: list[dict[str, Any]], name: str) -> tuple[int, int]:
    mine = [one for one in figures if one["set"] == name]
    return sum(one["low"] <= one["in_queue"] <= one["high"] for one in mine), len(mine)


def _table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    bars = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return [*bars, *("| " + " | ".join(row) + " |" for row in rows)]
