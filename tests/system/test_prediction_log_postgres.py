"""The prediction log on a real PostgreSQL: several writers at once, and a server that is killed in the middle."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from postgres import PostgresServer, postgres_server
from prediction_samples import MONDAY, open_log, row
from served_load import Load, serving
from served_models import register, served_place
from services import wait_for

from playbook.errors import StorageError
from playbook.operate.prediction_log import Outcome, OutcomeCount, Purged
from playbook.operate.prediction_writer import PredictionWriter, WriterCounts
from playbook.operate.redaction import Redactor
from playbook.settings import child_environment
from playbook.spec import Redaction, Serving

DAY = MONDAY.date()
TESTS = Path(__file__).resolve().parents[1]

WRITE = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from prediction_samples import open_log, row
from playbook.operate.prediction_writer import PredictionWriter
from playbook.operate.redaction import Redactor
from playbook.spec import Redaction, Serving
folder, url, name = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
log = open_log(folder, url)
(folder / f"{name}.ready").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
writer = PredictionWriter(log, Serving(), Redactor(Redaction()))
for start in range(0, 5000, 100):
    writer.put([row(f"{name}-{number}") for number in range(start, start + 100)])
    writer.put([row(f"shared-{start // 100}")])
print(writer.close(120))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as running:
        yield running


def test_four_writers_log_twenty_thousand_predictions_at_once(server: PostgresServer, tmp_path: Path) -> None:
    """Into a database that has no tables yet; ids that all four send are there once."""
    url = server.url("four_writers")
    commands = [[sys.executable, "-c", WRITE, str(TESTS), str(tmp_path), url, f"w{number}"] for number in range(4)]
    children = [
        subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    wait_for("four writers", 180, lambda: len(list(tmp_path.glob("*.ready"))) == 4)
    (tmp_path / "go").touch()
    for child in children:
        out, err = child.communicate(timeout=180)
        assert child.returncode == 0, err
        assert out.strip() == str(WriterCounts(logged=5050, lost=0, queued=0, not_chosen=0))
    log = open_log(tmp_path, url)
    ids = set(log.window(DAY, DAY)["id"])
    expected = {f"w{number}-{k}" for number in range(4) for k in range(5000)} | {f"shared-{k}" for k in range(50)}
    assert ids == expected
    assert log.rows_per_day(DAY, DAY) == {DAY: 20_050}
    assert log.lost() == 0


def test_it_answers_as_sqlite_does(server: PostgresServer, tmp_path: Path) -> None:
    log = open_log(tmp_path, server.url("same"))
    assert log.latest_day() is None
    text = "nul \0 half \ud83d pair 🙂 'quote' %s :x"
    old = row("old", logged_at=datetime(2024, 1, 1, tzinfo=UTC))
    rows = [row("a", text=text), row("b", 1), row("b", text="again"), old]
    assert (log.write(rows), log.write(rows)) == (3, 0)
    first = Outcome("a", "refund", MONDAY + timedelta(days=2))
    assert log.record_outcomes([first, Outcome("x", "new", MONDAY)]) == OutcomeCount(new=2, unmatched=1)
    assert log.record_outcomes([first, Outcome("a", "access", MONDAY + timedelta(days=5))]) == OutcomeCount(
        repeated=1, changed=1
    )
    seen = log.window(DAY, DAY, MONDAY + timedelta(days=3)).set_index("id")
    assert seen["outcome"].to_dict() == {"a": "refund", "old": ""}
    assert seen["text"]["a"] == "nul \ufffd half \ufffd pair 🙂 'quote' %s :x"
    assert log.window(DAY, DAY).set_index("id")["outcome"]["a"] == "access"
    assert list(log.labelled()["id"]) == ["a"]
    assert log.rows_per_day(DAY, DAY + timedelta(days=1)) == {DAY: 2, DAY + timedelta(days=1): 1}
    assert log.latest_day() == DAY + timedelta(days=1)
    log.record_outcomes([Outcome("old", "refund", MONDAY)])
    assert log.purge(datetime.now(UTC) - timedelta(days=30)) == Purged(1, 1)


# As the release before answers could be silent made it, index and all; a copy, so that it stays what it was.
OLD_TABLE = """
CREATE TABLE predictions (
    task TEXT NOT NULL, id TEXT NOT NULL, time TIMESTAMP WITHOUT TIME ZONE NOT NULL, day VARCHAR(10) NOT NULL,
    version TEXT NOT NULL, source VARCHAR(16) NOT NULL, label TEXT NOT NULL, probability FLOAT NOT NULL,
    probabilities TEXT NOT NULL, text TEXT NOT NULL, columns TEXT NOT NULL,
    logged_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, PRIMARY KEY (task, id)
);
CREATE INDEX predictions_by_day ON predictions (task, day);
"""
OLD_INSERT = """
INSERT INTO predictions (task, id, time, day, version, source, label, probability, probabilities, text, columns,
    logged_at)
VALUES ('tickets', '{id}', '2025-03-03 09:30', '2025-03-03', '0.9.0', 'serve', 'refund', 0.75, '{{"refund": 0.75}}',
    'an older text', '{{}}', '2025-03-03 09:30');
"""


@pytest.mark.parametrize("schema", ["public", "ours"])
def test_a_table_of_an_earlier_release_gets_its_new_column(server: PostgresServer, tmp_path: Path, schema: str) -> None:
    """Several processes of this release come at once; a writer of the release before goes on meanwhile."""
    name = f"migrated_{schema}"
    url, path = server.url(name), f"SET search_path = {schema};"
    if schema != "public":
        url += f"?options=-csearch_path={schema}"
        server.query(f"CREATE SCHEMA {schema}", name)
        server.query(OLD_TABLE.replace("TABLE predictions (", "TABLE predictions (silent BOOLEAN, "), name)
    server.query(path + OLD_TABLE + OLD_INSERT.format(id="old"), name)
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda at: open_log(tmp_path, url).write([row(f"new-{at}", silent=at == 3)]), range(4)))
    assert new == [1, 1, 1, 1]
    server.query(path + OLD_INSERT.format(id="late"), name)
    log = open_log(tmp_path, url)
    silent = log.window(DAY, DAY).set_index("id")["silent"].to_dict()
    assert silent == {"old": False, "late": False, "new-3": True} | {f"new-{at}": False for at in range(3)}
    assert log.window(DAY, DAY).set_index("id")["text"]["old"] == "an older text"
    asked = f"table_schema = '{schema}' AND table_name = 'predictions' AND column_name = 'silent'"
    described = server.query(
        f"SELECT data_type, is_nullable, column_default FROM information_schema.columns WHERE {asked}",  # noqa: S608
        name,
    )
    assert described == "boolean|NO|false"
    assert open_log(tmp_path, url).write([row("again")]) == 1, "and once is enough"


def test_a_table_that_may_not_be_altered_says_who_has_to(server: PostgresServer, tmp_path: Path) -> None:
    server.url("guarded")
    server.query(OLD_TABLE, "guarded")
    server.query("CREATE ROLE guest LOGIN; GRANT SELECT, INSERT ON predictions TO guest;", "guarded")
    server.query("GRANT CREATE ON SCHEMA public TO guest", "guarded")
    url = server.url("guarded").replace("//playbook@", "//guest@")
    with pytest.raises(StorageError, match="ALTER TABLE predictions ADD COLUMN silent"):
        open_log(tmp_path, url).write([row("a")])


def test_outcomes_recorded_by_several_at_once_are_new_once(server: PostgresServer, tmp_path: Path) -> None:
    url = server.url("outcomes")
    outcomes = [Outcome(str(number), "refund", MONDAY) for number in range(1200)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: open_log(tmp_path, url).record_outcomes(outcomes), range(4)))
    assert sum((count for count in counts), OutcomeCount()) == OutcomeCount(1200, 3600, 0, 4800)
    assert server.query("SELECT count(*) FROM outcomes", "outcomes") == "1200"


def test_a_schema_that_the_url_names_is_made(server: PostgresServer, tmp_path: Path) -> None:
    url = f"{server.url('schemas')}?options=-csearch_path=predictions_of_ours"
    assert open_log(tmp_path, url).write([row("a")]) == 1
    assert server.query("SELECT id FROM predictions_of_ours.predictions", "schemas") == "a"


def test_connections_that_are_cut_again_and_again_double_nothing(server: PostgresServer, tmp_path: Path) -> None:
    """Every connection to the database is cut again and again while a writer writes."""
    log = open_log(tmp_path, server.url("cut"))
    writer = PredictionWriter(log, Serving(), Redactor(Redaction()))
    stop = threading.Event()

    cuts = 0

    def cut() -> None:
        nonlocal cuts
        while not stop.wait(0.02):
            server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'")
            cuts += 1

    thread = threading.Thread(target=cut)
    thread.start()
    for number in range(10_000):
        writer.put([row(str(number))])
    wait_for("many cuts", 120, lambda: cuts >= 20)
    stop.set()
    thread.join()
    counts = writer.close(60)
    there = log.rows_per_day(DAY, DAY)[DAY]
    assert counts.logged + counts.lost == 10_000
    assert there + log.lost() == 10_000
    assert there == counts.logged


def test_a_killed_database_leaves_serving_alive_and_the_count_right(tmp_path: Path, database: Path) -> None:
    place = served_place(tmp_path / "served", database)
    register(place, 5)
    with postgres_server() as postgres:
        url = postgres.url("killed")
        with serving(place, PLAYBOOK_PREDICTION_LOG=url) as running:
            with Load(running, pause=0.05) as load:
                wait_for("rows in the log", 120, lambda: running.health["logged"] > 200)
                postgres.kill()
                wait_for("lost rows", 120, lambda: running.health["lost"] > 0)
                with pytest.raises(StorageError):
                    open_log(place.folder / "home", url, "sample").lost()
                before = len(load.versions)
                wait_for("answers without a database", 120, lambda: len(load.versions) > before + 20)
                postgres.restart()
                logged = running.health["logged"]
                wait_for("rows in the log again", 120, lambda: running.health["logged"] > logged)
            answered = len(load.versions)
            assert load.failures == []
            said = running.end()
        log = open_log(place.folder / "home", url, "sample")
        days = log.rows_per_day(date.today() - timedelta(days=1), date.today() + timedelta(days=1))
        there, lost = sum(days.values()), log.lost()
        assert lost > 0
        assert there + lost == answered
        assert f"{there} predictions logged, {lost} lost" in said
