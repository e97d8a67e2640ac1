"""What the gate asks of the source itself: ids that name rows, labels that are classes, times, defined classes.

All are warnings: rows that cannot be used are set aside with a reason, and the rule on the quarantine decides how many
of them are too many.
"""

from __future__ import annotations

from playbook.data import audit as a
from playbook.data.audit import Audit
from playbook.data.definitions import vague_classes
from playbook.data.rule import Condition, Rule
from playbook.data.text import shown
from playbook.taskfile import Task


def source_rules(task: Task) -> tuple[Rule, ...]:
    """Rules on ids and times only where the task file names their column."""
    columns, rules = task.spec.data.columns, []
    if columns.id is not None:
        rules += [
            _rule(
                "ids of the source",
                f"every id of column {shown(columns.id)} on one row",
                "repeated_ids",
                "every id once",
                "give rows ids of their own: corrections, second labels and outcomes find a row by its id",
            ),
            _rule(
                "ids as they were given",
                f"ids of column {shown(columns.id)} with all of their digits",
                "spoilt_ids",
                "so, as far as can be seen",
                "export the ids as text: a spreadsheet, or a number beside a missing one, changes them, and outcomes "
                "that come with the true ids will not be found",
            ),
        ]
    rules.append(
        _rule(
            "labels of the source",
            "no label that is not a class",
            "unknown_labels",
            "every label is a class",
            "correct the labels at the source, or add the classes under data.classes",
        )
    )
    if columns.group is not None:
        rules.append(
            _rule(
                "groups of the source",
                f"no group in column {shown(columns.group)} that is called as if there were none",
                "absent_groups",
                "none",
                "leave the field empty where there is no group: all rows of one group lie on one side of the split",
            )
        )
    if columns.time is not None:
        rules += [
            _rule(
                "times of the source",
                f"times of one form in column {shown(columns.time)}",
                "unread_times",
                "every time was read",
                "fix them at the source, or name the form under data.columns.time_format",
            ),
            _rule(
                "times that have come",
                f"no time in the future in column {shown(columns.time)}",
                "future_times",
                "none",
                "fix them at the source: rows of the future count as the newest, also where a split goes by time",
            ),
        ]
    return (*rules, _definitions(task))


def _rule(name: str, expected: str, finding: str, nothing: str, remedy: str) -> Rule:
    def found(seen: Audit) -> str:
        return str(getattr(seen.source, finding)) or nothing

    none = {"column": finding, "min_value": 0, "max_value": 0}
    return Rule(
        name, "warning", expected, found, remedy, (Condition("overall", "ExpectColumnValuesToBeBetween", none),)
    )


def _definitions(task: Task) -> Rule:
    vague = vague_classes(task.spec.data.classes)
    return Rule(
        "definitions of classes",
        "warning",
        "every class of the task file with a definition that says more than its name",
        lambda seen: f"no definition of {', '.join(map(shown, vague))}" if vague else "so",
        "write under data.classes what belongs to each of them, and what does not",
        (Condition("classes", "ExpectColumnValuesToBeInSet", {"column": a.DESCRIBED, "value_set": ["yes"]}),),
    )
