"""Bootstrap over rows, and intervals of proportions.

- Rows with the same (truth, answers) are exchangeable, so a resample of classes is one multinomial draw over these
  cells: the same distribution, a hundredth of the work (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
  chapter 13).
- Wilson score interval of a proportion: Wilson, JASA 22 (1927) 209-212.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from playbook.statistics.sample_size import two_sided_z
from playbook.statistics.values import Floats, Labels

Cells = npt.NDArray[np.int64]


def wilson(hits: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson score interval of a proportion of `hits` in `n` rows; (0, 1) where there is no row."""
    if n == 0:
        return 0.0, 1.0
    z, p = two_sided_z(confidence), hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def resample_weights(counts: Cells, resamples: int, seed: int) -> Floats:
    """Bootstrap multiplicities of cells that hold `counts` rows each, shape (resamples, cells)."""
    total = int(counts.sum())
    if total == 0:
        return np.zeros((resamples, len(counts)))
    return np.random.default_rng(seed).multinomial(total, counts / total, size=resamples).astype(float)


def label_cells(*columns: Labels) -> tuple[Cells, Cells, Cells]:
    """Distinct rows of some label columns, shape (cells, columns), how many rows each stands for, and each row's cell.

    Raises:
        ValueError: columns of different lengths.
    """
    shapes = {column.shape for column in columns}
    if len(shapes) != 1:
        raise ValueError(f"expected label arrays of one length, found shapes {sorted(shapes)}")
    table = np.stack(columns, axis=1)
    _, first, place, counts = np.unique(_numbered(table), return_index=True, return_inverse=True, return_counts=True)
    return table[first].astype(np.int64), counts.astype(np.int64), place.astype(np.int64)


def _numbered(table: Labels) -> Cells:
    """One number per row, equal where rows are, in their order: sorting numbers is far faster than sorting rows."""
    found = np.zeros(len(table), np.int64)
    for column in table.T if len(table) else ():
        own = column.astype(np.int64) - int(column.min())
        classes = int(own.max()) + 1
        if int(found.max()) >= np.iinfo(np.int64).max // classes - 1:
            found = np.unique(found, return_inverse=True)[1].astype(np.int64)
        found = found * classes + own
    return found


def percentiles(drawn: Floats, confidence: float, unknown: tuple[float, float]) -> tuple[float, float]:
    """Percentile interval of what is not NaN; `unknown` where everything is."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return unknown
    low, high = np.quantile(known, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)
