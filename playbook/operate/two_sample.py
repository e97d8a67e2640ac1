"""Are rows that are marked as members unlike the others? Statistics for many markings of the same rows at once.

A marking is a column of `members`; all have equally many members, at least one and not all. What costs is done once for
the rows; every further marking is a column of a matrix product, so a thousand pseudo windows cost about as much as one.

- Classifier two-sample test: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (ICLR 2017). Ridge regression
  learns from frozen features which rows are members; its AUC counts answers to rows that were left out. Leaving out
  one row after the other needs no refit: with the hat matrix H the answer to row i without it is
  `(Hy_i - H_ii y_i) / (1 - H_ii)` (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10).
- Shift of the mean: the regularised statistic of Hotelling, Chen, Paul, Prentice and Wang, A Regularized Hotelling's T2
  Test, JASA 106 (2011) 1345-1360. It sees a small share of new rows in a small window best.
- Maximum mean discrepancy: Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A Kernel Two-Sample Test, JMLR 13 (2012)
  723-773; its biased square with a Gaussian kernel. With the doubly centred Gram matrix it is one quadratic form.
- Differences of means and the total variation distance of shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Members = npt.NDArray[np.bool_]  # (rows, markings)
RIDGE = 0.3  # penalty per row, on features of unit variance
MEDIAN_ROWS = 1000  # that the median of distances is taken over


class Standardised:
    """Features centred and scaled over all rows, which do not know the marking, with the inverse of their ridge."""

    def __init__(self, features: Singles) -> None:
        spread = features.std(axis=0, dtype=np.float64)
        moving = spread > 1e-6 * max(1.0, float(np.abs(features).max()))
        plain = features[:, moving].astype(np.float64)
        self.scaled: Singles = ((plain - plain.mean(axis=0)) / spread[moving]).astype(np.float32)
        wide = self.scaled.astype(np.float64)
        self.inverse: Singles = np.linalg.inv(wide.T @ wide + RIDGE * len(wide) * np.eye(wide.shape[1])).astype("f4")

    def left_out_scores(self, members: Members) -> Singles:
        """The classifier's answer to each row when trained on all others, shape (rows, markings).

        Ridge regression without intercept on the membership, less its mean.
        """
        turned = self.scaled @ self.inverse
        leverage = np.einsum("ij,ij->i", turned, self.scaled)[:, None]
        target = members.astype(np.float32) - members[:, :1].mean(dtype=np.float32)
        found: Singles = (turned @ (self.scaled.T @ target) - leverage * target) / (1 - leverage)
        return found

    def classifier_auc(self, members: Members) -> Floats:
        """AUC of telling members from others on rows left out, shape (markings,); 0.5 means no difference."""
        return auc(self.left_out_scores(members), members)

    def mean_shift(self, members: Members) -> Floats:
        """`d' (S + 0.3 I)^-1 d` of the difference d of means and the covariance S of all rows, shape (markings,)."""
        rows, inside = len(members), int(members[:, 0].sum())
        apart = (self.scaled.T @ members.astype(np.float32)) * np.float32(rows / (inside * (rows - inside)))
        found: Floats = rows * np.einsum("ij,ij->j", apart, self.inverse @ apart, dtype=np.float64)
        return found


def auc(scores: Singles, members: Members) -> Floats:
    """Share of pairs of a member and another row in which the member scores higher, for every marking.

    Where all rows score the same it is 0.5; other ties go to the member.
    """
    rows, inside = len(members), int(members[:, 0].sum())
    flat = np.ptp(scores, axis=0) == 0
    # Sorting numbers is far faster than sorting places: the lowest bit of each score carries the membership along.
    bits = np.ascontiguousarray(scores.T).view(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF  # floats in the order of their bits, negative ones too
    bits = (bits & ~np.int32(1)) | members.T
    bits.sort(axis=1)
    places = (bits & 1).astype(np.float32) @ np.arange(rows, dtype=np.float64)
    found: Floats = np.where(flat, 0.5, (places - inside * (inside - 1) / 2) / (inside * (rows - inside)))
    return found


def squared_distances(left: Singles, right: Singles) -> Singles:
    """Squared Euclidean distances, shape (left rows, right rows)."""
    centre = left.mean(axis=0)
    x, y = left - centre, right - centre
    squares: Singles = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * (x @ y.T)
    np.maximum(squares, 0, out=squares)
    return squares


def median_distance(squares: Singles, seed: int = 0) -> float:
    """Median distance of two rows, 1 where more than half of them are equal (the median heuristic).

    Args:
        squares: squared distances of all rows, shape (n, n).
        seed: of the 1,000 rows that it is taken over where there are more.
    """
    chosen = np.random.default_rng(seed).permutation(len(squares))[:MEDIAN_ROWS]
    part = squares[np.ix_(chosen, chosen)]
    found = float(np.sqrt(np.median(part[~np.tri(len(part), dtype=bool)]))) if len(part) > 1 else 0.0
    return found if found > 1e-6 else 1.0


def kernel(squares: Singles, width: float) -> Singles:
    """Gaussian Gram matrix `exp(-d^2 / (2 width^2))` of squared distances, same shape."""
    found: Singles = np.exp(squares / np.float32(-2 * width * width))
    return found


def doubly_centred(gram: Singles) -> Singles:
    """A Gram matrix of features whose mean is taken off."""
    means = gram.mean(axis=0, dtype=np.float64)
    apart = (means - means.mean() / 2).astype(np.float32)
    found: Singles = gram - apart[:, None]
    found -= apart
    return found


def squared_mmd(centred: Singles, members: Members) -> Floats:
    """Biased squared maximum mean discrepancy of every marking, from a doubly centred Gram matrix."""
    rows, inside = len(members), int(members[:, 0].sum())
    marks = members.astype(np.float32)
    inner = np.einsum("ij,ij->j", centred @ marks, marks, dtype=np.float64)
    found: Floats = np.maximum(inner, 0.0) * (rows / (inside * (rows - inside))) ** 2
    return found


def differences(values: npt.NDArray[np.floating[Any]], members: Members) -> Floats:
    """Mean of the members minus mean of the others, shape (markings, columns of `values`)."""
    inside = int(members[:, 0].sum())
    sums = members.T.astype(np.float64) @ values
    found: Floats = sums / inside - (values.sum(axis=0) - sums) / (len(members) - inside)
    return found


def frequent(events: npt.NDArray[np.bool_], members: Members, least: int) -> npt.NDArray[np.bool_]:
    """Whether enough rows have an event to tell a difference, for every marking, shape (markings,).

    Enough: `least` of the members have it, or as many would be expected to have it from the share of the others.
    """
    inside = int(members[:, 0].sum())
    counted = members.T.astype(np.float64) @ events
    expected = (events.sum() - counted) * inside / (len(members) - inside)
    found: npt.NDArray[np.bool_] = np.maximum(counted, expected) >= least
    return found
