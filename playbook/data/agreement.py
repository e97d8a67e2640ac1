"""Do two people agree on the labels? Cohen's kappa with the second annotator (3.1).

Kappa (Cohen, Educational and Psychological Measurement 20 (1960) 37-46) is the observed agreement beyond what two
people with these habits reach by chance: (observed - chance) / (1 - chance). Kappa of one class is that of "this class
or not".

The interval is Wilson's (JASA 22 (1927) 209-212) of the observed agreement, carried over to kappa with the observed
chance. It is taken over as many rows as give the observed agreement the variance that Fleiss, Cohen and Everitt
(Psychological Bulletin 72 (1969) 323-327) find for kappa, and never over more than there are. So full agreement leaves
an interval with a width. With 30 to 300 rows and 2 to 20 classes it covers a known kappa in 92 to 98 of 100 samples,
where their own interval and the bootstrap fall below 50 (docs/labels.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Agreement, Figure
from playbook.statistics.resampling import wilson

LISTED = 10  # kinds of disagreement that are named
CONFIDENCE = 0.95
MOST_ROWS = 100_000  # more than anybody labels twice
Counts = npt.NDArray[np.float64]


def agreement(first: Mapping[str, str], second: Mapping[str, str], labels: Sequence[str]) -> Agreement | None:
    """Agreement on the rows that both labelled; None where there is no such row.

    Args:
        first: row id -> label that the first person gave, a class of `labels`.
        second: row id -> label of the second annotator, a class of `labels`; other rows than those of `first` are
            not looked at.
        labels: class names.
    """
    number = {label: at for at, label in enumerate(labels)}
    both = sorted(first.keys() & second.keys())
    if not both:
        return None
    pairs = np.array([[number[first[row]], number[second[row]]] for row in both])
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    used = [at for at in range(len(labels)) if counts[at].sum() + counts[:, at].sum() > 0]
    observed, chance = shares(counts)
    return Agreement(
        rows=len(both),
        kappa=kappa_figure(counts),
        observed=observed,
        chance=chance,
        worth=rows_worth(counts),
        per_class={labels[at]: float(kappa(_one_against_rest(counts, at)[None])[0]) for at in used},
        disagreements=_disagreements(counts, labels),
    )


def shares(counts: Counts) -> tuple[float, float]:
    """Observed agreement and that by chance, of a table (classes, classes)."""
    total = counts.sum()
    return float(np.trace(counts) / total), float(counts.sum(axis=1) @ counts.sum(axis=0) / total**2)


def kappa(counts: Counts) -> Counts:
    """Cohen's kappa of tables of shape (tables, classes, classes), shape (tables,).

    It is 0 where chance alone explains full agreement: two people who use a single class say nothing about the others.
    """
    total = counts.sum(axis=(1, 2))
    observed = np.trace(counts, axis1=1, axis2=2) / total
    chance = (counts.sum(axis=2) * counts.sum(axis=1)).sum(axis=1) / total**2
    return np.divide(observed - chance, 1 - chance, out=np.zeros_like(total), where=chance < 1 - 1e-12)


def _one_against_rest(counts: Counts, at: int) -> Counts:
    hit, row, column = counts[at, at], counts[at].sum(), counts[:, at].sum()
    return np.array([[hit, row - hit], [column - hit, counts.sum() - row - column + hit]])


def kappa_figure(counts: Counts) -> Figure:
    """Kappa of a table (classes, classes) with its interval; -1 to 1 where chance alone explains full agreement."""
    observed, chance = shares(counts)
    value = float(kappa(counts[None])[0])
    if chance >= 1 - 1e-12:
        return Figure(value=value, low=-1.0, high=1.0)
    low, high = _interval(observed, chance, rows_worth(counts) * counts.sum())
    return Figure(value=value, low=min(low, value), high=max(high, value))


def rows_worth(counts: Counts) -> float:
    """What a row is worth for the observed agreement, at most 1, so that its variance is that of kappa."""
    total, (observed, chance) = counts.sum(), shares(counts)
    cells = counts / total
    first, second, both = cells.sum(axis=1), cells.sum(axis=0), np.diag(cells)
    apart = cells - np.diag(both)
    same = both @ ((1 - chance) - (first + second) * (1 - observed)) ** 2
    other = (1 - observed) ** 2 * (apart * (second[:, None] + first[None]) ** 2).sum()
    variance = (same + other - (observed * chance - 2 * chance + observed) ** 2) / max(1 - chance, 1e-12) ** 2
    plain = observed * (1 - observed)
    return 1.0 if plain <= 0 or variance <= plain else float(plain / variance)


def rows_to_settle(found: Agreement, floor: float) -> int | None:
    """How many rows would put the lower end of the interval at `floor`, were the two to agree as they do so far.

    None where kappa is at or below the floor, or where no number of rows would do.
    """
    if found.kappa.value <= floor or found.chance >= 1 - 1e-12:
        return None
    few, many = found.rows, MOST_ROWS
    if _interval(found.observed, found.chance, found.worth * many)[0] < floor:
        return None
    while few < many:
        rows = (few + many) // 2
        enough = _interval(found.observed, found.chance, found.worth * rows)[0] >= floor
        few, many = (few, rows) if enough else (rows + 1, many)
    return few


def _interval(observed: float, chance: float, rows: float) -> tuple[float, float]:
    low, high = ((end - chance) / (1 - chance) for end in wilson(observed * rows, rows, CONFIDENCE))
    return max(low, -1.0), min(high, 1.0)


def _disagreements(counts: Counts, labels: Sequence[str]) -> tuple[tuple[str, str, int], ...]:
    cells = [(labels[a], labels[b], int(counts[a, b])) for a, b in np.argwhere(counts > 0) if a != b]
    return tuple(sorted(cells, key=lambda cell: (-cell[2], cell[0], cell[1]))[:LISTED])
