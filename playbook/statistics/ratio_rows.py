"""How many test rows a gain needs in a metric that is counted as ratios, planned from validation (B2).

A gain in balanced accuracy, precision, F1 or macro-F1 ships where three things hold on the test split: its interval
lies above zero, it is at least `sample_size.least_gain`, and at most `LARGEST_SHARE` of its variance was assumed rather
than seen (`ratio_intervals`). With n rows the variance is about V / n + A / n^2: the first part is that of the rows,
the second that of the rows which are added. Both are known from validation (`Scatter`). So the split needs

- for the gain, with the quantiles z_a and z_b of the interval and of the power and the margin m,
  m >= (z_a + z_b) sqrt(V / n + A / n^2), and
- to be told apart, A / (A + n V) <= LARGEST_SHARE, or a gain that is clear (`ratio_intervals.is_clear`), as the lower
  end of validation's interval would be.

V is an estimate, and so is what the test split makes of it. Both come from the few rows on which the models differ, so
room for that is left on either side: a root of V has the relative error e that a jackknife finds on validation's rows
(`Scatter`), and e sqrt(n_validation / n) on the test split besides. The gain is planned with a V that is larger by z_b
of both errors together, so that a V which came out low by chance does not open a split that is too small. The share is
planned with a V / A that is smaller by z_a of them: a split on which the models cannot be told apart ships nothing
however large the gain, and the promised power has no room for that.

A true gain of the margin takes rows on which the models differ: with a step s per row, V is at least m s, with
which validation is corrected where its models differ on fewer rows. docs/sample_size.md has how often such gains ship.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from playbook.statistics.least_rows import fewest
from playbook.statistics.ratio_intervals import LARGEST_SHARE, Scatter, is_clear
from playbook.statistics.sample_size import FEWEST_DISCORDANT, two_sided_z


def rows_to_tell(scatter: Scatter, margin: float, confidence: float, power: float, shown: float = 0.0) -> int:
    """Rows of the whole split on which a true gain of the margin ships with the promised power.

    Args:
        scatter: of the gain on validation.
        margin: the gain, in units of the metric.
        confidence: of the two-sided interval that must exclude zero.
        power: the promised probability.
        shown: lower end of the interval of the gain on validation.
    """
    z_a, z_b = two_sided_z(confidence), NormalDist().inv_cdf(power)
    step, seen, added = scatter.step * scatter.rows, scatter.seen * scatter.rows, scatter.added * scatter.rows**2
    least = margin * step  # times the rows, as the others are
    variance = max(seen, least)
    # Of a variance on as many rows as validation has; with fewer rows that carry it, it is known less well.
    fewest_error = scatter.told_error * math.sqrt(seen / least) if seen else step / 2 / math.sqrt(scatter.rows * least)

    def enough(rows: int) -> bool:
        more_rows = scatter.rows / rows
        high = variance * (1 + z_b * scatter.seen_error * math.sqrt(1 + more_rows)) ** 2
        low = variance * max(1 - z_a * scatter.told_error * math.sqrt(1 + more_rows), 0.0) ** 2 if seen else 0.0
        surely = least * max(1 - z_a * fewest_error * math.sqrt(more_rows), 0.0) ** 2
        told = added * (1 - LARGEST_SHARE) <= LARGEST_SHARE * rows * max(low, surely)
        error = math.sqrt(high / rows + added / rows**2)
        told = told or is_clear(shown - z_a * error, shown + z_a * error)
        return told and margin >= (z_a + z_b) * error

    return max(fewest(enough), FEWEST_DISCORDANT)
