"""The dataset's page (3.8): where the data comes from, what the classes mean, how it is divided, what is wrong."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from playbook.spec import SPLITS
from playbook.taskfile import Task

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_CUT = {
    "hash": "by hash of group and seed {seed}; a row never changes side",
    "column": "by the team's own column {column}",
    "files": "by the team's own files",
}


def escaped(value: object) -> str:
    """A value as literal text in Markdown and HTML, on one line."""
    flat = " ".join(str(value).split())
    return _MARKDOWN.sub(r"\\\1", html.escape(flat, quote=False))


def dataset_page(task: Task, figures: dict[str, Any]) -> str:
    """The page as Markdown. It says nothing that `data` in the task file and the prepared rows do not decide."""
    data = task.spec.data
    lines = [f"# Dataset of {escaped(task.spec.task)}", ""]
    lines += ["## Source", "", *_source(task), ""]
    lines += ["## Classes", "", *_classes(task, figures), ""]
    lines += ["## Splits", "", *_splits(task, figures), ""]
    lines += ["## Quarantine", "", *_quarantine(figures), ""]
    lines += ["## Known limits", ""]
    lines += [f"- {escaped(limit)}" for limit in data.source.known_limits] or ["None stated."]
    return "\n".join(lines) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    head = list(head)
    body = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |", *body]


def _source(task: Task) -> list[str]:
    data = task.spec.data
    places = ", ".join(escaped(place) for place in data.source.locations.values())
    named = {"text": data.columns.text, "label": data.columns.label, "id": data.columns.id}
    named |= {"group": data.columns.group, "time": data.columns.time}
    columns = ", ".join(f"{part} from {escaped(name)}" for part, name in named.items() if name)
    return [
        f"- Files: {places}",
        f"- Provenance: {escaped(data.source.provenance)}",
        f"- Licence: {escaped(data.source.licence)}",
        f"- Columns: {columns}",
    ]


def _classes(task: Task, figures: dict[str, Any]) -> list[str]:
    counts = figures["class_rows"]
    rows = (
        (label, description, *(counts[split][label] for split in SPLITS))
        for label, description in sorted(task.spec.data.classes.items())
    )
    rarest = figures["rarest_class"]
    return [
        *_table(["Class", "What belongs to it", *SPLITS], rows),
        "",
        f"Rarest class: {escaped(rarest['label'])} with {rarest['train']} training rows.",
    ]


def _splits(task: Task, figures: dict[str, Any]) -> list[str]:
    splits, cut = task.spec.data.splits, figures["splits"]
    how = _CUT[cut["cut_by"]].format(seed=splits.seed, column=escaped(splits.column))
    rows = []
    for split in SPLITS:
        lengths = figures["text_length"][split]
        typical = f"{lengths['median']:g} ({lengths['min']} to {lengths['max']})" if lengths else "no rows"
        rows.append(
            (split, figures["rows"][split], f"{cut['fractions'][split]:.1%}", figures["groups"][split], typical)
        )
    span = figures["time"]
    return [
        *_table(["Split", "Rows", "Share", "Groups", "Characters, median (range)"], rows),
        "",
        f"Divided {how}. Near duplicates are texts whose character 4-grams have a Jaccard similarity of "
        f"{splits.near_duplicate_similarity:g} or more; across splits: {splits.across_splits}.",
        *([f"Rows date from {escaped(span['first'])} to {escaped(span['last'])}."] if span else []),
    ]


def _quarantine(figures: dict[str, Any]) -> list[str]:
    count, total = figures["quarantined_rows"], figures["raw_rows"]
    if not count:
        return [f"None of {total} raw rows."]
    lines = [f"{count} of {total} raw rows ({figures['quarantined_fraction']:.1%}) were set aside:", ""]
    lines += _table(["Reason", "Rows"], figures["quarantined"].items())
    unknown = figures["unknown_labels"]
    if unknown:
        named = ", ".join(f"{escaped(label)} ({n})" for label, n in unknown.items())
        lines += ["", f"Labels that are no class: {named}."]
    return lines
