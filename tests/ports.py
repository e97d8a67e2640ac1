"""Ports for the tests' servers: none is handed out twice, and none can be some client's own end of a connection."""

from __future__ import annotations

import itertools
import os
import socket

# Systems take clients' ports from 32768 or 49152 on. Each of the processes that share the tests has a thousand below.
FIRST, EACH, PROCESSES = 15_000, 1000, 17
_turns = itertools.count(os.getpid() * 37)  # other sessions on this machine begin elsewhere


def free_port() -> int:
    """A port on loopback that nothing listens on, and that no other test of this run is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    for turn in itertools.islice(_turns, EACH):
        port = FIRST + EACH * worker + turn % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"expected a free port among {EACH}, found none")
