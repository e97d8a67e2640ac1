"""Write the synthetic support-ticket data set: `python data/tickets/generate.py --out data/tickets/raw --seed 7`.

The same seed gives the same bytes on every platform: one `random.Random`, no sets or hashes in the order of anything.
"""

import argparse
import csv
import json
import random
from calendar import monthrange
from collections.abc import Iterable
from pathlib import Path

from ticket_plants import (
    BROKEN_FIELDS,
    EXACT_COPIES,
    GARBAGE_TEXT,
    NEAR_COPIES,
    Ticket,
    cohen_kappa,
    is_rare,
    plant_copies,
    plant_garbage,
    plant_markup,
    plant_wrong_labels,
    second_annotator,
)
from ticket_text import CATEGORIES, NEW_PRODUCT, PRODUCT_PARTS, Composer, Draft, Voice, load_phrasings

HERE = Path(__file__).resolve().parent
COLUMNS = ("ticket_id", "text", "category", "customer", "channel", "product", "date")
ROWS = 3000
CUSTOMERS = 450
YEAR = 2025
NEW_FROM_MONTH = 10
NEW_SHARE = 0.40
# Own phrasings: share of the other products' tickets, and how often one customer repeats the same one.
OWN_SHARE = 0.32
OWN_USES = 3
CATEGORY_WEIGHT = {"billing": 26, "access": 19.5, "delivery": 22.5, "fault": 25, "cancellation": 7}
CHANNELS = {"email": 45, "chat": 25, "web": 20, "phone": 10}
MONTH_WEIGHT = (8, 7, 8, 8, 8, 8, 8, 8, 8, 9, 10, 10)
TOO_SIMILAR = 0.72
TRIES = 40


def four_grams(text: str) -> frozenset[str]:
    """Character 4-grams of the lower-cased text, the measure by which near duplicates are defined."""
    plain = " ".join(text.lower().split())
    return frozenset(plain[at : at + 4] for at in range(max(1, len(plain) - 3)))


class Variety:
    """Refuses a draft that is too close to an earlier one with the same matter, so that only planted rows repeat."""

    def __init__(self) -> None:
        self.seen: dict[str, list[frozenset[str]]] = {}

    def accepts(self, draft: Draft) -> bool:
        """Remember the draft and say yes, or say no."""
        grams = four_grams(draft.text)
        earlier = self.seen.setdefault(draft.key, [])
        if any(len(grams & old) >= TOO_SIMILAR * len(grams | old) for old in earlier):
            return False
        earlier.append(grams)
        return True


class Repertoire:
    """Gives each long-tail phrasing to one customer, who alone uses it: people repeat themselves, not each other.

    A split by customer therefore meets unknown wording on its far side, and a split by row leaks it.
    """

    def __init__(self, rng: random.Random, single: dict[str, list[str]], customers: list[str]) -> None:
        self.rng = rng
        self.owned = {name: [(text, rng.choice(customers)) for text in texts] for name, texts in single.items()}
        self.uses = {text: 0 for texts in single.values() for text in texts}

    def take(self, category: str) -> tuple[str, str] | None:
        """Return a phrasing and its customer, or nothing once all of the category are used up."""
        free = [pair for pair in self.owned[category] if self.uses[pair[0]] < OWN_USES]
        if not free:
            return None
        pair = self.rng.choice(free)
        self.uses[pair[0]] += 1
        return pair


def weighted(rng: random.Random, weights: dict[str, float] | dict[str, int]) -> str:
    """Draw a key of a weight table."""
    return rng.choices(list(weights), list(weights.values()))[0]


def make_customers(rng: random.Random) -> dict[str, tuple[float, Voice]]:
    """Draw the customers: how busy each one is and how he or she writes."""
    numbers = sorted(rng.sample(range(1000, 9999), CUSTOMERS))
    customers = {}
    for number in numbers:
        voice = Voice(rng.random() < 0.35, rng.random() < 0.18, rng.choice([0.03, 0.1, 0.1, 0.3]))
        customers[f"C{number}"] = (rng.choice([0.5, 1.0, 1.0, 1.5, 2.5]), voice)
    return customers


def draw_date(rng: random.Random) -> str:
    """Draw a day; the shop grows a little towards the end of the year."""
    month = rng.choices(range(1, 13), MONTH_WEIGHT)[0]
    return f"{YEAR}-{month:02d}-{rng.randint(1, monthrange(YEAR, month)[1]):02d}"


def draw_product(rng: random.Random, day: str) -> str:
    """Draw the product; the new line takes its share from month ten on."""
    if int(day[5:7]) >= NEW_FROM_MONTH and rng.random() < NEW_SHARE:
        return NEW_PRODUCT
    return rng.choice(list(PRODUCT_PARTS))


def clean_tickets(rng: random.Random, customers: dict[str, tuple[float, Voice]], count: int) -> list[Ticket]:
    """Compose tickets without any planted defect."""
    phrasings = load_phrasings(HERE / "phrasings")
    composer, variety = Composer(phrasings, rng), Variety()
    names, activity = list(customers), [customers[name][0] for name in customers]
    repertoire = Repertoire(rng, phrasings.single, names)
    tickets: list[Ticket] = []
    while len(tickets) < count:
        day, category, channel = draw_date(rng), weighted(rng, CATEGORY_WEIGHT), weighted(rng, CHANNELS)
        product = draw_product(rng, day)
        own = repertoire.take(category) if product != NEW_PRODUCT and rng.random() < OWN_SHARE else None
        text, customer = own or (None, rng.choices(names, activity)[0])
        for _ in range(TRIES):
            draft = composer.draft(category, product, customers[customer][1], channel == "email", text)
            if variety.accepts(draft):
                row = Ticket(draft.text, category, customer, channel, product, day, category, draft.other, draft.mode)
                tickets.append(row)
                break
    return tickets


def build(seed: int, count: int = ROWS) -> list[Ticket]:
    """Make every row, planted ones included, ordered by date and numbered."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    customers = make_customers(rng)
    broken = sum(len(values) for _, _, values in BROKEN_FIELDS)
    planted = EXACT_COPIES + NEAR_COPIES + sum(len(texts) for texts in GARBAGE_TEXT.values())
    clean = clean_tickets(rng, customers, count - planted)
    spares, tickets = clean[:broken], clean[broken:]
    plant_wrong_labels(rng, tickets)
    plant_markup(rng, tickets)
    copies = plant_copies(rng, tickets, list(customers))
    rows = tickets + copies + plant_garbage(rng, tickets, spares)
    dated = {id(row): row.date if row.date.startswith(f"{YEAR}-") else f"{YEAR}-06-15" for row in rows}
    rng.shuffle(rows)
    rows.sort(key=lambda row: dated[id(row)])
    for number, row in enumerate(rows, start=1):
        row.ticket_id = f"T{number:05d}"
    return rows


def ids(rows: Iterable[Ticket], plant: str) -> list[str]:
    """Ticket numbers of one kind of planted row."""
    return [row.ticket_id for row in rows if row.plant == plant]


def pairs(rows: Iterable[Ticket], plant: str) -> list[list[str]]:
    """[copy, original, "same"|"other" customer] of the planted repeats."""
    found = [(row, row.origin) for row in rows if row.plant == plant and row.origin is not None]
    return [
        [row.ticket_id, origin.ticket_id, "same" if row.customer == origin.customer else "other"]
        for row, origin in found
    ]


def truth_of(rows: list[Ticket], second: dict[str, str], seed: int) -> dict[str, object]:
    """Everything planted, by ticket number; only tests may read it."""
    by_id = {row.ticket_id: row for row in rows}
    kinds = [*GARBAGE_TEXT, *(kind for kind, _, _ in BROKEN_FIELDS)]
    good = [row for row in rows if not row.plant.startswith("garbage")]
    return {
        "seed": seed,
        "rows": len(rows),
        "wrong_labels": {row.ticket_id: row.truth for row in rows if row.plant == "wrong_label"},
        "exact_duplicates": pairs(rows, "exact_copy"),
        "near_duplicates": pairs(rows, "near_copy"),
        "garbage": {kind: ids(rows, f"garbage:{kind}") for kind in kinds},
        "markup": ids(rows, "markup"),
        "rare_class": {"name": "cancellation", "rows": sum(is_rare(row) for row in good)},
        "new_product": {
            "name": NEW_PRODUCT,
            "first_month": f"{YEAR}-{NEW_FROM_MONTH:02d}",
            "ids": [row.ticket_id for row in good if row.product == NEW_PRODUCT],
        },
        "two_matters": [row.ticket_id for row in good if row.other is not None],
        "second_annotator": {
            "rows": len(second),
            "kappa": round(cohen_kappa([by_id[key].category for key in second], list(second.values())), 4),
        },
    }


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write UTF-8 with plain newlines, whatever the platform."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_truth(path: Path, truth: dict[str, object]) -> None:
    """One line per fact keeps the file compact and a change readable."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in truth.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def main() -> None:
    """Parse the arguments and write the four files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "raw")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the whole year, planted ones included")
    parser.add_argument("--truth", type=Path, default=HERE / "truth.json", help="kept outside --out on purpose")
    planted = HERE / "planted_label_errors.csv"
    parser.add_argument("--planted", type=Path, default=planted, help="ids of the wrong labels, kept outside likewise")
    args = parser.parse_args()
    rows = build(args.seed, args.rows)
    second_rng = random.Random(args.seed + 1)  # noqa: S311 - repeatable on purpose
    second = second_annotator(second_rng, rows)
    args.out.mkdir(parents=True, exist_ok=True)
    write_csv(args.out / "tickets.csv", COLUMNS, ([str(getattr(row, name)) for name in COLUMNS] for row in rows))
    write_csv(args.out / "second_annotator.csv", ("ticket_id", "label"), second.items())
    write_truth(args.truth, truth_of(rows, second, args.seed))
    args.planted.parent.mkdir(parents=True, exist_ok=True)
    write_csv(args.planted, ("ticket_id",), ([row] for row in ids(rows, "wrong_label")))
    counts = {name: sum(row.category == name for row in rows) for name in CATEGORIES}
    print(f"{len(rows)} tickets, {len(second)} labelled twice, by category: {counts}")


if __name__ == "__main__":
    main()
