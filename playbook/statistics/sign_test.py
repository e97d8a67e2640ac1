"""The exact sign test on rows that tell two models apart (McNemar's exact test, one-sided).

Source: McNemar, Psychometrika 12 (1947) 153-157; the exact form is the sign test on the discordant rows.
"""

from __future__ import annotations

import math

MOST_EXACT = 1000  # rows: from about 1,020 on the counts of arrangements are too large for a float


def sign_test(better: int, worse: int) -> float:
    """Probability of `better` or more of the discordant rows going to the second model when neither is better.

    Args:
        better: rows that only the second model has right.
        worse: rows that only the first model has right.

    Returns:
        The one-sided p-value, between 0 and 1; 1 where no row tells the models apart.

    Raises:
        ValueError: a count is negative.
    """
    if better < 0 or worse < 0:
        raise ValueError(f"expected counts of rows, found {better} and {worse}")
    apart = int(better + worse)
    if apart > MOST_EXACT:
        from scipy.stats import binom

        return float(binom.sf(better - 1, apart, 0.5))
    return math.fsum(math.comb(apart, rows) for rows in range(int(better), apart + 1)) / 2**apart
