"""A ledger of sides founded on what was prepared before: where there was none, or it lost lines (3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from playbook.data.sides import PROTECTED, Sides
from playbook.data.tables import GROUP, ROW_ID, SPLIT, TEXT
from playbook.spec import SPLITS, Data


def founded_on(tables: Iterable[Mapping[str, Path]], data: Data, sides: Sides | None = None) -> Sides:
    """A ledger founded on dataset versions that were prepared before there was one, or that know more than it does.

    Args:
        tables: of each version, the newest first, its Parquet files by `train`, `validation`, `test`, `quarantine`;
            only ids, groups and the hashes of texts are looked at. A file that is not there is left out.
        data: of the task.
        sides: what is known already, which stays; it is added to. Where nothing is, the shares of the first version
            count as those that were asked for.
    """
    sides = Sides() if sides is None else sides
    new = not sides
    for files in tables:
        parts = [_side_table(path, name) for name, path in files.items() if path.is_file()]
        if parts:
            table = pd.concat(parts, ignore_index=True)
            sides.add(table, data)
            if new and not sides.shares and (found := _shares(table, _cut(data))):
                sides.ask(found)
    return sides


def _cut(data: Data) -> tuple[str, ...]:
    """The sides that rows are dealt out to by class; none where the team or the time says the side of each row."""
    if data.splits.column is not None or data.splits.by == "time":
        return ()
    if data.source.path is not None:
        return PROTECTED
    return ("validation", "train") if data.source.validation is None else ()


def _shares(table: pd.DataFrame, cut: Sequence[str]) -> dict[str, float]:
    """What there is counts as what was asked for: nobody knows any more."""
    rows = table[SPLIT][table[SPLIT].isin(cut)]
    return {side: float((rows == side).mean()) for side in cut} if len(rows) else {}


def _side_table(path: Path, name: str) -> pd.DataFrame:
    columns = [ROW_ID, TEXT, GROUP]
    try:
        table = pd.read_parquet(path, columns=columns if name in SPLITS else [*columns, SPLIT]).fillna("")
    except (OSError, ValueError, KeyError):
        return pd.DataFrame({column: [] for column in (*columns, SPLIT)}, dtype="str")
    table = table.astype("str")
    return table.assign(**{SPLIT: name}) if name in SPLITS else table


def tables_of(prepared: Path) -> dict[str, Path]:
    """The tables of a prepared folder that sides can be read from."""
    return {name: prepared / f"{name}.parquet" for name in (*SPLITS, "quarantine")}
