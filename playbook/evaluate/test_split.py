"""The one door to the test split (5.2).

An opening is written to a ledger, and is on disk, before a label is read: whoever reads the split, or dies on the way,
has left a line. The ledger is append-only JSON Lines and lives outside the store, so it outlives an emptied one. What
recognises the rows later (hashes of ids and texts) is on disk before the line, so that no line is without it.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from playbook.artifacts import DatasetVersion
from playbook.durable import sync_folder
from playbook.errors import ArtifactError
from playbook.evaluate.openings import CLASSES, PROGRESS, Warn, models_of, openings_of_rows, read_ledger
from playbook.evaluate.row_marks import MARKED, RowMark, are_kept, keep_marks, row_marks
from playbook.store import SEALED, Store

LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class TestRows:
    """The opened split: columns of `playbook.data.tables`; how often its rows were opened so far, and for how many
    models (`playbook.evaluate.openings`)."""

    __test__ = False  # not a test case, whatever pytest may think of the name

    frame: pd.DataFrame
    openings: int
    candidates: int


def open_test_split(
    store: Store,
    dataset: DatasetVersion,
    asset: str,
    opened_for: str,
    ledger: Path,
    *,
    purpose: str = "evaluation",
    terms: Mapping[str, Any] | None = None,
    waived: str = "",
    warn: Warn = PROGRESS.warning,
) -> TestRows:
    """Record that the test split is opened, then open it.

    Args:
        store: where the dataset version lies.
        dataset: the version; its gate must be green.
        asset: the asset under which the store keeps it, usually `dataset_version`.
        opened_for: digest of the candidate that is evaluated.
        ledger: the task's ledger, a `.jsonl` file; made where it is missing.
        purpose: what the split is read for, in a word.
        terms: what it will be judged by (`playbook.evaluate.locked_terms`); they are locked from here on.
        waived: hash of the waiver under which it is opened by other terms than those that were locked.
        warn: takes a sentence on every opening of another task whose rows are not known.

    Raises:
        GateRed: the gate is not green for this data; nothing is recorded, nothing is read.
        ArtifactError: the ledger cannot be written, or the file is missing or was altered; the split stays closed.
    """
    dataset.require_green()
    if not opened_for:
        raise ArtifactError("the test split is opened for one candidate; expected its digest, found nothing")
    sealed = dataset.files.get(SEALED)
    if sealed is None:
        raise ArtifactError(f"{dataset.task}: dataset version {dataset.number} has no test split")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": dataset.task,
        "dataset": dataset.number,
        "dataset_hash": dataset.dataset_hash,
        "test_sha256": sealed.sha256,
        "opened_for": opened_for,
        "purpose": purpose,
        "user": _user(),
        **({"rows": dataset.rows.get(SEALED, 0), "terms": dict(terms)} if terms is not None else {}),
        **({"waived": waived} if waived else {}),
    }
    marks = None if are_kept(ledger, sealed.sha256) else closed_marks(store, dataset, asset)
    _append(ledger, line, marks)
    frame = pd.read_parquet(store.sealed_path(dataset, asset, SEALED))
    classes = terms.get(CLASSES) if terms is not None else None
    found = openings_of_rows(ledger, sealed.sha256, lambda: row_marks(frame), classes, warn)
    return TestRows(frame, len(found), models_of(found))


def closed_marks(store: Store, dataset: DatasetVersion, asset: str) -> list[RowMark]:
    """Marks of the rows of a split that may be closed, by `row_marks`; it stays closed.

    Ids and texts are hashed and never returned, labels are not read: that a row was opened before can be known without
    knowing what it is.
    """
    path = store.sealed_path(dataset, asset, SEALED)
    columns = [name for name in MARKED if name in pq.read_schema(path).names]
    return row_marks(pd.read_parquet(path, columns=columns))


def _append(ledger: Path, line: dict[str, Any], marks: Sequence[RowMark] | None) -> None:
    """Add a line to a ledger that is whole, after the marks of its rows, and wait until both are on disk."""
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{ledger}.lock", timeout=LOCK_SECONDS):
            read_ledger(ledger)
            if marks is not None:
                keep_marks(ledger, str(line["test_sha256"]), marks)
            body = (json.dumps(line) + "\n").encode()
            descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(descriptor, body)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if written != len(body):
                raise OSError("the line was cut short; is the disk full?")
            sync_folder(ledger.parent)
    except (OSError, Timeout) as error:
        raise ArtifactError(
            f"{ledger}: expected to record the opening of the test split, but {type(error).__name__}: {error}. The "
            "split stays closed; make the ledger writable and run the play again"
        ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
