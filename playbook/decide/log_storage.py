"""What a decision log needs of the place where it lies: all lines, a head that counts them, one writer at a time."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from playbook.artifacts.artifact import Part

WITHOUT_A_BACKUP = (
    "Where there is none, the sign-off owner puts the loss on record and goes on: playbook log TASK --accept-loss "
    "--as NAME --reason TEXT. Nothing is recorded until then"
)
GENESIS = "0" * 64  # hash before the first entry


class Head(Part):
    """How many entries there are, and the hash of the last one."""

    count: int = 0
    sha256: str = GENESIS

    @property
    def line(self) -> bytes:
        """The one way in which a head is written."""
        return canonical(self.model_dump(mode="json")) + b"\n"


@dataclass(frozen=True)
class Stored:
    """What lies there, unverified: lines with their line breaks, the head, and half a line of a killed writer.

    `named` has index and hash under which a table keeps each line; files have none.
    """

    lines: tuple[bytes, ...]
    head: Head | None
    torn: bytes = b""
    named: tuple[tuple[int, str], ...] = ()


class LogStorage(Protocol):
    """A place for the lines of one log."""

    name: str  # in messages; carries no password
    head_name: str
    ahead: int  # lines that the head may not have counted yet
    remedy: str  # what to do about a log that was tampered with

    def exists(self) -> bool:
        """Whether anything was ever written; asked without the lock."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Hold the log alone; `read` and `add` are called inside. What was added counts once this ends well."""
        ...

    def read(self) -> Stored:
        """Everything that lies there."""
        ...

    def set_aside(self) -> tuple[str, tuple[bytes, ...]]:
        """Put everything that lies there where it is kept and read no more; says where, and what the lines were."""
        ...

    def add(self, earlier: tuple[bytes, ...], line: bytes, head: Head) -> None:
        """Put a line behind the verified ones, and the head that counts it."""
        ...


def remedy(storage: LogStorage) -> str:
    """What to do about a log that was tampered with."""
    return f"The log is not what was written: {storage.remedy}. {WITHOUT_A_BACKUP}"


def canonical(value: Any) -> bytes:
    """Sorted keys, no blanks."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
