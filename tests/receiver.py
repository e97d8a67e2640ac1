"""A real HTTP receiver of alerts on loopback, which answers as a test asks it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What arrived, and how the next request is answered."""

    address: str
    status: int = 200
    location: str = ""
    pause: float = 0.0  # seconds before the answer
    got: list[dict[str, Any]] = field(default_factory=list)  # bodies of answers with 2xx
    refused: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    def kinds(self) -> list[str]:
        """Kinds of what arrived, in order."""
        return [body["kind"] for body in self.got]


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Serve until the test is over."""
    state = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.methods.append("POST")
            state.headers.append(dict(self.headers))
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(state.pause)
            (state.got if 200 <= state.status < 300 else state.refused).append(body)
            self.send_response(state.status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            state.methods.append("GET")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}/hook?token=s3cret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
