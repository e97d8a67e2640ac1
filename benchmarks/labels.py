"""Do kappa's interval and the relabel queue's estimate hold what they say? The figures behind docs/labels.md.

Kappa: samples of two annotators whose true kappa is known. Queue: labels of six sets are flipped at known rates, evenly
or each class into the one that is nearest; then the queue is made as the product makes it, and what it estimates stands
beside the flips that are in it. cleanlab's pruning by noise rate is the peer, on the same probabilities.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.labelled_sets import TITLES, Labelled, add_arguments, labelled
from benchmarks.labels_page import page
from benchmarks.rows import write_row
from playbook.data.agreement import kappa, kappa_figure
from playbook.data.label_errors import AuditRows, default_draws, find_label_errors

MOST_ROWS, SEED = 6000, 3
FLIPS = (("none", 0.0), *((kind, rate) for rate in (0.01, 0.05, 0.1) for kind in ("even", "paired")))
CHECK_FROM = 0.25
TRIALS, RESAMPLES = 600, 400
Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--write", type=Path, help="page to write")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"kappa": agreement_figures(), "queue": []}
    for name in arguments.sets:
        rows = labelled(name, arguments)
        order = np.random.default_rng(SEED).permutation(len(rows.labels))[:MOST_ROWS]
        found["queue"] += queue_figures(rows.take(order))
    for name, figures in found.items():
        write_row(benchmark=f"labels: {name}", figures=figures)
    if arguments.write:
        arguments.write.write_text(page(found), encoding="utf-8")


def cells_of(classes: int, agreed: float, *, even: bool, pairs: bool) -> Floats:
    """Probabilities of two annotators' labels: copied or drawn alike, or mistaken for one neighbour."""
    share = np.ones(classes) if even else 0.6 ** np.minimum(np.arange(classes), 8)
    share = share / share.sum()
    if not pairs:
        return agreed * np.diag(share) + (1 - agreed) * np.outer(share, share)
    cells = np.diag(share * agreed)
    for at in range(classes):
        cells[at, at ^ 1 if at ^ 1 < classes else at - 1] += share[at] * (1 - agreed)
    return cells


def agreement_figures() -> list[dict[str, Any]]:
    """Share of samples whose interval has the true kappa, by rows and classes, over sixteen kinds of annotators."""
    kinds = list(product((0.4, 0.6, 0.8, 0.95), (True, False), (True, False)))
    found = []
    for classes in (2, 5, 20):
        for rows in (30, 60, 100, 300):
            cells = [cells_of(classes, agreed, even=even, pairs=pairs) for agreed, even, pairs in kinds]
            held = np.array([held_by(one, rows) for one in cells])  # (kinds, intervals)
            for at, interval in enumerate(("ours", "its variance alone", "bootstrap")):
                figures = {"mean": float(held[:, at].mean()), "least": float(held[:, at].min())}
                found.append({"classes": classes, "rows": rows, "interval": interval, **figures})
    return found


def held_by(cells: Floats, rows: int) -> tuple[float, float, float]:
    """How often each kind of interval has the true kappa."""
    random, truth = np.random.default_rng([rows, len(cells)]), float(kappa(cells[None])[0])
    drawn = random.multinomial(rows, cells.ravel(), size=TRIALS).reshape(TRIALS, *cells.shape).astype(float)
    ours = [kappa_figure(one) for one in drawn]
    both = [wald(one) for one in drawn], [bootstrap(one, random) for one in drawn[: TRIALS // 4]]
    held = [np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in ours])]
    held += [np.mean([low - 1e-9 <= truth <= high + 1e-9 for low, high in ends]) for ends in both]
    return float(held[0]), float(held[1]), float(held[2])


def wald(counts: Floats) -> tuple[float, float]:
    """Kappa and 1.96 standard errors of Fleiss, Cohen and Everitt (1969) either way."""
    total = counts.sum()
    cells = counts / total
    first, second, same = cells.sum(1), cells.sum(0), np.diag(cells)
    observed, chance = same.sum(), float(first @ second)
    if chance >= 1 - 1e-12:
        return 0.0, 0.0
    apart = cells - np.diag(same)
    parts = same @ ((1 - chance) - (first + second) * (1 - observed)) ** 2
    parts += (1 - observed) ** 2 * (apart * (second[:, None] + first[None]) ** 2).sum()
    variance = max(float(parts - (observed * chance - 2 * chance + observed) ** 2), 0.0) / (1 - chance) ** 4 / total
    value = (observed - chance) / (1 - chance)
    return value - 1.96 * variance**0.5, value + 1.96 * variance**0.5


def bootstrap(counts: Floats, random: np.random.Generator) -> tuple[float, float]:
    """The percentile interval over rows."""
    share = counts.ravel() / counts.sum()
    drawn = random.multinomial(int(counts.sum()), share, size=RESAMPLES).reshape(RESAMPLES, *counts.shape)
    low, high = np.quantile(kappa(drawn.astype(float)), [0.025, 0.975])
    return float(low), float(high)


def queue_figures(rows: Labelled) -> list[dict[str, Any]]:
    """What the queue says and what is in it, by kind and rate of flips."""
    l2, nearest = strength(rows), nearest_classes(rows)
    return [queue_figure(rows, kind, rate, nearest, l2) for kind, rate in FLIPS]


def queue_figure(rows: Labelled, kind: str, rate: float, nearest: Numbers, l2: float) -> dict[str, Any]:
    """One kind and rate."""
    from cleanlab.filter import find_label_issues

    random = np.random.default_rng([SEED, int(100 * rate), kind == "paired"])
    flipped = random.random(len(rows.labels)) < rate
    other = (rows.labels + random.integers(1, rows.classes, len(flipped))) % rows.classes
    given = np.where(flipped, nearest[rows.labels] if kind == "paired" else other, rows.labels)
    ids = tuple(map(str, range(len(given))))
    looked_at = AuditRows(ids, ("train",) * len(given), rows.texts, rows.groups, rows.features, given)
    draws = default_draws(3, len(given), rows.classes)
    found = find_label_errors(looked_at, rows.classes, l2=l2, folds=5, seed=13, draws=draws)
    wrong = found.noise.wrong
    queue = np.array([at for at in found.order if wrong[at] >= CHECK_FROM], dtype=np.int64)
    estimate = found.noise.among(queue, 13)
    theirs = find_label_issues(given, found.probabilities, filter_by="prune_by_noise_rate", n_jobs=1)
    count = int(flipped.sum())
    return {
        "set": TITLES[rows.name], "rows": len(given), "kind": kind, "rate": rate, "flipped": count,
        "queue": len(queue), "in_queue": int(flipped[queue].sum()), "estimate": estimate.value, "low": estimate.low,
        "high": estimate.high, "first": int(flipped[found.order[:count]].sum()), "cleanlab": int(theirs.sum()),
        "in_cleanlab": int(flipped[theirs].sum()),
    }  # fmt: skip


def nearest_classes(rows: Labelled) -> Numbers:
    """The class whose mean features are nearest, for each class."""
    means = np.stack([rows.features[rows.labels == at].mean(0) for at in range(rows.classes)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means.T
    np.fill_diagonal(alike, -2.0)
    return alike.argmax(axis=1).astype(np.int64)


def strength(rows: Labelled) -> float:
    """Strength of the frozen baseline's head, chosen on 15 % of the rows."""
    from playbook.adapt.head import Head, fit_head

    cut = int(0.85 * len(rows.labels))
    truth = rows.labels[cut:]

    def validate(one: Head) -> tuple[float, float]:
        table = one.probabilities(rows.features[cut:])
        loss = float(-np.log(np.maximum(table[np.arange(len(truth)), truth], 1e-12)).mean())
        return float((table.argmax(1) == truth).mean()), loss

    ones = np.ones(rows.classes, np.float32)
    return fit_head(rows.features[:cut], rows.labels[:cut], rows.classes, ones, validate, lambda said: None).l2


if __name__ == "__main__":
    main()
