"""Plant known defects into a clean list of tickets, so that a data check can be tested against the truth.

Nothing here touches the clean tickets except their label or a pasted snippet; every planted row keeps a mark from
which the truth file is written.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from ticket_text import CATEGORIES, RARE, with_slip

EXACT_COPIES = 40
NEAR_COPIES = 60
WRONG_SHARE = 0.021
SECOND_SAMPLE = 300
SECOND_DISAGREE = 40
CONFUSABLE = {
    "billing": ("cancellation", "delivery", "access"),
    "access": ("fault", "billing"),
    "delivery": ("billing", "fault"),
    "fault": ("access", "delivery"),
    "cancellation": ("billing", "access"),
}
SNIPPETS = (
    "<script>alert(1)</script> {0}",
    "{0} <b>URGENT</b>",
    "<p>{0}</p><br/>",
    '{0} <img src="x" onerror="alert(2)">',
)
GARBAGE_TEXT = {
    "empty": ("", "", ""),
    "whitespace": ("   ", " \t ", "\n\n"),
    "keyboard_mash": ("asdf", "sdkfjh skdjfh ksjdf", "qwertzuiop", "jjjjjjjjkkkk;;;"),
    "lone_url": ("https://example.com/a?id=1", "http://shop.example.org/", "www.example.net/pic.jpg"),
    "test_message": ("test", "test test 123", "TESTING please ignore"),
}
BROKEN_FIELDS = (
    ("missing_label", "category", ("", "", "")),
    ("unknown_label", "category", ("misc", "other??", "misc")),
    ("bad_date", "date", ("2025-13-45", "yesterday", "31/02/25")),
)


@dataclass
class Ticket:
    """One row with what the generator knows about it; `truth` is the label a careful reader would give."""

    text: str
    category: str
    customer: str
    channel: str
    product: str
    date: str
    truth: str
    other: str | None = None
    mode: str = ""
    plant: str = ""
    origin: "Ticket | None" = None
    ticket_id: str = ""


def confused_with(rng: random.Random, ticket: Ticket) -> str:
    """Give the wrong label a hurried annotator would give: the matter also mentioned, else a neighbour class."""
    if ticket.other is not None and rng.random() < 0.85:
        return ticket.other
    return rng.choice([name for name in CONFUSABLE[ticket.truth] if name != ticket.truth])


def plant_wrong_labels(rng: random.Random, tickets: list[Ticket]) -> None:
    """Change the label of a small share of the tickets, mostly of those that mention two matters."""
    two_matters = [ticket for ticket in tickets if ticket.other is not None]
    one_matter = [ticket for ticket in tickets if ticket.other is None]
    count = round(WRONG_SHARE * len(tickets))
    chosen = rng.sample(two_matters, count - count // 4) + rng.sample(one_matter, count // 4)
    for ticket in chosen:
        ticket.category = confused_with(rng, ticket)
        ticket.plant = "wrong_label"


def plant_markup(rng: random.Random, tickets: list[Ticket]) -> None:
    """Let a few customers paste markup, so that the escaping of ticket texts can be tested."""
    for ticket, snippet in zip(rng.sample([t for t in tickets if not t.plant], len(SNIPPETS)), SNIPPETS, strict=True):
        ticket.text = snippet.format(ticket.text)
        ticket.plant = "markup"


def small_edit(rng: random.Random, text: str) -> str:
    """Edit a text the way a customer does who sends it again: case, punctuation, a slip, one word more or less."""
    edits: list[Callable[[], str]] = [
        lambda: text[0].swapcase() + text[1:].rstrip(".!? ") + "!!",
        lambda: text.replace(",", "").rstrip(".!"),
        lambda: with_slip(rng, text),
        lambda: re.sub(r"\b(the|my)\b", "this", text, count=1),
        lambda: text + " Thanks!",
    ]
    for edit in rng.sample(edits, len(edits)):
        edited = edit()
        if edited != text:
            return edited
    return text + "."


def later(day: str, days: int) -> str:
    """Shift an ISO date, staying inside its year."""
    start = date.fromisoformat(day)
    return min(start + timedelta(days=days), date(start.year, 12, 31)).isoformat()


def plant_copies(rng: random.Random, tickets: list[Ticket], customers: list[str]) -> list[Ticket]:
    """Return repeated tickets; every second one comes from another customer, so that it can leak across a split."""
    long_enough = [ticket for ticket in tickets if not ticket.plant and len(ticket.text) >= 60]
    copies = []
    for number, origin in enumerate(rng.sample(long_enough, EXACT_COPIES + NEAR_COPIES)):
        exact = number < EXACT_COPIES
        others = [name for name in customers if name != origin.customer]
        copies.append(
            replace(
                origin,
                text=origin.text if exact else small_edit(rng, origin.text),
                customer=rng.choice(others) if number % 2 else origin.customer,
                date=later(origin.date, rng.randint(0, 6)),
                plant="exact_copy" if exact else "near_copy",
                origin=origin,
            )
        )
    return copies


def plant_garbage(rng: random.Random, tickets: list[Ticket], spares: list[Ticket]) -> list[Ticket]:
    """Return rows a data check has to reject; `spares` are unused good tickets whose label or date gets broken."""
    rows = []
    for kind, texts in GARBAGE_TEXT.items():
        for text in texts:
            model = rng.choice(tickets)
            rows.append(replace(model, text=text, other=None, plant=f"garbage:{kind}", origin=None))
    pool = iter(spares)
    for kind, column, values in BROKEN_FIELDS:
        for value in values:
            broken = {column: value}
            rows.append(replace(next(pool), plant=f"garbage:{kind}", **broken))  # type: ignore[arg-type]
    return rows


def second_annotator(rng: random.Random, tickets: list[Ticket]) -> dict[str, str]:
    """Label a sample a second time; the disagreement sits where two matters are mentioned, as it does with people."""
    usable = [ticket for ticket in tickets if ticket.plant in ("", "wrong_label", "markup")]
    sample = rng.sample(usable, SECOND_SAMPLE)
    labels = {ticket.ticket_id: ticket.truth for ticket in sample}
    hard = [ticket for ticket in sample if ticket.other is not None and ticket.plant != "wrong_label"]
    easy = [ticket for ticket in sample if ticket.other is None and ticket.plant != "wrong_label"]
    doubtful = rng.sample(hard, SECOND_DISAGREE - 8) + rng.sample(easy, 8)
    for ticket in doubtful:
        labels[ticket.ticket_id] = confused_with(rng, ticket)
    return dict(sorted(labels.items()))


def cohen_kappa(first: list[str], second: list[str]) -> float:
    """Agreement of two annotators beyond chance; written out here to keep the generator free of other packages."""
    total = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / total
    chance = sum(first.count(name) * second.count(name) for name in CATEGORIES) / total**2
    return (observed - chance) / (1 - chance)


def is_rare(ticket: Ticket) -> bool:
    """Whether a ticket belongs to the under-represented class by its true meaning."""
    return ticket.truth == RARE
