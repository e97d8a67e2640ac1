"""The decision log in a real PostgreSQL: the same chain, the same messages, any number of writers."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from postgres import PostgresServer, postgres_server
from sqlalchemy import text

from playbook.database import in_schema, make_engine, postgres_url
from playbook.decide.log import DecisionLog, open_decision_log
from playbook.decide.log_anchor import StoreAnchor
from playbook.decide.log_database import LogTables
from playbook.decide.log_files import LogFiles
from playbook.errors import ArtifactError, LogTampered
from playbook.settings import settings
from playbook.store import Store

SECRET = "s3cret"  # noqa: S105 - the test's own server lets everybody in


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer, tmp_path: Path) -> str:
    """A database of the test's own, with a password in its URL that the server does not ask for."""
    given = server.url(f"log_{tmp_path.name}".replace("-", "_"))
    return in_schema(postgres_url(given.replace("playbook@", f"playbook:{SECRET}@"), "TEST"), "playbook")


@pytest.fixture
def log(url: str, tmp_path: Path) -> DecisionLog:
    made = DecisionLog(LogTables(url, "tickets", LogFiles(tmp_path / "decisions.jsonl")))
    made.append("scope", "Tickets are sorted", by="anna@example.org", inputs={"spec": "a1" * 32})
    made.append("base", "MiniLM is the base", by="playbook", inputs={"score": 0.8125}, body={"why": "größer\nals"})
    made.append("ship", "Ship the candidate", by="playbook", body={"text": "\u2028 ü \x00"})
    return made


def query(server: PostgresServer, url: str, sql: str) -> str:
    return server.query(f"SET search_path = playbook; {sql}", url.partition("?")[0].rpartition("/")[2])


def test_the_tables_hold_the_bytes_of_the_files(log: DecisionLog, tmp_path: Path) -> None:
    entries = log.entries()
    assert [(entry.index, entry.kind) for entry in entries] == [(1, "scope"), (2, "base"), (3, "ship")]
    with log.storage.locked():
        stored = log.storage.read()
    assert stored.lines == tuple(entry.line for entry in entries)
    assert stored.head is not None and (stored.head.count, stored.head.sha256) == (3, entries[-1].sha256)
    assert log.find(entries[1].sha256[:12]) == entries[1]
    assert (
        log.append_once("", "ship", "Ship the candidate", by="playbook", body={"text": "\u2028 ü \x00"}) == entries[2]
    )
    assert not (tmp_path / "decisions.jsonl").exists()


def test_tasks_have_chains_of_their_own(log: DecisionLog, url: str, tmp_path: Path) -> None:
    other = DecisionLog(LogTables(url, "letters", LogFiles(tmp_path / "letters.jsonl")))
    assert other.entries() == ()
    assert other.append("scope", "Letters", by="anna").index == 1
    assert len(log.entries()) == 3


@pytest.mark.parametrize(
    ("sql", "match"),
    [
        (
            "UPDATE decision_entries SET line = convert_to(replace(convert_from(line, 'UTF8'), 'MiniLM', 'MaxiLM'), "
            "'UTF8') WHERE index = 2",
            "line 2: its content was edited",
        ),
        ("UPDATE decision_entries SET line = 'x' WHERE index = 2", "line 2: no entry of the log"),
        ("UPDATE decision_entries SET sha256 = 'x' WHERE index = 2", "line 2: its row names another"),
        ("UPDATE decision_entries SET index = 9 WHERE index = 3", "line 3: its row names another"),
        ("DELETE FROM decision_entries WHERE index = 2", "line 2: a line is missing, added or out of its order"),
        ("DELETE FROM decision_entries WHERE index = 3", "line 3: the head counts 3 entries, the last lines were cut"),
        ("DELETE FROM decision_entries", "line 1: the head counts 3 entries, the last lines were cut off"),
        ("DELETE FROM decision_heads", "head of the decision log of tickets .*: missing beside a log of 3 entries"),
        ("UPDATE decision_heads SET count = 2", "line 2: it is not the entry that the head names"),
        ("UPDATE decision_heads SET count = -1", "it is not the entry that the head names"),
        (
            "UPDATE decision_heads SET count = 2, sha256 = (SELECT sha256 FROM decision_entries WHERE index = 2)",
            "line 3: the head counts 2 entries .found lines beyond it",
        ),
    ],
)
def test_what_sql_changes_is_found(log: DecisionLog, server: PostgresServer, url: str, sql: str, match: str) -> None:
    query(server, url, sql)
    for use in (log.entries, lambda: log.append("ship", "Ship it", by="playbook")):
        with pytest.raises(LogTampered, match=match) as caught:
            use()
        assert SECRET not in str(caught.value) and "restore the tables" in str(caught.value)
    assert "Ship it" not in query(server, url, "SELECT convert_from(line, 'UTF8') FROM decision_entries")


def test_writers_of_several_processes_make_one_chain(log: DecisionLog, url: str, tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from playbook.decide.log import DecisionLog; "
        "from playbook.decide.log_database import LogTables; from playbook.decide.log_files import LogFiles; "
        "log = DecisionLog(LogTables(os.environ['URL'], 'tickets', LogFiles(Path('none.jsonl')))); "
        "[log.append('rung', f'{sys.argv[1]} {n}', by=sys.argv[1]) for n in range(10)]"
    )
    command = [sys.executable, "-c", program]
    others = [subprocess.Popen([*command, name], env={"URL": url}, cwd=tmp_path) for name in ("anna", "bo")]
    for number in range(10):
        log.append("rung", f"here {number}", by="here")
    assert [other.wait(240) for other in others] == [0, 0]
    entries = log.entries()
    assert [entry.index for entry in entries] == list(range(1, 34))
    assert {entry.by for entry in entries[3:]} == {"anna", "bo", "here"}


def test_many_make_the_tables_at_once(server: PostgresServer, tmp_path: Path) -> None:
    fresh = in_schema(postgres_url(server.url("first_use"), "TEST"), "playbook")
    failed: list[Exception] = []

    def write(task: str) -> None:
        try:
            DecisionLog(LogTables(fresh, task, LogFiles(tmp_path / f"{task}.jsonl"))).append("scope", task, by="a")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"task_{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert query(server, fresh, "SELECT count(*) FROM decision_heads") == "8"


def test_a_log_in_files_goes_over_with_its_chain(
    server: PostgresServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path))
    files = open_decision_log(replace(settings(), decision_database=None), "tickets")
    earlier = [files.append("scope", "Tickets", by="anna"), files.append("ship", "Ship it", by="anna")]
    log = open_decision_log(replace(settings(), decision_database=url), "tickets")
    assert list(log.entries()) == earlier
    added = log.append("sign_off", "Approved", by="bo")
    assert (added.index, added.previous) == (3, earlier[-1].sha256)
    assert log.entries() == (*earlier, added)
    assert query(server, url, "SELECT count(*) FROM decision_entries") == "3"
    files.storage.path.write_bytes(b"edited later\n")  # type: ignore[attr-defined]
    assert len(log.entries()) == 3  # the database has the log now


def test_a_broken_log_in_files_does_not_go_over(url: str, tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "tickets.jsonl")
    DecisionLog(files).append("scope", "Tickets", by="anna")
    files.path.write_bytes(files.path.read_bytes().replace(b"Tickets", b"Letters"))
    log = DecisionLog(LogTables(url, "tickets", files))
    with pytest.raises(LogTampered, match="line 1: its content was edited"):
        log.append("ship", "Ship it", by="anna")


def test_a_user_without_the_right_to_change_entries_is_enough(
    log: DecisionLog, server: PostgresServer, url: str, tmp_path: Path
) -> None:
    query(server, url, "DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA playbook TO clerk")
    query(server, url, "GRANT SELECT, INSERT ON decision_entries TO clerk")
    query(server, url, "GRANT SELECT, INSERT, UPDATE ON decision_heads TO clerk")
    clerk = url.replace(f"playbook:{SECRET}@", "clerk@")
    theirs = DecisionLog(LogTables(clerk, "tickets", LogFiles(tmp_path / "none.jsonl")))
    assert theirs.append("rung", "Rung 1 is kept", by="clerk").index == 4
    assert len(log.entries()) == 4
    with pytest.raises(Exception, match="permission denied"), make_engine(clerk).begin() as connection:
        connection.execute(text("UPDATE decision_entries SET line = 'x'"))
    query(server, url, "REVOKE ALL ON decision_heads FROM clerk")
    with pytest.raises(ArtifactError, match=r"permission denied for table decision_heads.*Nothing was recorded"):
        theirs.append("rung", "Rung 2 is kept", by="clerk")
    assert len(log.entries()) == 4
    query(server, url, "DROP OWNED BY clerk")


def test_a_database_that_is_away_records_nothing(server: PostgresServer, log: DecisionLog) -> None:
    server.stop()
    try:
        for use in (log.entries, lambda: log.append("ship", "Ship it", by="playbook")):
            with pytest.raises(ArtifactError, match="Nothing was recorded; see that the database runs") as caught:
                use()
            assert SECRET not in str(caught.value) and SECRET not in repr(caught.value.__context__)
    finally:
        server.start()
    assert len(log.entries()) == 3


def test_a_writer_that_is_killed_within_leaves_no_half(log: DecisionLog, server: PostgresServer, url: str) -> None:
    class Killed(Exception):
        pass

    storage = log.storage
    entries = log.entries()
    with pytest.raises(Killed), storage.locked():
        stored = storage.read()
        assert stored.head is not None
        storage.add(stored.lines, entries[-1].line.replace(b'"index":3', b'"index":4'), stored.head)
        raise Killed
    assert log.entries() == entries


def test_tables_that_were_emptied_are_noticed_by_the_store(
    server: PostgresServer, url: str, log: DecisionLog, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    anchored = DecisionLog(log.storage, (StoreAnchor(store, "tickets", "here"),))
    anchored.append("evaluation", "The candidate gains", by="playbook")
    query(server, url, "DELETE FROM decision_entries; DELETE FROM decision_heads")
    for use in (anchored.entries, lambda: anchored.append("ship", "Ship it", by="playbook")):
        with pytest.raises(LogTampered, match=r"expected 4 decisions, .* as the store has kept it on .*found no log"):
            use()
    assert query(server, url, "SELECT count(*) FROM decision_entries").strip() == "0", "nothing is begun in its place"
    entry = anchored.accept_loss(by="anna@example.org", reason="the database was lost with its backup")
    assert (entry.index, entry.kind) == (1, "lost_log") and len(anchored.entries()) == 1
    query(server, url, "DROP TABLE decision_entries; DROP TABLE decision_heads")
    with pytest.raises(LogTampered, match="found no log"):
        anchored.entries()


def test_a_table_whose_last_rows_are_gone_has_a_way_out(server: PostgresServer, url: str, log: DecisionLog) -> None:
    whole = log.entries()
    query(server, url, "DELETE FROM decision_entries WHERE index > 1")
    with pytest.raises(LogTampered, match=r"the last lines were cut off.*--accept-loss"):
        log.entries()
    entry = log.accept_loss(by="anna@example.org", reason="somebody deleted rows, and there is no backup")
    assert (entry.index, entry.kind) == (2, "lost_log") and log.entries() == (whole[0], entry)
    assert str(entry.body["set aside"]).startswith("decision_entries_lost in ")
    assert query(server, url, "SELECT count(*) FROM decision_entries_lost").strip() == "1"
    assert log.append("ship", "Ship it", by="playbook").index == 3


def test_a_broken_log_in_files_has_a_way_out_into_the_tables(url: str, tmp_path: Path) -> None:
    files = DecisionLog(tmp_path / "tickets" / "decisions.jsonl")
    for number in range(3):
        files.append("rung", f"Rung {number} is kept", by="playbook")
    lines = files.storage.path.read_bytes().splitlines(keepends=True)
    files.storage.path.write_bytes(b"".join(lines[:2]))
    tables = DecisionLog(LogTables(url, "tickets", files.storage))
    entry = tables.accept_loss(by="anna@example.org", reason="the disk broke and there was no backup")
    assert (entry.index, len(tables.entries())) == (3, 3) and not files.storage.path.exists()
