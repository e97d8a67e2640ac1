"""Rows that limits need for which row counts alone say nothing: judged on validation, before the test split is opened.

How sure a score in average precision or log loss is depends on how the model's answers scatter. Once validation has
answers, that is known roughly: a standard error shrinks with the square root of the rows, so on n rows it is expected
to be error_validation sqrt(n_validation / n). The split is too small where half an interval of that width does not fit
between the limit and the best value that there is: then no model whose answers scatter like these could be told from
one that misses the limit. It is the question that the other limits are asked before anything is trained
(`playbook.statistics.least_rows`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from playbook.artifacts import TooFewRows
from playbook.evaluate import wording
from playbook.evaluate.metrics import Labels
from playbook.evaluate.verdict import Resolution
from playbook.spec import TaskSpec
from playbook.statistics.answers import Given
from playbook.statistics.least_rows import NEED_ANSWERS
from playbook.statistics.metric import Metric, metrics_of
from playbook.statistics.sample_size import two_sided_z


def rows_for_limits(spec: TaskSpec, truth: Labels, answers: Given, test_rows: Mapping[str, int]) -> Resolution:
    """Whether every limit that needs answers can be judged on a test split; the split stays closed.

    Args:
        spec: the task.
        truth: true classes of validation, shape (rows,).
        answers: of the candidate there: probabilities, shape (rows, classes), or `Answers`.
        test_rows: rows of the test split by class.
    """
    available = sum(test_rows.values())
    short = Resolution(0, available, 0.0, "every limit can be judged on a split of this size")
    for metric in metrics_of(spec):
        if metric.name not in NEED_ANSWERS:
            continue
        needed = _rows(metric, truth, answers)
        if needed > max(available, short.needed):
            how = (
                f"on fewer, answers that scatter as on {wording.size(len(truth))} of validation could not tell "
                f"a perfect model from one that misses {metric.label}; approximate"
            )
            short = Resolution(needed, available, 0.0, how, metric.label)
    return short


def too_few_rows(spec: TaskSpec, truth: Labels, answers: Given, test_rows: Mapping[str, int]) -> TooFewRows | None:
    """The limit that `rows_for_limits` finds the test split too small for, as an artefact keeps it; None if none."""
    found = rows_for_limits(spec, truth, answers, test_rows)
    if found.enough:
        return None
    return TooFewRows(limit=found.limit, needed=found.needed, available=found.available, how=found.how)


def _rows(metric: Metric, truth: Labels, answers: Given) -> int:
    best = metric.ends[0] if metric.sign < 0 else metric.ends[1]
    room = abs(metric.limit.bound - best)
    if room <= 0:
        return 0  # no mistake at all is asked for, which no number of rows can show
    reach = two_sided_z(metric.confidence) * metric.standard_error(metric.score(truth, answers))
    return math.ceil(len(truth) * (reach / room) ** 2 - 1e-9)
