"""Scoring files and recording outcomes: by command, by Dagster job, and by the scorer that a replay uses."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from data_samples import rows, write_csv
from served_models import LABELS, ServedPlace, register, served_place

from playbook.cli import main
from playbook.errors import ArtifactError, DataError
from resources.scoring import BatchScorer, ScoreCount

ALWAYS = (date(2000, 1, 1), date(2100, 1, 1))


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, database: Path) -> ServedPlace:
    place = served_place(tmp_path_factory.mktemp("registered"), database)
    assert [register(place, seed).version for seed in (5, 6)] == ["1.0.0", "1.0.1"]
    return place


@pytest.fixture
def place(registered: ServedPlace) -> Iterator[ServedPlace]:
    """With an empty log, the first version as champion, and a file of twelve rows."""
    for path in (registered.folder / "home").glob("predictions/**/*.*"):
        path.unlink()
    registered.point("1.0.0")
    write_csv(registered.folder / "new.csv", rows(12))
    yield registered


def command(place: ServedPlace, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PLAYBOOK_DATABASE", "PLAYBOOK_PREDICTION_LOG", "MLFLOW_TRACKING_URI", "PLAYBOOK_TASKS"):
            patch.delenv(name, raising=False)
        patch.setenv("PLAYBOOK_HOME", str(place.folder / "home"))
        name, *rest = arguments
        done = CliRunner().invoke(main, [name, str(place.task.path), *rest])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_a_file_is_scored_and_logged_once(place: ServedPlace) -> None:
    file = place.folder / "new.csv"
    done = command(place, "predict", str(file))
    assert done.exit_code == 0, done.output
    assert "12 rows answered by version 1.0.0" in done.stdout and "12 new, 0 there before" in done.stdout
    answers = pd.read_csv(place.folder / "new-predictions.csv", keep_default_na=False)
    figures = ["id", "label", "probability", "p_billing", "p_delivery"]
    assert list(answers.columns) == [*figures, "answer", "ask_a_person", "reason", "model_version"]
    assert answers["answer"].tolist() == answers["label"].tolist() and not answers["ask_a_person"].any()
    assert list(answers["id"]) == [row["id"] for row in rows(12)]
    assert set(answers["label"]) <= set(LABELS)
    again = command(place, "predict", str(file), "--out", str(place.folder / "again.parquet"))
    assert "0 new, 12 there before" in again.stdout
    pd.testing.assert_frame_equal(answers, pd.read_parquet(place.folder / "again.parquet"), check_dtype=False)
    kept = place.log.window(*ALWAYS).sort_values("id", ignore_index=True)
    assert list(kept["id"]) == sorted(answers["id"])
    first = kept.iloc[0]
    assert (first["day"], first["text"]) == ("2025-01-03", rows(12)[0]["text"])
    assert set(first["columns"]) == {"customer", "channel"}
    assert kept["p_billing"].tolist() == pytest.approx(answers.sort_values("id")["p_billing"].tolist(), abs=1e-6)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_other_formats_and_rows_without_ids(place: ServedPlace, suffix: str) -> None:
    table = pd.DataFrame({"text": ["a", "b", "a", "c"], "id": ["", "own", "", ""]})
    file = place.folder / f"more.{suffix}"
    table.to_parquet(file) if suffix == "parquet" else table.to_json(file, orient="records", lines=True)
    out = place.folder / "out.jsonl"
    assert "4 new" in command(place, "predict", str(file), "--out", str(out)).stdout
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    ids = [row["id"] for row in answers]
    assert ids[1] == "own" and ids[2] == f"{ids[0]}-2" and len(set(ids)) == 4
    assert "0 new, 4 there before" in command(place, "predict", str(file), "--out", str(out)).stdout


def test_another_column_may_hold_the_ids(place: ServedPlace) -> None:
    write_csv(place.folder / "own.csv", [{"text": "a", "number": "N1"}, {"text": "b", "number": "N2"}])
    refused = command(place, "predict", str(place.folder / "own.csv"), "--id-column", "nummer")
    assert refused.exit_code == 1 and "nummer (id)" in refused.stderr and "--id-column" in refused.stderr
    done = command(place, "predict", str(place.folder / "own.csv"), "--id-column", "number")
    assert done.exit_code == 0
    assert set(place.log.window(*ALWAYS)["id"]) == {"N1", "N2"}


def test_what_the_model_said_is_no_truth_and_ids_name_one_text(place: ServedPlace) -> None:
    table = rows(12)
    table[11]["id"] = table[10]["id"]
    write_csv(place.folder / "twice.csv", table)
    done = command(place, "predict", str(place.folder / "twice.csv"))
    assert done.exit_code == 0 and "11 new, 1 there before" in done.stdout
    assert f"1 id stands on another text in the log, which keeps the first one: {table[10]['id']}" in done.stderr
    refused = command(place, "outcomes", str(place.folder / "twice-predictions.csv"))
    assert refused.exit_code == 1 and "found what a model said (columns probability, p_billing" in refused.stderr
    assert place.log.labelled().empty
    write_csv(place.folder / "all.csv", [{**row, "id": row["customer"]} for row in rows(240)])
    wrong = command(place, "predict", str(place.folder / "all.csv"))
    assert wrong.exit_code == 1 and "expected an id of its own for each row" in wrong.stderr


def test_a_file_without_the_column_of_ids_gets_ids_by_content(place: ServedPlace) -> None:
    (place.folder / "plain.csv").write_text("text\nWhere is my parcel?\nRefund me\nNA\n")
    done = command(place, "predict", str(place.folder / "plain.csv"))
    assert done.exit_code == 0, done.output
    assert "no column id: ids follow from the content (--id-column NAME takes another one)" in done.stdout
    ids = pd.read_csv(place.folder / "plain-predictions.csv")["id"]
    assert len(set(ids)) == 3 and set(place.log.window(*ALWAYS)["text"]) == {"Where is my parcel?", "Refund me", "NA"}
    assert "0 new, 3 there before" in command(place, "predict", str(place.folder / "plain.csv")).stdout


def test_records_that_cannot_be_read_are_named_and_cost_no_others(place: ServedPlace) -> None:
    (place.folder / "odd.jsonl").write_text('{"id": "A", "text": "a"}\n{"id": \n{"id": "C", "text": NaN}\n')
    done = command(place, "predict", str(place.folder / "odd.jsonl"))
    assert done.exit_code == 0 and "not answered, as they could not be read: line 2: " in done.stderr
    answers = pd.read_csv(place.folder / "odd-predictions.csv", keep_default_na=False)
    assert answers["id"].tolist() == ["A", "", "C"] and answers["ask_a_person"].tolist()[1:] == [True, True]
    assert answers["reason"].str.startswith("The record cannot be read. Line 2").tolist() == [False, True, False]
    assert place.log.window(*ALWAYS)["id"].tolist() == ["A"]
    (place.folder / "truth.csv").write_text("id;label\nA;billing\nB;x;y\nC;delivery\n")
    done = command(place, "outcomes", str(place.folder / "truth.csv"))
    assert done.exit_code == 0 and "2 new" in done.stdout
    assert "not taken up, as they could not be read: line 3: 3 fields where the header has 2" in done.stderr


def test_a_file_whose_texts_would_be_cut_is_refused(place: ServedPlace) -> None:
    (place.folder / "cut.csv").write_text("id,text\nS0,Hello, where is it?\nS1,Hello, twice\n")
    done = command(place, "predict", str(place.folder / "cut.csv"))
    assert done.exit_code == 1 and "line 2: 3 fields where the header has 2" in done.stderr
    assert place.log.window(*ALWAYS).empty


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,body\n1,x\n", "text (text)"),
        ("", "empty file"),
        ("id,text\n", "found none"),
        ("id,text,when\n1,x,someday\n", "row 1"),
        (None, "expected a file"),
    ],
)
def test_a_wrong_file_is_named_and_nothing_is_logged(place: ServedPlace, content: str | None, said: str) -> None:
    file = place.folder / "wrong.csv"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_text(content)
    done = command(place, "predict", str(file))
    assert done.exit_code == 1 and said in done.stderr and "wrong" in done.stderr
    assert place.log.latest_day() is None


def test_a_wrong_output_is_named_before_anything_is_done(place: ServedPlace) -> None:
    file = str(place.folder / "new.csv")
    for out in (str(place.folder / "out.xlsx"), file):
        done = command(place, "predict", file, "--out", out)
        assert done.exit_code == 1 and "--out" in done.stderr
    assert place.log.latest_day() is None


def test_without_a_champion_nothing_is_scored(tmp_path: Path, database: Path) -> None:
    place = served_place(tmp_path / "empty", database)
    write_csv(place.folder / "new.csv", rows(2))
    done = command(place, "predict", str(place.folder / "new.csv"))
    assert done.exit_code == 1 and "alias champion" in done.stderr


def test_the_scorer_follows_the_alias_and_takes_times(place: ServedPlace) -> None:
    scorer = BatchScorer(place.task, place.places)
    frame = pd.DataFrame(rows(6))
    times = [datetime(2025, 10, 1 + number, tzinfo=UTC) for number in range(6)]
    answers = scorer.score(frame, times)
    assert set(answers["model_version"]) == {"1.0.0"}
    loaded = scorer._champion.current
    scorer.score(frame.head(1), times[:1])
    assert scorer._champion.current is loaded  # not loaded again
    place.point("1.0.1")
    later = frame.assign(id=[f"later-{name}" for name in frame["id"]])
    after = scorer.score(later, times)
    assert set(after["model_version"]) == {"1.0.1"} == {scorer.version}
    assert not (after["p_billing"] - answers["p_billing"]).abs().max() < 1e-6
    log = place.log
    assert set(log.rows_per_day(date(2025, 10, 1), date(2025, 10, 6)).values()) == {2}
    assert scorer.count == ScoreCount(logged=12, repeated=1)
    assert len(scorer.score(frame.head(0))) == 0
    with pytest.raises(DataError, match="6 rows, found 5"):
        scorer.score(frame, times[:5])
    place.registry.tracking.client.delete_registered_model_alias("sample", "champion")
    with pytest.raises(ArtifactError, match="alias champion"):
        scorer.score(frame, times)


@contextmanager
def away(place: ServedPlace) -> Iterator[None]:
    holder = sqlite3.connect(place.folder / "home" / "predictions" / "predictions.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def test_answers_are_given_while_the_log_is_away_and_lost_rows_counted(
    place: ServedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.log.lost() == 0
    monkeypatch.setattr("resources.scoring.PATIENCE", 0.2)
    scorer = BatchScorer(place.task, place.places)
    scorer._log.database._busy_seconds = 0.05
    scorer._log.database._engine = scorer._log.database._make_engine()
    frame = pd.DataFrame(rows(10))
    with away(place):
        assert len(scorer.score(frame)) == 10
    assert scorer.count == ScoreCount(lost=10)
    assert place.log.lost() == 10
    scorer.score(frame.head(4))  # what is repeated is no longer lost
    assert (scorer.count, place.log.lost()) == (ScoreCount(logged=4, lost=10), 6)


def test_outcomes_join_by_id(place: ServedPlace) -> None:
    assert command(place, "predict", str(place.folder / "new.csv")).exit_code == 0
    file = place.folder / "outcomes.csv"
    write_csv(file, [{"id": f"R{k:04d}", "label": "billing"} for k in range(5)] + [{"id": "X", "label": "strange"}])
    done = command(place, "outcomes", str(file), "--recorded-at", "2025-06-01")
    assert done.exit_code == 0, done.output
    assert "6 new, 0 repeated, 0 changed" in done.stdout and "1 of them has no logged prediction" in done.stdout
    assert "no class of the task: 1 strange" in done.stdout
    assert "0 new, 6 repeated, 0 changed" in command(place, "outcomes", str(file), "--recorded-at", "2025-06-01").stdout
    changed = [
        {"prediction_id": "R0000", "label": "delivery", "time": "2025-07-01T10:00:00+02:00"},
        {"prediction_id": "R0001", "label": "", "time": ""},
    ]
    write_csv(file, changed)
    done = command(place, "outcomes", str(file))
    assert "0 new, 0 repeated, 1 changed" in done.stdout and "without an id or a label: 1 row" in done.stdout
    june = place.log.labelled(datetime(2025, 6, 30, tzinfo=UTC))
    assert dict(zip(june["id"], june["outcome"], strict=True))["R0000"] == "billing"
    now = place.log.labelled()
    assert dict(zip(now["id"], now["outcome"], strict=True))["R0000"] == "delivery"
    assert now.set_index("id")["outcome_at"]["R0000"] == pd.Timestamp("2025-07-01T08:00:00Z")


@pytest.mark.parametrize(
    ("content", "arguments", "status", "said"),
    [
        ("id,class\n1,x\n", (), 1, "and one of true labels (label)"),
        ("id,label,time\n1,x,soon\n", (), 1, "'soon' in row 1"),
        ("", (), 1, "empty file"),
        ("id,label\n1,x\n", ("--recorded-at", "soon"), 2, "--recorded-at"),
    ],
)
def test_wrong_outcomes_are_named(
    place: ServedPlace, content: str, arguments: tuple[str, ...], status: int, said: str
) -> None:
    file = place.folder / "outcomes.csv"
    file.write_text(content)
    done = command(place, "outcomes", str(file), *arguments)
    assert done.exit_code == status and said in done.stderr


def test_dagster_scores_a_file_and_deletes_old_rows(place: ServedPlace, caplog: pytest.LogCaptureFixture) -> None:
    import dagster as dg

    from pipelines.serving import predict_job_name, retention_job_name, serving_definitions

    made = serving_definitions(place.task, place.places, [])

    def run(name: str, config: dict[str, Any]) -> dict[str, Any]:
        with dg.DagsterInstance.ephemeral() as instance:
            done = made.resolve_job_def(name).execute_in_process(run_config=config, instance=instance)
        event = next(event for event in done.all_events if event.event_type_value == "STEP_OUTPUT")
        return {key: value.value for key, value in event.step_output_data.metadata.items()}

    config = {"ops": {"sample_predict": {"config": {"input": str(place.folder / "new.csv")}}}}
    found = run(predict_job_name("sample"), config)
    assert (found["rows"], found["logged"], found["lost"], found["model_version"]) == (12, 12, 0, "1.0.0")
    assert Path(found["output"]).is_file()
    log = place.log
    taken = log.window(*ALWAYS).iloc[0]
    from prediction_samples import row

    log.write([row("old", logged_at=datetime.now(UTC) - timedelta(days=366), source="batch")])
    assert run(retention_job_name("sample"), {}) == {"predictions": 1, "outcomes": 0}
    assert taken["id"] in set(log.window(*ALWAYS)["id"])
    [schedule] = made.schedules or []
    assert (schedule.name, schedule.cron_schedule) == ("sample_retention", "17 3 * * *")
