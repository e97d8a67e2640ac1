"""Likely label errors and the relabel queue, on made-up features."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_samples import rows as sample_rows

from playbook.artifacts import QueueReview
from playbook.data.annotations import read_row_ids
from playbook.data.corrections import Correction
from playbook.data.label_errors import (
    AuditRows,
    Suspicion,
    default_draws,
    find_label_errors,
    likeliest_other,
    out_of_fold,
)
from playbook.data.relabel_queue import COLUMNS, Queue, build_queue, edits, in_words, publish_queue, review, write_queue
from playbook.errors import DataError

LABELS = ("billing", "delivery")
WRONG = tuple(range(0, 240, 16))  # 15 rows, all of one class


def features(labels: np.ndarray, distance: float, seed: int = 0, width: int = 16) -> np.ndarray:
    centres = np.random.default_rng(5).normal(size=(int(labels.max()) + 1, width)) * distance
    noise = np.random.default_rng(seed).normal(size=(len(labels), width))
    return (centres[labels] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def audited() -> tuple[AuditRows, Suspicion]:
    """Rows of which 15 carry the wrong label, and the order of suspicion."""
    table = sample_rows(240)
    truth = np.array([LABELS.index(row["label"]) for row in table], dtype=np.int64)
    given = truth.copy()
    given[list(WRONG)] = 1 - given[list(WRONG)]
    rows = AuditRows(
        row_ids=tuple(row["id"] for row in table),
        splits=("train",) * 200 + ("validation",) * 40,
        texts=tuple(row["text"] for row in table),
        groups=tuple(row["customer"] for row in table),
        features=features(truth, 0.5),
        labels=given,
    )
    return rows, find_label_errors(rows, 2, l2=0.01, folds=5, seed=3)


def test_planted_errors_come_first(audited: tuple[AuditRows, Suspicion]) -> None:
    rows, found = audited
    assert sorted(found.order.tolist()) == list(range(240))
    assert len({*found.order[:15].tolist()} & set(WRONG)) >= 13
    assert 10 <= (found.noise.wrong >= 0.25).sum() <= 25
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(240))
    again = find_label_errors(rows, 2, l2=0.01, folds=5, seed=3)
    assert (again.order == found.order).all()


def test_no_model_has_seen_a_row_of_the_group_that_it_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    from playbook.data import label_errors as module

    seen: list[tuple[set[float], set[float]]] = []

    def watch(fitted: np.ndarray, labels: np.ndarray, held: np.ndarray, classes: int, l2: float) -> np.ndarray:
        seen.append(({*fitted[:, 0].tolist()}, {*held[:, 0].tolist()}))
        return np.full((len(held), classes), 1 / classes)

    monkeypatch.setattr(module, "_by_features", watch)
    groups = [f"g{at // 4}" for at in range(80)]
    numbers = np.array([float(name[1:]) for name in groups], dtype=np.float32)[:, None]
    texts = tuple(f"word{at % 2} again" for at in range(80))
    labels = np.array([at % 2 for at in range(80)], dtype=np.int64)
    rows = AuditRows(tuple(map(str, range(80))), ("train",) * 80, texts, tuple(groups), numbers, labels)
    out_of_fold(rows, 2, l2=0.1, folds=4, seed=1)
    assert len(seen) == 4 and all(not fitted & held for fitted, held in seen)


def test_labels_without_errors_give_few_suspects() -> None:
    labels = np.array([at % 2 for at in range(200)], dtype=np.int64)
    texts = tuple(f"{'money' if label == 0 else 'parcel'} matter {at}" for at, label in enumerate(labels))
    ids = tuple(map(str, range(200)))
    rows = AuditRows(ids, ("train",) * 200, texts, ids, features(labels, 2.0), labels)
    assert (find_label_errors(rows, 2, l2=0.01, folds=5, seed=3).noise.wrong >= 0.25).sum() <= 2


def test_texts_without_words_are_judged_by_characters() -> None:
    labels = np.array([at % 2 for at in range(60)], dtype=np.int64)
    texts = tuple("a b" if label == 0 else "c d" for label in labels)
    ids = tuple(map(str, range(60)))
    found = out_of_fold(AuditRows(ids, ("train",) * 60, texts, ids, features(labels, 1.0), labels), 2, l2=0.01, folds=5,
                        seed=3)  # fmt: skip
    assert (found.argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_groups_than_folds_are_no_fault(count: int) -> None:
    labels = np.array([at // count % 2 for at in range(60)], dtype=np.int64)
    texts = tuple("money matter" if label == 0 else "parcel matter" for label in labels)
    groups = tuple(f"g{at % count}" for at in range(60))
    ids = tuple(map(str, range(60)))
    rows = AuditRows(ids, ("train",) * 60, texts, groups, features(labels, 1.0), labels)
    found = find_label_errors(rows, 2, l2=0.01, folds=5, seed=3)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(60))
    assert (found.probabilities.argmax(axis=1) == labels).mean() > 0.9


def test_many_classes_or_rows_are_drawn_once() -> None:
    assert default_draws(3, 4999, 19) == 3
    assert default_draws(3, 5000, 2) == default_draws(3, 300, 20) == 1


def test_the_suggestion_is_the_likeliest_other_class() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    assert likeliest_other(probabilities, np.array([0, 1])).tolist() == [1, 2]


# The queue


def queue_of(audited: tuple[AuditRows, Suspicion], reviewed: frozenset[str] = frozenset(), at: float = 0.25) -> Queue:
    return build_queue(*audited, LABELS, {"R0016": "billing"}, reviewed, at)


def test_the_queue_ends_where_a_look_is_no_longer_worth_it(
    audited: tuple[AuditRows, Suspicion], tmp_path: Path
) -> None:
    rows, found = audited
    queue = queue_of(audited)
    wrong = [entry.probability_wrong for entry in queue.entries]
    assert wrong == sorted(wrong, reverse=True) and len(wrong) == (found.noise.wrong >= 0.25).sum()
    assert sum(queue.by_class.values()) == len(wrong)
    assert queue.wrong.value == pytest.approx(sum(wrong))
    planted = sum(entry.row_id in {rows.row_ids[at] for at in WRONG} for entry in queue.entries)
    assert queue.wrong.low <= planted <= queue.wrong.high <= len(wrong)
    assert len(queue_of(audited, at=0.9).entries) < len(wrong) < len(queue_of(audited, at=0.01).entries)
    with write_queue(queue, tmp_path / "queue.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert tuple(table[0]) == COLUMNS
    first = table[0]
    assert first["row_id"] == rows.row_ids[found.order[0]] and first["suggested"] != first["label"]
    assert float(first["probability_of_label"]) < 0.5 and first["new_label"] == first["note"] == ""
    assert float(first["probability_wrong"]) == pytest.approx(wrong[0], abs=1e-4)
    assert {row["second_annotator"] for row in table if row["row_id"] == "R0016"} <= {"billing"}


def test_what_is_said_of_the_queue_is_an_estimate_and_no_verdict(audited: tuple[AuditRows, Suspicion]) -> None:
    queue, nothing = queue_of(audited), QueueReview()
    said = in_words(queue, nothing, 240)
    assert f"{len(queue.entries)} of 240 training and validation labels are to be checked" in said
    assert f"an estimated {queue.wrong.value:.0f} of them" in said and "likely wrong" not in said
    empty = in_words(queue_of(audited, at=0.9999), nothing, 240)
    assert "None of 240 training and validation labels stands out" in empty


def test_reviewed_rows_do_not_come_again(audited: tuple[AuditRows, Suspicion]) -> None:
    reviewed = frozenset(entry.row_id for entry in queue_of(audited).entries[:3])
    again = queue_of(audited, reviewed)
    assert len(again.entries) == len(queue_of(audited).entries) - 3
    assert not reviewed & {entry.row_id for entry in again.entries}


def test_a_text_cannot_run_in_a_spreadsheet(audited: tuple[AuditRows, Suspicion], tmp_path: Path) -> None:
    rows, found = audited
    texts = ("=HYPERLINK(1)",) * len(rows.texts)
    write_queue(build_queue(replace(rows, texts=texts), found, LABELS, {}, (), 0.25), tmp_path / "queue.csv")
    assert ",'=HYPERLINK" in (tmp_path / "queue.csv").read_text("utf-8")
    assert ",=HYPERLINK" not in (tmp_path / "queue.csv").read_text("utf-8")


def test_the_precision_comes_from_planted_errors_and_reviews(
    audited: tuple[AuditRows, Suspicion], tmp_path: Path
) -> None:
    rows, queue = audited[0], queue_of(audited)
    planted = tmp_path / "planted.csv"
    planted.write_text("id\n" + "".join(f"{rows.row_ids[at]}\n" for at in WRONG) + "in-the-test-split\n", "utf-8")
    done = [Correction("x", "billing", "ann", "", "delivery"), Correction("y", "billing", "ann", "", "billing")]
    found = review(queue, rows, read_row_ids(planted), done)
    first = {entry.row_id for entry in queue.entries[:30]}
    assert found.planted == 15 and found.looked_at == min(30, len(queue.entries))
    assert found.found == len(first & {rows.row_ids[at] for at in WRONG}) >= 13
    assert (found.reviewed, found.changed) == (2, 1)
    said = in_words(queue, found, 240)
    assert f"{found.found} are in the first {found.looked_at} entries" in said and "changed 1 of them (50%)" in said
    absent = review(queue, rows, frozenset(), [])
    assert (absent.planted, absent.found) == (0, 0) and "planted" not in in_words(queue, absent, 240)


def test_edits_that_are_not_applied_are_never_overwritten(audited: tuple[AuditRows, Suspicion], tmp_path: Path) -> None:
    queue = queue_of(audited)
    written, place = write_queue(queue, tmp_path / "a" / "queue.csv"), tmp_path / "reports" / "queue.csv"
    assert publish_queue(written, place, [])
    assert place.read_bytes() == b"\xef\xbb\xbf" + written.read_bytes(), "a spreadsheet reads it as UTF-8"
    row = queue.entries[0]
    text = place.read_text("utf-8")
    place.write_text(text.replace(f",{row.second_annotator},,\n", ",,billing,\n", 1), "utf-8")
    assert edits(place) == {row.row_id: "billing"}
    assert not publish_queue(written, place, [])
    assert edits(place) == {row.row_id: "billing"}
    assert publish_queue(written, place, [Correction(row.row_id, "billing", "ann", "", "delivery")])
    assert edits(place) == {}
    place.write_text("something else\n", "utf-8")
    assert not publish_queue(written, place, []) and place.read_text("utf-8") == "something else\n"
    with pytest.raises(DataError, match="expected the columns"):
        edits(place)
