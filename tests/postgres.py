"""A PostgreSQL of the tests' own: Debian's programs, a folder of its own, a free port on loopback.

The server refuses to run as root, so that root becomes the system's user `postgres` for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

SECONDS = 240
USER = "playbook"
# No waiting for the disk: what was committed outlives a killed server all the same, though not a killed machine.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
max_connections = 100
shared_buffers = 32MB
"""


class PostgresServer:
    """A cluster in a folder; start, stop, kill and start it again as the test likes."""

    def __init__(self, folder: Path, programs: Path, port: int) -> None:
        self.folder, self.programs, self.port = folder, programs, port
        self.data = folder / "data"

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of a database; it is made where it is missing and the server runs."""
        if database != "postgres" and self.running:
            asked = f"SELECT 1 FROM pg_database WHERE datname = '{database}'"  # noqa: S608
            if not self.query(asked):
                self.query(f'CREATE DATABASE "{database}"')
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def query(self, sql: str, database: str = "postgres") -> str:
        """What psql prints for a statement, without headings."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        return self._do("psql", *where, "-X", "-q", "-A", "-t", "-c", sql).strip()

    @property
    def running(self) -> bool:
        """Whether the server takes connections."""
        asked = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        return subprocess.run(asked, check=False, timeout=SECONDS).returncode == 0

    def make(self) -> None:
        """Write the cluster's folder."""
        self._do("initdb", "-D", str(self.data), "-U", USER, "--auth=trust", "-E", "UTF8", "--no-sync", "--locale=C")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(f"{CONFIGURATION}port = {self.port}\nunix_socket_directories = '{self.folder}'\n")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = str(self.folder / "server.log")
        self._do("pg_ctl", "start", "-w", "-t", str(SECONDS), "-D", str(self.data), "-l", log, "-s")

    def stop(self) -> None:
        """End it properly, connections and all; nothing happens where it does not run."""
        if (self.data / "postmaster.pid").exists():
            self._do("pg_ctl", "stop", "-w", "-t", str(SECONDS), "-m", "fast", "-D", str(self.data), "-s")

    def kill(self) -> None:
        """End every process of it at once, as a machine that fails does."""
        head = int((self.data / "postmaster.pid").read_text().split()[0])
        every = [head, *_children(head)]  # the head first: it would start others
        for pid in every:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself
        end = time.monotonic() + SECONDS
        while any(_runs(pid) for pid in every):
            assert time.monotonic() < end, "the killed server is still there"
            time.sleep(0.02)
        # Where nobody asks for the status of what died, its number looks alive to the next start.
        for left in (self.data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)

    def restart(self) -> None:
        """Start it again after `stop` or `kill`; a running one is stopped first."""
        if self.running:
            self.stop()
        self.start()

    def _do(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs; the test fails with what it said."""
        command = [*_as_postgres(), str(self.programs / program), *arguments]
        with tempfile.TemporaryFile() as said:  # no pipe: the server would hold its end for ever
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", timeout=SECONDS * 2, check=False
            )
            said.seek(0)
            text = said.read().decode(errors="replace")
        if done.returncode != 0:
            log = self.folder / "server.log"
            pytest.fail(f"{program}: {text}\n{log.read_text(errors='replace')[-2000:] if log.exists() else ''}")
        return text


@contextmanager
def postgres_server(folder: Path | None = None) -> Iterator[PostgresServer]:
    """A running server whose files lie in a new folder below `folder` (default: the system's temporary folder).

    Skips the test where PostgreSQL is not installed. Below pytest's `tmp_path`, which only its owner may enter,
    the user `postgres` could not work: then the files lie in the system's temporary folder all the same.
    """
    programs = _programs()
    root = os.geteuid() == 0
    place = Path(tempfile.mkdtemp(prefix="playbook-pg-", dir=None if root else folder))
    if root:
        user = pwd.getpwnam("postgres")
        os.chown(place, user.pw_uid, user.pw_gid)
    server = PostgresServer(place, programs, free_port())
    try:
        server.make()
        server.start()
        yield server
    finally:
        try:
            server.stop()
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _programs() -> Path:
    """Folder of the newest installed PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    beside = shutil.which("initdb")
    if not found and beside is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql): nothing was tried on it")
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or not _has_user("postgres")):
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres to become")
    return found[-1].parent if found else Path(str(beside)).parent


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
