"""The tickets of the replayed year: when they come, when their queue becomes known."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from data_samples import write_csv

from pipelines.year_tickets import ANSWERED, LATEST, Ticket, days_of_production, known_on


def tickets(count: int, day: str = "2025-07-03") -> list[Ticket]:
    row = {"text": "where is it", "category": "delivery", "date": day, "product": "Airwenn"}
    return [Ticket({"ticket_id": f"T{number}", **row}) for number in range(count)]


def test_most_outcomes_come_late_and_some_never() -> None:
    made = tickets(2000)
    known = [ticket.known_on for ticket in made if ticket.known_on is not None]
    assert abs(len(known) / len(made) - ANSWERED) < 0.03
    delays = [(day - made[0].day).days for day in known]
    assert (min(delays), max(delays)) == (1, LATEST)
    assert [ticket.known_on for ticket in tickets(2000)] == [ticket.known_on for ticket in made]  # repeatable
    by_day = known_on(made)
    assert sum(len(found) for found in by_day.values()) == len(known)
    assert all(ticket.known_on == day for day, found in by_day.items() for ticket in found)


def test_every_day_of_the_half_year_is_there_and_nothing_of_the_first(tmp_path: Path) -> None:
    rows = [ticket.row for day in ("2025-06-30", "2025-07-01", "2025-12-31") for ticket in tickets(2, day)]
    odd = [{**rows[0], "date": "yesterday"}, {**rows[2], "text": "  "}]
    days = days_of_production(write_csv(tmp_path / "all.csv", [*rows, *odd]))
    assert (min(days), max(days), len(days)) == (date(2025, 7, 1), date(2025, 12, 31), 184)
    assert {day: len(found) for day, found in days.items() if found} == {date(2025, 7, 1): 2, date(2025, 12, 31): 2}
    assert days[date(2025, 7, 1) + timedelta(1)] == []
