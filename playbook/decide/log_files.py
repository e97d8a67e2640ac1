"""The decision log in two files: `.jsonl` with one entry per line, and a head beside it that counts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from playbook.decide.log_storage import Head, Stored, remedy
from playbook.durable import sync_folder
from playbook.errors import ArtifactError, LogTampered

LOCK_SECONDS = 30.0


class LogFiles:
    """Two files of one task: `path` is the `.jsonl` file, the head lies beside it with the suffix `.head`."""

    ahead = 1  # a writer may have been killed between the two files
    remedy = "restore both files from a backup"

    def __init__(self, path: Path) -> None:
        self.path, self.head = path, path.with_suffix(".head")
        self.name, self.head_name = str(self.path), str(self.head)

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return self.path.exists() or self.head.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the log alone among this machine's processes.

        Raises:
            ArtifactError: another one holds it, or the files cannot be read or written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS):
                yield
        except (OSError, Timeout) as error:
            raise ArtifactError(
                f"{self.path}: expected to read and write the decision log, but {type(error).__name__}: {error}. "
                "Nothing was recorded; make the folder writable and run the play again"
            ) from error

    def read(self) -> Stored:
        """Whole lines, and what a killed writer left of one."""
        content = self.path.read_bytes() if self.path.exists() else b""
        *lines, torn = content.split(b"\n")
        return Stored(tuple(line + b"\n" for line in lines), self._read_head(), torn)

    def _read_head(self) -> Head | None:
        if not self.head.exists():
            return None
        try:
            return Head.model_validate_json(self.head.read_bytes())
        except ValidationError:
            found = f"{self.head}: expected a count and a hash, found something else"
            raise LogTampered(f"{found}. {remedy(self)}") from None

    def set_aside(self) -> tuple[str, tuple[bytes, ...]]:
        """Rename both files, whatever is in them."""
        content = self.path.read_bytes() if self.path.exists() else b""
        aside = _free_name(self.path)
        if self.path.exists():
            self.path.replace(aside)
        if self.head.exists():
            self.head.replace(aside.with_name(f"{aside.name}.head"))
        sync_folder(self.path.parent)
        return str(aside), tuple(line + b"\n" for line in content.split(b"\n")[:-1])

    def add(self, earlier: tuple[bytes, ...], line: bytes, head: Head) -> None:
        """Put a line behind the verified ones, then count it."""
        if not self.head.exists():
            self.write_head(Head())
        self._write_line(sum(map(len, earlier)), line)
        self.write_head(head)

    def _write_line(self, at: int, line: bytes) -> None:
        """Half a line of a killed writer, never acknowledged, is overwritten."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, at)
            written = os.pwrite(descriptor, line, at)
            if written != len(line):
                os.ftruncate(descriptor, at)
                raise OSError("the line was cut short; is the disk full?")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write_head(self, head: Head) -> None:
        """Replace the head as a whole."""
        part = self.head.with_suffix(".head.part")
        with part.open("wb") as stream:
            stream.write(head.line)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self.head)
        sync_folder(self.head.parent)


def _free_name(path: Path) -> Path:
    """A name beside a log that nothing has yet, with the time in it."""
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (path.with_name(f"{path.name}.lost-{when}{again}") for again in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists() and not name.with_name(f"{name.name}.head").exists())
