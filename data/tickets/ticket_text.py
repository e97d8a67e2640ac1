"""Turn hand-written pieces into ticket texts.

The difficulty of the data set is made here and nowhere else: one and the same clause may be what the customer wants
(`claim`, `topic`) or something settled, ruled out or less urgent (`other_claim`, `other_topic`). Counting words
cannot tell the two apart; reading the sentence can.
"""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CATEGORIES = ("billing", "access", "delivery", "fault", "cancellation")
RARE = "cancellation"
NEW_PRODUCT = "Havenloop"
PRODUCT_PARTS = {
    "Airwenn": ("filter", "front grille", "fan", "dust sensor"),
    "Kaffana": ("water tank", "drip tray", "grinder", "milk hose"),
    "Stridoo": ("strap", "clasp", "charging cradle", "pulse sensor"),
    "Nestunar": ("speaker grille", "power cord", "wall mount", "volume wheel"),
    "Dorvuo": ("bell button", "camera lens", "mounting plate", "chime"),
}
NEW_PARTS = ("bridge cable", "door sensor", "wall plug", "antenna")
# How often each way of presenting a matter is used; "plain" carries one matter only, the others carry two.
MODES = {"plain": 82.0, "settled_sentence": 4.5, "settled_frame": 4.5, "contrast": 4.5, "priority": 4.5}
# Share of two-matter tickets in which the customer adds another sentence on the matter that counts.
ECHO_SHARE = 0.15
REWORD_SHARE = 0.3
OTHER_WEIGHT = {RARE: 0.35}
SLOT = re.compile(r"\{(\w+)\}")
CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
SENTENCE_START = re.compile(r"(^|[.!?(] |\()([a-z])")
SLOT_VALUES = {
    "month": [
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "city": [
        "Leeds", "Cork", "Bristol", "Austin", "Denver", "Utrecht", "Graz", "Malmö", "Dundee", "Portland", "Ghent",
        "Cardiff", "Tampa",
    ],
    "carrier": ["ParcelFox", "the postman", "Redline Couriers", "QuickHaul", "the courier firm", "SwiftPost"],
    "device": ["phone", "tablet", "laptop", "iPad", "PC", "work computer", "Android phone"],
    "n": ["two", "three", "four", "five", "six", "seven", "eight", "2", "3", "4", "6", "9"],
    "tens": ["20", "30", "40", "70", "90"],
    "nth": ["second", "third", "fourth"],
    "year": ["2017", "2019", "2021", "2022", "2023"],
    "name": [
        "Amara", "Ben", "Chloe", "Dev", "Ewa", "Fiona", "Gareth", "Hannah", "Imran", "Joan", "Kofi", "Leila", "Marek",
        "Nadia", "Owen", "Priya", "Quentin", "Rosa", "Sam", "Tomasz", "Una", "Viktor", "Wendy", "Xenia", "Yusuf",
        "Zoe", "Mrs Okafor", "Mr Lindqvist", "Dr Patel", "Ms Ferreira",
    ],
}  # fmt: skip
AMERICAN = {
    "parcel": "package", "postage": "shipping cost", "mobile": "cell", "colour": "color", "neighbour": "neighbor",
    "lovely": "great", "holiday": "vacation", "flat": "apartment", "post": "mail", "postman": "mailman",
}  # fmt: skip


@dataclass
class Phrasings:
    """The loaded phrasing files: topic-free pieces, frames, and per-category pieces of both vocabularies."""

    common: dict[str, list[str]]
    frames: dict[str, list[str]]
    standard: dict[str, dict[str, list[str]]]
    new_line: dict[str, dict[str, list[str]]]
    single: dict[str, list[str]]
    synonyms: dict[str, list[str]]


@dataclass
class Voice:
    """How one customer writes; it stays with the customer so that style says nothing about the category."""

    american: bool
    casual: bool
    typo_rate: float


@dataclass
class Draft:
    """A text with what the generator knows about it: the matter meant and the matter merely mentioned."""

    text: str
    key: str
    other: str | None = None
    mode: str = ""


def load_phrasings(folder: Path) -> Phrasings:
    """Read every YAML file of `folder`; the folder is given so that a test may use a smaller set."""

    def read(name: str) -> Any:
        return yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))

    standard = {name: read(name) for name in CATEGORIES}
    return Phrasings(read("common"), read("frames"), standard, read("hub"), read("single"), read("synonyms"))


def pick_other(rng: random.Random, category: str) -> str:
    """Draw the category of the matter that is only mentioned; the rare one is mentioned less often as well."""
    names = [name for name in CATEGORIES if name != category]
    return rng.choices(names, [OTHER_WEIGHT.get(name, 1.0) for name in names])[0]


def made_up(rng: random.Random, slot: str, american: bool) -> str:
    """Give an amount, an order, an error code or a calendar day."""
    if slot == "amount":
        currency = "$" if american else rng.choice("£££€")
        return f"{currency}{rng.randint(3, 260)}.{rng.choice(['00', '90', '99', '49'])}"
    if slot == "order":
        number = rng.randint(10400, 98999)
        return rng.choice([f"order {number}", f"order #{number}", f"order no. {number}", "my order", "my last order"])
    if slot == "err":
        return rng.choice("EFKQ") + str(rng.randint(10, 99))
    day, month = rng.randint(1, 28), rng.choice(SLOT_VALUES["month"])
    return f"{month} {day}" if american else f"{day} {month}"


def slot_value(rng: random.Random, slot: str, product: str, voice: Voice) -> str:
    """Give one value for a slot of a phrasing."""
    if slot == "product":
        return product
    if slot == "part":
        return rng.choice(PRODUCT_PARTS.get(product, NEW_PARTS))
    if slot in SLOT_VALUES:
        return rng.choice(SLOT_VALUES[slot])
    return made_up(rng, slot, voice.american)


def fill(rng: random.Random, piece: str, product: str, voice: Voice) -> str:
    """Resolve the [a|b] choices and the {slots} of one piece."""
    piece = CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), piece)
    return SLOT.sub(lambda match: slot_value(rng, match.group(1), product, voice), piece)


def reword(rng: random.Random, text: str, synonyms: dict[str, list[str]]) -> str:
    """Swap words for synonyms: people agree on meanings, not on words, and a word counter has to feel that."""

    def swap(match: re.Match[str]) -> str:
        return rng.choice(synonyms[match.group(0)]) if rng.random() < REWORD_SHARE else match.group(0)

    words = "|".join(re.escape(word) for word in sorted(synonyms, key=len, reverse=True))
    return re.sub(rf"(?<![\w{{-])(?:{words})(?![\w}}'-])", swap, text)


def put_in_frame(frame: str, fields: dict[str, str]) -> str:
    """Insert the matters into a frame and start every sentence with a capital."""
    text = SLOT.sub(lambda match: fields.get(match.group(1), match.group(0)), frame)
    return SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)


class Composer:
    """Composes drafts; `hub` chooses the vocabulary of the product line that starts in month ten."""

    def __init__(self, phrasings: Phrasings, rng: random.Random) -> None:
        self.phrasings = phrasings
        self.rng = rng

    def piece(self, category: str, kind: str, hub: bool, share: float) -> str:
        """Draw a piece of a category, from the new vocabulary with probability `share` where the ticket is a hub's."""
        use_new = hub and self.rng.random() < share
        pool = (self.phrasings.new_line if use_new else self.phrasings.standard)[category][kind]
        return self.rng.choice(pool)

    def matter(self, category: str, other: str, mode: str, hub: bool) -> tuple[str, list[str]]:
        """Return the key piece (what is asked) and the sentences that carry the matter or matters."""
        rng, frames = self.rng, self.phrasings.frames
        if mode == "contrast":
            topic, off = self.piece(category, "topics", hub, 0.9), self.piece(other, "topics", hub, 0.5)
            return topic, [put_in_frame(rng.choice(frames[mode]), {"topic": topic, "other_topic": off})]
        if mode == "priority":
            claim, off = self.piece(category, "claims", hub, 0.9), self.piece(other, "claims", hub, 0.5)
            return claim, [put_in_frame(rng.choice(frames[mode]), {"claim": claim, "other_claim": off})]
        if rng.random() < (0.62 if mode == "settled_frame" else 0.4):
            key = self.piece(category, "claims", hub, 0.9)
            sentences = [put_in_frame(rng.choice(frames["open"]), {"claim": key})]
        else:
            key = self.piece(category, "asks", hub, 0.9)
            sentences = [key]
        if mode == "settled_sentence":
            sentences.insert(rng.choice([0, 0, 1]), self.piece(other, "settled", hub, 0.5))
        if mode == "settled_frame":
            off = self.piece(other, "claims", hub, 0.5)
            sentences.insert(rng.choice([0, 0, 1]), put_in_frame(rng.choice(frames["settled"]), {"other_claim": off}))
        return key, sentences

    def draft(self, category: str, product: str, voice: Voice, email: bool, own: str | None) -> Draft:
        """Compose one ticket text for a category; `own` is a customer's own way of putting it, used as it is."""
        rng, common, hub = self.rng, self.phrasings.common, product == NEW_PRODUCT
        mode = "plain" if own else rng.choices(list(MODES), list(MODES.values()))[0]
        other = pick_other(rng, category)
        key, sentences = (own, [own]) if own else self.matter(category, other, mode, hub)
        if mode != "plain" and rng.random() < ECHO_SHARE:
            sentences.append(self.piece(category, "asks", hub, 0.9))
        opening = [rng.choice(common["openings"])] if rng.random() < 0.3 else []
        detail = [rng.choice(common["details"])] if rng.random() < (0.3 if mode == "plain" else 0.1) else []
        closing = [rng.choice(common["closings"])] if rng.random() < 0.25 else []
        body = opening + sentences + detail + closing
        worded = [reword(rng, sentence, self.phrasings.synonyms) for sentence in body]
        filled = [fill(rng, sentence, product, voice) for sentence in worded]
        text = apply_voice(rng, ("\n" if email and rng.random() < 0.2 else " ").join(filled), voice)
        return Draft(text, key, None if mode == "plain" else other, mode)


def apply_voice(rng: random.Random, text: str, voice: Voice) -> str:
    """Write the text the way the customer writes: spelling region, casualness, slips of the finger."""
    if voice.american:
        text = re.sub(r"[a-z]+", lambda match: AMERICAN.get(match.group(0), match.group(0)), text)
    if voice.casual:
        text = text.lower().replace("please", rng.choice(["pls", "plz", "please"])).replace("'", rng.choice(["", "'"]))
        text = text.rstrip(".")
    if rng.random() < voice.typo_rate:
        text = with_slip(rng, text)
    return text


def with_slip(rng: random.Random, text: str) -> str:
    """Make one slip a person makes: two letters swapped, one dropped, or one doubled, inside a longer word."""
    spots = list(re.finditer(r"[a-z]{5,}", text))
    if not spots:
        return text
    word = rng.choice(spots)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    pair = text[at : at + 2]
    return text[:at] + rng.choice([pair[::-1], pair[1], pair[0] + pair]) + text[at + 2 :]
