"""Intervals of ROC-AUC, average precision and log loss, and of their paired differences.

- ROC-AUC of a class: the score interval of Newcombe, Statistics in Medicine 25 (2006) 559-573, method 5. The mean over
  classes combines them as `ratio_intervals` does (MOVER), with the correlations of DeLong, DeLong and Clarke-Pearson,
  Biometrics 44 (1988) 837-845. Differences: normal, with DeLong's paired variance.
- Average precision: normal on the logit scale with the standard deviation of a bootstrap over rows and Student's
  quantile at as many degrees of freedom as the rarest class has rows, less one. Differences: normal, likewise.
- Log loss, a mean of skewed losses: Hall's transformation of the t statistic (JRSS B 54 (1992) 221-228). Differences:
  Student's interval of the rows' differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playbook.statistics.sample_size import two_sided_z
from playbook.statistics.values import Floats

GRID = np.linspace(0, 1, 4001)


@dataclass(frozen=True)
class Auc:
    """ROC-AUC of one class: its value, and each row's influence on it, shape (rows,)."""

    value: float
    influence: Floats
    positives: int
    negatives: int


def auc_of(positive: npt.NDArray[np.bool_], scores: Floats) -> Auc | None:
    """ROC-AUC with DeLong's components; None where one side has fewer than two rows."""
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return None
    ranks = rankdata(scores)
    above = (ranks[positive] - rankdata(scores[positive])) / n  # of each positive: share of negatives under it
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m  # of each negative: share of positives above it
    value, influence = float(above.mean()), np.zeros(len(scores))
    influence[positive] = (above - value) / math.sqrt(m * (m - 1))
    influence[~positive] = (below - value) / math.sqrt(n * (n - 1))
    return Auc(value, influence, m, n)


def auc_interval(found: list[Auc], confidence: float) -> tuple[float, float]:
    """Interval of the mean of some classes' ROC-AUC, of one class alone where there is one."""
    ends = [_score_interval(one, confidence) for one in found]
    values = np.array([one.value for one in found])
    moved = np.stack([one.influence for one in found], axis=1)
    together = moved.T @ moved
    scale = np.sqrt(np.maximum(np.diag(together), 1e-300))
    correlated = together / np.outer(scale, scale)
    np.fill_diagonal(correlated, 1.0)
    down = (values - np.array([low for low, _ in ends])) / len(found)
    up = (np.array([high for _, high in ends]) - values) / len(found)
    arms = [math.sqrt(max(float(arm @ correlated @ arm), 0.0)) for arm in (down, up)]
    centre = float(values.mean())
    return max(0.0, centre - arms[0]), min(1.0, centre + arms[1])


def auc_difference_error(first: list[Auc], second: list[Auc]) -> float:
    """Standard error of the difference of two mean ROC-AUCs on the same rows (DeLong)."""
    apart = sum((b.influence - a.influence for a, b in zip(first, second, strict=True)), np.zeros(1)) / len(first)
    return float(math.sqrt(float(np.sum(apart**2))))


def logit_interval(value: float, drawn: Floats, rows: int, confidence: float) -> tuple[float, float]:
    """Interval of a fraction from its bootstrap `drawn`, on the logit scale, with `rows` behind it."""
    from scipy.stats import t

    known = drawn[~np.isnan(drawn)]
    if not len(known) or rows < 2:
        return 0.0, 1.0
    reach = float(t.ppf(0.5 + confidence / 2, rows - 1)) * float(_logit(known).std())
    centre = float(_logit(np.array(value)))
    return 1 / (1 + math.exp(-(centre - reach))), 1 / (1 + math.exp(-(centre + reach)))


def loss_interval(losses: Floats, confidence: float) -> tuple[float, float]:
    """Interval of a mean of skewed losses, at least 0."""
    n, mean = len(losses), float(losses.mean()) if len(losses) else 0.0
    deviation = float(losses.std()) if n else 0.0
    if n < 2 or deviation <= 0:
        return (mean, mean) if n >= 2 else (0.0, math.inf)
    error = deviation / math.sqrt(n - 1)
    skew = float(((losses - mean) ** 3).mean()) / deviation**3 / math.sqrt(n)
    z = two_sided_z(confidence)
    low, high = (mean - error * _halls_inverse(skew, end) for end in (z, -z))
    return max(0.0, low), high


def _halls_inverse(skew: float, end: float) -> float:
    """The t statistic whose transformed value is `end`: T = t + g t^2 / 3 + g^2 t^3 / 27 + g / 6."""
    if abs(skew) < 1e-9:
        return end
    root = 1 + skew * (end - skew / 6)
    return 3 / skew * (math.copysign(abs(root) ** (1 / 3), root) - 1)


def _score_interval(found: Auc, confidence: float) -> tuple[float, float]:
    z, m, n = two_sided_z(confidence), found.positives, found.negatives
    mean = (m + n) / 2
    variance = GRID * (1 - GRID) * (1 + (mean - 1) * ((1 - GRID) / (2 - GRID) + GRID / (1 + GRID))) / (m * n)
    inside = GRID[(found.value - GRID) ** 2 <= z * z * variance + 1e-12]
    return float(min(inside.min(initial=1.0), found.value)), float(max(inside.max(initial=0.0), found.value))


def _logit(values: Floats) -> Floats:
    kept = np.clip(values, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(kept / (1 - kept)))
