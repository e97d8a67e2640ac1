"""What belongs to a task's definition, and how versions of earlier releases are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from report_samples import ORDINARY, spec_for

from assets.evaluation import judged_task
from assets.retrain import _task_changed
from playbook.artifacts import Evaluation
from playbook.decide.log import DecisionLog
from playbook.operate.definition import (
    asked_by_change,
    define,
    differences,
    earlier_sha256,
    identity_of,
    read_definition,
)
from playbook.operate.versions import Identity, what_changed
from playbook.taskfile import Task

Change = Callable[[dict[str, Any]], None]
GUIDELINE = "# How to label\n\n**refund**: money back.\n"


@dataclass
class Place:
    """A task file's content, and the folder of its guideline."""

    folder: Path

    def task(self, change: Change | None = None, guideline: str | None = GUIDELINE) -> Task:
        document = spec_for(ORDINARY).model_dump(mode="json")
        document["data"]["labels"]["guideline"] = "guide.md"
        if change is not None:
            change(document)
        path = self.folder / "guide.md"
        path.unlink(missing_ok=True)
        if guideline is not None:
            path.write_text(guideline, "utf-8")
        return Task(type(spec_for(ORDINARY)).model_validate(document), self.folder / "task.yaml")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def label_of(document: dict[str, Any]) -> str:
    return sorted(document["data"]["classes"])[0]


def meaning(document: dict[str, Any]) -> None:
    document["data"]["classes"][label_of(document)] = "Something else altogether."


def question(document: dict[str, Any]) -> None:
    document["question"] = "Is this a question of quite another kind?"


def metric(document: dict[str, Any]) -> None:
    document["target"]["metric"] = "macro_f1"


def new_class(document: dict[str, Any]) -> None:
    document["data"]["classes"]["unheard_of"] = "Nobody knew it."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (meaning, "another meaning of "),
        (question, "another question"),
        (metric, "another metric (macro_f1 instead of accuracy)"),
        (new_class, "new classes unheard_of"),
    ],
)
def test_a_changed_meaning_is_another_task(place: Place, change: Change, said: str) -> None:
    before, now = define(place.task()), define(place.task(change))
    (found,) = differences(before, now)
    assert found.startswith(said)
    assert before.sha256 != now.sha256
    assert differences(now, before)
    assert what_changed(identity_of(place.task(), "d", "b"), identity_of(place.task(change), "d", "b")) == "task"


def test_what_a_changed_task_asks_of_a_model_without_any_trigger(place: Place) -> None:
    before = define(place.task())
    assert asked_by_change(before, before) == asked_by_change(None, before) == ()
    assert asked_by_change(before, define(place.task(new_class))) == ("new_class",)
    for change in (meaning, question, metric):
        assert asked_by_change(before, define(place.task(change))) == ("task_changed",)
    assert asked_by_change(define(place.task(new_class)), before) == ("task_changed",), "a class is gone"
    assert asked_by_change(before, define(place.task(numbers))) == ()


def test_a_guideline_counts_by_its_words(place: Place) -> None:
    before = define(place.task())
    assert define(place.task(guideline="# How to label\r\n\r\n\r\n**refund**:\r\n  money back.")) == before
    assert differences(before, define(place.task(guideline=GUIDELINE + "Never a fee."))) == (
        "another labelling guideline",
    )
    missing = define(place.task(guideline=None))
    assert differences(before, missing) == (), "a file that is missing for a day is not another task"


def numbers(document: dict[str, Any]) -> None:
    document["target"] |= {"margin": 0.07, "at_least": 0.71}
    document["bake_off"]["budget"]["latency_p95_ms"] = 3.0
    document["prices"]["device_hour"] = 77.0
    document["owners"]["model"] = "team:others"


def test_numbers_and_owners_are_no_part_of_it(place: Place) -> None:
    before, now = define(place.task()), define(place.task(numbers))
    assert (differences(before, now), before.sha256) == ((), now.sha256)
    assert what_changed(identity_of(place.task(), "d", "b"), identity_of(place.task(numbers), "d", "b")) == "refresh"


def test_a_definition_survives_its_tag(place: Place) -> None:
    made = define(place.task())
    assert read_definition(made.as_tag) == made
    for broken in ("", "[]", "{}", '{"question": 1, "classes": 2}'):
        assert read_definition(broken) is None


def test_versions_of_an_earlier_release_are_the_same_task(place: Place) -> None:
    task = place.task()
    old = Identity(earlier_sha256(task.spec.labels, task.spec.target.model_dump(mode="json")), "d", "b")
    assert what_changed(old, identity_of(task, "d", "b")) == "refresh"
    assert what_changed(old, identity_of(place.task(new_class), "d", "b")) == "task"


def champion(task: Task, *, tagged: bool) -> Any:
    tags = {"playbook/task_definition": define(task).as_tag} if tagged else {"playbook/task_sha256": "0" * 64}
    return SimpleNamespace(registered=SimpleNamespace(tags=tags), labels=task.spec.labels)


@pytest.mark.parametrize("tagged", [True, False])
def test_the_monitor_notices_meanings_and_no_margins(place: Place, tagged: bool) -> None:
    served = champion(place.task(), tagged=tagged)
    assert _task_changed(place.task(), served, ()) == ""
    assert _task_changed(place.task(numbers), served, ()) == "", "an edited margin asks for no round"
    assert _task_changed(place.task(new_class), served, ()) == "new classes unheard_of"
    found = _task_changed(place.task(meaning), served, ())
    assert found.startswith("another meaning of ") if tagged else found == "", "what is not known is not claimed"


def test_a_definition_that_a_round_has_judged_asks_for_no_other_round(place: Place, tmp_path: Path) -> None:
    served, now = champion(place.task(), tagged=True), place.task(meaning)
    log = DecisionLog(tmp_path / "log" / "decisions.jsonl")
    log.append("ship", "keep 1.0.0", by="playbook", inputs={"task_sha256": define(now).sha256}, key="evaluation")
    assert _task_changed(now, served, log.entries()) == ""
    assert _task_changed(place.task(question), served, log.entries()) == "another question"


def test_an_evaluation_that_was_refused_silences_no_changed_definition(place: Place, tmp_path: Path) -> None:
    served, now = champion(place.task(), tagged=True), place.task(meaning)
    log = DecisionLog(tmp_path / "log" / "decisions.jsonl")

    def record(task: Task, *, refused: bool) -> None:
        inputs = {"evaluation": "0" * 64, **judged_task(task, Evaluation(task="t", refused=refused))}
        log.append("ship", "recommended", by="playbook", inputs=inputs, key="evaluation")

    record(now, refused=True)
    assert _task_changed(now, served, log.entries()).startswith("another meaning of "), "nothing was judged"
    record(now, refused=False)
    assert _task_changed(now, served, log.entries()) == ""
    record(now, refused=True)
    assert _task_changed(now, served, log.entries()) == "", "it was judged before"
    assert _task_changed(place.task(question), served, log.entries()) == "another question"
