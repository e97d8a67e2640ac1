"""A registered model answers over HTTP: offline, from its own folder, with nothing unpickled."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from play_runs import copy_database
from ports import free_port
from tiny_base import WORDS, write_tiny_base, write_tiny_weights

from playbook.operate.parity import check_parity
from playbook.operate.versions import Identity
from resources.mlflow_server import model_environment, serve_model_command, server_command, server_environment
from resources.registry import Registered, Registry, Release
from resources.tracking import Tracking

LABELS = ("access", "delivery", "refund")
TEXTS = ["refund my order please", "password reset", "the parcel never came", "zebra 東京 🙂", "late " * 200]
READY_SECONDS = 240


@dataclass(frozen=True)
class Served:
    tracking: Tracking
    registered: Registered
    expected: np.ndarray  # (texts, classes)
    reasons: tuple[str, ...]  # why a person is asked about a text, "" where the model answers
    folder: Path  # of the logged model


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Served:
    from playbook.adapt.classifier import load_bundle, save_bundle
    from playbook.operate.answering import load_answering

    home, base = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("base")
    bundle = tmp_path_factory.mktemp("bundle") / "bundle"
    weights = write_tiny_weights(base / "trained.safetensors", 3)
    save_bundle(bundle, base, write_tiny_base(base), LABELS, weights, temperature=1.5, keep_frozen=True)
    expected = load_bundle(bundle).predict_proba(TEXTS)
    _write_rules(bundle, expected)
    model = load_answering(bundle)
    reasons, distances = model.answer(TEXTS).reasons, model.raw(TEXTS)[1]
    assert "" in reasons and any("unlike the training data" in reason for reason in reasons)
    assert any("sure of" in reason for reason in reasons)
    copy_database(database, home)
    tracking = Tracking(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", home)
    run_id = tracking.log_attempt(tracking.task_run("tickets", "run-1"), "package")
    registered = Registry(tracking).register(
        Release(
            name="tickets",
            bundle=bundle,
            parity=check_parity(bundle, TEXTS, expected, 1e-5, labels=LABELS, scores=distances),
            labels=LABELS,
            identity=Identity("task", "data", "base"),
            run_id=run_id,
            source="rung_1",
            dataset_version=1,
            report_sha256="e" * 64,
            example=TEXTS[0],
        )
    )
    Registry(tracking).point("tickets", "champion", registered.version)
    source = tracking.client.get_model_version("tickets", registered.registry_version).source
    return Served(tracking, registered, expected, reasons, Path(source.removeprefix("file://")))


def _write_rules(bundle: Path, expected: np.ndarray) -> None:
    """Let the model ask a person about strange texts, and where it is less sure than about half of the texts."""
    from playbook.adapt.classifier import load_bundle
    from playbook.operate.answering import AnsweringRules, save_rules
    from playbook.statistics.strangers import STRANGERS, learn_strangers, save_strangers

    random = np.random.default_rng(1)
    texts = [*TEXTS[:3], *(" ".join(random.choice(WORDS, 5)) for _ in range(397))]
    probabilities, features = load_bundle(bundle).predict_with_features(texts)
    answers = probabilities.argmax(axis=1)
    known = learn_strangers(features[:250], answers[:250], features[250:], answers[250:])
    save_strangers(known, bundle / STRANGERS)
    threshold = float(np.sort(expected.max(axis=1))[1:3].mean())
    save_rules(AnsweringRules(error=0.05, failure=0.05, threshold=threshold, strangers=0.01), bundle)


def _start(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, away from the checkout; ended with its children."""
    with (folder / "server.log").open("wb") as log:
        child = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield child
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(timeout=15)


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if child.poll() is not None:
            break
        try:
            if urllib.request.urlopen(url, timeout=10).status == 200:  # noqa: S310
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no answer at {url}; the server said:\n{log.read_text(errors='replace')[-3000:]}")


def _post(url: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(  # noqa: S310
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def url(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    environment = {**model_environment(served.tracking), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    # Nothing but loopback can be reached: whatever asks a hub or an index fails at once.
    environment |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9") | {"NO_PROXY": "127.0.0.1"}
    for child in _start(serve_model_command("models:/tickets@champion", port), environment, folder):
        _wait(child, f"http://127.0.0.1:{port}/ping", folder / "server.log")
        yield f"http://127.0.0.1:{port}/invocations"


def test_it_answers_as_the_trained_model(served: Served, url: str) -> None:
    status, answer = _post(url, {"dataframe_records": [{"text": text} for text in TEXTS]})
    assert status == 200
    rows = answer["predictions"]
    figures = ["label", "probability", *(f"probability_{name}" for name in LABELS)]
    assert [list(row) for row in rows] == [[*figures, "answer", "ask_a_person", "reason"]] * 5
    probabilities = np.array([[row[f"probability_{name}"] for name in LABELS] for row in rows])
    np.testing.assert_allclose(probabilities, served.expected, atol=1e-5)
    assert [row["label"] for row in rows] == [LABELS[best] for best in served.expected.argmax(axis=1)]
    assert [row["probability"] for row in rows] == pytest.approx(served.expected.max(axis=1).tolist(), abs=1e-5)
    assert [row["reason"] for row in rows] == list(served.reasons)
    assert [row["ask_a_person"] for row in rows] == [reason != "" for reason in served.reasons]
    assert [row["answer"] for row in rows] == [None if row["ask_a_person"] else row["label"] for row in rows]


def test_one_row_is_answered_the_same_every_time(url: str) -> None:
    answers = [_post(url, {"dataframe_records": [{"text": TEXTS[0]}]}) for _ in range(5)]
    assert answers[0][0] == 200 and answers == answers[:1] * 5


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"body": "no such column"}]},
        {"dataframe_records": [{"text": None}, {"text": "a"}]},
        {"dataframe_records": [{"text": 7}]},
        {"dataframe_records": [{"text": ""}]},
        {"dataframe_records": [{"text": "a"}, {"text": " \u200b\n"}]},
        {"nothing": []},
    ],
)
def test_what_is_no_text_is_refused(url: str, body: Any) -> None:
    status, _ = _post(url, body)
    assert status == 400
    assert _post(url, {"dataframe_records": [{"text": "still there"}]})[0] == 200


LOAD = """
import json, sys
blocked = set(json.loads(sys.argv[3]))
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is not among the requirements", name=name)
sys.meta_path.insert(0, Blocker())
import mlflow; import pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
import playbook
try:
    refused = mlflow.pyfunc.load_model(sys.argv[4]) and ""
except Exception as error:
    refused = str(error)
answers = model.predict(pd.DataFrame({"text": json.loads(sys.argv[2])}))
rows, reasons = answers.filter(like="probability_").values.tolist(), answers["reason"].tolist()
print(json.dumps({"code": playbook.__file__, "rows": rows, "reasons": reasons, "refused": refused}))
"""


def _load_elsewhere(folder: Path, changed: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Load and ask a model folder, then load a changed one, where only what the first one requires can be found."""
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    named = [line.split("==")[0] for line in (folder / "requirements.txt").read_text().split()]
    allowed = _with_dependencies(named)
    installed = importlib.metadata.packages_distributions()
    blocked = [
        module
        for module, owners in installed.items()
        if module != "playbook" and not allowed & {canonicalize_name(owner) for owner in owners}
    ]  # playbook itself comes with the folder; where it came from is asserted
    assert {"transformers", "dagster", "dvc"} & set(blocked)
    command = [sys.executable, "-I", "-c", LOAD, str(folder), json.dumps(TEXTS), json.dumps(blocked), str(changed)]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_the_folder_alone_is_enough_and_a_changed_weight_is_noticed(served: Served, tmp_path: Path) -> None:
    """Copied elsewhere, without the checkout, with no package but its requirements, and with unpickling refused."""
    copy, changed = tmp_path / "copy", tmp_path / "changed"
    for folder in (copy, changed):
        shutil.copytree(served.folder, folder)
    weights = changed / "artifacts" / "bundle" / "head.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = _load_elsewhere(copy, changed, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert Path(answer["code"]).is_relative_to(copy)
    assert "its files were changed after the model was registered" in answer["refused"]
    np.testing.assert_allclose(answer["rows"], served.expected, atol=1e-5)
    assert answer["reasons"] == list(served.reasons)


def _with_dependencies(names: list[str]) -> set[str]:
    """Normalised names of distributions and of all that they need, extras apart."""
    found: set[str] = set()
    left = [canonicalize_name(name) for name in names]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            needed = [Requirement(line) for line in importlib.metadata.requires(name) or []]
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        found.add(name)
        left += [canonicalize_name(item.name) for item in needed if item.marker is None or item.marker.evaluate()]
    return found


def test_the_folder_holds_no_pickle(served: Served) -> None:
    files = [path for path in served.folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".bin", ".pt", ".pth", ".joblib", ".ckpt"}]
    # A pickle of protocol 2 or higher starts with PROTO and its number.
    assert not [path for path in files if path.read_bytes()[:2] in {b"\x80" + bytes([n]) for n in range(2, 6)}]


def test_mlflow_pages_answer_on_loopback_only(served: Served, tmp_path: Path) -> None:
    port = free_port()
    for child in _start(server_command(served.tracking, port), server_environment(), tmp_path):
        _wait(child, f"http://127.0.0.1:{port}/health", tmp_path / "server.log")
        search = f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/get?name=tickets"
        with urllib.request.urlopen(search, timeout=120) as answer:
            assert json.loads(answer.read())["registered_model"]["name"] == "tickets"
        foreign = urllib.request.Request(search, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(foreign, timeout=120)  # noqa: S310
        assert caught.value.code == 403
        _log_over_http(Tracking(f"http://127.0.0.1:{port}", tmp_path / "client"), tmp_path)


def _log_over_http(remote: Tracking, folder: Path) -> None:
    """A tracking server serves as a database does: same runs, same registry."""
    assert remote.artifacts is None
    parent = remote.task_run("tickets", "run-1")
    report = folder / "report.html"
    report.write_text("<p>report</p>")
    run_id = remote.log_attempt(parent, "evaluation", metrics_by_epoch={"loss": [2.0, 1.0]}, files={"r.html": report})
    run = remote.client.get_run(run_id)
    assert (run.data.metrics, run.data.tags["mlflow.parentRunId"]) == ({"loss": 1.0}, parent)
    assert [entry.path for entry in remote.client.list_artifacts(run_id)] == ["r.html"]
    champion = Registry(remote).at_alias("tickets", "champion")
    assert champion is not None
    assert champion.version == "1.0.0"
