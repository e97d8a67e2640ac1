"""Which copies of a text are found, and how many innocent rows that costs: docs/near_duplicates.md.

Texts of three sets are changed in known ways, and each changed text is looked for among the originals by the rule of
the data play. What innocent rows cost is counted on the sets as they are, divided at random. The rule was chosen on
Banking77; the sample tickets and the documentation of Python's standard library had no say.
"""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.near_duplicates_page import page
from benchmarks.real_texts import banking
from benchmarks.rows import ROOT, measure_and_write, write_row
from benchmarks.silence import MODULES
from playbook.data.duplicates import Comparison
from playbook.data.text import comparison_words
from playbook.taskfile import load_task

ROWS, SEED = 400, 11  # texts changed per set and kind
TEST_SHARE = 0.15
FIXED = 0.9  # the peer: one threshold for all lengths, on texts that are not folded
BANDS = ((0, 40), (41, 80), (81, 10**6))
COSINES = (0.85, 0.88, 0.9, 0.92, 0.95)
PARAPHRASES, MOST = 200, 1000  # pairs and rows that are embedded
Change = Callable[[str, random.Random], str]
LOOK_ALIKES = str.maketrans("aceopxyi", "асеорхуі")


@dataclass(frozen=True)
class TextSet:
    """Texts, and a class of each where there is one."""

    name: str
    texts: list[str]
    labels: list[str] | None


def typo(text: str, rng: random.Random) -> str:
    """One character put in, left out or replaced, or two neighbours swapped."""
    at, letter = rng.randrange(1, len(text) - 2), rng.choice("abcdefghijklmnopqrstuvwxyz")
    rest = {
        "put in": letter + text[at:],
        "left out": text[at + 1 :],
        "replaced": letter + text[at + 1 :],
        "swapped": text[at + 1] + text[at] + text[at + 2 :],
    }
    return text[:at] + rest[rng.choice(list(rest))]


def two_typos(text: str, rng: random.Random) -> str:
    """Two of them."""
    return typo(typo(text, rng), rng)


def word_swapped(text: str, rng: random.Random) -> str:
    """Two neighbouring words change places."""
    words = text.split()
    at = rng.randrange(len(words) - 1)
    words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def reordered(text: str, rng: random.Random) -> str:
    """The first sentence or clause goes to the end; the second half of the words, where there is only one."""
    parts = [part for part in re.split(r"(?<=[.!?,;])\s+", text) if part]
    if len(parts) > 1:
        return " ".join([*parts[1:], parts[0]])
    words = text.split()
    return " ".join([*words[len(words) // 2 :], *words[: len(words) // 2]])


def greeted(text: str, rng: random.Random) -> str:
    """A greeting before it."""
    return f"{rng.choice(['Hello, ', 'Hi there, ', 'Good morning, '])}{text}"


def punctuated(text: str, rng: random.Random) -> str:
    """Other marks between words."""
    return re.sub(r"[.,;!?']", "", text).replace(" ", ", ", 1) + rng.choice(["!!", "...", "?!"])


def full_width(text: str, rng: random.Random) -> str:
    """A word in the full-width forms of Unicode, which NFKC folds."""
    words = text.split()
    at = max(range(len(words)), key=lambda one: len(words[one]))
    words[at] = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in words[at])
    return " ".join(words)


def look_alikes(text: str, rng: random.Random) -> str:
    """Half of the letters that Cyrillic has too are Cyrillic."""
    return "".join(c.translate(LOOK_ALIKES) if rng.random() < 0.5 else c for c in text)


CHANGES: dict[str, Change] = {
    "one typo": typo,
    "two typos": two_typos,
    "upper case": lambda text, rng: text.upper(),
    "punctuation": punctuated,
    "full-width word (NFKC)": full_width,
    "look-alike letters": look_alikes,
    "greeting added": greeted,
    "neighbouring words swapped": word_swapped,
    "sentence or clause moved": reordered,
}
# What a template leaves open: each text is written twice, with another value each time.
SLOTS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "URL changed": (
        "{text} see {slot}",
        lambda rng: f"https://shop{rng.randrange(99)}.example/p/{rng.randrange(10**6)}",
    ),
    "mention changed": (
        "{slot} {text}",
        lambda rng: f"@{rng.choice(['ann', 'support', 'helpdesk'])}{rng.randrange(999)}",
    ),
    "order number changed": ("order {slot}: {text}", lambda rng: f"ORD-{rng.randrange(10**5, 10**6)}"),
    "phone number changed": ("{text} call {slot}", lambda rng: f"+49 170 {rng.randrange(10**6, 10**7)}"),
}


def sets(data: Path) -> list[TextSet]:
    """The three sets: texts of 15 characters and more, each once."""
    tickets = _tickets()
    return [
        _set("Banking77", *banking(data)),
        _set("tickets", [row["text"] for row in tickets], [row["category"] for row in tickets]),
        _set("documentation of Python", _sentences(), None),
    ]


def _set(name: str, texts: Sequence[str], labels: Sequence[str] | None) -> TextSet:
    first: dict[str, int] = {}
    for at, text in enumerate(texts):
        if len(text) >= 15 and len(text.split()) > 2:
            first.setdefault(comparison_words(text), at)
    kept = list(first.values())
    return TextSet(name, [texts[at] for at in kept], [labels[at] for at in kept] if labels else None)


def _tickets() -> list[dict[str, str]]:
    import csv

    place = ROOT / "data" / "tickets" / "raw" / "tickets.csv"
    with place.open(encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["text"]]


def _sentences() -> list[str]:
    """First sentences of documentation strings."""
    found = []
    for name in MODULES:
        for _, member in inspect.getmembers(import_module(name)):
            for one in (member, *(vars(member).values() if inspect.isclass(member) else ())):
                text = " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split()) if callable(one) else ""
                if 20 <= len(text) <= 300:
                    found.append(text)
    return found


def recall(one: TextSet) -> dict[str, tuple[float, float]]:
    """Kind of change -> share of changed texts that are found, and that the peer finds."""
    rng = random.Random(SEED)  # noqa: S311 - a seeded draw of examples
    chosen = rng.sample(one.texts, min(ROWS, len(one.texts)))
    found = {name: _found(chosen, [change(text, rng) for text in chosen]) for name, change in CHANGES.items()}
    for name, (form, slot) in SLOTS.items():
        pair = [[form.format(text=text, slot=slot(rng)) for text in chosen] for _ in range(2)]
        found[name] = _found(*pair)
    return found


def by_length(one: TextSet) -> dict[str, tuple[float, float, int]]:
    """Length of the text -> share of texts with one typo that are found, and that the peer finds; and texts."""
    rng, out = random.Random(SEED), {}  # noqa: S311
    for least, most in BANDS:
        chosen = [text for text in one.texts if least <= len(text) <= most]
        chosen = rng.sample(chosen, min(ROWS, len(chosen)))
        if chosen:
            name = f"{least} to {most}" if most < 10**6 else f"over {least - 1}"
            out[name] = (*_found(chosen, [typo(text, rng) for text in chosen]), len(chosen))
    return out


def _found(originals: list[str], changed: list[str]) -> tuple[float, float]:
    count = len(originals)
    pairs = Comparison([*originals, *changed]).near(range(count), range(count, 2 * count))
    hits = sum(pair.right - count == pair.left for pair in pairs)
    peer = sum(_jaccard(a, b) >= FIXED for a, b in zip(originals, changed, strict=True))
    return hits / count, peer / count


def _jaccard(one: str, two: str) -> float:
    first, second = (_grams(comparison_words(text)) for text in (one, two))
    return len(first & second) / len(first | second)


def _grams(words: str) -> set[str]:
    return {words[at : at + 4] for at in range(max(1, len(words) - 3))}


def innocent(one: TextSet) -> dict[str, float]:
    """Share of the other rows that nearly copy test rows, on the set as it is; also those of another class alone."""
    rng = random.Random(SEED)  # noqa: S311
    test = set(rng.sample(range(len(one.texts)), round(TEST_SHARE * len(one.texts))))
    others = [at for at in range(len(one.texts)) if at not in test]
    read = Comparison(one.texts)
    out: dict[str, float] = {"rows": len(one.texts)}
    for name, similarity in (("default", None), ("0.9", 0.9), ("0.8", 0.8), ("0.7", 0.7)):
        pairs = read.near(sorted(test), others, similarity)
        out[name] = len({pair.right for pair in pairs}) / len(others)
        if one.labels is not None and similarity is None:
            apart = {pair.right for pair in pairs if one.labels[pair.left] != one.labels[pair.right]}
            same = {pair.right for pair in pairs if one.labels[pair.left] == one.labels[pair.right]}
            out["another class"] = len(apart - same) / len(others)
    return out


def paraphrased(one: TextSet) -> dict[str, Any]:
    """By cosine similarity: share of paraphrases found, and of innocent rows set aside; what letters alone find."""
    from playbook.data.paraphrases import embedded

    rng = random.Random(SEED)  # noqa: S311
    swaps = yaml.safe_load((ROOT / "data" / "tickets" / "phrasings" / "synonyms.yaml").read_text("utf-8"))
    pairs = [(text, said) for text in one.texts if (said := _in_other_words(text, swaps, rng)) != text]
    pairs = rng.sample(pairs, min(PARAPHRASES, len(pairs)))
    if not pairs:
        return {"pairs": 0}
    task = load_task(ROOT / "pipelines" / "tasks" / "tickets.yaml")
    first, second = (embedded(task, task.spec.base, list(part)) for part in zip(*pairs, strict=True))
    alike = (first * second).sum(axis=1)
    places = rng.sample(range(len(one.texts)), min(MOST, len(one.texts)))
    features = embedded(task, task.spec.base, [one.texts[at] for at in places])
    label = np.array([one.labels[at] if one.labels else "" for at in places])
    test = round(TEST_SHARE * len(places))
    same = label[test:, None] == label[None, :test]
    closest = np.where(same, features[test:] @ features[:test].T, -1.0).max(axis=1)
    return {
        "pairs": len(pairs),
        "letters": _found([a for a, _ in pairs], [b for _, b in pairs])[0],
        "cosines": {f"{c:g}": (float((alike >= c).mean()), float((closest >= c).mean())) for c in COSINES},
    }


def _in_other_words(text: str, swaps: dict[str, list[str]], rng: random.Random) -> str:
    """The text with two or three words by others that mean the same; as it is, where fewer are known."""
    known = [word for word in swaps if re.search(rf"\b{re.escape(word)}\b", text)]
    if len(known) < 2:
        return text
    for word in rng.sample(known, min(len(known), 3)):
        text = re.sub(rf"\b{re.escape(word)}\b", rng.choice(swaps[word]), text, count=1)
    return text


def measured(data: Path) -> dict[str, Any]:
    """Everything that the page says, by set."""
    found: dict[str, Any] = {}
    for one in sets(data):
        found[one.name] = {
            "length": float(np.median([len(text) for text in one.texts])),
            "recall": recall(one),
            "by_length": by_length(one),
            "innocent": innocent(one),
            "paraphrases": paraphrased(one),
        }
        write_row(benchmark="near duplicates", set=one.name, **found[one.name])
    return found


if __name__ == "__main__":
    measure_and_write(__doc__ or "", measured, page)
