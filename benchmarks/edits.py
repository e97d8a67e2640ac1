"""How many rows change side under what owners do to their data: docs/splits.md.

Two sets are prepared, edited in twelve ways, and prepared again as `playbook run` would. Beside it stands the peer that
needs no memory: a side that follows from the hash of group or text and the seed.
"""

from __future__ import annotations

import copy
import csv
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.edits_page import page
from benchmarks.real_texts import banking
from benchmarks.rows import ROOT, measure_and_write, write_row
from playbook.data.audit import MOVED, audit
from playbook.data.placing import position_of
from playbook.data.prepare import prepare
from playbook.data.sides import ledger_of, text_group
from playbook.spec import SPLITS
from playbook.taskfile import Task, load_task

SEED = 3
Rows = list[dict[str, str]]


@dataclass
class Dataset:
    """Rows, and the task file's `data`."""

    name: str
    rows: Rows
    data: dict[str, Any]

    def task(self, folder: Path) -> Task:
        """The task file with its rows beside it."""
        with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        document = {
            "task": "edits",
            "question": "How many rows change side when their owner edits them?",
            "target": {"metric": "accuracy", "at_least": 0.8, "margin": 0.05},
            "owners": {"model": "team:a", "data": "team:b", "sign_off": "team:c"},
            "data": self.data,
            "base": {"package": "none", "sha256": "0" * 64, "licence": "MIT"},
        }
        path = folder / "edits.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return load_task(path)


def texts_edited(one: Dataset, later: Rows) -> None:
    """Every third text gets a few words more."""
    for row in one.rows[::3]:
        row["text"] = f"{row['text']} as I wrote on {row['id']} already"


def relabelled(one: Dataset, later: Rows) -> None:
    """Every tenth row gets another class."""
    labels = sorted(one.data["classes"])
    for row in one.rows[::10]:
        row["label"] = labels[(labels.index(row["label"]) + 1) % len(labels)] if row["label"] in labels else labels[0]


def another_seed(one: Dataset, later: Rows) -> None:
    """The seed of the task file."""
    one.data["splits"]["seed"] = 99


def other_shares(one: Dataset, later: Rows) -> None:
    """30 % test instead of 15 %."""
    one.data["splits"]["test"] = 0.3


def columns_renamed(one: Dataset, later: Rows) -> None:
    """Columns are renamed and come in another order."""
    one.rows[:] = [{f"the {name}": row[name] for name in reversed(list(row))} for row in one.rows]
    one.data["columns"] = {part: f"the {name}" for part, name in one.data["columns"].items()}


def shuffled(one: Dataset, later: Rows) -> None:
    """Rows come in another order."""
    random.Random(SEED).shuffle(one.rows)  # noqa: S311


def rows_added(one: Dataset, later: Rows) -> None:
    """A fifth more rows, before the others."""
    one.rows[:0] = later


def rows_removed(one: Dataset, later: Rows) -> None:
    """A third of the rows goes."""
    del one.rows[::3]


def group_later(one: Dataset, later: Rows) -> None:
    """A column of groups is named that was not named before."""
    one.data["columns"]["group"] = "group"


def another_threshold(one: Dataset, later: Rows) -> None:
    """Near duplicates from 0.6 on."""
    one.data["splits"]["near_duplicate_similarity"] = 0.6


def ids_renamed(one: Dataset, later: Rows) -> None:
    """Every row gets a new id, its text stays."""
    for row in one.rows:
        row["id"] = f"new-{row['id']}"


def all_at_once(one: Dataset, later: Rows) -> None:
    """Texts, labels, order, seed and shares, with rows that go and rows that come."""
    for change in (texts_edited, relabelled, rows_removed, rows_added, shuffled, another_seed, other_shares):
        change(one, later)


EDITS: dict[str, Callable[[Dataset, Rows], None]] = {
    "every third text edited": texts_edited,
    "every tenth row relabelled": relabelled,
    "another seed": another_seed,
    "30 % test instead of 15 %": other_shares,
    "columns renamed and reordered": columns_renamed,
    "rows in another order": shuffled,
    "a fifth more rows": rows_added,
    "a third of the rows removed": rows_removed,
    "a group column named later": group_later,
    "near duplicates from 0.6 on": another_threshold,
    "new ids for the same texts": ids_renamed,
    "all of these that go together": all_at_once,
}


def sets(data: Path) -> list[tuple[Dataset, Rows]]:
    """The two sets, with rows that come later."""
    with (ROOT / "data" / "tickets" / "raw" / "tickets.csv").open(encoding="utf-8", newline="") as stream:
        tickets = [
            {"id": row["ticket_id"], "text": row["text"], "label": row["category"], "group": row["customer"]}
            for row in csv.DictReader(stream)
        ]
    texts, labels = banking(data)
    queries = [
        {"id": f"Q{at}", "text": text, "label": label, "group": f"customer {at % 4000}"}
        for at, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    return [_set("tickets", tickets), _set("Banking77", queries)]


def _set(name: str, rows: Rows) -> tuple[Dataset, Rows]:
    random.Random(SEED).shuffle(rows)  # noqa: S311
    later, now = rows[: len(rows) // 6], rows[len(rows) // 6 :]
    labels = sorted({row["label"] for row in rows if row["label"] and len(row["label"]) > 3})
    data = {
        "source": {"path": "rows.csv"},
        "columns": {"text": "text", "label": "label", "id": "id"},
        "classes": {label: f"Rows that their authors call {label}" for label in labels},
        "splits": {"by": "class"},
    }
    return Dataset(name, now, data), later


def sides_in(folder: Path, task: Task) -> dict[str, str]:
    """Side of each row by its text where it has a new id, else by its id; rows set aside as duplicates included."""
    found = {}
    for name in (*SPLITS, "quarantine"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        sides = table["split"] if name == "quarantine" else [name] * len(table)
        found |= {row.removeprefix("new-"): side for row, side in zip(table["row_id"], sides, strict=True) if side}
    return found


def by_hash(one: Dataset) -> dict[str, str]:
    """The peer's side of each row."""
    splits = one.data["splits"]
    names = one.data["columns"]
    found = {}
    for row in one.rows:
        place = position_of(
            row[names["group"]] if "group" in names else text_group(row[names["text"]]), splits.get("seed", 7)
        )
        test = splits.get("test", 0.15)
        side = "test" if place < test else "validation" if place < test + 0.15 else "train"
        found[row[names["id"]].removeprefix("new-")] = side
    return found


def moved(before: dict[str, str], after: dict[str, str]) -> tuple[int, int, int]:
    """Rows known before and after, how many of them moved, and how many from train or validation to test or back."""
    common = before.keys() & after.keys()
    gone = [row for row in common if before[row] != after[row]]
    return len(common), len(gone), sum("test" in (before[row], after[row]) for row in gone)


def measured(data: Path) -> dict[str, Any]:
    """Set -> edit -> rows known, moved, moved by the peer, and what the gate's rule says."""
    found: dict[str, Any] = {}
    for original, later in sets(data):
        found[original.name] = {}
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            first = original.task(folder)
            prepare(first, folder / "out")
            before, peer = sides_in(folder / "out", first), by_hash(original)
            ledger = ledger_of(folder / "out", "edits")
            shutil.copyfile(ledger, folder / "kept")
            found[original.name]["ledger"] = {"bytes": ledger.stat().st_size, "rows": len(original.rows)}
            found[original.name]["edits"] = {}
            for name, edit in EDITS.items():
                shutil.copyfile(folder / "kept", ledger)
                one = copy.deepcopy(original)
                edit(one, copy.deepcopy(later))
                task = one.task(folder)
                prepare(task, folder / "out")
                known, gone, with_test = moved(before, sides_in(folder / "out", task))
                _, peer_gone, peer_test = moved(peer, by_hash(one))
                red = int((audit(task, folder / "out").rows[MOVED] != "").sum())
                figures = {"known": known, "moved": gone, "with_test": with_test, "seen_by_gate": red}
                found[original.name]["edits"][name] = {**figures, "peer": peer_gone, "peer_with_test": peer_test}
                write_row(benchmark="edits", set=original.name, edit=name, **found[original.name]["edits"][name])
    return found


if __name__ == "__main__":
    measure_and_write(__doc__ or "", measured, page)
