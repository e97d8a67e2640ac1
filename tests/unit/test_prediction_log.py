"""The prediction log on SQLite: written once, joined with outcomes as they were known, deleted in time."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from prediction_samples import MONDAY, open_log, row

from playbook.errors import SettingsError, StorageError
from playbook.operate.prediction_log import Outcome, OutcomeCount, PredictionLog, Purged, open_prediction_log
from playbook.operate.prediction_log_lost import LostRows
from playbook.operate.prediction_log_tables import Database
from playbook.settings import settings

DAY = MONDAY.date()
NEXT = DAY + timedelta(days=1)


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return open_log(tmp_path)


def test_a_prediction_is_written_once(log: PredictionLog) -> None:
    assert log.write([row("a"), row("b")]) == 2
    assert log.write([row("b", text="another"), row("c"), row("c")]) == 1
    seen = log.window(DAY, DAY)
    assert list(seen["id"]) == ["a", "b", "c"]
    assert list(seen["text"]) == ["text of a", "text of b", "text of c"]


def test_one_log_keeps_tasks_apart(log: PredictionLog, tmp_path: Path) -> None:
    other = open_log(tmp_path, task="other")
    assert (log.write([row("a")]), other.write([row("a"), row("b")])) == (1, 2)
    other.record_outcomes([Outcome("a", "access", MONDAY)])
    assert list(log.window(DAY, DAY)["outcome"]) == [""]
    assert other.purge(datetime.now(UTC) + timedelta(days=1)) == Purged(2, 1)
    assert log.rows_per_day(DAY, DAY) == {DAY: 1}


def test_what_goes_in_comes_out(log: PredictionLog) -> None:
    text = "tab\tquote' \" emoji 🙂 東京 <b>"
    log.write([row("a", text=text, columns={"channel": "mail", "product": "π"}, source="batch")])
    found = log.window(DAY, DAY).iloc[0]
    assert (found["text"], found["columns"]) == (text, {"channel": "mail", "product": "π"})
    assert (found["version"], found["label"], found["probability"]) == ("1.0.0", "refund", 0.75)
    assert (found["time"], found["day"]) == (pd.Timestamp(MONDAY), "2025-03-03")
    assert (found["p_access"], found["p_refund"]) == (0.25, 0.75)
    assert found["outcome"] == "" and pd.isna(found["outcome_at"])


def test_text_that_no_database_takes_is_mended(log: PredictionLog) -> None:
    assert log.write([row("a", text="nul \0 half \ud83d pair", columns={"x\ud800": "\0"})]) == 1
    found = log.window(DAY, DAY).iloc[0]
    assert (found["text"], found["columns"]) == ("nul \ufffd half \ufffd pair", {"x\ufffd": "\ufffd"})


def test_days_are_those_of_utc(log: PredictionLog) -> None:
    late = datetime.fromisoformat("2025-03-03T23:30:00-05:00")
    log.write([row("a", time=late), row("b", -1), row("c")])
    assert log.rows_per_day(DAY - timedelta(days=1), NEXT) == {DAY - timedelta(days=1): 1, DAY: 1, NEXT: 1}
    assert log.latest_day() == NEXT
    assert list(log.window(DAY, NEXT)["id"]) == ["c", "a"]


def test_an_empty_log_answers(log: PredictionLog) -> None:
    assert log.latest_day() is None
    assert log.lost() == 0
    assert log.write([]) == 0
    empty = log.window(DAY, DAY)
    assert len(empty) == 0
    log.write([row("a")])
    full = log.window(DAY, DAY)
    assert list(full.columns) == [*empty.columns, "p_access", "p_refund"]
    assert (full.dtypes[list(empty.columns)] == empty.dtypes).all()


def test_a_class_that_one_version_knows_is_missing_from_the_other(log: PredictionLog) -> None:
    log.write([row("a"), row("b", version="2.0.0", probabilities={"access": 0.1, "refund": 0.6, "new": 0.3})])
    seen = log.window(DAY, DAY)
    assert pd.isna(seen["p_new"][0]) and seen["p_new"][1] == 0.3


def test_outcomes_are_new_repeated_changed_or_without_a_prediction(log: PredictionLog) -> None:
    log.write([row("a"), row("b")])
    first = [Outcome("a", "refund", MONDAY), Outcome("x", "refund", MONDAY)]
    assert log.record_outcomes(first) == OutcomeCount(new=2, unmatched=1)
    assert log.record_outcomes(first) == OutcomeCount(repeated=2, unmatched=1)
    later = MONDAY + timedelta(days=3)
    assert log.record_outcomes([Outcome("a", "access", later)]) == OutcomeCount(changed=1)
    assert log.record_outcomes([Outcome("a", "access", later + timedelta(days=1))]) == OutcomeCount(repeated=1)
    assert list(log.window(DAY, DAY)["outcome"]) == ["access", ""]
    assert list(log.labelled()["id"]) == ["a"]
    log.write([row("x")])  # the prediction arrives after its outcome
    assert dict(zip(log.labelled()["id"], log.labelled()["outcome"], strict=True)) == {"a": "access", "x": "refund"}


def test_knowledge_is_that_of_the_moment_asked_for(log: PredictionLog) -> None:
    log.write([row("a")])
    log.record_outcomes([Outcome("a", "refund", MONDAY + timedelta(days=2))])
    log.record_outcomes([Outcome("a", "access", MONDAY + timedelta(days=5))])

    def known(days: float) -> str:
        return str(log.window(DAY, DAY, MONDAY + timedelta(days=days))["outcome"][0])

    assert [known(1), known(2), known(4), known(5), known(9)] == ["", "refund", "refund", "access", "access"]
    assert len(log.labelled(MONDAY + timedelta(days=1))) == 0
    # News of the past changes what was known then, and not what counts now.
    assert log.record_outcomes([Outcome("a", "delivery", MONDAY + timedelta(days=1))]) == OutcomeCount(repeated=1)
    assert [known(1), known(2), known(9)] == ["delivery", "refund", "access"]
    assert log.window(DAY, DAY)["outcome_at"][0] == pd.Timestamp(MONDAY + timedelta(days=5))


def test_of_outcomes_at_one_moment_the_last_counts(log: PredictionLog) -> None:
    log.write([row("a")])
    both = [Outcome("a", "refund", MONDAY), Outcome("a", "access", MONDAY)]
    assert log.record_outcomes(both) == OutcomeCount(new=1, changed=1)
    assert list(log.window(DAY, DAY)["outcome"]) == ["access"]


def test_a_time_without_a_zone_is_refused(log: PredictionLog) -> None:
    with pytest.raises(ValueError, match="with a zone"):
        log.record_outcomes([Outcome("a", "refund", datetime(2025, 1, 1))])
    assert len(log.labelled()) == 0


def test_what_is_past_its_time_is_deleted_with_its_outcomes(log: PredictionLog, tmp_path: Path) -> None:
    old, now = datetime(2024, 1, 1, tzinfo=UTC), datetime.now(UTC)
    log.write([row("old", logged_at=old, text="secret of a customer"), row("new", -9999)])  # rows of old days are kept
    log.record_outcomes([Outcome(name, "refund", now) for name in ("old", "new", "alone")])
    assert log.purge(old) == Purged(0, 0)
    assert log.purge(now - timedelta(days=365)) == Purged(1, 1)
    assert list(log.labelled()["id"]) == ["new"]
    found = b"".join(path.read_bytes() for path in (tmp_path / "predictions").glob("predictions.db*"))
    assert b"text of new" in found and b"secret of a customer" not in found
    assert log.purge(datetime.now(UTC) + timedelta(days=1)) == Purged(1, 2)


def test_many_threads_start_at_once_and_write_everything(tmp_path: Path) -> None:
    """Each opens the missing log for itself, as processes do."""
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            log = open_log(tmp_path)
            for part in range(5):
                log.write([row(f"{number}-{part}-{k}") for k in range(20)])
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert open_log(tmp_path).rows_per_day(DAY, DAY) == {DAY: 800}


def test_a_busy_database_is_asked_again_and_then_named(tmp_path: Path) -> None:
    log = open_log(tmp_path, busy_seconds=0.05)
    log.write([row("a")])
    holder = sqlite3.connect(str(log.database.file), isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match=r"predictions\.db.*locked.*PLAYBOOK_PREDICTION_LOG"):
        log.write([row("b")], patience=0.2)
    release = threading.Timer(0.3, holder.execute, ("ROLLBACK",))
    release.start()
    assert log.write([row("b")]) == 1
    release.join()
    holder.close()


def test_a_log_that_was_taken_away_is_made_again(log: PredictionLog) -> None:
    log.write([row("a")])
    assert log.database.file is not None
    for path in log.database.file.parent.glob("predictions.db*"):
        path.unlink()
    assert log.write([row("a"), row("b")]) == 2
    assert log.rows_per_day(DAY, DAY) == {DAY: 2}


@pytest.mark.parametrize(
    "url", ["mysql://user:hunter2@host/db", "sqlite://", "sqlite:///:memory:", "nonsense hunter2", "postgresql://"]
)
def test_a_wrong_place_is_named_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="PLAYBOOK_PREDICTION_LOG: expected") as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)


def test_no_password_is_shown(tmp_path: Path) -> None:
    log = open_log(tmp_path, "postgresql://user:hunter2@127.0.0.1:1/logs")
    assert "hunter2" not in repr(log.database)
    with pytest.raises(StorageError, match=r"127\.0\.0\.1") as caught:
        log.write([row("a", text="secret of a customer")], patience=0)
    assert "hunter2" not in str(caught.value) and "secret" not in str(caught.value)


def test_the_settings_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLAYBOOK_DATABASE", "PLAYBOOK_PREDICTION_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path))
    log = open_prediction_log(settings(), "tickets")
    assert not (tmp_path / "predictions").exists()
    log.write([row("a")])
    assert (tmp_path / "predictions" / "predictions.db").is_file()
    assert log.window(date(2025, 3, 3), date(2025, 3, 3))["id"][0] == "a"


def test_lost_rows_are_added_over_writers_and_counted_once(log: PredictionLog, tmp_path: Path) -> None:
    log.write([row("there")])
    one, two = LostRows(count=3), LostRows(count=2, doubtful=("there", "nowhere"))
    log.losses.save(one)
    log.losses.save(two)
    assert log.losses.on_file() == 7
    assert (log.lost(), log.lost()) == (6, 6)  # of those in doubt one is there
    assert log.losses.settle(two) == LostRows(two.writer, 3)
    assert log.lost() == 6
    for path in (tmp_path / "predictions" / "lost").glob("*.json"):
        path.unlink()  # as another machine sees it
    assert log.lost() == 6
    (tmp_path / "predictions" / "lost" / f"tickets-{'0' * 32}.json").write_text("{ no json")
    log.losses.save(LostRows(one.writer, 2))  # an older count than the table has
    assert log.lost() == 6
    assert open_log(tmp_path, task="other").lost() == 0
