"""`playbook serve`: the champion answers over HTTP, follows its alias under load, and logs what it answered."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from served_load import RECORDS, Load, Running, serving
from served_models import LABELS, TEXTS, ServedPlace, register, served_place
from services import wait_for

from playbook.errors import ArtifactError
from resources.serving_app import serve

SILENCE = ["answer", "ask_a_person", "reason"]
SERVING = {"redact": {"columns": ["customer"], "patterns": [r"\d{4}"]}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path) -> ServedPlace:
    made = served_place(tmp_path_factory.mktemp("served"), database, SERVING)
    assert [register(made, seed).version for seed in (5, 6)] == ["1.0.0", "1.0.1"]
    return made


@pytest.fixture(scope="module")
def server(place: ServedPlace) -> Iterator[Running]:
    with serving(place) as running:
        yield running


def logged(place: ServedPlace, name: str) -> dict[str, Any]:
    """A logged row, once it is there."""

    def found() -> Any:
        log = place.log
        rows = log.window(log.latest_day(), log.latest_day()) if log.latest_day() else None
        hits = rows[rows["id"] == name].to_dict("records") if rows is not None else []
        return hits[0] if hits else None

    row: dict[str, Any] = wait_for(f"row {name}", 120, found)
    return row


def test_it_answers_with_ids_and_version(server: Running) -> None:
    status, answer = server.post({RECORDS: [{"text": text} for text in TEXTS]})
    assert status == 200
    rows = answer["predictions"]
    figures = [f"probability_{label}" for label in LABELS]
    assert [list(row) for row in rows] == [
        ["label", "probability", *figures, *SILENCE, "prediction_id", "model_version"] for _ in TEXTS
    ]
    assert all(row["answer"] == row["label"] and not row["ask_a_person"] and row["reason"] == "" for row in rows)
    assert {row["model_version"] for row in rows} == {"1.0.0"}
    ids = {row["prediction_id"] for row in rows}
    assert len(ids) == 4 and all(len(name) == 32 for name in ids)
    for row, text in zip(rows, TEXTS, strict=True):
        assert sum(row[name] for name in figures) == pytest.approx(1, abs=1e-6)
        kept = logged(server.place, row["prediction_id"])
        assert (kept["text"], kept["label"], kept["version"]) == (text, row["label"], "1.0.0")
        assert [kept["p_billing"], kept["p_delivery"]] == pytest.approx([row[name] for name in figures], abs=1e-6)


def test_own_ids_and_further_columns_are_kept_and_redacted(server: Running) -> None:
    rows = [
        {"text": "card 1234 of mine", "id": "own-1", "customer": "Ada", "channel": "mail", "more": {"n": [1, 9999]}},
        {"text": "b", "id": 7},
        {"text": "c"},
    ]
    status, answer = server.post({RECORDS: rows})
    assert status == 200
    ids = [row["prediction_id"] for row in answer["predictions"]]
    assert ids[:2] == ["own-1", "7"] and len(ids[2]) == 32
    kept = logged(server.place, "own-1")
    assert kept["text"] == "card [redacted] of mine"
    assert kept["columns"] == {"customer": "[redacted]", "channel": "mail", "more": '{"n": [1, [redacted]]}'}
    assert logged(server.place, "7")["columns"] == {}
    status, answer = server.post(b"text,id,channel\nhello,007,chat\n", Content_Type="text/csv")
    assert (status, answer["predictions"][0]["prediction_id"]) == (200, "007")
    assert logged(server.place, "007")["columns"] == {"channel": "chat"}


def test_words_are_words_one_value_is_one_row_and_long_ids_are_exact(server: Running) -> None:
    status, answer = server.post(b"text,id\nNA,w1\nnull,w2\n", Content_Type="text/csv")
    assert (status, [row["prediction_id"] for row in answer["predictions"]]) == (200, ["w1", "w2"])
    assert [logged(server.place, name)["text"] for name in ("w1", "w2")] == ["NA", "null"]
    status, answer = server.post({"inputs": {"text": "Where is my parcel?"}})
    assert status == 200 and len(answer["predictions"]) == 1
    assert logged(server.place, answer["predictions"][0]["prediction_id"])["text"] == "Where is my parcel?"
    rows = [{"text": "a", "id": 2**63 + 1}, {"text": "b", "id": None}]
    status, answer = server.post({RECORDS: rows})
    assert (status, answer["predictions"][0]["prediction_id"]) == (200, str(2**63 + 1))
    for body in (b"text,id\na,1\n,2\n", b'text,id\n"",1\nb,2\n'):
        assert server.post(body, Content_Type="text/csv")[0] == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({RECORDS: [{"body": "x"}]}, "column text"),
        ({RECORDS: [{"text": None}, {"text": "a"}]}, "rows 0"),
        ({RECORDS: [{"text": 7}]}, "rows 0"),
        ({RECORDS: [{"text": ["a"]}]}, "rows 0"),
        ({RECORDS: []}, "found columns: none"),
        ({RECORDS: [{"text": "a", "id": "x" * 300}]}, "200 printable"),
        ({RECORDS: [{"text": "a", "id": {"b": 1}}]}, "200 printable"),
        ({RECORDS: [{"text": "a", "id": "nul \0"}]}, "200 printable"),
        ({RECORDS: [{"text": "half \ud83d pair"}]}, "surrogates"),
        ({"dataframe_split": {"columns": ["text", "text"], "data": [["a", "b"]]}}, "text"),
        ({"inputs": "abc"}, "expected rows"),
        ({"messages": []}, "column text"),
        ({"nothing": []}, "dataframe_records"),
        ([1], "list"),
        (b"{ secret of a customer", "JSON"),
        (b"", "JSON"),
    ],
)
def test_what_is_no_request_is_refused_in_one_sentence(server: Running, body: Any, said: str) -> None:
    status, answer = server.post(body)
    assert status == 400, answer
    assert set(answer) == {"error_code", "message"}
    message = answer["message"]
    assert said in message and len(message) <= 500
    assert not any(leak in message for leak in ("Traceback", 'File "', "secret of a customer", "site-packages"))
    assert server.post({RECORDS: [{"text": "still there"}]})[0] == 200


def test_only_this_machine_is_answered(server: Running) -> None:
    good = {RECORDS: [{"text": "a"}]}
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "0.0.0.0"):  # noqa: S104
        assert server.post(good, Host=host)[0] == 403, host
        request = urllib.request.Request(f"{server.address}/health", headers={"Host": host})  # noqa: S310
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=30)  # noqa: S310
    assert server.post(good, Origin="http://evil.example")[0] == 403
    assert server.post(good, Origin="null")[0] == 403
    assert server.post(good, Host="localhost:99", Origin="http://127.0.0.1:3000")[0] == 200
    assert server.post(good, Content_Type="text/plain")[0] == 415
    assert server.post(good, path="/docs")[0] == 404
    assert server.post(good, path="/health")[0] == 405


def test_a_body_has_a_limit(server: Running) -> None:
    status, answer = server.post(b" " * 11_000_000)
    assert (status, answer["error_code"]) == (413, "TOO_LARGE")
    large = {RECORDS: [{"text": "word " * 200_000}]}
    assert server.post(large)[0] == 200


def wait_for_answers(load: Load, count: int) -> None:
    """Wait for so many answers more."""
    wanted = len(load.versions) + count
    wait_for(f"{count} answers", 120, lambda: len(load.versions) >= wanted)


def test_a_moved_alias_is_followed_under_load_and_no_request_fails(server: Running) -> None:
    with Load(server) as load:
        moved, switched = [], []
        for version in ("1.0.1", "1.0.0"):  # a promotion, and its rollback
            wait_for_answers(load, 40)
            moved.append(time.monotonic())
            server.place.point(version)
            wait_for(f"version {version}", 120, lambda version=version: server.health["model_version"] == version)
            switched.append(time.monotonic())
        wait_for_answers(load, 40)
    assert load.failures == []
    assert {version for asked, version in load.versions if asked > switched[1]} == {"1.0.0"}
    assert {version for asked, version in load.versions if switched[0] < asked < moved[1]} == {"1.0.1"}
    assert {version for _, version in load.versions} == {"1.0.0", "1.0.1"}
    counts = server.health
    assert (counts["lost"], counts["trouble"]) == (0, "")


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_in_place(server: Running, tmp_path: Path) -> None:
    place = server.place
    client = place.registry.tracking.client
    good = place.registry.at_alias("sample", "champion")
    assert good is not None
    shutil.copytree(
        client.get_model_version("sample", good.registry_version).source.removeprefix("file://"), tmp_path / "m"
    )
    weights = tmp_path / "m" / "artifacts" / "bundle" / "head.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    tags = {"playbook/version": "9.9.9", "playbook/bundle_sha256": "0" * 64}
    broken = client.create_model_version("sample", source=(tmp_path / "m").as_uri(), tags=tags)
    client.set_registered_model_alias("sample", "champion", broken.version)
    said = wait_for("the trouble", 120, lambda: server.health["trouble"])
    assert "9.9.9" in said and "changed after the model was registered" in said
    assert server.post({RECORDS: [{"text": "a"}]})[1]["predictions"][0]["model_version"] == "1.0.0"
    client.delete_registered_model_alias("sample", "champion")
    wait_for("the other trouble", 120, lambda: "alias champion" in server.health["trouble"])
    assert server.post({RECORDS: [{"text": "a"}]})[0] == 200
    place.point("1.0.1")
    wait_for("the good version", 120, lambda: server.health["model_version"] == "1.0.1")
    place.point("1.0.0")
    wait_for("the first version", 120, lambda: server.health["model_version"] == "1.0.0")
    assert server.health["trouble"] == ""
    client.delete_model_version("sample", broken.version)


def test_a_registry_that_fails_stops_no_answer(server: Running) -> None:
    database = server.place.folder / "home" / "mlflow" / "mlflow.db"

    def rename(table: str, to: str) -> None:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME TO {to}")

    rename("registered_model_aliases", "elsewhere")
    try:
        wait_for("the trouble", 60, lambda: server.health["trouble"] != "")
        assert server.post({RECORDS: [{"text": "a"}]})[0] == 200
    finally:
        rename("elsewhere", "registered_model_aliases")
    wait_for("the end of the trouble", 60, lambda: server.health["trouble"] == "")


def test_a_log_that_is_away_stops_no_answer_and_what_is_lost_is_counted(place: ServedPlace, tmp_path: Path) -> None:
    """The server starts without it, too."""
    url = "postgresql://nobody:hunter2@127.0.0.1:1/nowhere"
    with serving(place, PLAYBOOK_PREDICTION_LOG=url) as running:
        for _ in range(20):
            assert running.post({RECORDS: [{"text": text} for text in TEXTS]})[0] == 200
        said = running.end()
    assert "0 predictions logged, 80 lost" in said and "hunter2" not in said
    lost = place.folder / "home" / "predictions" / "lost"
    assert sum(json.loads(path.read_text())["count"] for path in lost.glob("sample-*.json")) == 80
    shutil.rmtree(lost)


def test_what_waits_is_logged_before_the_end(place: ServedPlace) -> None:
    """Counted by ids of its own: other servers of the place may be logging, or nothing may have been logged before."""
    names = [f"waits-{number}" for number in range(3000)]
    with serving(place) as running:
        assert running.post({RECORDS: [{"text": f"row of {name}", "id": name} for name in names]})[0] == 200
        said = running.end()
    assert "3000 predictions logged, 0 lost" in said
    today = place.log.latest_day()
    assert today is not None
    kept = place.log.window(today - timedelta(days=1), today)["id"]
    assert sorted(name for name in kept if name.startswith("waits-")) == sorted(names)


def test_a_server_that_cannot_start_says_why(
    place: ServedPlace, server: Running, tmp_path: Path, database: Path
) -> None:
    empty = served_place(tmp_path / "empty", database)
    with pytest.raises(ArtifactError, match="alias champion"):  # how the command says it does not depend on the error
        serve(empty.task, empty.places, 0, print)
    done = place.command("serve", str(place.task.path), "--port", str(server.port))
    assert done.returncode == 1 and f"port {server.port}" in done.stderr and "Traceback" not in done.stderr
    for host in ("0.0.0.0", "::", "example.com"):  # noqa: S104
        done = place.command("serve", str(place.task.path), "--host", host)
        assert done.returncode == 2 and "authenticating proxy" in done.stderr


def test_nothing_of_it_listens_elsewhere(server: Running) -> None:
    sockets = Path(f"/proc/{server.child.pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {
        str(path.readlink())[8:-1]
        for path in Path(f"/proc/{server.child.pid}/fd").iterdir()
        if str(path.readlink()).startswith("socket:")
    }
    mine = [line.split() for line in sockets if line.split()[9] in inodes and line.split()[3] == "0A"]
    assert [line[1] for line in mine] == [f"0100007F:{server.port:04X}"]
