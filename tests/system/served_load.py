"""`playbook serve` in a process of its own, and threads that ask it all the time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import free_port
from served_models import TEXTS, ServedPlace
from services import wait_for

RECORDS = "dataframe_records"


@dataclass
class Running:
    """A server of a place, in a process of its own."""

    place: ServedPlace
    port: int
    child: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/health", timeout=120) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def post(self, body: Any, path: str = "/invocations", **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        request = urllib.request.Request(self.address + path, data, sent)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=240) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def end(self) -> str:
        """Ask it to end; what it said."""
        self.child.send_signal(signal.SIGTERM)
        assert self.child.wait(timeout=120) == 0, self.log.read_text()
        return self.log.read_text()


@contextmanager
def serving(place: ServedPlace, **more: str) -> Iterator[Running]:
    port = free_port()
    log = place.folder / f"server-{port}.log"
    command = [sys.executable, "-m", "playbook.cli", "serve", str(place.task.path), "--port", str(port)]
    with log.open("wb") as stream:
        environment = {**place.environment, **more}
        child = subprocess.Popen(command, env=environment, cwd=place.folder, stdout=stream, stderr=stream)
    running = Running(place, port, child, log)

    def ready() -> bool:
        assert child.poll() is None, log.read_text()
        try:
            return bool(running.health)
        except OSError:
            return False

    try:
        wait_for("the server", 240, ready)
        yield running
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


@dataclass
class Load:
    """Threads that ask without a pause, or with one of so many seconds; what they were answered."""

    running: Running
    pause: float = 0
    versions: list[tuple[float, str]] = field(default_factory=list)  # (time asked, version)
    failures: list[Any] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _ask(self) -> None:
        while not self._stop.wait(self.pause):
            asked = time.monotonic()
            try:
                status, answer = self.running.post({RECORDS: [{"text": text} for text in TEXTS]})
            except Exception as error:
                status, answer = 0, repr(error)
            if status == 200:
                self.versions += [(asked, row["model_version"]) for row in answer["predictions"]]
            else:
                self.failures.append((status, answer))

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
