"""Are two samples of rows alike? A classifier two-sample test whose p-value knows that rows come in groups.

Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (ICLR 2017): a classifier learns from features which sample
a row is from; its AUC on rows that it has not seen is 0.5 where nothing tells them apart. The classifier is ridge
regression on the membership, because its answers are linear in the membership: a thousand permutations then cost
little more than one. Permutations move whole groups (`permuted`), so that customers who resemble themselves raise no
alarm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Members = npt.NDArray[np.bool_]  # shape (memberships, rows)
FOLDS = 5
RIDGE = 0.1  # penalty per training row, on features of unit variance
MOST_ROWS = 4000  # of one sample that the classifier looks at
TOLERANCE = 1e-9


def permuted(member: npt.NDArray[np.bool_], group: Labels, permutations: int, random: np.random.Generator) -> Members:
    """Memberships that are as likely as the one found if the samples are alike, shape (permutations, rows).

    A group that lies in one sample moves as a whole; in a group that lies in both, rows change places.
    """
    share = np.bincount(group, weights=member) / np.bincount(group)
    mixed = (share > 0) & (share < 1)
    sides = np.tile(share == 1, (permutations, 1))
    sides[:, ~mixed] = random.permuted(sides[:, ~mixed], axis=1)
    drawn = sides[:, group]
    for number in np.flatnonzero(mixed):
        rows = np.flatnonzero(group == number)
        drawn[:, rows] = random.permuted(np.tile(member[rows], (permutations, 1)), axis=1)
    return drawn


def tell_apart(
    features: npt.NDArray[np.floating], group: Labels, member: Members, seed: int, most_rows: int = MOST_ROWS
) -> tuple[float, float]:
    """AUC on unseen rows of a classifier that learns which rows are members, and its one-sided p-value.

    Args:
        features: shape (rows, width).
        group: number of each row's group, shape (rows,); folds keep groups together.
        member: which rows are the second sample's, shape (1 + permutations, rows): as found in the first line, then
            under every permutation (`permuted`).
        seed: of the folds and of the rows that are looked at.
        most_rows: of either sample that the classifier looks at.
    """
    from scipy.stats import rankdata

    random = np.random.default_rng(seed)
    sides = [np.flatnonzero(~member[0]), np.flatnonzero(member[0])]
    kept = np.sort(np.concatenate([random.permutation(side)[:most_rows] for side in sides]))
    features = features[kept].astype(np.float64)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    member = member[:, kept]
    scores = np.zeros(member.shape)
    fold = _folds(group[kept], random)
    for number in range(int(fold.max()) + 1):
        seen, unseen = fold != number, fold == number
        scores[:, unseen] = _unseen_scores(features[seen], features[unseen], member[:, seen])
    inside = member.sum(axis=1)
    outside = member.shape[1] - inside
    ranks = (rankdata(scores, axis=1) * member).sum(axis=1)
    auc = (ranks - inside * (inside + 1) / 2) / np.maximum(inside * outside, 1)
    return float(auc[0]), p_value(auc)


def _folds(group: Labels, random: np.random.Generator) -> Labels:
    """Fold of every row, groups kept together and folds about even; it does not depend on the membership."""
    numbers, sizes = np.unique(group, return_counts=True)
    order = random.permutation(len(numbers))
    rows_before = np.cumsum(sizes[order]) - sizes[order]
    folds = min(FOLDS, len(numbers))
    of_group = np.zeros(len(numbers), dtype=np.int64)
    of_group[order] = np.minimum(rows_before * folds // len(group), folds - 1)
    return of_group[np.searchsorted(numbers, group)]


def _unseen_scores(seen: Floats, unseen: Floats, member: Members) -> Floats:
    """Ridge regression without intercept for every line of `member` at once, shape (lines, unseen rows).

    Without an intercept the scores of one fold do not depend on how many rows of either sample it holds.
    """
    if not len(seen):
        return np.zeros((len(member), len(unseen)))
    centre = seen.mean(axis=0)
    centred = seen - centre
    gram = centred.T @ centred + RIDGE * len(seen) * np.eye(seen.shape[1])
    weights = np.linalg.solve(gram, centred.T @ member.T.astype(np.float64))
    scores: Floats = ((unseen - centre) @ weights).T
    return scores


def p_value(statistics: Floats) -> float:
    """Share of statistics, the first one included, that are at least as large as the first."""
    return float(np.mean(statistics >= statistics[0] - TOLERANCE))
