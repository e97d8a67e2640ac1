"""The store of artefacts: manifests with their files, at any fsspec URL.

Layout: `<store>/<task>/<asset>/<play key>/manifest.json` with the artefact's files beside it, and
`<store>/<task>/<asset>/current` naming the play key that the catalogue shows. A result is written once under its key
and verified by SHA-256 whenever it is read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import TypeVar

import fsspec

from playbook.artifacts import Artifact, FileRef, canonical_hash
from playbook.errors import ArtifactError

A = TypeVar("A", bound=Artifact)
CHUNK = 1 << 20
SEALED = "test"  # role of the held-out split among a dataset version's files


def file_sha256(path: Path) -> str:
    """SHA-256 of a local file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def file_ref(path: Path) -> FileRef:
    """Reference to a local file by its name and hash."""
    return FileRef(name=path.name, sha256=file_sha256(path), size=path.stat().st_size)


PARTITION = "current-"  # begins the pointer of one partition


def _pointer(partition: str) -> str:
    return f"{PARTITION}{partition}" if partition else "current"


class Store:
    """Artefacts under one fsspec URL; `cache` is a local folder for files of a remote store."""

    def __init__(self, url: str, cache: Path) -> None:
        try:
            self.fs, self.base = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ArtifactError(f"PLAYBOOK_STORE is {url}: expected an fsspec URL that works here; {error}") from None
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.cache = cache

    def _folder(self, task: str, asset: str, key: str) -> str:
        return f"{self.base}/{task}/{asset}/{key}"

    def put(self, asset: str, artifact: A, sources: dict[str, Path]) -> A:
        """Write an artefact with its files under its play key; returns it with `files` filled in.

        The manifest is written last, so a killed writer leaves nothing that would be taken for a result.
        """
        refs = {role: file_ref(path) for role, path in sources.items()}
        artifact = artifact.model_copy(update={"files": refs})
        folder = self._folder(artifact.task, asset, artifact.play_key)
        self.fs.makedirs(folder, exist_ok=True)
        for role, path in sources.items():
            self._upload(path, f"{folder}/{refs[role].name}")
        self._write_text(f"{folder}/manifest.json", self._manifest(artifact))
        return artifact

    @staticmethod
    def _manifest(artifact: Artifact) -> str:
        body = {"kind": artifact.kind, "digest": artifact.digest, "content": artifact.model_dump(mode="json")}
        return json.dumps(body, indent=1, ensure_ascii=False)

    def _upload(self, path: Path, target: str) -> None:
        if self.local:
            part = Path(f"{target}.{uuid.uuid4().hex}.part")
            shutil.copyfile(path, part)
            part.replace(target)
        else:
            self.fs.put_file(str(path), target)

    def _write_text(self, target: str, text: str) -> None:
        if self.local:
            part = Path(f"{target}.{uuid.uuid4().hex}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        else:
            self.fs.pipe_file(target, text.encode())

    def get(self, task: str, asset: str, key: str, kind: type[A]) -> A | None:
        """The artefact stored under a play key, or None.

        Raises:
            ArtifactError: the manifest is of another kind or was altered.
        """
        where = f"{self._folder(task, asset, key)}/manifest.json"
        if not self.fs.exists(where):
            return None
        try:
            body = json.loads(self.fs.cat_file(where))
            artifact = kind.model_validate(body["content"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{where}: not a readable manifest ({type(error).__name__}); delete its folder and run the play again"
            ) from None
        # Hashed as it was written: a field that a later release adds with a default makes no manifest an altered one.
        written = {name: value for name, value in body["content"].items() if name not in kind.circumstances}
        if body["kind"] != kind.kind or body["digest"] != canonical_hash({"kind": kind.kind, **written}):
            raise ArtifactError(
                f"{where}: expected an unaltered {kind.kind}, found {body['kind']} with another digest; delete its "
                "folder and run the play again"
            )
        return artifact

    def set_current(self, task: str, asset: str, key: str, partition: str = "", data: str = "") -> None:
        """Make the result under `key` the one that the catalogue shows; of a partitioned asset, for that partition.

        `data` is the hash of the dataset that was current then (`current_data`).
        """
        self.fs.makedirs(f"{self.base}/{task}/{asset}", exist_ok=True)
        self._write_text(f"{self.base}/{task}/{asset}/{_pointer(partition)}", f"{key} {data}".strip())

    def current_data(self, task: str, asset: str) -> str:
        """Hash of the dataset that was current when the asset's result became so; empty where that is not known."""
        where = f"{self.base}/{task}/{asset}/{_pointer('')}"
        return self.fs.cat_file(where).decode().partition(" ")[2].strip() if self.fs.exists(where) else ""

    def partitions(self, task: str, asset: str) -> list[str]:
        """Partitions of an asset that have a result, sorted."""
        folder = f"{self.base}/{task}/{asset}"
        if not self.fs.exists(folder):
            return []
        names = (str(path).rsplit("/", 1)[-1] for path in self.fs.ls(folder, detail=False))
        return sorted(name.removeprefix(PARTITION) for name in names if name.startswith(PARTITION))

    def current(self, task: str, asset: str, kind: type[A], partition: str = "") -> A | None:
        """The result that the catalogue shows (of a partitioned asset, for that partition), or None."""
        where = f"{self.base}/{task}/{asset}/{_pointer(partition)}"
        if not self.fs.exists(where):
            return None
        return self.get(task, asset, self.fs.cat_file(where).decode().partition(" ")[0].strip(), kind)

    def path(self, artifact: Artifact, asset: str, role: str) -> Path:
        """Local path of an artefact's file, verified; the sealed test split is refused.

        Raises:
            ArtifactError: the file is sealed, missing, or its bytes are not what the manifest says.
        """
        if role == SEALED:
            raise ArtifactError(
                "the test split is sealed; only playbook.evaluate.test_split opens it, and records that it did"
            )
        return self.sealed_path(artifact, asset, role)

    def sealed_path(self, artifact: Artifact, asset: str, role: str) -> Path:
        """As `path`, for the sealed split too. Nothing but `playbook.evaluate.test_split` may call this."""
        ref = artifact.files.get(role)
        if ref is None:
            raise ArtifactError(f"{artifact.task}/{asset} has no file {role!r}, only {sorted(artifact.files)}")
        remote = f"{self._folder(artifact.task, asset, artifact.play_key)}/{ref.name}"
        local = Path(remote) if self.local else self.cache / ref.sha256[:2] / ref.sha256 / ref.name
        if not self.local and not (local.exists() and file_sha256(local) == ref.sha256):
            self._fetch(remote, local)
        if not local.exists() or file_sha256(local) != ref.sha256:
            raise ArtifactError(
                f"{remote}: missing, or changed since it was written (expected SHA-256 {ref.sha256[:12]}…); delete its "
                "folder and run the play again"
            )
        return local

    def _fetch(self, remote: str, local: Path) -> None:
        """Copy a remote file to the cache; one that is missing there is left for the caller to report."""
        local.parent.mkdir(parents=True, exist_ok=True)
        part = local.with_name(f"{local.name}.{uuid.uuid4().hex}.part")
        try:
            self.fs.get_file(remote, str(part))
            part.replace(local)
        except FileNotFoundError:
            part.unlink(missing_ok=True)
