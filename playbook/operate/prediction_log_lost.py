"""The count of predictions that could not be logged; right while the database is away, and after the process has ended.

Each writer counts for itself: in memory, in a small file beside the default log, and in a table of the log as soon as
that answers again. A writer's count only grows and bears the writer's name, so that the larger of file and table is
the count, and adding over writers counts no row twice.

Rows whose commit was in doubt are kept by id. They are lost if the log does not have them when it is asked.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from playbook.operate.prediction_log_tables import LOST, PREDICTIONS, Database, insert_into

IDS_A_QUERY = 500


@dataclass(frozen=True)
class LostRows:
    """What one writer lost: certain rows by number, those in doubt by id."""

    writer: str = field(default_factory=lambda: uuid.uuid4().hex)
    count: int = 0
    doubtful: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All of them, as long as nothing better is known of those in doubt."""
        return self.count + len(self.doubtful)


class LostStore:
    """Counts of one task's writers: files of this machine, and the table that all machines share.

    Args:
        folder: for the files, one a writer; made when the first row is lost.
    """

    def __init__(self, folder: Path, database: Database, task: str) -> None:
        self.folder, self.database, self.task = folder, database, task

    def save(self, rows: LostRows) -> None:
        """Write a writer's file, all or nothing.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"task": self.task, "writer": rows.writer, "count": rows.count, "doubtful": list(rows.doubtful)}
        part = self.folder / f"{self.task}-{rows.writer}.part"
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(part.with_suffix(".json"))

    def settle(self, rows: LostRows) -> LostRows:
        """Ask the log about rows in doubt, then put the count into file and table.

        Raises:
            StorageError: the log does not answer.
            OSError: the file cannot be written.
        """
        with self.database.begin() as connection:
            missing = self._missing(connection, rows.doubtful)
        settled = LostRows(rows.writer, rows.count + missing)
        self.save(settled)  # before the table: whoever reads the table first and then this file counts nothing twice
        with self.database.begin(writing=True) as connection:
            self._publish(connection, settled)
        return settled

    def total(self) -> int:
        """Rows that all writers lost, as far as this machine's files and the table know.

        Counts of this machine that the table lacks, of writers that have ended, go there now.

        Raises:
            StorageError: the log does not answer; `on_file` is what is known without it.
        """
        with self.database.begin() as connection:
            asked = sa.select(LOST.c.writer, LOST.c["count"]).where(LOST.c.task == self.task)
            table = {str(writer): int(count) for writer, count in connection.execute(asked)}
            files = {rows.writer: rows for rows in self.files()}
            open_doubts = {name: self._missing(connection, rows.doubtful) for name, rows in files.items()}
        ahead = [rows for name, rows in files.items() if rows.count > table.get(name, 0)]
        if ahead:
            with self.database.begin(writing=True) as connection:
                for rows in ahead:
                    self._publish(connection, rows)
        certain = merged(table, {name: rows.count for name, rows in files.items()})
        return sum(certain.values()) + sum(open_doubts.values())

    def on_file(self) -> int:
        """Rows that writers of this machine lost, those in doubt with them; asks no database."""
        return sum(rows.total for rows in self.files())

    def files(self) -> Iterable[LostRows]:
        """What this machine's writers have left; a file that is not such a file is passed over."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            if re.fullmatch(rf"{re.escape(self.task)}-[0-9a-f]{{32}}", path.stem) is None:
                continue
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                found.append(LostRows(content["writer"], int(content["count"]), tuple(map(str, content["doubtful"]))))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

    def _missing(self, connection: sa.Connection, ids: Collection[str]) -> int:
        """How many ids the log does not have."""
        asked, found = sorted(set(ids)), 0
        for start in range(0, len(asked), IDS_A_QUERY):
            part = asked[start : start + IDS_A_QUERY]
            known = sa.select(sa.func.count()).where(PREDICTIONS.c.task == self.task, PREDICTIONS.c.id.in_(part))
            found += int(connection.execute(known).scalar_one())
        return len(asked) - found

    def _publish(self, connection: sa.Connection, rows: LostRows) -> None:
        """Put a writer's count into the table where that has a smaller one or none."""
        insert = insert_into(connection, LOST).values(
            task=self.task, writer=rows.writer, count=rows.count, updated_at=datetime.now(UTC)
        )
        newer = {"count": insert.excluded["count"], "updated_at": insert.excluded.updated_at}
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["task", "writer"], set_=newer, where=LOST.c["count"] < insert.excluded["count"]
            )
        )


def merged(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Per writer the larger count."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}
