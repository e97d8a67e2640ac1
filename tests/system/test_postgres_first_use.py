"""The first use of a PostgreSQL: many processes at once, homes that change sides, and schemas of another release."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from data_samples import sample
from postgres import PostgresServer, postgres_server

from pipelines.instance import prepare_home
from pipelines.launch import run_task
from playbook.database import exclusive, in_schema, postgres_url
from playbook.errors import PlaybookError, SettingsError, StorageError, TaskBusy
from playbook.settings import Settings, child_environment, settings
from resources.mlflow_server import server_command, server_environment
from resources.tracking import Tracking
from resources.tracking_postgres import prepare_postgres, upgrade_postgres

SECRET = "s3cret"  # noqa: S105 - the test's own server lets everybody in


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="module")
def tables(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's tables in a schema of their own, made by two processes at the same time; the URL."""
    database = server.url("mlflow").replace("playbook@", f"playbook:{SECRET}@")
    code = "from playbook.settings import settings; from resources.tracking import Tracking; "
    code += "print(Tracking.from_settings(settings()).experiment('tickets'))"
    homes = [tmp_path_factory.mktemp("home") for _ in range(2)]  # two machines: no lock file is shared
    environment = {**child_environment(), "PLAYBOOK_DATABASE": database, "MLFLOW_TRACKING_URI": ""}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**environment, "PLAYBOOK_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for home in homes
    ]  # fmt: skip
    said = [child.communicate(timeout=240) for child in children]
    assert [child.returncode for child in children] == [0] * 2, said
    assert {out for out, _ in said} == {"1\n"}  # one experiment, not two
    assert not any(SECRET in out + err for out, err in said)
    return in_schema(postgres_url(database, "TEST"), "mlflow")


def test_mlflows_tables_are_made_once_by_two(server: PostgresServer, tables: str) -> None:
    assert server.query("SELECT count(*) FROM mlflow.alembic_version", "mlflow") == "1"
    assert server.query("SELECT count(*) FROM mlflow.experiments WHERE name = 'tickets'", "mlflow") == "1"
    assert server.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "mlflow") == "0"
    prepare_postgres(tables)  # nothing to do
    assert "is at" in upgrade_postgres(tables)


def test_another_releases_tables_are_left_alone_until_asked(server: PostgresServer, tables: str) -> None:
    now = server.query("SELECT version_num FROM mlflow.alembic_version", "mlflow")
    older = "451aebb31d03"  # MLflow's first revision
    for revision, remedy in (
        (older, "make a backup, then: python -m resources"),
        ("29b539ebc72a", "another program's"),
    ):
        server.query(f"UPDATE mlflow.alembic_version SET version_num = '{revision}'", "mlflow")  # noqa: S608
        with pytest.raises(PlaybookError, match=f"found {revision}; .*{remedy}") as caught:
            prepare_postgres(tables)
        assert SECRET not in str(caught.value)
    with pytest.raises(PlaybookError, match="another program's"):
        upgrade_postgres(tables)
    server.query(f"UPDATE mlflow.alembic_version SET version_num = '{older}'", "mlflow")  # noqa: S608
    with pytest.raises(PlaybookError, match=r"expected `mlflow db upgrade` to succeed.*nothing was changed") as caught:
        upgrade_postgres(tables)  # its tables are newer than it says
    assert SECRET not in str(caught.value)
    assert server.query("SELECT version_num FROM mlflow.alembic_version", "mlflow") == older
    server.query(f"UPDATE mlflow.alembic_version SET version_num = '{now}'", "mlflow")  # noqa: S608
    prepare_postgres(tables)


def test_artifacts_go_where_they_are_told(tables: str, tmp_path: Path) -> None:
    assert Tracking(tables, tmp_path).artifacts == (tmp_path / "mlflow" / "artifacts").as_uri()
    assert Tracking(tables, tmp_path, "s3://bucket/mlflow/").artifacts == "s3://bucket/mlflow"
    assert Tracking(tables, tmp_path, str(tmp_path / "shared")).artifacts == (tmp_path / "shared").as_uri()
    assert Tracking("https://mlflow.example", tmp_path, "s3://bucket").artifacts is None


def test_a_servers_command_line_has_no_password(tables: str, tmp_path: Path) -> None:
    tracking = Tracking(tables, tmp_path)
    command = server_command(tracking, 5123)
    assert SECRET not in " ".join(command) and "--backend-store-uri" not in command
    assert command[command.index("--default-artifact-root") + 1] == tracking.artifacts
    assert server_environment(tracking)["MLFLOW_BACKEND_STORE_URI"] == tables


def test_a_task_runs_once_among_all_machines(tables: str, tmp_path: Path) -> None:
    task = sample(tmp_path)
    places = replace(settings(), home=tmp_path, dagster_database=tables)
    with exclusive(tables, "run other"), exclusive(tables, f"run {task.spec.task}"):
        with pytest.raises(TaskBusy, match=r"another run of .* is under way"):
            run_task(task, places)
        with pytest.raises(TaskBusy, match="lock run other"), exclusive(tables, "run other"):
            pass
    with exclusive(tables, f"run {task.spec.task}"):
        pass


def test_a_database_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    away = in_schema(f"postgresql+psycopg2://anna:{SECRET}@127.0.0.1:1/shop", "mlflow")
    for use in (lambda: prepare_postgres(away), lambda: prepare_home(_places(tmp_path, away))):
        with pytest.raises(StorageError, match=r"postgresql://127\.0\.0\.1:1/shop.*refused") as caught:
            use()
        assert SECRET not in str(caught.value)


def _places(home: Path, database: str | None) -> Settings:
    return replace(settings(), home=home, dagster_home=home / "dagster", dagster_database=database)


def _runs(home: Path) -> str:
    """Kind of run storage that Dagster opens in a home."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        return type(instance.run_storage).__name__


@pytest.fixture
def dagster_url(server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PLAYBOOK_DAGSTER_DATABASE", "")  # what `prepare_home` names is taken back afterwards
    monkeypatch.setenv("DAGSTER_HOME", "")
    given = server.url(f"dagster_{tmp_path.name}").replace("playbook@", f"playbook:{SECRET}@")
    return in_schema(postgres_url(given, "TEST"), "dagster")


def test_a_home_changes_sides_and_says_so(
    dagster_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dagster" / "dagster.yaml"
    prepare_home(_places(tmp_path, None))
    plain = file.read_text()
    assert "SqliteRunStorage" in _runs(tmp_path) and caplog.messages == []
    prepare_home(_places(tmp_path, dagster_url))
    assert _runs(tmp_path) == "PostgresRunStorage" and SECRET not in file.read_text()
    assert (
        "switched to postgresql://127.0.0.1" in caplog.text and "stay in" in caplog.text and SECRET not in caplog.text
    )
    assert os.environ["PLAYBOOK_DAGSTER_DATABASE"] == dagster_url
    caplog.clear()
    prepare_home(_places(tmp_path, dagster_url))
    assert caplog.messages == []
    prepare_home(_places(tmp_path, None))
    assert "SqliteRunStorage" in _runs(tmp_path) and "back to SQLite" in caplog.text
    assert file.read_text() == plain


def test_somebodys_own_storage_is_left_alone(dagster_url: str, tmp_path: Path) -> None:
    file = tmp_path / "dagster" / "dagster.yaml"
    file.parent.mkdir()
    own = f"storage:\n  sqlite:\n    base_dir: {tmp_path}\ntelemetry:\n  enabled: false\n"
    file.write_text(own)
    prepare_home(_places(tmp_path, dagster_url))
    assert file.read_text() == own
    file.write_text("storage: [\n")
    with pytest.raises(SettingsError, match="expected Dagster's configuration, found no such YAML"):
        prepare_home(_places(tmp_path, dagster_url))


def test_two_open_a_new_home_at_once(server: PostgresServer, dagster_url: str, tmp_path: Path) -> None:
    environment = {**child_environment(), "MLFLOW_TRACKING_URI": "https://mlflow.example", "DAGSTER_HOME": ""}
    environment["PLAYBOOK_DAGSTER_DATABASE"] = dagster_url
    command = [sys.executable, "-m", "pipelines.instance"]
    children = [
        subprocess.Popen(command, env={**environment, "PLAYBOOK_HOME": str(tmp_path / str(number))})
        for number in range(2)
    ]
    assert [child.wait(120) for child in children] == [0, 0]
    database = dagster_url.partition("?")[0].rpartition("/")[2]
    assert server.query("SELECT count(*) FROM dagster.alembic_version", database) == "1"
