"""`playbook serve`: MLflow's scoring application around the champion, in one process, on this machine only.

The alias is asked for every second. When it has moved, the new version is loaded beside the old one, answers once, and
takes its place in one step: requests that are under way end with the version that they began with.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playbook.database import without_secrets
from playbook.errors import StorageError
from playbook.operate.prediction_log import open_prediction_log
from playbook.operate.prediction_writer import PredictionWriter
from playbook.operate.redaction import Redactor
from playbook.settings import Settings
from playbook.taskfile import Task
from resources.champion import Champion
from resources.mlflow_server import LOOPBACK
from resources.served_model import ServedModel
from resources.serving_guard import Guard
from resources.world import World

if TYPE_CHECKING:
    from types import FrameType

PORT = 5001
POLL_SECONDS = 1.0
END_SECONDS = 10  # for requests under way, and again for rows that wait to be logged

logger = logging.getLogger("playbook.serving")


@dataclass
class Server:
    """One task's server in this process: the application, and what runs beside it.

    Args:
        task: that is served.
        champion: loaded already.
        writer: of the prediction log.
        said: hears of changed versions and of troubles.
    """

    task: Task
    champion: Champion
    writer: PredictionWriter
    said: Callable[[str], None]
    trouble: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def application(self) -> Guard:
        """What uvicorn runs."""
        from mlflow.pyfunc import scoring_server

        return Guard(scoring_server.init(ServedModel(self.champion, self.writer)), self.health)

    def health(self) -> dict[str, Any]:
        """What /ping and /health say."""
        counts = self.writer.counts
        return {
            "status": "ok",
            "task": self.task.spec.task,
            "model_version": self.champion.current.version,
            "logged": counts.logged,
            "lost": counts.lost,
            "queued": counts.queued,
            "not_chosen": counts.not_chosen,
            "trouble": self.trouble,
        }

    def follow(self, seconds: float = POLL_SECONDS) -> None:
        """Exchange the version whenever the alias has moved, until `end`.

        While the registry is away, or a version does not load, the old one answers.
        """
        while not self._stop.wait(seconds):
            try:
                changed = self.champion.refresh()
            except Exception as error:  # a thread that ended would leave the old version in place for ever
                told = " ".join(str(error).split())[:500] or type(error).__name__
                found = without_secrets(told, self.champion.registry.tracking.uri)
            else:
                found = ""
                if changed:
                    self.said(f"{self.task.spec.task}: version {self.champion.current.version} answers now")
            if found and found != self.trouble:
                self.said(f"version {self.champion.current.version} goes on answering: {found}")
            self.trouble = found

    def end(self) -> None:
        """Stop following, and write what waits."""
        self._stop.set()
        counts = self.writer.close(END_SECONDS)
        self.said(f"{counts.logged} predictions logged, {counts.lost} lost")


@contextmanager
def running_server(task: Task, places: Settings, said: Callable[[str], None]) -> Iterator[Server]:
    """The champion loaded and followed, and its log written, until the end.

    Raises:
        ArtifactError: there is no champion yet, or it cannot be loaded.
    """
    spec = task.spec
    if places.threads is not None:
        import torch

        torch.set_num_threads(places.threads)
    champion = Champion(World(places).registry, spec.task, spec.package.alias)
    redactor = Redactor(spec.serving.redact, spec.data.columns.text)
    champion.refresh()
    log = open_prediction_log(places, spec.task)
    server = Server(task, champion, PredictionWriter(log, spec.serving, redactor), said)
    thread = threading.Thread(target=server.follow, name="champion", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end()


def serve(task: Task, places: Settings, port: int, said: Callable[[str], None]) -> None:
    """Answer on 127.0.0.1 until SIGINT or SIGTERM; port 0 takes a free one.

    Raises:
        ArtifactError: there is no champion yet, or it cannot be loaded.
        StorageError: the port is taken.
    """
    import uvicorn

    with _bound(port) as listener, running_server(task, places, said) as server:
        address = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        said(f"{task.spec.task} {server.champion.current.version} answers at {address}/invocations (state: /health)")
        config = uvicorn.Config(
            server.application(),
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=END_SECONDS,
        )
        # uvicorn sends itself the signal again when it has ended in order; what waits must be logged all the same.
        signal.signal(signal.SIGTERM, _interrupt)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    """A socket on loopback, taken before the model is loaded."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            raise StorageError(
                f"port {port} of {LOOPBACK}: expected it to be free, found: {error.strerror}; name another one (--port)"
            ) from None
        yield listener
