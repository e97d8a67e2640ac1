"""What the gate asks of the labels themselves: agreement of two people, and a guideline (3.1, 3.2)."""

from __future__ import annotations

from playbook.data import audit as a
from playbook.data.annotations import label_file
from playbook.data.audit import Audit
from playbook.data.rule import Condition, Rule
from playbook.data.tables import LABEL
from playbook.data.text import counted, shown
from playbook.taskfile import Task

_BETWEEN = "ExpectColumnValuesToBeBetween"
SAMPLE = 100  # rows that the remedy proposes to draw for a second person


def label_rules(task: Task) -> tuple[Rule, ...]:
    """Rows labelled twice, agreement where a second annotator has answered, and the guideline."""
    path = label_file(task, "second_annotator")
    named = path is not None and path.is_file()
    return (*((_agreement(task),) if named else ()), _labelled_twice(task), _guideline(task))


def _agreement(task: Task) -> Rule:
    """The lower end of the interval decides: what a few rows show by luck is not known."""
    floor = task.spec.data.labels.min_kappa
    return Rule(
        "label agreement",
        "error",
        f"Cohen's kappa with the second annotator of at least {floor:g}, by the lower end of its 95 % interval",
        lambda seen: kappa_in_words(seen, floor),
        "where kappa itself reaches the floor, `playbook annotate` draws more rows for the second "
        "person; where it does not, sharpen the guideline where the two disagree (the dataset's page names the "
        "classes) and label again; do not lower data.labels.min_kappa to pass",
        (Condition("overall", _BETWEEN, {"column": a.KAPPA_LOW, "min_value": floor}),),
    )


def kappa_in_words(seen: Audit, floor: float) -> str:
    """Kappa with its interval, the rows that it rests on, and how many would settle it."""
    row = seen.overall.iloc[0]
    count, value, needed = int(row[a.LABELLED_TWICE]), float(row[a.KAPPA]), int(row[a.TO_SETTLE])
    if not count:
        return "no row that both labelled"
    said = f"{value:.2f} ({row[a.KAPPA_LOW]:.2f} to {row[a.KAPPA_HIGH]:.2f}) on {counted(count, 'row')}"
    if row[a.KAPPA_LOW] >= floor or value < floor:
        return said
    if not needed:
        return f"{said}, too near to the floor for any number of rows"
    return f"{said}; {counted(needed, 'row')} with as much agreement would settle it, {needed - count} more"


def _labelled_twice(task: Task) -> Rule:
    labels, path = task.spec.data.labels, label_file(task, "second_annotator")
    fewest, named = labels.min_rows_twice, path is not None
    absent = path is not None and not path.is_file()
    draw = f"`playbook annotate TASK --rows {max(SAMPLE, fewest)}` draws a sample without its labels"
    keep = "" if named else "; name a file for the answers under data.labels.second_annotator"
    return Rule(
        "rows labelled twice",
        "warning",
        f"at least {fewest} rows that a second person labelled, too",
        lambda seen: _twice_in_words(seen, fewest, named=named, absent=absent),
        f"{draw} and reads it back{keep}",
        (Condition("overall", _BETWEEN, {"column": a.LABELLED_TWICE, "min_value": fewest}),),
    )


def _twice_in_words(seen: Audit, fewest: int, *, named: bool, absent: bool) -> str:
    if not named:
        return "no second annotator is named, so nobody knows whether two people would agree"
    if absent:
        return "no answers yet: the file that data.labels.second_annotator names is not there"
    count = int(seen.overall[a.LABELLED_TWICE].iloc[0])
    return counted(count, "row") + (f", {fewest - count} too few" if count < fewest else "")


def _guideline(task: Task) -> Rule:
    named = task.spec.data.labels.guideline is not None
    return Rule(
        "guideline",
        "warning",
        "a definition and edge cases of every class in the labelling guideline",
        _undefined if named else lambda seen: "no guideline is named",
        "complete the guideline" if named else "write one and name it under data.labels.guideline",
        tuple(
            Condition("classes", "ExpectColumnValuesToBeInSet", {"column": name, "value_set": ["yes"]})
            for name in (a.DEFINED, a.EDGE_CASES)
        ),
    )


def _undefined(seen: Audit) -> str:
    parts = []
    for column, what in ((a.DEFINED, "no definition of"), (a.EDGE_CASES, "no edge cases of")):
        lacking = [shown(label) for label in seen.classes.loc[seen.classes[column] == "no", LABEL]]
        if lacking:
            parts.append(f"{what} {', '.join(lacking)}")
    return "; ".join(parts) or "both for every class"
