"""A retraining round from beginning to end (6.5, 6.6): production joins the data, the champion is refreshed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from adapt_samples import pairs
from click.testing import CliRunner
from dagster_storage import lighten_storage
from play_runs import Ended, Place
from retraining_samples import DAY, NEW_CLASS, growing_place, production, serve_rows

from playbook.artifacts import BaseTrial, Drift, RetrainDecision
from playbook.operate.rounds import last_round, pending_triggers
from playbook.taskfile import load_task
from resources.world import World

pytestmark = [
    pytest.mark.story,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> tuple[Place, Ended]:
    """The first model of a task, in production."""
    place = growing_place(tmp_path_factory.mktemp("round"), database, begun_store)
    return place, place.run()


def command(place: Place, *arguments: str) -> Any:
    """A command of the command line in this process."""
    from playbook.cli import main

    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        lighten_storage(patch)
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_the_first_run_has_nothing_to_refresh(first: tuple[Place, Ended]) -> None:
    place, ended = first
    assert ended.code == 0, ended.err
    assert ended.status["model"]["version"] == "1.0.0"
    found = place.current()
    assert found["refresh"].skipped
    assert "nothing to refresh" in found["refresh"].reason
    assert "no retraining round is asked for" in found["accumulated_rows"].reason


def test_a_new_class_is_seen_in_the_outcomes_and_asks_for_a_round(first: tuple[Place, Ended]) -> None:
    place, _ = first
    serve_rows(place, production(200, 120))
    looked = command(place, "monitor", str(place.file), "--day", DAY.date().isoformat())
    assert looked.exit_code == 0, looked.output
    assert "fired: " in looked.output
    store, day = place.store, DAY.date().isoformat()
    decision = store.current("pairs", "retrain_decision", RetrainDecision, day)
    drift = store.current("pairs", "drift", Drift, day)
    assert decision is not None
    assert drift is not None
    assert decision.fired
    assert decision.triggers["new_class"] == f"{NEW_CLASS} (120 rows), 50 count"
    assert (drift.rows, drift.judged, drift.alarm) == (320, True, True)  # a third of the rows is unlike all before
    assert drift.live is not None
    assert drift.live.n == 320
    assert (place.places.home / "reports" / "pairs-monitoring.html").is_file()
    entries = World(place.places).decision_log("pairs").entries()
    assert [entry.sha256 for entry in pending_triggers(entries)] == [decision.log_entry]


def test_looking_at_the_day_again_asks_for_no_second_round(first: tuple[Place, Ended]) -> None:
    place, _ = first
    assert command(place, "monitor", str(place.file), "--day", DAY.date().isoformat()).exit_code == 0
    assert len(pending_triggers(World(place.places).decision_log("pairs").entries())) == 1


def test_the_round_extends_the_label_set_and_reports_the_old_classes(first: tuple[Place, Ended]) -> None:
    place, _ = first
    before = rows_of(place)
    ended = place.run()
    assert ended.code == 0, ended.err
    found = place.current()
    grown, dataset, refreshed = found["accumulated_rows"], found["dataset_version"], found["refresh"]
    assert (grown.added, grown.new_classes) == (320, {NEW_CLASS: 120})
    assert (dataset.number, dataset.labels) == (2, (NEW_CLASS, "mixed", "same"))
    after = rows_of(place)
    assert {row: after[row] for row in before} == before  # no row changed its side
    assert not refreshed.skipped
    assert (refreshed.version, refreshed.unfrozen) == ("1.0.0", 1)
    assert refreshed.gain > 0.05, "the champion does not know the new class"
    chosen = found["candidate"]
    assert "(Best in epoch" in chosen.diagnoses["refresh"]
    assert next(row.gain for row in chosen.ledger if row.step == "refresh") == refreshed.gain
    assert "<dt>refresh</dt>" in Path(ended.status["report"]).read_text("utf-8")
    evaluation = found["evaluation"]
    served = evaluation.incumbent
    assert served is not None
    assert (served.version, served.old_rows) == ("1.0.0", sum(split == "test" for split in before.values()))
    assert served.new_rows > 30
    assert served.recall[NEW_CLASS].before is None
    assert served.recall[NEW_CLASS].after > 0.9
    for label in ("mixed", "same"):
        assert served.recall[label].before > 0.8
        assert served.recall[label].after > 0.8
    assert served.delta.low > 0
    judged = evaluation.round
    assert (judged.incumbent, judged.ship) == ("1.0.0", evaluation.ship)
    assert "new_class" in judged.asked_by
    assert judged.winner is not None
    assert judged.winner.fixes_all and judged.winner.not_worse
    assert evaluation.verdict.startswith("Ship the candidate in place of version 1.0.0: ")
    assert ended.status["model"]["version"] == "2.0.0"  # another label set
    registry = World(place.places).registry
    assert {name: registry.at_alias("pairs", name).version for name in ("champion", "previous")} == {
        "champion": "2.0.0",
        "previous": "1.0.0",
    }


def rows_of(place: Place) -> dict[str, str]:
    """The side of every prepared row."""
    dataset, store = place.current()["dataset_version"], place.store
    splits = {split: store.sealed_path(dataset, "dataset_version", split) for split in ("train", "validation", "test")}
    return {row: split for split, path in splits.items() for row in pd.read_parquet(path)["row_id"]}


def test_the_round_is_on_record_and_answers_its_trigger(first: tuple[Place, Ended]) -> None:
    entries = World(first[0].places).decision_log("pairs").entries()
    done = last_round(entries)
    assert done is not None
    assert "new_class" in done.title
    assert pending_triggers(entries) == []
    assert [entry.kind for entry in entries if entry.kind in ("trigger", "round", "promotion")] == [
        "promotion",
        "trigger",
        "round",
        "promotion",
    ]


def test_the_same_command_again_changes_nothing(first: tuple[Place, Ended]) -> None:
    place, _ = first
    before = {name: one.digest for name, one in place.current().items() if name != "accumulated_rows"}
    again = place.run()
    assert again.code == 0, again.err
    assert "refresh: unchanged, not run again" in again.err
    assert {name: one.digest for name, one in place.current().items() if name != "accumulated_rows"} == before
    assert [one.version for one in World(place.places).registry.versions("pairs")] == ["1.0.0", "2.0.0"]


def test_a_round_by_hand_without_news_comes_to_the_same_model(first: tuple[Place, Ended]) -> None:
    place, _ = first
    asked = command(place, "retrain", str(place.file), "--as", "team:b", "--reason", "to see it work")
    assert asked.exit_code == 0, asked.output
    assert "to see it work" in asked.output
    ended = place.run()
    assert ended.code == 0, ended.err
    assert place.current()["accumulated_rows"].added == 0
    assert ended.status["model"]["version"] == "2.0.0"
    assert load_task(place.file).spec.labels == (NEW_CLASS, "mixed", "same")


def kept(place: Place, ended: Ended, version: str = "2.0.0") -> Any:
    """The evaluation of a round after which the same version serves; nothing was packaged."""
    assert ended.code == 0, ended.err
    evaluation = place.current()["evaluation"]
    assert (evaluation.ship, ended.status["state"]) == ("incumbent", "incumbent_stays"), evaluation.verdict
    assert ended.status["ship"] == "incumbent"
    assert ended.status["model"]["version"] == version
    assert place.current()["sign_off"].skipped and place.current()["packaged_model"].skipped
    registry = World(place.places).registry
    assert registry.at_alias("pairs", "champion").version == version
    assert [one.version for one in registry.versions("pairs")][-1] == version
    page = Path(ended.status["report"]).read_text("utf-8")
    assert "Keep the version that serves" in page
    return evaluation


def test_a_round_that_ties_changes_nothing(first: tuple[Place, Ended]) -> None:
    """More rows of what is known: the refreshed model is as good as the one that serves."""
    place, _ = first
    serve_rows(place, pairs(120, 78), DAY + timedelta(1))
    command(place, "retrain", str(place.file), "--as", "team:a", "--reason", "120 more rows")
    evaluation = kept(place, place.run())
    assert place.current()["accumulated_rows"].added == 120
    (first_one, *_) = evaluation.round.contenders
    assert abs(first_one.over.value) < 0.05 and first_one.not_worse and not first_one.better
    assert evaluation.verdict.startswith("Keep version 2.0.0, which serves: the candidate is ")
    shipped = next(e for e in reversed(World(place.places).decision_log("pairs").entries()) if e.kind == "ship")
    assert shipped.title.startswith("recommended: ship incumbent. Keep version 2.0.0")


def test_a_round_that_loses_changes_nothing_and_has_its_report(first: tuple[Place, Ended]) -> None:
    """Training that goes wrong: every contender is worse than the version that serves, beyond chance."""
    place, _ = first
    plan = {"learning_rate": 0.5, "head_learning_rate": 0.9, "epochs": 1}
    place.task(adaptation=plan)
    command(place, "retrain", str(place.file), "--as", "team:a", "--reason", "a bad idea")
    evaluation = kept(place, place.run())
    assert all(one.over.high < 0 for one in evaluation.round.contenders)
    assert evaluation.incumbent.delta.high < 0
    assert evaluation.blockers == ()


def test_a_round_that_the_split_cannot_decide_opens_nothing(first: tuple[Place, Ended]) -> None:
    place, _ = first
    opened = place.ledger
    place.task(retraining={"margin": 0.001})
    until = (datetime.now(UTC).date() + timedelta(30)).isoformat()
    waived = command(
        place, "waive", str(place.file), "locked_terms", "--as", "team:c", "--reason", "to see it refused",
        "--until", until,
    )  # fmt: skip
    assert waived.exit_code == 0, waived.output
    ended = place.run()
    assert ended.code == 0, ended.err
    evaluation = place.current()["evaluation"]
    assert evaluation.refused and evaluation.rows_needed > evaluation.rows
    assert evaluation.verdict.startswith("Version 2.0.0 stays: ")
    assert "for another model, is not opened for this one." in evaluation.verdict, "the round before opened it"
    assert place.ledger == opened
    assert ended.status["model"]["version"] == "2.0.0"
    place.task()


def test_a_base_that_is_out_is_found_by_the_monitor_and_replaced_once(first: tuple[Place, Ended]) -> None:
    """The list gets a base within the budget: the scheduled trial prefers it, the policy asks, a round trains on it."""
    place, _ = first
    half = {**place.document["base"], "layers": 1}
    place.document["bake_off"] = {"alternatives": [half], "budget": {"parameters_millions": 0.018}}
    place.task()
    before = {name: one.digest for name, one in place.current().items()}
    trial = try_bases(place)
    assert trial.preferred is not None and trial.preferred.layers == 1
    assert "which is out: parameters" in trial.why
    assert {name: one.digest for name, one in place.current().items()} == before, "no model was touched"
    day = (DAY + timedelta(40)).date().isoformat()
    looked = command(place, "monitor", str(place.file), "--day", day)
    assert looked.exit_code == 0, looked.output
    decision = place.store.current("pairs", "retrain_decision", RetrainDecision, day)
    assert decision is not None and decision.triggers["better_base"].startswith(trial.why)
    assert decision.held_back.startswith("cool-down"), "the rounds before were asked for today"
    command(place, "retrain", str(place.file), "--as", "team:a", "--reason", "the monitor found a better base")
    ended = place.run()
    assert ended.code == 0, ended.err
    found = place.current()
    assert "is out (parameters" in found["refresh"].reason
    assert "so this round trains on the chosen base" in found["refresh"].reason
    evaluation = found["evaluation"]
    assert [fix.trigger for fix in evaluation.round.contenders[0].fixes] == ["better_base"]
    assert "is no longer the one that the task uses" not in ended.said
    assert ended.status["state"] in ("shipped", "baseline_shipped", "incumbent_stays")
    again = place.run()
    assert again.code == 0, again.err
    assert place.current()["evaluation"].digest == evaluation.digest, "it ends: nothing trains a second time"
    later = (DAY + timedelta(80)).date().isoformat()
    assert command(place, "monitor", str(place.file), "--day", later).exit_code == 0
    decision = place.store.current("pairs", "retrain_decision", RetrainDecision, later)
    assert decision is not None and "better_base" not in decision.triggers


def try_bases(place: Place) -> BaseTrial:
    """Run the job of the trial's schedule in this process."""
    import dagster as dg

    from pipelines.factory import resources_of, task_definitions

    places = place.places
    defined = task_definitions(load_task(place.file), places, resources_of(places))
    schedule = defined.resolve_schedule_def("pairs_try_bases_schedule")
    assert schedule.cron_schedule == "0 4 1 * *"
    with dg.DagsterInstance.ephemeral() as instance:
        assert defined.resolve_job_def(schedule.job_name).execute_in_process(instance=instance).success
    found = place.store.current("pairs", "base_trial", BaseTrial)
    assert found is not None
    return found


def test_monitoring_without_a_log_says_what_to_do(tmp_path: Path, database: Path, begun_store: Path) -> None:
    place = growing_place(tmp_path, database, begun_store)
    looked = command(place, "monitor", str(place.file))
    assert looked.exit_code == 1
    assert "expected logged predictions, found none" in looked.output
