"""The handoff package as a folder and a zip: written so that the same documents give the same bytes, read with care."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from playbook.decide.log import GENESIS, Entry
from playbook.errors import ArtifactError
from playbook.operate.recipe import RECIPE, TRAINED, Recipe, read_recipe

MANIFEST = "MANIFEST.json"
README = "README.md"
DECISIONS = "decision_log.jsonl"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name: no file carries when it was written
MOST_BYTES = 256 << 20  # of one document when it is read
AGAIN = "take the package from where it was handed over again"


@dataclass(frozen=True)
class Package:
    """A handoff package that was read: its recipe, and what its manifest says."""

    recipe: Recipe
    manifest: Mapping[str, Any]
    documents: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """Task and version."""
        return f"{self.manifest.get('task')}-{self.manifest.get('version')}"


def sha256_of(content: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def write_folder(folder: Path, documents: Mapping[str, bytes]) -> Path:
    """Put all documents into a folder, which is complete or not there at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.part"
    part.mkdir()
    try:
        for name, content in documents.items():
            (part / name).write_bytes(content)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def write_zip(path: Path, documents: Mapping[str, bytes]) -> Path:
    """Put all documents into a zip; the same documents give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(documents):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3  # whatever system it is written on
            archive.writestr(entry, documents[name])
    part.replace(path)
    return path


def read_package(place: Path) -> Package:
    """A handoff package from its zip or its folder, every document verified against the manifest.

    Raises:
        ArtifactError: it is not a package, something is missing, added or changed, or its recipe is not one.
    """
    documents = _from_folder(place) if place.is_dir() else _from_zip(place)
    if MANIFEST not in documents:
        raise ArtifactError(f"{place}: expected a handoff package with {MANIFEST}, found none; {AGAIN}")
    try:
        manifest = json.loads(documents[MANIFEST])
        listed = {str(name): str(sha256) for name, sha256 in manifest["documents"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{place}: {MANIFEST} cannot be read; {AGAIN}") from None
    for name, sha256 in listed.items():
        found = sha256_of(documents[name]) if name in documents else "no such file"
        if found != sha256:
            raise ArtifactError(f"{place}: expected {name} with SHA-256 {sha256[:12]}…, found {found[:12]}…; {AGAIN}")
    strange = [name for name in listed if Path(name).name != name or name == ".."]
    if strange:
        raise ArtifactError(f"{place}: expected plain names of documents, found {strange}; {AGAIN}")
    if RECIPE not in listed:
        raise ArtifactError(f"{place}: expected {RECIPE} among the documents, found none; {AGAIN}")
    recipe = read_recipe(documents[RECIPE], f"{place}/{RECIPE}")
    _belong_together(place, manifest, recipe)
    _signed_off(place, manifest, recipe, documents.get(DECISIONS, b""))
    return Package(recipe, manifest, {name: documents[name] for name in (*listed, MANIFEST)})


def _belong_together(place: Path, manifest: Mapping[str, Any], recipe: Recipe) -> None:
    """The manifest's hashes are the recipe's: a recipe of another model has no place here."""
    describes = manifest.get("describes", {})
    said = (describes.get("dataset", {}).get("hash"), describes.get("bundle", {}).get("weights"), manifest.get("task"))
    meant = (recipe.data.hash, recipe.expected, recipe.task)
    if said != meant:
        raise ArtifactError(f"{place}: {RECIPE} names another model or dataset than {MANIFEST}; {AGAIN}")


def _signed_off(place: Path, manifest: Mapping[str, Any], recipe: Recipe, log: bytes) -> None:
    """The package's own decision log is an unbroken chain, and what it approves are this recipe's weights and data."""
    previous, approved = GENESIS, None
    for number, line in enumerate(log.splitlines(keepends=True), start=1):
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            raise ArtifactError(f"{place}: line {number} of {DECISIONS} is not an entry of the log; {AGAIN}") from None
        if (entry.index, entry.previous, entry.sha256, entry.line) != (number, previous, entry.content_hash, line):
            raise ArtifactError(f"{place}: {DECISIONS} was changed in line {number}; {AGAIN}")
        previous = entry.sha256
        if entry.kind == "sign_off" and entry.sha256 == manifest["describes"].get("sign_off", {}).get("entry"):
            approved = entry
    meant = (recipe.expected.get(TRAINED), recipe.data.hash)
    signed = (approved.inputs.get("weights"), approved.inputs.get("dataset")) if approved is not None else None
    if signed != meant:
        raise ArtifactError(
            f"{place}: expected an approval of the recipe's weights and data in {DECISIONS}, found "
            f"{'one of others' if signed else 'none'}; {AGAIN}"
        )


def _from_folder(place: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(place.iterdir()):
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            found[path.name] = path.read_bytes()
    return found


def _from_zip(place: Path) -> dict[str, bytes]:
    """Documents of a zip, in memory; nothing is unpacked, so no name in it can lead anywhere."""
    try:
        with zipfile.ZipFile(place) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            large = [entry.filename for entry in entries if entry.file_size > MOST_BYTES]
            if large or len({entry.filename for entry in entries}) != len(entries):
                raise ArtifactError(f"{place}: expected small documents of different names, found others; {AGAIN}")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (OSError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{place}: expected the zip of a handoff package, or its folder; {type(error).__name__}: {error}"
        ) from None
