"""Preparing a task's data: read, clean, divide, describe. `python -m playbook.data.prepare TASKFILE --out DIR`

Writes train, validation, test and quarantine as Parquet, profile.json and page.md; production.parquet where the task
file names a file of production-like rows. Beside the folder lies the ledger of sides (`playbook.data.sides`), which is
read first and added to. The same input and the same ledger give the same bytes, whenever and wherever; the folder
appears complete or not at all.
"""

from __future__ import annotations

import argparse
import errno
import json
import shutil
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from playbook.data.clean import clean_rows
from playbook.data.corrections import Correction, corrected, read_corrections
from playbook.data.founding import founded_on, tables_of
from playbook.data.labelling import labelling
from playbook.data.page import dataset_page
from playbook.data.paraphrases import without_paraphrases
from playbook.data.production import ProductionRows, production_rows
from playbook.data.profile import profile, unusual
from playbook.data.read import PRODUCTION, RawRows, read_source
from playbook.data.sides import Sides, ledger_of, read_sides, write_sides
from playbook.data.source_findings import unknown_in_words
from playbook.data.split import divide
from playbook.data.tables import DETAIL, KEPT_PREFIX, PREPARED_COLUMNS, REASON, ROW_ID, SPLIT
from playbook.data.versions import read_versions
from playbook.durable import alone_in
from playbook.errors import DataError, PlaybookError
from playbook.spec import SPLITS
from playbook.taskfile import Task, load_task

QUARANTINE = "quarantine"
PROFILE, PAGE = "profile.json", "page.md"
ABANDONED = 3600.0  # seconds after which an unfinished folder beside the output is a dead process's


def prepare(task: Task, out: Path, raw_override: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Prepare the data of a task in folder `out`, replacing what is there; returns the profile.

    `raw_override` gives local copies of the source by role (`all`, or `train`, `validation`, `test`; `production`).

    Of two processes that prepare one folder at the same time, one waits for the other.

    Raises:
        DataError: the source or a file of `data.labels` cannot be read or lacks what the task file names, or no row is
            fit for use.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(out.parent):
        return _prepared(task, out, raw_override)


def _prepared(task: Task, out: Path, raw_override: Mapping[str, Path] | None) -> dict[str, Any]:
    corrections = read_corrections(task)
    ledger = ledger_of(out, task.spec.task)
    sides = sides_before(ledger, out, task)
    raw = read_source(task, raw_override)
    rows, unfit = divided(task, raw.rows, corrections, sides)
    rows, paraphrases, similar = without_paraphrases(task, rows)
    unfit = pd.concat([unfit, paraphrases], ignore_index=True) if similar else unfit
    quarantine = _with_unreadable(unfit, raw)
    figures = profile(task, rows, quarantine, raw)
    figures["splits"] |= {"paraphrases": similar} if similar else {}
    figures["splits"]["sides"] = sides.digest(pd.concat([rows, unfit], ignore_index=True), task.spec.data)
    if rows.empty:
        reasons = ", ".join(f"{n} with {reason}" for reason, n in figures["quarantined"].items())
        unknown = unknown_in_words(figures["unknown_labels"], task.spec.labels)
        found = f" (labels found that are not classes: {unknown})" if unknown else ""
        raise DataError(
            f"{task.spec.task}: expected rows that are fit for use, found none of {figures['raw_rows']}: "
            f"{reasons}{found}; check data.columns and data.classes in the task file"
        )
    production = production_rows(task, rows[rows[SPLIT] == "train"], raw_override)
    figures |= labelling(task, rows, corrections, unfit[ROW_ID].tolist()) | {
        "production": production.figures if production else None
    }
    write_sides(ledger, sides)  # first: whoever is killed in between finds rows where they will be put again
    _write(out, rows, quarantine, production, figures, dataset_page(task, figures))
    return figures


def sides_before(ledger: Path, prepared: Path, task: Task) -> Sides:
    """What is known of sides before preparing: the ledger, and the prepared folder where it is older or was cut off.

    An empty ledger is the owner's word that nothing is known.

    Raises:
        DataError: the ledger was altered and cannot be read, or is that of another task.
    """
    known, name = read_sides(ledger), task.spec.task
    if known is not None and known.task not in ("", name):
        raise DataError(
            f"{ledger}: expected the ledger of {name}, found that of {known.task}: rows of two tasks can have the "
            f"same ids, and would change sides. Put the ledger of {name} back from version control; if the task was "
            "renamed, write its new name into the ledger"
        )
    if known is None or known:
        known = founded_on([tables_of(prepared)], task.spec.data, known)
    known.task = name
    return known


def divided(
    task: Task, raw: pd.DataFrame, corrections: Sequence[Correction], sides: Sides | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Raw rows corrected, cleaned and divided: the prepared rows with their `split`, and the quarantined ones.

    `sides` is what is known of sides; it is added to.

    Raises:
        DataError: a correction names a row that the source does not have, or of another label than it has.
    """
    fit, unfit = clean_rows(corrected(raw, corrections, task), task.spec.data)
    rows, copies = divide(fit, task.spec.data, sides)
    quarantine = pd.concat([unfit, copies], ignore_index=True)
    quarantine[SPLIT] = quarantine[SPLIT].fillna("") if SPLIT in quarantine else ""
    return rows, quarantine


def _with_unreadable(quarantine: pd.DataFrame, raw: RawRows) -> pd.DataFrame:
    """The quarantined rows, then the records of the source that could not become rows."""
    if raw.unreadable.empty:
        return quarantine
    return pd.concat([quarantine, raw.unreadable.assign(**{SPLIT: ""})], ignore_index=True)


def _write(
    out: Path,
    rows: pd.DataFrame,
    quarantine: pd.DataFrame,
    production: ProductionRows | None,
    figures: dict[str, Any],
    page: str,
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    _sweep(out)
    part = out.parent / f".{out.name}.{uuid.uuid4().hex}.part"
    part.mkdir()
    try:
        kept = [name for name in rows.columns if name.startswith(KEPT_PREFIX)]
        columns = [*PREPARED_COLUMNS, *kept]
        for split in SPLITS:
            _parquet(rows.loc[rows[SPLIT] == split, columns], part / f"{split}.parquet")
        if production is not None:
            _parquet(production.rows[columns], part / f"{PRODUCTION}.parquet")
        _parquet(quarantine[[*columns, SPLIT, REASON, DETAIL]], part / f"{QUARANTINE}.parquet")
        (part / PROFILE).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (part / PAGE).write_text(page, encoding="utf-8")
        _swap(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, out: Path) -> None:
    """Put the complete folder in place; a process killed in between leaves no folder, never half of one.

    Of two processes that do so at the same time the later one's folder stays.
    """
    while True:
        old = out.parent / f".{out.name}.{uuid.uuid4().hex}.part"
        with suppress(FileNotFoundError):
            out.rename(old)
        try:
            part.rename(out)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            continue  # another process was first
        finally:
            shutil.rmtree(old, ignore_errors=True)
        return


def _sweep(out: Path) -> None:
    for left in out.parent.glob(f".{out.name}.*.part"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    """Strings only, one fixed schema, no pandas metadata: bytes follow from the values alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in frame.columns])
    arrays = [pa.array(frame[name].tolist(), pa.string()) for name in frame.columns]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd", write_statistics=False)


def _role(argument: str) -> tuple[str, Path]:
    role, _, place = argument.partition("=")
    roles = ("all", *SPLITS, PRODUCTION)
    if role not in roles or not place:
        raise argparse.ArgumentTypeError(f"expected ROLE=FILE with ROLE one of {', '.join(roles)}, not {argument}")
    return role, Path(place)


def _say_if_sides_are_lost(task: Task, out: Path) -> None:
    """Versions of before the ledger whose rows are not here any more: a plain `dvc repro` may have removed them."""
    record = out.with_name("versions.yaml")
    if read_versions(record) and not out.is_dir() and not ledger_of(out, task.spec.task).is_file():
        print(
            f"{record}: has versions, but there is neither a ledger of sides nor the prepared folder: all rows are "
            "divided as if they were seen for the first time. `playbook run` founds the ledger on what DVC still has",
            file=sys.stderr,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status of `playbook.errors`."""
    parser = argparse.ArgumentParser(prog="python -m playbook.data.prepare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("taskfile", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, replaced as a whole")
    parser.add_argument("--raw", type=_role, action="append", default=[], help="ROLE=FILE: local copy of a source")
    options = parser.parse_args(arguments)
    try:
        task = load_task(options.taskfile)
        _say_if_sides_are_lost(task, options.out)
        figures = prepare(task, options.out, dict(options.raw))
    except PlaybookError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    rows = ", ".join(f"{count} {split}" for split, count in figures["rows"].items())
    print(f"{figures['task']}: {rows}, {figures['quarantined_rows']} quarantined")
    for said in unusual(figures):
        print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
