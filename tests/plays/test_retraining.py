"""A retraining round from beginning to end (6.5, 6.6): production joins the data, the champion is refreshed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from play_runs import Ended, Place
from retraining_samples import DAY, NEW_CLASS, growing_place, production, serve_rows

from playbook.artifacts import Drift, RetrainDecision
from playbook.operate.rounds import last_round, pending_triggers
from playbook.taskfile import load_task
from resources.world import World

pytestmark = [
    pytest.mark.story,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, database: Path) -> tuple[Place, Ended]:
    """The first model of a task, in production."""
    place = growing_place(tmp_path_factory.mktemp("round"), database)
    return place, place.run()


def command(place: Place, *arguments: str) -> Any:
    """A command of the command line in this process."""
    from playbook.cli import main

    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
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
    asked = command(place, "retrain", str(place.file), "--as", "ops@example.com", "--reason", "to see it work")
    assert asked.exit_code == 0, asked.output
    assert "to see it work" in asked.output
    ended = place.run()
    assert ended.code == 0, ended.err
    assert place.current()["accumulated_rows"].added == 0
    assert ended.status["model"]["version"] == "2.0.0"
    assert load_task(place.file).spec.labels == (NEW_CLASS, "mixed", "same")


def test_monitoring_without_a_log_says_what_to_do(tmp_path: Path, database: Path) -> None:
    place = growing_place(tmp_path, database)
    looked = command(place, "monitor", str(place.file))
    assert looked.exit_code == 1
    assert "expected logged predictions, found none" in looked.output
