"""The fewest rows on which a limit, or a gain of the margin, could be shown at all: from class counts alone.

What a metric's interval makes of a model without a single mistake is the best that any model can show. On a split where
even that does not reach the limit, nothing can be said.

| metric | lower end of a perfect model | source |
| --- | --- | --- |
| accuracy, micro-F1, recall, precision, F1, false-positive rate | n / (n + z^2) | Wilson, JASA 22 (1927) 209-212 |
| balanced accuracy | 1 - sqrt(sum of (z^2 / (n_k + z^2))^2) / K | Wilson's ends of the recalls, combined by MOVER |
| macro-F1 | 1 - sqrt(sum of (z^2 / (2 n_k + z^2))^2) / K | likewise; the F1 of a share q is 2q / (1 + q) |
| ROC-AUC | its score interval at 1; classes combined as above | Newcombe, Stat. in Medicine 25 (2006) 559-573 |
| average precision, log loss | none without answers | see below |

MOVER: Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702. n_k are the rows of each of K classes. These are the
intervals that scores get (`ratio_intervals`, `ranking_intervals`), at their best value.

A gain of the margin m is seen with the least noise where every row on which the models differ counts for the better
one, and where these rows are the largest share of their class. For accuracy that is Connor's size at a discordance of m
(Biometrics 43 (1987) 207-211). A share g of n rows of a class is seen, with the quantiles z_a and z_b, where n is at
least (z_a + z_b)^2 (1 - g) / g.

- balanced accuracy: K m of recall has to be gained in all. Its variance, the sum of g_k (1 - g_k) / n_k over K^2, is
  least where all of it is gained in the largest class: g = K m.
- macro-F1: a row of class a that is put right raises the F1 of a, with h hits among n_a true and c_a predicted rows, by
  2 (n_a + c_a - h) / (n_a + c_a)^2, and that of the class b it was taken for by F1_b / (n_b + c_b). Where the model
  that ships has a macro-F1 of the limit T, no class of the other lies under F = 1 - K (1 - T) - K m, so that c is at
  most r = 2 / F - 1 times n, and a row counts for at least (2 r / (1 + r)^2 + F / (1 + r)) / n of the largest class:
  g = K m over that bracket. Rows that move from one wrong class to another are left out.
- ROC-AUC, average precision, log loss: no bound. A row moves them by any amount, so two models can be apart by the
  margin evenly in every row, which a handful of rows would show. How uneven they are is known from answers only.

Average precision and log loss are judged on the answers to validation, before the test split is opened
(`playbook.evaluate.limit_rows`): the first rests on a bootstrap of the answers, the second on how much losses scatter,
and neither says anything of a perfect model, whose answers scatter not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

MEANS = ("balanced_accuracy", "macro_f1")  # over all classes
LEAST_ROWS = 5  # rows that a ratio of one class is counted on; with fewer, nothing is claimed
LEAST_ROWS_OF_EACH = 8  # rows of every class that a mean over classes needs
LEAST_ROWS_TO_RANK = 8  # rows of a class, and of the rest, that ROC-AUC needs
LEAST_ROWS_OF_PRECISION = 20  # rows of a class that average precision needs
NEED_ANSWERS = ("average_precision", "log_loss")  # no bound from row counts
MOST = 10**9  # rows; no split is larger


def least_of_each(metric: str) -> int:
    """Rows of a class below which an interval of the metric would not keep its promise, so that none is relied on.

    Of the class that the metric is of, of each class where it is a mean over them, of all other classes for the
    false-positive rate; 0 where the metric counts all rows alike. `docs/intervals.md` has the coverage that these
    numbers were chosen by.
    """
    if metric in ("accuracy", "micro_f1", "log_loss"):
        return 0
    own = {"roc_auc": LEAST_ROWS_TO_RANK, "average_precision": LEAST_ROWS_OF_PRECISION}
    return own.get(metric, LEAST_ROWS_OF_EACH if metric in MEANS else LEAST_ROWS)


def rows_for_mean(metric: str, bound: float, counts: Sequence[int], z: float) -> int:
    """Rows of the whole split on which a perfect model's mean over classes reaches down to a limit and no further.

    Args:
        metric: balanced_accuracy, macro_f1, or roc_auc without a class.
        bound: what has to be reached; 1 asks for no mistake at all, for which nothing is demanded.
        counts: rows of each class of the task in the split, which says how classes are mixed; an even mix where there
            are no rows at all. Classes without a row among others are left out, as the metric leaves them out.
        z: standard normal quantile of the interval.

    Returns:
        0, no demand, also for a ROC-AUC where only one class has rows: there is nothing to rank, however many come.
    """
    shares = _shares(counts)
    if metric == "roc_auc" and len(shares) < 2:
        return 0

    def low(rows: int) -> float:
        short = [_short(metric, share * rows, rows, z) for share in shares]
        return 1 - math.sqrt(sum(part * part for part in short)) / len(short)

    return _least(low, bound)


def rows_to_rank(bound: float, own: int, total: int, z: float) -> int:
    """`rows_for_mean` for the ROC-AUC of one class, which has `own` of the split's `total` rows."""
    share = own / total if 0 < own < total else 0.5
    return _least(lambda rows: 1 - _short("roc_auc", share * rows, rows, z), bound)


def rows_for_mean_gain(metric: str, margin: float, bound: float, counts: Sequence[int], reach: float) -> float:
    """Rows of the whole split without which no gain of the margin in a mean over classes could be seen.

    Args:
        metric: balanced_accuracy or macro_f1.
        margin: the gain.
        bound: what the better model has to reach in the metric.
        counts: as for `rows_for_mean`.
        reach: sum of the normal quantiles of the interval and of the wanted power.

    Returns:
        0 where the classes are so many that one class alone could bring the margin.
    """
    shares = _shares(counts)
    largest, gain = max(shares), len(shares) * margin
    if metric == "macro_f1":
        worst = max(1 - len(shares) * (1 - bound) - gain, 0.0)
        most = min(2 / worst - 1 if worst else math.inf, 1 / largest)
        gain /= 2 * most / (1 + most) ** 2 + worst / (1 + most)
    return reach * reach * (1 - gain) / gain / largest if gain < 1 else 0.0


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts if count] if total else [1 / max(len(counts), 2)] * max(len(counts), 2)


def _short(metric: str, own: float, rows: float, z: float) -> float:
    """How far the lower end for a class with `own` of the rows lies under 1, for a perfect model."""
    if metric == "balanced_accuracy":
        return z * z / (own + z * z)
    if metric == "macro_f1":
        return z * z / (2 * own + z * z)
    return _short_of_auc(own, rows - own, z)


def _short_of_auc(positives: float, negatives: float, z: float) -> float:
    """Newcombe's method 5 at an AUC of 1: the largest d with d^2 <= z^2 variance(1 - d)."""
    if min(positives, negatives) <= 0:
        return 1.0
    mean = (positives + negatives) / 2

    def inside(d: float) -> bool:
        auc = 1 - d
        spread = 1 + (mean - 1) * (d / (1 + d) + auc / (1 + auc))
        return d <= z * z * auc * spread / (positives * negatives)  # both sides over d

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return high


def _least(low: Callable[[int], float], bound: float) -> int:
    """The fewest rows whose lower end reaches the bound; 0 where none would."""
    return 0 if bound >= 1 else fewest(lambda rows: low(rows) >= bound)


def fewest(enough: Callable[[int], bool]) -> int:
    """The least number of rows that is enough, where every larger one is so too; `MOST`, or a little more, if none."""
    few, many = 0, 1
    while not enough(many) and many < MOST:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
