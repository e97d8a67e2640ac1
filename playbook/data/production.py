"""Rows like those of production (3.4): a file like the source, cleaned by the same rules, labels or not.

What is (nearly) the same as a training row says nothing about new rows, so it is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from playbook.data.clean import clean_rows
from playbook.data.duplicates import near_duplicates
from playbook.data.read import read_production
from playbook.data.sides import text_group
from playbook.data.tables import GROUP, LABEL, REASON, TEXT
from playbook.data.text import comparison_key
from playbook.errors import DataError
from playbook.taskfile import Task

COPY_OF_TRAIN = "duplicate of a training row"


@dataclass(frozen=True)
class ProductionRows:
    """Rows fit for use, as prepared tables have them (the label may be empty), and why others were left out."""

    rows: pd.DataFrame
    raw: int
    left_out: dict[str, int]

    @property
    def figures(self) -> dict[str, object]:
        """For the profile."""
        labelled = int((self.rows[LABEL] != "").sum())
        return {"raw_rows": self.raw, "rows": len(self.rows), "labelled": labelled, "left_out": self.left_out}


def production_rows(
    task: Task, train: pd.DataFrame, raw_override: Mapping[str, Path] | None = None
) -> ProductionRows | None:
    """The production-like rows of a task, or None where the task file names no file of them.

    Raises:
        DataError: the file cannot be read, lacks a column, or has no row that is fit for use.
    """
    if task.spec.data.production is None or task.spec.data.production.path is None:
        return None
    raw = read_production(task, task.spec.data.production.path, raw_override)
    fit, unfit = clean_rows(raw.rows, task.spec.data, labelled=False)
    copies = _copies(fit, train, task.spec.data.splits.near_duplicate_similarity)
    rows = fit[~copies].reset_index(drop=True)
    reasons = pd.concat([unfit[REASON], raw.unreadable[REASON]])
    left_out = {str(reason): int(n) for reason, n in sorted(reasons.value_counts().items())}
    if copies.any():
        left_out[COPY_OF_TRAIN] = int(copies.sum())
    if rows.empty:
        found = ", ".join(f"{n} with {reason}" for reason, n in left_out.items())
        raise DataError(
            f"{task.spec.data.production.path}: expected rows that are fit for use and no copies of training rows, "
            f"found none of {raw.records}: {found}; take data.production out of the task file, or fix the file"
        )
    groups = [group or text_group(text) for group, text in zip(rows[GROUP], rows[TEXT], strict=True)]
    return ProductionRows(
        rows.assign(**{GROUP: pd.Series(groups, index=rows.index, dtype="str")}), raw.records, left_out
    )


def _copies(rows: pd.DataFrame, train: pd.DataFrame, similarity: float | None) -> pd.Series:
    """Which rows are exact or near duplicates of a training row."""
    known = set(map(comparison_key, train[TEXT]))
    found = pd.Series([comparison_key(text) in known for text in rows[TEXT]], index=rows.index, dtype=bool)
    for _, right, _ in near_duplicates(train[TEXT].tolist(), rows[TEXT].tolist(), similarity):
        found.iloc[right] = True
    return found
