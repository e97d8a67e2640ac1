"""How likely labels are wrong: on answers whose truth is known, and on real texts with planted errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_samples import SHARED

from playbook.data.corrections import Correction
from playbook.data.label_errors import AuditRows, find_label_errors, labels_before
from playbook.data.label_noise import Noise, read_noise


def answers(rows: int, classes: int, sharp: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities, from doubtful (`sharp` near 0) to sure, and labels that are drawn from them."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, classes)) * sharp
    table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = (random.random((rows, 1)) > table.cumsum(axis=1)).sum(axis=1)
    return table, np.minimum(drawn, classes - 1).astype(np.int64)


def flipped(labels: np.ndarray, classes: int, rate: float, seed: int, paired: bool) -> np.ndarray:
    random = np.random.default_rng([seed, 1])
    other = labels ^ 1 if paired else (labels + random.integers(1, classes, len(labels))) % classes
    return np.where(random.random(len(labels)) < rate, other, labels)


def queue_of(noise: Noise) -> np.ndarray:
    return np.flatnonzero(noise.wrong >= 0.25)


@pytest.mark.parametrize("sharp", [1.5, *(pytest.param(sharp, marks=pytest.mark.proof) for sharp in (3.0, 8.0))])
def test_labels_that_differ_by_nature_are_no_errors(sharp: float) -> None:
    table, labels = answers(3000, 4, sharp, 1)
    queue = queue_of(read_noise(table, labels))
    assert len(queue) < 15, "calibrated doubt explains every label"


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("rate", [0.05, *(pytest.param(rate, marks=pytest.mark.proof) for rate in (0.02, 0.1))])
def test_the_estimate_is_that_of_the_planted_errors(rate: float, paired: bool) -> None:
    """Probabilities are flatter than they should be, as those of a head that was trained on wrong labels are."""
    table, labels = answers(4000, 4, 6.0, 2)
    given = flipped(labels, 4, rate, 2, paired)
    wrong = given != labels
    flatter = table**0.7 / (table**0.7).sum(axis=1, keepdims=True)
    noise = read_noise(flatter, given)
    queue = queue_of(noise)
    found, count = noise.among(queue, 1), int(wrong[queue].sum())
    assert found.low <= count <= found.high <= len(queue)
    assert found.value == pytest.approx(count, rel=0.2 if not paired else 0.35)
    assert count > 0.5 * wrong.sum() and count > 0.6 * len(queue)


def test_a_small_class_that_the_model_cannot_see_is_no_heap_of_errors() -> None:
    """One label in twenty is of a class that lies between the two others: not one look at each of them is worth it."""
    random = np.random.default_rng(4)
    mood = random.normal(size=4000) * 2.5
    between = random.random(4000) < 0.12 * np.exp(-(mood**2) / 18)
    labels = np.where(between, 2, (mood > 0).astype(int)).astype(np.int64)
    seen = mood + random.normal(size=4000)  # what the model sees of it
    up = 1 / (1 + np.exp(-1.2 * seen))
    share = between.mean()
    table = np.stack([(1 - up) * (1 - share), up * (1 - share), np.full(4000, share)], axis=1)
    queue = queue_of(read_noise(table, labels))
    assert (labels[queue] == 2).sum() < 0.2 * between.sum()


def test_what_a_person_found_teaches_the_estimate() -> None:
    table, labels = answers(2000, 3, 2.0, 3)
    given = flipped(labels, 3, 0.04, 3, paired=False)
    before = read_noise(table, given)
    order = np.argsort(-before.wrong)[:60]
    for right in (True, False):  # all confirmed, all changed into what the model says
        reviewed = np.full(len(labels), -1)
        reviewed[order] = given[order] if right else table[order].argmax(axis=1)
        after = read_noise(table, given, reviewed)
        rest = np.setdiff1d(np.arange(len(labels)), order)
        assert (after.wrong[rest].sum() < before.wrong[rest].sum()) == right


def test_labels_before_a_review_are_the_sources() -> None:
    rows = AuditRows(("a", "b", "c"), ("train",) * 3, ("x",) * 3, ("a", "b", "c"), np.zeros((3, 1), np.float32),
                     np.array([1, 0, 1]))  # fmt: skip
    done = [Correction("a", "delivery", "ann", "", "billing"), Correction("c", "delivery", "ann", "", "misc")]
    assert labels_before(rows, ("billing", "delivery"), done).tolist() == [0, -1, 1]


def audited(texts: list[str], labels: np.ndarray, groups: list[str]) -> AuditRows:
    """Rows with the leading directions of their words in place of a base's features."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    features = TruncatedSVD(100, random_state=0).fit_transform(words).astype(np.float32)
    return AuditRows(tuple(map(str, range(len(texts)))), ("train",) * len(texts), tuple(texts), tuple(groups), features,
                     labels)  # fmt: skip


@pytest.mark.proof
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("name", ["tickets", "banking77"])
def test_the_range_has_the_errors_planted_in_real_texts(name: str, rate: float) -> None:
    texts, names, groups = tickets() if name == "tickets" else banking()
    labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    classes = int(labels.max()) + 1
    given = flipped(labels, classes, rate, 5, paired=False)
    found = find_label_errors(audited(texts, given, groups), classes, l2=0.003, folds=5, seed=3)
    queue = queue_of(found.noise)
    estimate, planted = found.noise.among(queue, 1), int((given != labels)[queue].sum())
    assert estimate.low <= planted <= estimate.high
    assert planted >= 0.25 * len(queue), "more of the queue is wrong than a row is asked to be likely"


def tickets() -> tuple[list[str], list[str], list[str]]:
    """Tickets of the generator without planted errors."""
    import random
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "data" / "tickets"))
    import generate

    drawn = random.Random(33)  # noqa: S311
    made = generate.clean_tickets(drawn, generate.make_customers(drawn), 3000)
    return [row.text for row in made], [row.category for row in made], [row.customer for row in made]


def banking() -> tuple[list[str], list[str], list[str]]:
    import csv

    source = SHARED / "banking77" / "train.csv"
    if not source.is_file():
        pytest.skip(f"Banking77 is not at {source}; point PLAYBOOK_SHARED_DATA at the folder that has banking77/")
    with source.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))[::2]
    return [row["text"] for row in table], [row["category"] for row in table], [str(at) for at in range(len(table))]
