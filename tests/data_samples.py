"""Small sources and task files for tests of the data play."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from playbook.taskfile import Task, load_task

SHARED = Path(os.environ.get("PLAYBOOK_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
COLUMNS = ("id", "text", "label", "customer", "when", "channel")
SCRIPT = "<script>alert(1)</script>"
_WORDS = {
    "billing": ("invoice", "charge", "refund", "amount", "account", "payment", "statement", "receipt", "balance"),
    "delivery": ("parcel", "courier", "address", "tracking", "door", "arrived", "street", "neighbour", "post"),
}
_COMMON = ("please", "help", "because", "again", "still", "nobody", "customer", "order", "waiting", "evening", "river")


def rows(count: int = 240, seed: int = 1) -> list[dict[str, str]]:
    """Distinct texts of two classes from about `count / 3` customers."""
    rng = random.Random(seed)  # noqa: S311
    out = []
    for number in range(count):
        label = ("billing", "delivery")[number % 2]
        words = [*rng.sample(_WORDS[label], 6), *rng.sample(_COMMON, 6), f"ref{rng.randrange(10**6):06d}"]
        rng.shuffle(words)
        out.append(
            {
                "id": f"R{number:04d}",
                "text": " ".join(words),
                "label": label,
                "customer": f"C{rng.randrange(max(count // 3, 1))}",
                "when": f"2025-{1 + number % 12:02d}-03",
                "channel": rng.choice(["mail", "chat"]),
            }
        )
    return out


def write_csv(path: Path, table: list[dict[str, str]]) -> Path:
    """Write rows as CSV with the columns of the first one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]) if table else COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    return path


def task_document(source: dict[str, Any], **data: Any) -> dict[str, Any]:
    """A task file as a mapping; `data` replaces or adds parts of its data section."""
    columns = {"text": "text", "label": "label", "id": "id", "group": "customer", "time": "when", "keep": ["channel"]}
    section = {
        "source": source,
        "columns": columns,
        "classes": {"billing": "Money", "delivery": "Parcels"},
        "splits": {"by": "class"},
        "gate": {"min_rows": 50, "min_rows_per_class": 10, "warn_rows_per_class": 20, "split_tolerance": 0.2},
    }
    return {
        "task": "sample",
        "question": "Which team should answer this message?",
        "target": {"metric": "accuracy", "at_least": 0.8, "margin": 0.25},
        "owners": {"model": "team:a", "data": "team:b", "sign_off": "team:c"},
        "data": {**section, **data},
        "base": {"package": "none", "sha256": "0" * 64, "licence": "MIT"},
    }


def write_task(folder: Path, source: dict[str, Any], **data: Any) -> Task:
    """Write `sample.yaml` into a folder and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sample.yaml"
    path.write_text(yaml.safe_dump(task_document(source, **data), sort_keys=False), encoding="utf-8")
    return load_task(path)


def sample(folder: Path, table: list[dict[str, str]] | None = None, **data: Any) -> Task:
    """A task over one CSV file beside it."""
    write_csv(folder / "rows.csv", rows() if table is None else table)
    return write_task(folder, {"path": "rows.csv"}, **data)


def banking77(folder: Path, **data: Any) -> Task:
    """Banking77 with its authors' split; skips the test where the shared data is missing."""
    source = SHARED / "banking77"
    if not (source / "train.csv").is_file():
        pytest.skip(f"Banking77 is not at {source}; point PLAYBOOK_SHARED_DATA at the folder that has banking77/")
    with (source / "test.csv").open(encoding="utf-8", newline="") as stream:
        classes = sorted({row["category"] for row in csv.DictReader(stream)})
    places = {"train": str(source / "train.csv"), "test": str(source / "test.csv")}
    columns = {"text": "text", "label": "category"}
    return write_task(folder, places, columns=columns, classes=dict.fromkeys(classes, "See its name"), **data)
