"""How often the best of several models looks better than another one by chance, when none of them is.

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
    """Probability of a best gain as large as the one found when no model has a true gain.

    Args:
        gains: of each model over the one that all are compared with, on the same rows, shape (models,).
        drawn: the same in bootstrap resamples of the rows, shape (resamples, models); resamples in which a gain is
            undefined are left out.
        rows: how many rows there are.

    Returns:
        Between 0 and 1; 1 where nothing can be known.
    """
    known = drawn[~np.isnan(drawn).any(axis=1)]
    best = int(gains.argmax())
    if not len(known) or math.isnan(gains[best]):
        return 1.0
    clearly_worse = -known.std(axis=0) * math.sqrt(2 * math.log(max(math.log(max(rows, 3)), 1.0)))
    counted = gains >= clearly_worse
    counted[best] = True
    highest = (known - gains)[:, counted].max(axis=1)
    return float((highest >= gains[best] - TOLERANCE).mean())
