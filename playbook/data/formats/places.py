"""Where a table lies: a file or a folder of part files, local or at any fsspec URL."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec

from playbook.data.formats.kind import COMPRESSIONS
from playbook.errors import DataError

# What may lie beside part files: notes, locks of an office, what editors keep of an earlier state.
_BESIDE = (".crc", ".md", ".lock", "Thumbs.db", "desktop.ini", "~", ".bak", ".swp", ".tmp")
# Folders of tables that keep a log of their files.
_LOGS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}
_HIDDEN = ("_", ".", "~$")


@dataclass(frozen=True)
class Part:
    """One file: its name below the place that was named (empty for that place itself), and how to get its content."""

    name: str
    location: str
    columns: dict[str, str]  # that folders called `key=value` add


def is_url(location: str) -> bool:
    """Whether a location is an fsspec URL rather than a local path."""
    return "://" in location


def parts_of(location: str) -> list[Part]:
    """The files of a place in the order of their names: itself, or those of a folder, hidden ones left out.

    Raises:
        DataError: there is nothing, or it cannot be reached.
    """
    if not is_url(location):
        root = Path(location)
        if not root.exists():
            raise _missing(location)
        if not root.is_dir():
            return [Part("", location, {})]
        return _parts(location, {path.relative_to(root).as_posix(): str(path) for path in _files(root)})
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
        if not _is_folder(filesystem, path):
            return [Part("", location, {})]
        base = path.rstrip("/")
        found = [str(name) for name in filesystem.find(path)]
        return _parts(location, {name[len(base) + 1 :]: filesystem.unstrip_protocol(name) for name in found})
    except DataError:
        raise
    except FileNotFoundError:
        raise _missing(location) from None
    except Exception as error:  # every filesystem, codec and network has errors of its own
        raise unreachable(location, error) from None


def _files(root: Path) -> Iterator[Path]:
    """All that is not a folder below one, behind links too.

    Raises:
        DataError: a link leads nowhere or back up, or a folder may not be read: rows would be missing without a word.
    """

    def refuse(error: OSError) -> None:
        raise unreachable(str(error.filename), error)

    seen = {root.resolve()}
    for folder, names, files in os.walk(root, onerror=refuse, followlinks=True):
        _require_plain(str(root), names)
        names[:] = [name for name in names if not name.startswith(_HIDDEN)]
        for name in names:
            below = Path(folder) / name
            if below.resolve() in seen:
                raise DataError(f"{below}: expected rows, found a link to a folder that is read already; take it out")
            seen.add(below.resolve())
        for name in files:
            path = Path(folder) / name
            if not name.startswith(_HIDDEN) and not name.endswith(_BESIDE) and not path.exists():
                raise DataError(f"{path}: a link to a file that is not there; fetch the file, or take the link out")
            if path.is_file():
                yield path


def _is_folder(filesystem: Any, path: str) -> bool:
    """By what is stored about it: to look into it, as `isdir` does over HTTP, takes a file with links for a folder."""
    try:
        return bool(filesystem.info(path).get("type") == "directory")
    except FileNotFoundError:
        raise
    except Exception:  # a server that says nothing about a file may still hand it out
        return False


def _parts(location: str, files: dict[str, str]) -> list[Part]:
    kept = [
        name
        for name in sorted(files)
        if not any(step.startswith(_HIDDEN) for step in name.split("/")) and not name.endswith(_BESIDE)
    ]
    _require_plain(location, {step for name in files for step in name.split("/")[:-1]})
    plain: dict[str, str] = {}
    for name in kept:
        other = plain.setdefault(_unpacked_name(name), name)
        if other != name:
            raise DataError(
                f"{location}: expected every file of rows once, found {other} and {name}, which seem to be one, packed "
                "and not; take one of them out"
            )
    if not kept:
        raise DataError(f"{location}: expected files of rows in this folder, found none; check the path")
    return [Part(name, files[name], _keys(name)) for name in kept]


def _require_plain(location: str, folders: Collection[str]) -> None:
    """Refuse a table whose own log says which files count: the others hold rows that were deleted or replaced."""
    for folder, name in _LOGS.items():
        if folder in folders:
            raise DataError(
                f"{location}: expected a folder whose files all count, found {name} ({folder}), where deleted rows "
                "lie beside the current ones; export its current state to plain files"
            )


def _unpacked_name(name: str) -> str:
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in COMPRESSIONS else name


def _keys(name: str) -> dict[str, str]:
    """Columns of a part in folders called `key=value`, as Hive and Spark write them."""
    steps = [step.partition("=") for step in posixpath.dirname(name).split("/") if "=" in step]
    return {key: "" if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for key, _, value in steps}


def fetch(location: str) -> bytes:
    """Content of one file, as it lies there.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        if not is_url(location):
            return Path(location).read_bytes()
        with fsspec.open(location, "rb") as stream:
            content: Any = stream.read()
        return bytes(content)
    except FileNotFoundError:
        raise _missing(location) from None
    except Exception as error:  # every filesystem and network has errors of its own
        raise unreachable(location, error) from None


def _missing(location: str) -> DataError:
    pattern = "; a pattern names no files, a folder does" if re.search(r"[*?]|\[.*\]", location) else ""
    return DataError(
        f"{location}: no such file; check data.source in the task file (paths are relative to it){pattern}"
    )


def unreachable(location: str, error: Exception) -> DataError:
    """What is said of a place that cannot be read."""
    reason = " ".join(str(error).split())
    return DataError(
        f"{location}: cannot be read ({type(error).__name__}: {reason}); check the address and your access to it"
    )
