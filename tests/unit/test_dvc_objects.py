"""Folders at a DVC remote by their hash: stored, fetched, verified; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbook.errors import StorageError
from playbook.store import file_sha256
from resources.dvc_objects import fetch_folder, store_folder, without_secrets

NAMES = ("a.json", "b.safetensors")


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, str, dict[str, str]]:
    """A remote with a folder of two files: the remote, the folder's hash, SHA-256 by name."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (*NAMES, "left out.txt"):
        (folder / name).write_text(f"content of {name}")
    found = store_folder(str(tmp_path / "remote"), folder, NAMES, tmp_path / "work-1")
    return tmp_path / "remote", found, {name: file_sha256(folder / name) for name in NAMES}


def test_what_was_stored_comes_back(stored: tuple[Path, str, dict[str, str]], tmp_path: Path) -> None:
    remote, found, files = stored
    into = fetch_folder(str(remote), found, files, tmp_path / "into", tmp_path / "work-2")
    assert {path.name: file_sha256(path) for path in into.iterdir()} == files
    again = store_folder(str(remote), tmp_path / "folder", tuple(reversed(NAMES)), tmp_path / "work-3")
    assert again == found, "the hash is of the files, not of their order"
    one = fetch_folder(str(remote), found, {"a.json": files["a.json"]}, tmp_path / "one", tmp_path / "work-4")
    assert [path.name for path in one.iterdir()] == ["a.json"]


def test_other_bytes_are_refused_and_not_left_behind(stored: tuple[Path, str, dict[str, str]], tmp_path: Path) -> None:
    remote, found, files = stored
    into = tmp_path / "into"
    with pytest.raises(StorageError, match=r"expected a\.json of dataset .* with SHA-256 0{64}"):
        fetch_folder(str(remote), found, {"a.json": "0" * 64}, into, tmp_path / "work-2")
    with pytest.raises(StorageError, match=r"expected c\.json in dataset .*found a\.json, b\.safetensors"):
        fetch_folder(str(remote), found, {"c.json": "0" * 64}, into, tmp_path / "work-3")
    with pytest.raises(StorageError, match=r"expected the object f{32}"):
        fetch_folder(str(remote), "f" * 32 + ".dir", files, into, tmp_path / "work-4")
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("name", ["../a.json", "/etc/passwd", "x/a.json", "x\\a.json", ".."])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="expected a dataset's hash and names of files in it"):
        fetch_folder(str(tmp_path), "f" * 32 + ".dir", {name: "0" * 64}, tmp_path / "into", tmp_path / "work")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("found", ["", "../..", "f" * 32, "../" + "f" * 32 + ".dir", "F" * 32 + ".dir"])
def test_what_is_no_hash_is_refused(tmp_path: Path, found: str) -> None:
    with pytest.raises(StorageError, match="expected a dataset's hash"):
        fetch_folder(str(tmp_path), found, {}, tmp_path / "into", tmp_path / "work")


def test_a_remote_is_shown_without_its_password() -> None:
    assert without_secrets("https://ola:secret@host:8080/dvc") == "https://host:8080/dvc"
    for plain in ("s3://bucket/path", "/mnt/dvc", "https://host/dvc"):
        assert without_secrets(plain) == plain
