"""deploy/ as far as it runs without containers: the proxy in a real nginx, the services on a real PostgreSQL."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ports import free_port
from postgres import postgres_server
from services import wait_for

from playbook.settings import child_environment, settings

ROOT = settings().root
DEPLOY = ROOT / "deploy"
HOST, USER, PASSWORD = "playbook.example", "anna", "open sesame"
LOGIN = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
MUTATION = "/graphql?query=mutation%20%7BstartSensor%7D"
HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}


@dataclass(frozen=True)
class Answer:
    """What a client got, and what arrived behind the proxy."""

    status: int
    body: str
    behind: tuple[dict[str, Any], ...]


@dataclass
class Door:
    """A running proxy: a port per application, and one backend for all that writes down what arrives."""

    ports: dict[str, int]
    arrived: list[dict[str, Any]]

    def ask(
        self,
        application: str = "dagster",
        path: str = "/",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        host: str | None = None,
        login: bool = True,
    ) -> Answer:
        port = self.ports[application]
        self.arrived.clear()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        sent = {"Host": host or f"{HOST}:{port}", **(LOGIN if login else {}), **(headers or {})}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", "2" if method == "POST" else "0")
        connection.endheaders(b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return Answer(answer.status, body, tuple(self.arrived))

    def own(self, application: str) -> str:
        return f"http://{HOST}:{self.ports[application]}"


@contextmanager
def backend(arrived: list[dict[str, Any]]) -> Iterator[int]:
    """Answers 200 to everything, 400 with a stack trace where asked to."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _note(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            arrived.append({"method": self.command, "path": self.path, "headers": dict(self.headers)})
            bad = self.headers.get("X-Bad") is not None
            body = b'Traceback (most recent call last): File "/srv/secret.py"' if bad else b"behind"
            self.send_response(400 if bad else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _note

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed (Debian: apt-get install nginx): the proxy was not tried")
    folder = tmp_path_factory.mktemp("proxy")
    arrived: list[dict[str, Any]] = []
    ports = {name: free_port() for name in ("dagster", "mlflow", "model")}
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout
    (folder / "passwords").write_text(f"{USER}:{hashed}")
    with backend(arrived) as port:
        values = {"PROXY_HOST": HOST, "PROXY_SCHEME": "http", "PROXY_PASSWORDS": str(folder / "passwords")}
        for name, listen in ports.items():
            values |= {f"{name.upper()}_LISTEN": f"127.0.0.1:{listen}", f"{name.upper()}_UPSTREAM": f"127.0.0.1:{port}"}
        template = (DEPLOY / "proxy" / "playbook.conf.template").read_text("utf-8")
        (folder / "playbook.conf").write_text(re.sub(r"\$\{(\w+)\}", lambda found: values[found.group(1)], template))
        with running(nginx, folder, f"include {folder}/playbook.conf;"):
            wait_for("nginx", 120, lambda: answers(ports["dagster"]))
            yield Door(ports, arrived)


@contextmanager
def running(nginx: str, folder: Path, inside: str) -> Iterator[None]:
    """nginx in the foreground with a configuration of its own; its test of the configuration passes first."""
    user = "user root;" if os.geteuid() == 0 else ""  # the test's folder lets only its owner in
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log warn; events {{}} "
    text += f"http {{ access_log off; client_body_temp_path {folder}/body; {places} {inside} }}"
    (folder / "nginx.conf").write_text(text)
    command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    subprocess.run([*command, "-t"], check=True)
    child = subprocess.Popen(command)
    try:
        yield
    finally:
        child.terminate()
        child.wait(20)


def answers(port: int, path: str = "/", host: str = "nobody") -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_whoever_knows_the_password_comes_in_and_it_ends_there(door: Door) -> None:
    for application, path in (("dagster", "/runs"), ("mlflow", "/"), ("model", "/ping")):
        answer = door.ask(application, path)
        assert (answer.status, answer.body) == (200, "behind")
        assert "Authorization" not in answer.behind[0]["headers"]
        assert answer.behind[0]["headers"]["Host"] == f"{HOST}:{door.ports[application]}"


@pytest.mark.parametrize("application", ["dagster", "mlflow", "model"])
def test_without_a_password_nothing_arrives(door: Door, application: str) -> None:
    path = "/ping" if application == "model" else "/"
    assert (door.ask(application, path, login=False).status, door.arrived) == (401, [])
    wrong = {"Authorization": "Basic " + base64.b64encode(b"anna:wrong").decode()}
    assert (door.ask(application, path, headers=wrong).status, door.arrived) == (401, [])


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "playbook.example.evil.example", "localhost"])
@pytest.mark.parametrize("application", ["dagster", "mlflow", "model"])
def test_a_foreign_host_is_refused(door: Door, application: str, host: str) -> None:
    answer = door.ask(application, "/ping", host=host)
    assert (answer.status, answer.behind) == (421, ())


def test_graphql_by_get_is_refused_however_it_is_written(door: Door) -> None:
    for path in (
        MUTATION,
        "/graphql",
        "/graphql/",
        "//graphql",
        "/%67raphql",
        "/x/../graphql",
        "/GraphQL",
        "/graphql/x",
    ):
        answer = door.ask(path=path)
        assert (answer.status, answer.behind) == (405, ()), path
    for method in ("HEAD", "PUT", "DELETE"):
        assert (door.ask(path="/graphql", method=method).status, door.arrived) == (405, []), method


def test_graphql_by_post_of_its_own_page_or_a_program_arrives(door: Door) -> None:
    for headers in ({}, {"Origin": door.own("dagster")}):
        answer = door.ask(path="/graphql", method="POST", headers=headers)
        assert answer.status == 200 and answer.behind[0]["method"] == "POST"


@pytest.mark.parametrize("application", ["dagster", "mlflow", "model"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_is_refused(door: Door, application: str, method: str) -> None:
    port = door.ports[application]
    foreign = (
        "http://evil.example",
        "null",
        f"http://playbookXexample:{port}",
        f"https://{HOST}:{port}",
        f"http://{HOST}",
    )
    for origin in foreign:
        answer = door.ask(application, "/invocations", method, {"Origin": origin})
        assert (answer.status, answer.behind) == (403, ()), origin


def test_a_websocket_of_its_own_page_arrives_without_a_query(door: Door) -> None:
    own = door.ask(path=MUTATION, headers={**HANDSHAKE, "Origin": door.own("dagster")})
    assert own.behind[0]["path"] == "/graphql" and own.behind[0]["headers"]["Upgrade"] == "websocket"
    foreign = door.ask(path="/graphql", headers={**HANDSHAKE, "Origin": "http://evil.example"})
    assert (foreign.status, foreign.behind) == (403, ())
    posted = door.ask(path="/graphql", method="POST", headers=HANDSHAKE)
    assert (posted.status, posted.behind) == (405, ())


def test_the_model_takes_predictions_and_shows_no_stack_trace(door: Door) -> None:
    assert door.ask("model", "/invocations", "POST").status == 200
    refused = door.ask("model", "/invocations", "POST", {"X-Bad": "1"})
    assert refused.status == 400 and "Traceback" not in refused.body and json.loads(refused.body)["error"]
    assert (door.ask("model", "/invocations").status, door.arrived) == (403, [])
    assert (door.ask("model", "/version").status, door.arrived) == (404, [])


def test_the_proxys_own_health_check_answers(door: Door) -> None:
    assert answers(door.ports["dagster"], "/proxy-health", "health") == 200
    assert answers(door.ports["dagster"], "/graphql", "health") == 404


def test_the_gate_beside_a_model_hands_on(tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed: the gate was not tried")
    arrived: list[dict[str, Any]] = []
    port = free_port()
    text = (DEPLOY / "proxy" / "model-gate.conf").read_text("utf-8")
    server = text[text.index("    server {") : text.rindex("}")]
    with backend(arrived) as model:
        inside = server.replace("listen 8083", f"listen 127.0.0.1:{port}").replace(
            "127.0.0.1:5001", f"127.0.0.1:{model}"
        )
        with running(nginx, tmp_path, inside):
            wait_for("nginx", 120, lambda: answers(port, "/gate") == 200)
            assert answers(port, "/ping", HOST) == 200
            assert arrived[-1]["headers"]["Host"] == f"127.0.0.1:{model}"


def _native(service: str, ports: dict[str, int], workspace: Path) -> tuple[list[str], list[str]]:
    """Command and health check of a service of compose.yaml, on this machine's ports instead of a container's."""
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"][service]
    own = {str(port): str(ports[name]) for name, port in (("code", 4000), ("webserver", 3000), ("mlflow", 5000))}

    def here(words: list[str]) -> list[str]:
        swapped = [own.get(word, word) for word in words]
        swapped = [word.replace("/app/deploy/workspace.yaml", str(workspace)) for word in swapped]
        for port, mine in own.items():
            swapped = [word.replace(f"127.0.0.1:{port}", f"127.0.0.1:{mine}") for word in swapped]
        return [word.replace("0.0.0.0", "127.0.0.1") for word in swapped]  # noqa: S104 - this machine only

    module = [sys.executable, "-m", "pipelines.instance"]
    check = here(found["healthcheck"]["test"][1:])
    program = [sys.executable] if check[0] == "python" else [str(Path(sys.executable).parent / check[0])]
    return [*module, *here(found["command"])], [*program, *check[1:]]


@pytest.mark.proof
def test_the_services_start_on_postgresql_and_are_healthy(tmp_path: Path) -> None:
    """All of ours but the model, with the commands and health checks of compose.yaml, started at the same time."""
    ports = {name: free_port() for name in ("code", "webserver", "mlflow")}
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": ports["code"]}
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace), "utf-8")
    with postgres_server() as server, ExitStack() as stack:
        secret = tmp_path / "database_url"
        secret.write_text(server.url("all").replace("playbook@", "playbook:s3cret@") + "\n")
        gone = ("MLFLOW_TRACKING_URI", "DAGSTER_HOME", "PLAYBOOK_DATABASE", "PLAYBOOK_STORE", "PLAYBOOK_TASKS")
        clean = {name: value for name, value in child_environment().items() if name not in gone}
        environment = {
            **clean,
            "PLAYBOOK_HOME": str(tmp_path / "home"),
            "PLAYBOOK_DATABASE_FILE": str(secret),
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"{HOST},127.0.0.1:{ports['mlflow']}",
        }
        children = {}
        for service in ("code", "mlflow", "webserver", "daemon"):
            command, check = _native(service, ports, tmp_path / "workspace.yaml")
            log = stack.enter_context((tmp_path / f"{service}.log").open("wb"))
            child = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
            stack.callback(_end, child)
            children[service] = (child, check)

        def beats() -> bool:
            return int(server.query("SELECT count(*) FROM dagster.daemon_heartbeats", "all")) >= 4

        # A check is a process that imports for seconds: the first one waits for a sign that it may pass.
        signs = {name: lambda port=port: listens(port) for name, port in ports.items()} | {"daemon": beats}
        for service, (child, check) in children.items():
            _until_healthy(service, child, check, signs[service], environment, tmp_path)
        assert answers(ports["mlflow"], "/api/2.0/mlflow/experiments/search", "evil.example") == 403
        commands = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in _all_of(children))
        assert "code-server" in commands and "s3cret" not in commands
        for path in [*tmp_path.glob("*.log"), tmp_path / "home" / "dagster" / "dagster.yaml"]:
            assert "s3cret" not in path.read_text(errors="replace"), path
        assert beats()


def _until_healthy(
    service: str,
    child: subprocess.Popen[bytes],
    check: list[str],
    sign: Callable[[], bool],
    environment: dict[str, str],
    folder: Path,
) -> None:
    end = time.monotonic() + 400
    wait_for(f"the first sign of {service}", 400, lambda: sign() or child.poll() is not None, every=0.5)
    while True:
        done = subprocess.run(check, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        said = (folder / f"{service}.log").read_text(errors="replace")[-3000:]
        assert child.poll() is None and time.monotonic() < end, f"{service}: {done.stderr}\n{said}"
        time.sleep(1)


def _all_of(children: Mapping[str, tuple[subprocess.Popen[bytes], list[str]]]) -> set[int]:
    from services import descendants

    return set().union(*(descendants(child.pid) for child, _ in children.values()))


def _end(child: subprocess.Popen[bytes]) -> None:
    from services import alive, descendants, kill

    every = descendants(child.pid)
    child.terminate()
    try:
        child.wait(60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pid in alive(every - {child.pid}):
        kill(pid)
