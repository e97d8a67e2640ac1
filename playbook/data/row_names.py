"""What rows are called: their own id, with the role of their file before it where two files share the id now; a digest
of their content where they have no id.

Files may come to share an id, or cease to. Corrections, second labels and sheets that were written earlier still name
the same rows (`RowNames`). A name that could mean several rows is reported to whoever reads the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import pandas as pd

from playbook.data.known_ids import roles_of, side_called
from playbook.data.tables import ASKED, GROUP, LABEL, OWN_ID, ROW_ID, SHARED_BY, SPLIT, TEXT, TIME
from playbook.data.text import shown
from playbook.names import normal_form
from playbook.spec import Data

CHEAP_HASH = 16  # hex digits of a content id: 64 bits


def with_names(rows: pd.DataFrame, own_ids: bool) -> pd.DataFrame:
    """Rows under the names that every play knows them by.

    `own_id` keeps the id as the file has it, `shared_by` the sides that rows with this id were asked for.

    Args:
        rows: raw rows, columns `row_id` (the id in the file), `asked_split`, and those that make up their content.
        own_ids: whether the task file names a column of ids.
    """
    own, asked = [normal_form(value) for value in rows[ROW_ID].tolist()], rows[ASKED].tolist()
    roles = [normal_form(value) for value in asked]
    names, sharing = _told_apart(own, roles) if own_ids else (list(own), [""] * len(own))
    seen: dict[str, int] = {}
    content = zip(asked, *(rows[name].tolist() for name in (TEXT, LABEL, GROUP, TIME)), strict=True)
    for position, said in enumerate(content):
        if not names[position]:
            digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:CHEAP_HASH]
            seen[digest] = seen.get(digest, 0) + 1  # a second one will be quarantined as a copy
            names[position] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    found = {ROW_ID: names, OWN_ID: own if own_ids else [""] * len(own), SHARED_BY: sharing}
    return rows.assign(**{name: pd.Series(values, index=rows.index, dtype="str") for name, values in found.items()})


def _told_apart(own: Sequence[str], asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ids, with the role before them where rows of several roles share one; and by which sides each is shared."""
    roles: dict[str, set[str]] = {}
    for name, role in zip(own, asked, strict=True):
        if role:
            roles.setdefault(name, set()).add(role)

    def called(name: str, role: str) -> str:
        if not name or not role or len(roles[name]) == 1:
            return name
        full = f"{role}/{name}"
        while full in roles:  # an id of another row already
            full = f"{role}/{full}"
        return full

    sharing = {name: " ".join(sorted({side_called(role) for role in found} - {""})) for name, found in roles.items()}
    names = [called(name, role) for name, role in zip(own, asked, strict=True)]
    return names, [sharing.get(name, "") for name in own]


class RowNames:
    """The names of all rows, and what a name means that was written when a row was called otherwise.

    Args:
        rows: raw rows, or prepared ones with their `split`.
        data: of the task.
        aside: names of rows that are not among them, because they are set aside.
    """

    def __init__(self, rows: pd.DataFrame, data: Data, aside: Iterable[str] = ()) -> None:
        names, others = ([normal_form(name) for name in some] for some in (rows[ROW_ID].tolist(), aside))
        self._names = {*names, *others}
        self._full: dict[tuple[str, str], str] = {}
        self._plain: dict[str, list[str]] = {}
        if data.columns.id is None or (data.source.path is not None and data.splits.column is None):
            return  # every row has one name for good
        for name in (*names, *others):
            prefix, _, rest = name.partition("/")
            if rest and side_called(prefix):
                self._full.setdefault((side_called(prefix), rest), name)
                self._plain.setdefault(rest, []).append(name)
        raw = ASKED in rows
        sides = [side_called(value) for value in rows[ASKED if raw else SPLIT].tolist()]
        for name, side in zip(names, sides, strict=True):
            for role in (side,) if raw else roles_of(side, data):
                self._full.setdefault((role, name), name)

    def meant(self, written: str) -> tuple[str, ...]:
        """The rows that a name can mean, by what they are called now; none where it names none of them."""
        if written in self._names:
            return (written,)
        prefix, _, rest = written.partition("/")
        found = self._full.get((side_called(prefix), rest)) if rest and side_called(prefix) else None
        return (found,) if found else tuple(dict.fromkeys(self._plain.get(written, ())))

    def one(self, written: str) -> str:
        """The row that a name means. If it means no row, or several, the name is returned as it was written."""
        found = self.meant(written)
        return found[0] if len(found) == 1 else written

    def unclear(self, written: str) -> str:
        """What is to be said of a name that can mean several rows; empty for any other."""
        found = self.meant(written)
        which = " or ".join(map(shown, found))
        return f"row {shown(written)} may be {which}: write the one that is meant" if len(found) > 1 else ""
