"""The handoff package of a real run, and the command in it: the same weights from the zip, the code and the remote."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from play_runs import NAMES, Ended, Place, make_place

from playbook.artifacts import Handoff, PackagedModel
from playbook.errors import PlaybookError
from playbook.operate.handoff_package import MANIFEST, read_package, write_zip
from playbook.settings import child_environment, settings
from resources.tracking import Tracking

DOCUMENTS = {
    "CHANGELOG.md", "MANIFEST.json", "README.md", "dataset.md", "decision_log.html", "decision_log.jsonl",
    "deployment.md", "evaluation_report.html", "known_failure_modes.md", "model_card.md", "recipe.json",
    "run_configuration.json", "task.yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, database: Path, begun_store: Path) -> Place:
    place = make_place(tmp_path_factory.mktemp("handoff"), database, begun=begun_store)
    recall = {"metric": "recall", "of_class": "same", "at_least": 0.5}  # so there is an operating point
    place.task(target={"limits": [recall]}, serving={"ask_a_person": {"error": 0.1, "strangers": 0.05}})
    done = place.run()
    assert done.code == 0 and done.status["state"] == "shipped", done.said
    return place


def package(place: Place) -> Path:
    return place.places.home / "handoff" / "pairs" / "pairs-1.0.0.zip"


def documents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def artefacts(place: Place) -> tuple[Handoff, PackagedModel]:
    current = place.current()
    handoff, model = current["handoff"], current["packaged_model"]
    assert isinstance(handoff, Handoff) and isinstance(model, PackagedModel)
    return handoff, model


def command(folder: Path, *arguments: str) -> Ended:
    """A command in an empty world: another home, no other setting, the folder as working folder."""
    environment = {name: value for name, value in child_environment().items() if name not in NAMES}
    environment.pop("PLAYBOOK_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-m", "playbook.cli", *arguments],
        env={**environment, "PLAYBOOK_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def refusal(zipped: Path, folder: Path, remote: str = "") -> str:
    """What reproducing says against a package, in this process; it trains nothing."""
    from pipelines.versions import reproduce_package

    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.delenv(name, raising=False)
        patch.setenv("PLAYBOOK_HOME", str(folder / "home"))
        patch.setenv("PLAYBOOK_THREADS", "1")
        with pytest.raises(PlaybookError) as caught:
            reproduce_package(zipped, settings(), told.append, remote)
    assert not [line for line in told if "epoch" in line or "head with" in line]
    return str(caught.value)


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A package whose documents somebody changed, manifest and all."""
    content = documents(source)
    change(content)
    manifest = json.loads(content[MANIFEST])
    manifest["documents"] = {
        name: hashlib.sha256(text).hexdigest() for name, text in content.items() if name != MANIFEST
    }
    content[MANIFEST] = json.dumps(manifest).encode()
    return write_zip(target, content)


# --- what is in it


def test_the_package_is_a_folder_a_zip_and_an_artifact_of_the_run(place: Place) -> None:
    handoff, model = artefacts(place)
    folder = package(place).with_suffix("").parent / "1.0.0"
    content = documents(package(place))
    assert set(content) == DOCUMENTS == {path.name for path in folder.iterdir()}
    assert {name: (folder / name).read_bytes() for name in DOCUMENTS} == content
    assert handoff.documents == {name: hashlib.sha256(text).hexdigest() for name, text in content.items()}
    client = Tracking.from_settings(place.places).client
    logged = client.list_artifacts(model.mlflow_run_id, "handoff")
    assert [entry.path for entry in logged] == ["handoff/pairs-1.0.0.zip"]


def test_the_manifest_names_what_the_documents_describe(place: Place) -> None:
    handoff, model = artefacts(place)
    content, current = documents(package(place)), place.current()
    manifest = json.loads(content[MANIFEST])
    assert set(manifest["documents"]) == DOCUMENTS - {MANIFEST}
    described = manifest["describes"]
    dataset, evaluation, approval = current["dataset_version"], current["evaluation"], current["sign_off"]
    assert described["dataset"]["hash"] == dataset.dataset_hash  # type: ignore[attr-defined]
    assert described["dataset"]["files"]["train"] == dataset.files["train"].sha256
    page = hashlib.sha256(place.places.report("pairs").read_bytes()).hexdigest()
    assert described["evaluation"] == {"digest": evaluation.digest, "report": page}
    assert described["sign_off"]["entry"] == approval.log_entry  # type: ignore[attr-defined]
    assert described["bundle"]["sha256"] == model.bundle_sha256
    assert described["bundle"]["files"]["recipe.json"] == manifest["documents"]["recipe.json"]
    assert described["bundle"]["weights"]["model.safetensors"] == handoff.weights_sha256
    lines = content["decision_log.jsonl"].splitlines()
    assert described["decision_log"] == {"entries": len(lines), "last": json.loads(lines[-1])["sha256"]}
    assert json.loads(lines[-1])["kind"] == "promotion"
    for name in ("README.md", "deployment.md", "known_failure_modes.md"):
        assert evaluation.digest in content[name].decode()


def test_the_pages_say_how_to_run_it_and_where_it_fails(place: Place) -> None:
    content = {name: text.decode() for name, text in documents(package(place)).items()}
    running, failing = content["deployment.md"], content["known_failure_modes.md"]
    for said in ("playbook serve", "models:/pairs@champion", "playbook rollback", "pairs\\_rollback\\_job", "365 days",
                 "7 days up to", "alarms in 3 of the last 5 windows", "| sign-off | team:c |"):  # fmt: skip
        assert said in running, said
    rows = place.current()["dataset_version"].rows
    reference = f"{rows['validation'] + rows['test']} rows of validation"
    for said in (
        "## Worst classes",
        "| mixed |",
        "## Worst slices",
        "## Errors in the labels",
        "labels are to be checked",
        reference,
    ):
        assert said in failing, said
    assert content["evaluation_report.html"] == place.places.report("pairs").read_text("utf-8")
    assert content["task.yaml"] == place.file.read_text("utf-8")
    steps = json.loads(content["run_configuration.json"])["steps"]
    assert list(steps) == ["frozen_baseline", "rung_1"] and steps["rung_1"]["unfrozen_blocks"] == 1


def test_a_second_run_leaves_it_and_a_lost_folder_comes_back(place: Place) -> None:
    whole = package(place).read_bytes()
    shutil.rmtree(package(place).parent)
    again = place.run()
    assert again.code == 0 and "handoff: unchanged, not run again" in again.err
    assert package(place).read_bytes() == whole and (package(place).parent / "1.0.0" / MANIFEST).is_file()


# --- reproduced


def test_the_command_in_it_makes_the_same_weights(place: Place, tmp_path: Path) -> None:
    handoff, _ = artefacts(place)
    shutil.copyfile(package(place), tmp_path / package(place).name)
    readme = documents(package(place))["README.md"].decode()
    (line,) = re.findall(r"```sh\n(playbook reproduce .*)\n```", readme)
    away = place.folder / "base.away"
    (place.folder / "base").rename(away)  # neither the base nor the raw data of the team lies here
    try:
        done = command(tmp_path, *shlex.split(line)[1:])
    finally:
        away.rename(place.folder / "base")
    assert done.code == 0, done.said
    assert f"model.safetensors: SHA-256 {handoff.weights_sha256}" in done.out and "reproduced: " in done.out
    for name in ("bundle.json", "answering.json", "strangers.safetensors", "frozen.safetensors", "head.safetensors"):
        assert f"{name}: SHA-256 " in done.out, "temperature, rules, known rows and the base's own tensors, too"
    assert "epoch 1/" in done.err and "head with L2" in done.err, "it was trained, not copied"
    assert not list(tmp_path.rglob("test.parquet")), "the test split was not fetched"


def test_another_configuration_is_told_from_the_recipe(place: Place, tmp_path: Path) -> None:
    def other_seed(content: dict[str, bytes]) -> None:
        recipe = json.loads(content["recipe.json"])
        recipe["adaptation"]["seed"] += 1
        recipe["circumstances"]["versions"]["torch"] = "0.1"
        content["recipe.json"] = json.dumps(recipe).encode()

    changed = rewritten(package(place), tmp_path / "changed.zip", other_seed)
    done = command(tmp_path, "reproduce", changed.name)
    assert done.code == 1 and "not reproduced" in done.err and "reproduced: " not in done.out
    assert "model.safetensors: expected SHA-256" in done.err and "torch: expected 0.1, found" in done.err


def _drop(name: str) -> Callable[[dict[str, bytes]], None]:
    return lambda content: content.pop(name) and None


def _edit(name: str, *path: str, to: Any) -> Callable[[dict[str, bytes]], None]:
    def change(content: dict[str, bytes]) -> None:
        body = json.loads(content[name])
        inner = body
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = to
        content[name] = json.dumps(body).encode()

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_drop("recipe.json"), "expected recipe.json among the documents"),
        (_edit("recipe.json", "unfrozen", to="many"), "found a fault in unfrozen"),
        (_edit("recipe.json", "data", "hash", to="0" * 32 + ".dir"), "another model or dataset"),
        (_edit("recipe.json", "expected", "model.safetensors", to="0" * 64), "another model or dataset"),
        (_edit("recipe.json", "data", "files", "train", to="0" * 64), "expected train.parquet of dataset"),
        (_edit("recipe.json", "pin", "weights_sha256", to="0" * 64), "expected a base of the task file with weights"),
    ],
)
def test_a_changed_package_is_refused(
    place: Place, tmp_path: Path, change: Callable[[dict[str, bytes]], None], reason: str
) -> None:
    changed = rewritten(package(place), tmp_path / "changed.zip", change)
    assert reason in refusal(changed, tmp_path)


def test_changed_data_at_the_remote_are_refused(place: Place, tmp_path: Path) -> None:
    recipe = read_package(package(place)).recipe
    remote = tmp_path / "remote"
    shutil.copytree(place.places.home / "dvc-remote", remote)
    train = place.store.path(place.current()["dataset_version"], "dataset_version", "train")
    md5 = hashlib.md5(train.read_bytes(), usedforsecurity=False).hexdigest()
    stored = next(remote.rglob(md5[2:]))
    stored.chmod(0o644)
    stored.write_bytes(train.read_bytes()[:-1] + b"?")
    zipped = package(place)
    assert f"expected an object with MD5 {md5}" in refusal(zipped, tmp_path, str(remote))
    listing = next(remote.rglob(recipe.data.hash[2:]))
    listing.chmod(0o644)
    listing.write_bytes(listing.read_bytes() + b" ")
    assert f"expected dataset {recipe.data.hash}" in refusal(zipped, tmp_path, str(remote))
    nowhere = refusal(zipped, tmp_path, str(tmp_path / "nowhere"))
    assert f"expected the object {recipe.data.hash}, found none" in nowhere
