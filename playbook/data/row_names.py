"""What rows are called (3.3): their own id; the file's role before it where two files share ids; a digest without one.

A row keeps the name that it was first divided under. The test file may come to hold an id of the training file, or lose
it again: corrections, the second annotator's labels and the ledger of sides go on naming the same rows.
"""

from __future__ import annotations

import hashlib
import json

import pandas as pd

from playbook.data.sides import Sides, side_called
from playbook.data.tables import ASKED, GROUP, LABEL, ROW_ID, TEXT, TIME
from playbook.names import normal_form

CHEAP_HASH = 16  # hex digits of a content id: 64 bits


def with_names(rows: pd.DataFrame, own_ids: bool, sides: Sides | None = None) -> pd.DataFrame:
    """Rows under the names that every play knows them by.

    Args:
        rows: raw rows, columns `row_id` (the id in the file), `asked_split`, and those that make up their content.
        own_ids: whether the task file names a column of ids.
        sides: the ledger, by whose ids rows keep their names.
    """
    ids, asked = [normal_form(value) for value in rows[ROW_ID].tolist()], rows[ASKED].tolist()
    if own_ids:
        ids = _told_apart(ids, asked, Sides() if sides is None else sides)
    content = zip(asked, *(rows[name].tolist() for name in (TEXT, LABEL, GROUP, TIME)), strict=True)
    return rows.assign(**{ROW_ID: pd.Series(_filled(ids, content), index=rows.index, dtype="str")})


def _told_apart(ids: list[str], asked: list[str], sides: Sides) -> list[str]:
    """Ids that rows of several roles share get the role before them, except where the row is known without it."""
    roles: dict[str, set[str]] = {}
    for name, role in zip(ids, asked, strict=True):
        if role:
            roles.setdefault(name, set()).add(role)
    brought = {side_called(role) for role in set(asked)}

    def called(name: str, role: str) -> str:
        if not name or not role:
            return name
        full = f"{role}/{name}"
        if sides.side_of_id(full):
            return full
        if len(roles[name]) == 1:
            return name
        side, known = side_called(role), sides.side_of_id(name)
        cut_from_it = side == "train" and known == "validation" and "validation" not in brought
        return name if known and (known == side or cut_from_it) else full

    return [called(name, role) for name, role in zip(ids, asked, strict=True)]


def _filled(ids: list[str], contents: zip[tuple[str, ...]]) -> list[str]:
    """Ids with one for every row; a second row of the same content is numbered: it will be quarantined as a copy."""
    seen: dict[str, int] = {}
    filled = []
    for name, content in zip(ids, contents, strict=True):
        if name:
            filled.append(name)
            continue
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:CHEAP_HASH]
        seen[digest] = seen.get(digest, 0) + 1
        filled.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return filled
