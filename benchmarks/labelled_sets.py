"""Labelled texts with the features of the sample task's base, for measurements of labels and of learning curves.

Tickets are made by the sample task's generator without any planted error, so that their labels are known to be right.
Banking77, and tweets and sentences of product reviews, film reviews and editorials, are real (`benchmarks.real_texts`);
nobody knows which of their labels are wrong before any are planted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.real_texts import ARCHIVE, FETCH, banking, base_extractor, rated

NAMES = ("reviews", "tickets", "tweets", "banking", "films", "editorials")
TITLES = {"reviews": "product reviews", "tickets": "tickets", "tweets": "tweets", "banking": "Banking77",
          "films": "film reviews", "editorials": "editorials"}  # fmt: skip
RATED = {"tweets": "tweets", "reviews": "amazonReviewSnippets", "films": "movieReviewSnippets",
         "editorials": "nytEditorialSnippets"}  # fmt: skip
TICKETS = 9000
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """A set: features float32 (rows, width), class numbers (rows,), texts, and groups that stay together."""

    name: str
    features: npt.NDArray[np.float32]
    labels: Numbers
    texts: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.labels.max()) + 1

    def take(self, rows: Numbers) -> Labelled:
        """Some of the rows."""
        texts, groups = (tuple(part[at] for at in rows) for part in (self.texts, self.groups))
        return Labelled(self.name, self.features[rows], self.labels[rows], texts, groups)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the sets come from."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with banking77")
    parser.add_argument("--packages", type=Path, required=True, help=f"folder with {ARCHIVE}: {FETCH}")
    parser.add_argument("--cache", type=Path, help="folder that keeps features from one run to the next")
    parser.add_argument("--sets", nargs="*", default=list(NAMES), choices=NAMES)


def labelled(name: str, arguments: argparse.Namespace) -> Labelled:
    """One of the sets."""
    kept = arguments.cache / f"{name}.npz" if arguments.cache else None
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as found:
            parts = {part: found[part] for part in ("features", "labels", "texts", "groups")}
    else:
        texts, labels, groups = _texts(name, arguments)
        parts = {"features": base_extractor()(texts), "labels": np.array(labels), "texts": np.array(texts)}
        parts["groups"] = np.array(groups)
        if kept is not None:
            np.savez(kept, **parts)
    numbers = np.unique(parts["labels"], return_inverse=True)[1].astype(np.int64)
    return Labelled(name, parts["features"], numbers, tuple(map(str, parts["texts"])), tuple(map(str, parts["groups"])))


def _texts(name: str, arguments: argparse.Namespace) -> tuple[list[str], list[str], list[str]]:
    if name == "tickets":
        return _tickets()
    found = banking(arguments.data) if name == "banking" else rated(arguments.packages, RATED[name])
    texts, labels = found
    return texts, labels, [str(at) for at in range(len(texts))]


def _tickets() -> tuple[list[str], list[str], list[str]]:
    import random
    import sys

    from benchmarks.rows import ROOT

    sys.path.insert(0, str(ROOT / "data" / "tickets"))
    import generate

    drawn = random.Random(21)  # noqa: S311 - repeatable on purpose
    made = generate.clean_tickets(drawn, generate.make_customers(drawn), TICKETS)
    return [row.text for row in made], [row.category for row in made], [row.customer for row in made]
