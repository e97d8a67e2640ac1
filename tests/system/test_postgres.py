"""One PostgreSQL holds everything: a task on it end to end, from the command line, by one variable.

Dagster's storage, MLflow's runs and registry, and the decisions with the approval lie in its tables; nothing is in
SQLite or in files of the state folder, and the password of the URL is nowhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from play_runs import make_place
from postgres import PostgresServer, postgres_server

from playbook.settings import child_environment

SECRET = "s3cret-p@ss"  # noqa: S105 - the test's own server lets everybody in
WRITTEN = "s3cret-p%40ss"  # as the URL has it
TASK, OWNER = "pairs", "team:c"
OWN = ("PLAYBOOK_STORE", "PLAYBOOK_TASKS", "PLAYBOOK_DVC_REMOTE", "MLFLOW_TRACKING_URI", "DAGSTER_HOME")
# Another process that writes into the same log all the while.
CLERK = """
import sys, time
from playbook.decide.log import open_decision_log
from playbook.settings import settings
log = open_decision_log(settings(), sys.argv[1])
count = 0
while sys.stdin.readable() and not __import__("select").select([sys.stdin], [], [], 1.0)[0]:
    count += 1
    log.append("relabel", f"Note {count}", by="clerk@example.org")
print(count)
"""


@dataclass
class Office:
    """An installation whose state lies in a PostgreSQL."""

    folder: Path
    server: PostgresServer
    said: list[str] = field(default_factory=list)
    notes: int = 0

    @property
    def environment(self) -> dict[str, str]:
        url = self.server.url("office").replace("playbook@", f"playbook:{WRITTEN}@")
        clean = {name: value for name, value in child_environment().items() if name not in OWN}
        return {**clean, "PLAYBOOK_DATABASE": url, "PLAYBOOK_HOME": str(self.folder / "home"), "PLAYBOOK_THREADS": "1"}

    def command(self, *arguments: str, status: int = 0) -> str:
        """A command of the command line, in this process; what it printed."""
        from click.testing import CliRunner

        from playbook.cli import main

        with patch.dict(os.environ, self.environment, clear=True):  # a run names its storage there, too
            done = CliRunner().invoke(main, arguments)
        self.said += [done.stdout, done.stderr]
        assert done.exit_code == status, (done.output, done.exception)
        return str(done.stdout)

    def run(self, status: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.command("run", str(self.file), "--json", status=status).strip().splitlines()[-1]
        )
        return found

    @property
    def file(self) -> Path:
        return self.folder / f"{TASK}.yaml"

    def rows(self, sql: str) -> list[str]:
        """Rows of a query, columns parted by a bar."""
        return self.server.query(sql, "office").splitlines()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, begun_store: Path) -> Iterator[Office]:
    """A finished task: run, approved in between, run again; a clerk writes into its log all the while.

    The weights come from the shared store: nothing is trained here.
    """
    with postgres_server() as server:
        made = Office(tmp_path_factory.mktemp("office"), server)
        make_place(made.folder, None, begun=begun_store, max_rungs=1).task(sign_off={"mode": "recorded"})
        clerk = subprocess.Popen(
            [sys.executable, "-c", CLERK, TASK],
            env=made.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            waits = made.run(4)
            assert waits["sign_off"]["state"] == "awaiting", waits
            asked = ("gain", "failures", "production")
            answers = [part for short in asked for part in (f"--answer-{short}", "Yes, it is.")]
            made.command("approve", str(made.file), "--as", OWNER, *answers)
            done = made.run(0)
            assert done["state"] in ("shipped", "baseline_shipped", "target_already_met"), done
            assert done["model"]["version"] == "1.0.0"
        finally:
            out, _ = clerk.communicate("end\n", timeout=240)
        assert clerk.returncode == 0
        made.notes = int(out)
        yield made


def test_dagsters_runs_lie_there(office: Office) -> None:
    assert office.rows("SELECT status FROM dagster.runs") == ["SUCCESS", "SUCCESS"]
    (assets,) = office.rows("SELECT count(DISTINCT asset_key) FROM dagster.event_logs WHERE asset_key LIKE '%pairs%'")
    assert int(assets) >= 13


def test_mlflows_runs_and_models_lie_there(office: Office) -> None:
    names = set(office.rows("SELECT name FROM mlflow.runs"))
    assert {"evaluation", "packaged_model"} <= names, names
    assert office.rows("SELECT name, version FROM mlflow.model_versions") == [f"{TASK}|1"]
    (place,) = office.rows("SELECT artifact_location FROM mlflow.experiments WHERE name = 'pairs'")
    assert place == (office.folder / "home" / "mlflow" / "artifacts" / TASK).as_uri()


def test_decisions_and_the_approval_lie_there_in_one_chain(office: Office) -> None:
    (count,) = office.rows("SELECT count FROM playbook.decision_heads")
    entries = json.loads(office.command("log", str(office.file), "--json"))
    assert len(entries) == int(count)
    notes = [entry for entry in entries if entry["by"] == "clerk@example.org"]
    assert len(notes) == office.notes > 10
    approvals = [entry for entry in entries if entry["kind"] == "sign_off"]
    assert [entry["by"] for entry in approvals] == [OWNER]
    kinds = {entry["kind"] for entry in entries}
    assert {"scope", "decision", "base", "candidate", "evaluation", "ship", "sign_off"} <= kinds
    assert office.command("log", str(office.file), "--verify").startswith(f"{count} entries, unbroken")


def test_nothing_lies_in_sqlite_or_in_a_log_file(office: Office) -> None:
    home = office.folder / "home"
    files = [path.relative_to(home) for path in home.rglob("*") if path.suffix in {".db", ".sqlite", ".jsonl"}]
    elsewhere = ("dvc", "data", "gate", "handoff")  # DVC keeps a cache in SQLite; the handoff has a copy of the log
    own = [path for path in files if not str(path).startswith(elsewhere)]
    assert [path for path in own if path.name not in ("test_openings.jsonl", "cost_ratios.jsonl")] == []


def test_the_password_is_nowhere(office: Office) -> None:
    secrets = (SECRET, WRITTEN)
    assert not [text for text in office.said if any(secret in text for secret in secrets)]
    for path in (office.folder / "home").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
    tables = office.rows(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema IN ('dagster', 'mlflow', 'playbook') AND table_type = 'BASE TABLE'"
    )
    assert len(tables) > 50
    for table in tables:
        found = office.rows(f"SELECT count(*) FROM {table} AS line WHERE line::text LIKE '%s3cret%'")  # noqa: S608
        assert found == ["0"], table


def test_an_approval_changed_by_sql_is_found(office: Office) -> None:
    changed = "convert_to(replace(convert_from(line, 'UTF8'), '{}', '{}'), 'UTF8')"
    keep = f"UPDATE playbook.decision_entries SET line = {changed}"  # noqa: S608
    office.server.query(keep.format(OWNER, "eve@example.org"), "office")
    try:
        office.command("log", str(office.file), "--verify", status=1)
        assert "its content was edited" in office.said[-1] and "restore the tables" in office.said[-1]
        office.command("show", str(office.file), status=1)
    finally:
        office.server.query(keep.format("eve@example.org", OWNER), "office")
    assert "unbroken" in office.command("log", str(office.file), "--verify")
