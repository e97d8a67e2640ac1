"""URLs of databases: which schema they mean, and that no password gets out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbook.database import (
    first_line,
    in_schema,
    is_postgres,
    place_of,
    postgres_url,
    schema_of,
    without_secrets,
)
from playbook.errors import SettingsError
from playbook.settings import settings

VARIABLES = (
    "PLAYBOOK_DATABASE",
    "PLAYBOOK_PREDICTION_LOG",
    "PLAYBOOK_DECISION_LOG",
    "PLAYBOOK_DAGSTER_DATABASE",
    "MLFLOW_TRACKING_URI",
    "PLAYBOOK_MLFLOW_ARTIFACTS",
)
URL = "postgresql://anna:s3%40cret@db.example:5433/shop"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_the_driver_is_named(scheme: str) -> None:
    given = URL.replace("postgresql", scheme)
    assert is_postgres(given)
    assert postgres_url(given, "X") == "postgresql+psycopg2://anna:s3%40cret@db.example:5433/shop"


@pytest.mark.parametrize(
    "bad",
    [
        "mysql://anna:s3cret@db/shop",
        "s3cret",
        "postgresql://anna:s3cret@db",
        "postgresql://anna:s3cret@db/",
        "postgresql://anna:s3cret@db:port/shop",
        "postgresql://anna:s3cret#x@db/shop",
        "postgresql://anna:s3cret/x@db/shop",
        "postgresql+psycopg://anna:s3cret@db/shop",
        "",
    ],
)
def test_what_is_no_url_of_postgresql_is_refused_unquoted(bad: str) -> None:
    with pytest.raises(SettingsError, match=r"^X: expected postgresql://USER") as caught:
        postgres_url(bad, "X")
    assert "s3cret" not in str(caught.value)


def test_a_schema_is_added_once_and_beside_other_options() -> None:
    plain = in_schema(URL, "mlflow")
    assert plain == f"{URL}?options=-csearch_path=mlflow" and schema_of(plain) == "mlflow"
    assert in_schema(plain, "dagster") == plain
    rich = in_schema(f"{URL}?sslmode=require&options=-cstatement_timeout%3D5s", "dagster")
    assert rich == f"{URL}?sslmode=require&options=-cstatement_timeout=5s%20-csearch_path=dagster"
    assert schema_of(rich) == "dagster" and schema_of(URL) == ""


def test_sqlalchemy_reads_the_url_as_it_is_meant() -> None:
    from sqlalchemy import make_url

    read = make_url(in_schema(postgres_url(f"{URL}?options=-cwork_mem%3D8MB", "X"), "mlflow"))
    assert (read.password, read.database, read.drivername) == ("s3@cret", "shop", "postgresql+psycopg2")
    assert read.query["options"] == "-cwork_mem=8MB -csearch_path=mlflow"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (URL, "postgresql://db.example:5433/shop"),
        (in_schema(URL, "mlflow"), "postgresql://db.example:5433/shop (schema mlflow)"),
        ("postgresql://db/shop?password=s3cret", "postgresql://db/shop"),
        ("postgresql://anna:s3?cret@db/shop", "postgresql://..."),
        ("https://anna:s3cret@mlflow.example/x?token=s3cret", "https://mlflow.example/x"),
        ("https://mlflow.example", "https://mlflow.example"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("/srv/mlflow", "/srv/mlflow"),
    ],
)
def test_a_place_has_no_password(url: str, place: str) -> None:
    assert place_of(url) == place and "s3" not in place_of(url)


def test_messages_of_libraries_are_cleaned() -> None:
    url = "postgresql://anna:s3%40cret@db/shop?sslpassword=topmost"
    said = without_secrets('invalid dsn: "s3@cret" s3%40cret topmost anna', url)
    assert said == 'invalid dsn: "***" *** *** anna'
    assert first_line(ValueError("\n bad s3@cret\nmore"), url) == "bad ***"
    assert first_line(ValueError(), url) == "ValueError"


def test_one_variable_moves_everything_and_each_its_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLAYBOOK_HOME", str(tmp_path))
    alone = settings()
    assert alone.mlflow_is_local and alone.mlflow_place == alone.mlflow_tracking_uri
    assert (alone.decision_database, alone.dagster_database) == (None, None)
    monkeypatch.setenv("PLAYBOOK_DATABASE", URL)
    moved = settings()
    schemas = [
        schema_of(str(url)) for url in (moved.mlflow_tracking_uri, moved.dagster_database, moved.decision_database)
    ]
    assert schemas == ["mlflow", "dagster", "playbook"] and not moved.mlflow_is_local
    assert moved.prediction_log == postgres_url(URL, "X")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    monkeypatch.setenv(
        "PLAYBOOK_DECISION_LOG", "postgresql://bo:t0psecret@log.example/log?options=-csearch_path%3Dours"
    )
    split = settings()
    assert split.mlflow_tracking_uri == "https://mlflow.example"
    assert schema_of(str(split.decision_database)) == "ours" and split.dagster_database == moved.dagster_database
    assert not any(secret in repr(split) for secret in ("s3%40cret", "s3@cret", "t0psecret"))


def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{URL}\n")
    monkeypatch.setenv("PLAYBOOK_DATABASE_FILE", str(tmp_path / "url"))
    assert settings().prediction_log == postgres_url(URL, "X")
    monkeypatch.setenv("PLAYBOOK_DATABASE", "postgresql://db/other")  # the variable itself counts first
    assert settings().prediction_log == "postgresql+psycopg2://db/other"
    monkeypatch.delenv("PLAYBOOK_DATABASE")
    (tmp_path / "url").write_text("\n")
    assert settings().decision_database is None
    monkeypatch.setenv("PLAYBOOK_DATABASE_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"^PLAYBOOK_DATABASE_FILE: expected a text file that can be read"):
        settings()
