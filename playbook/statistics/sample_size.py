"""How many test rows a question needs, asked before anything is trained, and the rule that keeps the promise (B2, 5.7).

The promise of a task file is one sentence: *a candidate whose true gain over the frozen baseline is the margin ships
with the probability `evaluation.power`, and one without any gain ships in at most (1 - confidence) / 2 of all cases.*
A rule that asks the measured gain to reach the margin cannot keep it: a measured gain scatters around the true one, so
half of all candidates that are worth exactly the margin would be turned away, however large the split is. The rule is
therefore (`least_gain`):

    the interval of the gain lies above zero, and the measured gain is at least  margin - z_power * standard error,
    less half a row where gains come in whole rows.

The half row is the usual correction of a normal quantile for counts: without it 2 to 5 points of the promised power are
lost where models differ on a few rows only.
With more rows the standard error shrinks and the second part approaches the margin itself. A split on which the first
part alone would be asked too much of is refused: `rows_needed`, a little more than Connor's size, makes both hold.
Gains come in whole rows, so the chance goes up and down with the size: on a larger split it can be less than on the one
that is named, by about five points where no more rows differ than the margin (docs/sample_size.md).

What can be said before there is a model is a lower bound (`playbook.statistics.least_rows`): for accuracy, a gain of
the margin needs at least that share of rows on which the models differ. Connor, Biometrics 43 (1987) 207-211; the
intervals are Wilson's, JASA 22 (1927) 209-212.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from playbook.spec import Limit, Target, TaskSpec
from playbook.statistics.least_rows import (
    MEANS,
    NEED_ANSWERS,
    least_of_each,
    rows_for_mean,
    rows_for_mean_gain,
    rows_to_rank,
)

FEWEST_DISCORDANT = 6  # on fewer rows that only one model has right, McNemar's exact test cannot reach 5 %
NEAR = 0.01  # so much less than the promised power will do where more rows do not bring it
OF_ALL_ROWS = ("accuracy", "micro_f1")
OF_OTHERS = ("false_positive_rate",)  # the rows of all other classes count
OF_A_CLASS = ("recall", "precision", "f1")  # a perfect model predicts the rows of the class, so that they count for all


def two_sided_z(confidence: float) -> float:
    """Standard normal quantile of a two-sided interval, for example 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def rows_needed(margin: float, discordance: float, confidence: float, power: float) -> int:
    """Rows on which a candidate with a true gain of `margin` ships with the given power, in a paired comparison.

    Connor's size (1987) is where the search begins: n = (z_a sqrt(d) + z_b sqrt(d - m^2))^2 / m^2 with the discordance
    d and the margin m. It takes gains for normal, with a standard error that is known. An error that is estimated from
    the rows costs one point of power at that size, or two (docs/sample_size.md), so rows are added until
    `chance_to_ship`, which counts them, is the promised power.

    The power is also what that chance tends to as rows grow, and in some settings it stays below it at any size. So a
    chance within `NEAR` of the power will do where a quarter more rows do not bring all of it, and the search ends at
    twice Connor's size, or at twice the rows that a perfect gain needs for its interval to leave zero. The chance need
    not hold on every larger size (see above).

    A gain of m needs at least m discordant rows, so a smaller `discordance` is raised to m. It holds for proportions
    (accuracy; recall, counted in rows of its class); for other metrics see `playbook.evaluate.verdict.needed_rows`.

    Args:
        margin: true gain, as a fraction.
        discordance: fraction of rows on which exactly one model is right.
        confidence: of the two-sided interval that must exclude zero.
        power: wanted probability that it ships.

    Raises:
        ValueError: the margin is not between 0 and 1, or the discordance is not a fraction.
    """
    if not 0 < margin < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"expected a margin and a discordance between 0 and 1, found {margin} and {discordance}")
    d = max(discordance, margin)
    reach = two_sided_z(confidence) * math.sqrt(d) + NormalDist().inv_cdf(power) * math.sqrt(d - margin * margin)
    rows = math.ceil((max(reach, 0.0) / margin) ** 2)
    fewest = max(FEWEST_DISCORDANT, two_sided_z(confidence) ** 2 + 1) + 1  # discordant rows, all in one direction
    most, near, best = max(2 * rows, math.ceil(2 * fewest / d)), 0, (0.0, rows)
    while rows <= most:
        chance = chance_to_ship(rows, margin, d, confidence, power)
        if chance >= power:
            return rows
        if not near and chance >= power - NEAR:
            near, most = rows, min(most, rows + rows // 4)
        best = max(best, (chance, rows))
        rows += max(1, rows // 200)
    return near or best[1]


def chance_to_ship(
    rows: int, margin: float, discordance: float, confidence: float, power: float, step: float = 1.0
) -> float:
    """How often a candidate with a true gain of the margin ships by the rule of this module, on rows of one kind.

    Discordant rows are binomial, and so is how many of them the candidate has right; both are summed over. The interval
    is that of Agresti and Min (`playbook.statistics.metric.agresti_min`), which the bootstrap hardly ever widens.

    Args:
        rows: of the test split.
        margin: true gain, and the one that is asked for.
        discordance: fraction of rows on which exactly one model is right, at least the margin.
        confidence: of the two-sided interval.
        power: promised.
        step: rows that one row moves a gain by, half of which is taken off (`least_gain`); 0 for a rule without that.
    """
    import numpy as np
    from scipy.stats import binom

    width = 8 * math.sqrt(rows * discordance * (1 - discordance)) + 8
    least, most = max(FEWEST_DISCORDANT, int(rows * discordance - width)), min(rows, int(rows * discordance + width))
    apart = np.arange(least, most + 1)
    z_a, z_b = two_sided_z(confidence), NormalDist().inv_cdf(power)
    above_zero = z_a * np.sqrt((apart + 1) / (1 + z_a * z_a / (rows + 2)))  # of the rows gained less the rows lost
    a = z_b * z_b / rows
    inside = np.maximum(a * (apart / rows * (1 + a) - margin * margin), 0.0)
    reached = rows * (margin - np.sqrt(inside)) / (1 + a) - step / 2
    gained = np.maximum(np.floor((apart + above_zero) / 2) + 1, np.ceil((apart + reached) / 2 - 1e-9))
    right = min(0.5 + margin / (2 * discordance), 1.0)  # share of the discordant rows that the candidate has right
    return float(binom.pmf(apart, rows, discordance) @ binom.sf(gained - 1, apart, right))


def least_gain(margin: float, standard_error: float, power: float, step: float = 0.0) -> float:
    """The smallest measured gain that ships, so that a true gain of the margin ships with probability `power`.

    Args:
        margin: the gain that is worth having, in units of the metric.
        standard_error: of the measured gain, in the same units.
        power: the promised probability, at least one half.
        step: what one row moves the gain by (`playbook.statistics.metric.PairedDifference.step`).
    """
    return margin - NormalDist().inv_cdf(power) * standard_error - step / 2


def rows_to_show(threshold: float, confidence: float) -> int:
    """Rows on which a perfect result has an interval that reaches down to `threshold` and no further.

    On fewer rows not even a model without a single mistake can be told apart from one that misses the limit. Wilson's
    lower end for n hits in n rows is n / (n + z^2).

    Args:
        threshold: the share that must be reached, at least 0 and under 1; 1 asks for no mistake at all, which no
            number of rows can show, so that nothing is demanded for it.
        confidence: of the two-sided interval.
    """
    if threshold >= 1:
        return 0
    z = two_sided_z(confidence)
    return math.ceil(z * z * threshold / (1 - threshold) - 1e-9)


@dataclass(frozen=True)
class Demand:
    """What one limit asks of the test split: rows needed and rows there, both of what is counted (`counted`)."""

    needed: int
    available: int
    counted: str  # "rows", "rows of CLASS", or "rows of other classes than CLASS"
    of_split: int  # rows of the whole split that would hold so many
    why: str
    limit: str = ""  # which one could not be judged; empty where it is the gain that could not be seen

    @property
    def met(self) -> bool:
        """Whether the split has enough of them."""
        return self.available >= self.needed


def demands(spec: TaskSpec, test_rows: Mapping[str, int]) -> tuple[Demand, ...]:
    """What the target and every limit ask of the test split, from the task file and row counts alone.

    It is a lower bound: with a smaller split no model whatsoever could give the answer that was asked for. The target
    must let a gain of the margin be seen; every limit must let a perfect model be told apart from one that misses it,
    and have of every class that it counts the rows without which no interval of it is relied on (`least_of_each`).

    Args:
        spec: the task.
        test_rows: rows of the test split by class; the split stays closed.
    """
    target, rules = spec.target, spec.evaluation
    gain = rows_for_gain(target, rules.confidence, rules.power, test_rows)
    chance = f"a gain of {_points(target.margin)} in {target.label} is seen in {rules.power:.0%} of cases"
    of_class = target.of_class if target.metric in ("recall", *OF_OTHERS) else None
    found = [_demand(test_rows, of_class, target.metric in OF_OTHERS, gain, chance)]
    for limit in target.all_limits:
        needed = rows_for(limit, rules.confidence, test_rows)
        if needed is not None:
            why = f"a perfect model can be told apart from one that misses {limit.label}"
            of_class = limit.of_class if limit.metric in (*OF_A_CLASS, *OF_OTHERS) else None
            found.append(_demand(test_rows, of_class, limit.metric in OF_OTHERS, needed, why, limit.label))
        if not limit.is_budget and (least := least_of_each(limit.metric)):
            counted = spec.labels if limit.of_class is None else (limit.of_class,)
            rarest = min(counted, key=lambda label: test_rows.get(label, 0))
            why = f"anything can be said of {limit.label}"
            found.append(_demand(test_rows, rarest, limit.metric in OF_OTHERS, least, why, limit.label))
    return tuple(found)


def rows_for_gain(
    target: Target, confidence: float, power: float, test_rows: Mapping[str, int], margin: float | None = None
) -> int:
    """Rows without which no gain of the margin could be seen, whatever the models; 1 where no such bound is known.

    Rows of the class for recall, of the other classes for the false-positive rate, else of the whole split.

    Args:
        target: of the task.
        confidence: of the two-sided interval that must exclude zero.
        power: wanted probability that it does.
        test_rows: rows of the test split by class.
        margin: the gain; the target's own if not given.
    """
    margin = margin if margin is not None else target.margin
    if target.metric in (*NEED_ANSWERS, "roc_auc"):
        return 1
    if target.metric in MEANS:
        counts, reach = list(test_rows.values()), two_sided_z(confidence) + NormalDist().inv_cdf(power)
        found = rows_for_mean_gain(target.metric, margin, target.bound, counts, reach)
        return max(math.ceil(found), FEWEST_DISCORDANT)
    return rows_needed(margin, 0.0, confidence, power)


def rows_for(limit: Limit, confidence: float, test_rows: Mapping[str, int]) -> int | None:
    """Rows that a limit needs, of those that it counts (`Demand.counted`); None where row counts alone say nothing.

    Means over classes and ROC-AUC count the whole split, with its classes mixed as they are.
    """
    counts = list(test_rows.values())
    if limit.metric in OF_OTHERS:
        return rows_to_show(1 - limit.bound, confidence)
    if limit.metric in MEANS or (limit.metric == "roc_auc" and limit.of_class is None):
        return rows_for_mean(limit.metric, limit.bound, counts, two_sided_z(confidence))
    if limit.metric == "roc_auc":
        own = test_rows.get(str(limit.of_class), 0)
        return rows_to_rank(limit.bound, own, sum(counts), two_sided_z(confidence))
    return None if limit.metric in NEED_ANSWERS or limit.is_budget else rows_to_show(limit.bound, confidence)


def missing(spec: TaskSpec, test_rows: Mapping[str, int]) -> Demand | None:
    """The demand that the test split falls short of by most rows, or None where it meets all."""
    short = [demand for demand in demands(spec, test_rows) if not demand.met]
    return max(short, key=lambda demand: demand.of_split, default=None)


def short_of_class(spec: TaskSpec, test_rows: Mapping[str, int]) -> list[Demand]:
    """Demands that the split misses of limits of one class alone; the largest of each limit, in their order."""
    own = {limit.label for limit in spec.target.all_limits if limit.of_class is not None}
    short: dict[str, Demand] = {}
    for one in demands(spec, test_rows):
        if one.limit in own and not one.met and one.needed > getattr(short.get(one.limit), "needed", 0):
            short[one.limit] = one
    return list(short.values())


def rows_to_label(spec: TaskSpec, more: int) -> tuple[int, str]:
    """How many rows to label so that `more` of them land in the test split, and where they have to go.

    Where we cut the split, only a share of new rows lands in it; a test file or split column of the team's own takes
    all of them.
    """
    data = spec.data
    if data.source.test is not None:
        return more, "in the test file"
    if data.splits.column is not None:
        return more, f"with {data.splits.column} set to test"
    share = data.splits.test
    return math.ceil(more / share - 1e-9), f"of which {share:.0%} land in the test split"


def _demand(
    test_rows: Mapping[str, int], of_class: str | None, others: bool, needed: int, why: str, limit: str = ""
) -> Demand:
    total = sum(test_rows.values())
    if of_class is None:
        return Demand(needed, total, "rows", needed, why, limit)
    own = test_rows.get(of_class, 0)
    there, counted = (total - own, f"rows of other classes than {of_class}") if others else (own, f"rows of {of_class}")
    share = there / total if there else 1 / max(total, 1)
    return Demand(needed, there, counted, math.ceil(needed / share - 1e-9), why, limit)


def _points(fraction: float) -> str:
    written = f"{round(100 * fraction, 6):g}"
    return f"{written} point{'' if written == '1' else 's'}"
