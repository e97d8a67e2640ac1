"""The tickets of `make year`: six months to build on, six months that arrive day by day, labels that come late."""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

SEED, ROWS = 11, 9000
BUILT_ON_UNTIL = date(2025, 7, 1)  # tickets before this day are what the first model is built on
NEW_LINE_FROM = date(2025, 10, 1)
LAST = date(2025, 12, 31)
ANSWERED = 0.8  # share of tickets whose right queue becomes known
LATEST = 9  # days after which it is known at the latest; at the earliest on the next day
NEW_LINE = "Havenloop"


@dataclass(frozen=True)
class Ticket:
    """One ticket of the replay."""

    row: dict[str, str]

    @property
    def id(self) -> str:
        """Its number."""
        return self.row["ticket_id"]

    @property
    def day(self) -> date:
        """When it came."""
        return date.fromisoformat(self.row["date"])

    @property
    def new_line(self) -> bool:
        """Whether it is about the product line of month ten."""
        return self.row["product"] == NEW_LINE

    @property
    def known_on(self) -> date | None:
        """The day on which its right queue becomes known; None: never."""
        number = int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:8], "big")
        if number % 1000 >= ANSWERED * 1000:
            return None
        return self.day + timedelta(1 + (number // 1000) % LATEST)


def write_year(root: Path, folder: Path) -> Path:
    """Write the task file with the tickets of its first six months; returns the file with the whole year.

    The tickets come from the sample task's own generator, more of them and from another seed.
    """
    source = root / "data" / "tickets"
    every = folder / "year"
    command = [sys.executable, str(source / "generate.py"), "--out", str(every), "--seed", str(SEED)]
    command += ["--rows", str(ROWS), "--truth", str(folder / "truth.json"), "--planted", str(folder / "planted.csv")]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("year.yaml", "GUIDELINE.md"):
        shutil.copyfile(source / name, folder / name)
    rows = read_rows(every / "tickets.csv")
    early = [row for row in rows if not _dated(row) or row["date"] < BUILT_ON_UNTIL.isoformat()]
    _write(folder / "tickets.csv", early)
    return every / "tickets.csv"


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def days_of_production(path: Path) -> dict[date, list[Ticket]]:
    """Tickets of every day of the second half year, in order; days without tickets are there, too."""
    tickets = [Ticket(row) for row in read_rows(path) if _dated(row) and row["date"] >= BUILT_ON_UNTIL.isoformat()]
    days: dict[date, list[Ticket]] = {
        BUILT_ON_UNTIL + timedelta(number): [] for number in range((LAST - BUILT_ON_UNTIL).days + 1)
    }
    for ticket in tickets:
        if ticket.row["text"].strip():  # nobody sends an empty form
            days[ticket.day].append(ticket)
    return days


def known_on(tickets: Sequence[Ticket]) -> dict[date, list[Ticket]]:
    """Tickets by the day on which their right queue becomes known."""
    found: dict[date, list[Ticket]] = {}
    for ticket in tickets:
        if ticket.known_on is not None and ticket.row["category"].strip():
            found.setdefault(ticket.known_on, []).append(ticket)
    return found


def _dated(row: dict[str, str]) -> bool:
    try:
        return date.fromisoformat(row["date"]).isoformat() == row["date"]
    except ValueError:
        return False


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
