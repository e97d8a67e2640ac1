"""What an audit found, in words: how many rows, and the first few of them by name."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from playbook.data.audit import COPY_OF, GROUP_IN_OTHER_SPLIT
from playbook.data.tables import GROUP, ROW_ID, SPLIT
from playbook.data.text import counted, shown

NAMED = 5  # offenders that a message names


def leaking(rows: pd.DataFrame, column: str) -> str:
    """Worst offenders of a leak column in plain words: how many rows, and the first few by id and split."""
    hits = rows[rows[column] != ""]
    if hits.empty:
        return "none"
    named = [
        f"{shown(hit[ROW_ID])} in {hit[SPLIT]} "
        + (
            f"shares group {shown(hit[GROUP])} with"
            if column == GROUP_IN_OTHER_SPLIT
            else f"is like {shown(hit[COPY_OF])} in"
        )
        + f" {hit[column]}"
        for hit in hits.head(NAMED).to_dict("records")
    ]
    return f"{counted(len(hits), 'row')}: {listed(named, len(hits))}"


def listed(named: Iterable[str], total: int) -> str:
    """The named ones, and how many more there are."""
    names = list(named)
    more = total - len(names)
    return "; ".join(names) + (f"; and {more} more" if more > 0 else "")
