"""What lies at a DVC remote, by its hash alone: a dataset version for whoever has neither its repository nor its cache.

DVC names a folder by the MD5 of a list of its files, and each file by its MD5. Both are computed again here; beside
them stand SHA-256 hashes that whoever asks has from elsewhere, because MD5 no longer keeps out somebody who means harm.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from playbook.errors import StorageError
from playbook.settings import Settings, quiet_environment
from playbook.store import CHUNK, file_sha256
from playbook.taskfile import Task

FOLDER = ".dir"  # suffix of a folder's hash
HASH = re.compile(r"[0-9a-f]{32}\.dir")


def fetch_folder(remote: str, dataset_hash: str, files: Mapping[str, str], into: Path, work: Path) -> Path:
    """Fetch files of a folder that DVC stored, verified twice; other files of the folder are left where they are.

    Args:
        remote: URL of the remote, as `dvc remote add` takes it.
        dataset_hash: DVC's hash of the folder, `<md5>.dir`.
        files: name in the folder -> SHA-256.
        into: where they are put.
        work: an empty folder for DVC's own files.

    Raises:
        StorageError: the remote cannot be read, lacks something, or has other bytes than the hashes say.
    """
    shown = without_secrets(remote)
    strange = [name for name in files if Path(name).name != name or name == ".." or "\\" in name]
    if strange or HASH.fullmatch(dataset_hash) is None:
        raise StorageError(
            f"expected a dataset's hash and names of files in it, found {dataset_hash[:60]!r} and {strange}; take the "
            "package from where it was handed over again"
        )
    into.mkdir(parents=True, exist_ok=True)
    with _objects(remote, work) as objects:
        listed = _listing(objects, shown, dataset_hash)
        for name, sha256 in files.items():
            if name not in listed:
                raise StorageError(
                    f"{shown}: expected {name} in dataset {dataset_hash}, found {', '.join(sorted(listed))}; this is "
                    "another dataset version than the recipe names"
                )
            target = into / name
            _copy(objects, shown, listed[name], target)
            if file_sha256(target) != sha256:
                found = file_sha256(target)
                target.unlink()
                raise StorageError(
                    f"{shown}: expected {name} of dataset {dataset_hash} with SHA-256 {sha256}, found {found}; the "
                    "recipe or the remote was changed: take both from where they were handed over"
                )
    return into


def store_folder(remote: str, folder: Path, names: Sequence[str], work: Path) -> str:
    """Store files of a folder at a remote as `dvc push` would; returns DVC's hash of the folder that they make.

    Args:
        remote: URL of the remote.
        folder: where the files lie.
        names: of the files, directly in it.
        work: an empty folder for DVC's own files.

    Raises:
        StorageError: the remote does not take them.
    """
    with _objects(remote, work) as objects:
        from dvc.fs import LocalFileSystem

        files = {name: _md5(folder / name) for name in sorted(names)}
        listed = json.dumps([{"md5": md5, "relpath": name} for name, md5 in files.items()], sort_keys=True)
        listing = work / "listing"
        listing.write_text(listed, encoding="utf-8")
        found = _md5(listing) + FOLDER
        try:
            for name, md5 in files.items():
                objects.add(str(folder / name), LocalFileSystem(), md5)
            objects.add(str(listing), LocalFileSystem(), found)
        except Exception as error:  # every kind of remote has errors of its own
            raise StorageError(
                f"{folder}: cannot be stored at {without_secrets(remote)} ({type(error).__name__}); check your access"
            ) from None
    return found


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def remote_of(places: Settings, task: Task) -> str:
    """URL of the remote that holds a task's dataset versions, as it is set; empty where none is."""
    from dvc.repo import Repo

    from resources.dvc_stages import own_stage, project_stage

    if places.dvc_remote:
        return places.dvc_remote
    quiet_environment()
    stage = project_stage(places.root, task) or own_stage(places.home, task)
    with Repo(str(stage.repository)) as repository:
        name = repository.config["core"].get("remote", "")
        return str(repository.config["remote"].get(name, {}).get("url", ""))


def without_secrets(url: str) -> str:
    """A URL as it may be shown: without user and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def _objects(remote: str, work: Path) -> Iterator[Any]:
    """The remote's objects, through a repository of DVC's that holds nothing else."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    quiet_environment()
    logging.getLogger("dvc").setLevel(logging.WARNING)
    work.mkdir(parents=True, exist_ok=True)
    place = remote if "://" in remote else str(Path(remote).resolve())
    try:
        Repo.init(str(work), no_scm=True, force=True).close()
        config = {"core": {"remote": "playbook", "no_scm": True}, "remote": {"playbook": {"url": place}}}
        with Repo(str(work), config=config) as repository:
            yield repository.cloud.get_remote_odb("playbook")
    except DvcException as error:
        shown = without_secrets(remote)
        said = str(error).replace(place, shown)
        raise StorageError(f"{shown}: DVC cannot use this remote: {said}; check the URL and your access") from None


def _listing(objects: Any, remote: str, dataset_hash: str) -> dict[str, str]:
    """MD5 by name of a folder's files, after the list itself was checked against the folder's hash."""
    content = b"".join(_read(objects, remote, dataset_hash))
    found = hashlib.md5(content, usedforsecurity=False).hexdigest() + FOLDER
    if found != dataset_hash:
        raise StorageError(f"{remote}: expected dataset {dataset_hash}, found {found} in its place; it was changed")
    try:
        return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{remote}: dataset {dataset_hash} is not a list of files; it was changed") from None


def _copy(objects: Any, remote: str, md5: str, target: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with target.open("wb") as stream:
        for piece in _read(objects, remote, md5):
            digest.update(piece)
            stream.write(piece)
    if digest.hexdigest() != md5:
        target.unlink()
        raise StorageError(f"{remote}: expected an object with MD5 {md5}, found {digest.hexdigest()}; it was changed")


def _read(objects: Any, remote: str, oid: str) -> Iterator[bytes]:
    path = objects.oid_to_path(oid)
    try:
        with objects.fs.open(path, "rb") as stream:
            while piece := stream.read(CHUNK):
                yield piece
    except Exception as error:  # every kind of remote has errors of its own
        raise StorageError(
            f"{remote}: expected the object {oid}, found none that can be read ({type(error).__name__}); check the URL "
            "(--remote) and your access to it"
        ) from None
