"""Dataset versions of a task (3.7): a number, a changelog line and the rows behind it, per content hash.

`versions.yaml` lies beside the prepared folder and is only ever added to; the same hash keeps its number.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from playbook.data.tables import LABEL, ROW_ID, TEXT
from playbook.data.text import counted
from playbook.errors import DataError
from playbook.spec import SPLITS

CLASSES_NAMED = 6  # classes that a changelog line names per split

RowsBySplit = Mapping[str, Mapping[str, tuple[str, str]]]  # split -> row id -> (label, text)


class Version(BaseModel):
    """One dataset version as it is recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    hash: str = Field(min_length=1)
    changelog: str
    rows: dict[str, dict[str, int]]  # split -> class -> rows
    quarantined: int
    corrections: int = 0  # labels of the source that are corrected in this version


def read_versions(record: Path) -> tuple[Version, ...]:
    """All versions, oldest first; none where the file is not there yet.

    Raises:
        DataError: the file was altered so that it is not a list of versions numbered from 1.
    """
    if not record.exists():
        return ()
    try:
        versions = tuple(Version.model_validate(item) for item in yaml.safe_load(record.read_text("utf-8")) or ())
    except (yaml.YAMLError, ValidationError, TypeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{record}: expected a list of dataset versions, found something else ({type(error).__name__}); "
            "restore the file from version control"
        ) from None
    if [v.number for v in versions] != list(range(1, len(versions) + 1)):
        raise DataError(
            f"{record}: expected versions numbered 1, 2, 3 ..., found others; restore it from version control"
        )
    return versions


def record_version(
    record: Path,
    dataset_hash: str,
    figures: Mapping[str, Any],
    rows: RowsBySplit | None = None,
    before: RowsBySplit | None = None,
) -> tuple[Version, Literal["new", "known"]]:
    """The version of a dataset hash, written to `record` if it is new. One writer at a time; readers see whole files.

    `figures` is the profile. `rows` and `before` are the rows of this and the last version; without them the changelog
    can only say how many rows more or fewer there are.
    """
    versions = read_versions(record)
    known = next((version for version in versions if version.hash == dataset_hash), None)
    if known is not None:
        return known, "known"
    version = Version(
        number=len(versions) + 1,
        hash=dataset_hash,
        changelog=_changelog(versions[-1] if versions else None, figures, rows, before),
        rows=figures["class_rows"],
        quarantined=figures["quarantined_rows"],
        corrections=_corrections(figures),
    )
    _write(record, (*versions, version))
    return version, "new"


def _write(record: Path, versions: tuple[Version, ...]) -> None:
    body = yaml.safe_dump(
        [version.model_dump(exclude_defaults=True) for version in versions],
        sort_keys=False,
        allow_unicode=True,
        width=120,
    )
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_name(f".{record.name}.{uuid.uuid4().hex}.part")
    part.write_text("# Written by playbook, one entry per dataset version; commit it.\n" + body, encoding="utf-8")
    part.replace(record)


def rows_by_split(tables: Mapping[str, Path]) -> RowsBySplit:
    """Ids, labels and texts of prepared tables, for a changelog."""
    import pandas as pd

    out = {}
    for split, path in tables.items():
        table = pd.read_parquet(path, columns=[ROW_ID, LABEL, TEXT])
        out[split] = dict(zip(table[ROW_ID], zip(table[LABEL], table[TEXT], strict=True), strict=True))
    return out


def _changelog(
    last: Version | None, figures: Mapping[str, Any], rows: RowsBySplit | None, before: RowsBySplit | None
) -> str:
    counts = figures["class_rows"]
    if last is None:
        sizes = ", ".join(f"{sum(counts[split].values())} {split}" for split in SPLITS)
        corrected = f"; {counted(_corrections(figures), 'label')} corrected" if _corrections(figures) else ""
        return f"first version: {sizes}; {figures['quarantined_rows']} quarantined{corrected}"
    exact = rows is not None and before is not None
    parts = _row_changes(rows, before) if rows is not None and before is not None else _net_changes(counts, last.rows)
    aside = figures["quarantined_rows"] - last.quarantined
    if aside:
        parts.append(f"quarantined {aside:+d}")
    corrections = _corrections(figures)
    if corrections != last.corrections:
        parts.append(f"labels corrected {corrections - last.corrections:+d} (now {corrections})")
    if not parts:
        parts = ["same rows, other columns or description" if exact else "same counts, other contents"]
    return "; ".join(parts)


def _corrections(figures: Mapping[str, Any]) -> int:
    return int(figures.get("corrections", {}).get("changed", 0))


def _row_changes(rows: RowsBySplit, before: RowsBySplit) -> list[str]:
    """Rows added and removed per split and class; relabelled, edited and moved rows."""
    parts = []
    for split in SPLITS:
        new, old = rows.get(split, {}), before.get(split, {})
        added = [new[i][0] for i in new if i not in old]
        removed = [old[i][0] for i in old if i not in new]
        change = {label: (added.count(label), removed.count(label)) for label in {*added, *removed}}
        if change:
            parts.append(f"{split} +{len(added)} -{len(removed)} ({_by_class(change)})")
    now, then = _flat(rows), _flat(before)
    common = now.keys() & then.keys()
    for word, at in (("relabelled", 1), ("edited", 2), ("moved to another split", 0)):
        changed = sum(now[i][at] != then[i][at] for i in common)
        if changed:
            parts.append(f"{changed} {word}")
    return parts


def _flat(rows: RowsBySplit) -> dict[str, tuple[str, str, str]]:
    return {i: (split, label, text) for split, part in rows.items() for i, (label, text) in part.items()}


def _net_changes(counts: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]) -> list[str]:
    parts = []
    for split in SPLITS:
        new, old = counts.get(split, {}), before.get(split, {})
        net = {label: new.get(label, 0) - old.get(label, 0) for label in {*new, *old}}
        change = {label: (max(n, 0), max(-n, 0)) for label, n in net.items() if n}
        if change:
            parts.append(f"{split} {sum(net.values()):+d} net ({_by_class(change)})")
    return parts


def _by_class(change: Mapping[str, tuple[int, int]]) -> str:
    order = sorted(change, key=lambda label: (-sum(change[label]), label))
    named = [
        " ".join(
            [
                label,
                *([f"+{change[label][0]}"] if change[label][0] else []),
                *([f"-{change[label][1]}"] if change[label][1] else []),
            ]
        )
        for label in order[:CLASSES_NAMED]
    ]
    more = len(order) - len(named)
    return ", ".join(named) + (f", and {more} more classes" if more > 0 else "")
