"""What the gate asks of the labels themselves: agreement of two people, and a guideline (3.1, 3.2)."""

from __future__ import annotations

from playbook.data import audit as a
from playbook.data.agreement import FEW_ROWS
from playbook.data.audit import Audit, counted
from playbook.data.rule import Condition, Rule
from playbook.data.tables import LABEL
from playbook.data.text import shown
from playbook.taskfile import Task

_BETWEEN = "ExpectColumnValuesToBeBetween"


def label_rules(task: Task) -> tuple[Rule, ...]:
    """Agreement where a second annotator is named, and the guideline in any case."""
    return (*(_agreement(task) if task.spec.data.labels.second_annotator else ()), _guideline(task))


def _agreement(task: Task) -> tuple[Rule, ...]:
    floor = task.spec.data.labels.min_kappa
    return (
        Rule(
            "label agreement",
            "error",
            f"Cohen's kappa of at least {floor:g} with the second annotator",
            lambda seen: a.kappa_in_words(seen.overall),
            "sharpen the guideline where the two disagree (the dataset's page names the classes) and label again; do "
            "not lower data.labels.min_kappa to pass",
            (Condition("overall", _BETWEEN, {"column": a.KAPPA, "min_value": floor}),),
        ),
        Rule(
            "rows labelled twice",
            "warning",
            f"at least {FEW_ROWS} rows with a second label",
            lambda seen: counted(int(seen.overall[a.LABELLED_TWICE].iloc[0]), "row"),
            "let the second person label more rows of the dataset (ids as in data.columns.id)",
            (Condition("overall", _BETWEEN, {"column": a.LABELLED_TWICE, "min_value": FEW_ROWS}),),
        ),
    )


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
