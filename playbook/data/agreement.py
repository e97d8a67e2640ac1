"""Do two people agree on the labels? Cohen's kappa with the second annotator (3.1).

Kappa (Cohen, Educational and Psychological Measurement 20 (1960) 37-46) is the observed agreement beyond what two
people with these habits reach by chance: (observed - chance) / (1 - chance). The interval is the percentile interval
of a bootstrap over rows (Efron and Tibshirani 1993, chapter 13). Kappa of one class is that of "this class or not".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Agreement, Figure

FEW_ROWS = 30  # with fewer rows in common kappa is hardly known
LISTED = 10  # kinds of disagreement that are named
RESAMPLES = 2000
CONFIDENCE = 0.95
Counts = npt.NDArray[np.float64]


def agreement(
    first: Mapping[str, str], second: Mapping[str, str], labels: Sequence[str], seed: int = 0
) -> Agreement | None:
    """Agreement on the rows that both labelled; None where there is no such row.

    Args:
        first: row id -> label of the dataset, a class of `labels`.
        second: row id -> label of the second annotator, a class of `labels`; other rows than those of `first` are
            not looked at.
        labels: class names.
        seed: of the bootstrap.
    """
    number = {label: at for at, label in enumerate(labels)}
    both = sorted(first.keys() & second.keys())
    if not both:
        return None
    pairs = np.array([[number[first[row]], number[second[row]]] for row in both])
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    used = [at for at in range(len(labels)) if counts[at].sum() + counts[:, at].sum() > 0]
    return Agreement(
        rows=len(both),
        kappa=_with_interval(counts, seed),
        observed=float(np.trace(counts) / counts.sum()),
        per_class={labels[at]: float(kappa(_one_against_rest(counts, at)[None])[0]) for at in used},
        disagreements=_disagreements(counts, labels),
    )


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


def _with_interval(counts: Counts, seed: int) -> Figure:
    """Rows with the same pair of labels are exchangeable, so a resample is one draw over the cells that hold rows."""
    cells = np.argwhere(counts > 0)
    held = counts[cells[:, 0], cells[:, 1]]
    drawn = np.random.default_rng(seed).multinomial(int(held.sum()), held / held.sum(), size=RESAMPLES).astype(float)
    total = held.sum()
    rows, columns = (drawn @ np.eye(len(counts))[cells[:, side]] for side in (0, 1))  # habits of each, per resample
    observed = drawn[:, cells[:, 0] == cells[:, 1]].sum(axis=1) / total
    chance = (rows * columns).sum(axis=1) / total**2
    values = np.divide(observed - chance, 1 - chance, out=np.zeros_like(observed), where=chance < 1 - 1e-12)
    low, high = np.quantile(values, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    value = float(kappa(counts[None])[0])
    return Figure(value=value, low=min(float(low), value), high=max(float(high), value))


def _disagreements(counts: Counts, labels: Sequence[str]) -> tuple[tuple[str, str, int], ...]:
    cells = [(labels[a], labels[b], int(counts[a, b])) for a, b in np.argwhere(counts > 0) if a != b]
    return tuple(sorted(cells, key=lambda cell: (-cell[2], cell[0], cell[1]))[:LISTED])
