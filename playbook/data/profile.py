"""Figures of a prepared dataset: rows per split and class, lengths, the rarest class, what was set aside."""

from __future__ import annotations

from typing import Any

import pandas as pd

from playbook.data.clean import UNKNOWN_LABEL
from playbook.data.read import RawRows
from playbook.data.sides import TEXT_GROUP
from playbook.data.split import how_cut
from playbook.data.tables import GROUP, LABEL, REASON, SPLIT, TEXT, TIME
from playbook.spec import SPLITS
from playbook.taskfile import Task

LISTED = 20  # unknown labels that are named


def profile(task: Task, rows: pd.DataFrame, quarantine: pd.DataFrame, raw: RawRows) -> dict[str, Any]:
    """All figures as plain values in a fixed order; lengths are in characters.

    `rows` has a `split` column, `quarantine` a `reason` column; `raw` is what the source held, by the reader's count.
    """
    data = task.spec.data
    parts = {split: rows[rows[SPLIT] == split] for split in SPLITS}
    class_rows = {split: _per_class(part, task.spec.labels) for split, part in parts.items()}
    rarest = min(task.spec.labels, key=lambda label: (class_rows["train"][label], label))
    total = len(rows) + len(quarantine)
    return {
        "task": task.spec.task,
        "raw_rows": raw.records,
        "reading": list(raw.readings),
        "rows": {split: len(part) for split, part in parts.items()},
        "class_rows": class_rows,
        "rarest_class": {"label": rarest, "train": class_rows["train"][rarest]},
        "splits": {"cut_by": how_cut(data), "fractions": {s: _fraction(len(p), len(rows)) for s, p in parts.items()}},
        "groups": {split: _groups(part) for split, part in parts.items()},
        "text_length": {split: _lengths(part[TEXT]) for split, part in parts.items()},
        "time": _time_span(rows[TIME]),
        "quarantined_rows": len(quarantine),
        "quarantined_fraction": _fraction(len(quarantine), total),
        "quarantined": _counts(quarantine[REASON]),
        "unknown_labels": _counts(quarantine.loc[quarantine[REASON] == UNKNOWN_LABEL, LABEL], LISTED),
    }


def unusual(figures: dict[str, Any]) -> list[str]:
    """What the reader found in a file that one would not expect, a sentence for each file of the profile."""
    out = []
    for one in figures.get("reading", []):
        lost = one["unreadable"]
        said = [*one["found"], *([f"{lost} of {one['records']} records could not be read"] if lost else [])]
        out += [f"{one['file']}: read as {one['kind']}: {'; '.join(said)}"] if said else []
    return out


def _per_class(part: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, int]:
    counts = part[LABEL].value_counts()
    return {label: int(counts.get(label, 0)) for label in labels}


def _fraction(count: int, total: int) -> float:
    return round(count / total, 6) if total else 0.0


def _groups(part: pd.DataFrame) -> int:
    """How many groups of the team's own there are; a row without one forms none."""
    return int(part.loc[~part[GROUP].str.startswith(TEXT_GROUP), GROUP].nunique())


def _lengths(texts: pd.Series) -> dict[str, float]:
    if texts.empty:
        return {}
    lengths = texts.str.len()
    quantiles = lengths.quantile([0.5, 0.95])
    return {
        "min": int(lengths.min()),
        "median": float(quantiles.iloc[0]),
        "mean": round(float(lengths.mean()), 2),
        "p95": float(quantiles.iloc[1]),
        "max": int(lengths.max()),
    }


def _time_span(times: pd.Series) -> dict[str, str]:
    known = sorted(times[times != ""])
    return {"first": known[0], "last": known[-1]} if known else {}


def _counts(values: pd.Series, most: int | None = None) -> dict[str, int]:
    counts = sorted(
        ((str(name), int(n)) for name, n in values.value_counts().items()), key=lambda item: (-item[1], item[0])
    )
    return dict(counts[:most])
