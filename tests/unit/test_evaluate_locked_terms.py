from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_samples import ORDINARY, dataset_for, spec_for

from playbook.artifacts import DatasetVersion, LockedTerms
from playbook.errors import ArtifactError
from playbook.evaluate.locked_terms import changed_terms, locked_by, refusal, terms_of, terms_of_task
from playbook.evaluate.openings import read_ledger
from playbook.evaluate.terms_waiver import lock_of, waive_terms
from playbook.evaluate.test_split import TestRows, closed_marks, open_test_split
from playbook.spec import TaskSpec
from playbook.store import Store
from playbook.taskfile import Task

ASSET = "dataset_version"
Opened = Callable[..., DatasetVersion]


def table(rows: range, prefix: str = "r", text: str = "ticket number") -> pd.DataFrame:
    return pd.DataFrame({
        "row_id": [f"{prefix}{row}" for row in rows], "text": [f"{text} {row}" for row in rows], "label": "access",
    })  # fmt: skip


WORDS = ["my", "card", "was", "charged", "order", "never", "arrived", "refund", "invoice", "wrong", "account", "locked"]


def letters(rows: range, seed: int, ids: str = "{}") -> pd.DataFrame:
    """Rows as people write them, under ids that are row numbers unless `ids` says otherwise."""
    rng = random.Random(seed)  # noqa: S311
    texts = [" ".join(rng.choices(WORDS, k=9)) for _ in rows]
    return pd.DataFrame({"row_id": [ids.format(row) for row in rows], "text": texts, "label": "access"})


class Splits:
    """Test splits of one task in a store, with its ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, folder / "ledgers" / "demo" / "test_openings.jsonl"
        self.store = Store(str(folder / "store"), folder / "cache")

    def put(self, frame: pd.DataFrame) -> DatasetVersion:
        source = self.folder / "test.parquet"
        frame.to_parquet(source)
        dataset = dataset_for(spec_for(ORDINARY), files={}, rows={"train": 9, "validation": 9, "test": len(frame)})
        key = f"k{len(list((self.folder / 'store').rglob('manifest.json')))}"
        return self.store.put(ASSET, dataset.model_copy(update={"play_key": key}), {"test": source})

    def open(self, dataset: DatasetVersion, spec: TaskSpec, waived: str = "", name: str = "demo") -> TestRows:
        terms, ledger = terms_of(spec), self.ledger.parent.with_name(name) / self.ledger.name
        return open_test_split(self.store, dataset, ASSET, "model", ledger, terms=terms, waived=waived)

    def lock(self, dataset: DatasetVersion, spec: TaskSpec, name: str = "demo") -> LockedTerms | None:
        marks = lambda: closed_marks(self.store, dataset, ASSET)  # noqa: E731
        ledger = self.ledger.parent.with_name(name) / self.ledger.name
        return locked_by(ledger, dataset.files["test"].sha256, terms_of(spec), marks)


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    return Splits(tmp_path)


def changed(spec: TaskSpec, path: str, value: Any) -> TaskSpec:
    content = spec.model_dump()
    *sections, name = path.split(".")
    part = content
    for section in sections:
        part = part[section]
    part[name] = value
    return TaskSpec.model_validate(content)


BEFORE = spec_for(ORDINARY)
CLASSES = dict(BEFORE.data.classes)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("target.at_least", 0.8, "target.at_least"),
        ("target.margin", 0.01, "target.margin"),
        ("target.metric", "macro_f1", "target.metric"),
        ("target.limits", [{"metric": "macro_f1", "at_least": 0.5}], "target.limits"),
        ("evaluation.confidence", 0.9, "evaluation.confidence"),
        ("evaluation.power", 0.5, "evaluation.power"),
        ("evaluation.resamples", 200, "evaluation.resamples"),
        ("data.classes", {**CLASSES, "access": "another meaning"}, "data.classes.access"),
        ("data.classes", {name: CLASSES[name] for name in list(CLASSES)[1:]}, f"data.classes.{next(iter(CLASSES))}"),
    ],
)
def test_every_term_is_locked_by_the_opening(splits: Splits, path: str, value: Any, field: str) -> None:
    dataset, after = splits.put(table(range(50))), changed(BEFORE, path, value)
    assert splits.lock(dataset, after) is None, "nothing is locked before the split is opened"
    splits.open(dataset, BEFORE)
    assert splits.lock(dataset, BEFORE) is None
    lock = splits.lock(dataset, after)
    assert lock is not None and [one.field for one in lock.changed] == [field]
    assert lock.opening == 1 and lock.opened_for == "model" and lock.fresh_rows == 200
    text, steps = refusal(lock, "demo", "anna@example.org")
    assert field in text and lock.opened_at in text
    assert "200 test rows that no opening has read" in steps[1]
    assert "playbook waive demo locked_terms --as anna@example.org" in steps[2]
    assert not any("margin" in step for step in steps), "nobody is advised to lower it"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("question", "Which team should answer this ticket at all?"),
        ("owners.sign_off", "eve@example.org"),
        ("prices.device_hour", 3.0),
        ("evaluation.calibration_bins", 5),
        ("data.splits.test", 0.3),
        ("adaptation.epochs", 3),
        ("data.classes", {**CLASSES, "brand new": "a class that production brought"}),
    ],
)
def test_nothing_else_is(splits: Splits, path: str, value: Any) -> None:
    dataset = splits.put(table(range(50)))
    splits.open(dataset, BEFORE)
    assert splits.lock(dataset, changed(BEFORE, path, value)) is None


def test_a_row_more_or_less_or_other_ids_do_not_unlock(splits: Splits) -> None:
    splits.open(splits.put(table(range(50))), BEFORE)
    after = changed(BEFORE, "target.margin", 0.01)
    tricks = {
        "one row dropped": table(range(49)),
        "one row added": table(range(51)),
        "half of it": table(range(25)),
        "other ids": table(range(50), prefix="new"),
        "other labels": table(range(50)).assign(label="fault"),
        "blanks in the texts": table(range(50), prefix="new", text="ticket   number"),
        "twice as many rows": table(range(100)),
    }
    for name, frame in tricks.items():
        dataset = splits.put(frame)
        assert splits.lock(dataset, after) is not None, name
        assert splits.lock(dataset, BEFORE) is None, name
    lock = splits.lock(splits.put(table(range(100))), after)
    assert lock is not None and lock.fresh_rows == 150, "50 opened rows are a fifth of 250"
    assert splits.lock(splits.put(table(range(250))), after) is None
    assert splits.lock(splits.put(table(range(50, 100))), after) is None, "fresh rows only"
    assert len(read_ledger(splits.ledger)) == 1, "asking opens nothing"


def test_fresh_texts_under_old_row_numbers_are_fresh_and_a_corrected_typo_is_not(splits: Splits) -> None:
    first = letters(range(60), 1)
    splits.open(splits.put(first), BEFORE)
    after = changed(BEFORE, "target.margin", 0.01)
    assert splits.lock(splits.put(letters(range(60), 2)), after) is None, "row 1 of another file is another row"
    edited = first.assign(text=[text.replace("r", "rr", 1) for text in first["text"]])
    loud = first.assign(text=first["text"].str.upper() + " !!", row_id="new" + first["row_id"])
    shuffled = first.assign(row_id=first["row_id"].tolist()[::-1])
    for name, frame in {"typos under their ids": edited, "shouted": loud, "renumbered": shuffled}.items():
        assert splits.lock(splits.put(frame), after) is not None, name


def test_openings_of_the_rows_are_counted_whatever_the_file_or_the_name(splits: Splits) -> None:
    frame = letters(range(100), 1, "a{}")
    assert splits.open(splits.put(frame), BEFORE).openings == 1
    assert splits.open(splits.put(frame[:99]), BEFORE).openings == 2
    again = splits.open(splits.put(frame.assign(row_id="b" + frame["row_id"])), BEFORE, name="renamed")
    assert (again.openings, again.candidates) == (3, 1)
    fresh = letters(range(100), 2, "c{}")
    mixed = pd.concat([frame[:4], fresh[:96]])
    assert splits.open(splits.put(mixed), BEFORE).openings == 1, "four rows in a hundred are under the stated share"
    assert splits.open(splits.put(pd.concat([frame[:6], fresh[:94]])), BEFORE).openings == 5, "six are not"
    next(splits.ledger.parent.glob("opened_rows/*.json")).unlink()
    assert splits.open(splits.put(letters(range(100), 3, "d{}")), BEFORE).openings > 1, "no record, no smaller count"


def test_another_name_of_the_task_starts_no_clean_ledger(splits: Splits) -> None:
    frame = letters(range(50), 1)
    splits.open(splits.put(frame), BEFORE, name="tickets")
    dataset, after = splits.put(frame[:49]), changed(BEFORE, "target.margin", 0.01)
    lock = splits.lock(dataset, after, name="tickets2")
    assert lock is not None and lock.task == "tickets"
    text, steps = refusal(lock, "tickets2", "anna@example.org")
    assert "opening 1 of the task tickets, which asks the same" in text
    assert len(steps) == 2 and steps[0].startswith("Bring ") and "of the task tickets either" in steps[0]
    assert not any("Put the locked values back" in step for step in steps), "they are another task's"
    assert splits.lock(dataset, BEFORE, name="tickets2") is None
    other = changed(after, "data.classes", {"calm": "no hurry at all", "urgent": "today"})
    assert splits.lock(dataset, other, name="urgency") is None, "other classes: another question about the texts"


def test_the_very_same_file_asks_the_same_however_a_class_is_worded(splits: Splits) -> None:
    two = changed(BEFORE, "data.classes", {"mixed": "They differ.", "same": "They agree."})
    frame = letters(range(50), 1)
    splits.open(splits.put(frame), two, name="pairs")
    reworded = changed(two, "data.classes", {"mixed": "They differ.", "same": "They agree with each other."})
    dataset = splits.put(frame)
    lock = splits.lock(dataset, changed(reworded, "target.margin", 0.01), name="pairs2")
    assert lock is not None and lock.task == "pairs"
    assert {one.field for one in lock.changed} == {"target.margin", "data.classes.same"}
    assert splits.open(dataset, reworded, name="pairs2").openings == 2


@pytest.mark.parametrize(
    ("path", "value"), [("data.splits.seed", 8), ("data.splits.column", "part"), ("data.columns.group", "customer")]
)
def test_a_split_that_is_drawn_again_is_no_fresh_one(splits: Splits, path: str, value: Any) -> None:
    """A seventh of its rows were test rows before, as with the usual share; the others were there to be trained on."""
    pool = letters(range(340), 1)
    splits.open(splits.put(pool[:50]), BEFORE)
    drawn, strangers = splits.put(pool[43:93]), splits.put(letters(range(50), 2, "new{}"))
    again = changed(BEFORE, path, value)
    for terms in (again, changed(again, "target.margin", 0.01)):
        lock = splits.lock(drawn, terms)
        assert lock is not None and path in [one.field for one in lock.changed]
        text, steps = refusal(lock, "demo", "anna@example.org")
        assert f"{path} (locked: " in text and steps[0].startswith("Put the locked values back")
        assert not any("that no opening has read" in step for step in steps), "more rows do not help here"
        assert splits.lock(strangers, terms) is None, "rows of another pool are fresh"
    assert splits.lock(drawn, changed(BEFORE, "target.margin", 0.01)) is None, "as rounds keep some old rows"


OTHER = "anything else"
FOUR = {"a": "One.", "b": "Two.", "c": "Three.", "d": "Four."}


@pytest.mark.parametrize(
    ("theirs", "mine", "same"),
    [
        ({"yes": "A refund is asked for.", "no": OTHER}, {"yes": "It cannot wait.", "no": OTHER}, False),
        ({"refund": "A refund is asked for.", "other": OTHER}, {"urgent": "It cannot wait.", "other": OTHER}, False),
        ({"yes": "A refund.", "no": "None."}, {"No": "none", "YES": "a  refund!"}, True),
        ({"a": "One.", "b": "Two."}, {"a": "One.", "b": "Two.", "c": "Three.", "d": "Four.", "e": "Five."}, True),
        (FOUR, {"a": "1", "b": "2", "c": "Three.", "d": "Four."}, True),
        (FOUR, {"a": "1", "b": "2", "c": "3", "d": "Four."}, False),
    ],
)  # fmt: skip
def test_another_task_asks_the_same_where_half_of_the_classes_agree(
    splits: Splits, theirs: dict[str, str], mine: dict[str, str], same: bool
) -> None:
    frame = letters(range(50), 1)
    first, then = (changed(BEFORE, "data.classes", classes) for classes in (theirs, mine))
    splits.open(splits.put(frame), first, name="refund")
    dataset, then = splits.put(frame[:49]), changed(then, "target.margin", 0.01)
    assert (splits.lock(dataset, then, name="urgent") is not None) is same
    assert splits.open(dataset, then, name="urgent").openings == (2 if same else 1), "counts follow the same rule"
    assert splits.lock(dataset, changed(then, "target.margin", 0.02), name="urgent") is not None, "its own do bind"


def test_a_record_that_another_task_lost_stops_nobody_else(splits: Splits) -> None:
    for rows, name in ((range(50), "broken"), (range(25), "whole")):
        splits.open(splits.put(table(rows)), BEFORE, name=name)
    next((splits.ledger.parent.with_name("broken")).glob("opened_rows/*.json")).write_text('{"format": 2, "ro')
    dataset, after = splits.put(table(range(20, 70))), changed(BEFORE, "target.margin", 0.01)
    said: list[str] = []
    marks = lambda: closed_marks(splits.store, dataset, ASSET)  # noqa: E731
    assert locked_by(splits.ledger, dataset.files["test"].sha256, terms_of(after), marks, said.append) is None
    assert len(said) == 1 and said[0].startswith("opening 1 of the task broken is left out")
    assert splits.open(dataset, after).openings == 2, "that of the task whose record is whole, and this one"


def test_rows_that_an_earlier_release_put_on_record_are_known_by_their_texts(splits: Splits) -> None:
    frame = table(range(50))
    splits.open(splits.put(frame), BEFORE)
    path = next(splits.ledger.parent.glob("opened_rows/*.json"))
    marks = closed_marks(splits.store, splits.put(frame), ASSET)
    path.write_text(json.dumps([[mark.row_id, mark.spelled] for mark in marks]))
    after = changed(BEFORE, "target.margin", 0.01)
    assert splits.lock(splits.put(table(range(49), prefix="x")), after) is not None
    assert splits.lock(splits.put(table(range(50), text="fresh text")), after) is None


def test_the_rows_of_the_capability_set_are_locked(tmp_path: Path) -> None:
    path = tmp_path / "able.csv"
    rows = [f"text {row},access" for row in range(30)]
    task = Task(changed(BEFORE, "evaluation.capabilities", str(path)), tmp_path / "demo.yaml")

    def terms_with(*lines: str) -> dict[str, Any]:
        path.write_text("\n".join(["text,label", *lines]))
        return terms_of_task(task)

    before = terms_with(*rows)
    assert changed_terms(before, terms_with(*rows[::-1], "")) == (), "order and a blank line say nothing"
    (fewer,) = changed_terms(before, terms_with(*rows[1:]))
    assert fewer.field == "evaluation.capabilities" and fewer.locked.startswith("30 texts with answers")
    assert changed_terms(before, terms_with("text 0,fault", *rows[1:]))
    (gone,) = changed_terms(before, terms_of(BEFORE))
    assert gone.found == "none"
    assert changed_terms(terms_of(BEFORE), before) == (), "one more thing that must not get worse helps nobody"


def test_openings_add_up_and_one_under_a_waiver_locks_nothing(splits: Splits) -> None:
    for first in (0, 15, 30):  # each alone has under a fifth of the split that follows
        splits.open(splits.put(table(range(first, first + 15))), BEFORE)
    whole = splits.put(table(range(100)))
    after = changed(BEFORE, "target.margin", 0.01)
    lock = splits.lock(whole, after)
    assert lock is not None and lock.opening == 1 and lock.fresh_rows == 125
    splits.open(whole, after, waived="e" * 64)
    assert splits.lock(whole, BEFORE) is None, "the first terms are still the ones that count"
    assert splits.lock(whole, after) is not None, "and the waiver has to hold each time"
    third = splits.lock(whole, changed(BEFORE, "target.margin", 0.005))
    assert third is not None and third.key != lock.key, "a waiver of one change does not waive another"


def test_a_record_that_is_gone_is_no_way_around(splits: Splits) -> None:
    splits.open(splits.put(table(range(50))), BEFORE)
    next(splits.ledger.parent.glob("opened_rows/*.json")).unlink()
    dataset, after = splits.put(table(range(49))), changed(BEFORE, "target.margin", 0.01)
    with pytest.raises(ArtifactError, match="restore the file"):
        splits.lock(dataset, after)
    assert splits.lock(dataset, BEFORE) is None


def test_a_field_that_a_later_release_adds_is_no_change() -> None:
    before = terms_of(BEFORE)
    assert changed_terms(before, {**before, "target.new_field": None}) == ()
    assert changed_terms({**before, "target.limits": []}, before) == ()


def test_the_sign_off_owner_alone_waives_with_reason_and_day(tmp_path: Path) -> None:
    from sign_off_samples import ANNA, OWNER, waiting

    from playbook.errors import ApprovalRefused

    place, today = waiting(tmp_path), date(2026, 11, 21)
    dataset = place.case().bound.dataset
    ledger = place.places.ledgers / "demo" / "test_openings.jsonl"
    path = place.file("dataset_version", "test")
    table(range(50)).to_parquet(path)
    dataset = place.put("dataset_version", dataset, test=path.read_bytes())
    open_test_split(place.store, dataset, ASSET, "model", ledger, terms=terms_of(place.task.spec))
    with pytest.raises(ApprovalRefused, match="are those that the test split was opened under"):
        waive_terms(place.task, place.places, ANNA, "why not do it", "2026-12-31", today)
    place.document["target"] = {**place.document["target"], "margin": 0.01}
    place.write_task()
    for by, reason, until, said in (
        (OWNER, "it pays for itself", "2026-12-31", "nobody else may decide this"),
        (ANNA, " ", "2026-12-31", "expected a reason"),
        (ANNA, "it pays for itself", "2026-11-21", "expected a day after"),
    ):
        with pytest.raises(ApprovalRefused, match=said):
            waive_terms(place.task, place.places, by, reason, until, today)
    assert place.log.entries() == ()
    entry = waive_terms(place.task, place.places, ANNA, "the price fell since", "2026-12-31", today)
    assert entry.kind == "waiver" and "the price fell since" in entry.title
    lock = lock_of(place.task, place.store, dataset, ledger)
    assert lock is not None and entry.inputs["lock"] == lock.key


def test_what_decides_an_early_end_and_the_budgets_of_harm_are_locked_too() -> None:
    before = terms_of(BEFORE)
    looser = {
        "early_end_standard_errors": 0.0,
        "capability_tolerance": 0.2,
        "regression": BEFORE.evaluation.regression.model_copy(update={"share": 0.5}),
    }
    rules = BEFORE.evaluation.model_copy(update=looser)
    found = changed_terms(before, terms_of(BEFORE.model_copy(update={"evaluation": rules})))
    assert {one.field for one in found} == {
        "evaluation.early_end_standard_errors",
        "evaluation.capability_tolerance",
        "evaluation.regression.share",
    }
