"""Triggers and rounds on record, and the run that the sensor launches for them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from data_samples import task_document

from pipelines.retraining import MOST_ATTEMPTS, next_round
from pipelines.tags import ROUND_TAG, TASK_TAG, TRIGGER_TAG
from playbook.artifacts import Trigger
from playbook.decide.log import DecisionLog
from playbook.operate.rounds import ask_by_hand, ask_for_round, asked_by, day_of, last_round, pending_triggers, take_up
from playbook.spec import TaskSpec

SPEC = TaskSpec.model_validate(task_document({"path": "rows.csv"}))
TASK = "sample"
JOB = f"{TASK}_retrain_job"


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "decisions.jsonl")


def ask(log: DecisionLog, kind: Trigger, day: int = 1) -> Any:
    if kind == "button":
        return ask_by_hand(log, SPEC, by="team:c", reason="a new product line", day=date(2025, 10, day))
    return ask_for_round(log, TASK, {kind: "found something"}, by="playbook", day=date(2025, 10, day))


def run(instance: dg.DagsterInstance, trigger: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    made = instance.create_run_for_job(
        dg.job(name=JOB)(lambda: None), tags={ROUND_TAG: trigger, TRIGGER_TAG: "drift"}, status=status
    )
    return made


def asked(found: dg.SensorResult | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(found, dg.SensorResult), found
    assert found.run_requests is not None
    (request,) = found.run_requests
    return request


def test_a_round_takes_up_every_trigger_that_waits(log: DecisionLog) -> None:
    first, second = ask(log, "drift", 3), ask(log, "metric", 4)
    assert [entry.sha256 for entry in pending_triggers(log.entries())] == [first.sha256, second.sha256]
    done = take_up(log, TASK, pending_triggers(log.entries()), "a round", {"run_id": "r"})
    later = ask(log, "button", 9)
    assert [entry.sha256 for entry in pending_triggers(log.entries())] == [later.sha256]
    assert last_round(log.entries()) == done
    assert day_of(done) == date(2025, 10, 4)


def test_what_asked_for_the_rounds_of_a_version_stays_known(log: DecisionLog) -> None:
    def moved(kind: Any, to: str) -> None:
        log.append(kind, f"{to} is champion", by="x", inputs={"alias": "champion", "to": to}, key="champion")

    def round_for(*kinds: Trigger) -> None:
        asked = [ask(log, kind) for kind in kinds]
        take_up(log, TASK, asked, "a round", {"kinds": list(kinds)})

    moved("promotion", "1.0.0")
    assert asked_by(log.entries(), "1.0.0", "champion") == ()
    round_for("new_labels")
    round_for("button", "drift")
    assert asked_by(log.entries(), "1.0.0", "champion") == ("drift", "new_labels", "button")
    moved("promotion", "1.1.0")
    round_for("metric")
    assert asked_by(log.entries(), "1.0.0", "champion") == ("drift", "new_labels", "button")
    assert asked_by(log.entries(), "1.1.0", "champion") == ("metric",)
    moved("rollback", "1.0.0")
    round_for("new_class")
    assert asked_by(log.entries(), "1.0.0", "champion") == ("drift", "new_labels", "new_class", "button")
    assert asked_by(log.entries(), "1.0.0", "elsewhere") == ()


def test_triggers_that_come_together_make_one_run(log: DecisionLog) -> None:
    ask(log, "drift")
    newest = ask(log, "schedule")
    with dg.DagsterInstance.ephemeral() as instance:
        request = asked(next_round(TASK, log.entries(), instance))
        assert request.run_key == f"retrain-{TASK}-{newest.sha256}-0"
        assert request.tags == {TASK_TAG: TASK, ROUND_TAG: newest.sha256, TRIGGER_TAG: "drift,schedule"}
        run(instance, newest.sha256, dg.DagsterRunStatus.STARTED)
        ask(log, "button")
        waits = next_round(TASK, log.entries(), instance)
        assert isinstance(waits, dg.SkipReason)
        assert "is under way" in str(waits.skip_message)


def test_nothing_is_launched_where_nothing_asks(log: DecisionLog) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(next_round(TASK, log.entries(), instance), dg.SkipReason)
        trigger = ask(log, "drift")
        made = run(instance, trigger.sha256, dg.DagsterRunStatus.SUCCESS)
        take_up(log, TASK, [trigger], "a round", {"run_id": made.run_id})
        assert isinstance(next_round(TASK, log.entries(), instance), dg.SkipReason)


def test_a_round_whose_run_failed_is_launched_again_but_not_for_ever(log: DecisionLog) -> None:
    trigger = ask(log, "drift")
    with dg.DagsterInstance.ephemeral() as instance:
        made = run(instance, trigger.sha256, dg.DagsterRunStatus.FAILURE)
        take_up(log, TASK, [trigger], "a round", {"run_id": made.run_id})
        again = asked(next_round(TASK, log.entries(), instance))
        assert again.run_key == f"retrain-{TASK}-{trigger.sha256}-1"
        assert again.tags[ROUND_TAG] == trigger.sha256
        for _ in range(MOST_ATTEMPTS - 1):
            run(instance, trigger.sha256, dg.DagsterRunStatus.FAILURE)
        gives_up = next_round(TASK, log.entries(), instance)
        assert isinstance(gives_up, dg.SkipReason)
        assert "ended as FAILURE; see why, fix it, then ask again" in str(gives_up.skip_message)


def test_a_new_trigger_gets_its_run_after_one_that_was_given_up(log: DecisionLog) -> None:
    first = ask(log, "drift")
    with dg.DagsterInstance.ephemeral() as instance:
        made = [run(instance, first.sha256, dg.DagsterRunStatus.FAILURE) for _ in range(MOST_ATTEMPTS)]
        take_up(log, TASK, [first], "a round", {"run_id": made[0].run_id})
        second = ask(log, "button")
        assert asked(next_round(TASK, log.entries(), instance)).tags[ROUND_TAG] == second.sha256


def test_a_cancelled_round_stays_cancelled_until_somebody_asks_again(log: DecisionLog) -> None:
    trigger = ask(log, "drift")
    with dg.DagsterInstance.ephemeral() as instance:
        made = run(instance, trigger.sha256, dg.DagsterRunStatus.CANCELED)
        assert isinstance(next_round(TASK, log.entries(), instance), dg.SkipReason)
        take_up(log, TASK, [trigger], "a round", {"run_id": made.run_id})
        assert isinstance(next_round(TASK, log.entries(), instance), dg.SkipReason)
        button = ask(log, "button")
        assert asked(next_round(TASK, log.entries(), instance)).tags[ROUND_TAG] == button.sha256


def test_a_new_trigger_gets_past_one_that_never_got_anywhere(log: DecisionLog) -> None:
    first = ask(log, "drift")
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(MOST_ATTEMPTS):
            run(instance, first.sha256, dg.DagsterRunStatus.FAILURE)
        assert isinstance(next_round(TASK, log.entries(), instance), dg.SkipReason)
        second = ask(log, "button")
        request = asked(next_round(TASK, log.entries(), instance))
        assert (request.tags[ROUND_TAG], request.tags[TRIGGER_TAG]) == (second.sha256, "button,drift")


def test_a_run_that_failed_before_it_took_anything_up_is_launched_again(log: DecisionLog) -> None:
    trigger = ask(log, "drift")
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, trigger.sha256, dg.DagsterRunStatus.FAILURE)
        assert asked(next_round(TASK, log.entries(), instance)).run_key.endswith("-1")
