"""Logging beside the answers: never in their way, and every row is in the log, lost and counted, or not chosen."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prediction_samples import MONDAY, open_log, row

from playbook.errors import StorageError
from playbook.operate.prediction_log import Prediction, PredictionLog
from playbook.operate.prediction_log_tables import CommitUnknown
from playbook.operate.prediction_writer import PredictionWriter, WriterCounts, in_share
from playbook.operate.redaction import Redactor
from playbook.spec import Redaction, Serving

DAY = MONDAY.date()


def writer_of(log: PredictionLog, capacity: int = 1000, patience: float = 0.1, **serving: object) -> PredictionWriter:
    rules = Serving.model_validate(serving)
    return PredictionWriter(log, rules, Redactor(rules.redact), capacity=capacity, patience=patience)


def wait(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not found():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def away(log: PredictionLog) -> Iterator[None]:
    """Another process holds the database for itself."""
    holder = sqlite3.connect(str(log.database.file), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def test_what_is_put_is_in_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    writer = writer_of(log, capacity=10_000)
    for start in range(0, 3000, 100):
        writer.put([row(str(number)) for number in range(start, start + 100)])
    assert writer.close() == WriterCounts(logged=3000, lost=0, queued=0, not_chosen=0)
    assert (log.rows_per_day(DAY, DAY)[DAY], log.lost()) == (3000, 0)
    assert not (tmp_path / "predictions" / "lost").exists()


def test_what_is_put_is_written_soon(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    writer = writer_of(log)
    writer.put([row("a")])
    wait(lambda: writer.counts.logged == 1)
    assert list(log.window(DAY, DAY)["id"]) == ["a"]
    writer.close()


def test_while_the_database_is_away_rows_wait_then_are_lost_and_counted(tmp_path: Path) -> None:
    log = open_log(tmp_path, busy_seconds=0.02)
    log.write([row("before")])
    writer = writer_of(log, capacity=50)
    with away(log):
        for number in range(200):
            writer.put([row(str(number))])
        wait(lambda: writer.counts.queued == 0)
        counts = writer.counts
        assert (counts.logged, counts.lost) == (0, 200)
        wait(lambda: log.losses.on_file() == 200)
    writer.put([row("after")])
    wait(lambda: writer.counts.logged == 1)
    assert writer.close() == WriterCounts(logged=1, lost=200, queued=0, not_chosen=0)
    assert list(log.window(DAY, DAY)["id"]) == ["after", "before"]
    assert log.lost() == 200


def test_a_short_absence_loses_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path, busy_seconds=0.02)
    log.write([row("before")])
    writer = writer_of(log, patience=120)
    with away(log):
        writer.put([row(str(number)) for number in range(500)])
        time.sleep(0.3)
    assert writer.close() == WriterCounts(logged=500, lost=0, queued=0, not_chosen=0)


def test_the_count_outlives_the_process_while_the_database_is_away(tmp_path: Path) -> None:
    log = open_log(tmp_path, busy_seconds=0.02)
    log.write([row("before")])
    writer = writer_of(log, patience=60)
    with away(log):
        writer.put([row(str(number)) for number in range(30)])
        assert writer.close(seconds=0.2).lost == 30
        assert open_log(tmp_path).losses.on_file() == 30
    later = open_log(tmp_path)
    assert (later.lost(), later.lost()) == (30, 30)
    writer.put([row("too late")])  # a closed writer loses, and says so
    assert writer.close().lost == 31
    assert open_log(tmp_path).lost() == 31


def test_a_full_queue_loses_exactly_what_does_not_fit(tmp_path: Path) -> None:
    log = open_log(tmp_path, busy_seconds=0.02)
    log.write([row("before")])
    writer = writer_of(log, capacity=10, patience=60)
    with away(log):
        writer.put([row("first")])
        wait(lambda: not writer._queue)  # it is in the thread's hands
        writer.put([row(str(number)) for number in range(25)])
        assert (writer.counts.lost, writer.counts.queued) == (15, 11)
    assert writer.close() == WriterCounts(logged=11, lost=15, queued=0, not_chosen=0)
    assert log.rows_per_day(DAY, DAY)[DAY] == 12
    assert open_log(tmp_path).lost() == 15


def test_long_texts_fill_the_queue_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbook.operate.prediction_writer.MOST_CHARACTERS", 1000)
    log = open_log(tmp_path, busy_seconds=0.02)
    log.write([row("before")])
    writer = writer_of(log, patience=60)
    with away(log):
        writer.put([row("first")])
        wait(lambda: not writer._queue)
        writer.put([row("long", text="x" * 900), row("longer", text="x" * 900), row("short", text="x")])
        assert writer.counts.lost == 1
    assert writer.close().logged == 3
    assert "longer" not in set(log.window(DAY, DAY)["id"])


class Uncertain(PredictionLog):
    """The connection breaks while the first transactions commit: after, or before they are in the database."""

    def __init__(self, log: PredictionLog, broken: Sequence[bool]) -> None:
        super().__init__(log.database, log.task, log.losses)
        self._broken = list(broken)

    def write_once(self, rows: Sequence[Prediction]) -> int:
        if not self._broken:
            return super().write_once(rows)
        if self._broken.pop(0):
            super().write_once(rows)
        raise CommitUnknown("the connection broke while it committed")


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_in_doubt_is_repeated_and_never_doubled(tmp_path: Path, committed: bool) -> None:
    writer = writer_of(Uncertain(open_log(tmp_path), [committed]))
    writer.put([row(str(number)) for number in range(40)])
    assert writer.close() == WriterCounts(logged=40, lost=0, queued=0, not_chosen=0)
    assert open_log(tmp_path).rows_per_day(DAY, DAY)[DAY] == 40
    assert open_log(tmp_path).lost() == 0


@pytest.mark.parametrize(("committed", "lost"), [(True, 0), (False, 40)])
def test_rows_in_doubt_are_looked_up_when_the_log_answers(tmp_path: Path, committed: bool, lost: int) -> None:
    log = Uncertain(open_log(tmp_path), [committed, *[False] * 1000])
    writer = writer_of(log, patience=0.2)
    writer.put([row(str(number)) for number in range(40)])
    wait(lambda: writer.counts.queued == 0)
    assert writer.counts.lost == 40
    log._broken.clear()
    assert open_log(tmp_path).lost() == lost  # another process looks, before the writer does
    writer.put([row("after")])
    assert writer.close() == WriterCounts(logged=41 - lost, lost=lost, queued=0, not_chosen=0)
    assert open_log(tmp_path).lost() == lost


def test_a_row_that_no_database_takes_does_not_take_others_with_it(tmp_path: Path) -> None:
    writer = writer_of(open_log(tmp_path))
    bad = row("bad", time=datetime(2025, 1, 1))  # no zone
    writer.put([row("a"), bad, row("b"), row("c", probability="much"), row("d")])
    assert writer.close() == WriterCounts(logged=3, lost=2, queued=0, not_chosen=0)
    assert set(open_log(tmp_path).window(DAY, DAY)["id"]) == {"a", "b", "d"}
    assert open_log(tmp_path).lost() == 2


def test_a_database_that_never_answers_holds_nobody_up(tmp_path: Path) -> None:
    release = threading.Event()

    class Stuck(PredictionLog):
        def write_once(self, rows: Sequence[Prediction]) -> int:
            release.wait(30)
            return super().write_once(rows)

    base = open_log(tmp_path)
    writer = writer_of(Stuck(base.database, base.task, base.losses))
    writer.put([row("a")])
    wait(lambda: not writer._queue)
    writer.put([row("b"), row("c")])
    assert writer.close(seconds=0.2).lost == 3  # had it waited for the database, nothing would be lost
    assert not release.is_set()
    assert open_log(tmp_path).lost() == 3
    release.set()  # it was only slow: what it wrote after all is no longer lost
    writer._thread.join(20)
    assert open_log(tmp_path).lost() == 2
    assert writer.counts == WriterCounts(logged=1, lost=2, queued=0, not_chosen=0)


def test_several_writers_count_together(tmp_path: Path) -> None:
    writers = [writer_of(open_log(tmp_path, busy_seconds=0.02), patience=0.05) for _ in range(3)]
    log = open_log(tmp_path)
    log.write([row("before")])
    with away(log):
        for number, writer in enumerate(writers):
            writer.put([row(f"{number}-{k}") for k in range(10)])
        wait(lambda: all(writer.counts.lost == 10 for writer in writers))
    assert [writer.close().lost for writer in writers] == [10, 10, 10]
    assert log.lost() == 30


def test_the_share_follows_from_the_id(tmp_path: Path) -> None:
    names = [f"id-{number}" for number in range(2000)]
    chosen = {name for name in names if in_share(name, 0.3)}
    assert 500 < len(chosen) < 700  # 600, more than four standard deviations either way
    assert chosen <= {name for name in names if in_share(name, 0.5)}
    assert all(in_share(name, 1.0) for name in names) and not any(in_share(name, 0.0) for name in names)
    log = open_log(tmp_path)
    for _ in range(2):
        writer = writer_of(log, capacity=5000, log_share=0.3)
        writer.put([row(name) for name in names])
        assert writer.close() == WriterCounts(len(chosen), 0, 0, 2000 - len(chosen))
    assert set(log.window(DAY, DAY)["id"]) == chosen


def test_nothing_is_stored_before_it_is_redacted(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    writer = writer_of(log, redact=Redaction(columns=("customer",), patterns=(r"\d{4}",)))
    writer.put([row("a", text="card 1234 please", columns={"customer": "Ada", "channel": "mail 9999"})])
    writer.close()
    found = log.window(DAY, DAY).iloc[0]
    assert found["text"] == "card [redacted] please"
    assert found["columns"] == {"customer": "[redacted]", "channel": "mail [redacted]"}
    log.close()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "predictions").iterdir() if path.is_file())
    assert b"1234" not in kept and b"Ada" not in kept


def test_the_writer_deletes_what_is_past_its_time(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    now = datetime.now(UTC)
    log.write([row("old", logged_at=now - timedelta(days=31)), row("kept", logged_at=now - timedelta(days=29))])
    writer = writer_of(log, retention_days=30)
    wait(lambda: len(log.window(DAY, DAY)) == 1)
    writer.close()
    assert list(log.window(DAY, DAY)["id"]) == ["kept"]


def test_a_place_that_cannot_be_written_stops_no_answer(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("a file where the folder should be")
    log = open_log(tmp_path)
    writer = writer_of(log)
    writer.put([row("a"), row("b")])
    assert writer.close().lost == 2
    with pytest.raises(StorageError, match=r"predictions\.db"):
        log.lost()
    (tmp_path / "predictions").unlink()
    assert writer.close().lost == 2  # the count is written as soon as it can be
    assert open_log(tmp_path).lost() == 2
