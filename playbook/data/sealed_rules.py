"""What the gate asks of the test split without opening it: its size, its classes' shares, and whether it is alike."""

from __future__ import annotations

from playbook.data import audit as a
from playbook.data.audit import Audit
from playbook.data.rule import Condition, Rule
from playbook.data.tables import LABEL
from playbook.spec.constant_answers import remedy
from playbook.statistics.sample_size import Demand, missing, rows_to_label, short_of_class
from playbook.taskfile import Task

_BETWEEN = "ExpectColumnValuesToBeBetween"


def sealed_rules(task: Task) -> tuple[Rule, ...]:
    """A class with a limit of its own that cannot be judged is an error. The others are warnings: a split that is too
    small ends the task with a refusal, one that is unlike is in headlines, and a constant answer that meets the target
    ends and ships nothing."""
    return (*_limited(task), _size(task), _constant(task), _alike())


def _counts(seen: Audit) -> dict[str, int]:
    return dict(zip(seen.classes[LABEL], (int(n) for n in seen.classes["test"]), strict=True))


def _constant(task: Task) -> Rule:
    def found(seen: Audit) -> str:
        counts = _counts(seen)
        label = a.constant_on_test(task.spec, counts)
        if label is None:
            return "every class fails some limit when it is the answer to everything"
        share = counts[label] / max(sum(counts.values()), 1)
        return f"{remedy(task.spec.target.all_limits, label)} ({share:.1%} of the test rows are of that class)"

    return Rule(
        "more than a constant answer",
        "warning",
        "a target that no model meets by answering the same to everything",
        found,
        "such a model neither ends the task nor ships; add a limit that it fails",
        (Condition("overall", _BETWEEN, {"column": a.CONSTANT, "min_value": 0, "max_value": 0}),),
    )


def _limited(task: Task) -> tuple[Rule, ...]:
    """A limit of one class asks for rows of that class (or of the others), however many rows the split has."""
    if all(limit.of_class is None for limit in task.spec.target.all_limits):
        return ()

    def found(seen: Audit) -> str:
        short = short_of_class(task.spec, _counts(seen))
        if not short:
            return "enough for every limit"
        total = sum(_counts(seen).values())
        named = [
            f"{one.available:,} {one.counted} in test, {one.needed:,} are the least on which {one.why}: "
            f"label {one.needed - one.available:,} more that land there ({_where(task, one, total)})"
            for one in short
        ]
        return "; ".join(named)

    return (
        Rule(
            "rows of classes with a limit",
            "error",
            "enough test rows of every class that has a limit of its own for the interval of that limit",
            found,
            "label more rows of the class, take the limit out, or ask for less of it",
            (Condition("overall", _BETWEEN, {"column": a.SHORT_OF_CLASS, "min_value": 0, "max_value": 0}),),
        ),
    )


def _where(task: Task, short: Demand, total: int) -> str:
    rows, where = rows_to_label(task.spec, short.needed - short.available)
    return f"some {rows:,} of them in all, {where}" if total else where


def _size(task: Task) -> Rule:
    def found(seen: Audit) -> str:
        counts = _counts(seen)
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
