"""The dataset's page (3.8): where the data comes from, what the classes mean, how it is divided, what is wrong."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from playbook.data.duplicates import ALIKE
from playbook.data.profile import unusual
from playbook.data.text import counted
from playbook.spec import SPLITS, Splits
from playbook.taskfile import Task

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_CUT = {
    "class": "by class as far as groups allow (seed {seed}); a row never changes side",
    "time": "by time, the newest rows for test; a row never changes side",
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
    lines += ["## Source", "", *_source(task, figures), ""]
    lines += ["## Classes", "", *_classes(task, figures), ""]
    lines += ["## Labelling", "", *_labelling(task, figures), ""]
    lines += ["## Splits", "", *_splits(task, figures), ""]
    lines += ["## Quarantine", "", *_quarantine(figures), ""]
    lines += ["## Known limits", ""]
    lines += [f"- {escaped(limit)}" for limit in (*data.source.known_limits, *_limits(task, figures))]
    lines += [] if lines[-1] else ["None stated."]
    return "\n".join(lines) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    head = list(head)
    body = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |", *body]


def _source(task: Task, figures: dict[str, Any]) -> list[str]:
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
        f"- Records: {figures['raw_rows']}",
        *(f"- Found in {escaped(said)}" for said in unusual(figures)),
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
        f"Rarest class: {escaped(rarest['label'])} with {counted(rarest['train'], 'training row')}.",
    ]


def _labelling(task: Task, figures: dict[str, Any]) -> list[str]:
    """The rubric, how far two people agree, and what was corrected."""
    labels = task.spec.data.labels
    guideline, agreed, reviewed = figures["guideline"], figures["agreement"], figures["corrections"]
    lines = []
    if guideline is not None:
        edged = len(guideline["with_edge_cases"])
        lines.append(
            f"- Guideline: {escaped(labels.guideline)}; it defines {len(guideline['defined'])} of "
            f"{len(task.spec.labels)} classes and names edge cases for {edged}."
        )
    else:
        lines.append("- Guideline: none named (data.labels.guideline).")
    if agreed is not None:
        kappa = agreed["kappa"]
        lines.append(
            f"- Second annotator: {counted(agreed['rows'], 'row')}, equal labels on {agreed['observed']:.1%}, Cohen's "
            f"kappa {kappa['value']:.2f} ({kappa['low']:.2f} to {kappa['high']:.2f}); the lower "
            f"end must reach {labels.min_kappa:.2f}."
        )
    else:
        lines.append(
            "- Second annotator: "
            + ("no row in common." if labels.second_annotator else "none named (data.labels.second_annotator).")
        )
    lines.append(
        f"- Reviewed labels: {reviewed['changed']} corrected, {reviewed['confirmed']} confirmed"
        + (f" ({escaped(labels.corrections)})." if labels.corrections else ".")
    )
    return lines + (_agreement_tables(agreed) if agreed is not None else [])


def _agreement_tables(agreed: dict[str, Any]) -> list[str]:
    per_class = sorted(agreed["per_class"].items(), key=lambda item: (item[1], item[0]))
    lines = ["", *_table(["Class", "Kappa of the class"], ((name, f"{value:.2f}") for name, value in per_class))]
    if agreed["disagreements"]:
        lines += ["", *_table(["Label", "Second annotator", "Rows"], agreed["disagreements"])]
    return lines


def _limits(task: Task, figures: dict[str, Any]) -> list[str]:
    """Limits that can be read off the figures."""
    agreed, guideline, production = figures["agreement"], figures["guideline"], figures["production"]
    found = []
    if agreed is None:
        found.append("Nobody knows how far two people would agree on these labels.")
    elif agreed["rows"] < task.spec.data.labels.min_rows_twice:
        fewest = task.spec.data.labels.min_rows_twice
        rows = counted(agreed["rows"], "row")
        found.append(f"Agreement rests on {rows}, fewer than {fewest}: kappa is hardly known.")
    if guideline is None:
        found.append("No guideline says what the classes mean at their edges.")
    elif guideline["missing"]:
        found.append(f"The guideline does not define {', '.join(guideline['missing'])}.")
    if production is not None:
        left = ", ".join(f"{n} {reason}" for reason, n in production["left_out"].items())
        found.append(
            f"Production-like rows: {production['rows']} of {production['raw_rows']}, {production['labelled']} with a "
            f"label{f'; left out: {left}' if left else ''}."
        )
    elif task.spec.data.production is None:
        found.append("There are no production-like rows to compare the test split with.")
    return found


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
        f"{alike_in_words(splits)}; across splits: {splits.across_splits}.",
        *([f"Rows date from {escaped(span['first'])} to {escaped(span['last'])}."] if span else []),
    ]


def alike_in_words(splits: Splits) -> str:
    """From which similarity on two texts are near duplicates."""
    if splits.near_duplicate_similarity is not None:
        return f"{splits.near_duplicate_similarity:g} or more"
    return f"{ALIKE:g} or more, or that one or two typos part"


def _quarantine(figures: dict[str, Any]) -> list[str]:
    count, total = figures["quarantined_rows"], figures["raw_rows"]
    if not count:
        return [f"None of {total} raw rows."]
    were = "was" if count == 1 else "were"
    lines = [f"{count} of {total} raw rows ({figures['quarantined_fraction']:.1%}) {were} set aside:", ""]
    lines += _table(["Reason", "Rows"], figures["quarantined"].items())
    unknown = figures["unknown_labels"]
    if unknown:
        named = ", ".join(f"{escaped(label)} ({n})" for label, n in unknown.items())
        lines += ["", f"Labels that are not classes: {named}."]
    return lines
