"""Populations of two models with the confusions of real ones: simple and fuller TF-IDF on tickets and on Banking77.

Both models are trained on one part of the rows and answer the others, which then are the population: what test splits
are drawn from. Only the shares of the classes are set, so that a class can be as rare as a setting asks for.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.populations import Labels, Population
from benchmarks.rows import ROOT

TICKETS, SEED = 4000, 21
INTENTS = 8  # of Banking77 that are easily confused: all about cards


def ticket_confusions() -> Population:
    """Of the sample's tickets, made by its generator."""
    sys.path.insert(0, str(ROOT / "data" / "tickets"))
    import generate

    drawn = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    rows = generate.clean_tickets(drawn, generate.make_customers(drawn), TICKETS)
    return two_models([row.text for row in rows], [row.truth for row in rows])


def banking_confusions(folder: Path) -> Population:
    """Of the intents of Banking77 about cards; `folder` has its train.csv and test.csv."""
    rows = []
    for name in ("train.csv", "test.csv"):
        with (folder / name).open(encoding="utf-8") as stream:
            rows += [(row["text"], row["category"]) for row in csv.DictReader(stream)]
    wanted = sorted({intent for _, intent in rows if "card" in intent})[:INTENTS]
    kept = [(text, intent) for text, intent in rows if intent in wanted]
    return two_models([text for text, _ in kept], [intent for _, intent in kept])


def two_models(texts: Sequence[str], names: Sequence[str]) -> Population:
    """A weak and a fuller TF-IDF model on a third of the rows, and their answers to all others."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    labels = sorted(set(names))
    truth = np.array([labels.index(name) for name in names], np.int64)
    order = np.random.default_rng(SEED).permutation(len(texts))
    learnt, asked = order[: len(texts) // 3], order[len(texts) // 3 :]
    answers = []
    for features, strength, share in (((1, 1), 1.0, 2), ((1, 2), 30.0, 1)):
        words, rows = TfidfVectorizer(ngram_range=features, sublinear_tf=True), learnt[: len(learnt) // share]
        table = words.fit_transform([texts[at] for at in rows])
        model = LogisticRegression(C=strength, max_iter=500).fit(table, truth[rows])
        answers.append(model.predict(words.transform([texts[at] for at in asked])))
    return _counted(truth[asked], answers[0], answers[1], len(labels))


def with_rare(population: Population, share: float) -> Population:
    """The same confusions where the last class has this share of rows and the others keep their proportions."""
    truth, last = population.cells[:, 0], population.classes - 1
    own = population.chances[truth == last].sum()
    scale = np.where(truth == last, share / own, (1 - share) / (1 - own))
    return Population(population.cells, population.chances * scale, population.classes)


def _counted(truth: Labels, first: Labels, second: Labels, classes: int) -> Population:
    cells, counts = np.unique(np.stack([truth, first, second], axis=1), axis=0, return_counts=True)
    return Population(cells, counts / counts.sum(), classes)
