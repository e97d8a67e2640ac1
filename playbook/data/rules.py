"""What a dataset must satisfy before anything is modelled (3.3, 3.5, 3.6), as conditions on the frames of an audit.

A rule knows how to say what was expected, what was found and how to fix it; whether it holds is the gate engine's to
say. Conditions are named after Great Expectations' expectations, which evaluate them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pandas as pd

from playbook.data import audit as a
from playbook.data.audit import Audit
from playbook.data.audit_words import NAMED, listed
from playbook.data.clean import UNKNOWN_LABEL, UNPARSABLE_TIME
from playbook.data.label_rules import label_rules
from playbook.data.rule import Condition, Rule
from playbook.data.sealed_rules import sealed_rules
from playbook.data.source_rules import source_rules
from playbook.data.split_rules import split_rules
from playbook.data.tables import GROUP, LABEL, ROW_ID, SPLIT, TEXT
from playbook.data.text import counted, shown
from playbook.spec import SPLITS
from playbook.taskfile import Task

FILLED = (ROW_ID, TEXT, LABEL, GROUP)  # columns without which a row is not a row


def rules(task: Task) -> tuple[Rule, ...]:
    """Every rule of the task's gate, in the order in which they are read."""
    return (
        *_shape(task),
        *_contents(task),
        *source_rules(task),
        *_volume(task),
        *_classes(task),
        *split_rules(task),
        *_shares(task),
        *label_rules(task),
        *sealed_rules(task),
    )


def _each_split(kind: str, columns: tuple[str, ...], **settings: Any) -> tuple[Condition, ...]:
    return tuple(Condition(split, kind, {"column": name, **settings}) for split in SPLITS for name in columns)


def _shape(task: Task) -> tuple[Rule, ...]:
    columns = a.required_columns(task)

    def found(seen: Audit) -> str:
        wrong = [
            f"{split}: {shown(name)} is {'missing' if name not in table else shown(str(table[name].dtype))}"
            for split, table in seen.tables.items()
            for name in columns
            if name not in table or str(table[name].dtype) != "str"
        ]
        return "; ".join(wrong) or "all of them"

    return (
        Rule(
            "columns",
            "error",
            f"columns {', '.join(map(shown, columns))} of strings in each split",
            found,
            "the prepared files were altered: prepare the data again",
            _each_split("ExpectColumnToExist", columns)
            + _each_split("ExpectColumnValuesToBeOfType", columns, type_="str"),
        ),
    )


def _contents(task: Task) -> tuple[Rule, ...]:
    labels = task.spec.labels

    def empty(seen: Audit) -> str:
        blank = {name: seen.rows[seen.rows[name].str.strip() == ""] for name in FILLED}
        return "; ".join(f"{name}: {_ids(rows)}" for name, rows in blank.items() if len(rows)) or "none"

    def strange(seen: Audit) -> str:
        unknown = seen.rows.loc[~seen.rows[LABEL].isin(labels), LABEL].value_counts()
        named = [f"{shown(str(label)) or '(empty)'} ({n})" for label, n in unknown.head(NAMED).items()]
        return listed(named, len(unknown)) or "no other label"

    return (
        Rule(
            "no empty values",
            "error",
            f"a value in {', '.join(FILLED)} of every row",
            empty,
            "fill them in at the source, or let `prepare` set such rows aside",
            _each_split("ExpectColumnValuesToNotBeNull", FILLED)
            + tuple(Condition("rows", "ExpectColumnValuesToMatchRegex", {"column": c, "regex": r"\S"}) for c in FILLED),
        ),
        Rule(
            "row ids",
            "error",
            "every row id once",
            lambda seen: _ids(seen.rows[seen.rows[ROW_ID].duplicated()]) if not seen.rows[ROW_ID].is_unique else "so",
            "give rows unique ids at the source, or name another column under data.columns.id",
            (Condition("rows", "ExpectColumnValuesToBeUnique", {"column": ROW_ID}),),
        ),
        Rule(
            "labels",
            "error",
            f"only the {len(labels)} classes of the task file",
            strange,
            "add the class under data.classes, or correct the label at the source",
            (Condition("rows", "ExpectColumnValuesToBeInSet", {"column": LABEL, "value_set": list(labels)}),),
        ),
    )


def _ids(rows: pd.DataFrame) -> str:
    named = [f"{shown(row[ROW_ID]) or '(no id)'} in {row[SPLIT]}" for row in rows.head(NAMED).to_dict("records")]
    return f"{counted(len(rows), 'row')}: {listed(named, len(rows))}"


def _volume(task: Task) -> tuple[Rule, ...]:
    least = task.spec.data.gate.min_rows
    return (
        Rule(
            "rows",
            "error",
            f"at least {counted(least, 'row')} and some in every split",
            lambda seen: f"{len(seen.rows)}: " + ", ".join(f"{n} {s}" for s, n in _split_rows(seen).items()),
            "collect more rows, or lower data.gate.min_rows if fewer can answer the question",
            (
                Condition("rows", "ExpectTableRowCountToBeBetween", {"min_value": least}),
                Condition("splits", "ExpectColumnValuesToBeBetween", {"column": "rows", "min_value": 1}),
            ),
        ),
    )


def _split_rows(seen: Audit) -> dict[str, int]:
    return dict(zip(seen.splits[SPLIT], seen.splits["rows"], strict=True))


def _classes(task: Task) -> tuple[Rule, ...]:
    gate = task.spec.data.gate
    demands: tuple[tuple[str, Literal["error", "warning"], str, int, str], ...] = (
        ("rows per class in training", "error", "train", gate.min_rows_per_class, "label more rows of it, or merge it"),
        (
            "plenty of rows per class",
            "warning",
            "train",
            gate.warn_rows_per_class,
            "expect weak results on it; label more rows, or set adaptation.class_weighting",
        ),
        *(
            (
                f"rows per class in {split}",
                "error",
                split,
                gate.min_evaluation_rows_per_class,
                "it cannot be evaluated: label more rows of it, widen the split under data.splits, or merge the class",
            )
            for split in ("validation", "test")
        ),
    )
    return tuple(
        Rule(
            name,
            severity,
            f"at least {counted(least, f'{split} row')} of every class",
            _scarce(split, least),
            remedy,
            (Condition("classes", "ExpectColumnValuesToBeBetween", {"column": split, "min_value": least}),),
        )
        for name, severity, split, least, remedy in demands
    )


def _scarce(split: str, least: int) -> Callable[[Audit], str]:
    def found(seen: Audit) -> str:
        counts = seen.classes.sort_values([split, LABEL])
        below = counts[counts[split] < least]
        worst = counts.iloc[0]
        if below.empty:
            return f"the rarest, {shown(worst[LABEL])}, has {worst[split]}"
        named = [f"{shown(row[LABEL])} has {row[split]}" for row in below.head(NAMED).to_dict("records")]
        return listed(named, len(below))

    return found


def _shares(task: Task) -> tuple[Rule, ...]:
    gate = task.spec.data.gate

    def aside(seen: Audit) -> str:
        said = {UNKNOWN_LABEL: seen.source.unknown_labels, UNPARSABLE_TIME: seen.source.unread_times}
        more = {why: f": {text}" for why, text in said.items() if text}
        row, reasons = (
            seen.overall.iloc[0],
            (f"{shown(why)} ({n}{more.get(why, '')})" for why, n in seen.quarantined.items()),
        )
        return f"{row['quarantined_fraction']:.1%}" + (f": {', '.join(reasons)}" if seen.quarantined else "")

    limit = {"column": "quarantined_fraction", "max_value": gate.max_quarantined}
    bounds = {"column": "unaccounted", "min_value": 0, "max_value": 0}
    return (
        Rule(
            "quarantine",
            "error",
            f"at most {gate.max_quarantined:.1%} of the raw rows set aside",
            aside,
            "fix the rows at the source (quarantine.parquet has each with its reason)",
            (Condition("overall", "ExpectColumnValuesToBeBetween", limit),),
        ),
        Rule(
            "every raw row accounted for",
            "error",
            "prepared and quarantined rows make up the raw rows",
            lambda seen: (
                f"{int(seen.overall['unaccounted'].iloc[0])} of {int(seen.overall['raw'].iloc[0])} rows missing"
            ),
            "the prepared files were altered: prepare the data again",
            (Condition("overall", "ExpectColumnValuesToBeBetween", bounds),),
        ),
    )
