"""The store of artefacts: what was altered, sealed or only half written is never taken for a result."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from playbook.artifacts import Candidate, DatasetVersion, FrozenBaseline, Rung, canonical_hash
from playbook.errors import ArtifactError
from playbook.store import SEALED, Store, file_sha256

FROZEN = "frozen_baseline"


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}/store"
    yield Store(url, tmp_path / "cache")
    if request.param == "memory":
        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def source(tmp_path: Path, name: str = "weights.safetensors", content: bytes = b"numbers") -> Path:
    path = tmp_path / "made" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def put(store: Store, tmp_path: Path, **fields: Any) -> FrozenBaseline:
    artifact = FrozenBaseline(task="t", play_key="k1", l2=0.1, **fields)
    return store.put(FROZEN, artifact, {"weights": source(tmp_path)})


def manifest_of(store: Store) -> str:
    return f"{store.base}/t/{FROZEN}/k1/manifest.json"


def test_what_goes_in_comes_out(store: Store, tmp_path: Path) -> None:
    written = put(store, tmp_path, seconds=3.0)
    assert written.files["weights"].sha256 == file_sha256(source(tmp_path))
    assert store.get("t", FROZEN, "k1", FrozenBaseline) == written
    assert store.path(written, FROZEN, "weights").read_bytes() == b"numbers"
    assert store.get("t", FROZEN, "other", FrozenBaseline) is None


def test_the_catalogue_shows_what_it_was_told(store: Store, tmp_path: Path) -> None:
    assert store.current("t", FROZEN, FrozenBaseline) is None
    first = put(store, tmp_path)
    assert store.current("t", FROZEN, FrozenBaseline) is None, "written is not yet shown"
    second = store.put(FROZEN, first.model_copy(update={"play_key": "k2", "l2": 0.2}), {})
    for artifact in (first, second, first):
        store.set_current("t", FROZEN, artifact.play_key)
        assert store.current("t", FROZEN, FrozenBaseline) == artifact


def test_the_digest_is_of_what_it_says_not_of_when(store: Store, tmp_path: Path) -> None:
    one = put(store, tmp_path, seconds=1.0, made_at="today", hardware="a", mlflow_run_id="x")
    two = put(store, tmp_path, seconds=2.0, made_at="tomorrow", hardware="b", mlflow_run_id="y")
    assert one.digest == two.digest
    assert one.digest != two.model_copy(update={"l2": 0.2}).digest
    other = store.put(FROZEN, one, {"weights": source(tmp_path, content=b"other numbers")})
    assert other.digest != one.digest
    assert Rung(task="t").digest != Candidate(task="t").digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: {**body, "content": {**body["content"], "l2": 0.9}}, "unaltered frozen_baseline"),
        (lambda body: {**body, "kind": "rung"}, "found rung"),
        (lambda body: {**body, "digest": "0" * 64}, "another digest"),
        (lambda body: {**body, "content": {**body["content"], "surprise": 1}}, "not a readable manifest"),
        (lambda body: {"kind": body["kind"]}, "not a readable manifest"),
        (lambda body: "cut {", "not a readable manifest"),
        (lambda body: [], "not a readable manifest"),
    ],
    ids=["content", "kind", "digest", "field", "missing", "text", "list"],
)
def test_an_altered_manifest_is_refused(store: Store, tmp_path: Path, change: Any, message: str) -> None:
    put(store, tmp_path)
    store.set_current("t", FROZEN, "k1")
    changed = change(json.loads(store.fs.cat_file(manifest_of(store))))
    store.fs.pipe_file(manifest_of(store), (changed if isinstance(changed, str) else json.dumps(changed)).encode())
    for read in (
        lambda: store.get("t", FROZEN, "k1", FrozenBaseline),
        lambda: store.current("t", FROZEN, FrozenBaseline),
    ):
        with pytest.raises(ArtifactError, match=message) as caught:
            read()
        assert "run the play again" in str(caught.value)


def test_an_altered_or_missing_file_is_refused(store: Store, tmp_path: Path) -> None:
    written = put(store, tmp_path)
    place = f"{store.base}/t/{FROZEN}/k1/weights.safetensors"
    store.fs.pipe_file(place, b"Numbers")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        store.path(written, FROZEN, "weights")
    store.fs.rm(place)
    shutil.rmtree(store.cache, ignore_errors=True)
    with pytest.raises(ArtifactError, match="missing, or changed"):
        store.path(written, FROZEN, "weights")
    with pytest.raises(ArtifactError, match="has no file 'report', only"):
        store.path(written, FROZEN, "report")


def test_files_of_a_remote_store_are_fetched_once_and_verified_always(tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path.name}/store", tmp_path / "cache")
    written = put(store, tmp_path)
    local = store.path(written, FROZEN, "weights")
    assert local.is_relative_to(tmp_path / "cache")
    fetched = local.stat().st_mtime_ns
    assert store.path(written, FROZEN, "weights").stat().st_mtime_ns == fetched
    local.write_bytes(b"tampered")
    assert store.path(written, FROZEN, "weights").read_bytes() == b"numbers", "fetched again"


def test_a_remote_file_that_was_mended_is_read_again(tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path.name}/store", tmp_path / "cache")
    written = put(store, tmp_path)
    store.fs.pipe_file(f"{store.base}/t/{FROZEN}/k1/weights.safetensors", b"Numbers")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        store.path(written, FROZEN, "weights")
    assert store.path(put(store, tmp_path), FROZEN, "weights").read_bytes() == b"numbers"


def test_the_test_split_is_sealed(store: Store, tmp_path: Path) -> None:
    files = {"train": source(tmp_path, "train.parquet", b"rows"), SEALED: source(tmp_path, "test.parquet", b"held out")}
    written = store.put("dataset_version", DatasetVersion(task="t", play_key="d"), files)
    assert store.path(written, "dataset_version", "train").read_bytes() == b"rows"
    with pytest.raises(ArtifactError, match="the test split is sealed"):
        store.path(written, "dataset_version", SEALED)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_writer_that_dies_leaves_nothing_for_a_result(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """The store's writes fail one after the other: first file, second file, manifest."""
    files = {"weights": source(tmp_path), "config": source(tmp_path, "config.json", b"{}")}
    artifact = FrozenBaseline(task="t", play_key="k1")
    left = written

    def dying(real: Any) -> Any:
        def write(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return real(*args, **kwargs)

        return write

    with monkeypatch.context() as patch:
        if store.local:
            patch.setattr(Path, "replace", dying(Path.replace))
        else:
            patch.setattr(store.fs, "put_file", dying(store.fs.put_file))
            patch.setattr(store.fs, "pipe_file", dying(store.fs.pipe_file))
        with pytest.raises(KeyboardInterrupt):
            store.put(FROZEN, artifact, files)
    assert store.get("t", FROZEN, "k1", FrozenBaseline) is None
    whole = store.put(FROZEN, artifact, files)
    assert store.get("t", FROZEN, "k1", FrozenBaseline) == whole


def test_a_torn_pointer_never_shows_another_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    first = put(store, tmp_path)
    store.set_current("t", FROZEN, "k1")
    second = store.put(FROZEN, first.model_copy(update={"play_key": "k2", "l2": 0.2}), {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", None)
        patch.setattr(Path, "replace", None)
        with pytest.raises(TypeError):
            store.set_current("t", FROZEN, second.play_key)
    assert store.current("t", FROZEN, FrozenBaseline) == first


def test_a_result_of_an_earlier_release_is_read_and_an_altered_one_is_not(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    done = store.put(FROZEN, FrozenBaseline(task="demo", play_key="k", l2=0.5), {})
    manifest = tmp_path / "store" / "demo" / FROZEN / "k" / "manifest.json"
    body = json.loads(manifest.read_text("utf-8"))
    del body["content"]["l2_grid"]  # a field that this release has and the earlier one did not
    content = {name: part for name, part in body["content"].items() if name not in FrozenBaseline.circumstances}
    body["digest"] = canonical_hash({"kind": FrozenBaseline.kind, **content})
    manifest.write_text(json.dumps(body), "utf-8")
    found = store.get("demo", FROZEN, "k", FrozenBaseline)
    assert found is not None and found.l2 == done.l2 and found.l2_grid == {}
    body["content"]["l2"] = 0.1
    manifest.write_text(json.dumps(body), "utf-8")
    with pytest.raises(ArtifactError, match="with another digest"):
        store.get("demo", FROZEN, "k", FrozenBaseline)
