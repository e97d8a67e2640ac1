"""Local copies of remote sources, so that a dataset version rests on bytes that stay."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec

from playbook.data.formats.kind import suffixes
from playbook.data.formats.places import is_url, parts_of
from playbook.data.read import sources_of
from playbook.errors import DataError
from playbook.store import file_sha256
from playbook.taskfile import Task

STAMPS = "snapshot.json"  # what each copy was taken from
# What filesystems call a mark of content. A size or a date is not one: both can stay while the content changes.
MARKS = ("ETag", "etag", "md5Hash", "Content-MD5", "content_md5", "checksum", "sha256", "crc32c", "version_id")


def snapshot_sources(task: Task, folder: Path) -> dict[str, Path]:
    """Copy every remote source of a task into `folder`; returns the copies by role, local sources are not among them.

    A source that is a folder becomes one, with the files that the reader would read.

    A source whose mark of content (an ETag or checksum that its filesystem gives) is the one of the copy is not fetched
    again; nor is a copy replaced by equal bytes.

    Raises:
        DataError: a source cannot be reached or read.
    """
    remote = {role: url for role, url in sources_of(task.spec.data).items() if is_url(url)}
    if not remote:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    stamps = _stamps(folder)
    copies: dict[str, Path] = {}
    for role, url in remote.items():
        try:
            copies[role] = _copied(role, url, folder, stamps)
        except Exception as error:  # every filesystem and network has errors of its own
            reason = " ".join(str(error).split())
            raise DataError(
                f"{url}: cannot be fetched ({type(error).__name__}: {reason}); check the address and your access to it"
            ) from None
    part = folder / f".{STAMPS}.{uuid.uuid4().hex}.part"
    part.write_text(json.dumps(stamps, indent=1), encoding="utf-8")
    part.replace(folder / STAMPS)
    return copies


def _copied(role: str, url: str, folder: Path, stamps: dict[str, dict[str, str]]) -> Path:
    """The copy of one source; `stamps` learns what it was taken from."""
    parts = parts_of(url)
    if not parts[0].name:
        copy = folder / f"{role}{''.join(suffixes(url))}"
        stamps[role] = _fetch(url, copy, stamps.get(role, {}))
        return copy
    copies = {f"{role}/{part.name}": part.location for part in parts}
    for name, location in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        stamps[name] = _fetch(location, folder / name, stamps.get(name, {}))
    for path in (folder / role).rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in copies:
            path.unlink()  # the source has it no more
    return folder / role


def _stamps(folder: Path) -> dict[str, dict[str, str]]:
    try:
        stamps = json.loads((folder / STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _fetch(url: str, copy: Path, stamp: dict[str, str]) -> dict[str, str]:
    filesystem, path = fsspec.core.url_to_fs(url)
    mark = _mark(filesystem.info(path))
    here = file_sha256(copy) if copy.is_file() else ""
    if mark and here and stamp == {"url": url, "mark": mark, "sha256": here}:
        return stamp
    part = copy.with_name(f".{copy.name}.{uuid.uuid4().hex}.part")
    try:
        with filesystem.open(path, "rb") as source, part.open("wb") as target:
            shutil.copyfileobj(source, target)
        fetched = file_sha256(part)
        if fetched != here:
            part.replace(copy)
    finally:
        part.unlink(missing_ok=True)
    return {"url": url, "mark": mark, "sha256": fetched}


def _mark(info: dict[str, Any]) -> str:
    return next((f"{name}:{info[name]}" for name in MARKS if info.get(name)), "")
