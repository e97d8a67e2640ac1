"""How often the best of several models looks as good as the chosen one by chance, when none of them is better.

White's reality check (A Reality Check for Data Snooping, Econometrica 68 (2000) 1097-1126): the bootstrap's gains,
moved so that no model gains, show how large the best of them gets by chance. As in Hansen's test (A Test for Superior
Predictive Ability, J. Business and Economic Statistics 23 (2005) 365-380) models that are clearly worse are left out,
as they would only make the answer too careful.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from playbook.statistics.metric import TOLERANCE

Floats = npt.NDArray[np.float64]


def chance_of_best(gains: Floats, drawn: Floats, rows: int) -> float:
    """Probability that the best gain is as large as the chosen model's when no model has a true gain.

    The chosen model need not be the one with the largest gain: an epoch is chosen by its answers as trained, and its
    gain is that of its answers as served. The more models were looked at, the larger the chance; never the smaller.

    Args:
        gains: of each model over the one that all are compared with, on the same rows, shape (models,); the chosen
            model's first.
        drawn: the same in bootstrap resamples of the rows, shape (resamples, models); resamples in which a gain is
            undefined are left out.
        rows: how many rows there are.

    Returns:
        Between 0 and 1; 1 where nothing can be known.
    """
    known = drawn[~np.isnan(drawn).any(axis=1)]
    if not len(known) or np.isnan(gains).any():
        return 1.0
    clearly_worse = -known.std(axis=0) * math.sqrt(2 * math.log(max(math.log(max(rows, 3)), 1.0)))
    counted = gains >= clearly_worse
    counted[0] = True
    highest = (known - gains)[:, counted].max(axis=1)
    return float((highest >= gains[0] - TOLERANCE).mean())
