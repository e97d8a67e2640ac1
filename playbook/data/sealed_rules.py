"""What the gate asks of the test split without opening it: its size, and whether its inputs are like the others."""

from __future__ import annotations

from playbook.data import audit as a
from playbook.data.audit import Audit
from playbook.data.rule import Condition, Rule
from playbook.data.tables import LABEL
from playbook.statistics.sample_size import missing, rows_to_label
from playbook.taskfile import Task

_BETWEEN = "ExpectColumnValuesToBeBetween"


def sealed_rules(task: Task) -> tuple[Rule, ...]:
    """Both are warnings: a split that is too small ends the task with a refusal, one that is unlike is in headlines."""
    return (_size(task), _alike())


def _size(task: Task) -> Rule:
    def found(seen: Audit) -> str:
        counts = dict(zip(seen.classes[LABEL], (int(n) for n in seen.classes["test"]), strict=True))
        short = missing(task.spec, counts)
        if short is None:
            return f"{sum(counts.values()):,} test rows"
        rows, where = rows_to_label(task.spec, short.of_split - sum(counts.values()))
        return (
            f"{short.available:,} {short.counted} in the test split, where {short.needed:,} are the least on which "
            f"{short.why}; {rows:,} more labelled rows would do ({where})"
        )

    return Rule(
        "size of the test split",
        "warning",
        "enough test rows for the margin and for every limit of the target",
        found,
        "the task ends with a refusal before anything is trained: label the rows, or ask for a larger margin",
        (Condition("overall", _BETWEEN, {"column": a.LACKING, "min_value": 0, "max_value": 0}),),
    )


def _alike() -> Rule:
    return Rule(
        "test split like the others",
        "warning",
        "a test split whose inputs resemble those of training and validation",
        lambda seen: seen.resemblance.text if seen.resemblance else "a split without rows",
        "find out where the test rows come from. If production is like them, train on such rows too; if it is not, "
        "bring a test split that is like production",
        (Condition("overall", _BETWEEN, {"column": a.UNLIKE, "min_value": 0, "max_value": 0}),),
    )
