"""What stands between the network and MLflow's scoring application (which is an ASGI application).

Requests must mean this machine: a page of another origin, or a name that was pointed at loopback (DNS rebinding), is
refused. Bodies have a limit, and their rows are put into one plain form. Errors leave as one JSON object that says what
was expected; stack traces and the echo of the input, which MLflow puts into its answers, do not.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from resources.serving_request import RefusedRequest, plain_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 10_000_000  # of a request's body
DRAINED = 5  # times the limit, up to which the body of a refused request is read
MOST_MESSAGE = 500  # characters of an error
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN = {"/invocations": "POST", "/ping": "GET", "/health": "GET", "/version": "GET"}
MEDIA = ("application/json", "text/csv", "application/vnd.apache.parquet")

logger = logging.getLogger("playbook.serving")


class Guard:
    """Refuses, bounds and cleans; `/ping` and `/health` are answered here.

    Args:
        application: MLflow's.
        health: what is said of the server's state, as JSON values.
        most_bytes: of a request's body.
    """

    def __init__(
        self, application: Application, health: Callable[[], dict[str, Any]], most_bytes: int = MOST_BYTES
    ) -> None:
        self._application, self._health, self._most = application, health, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._application(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal is not None:
            await _error(send, *refusal)
        elif scope["path"] in ("/ping", "/health"):
            await _answer(send, 200, self._health())
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._body(scope, receive)
        if body is None:
            await _error(send, 413, "TOO_LARGE", f"expected a body of at most {self._most} bytes, found a larger one")
            return
        content = body
        if scope["path"] == "/invocations":
            try:
                scope, content = await asyncio.to_thread(_plain, scope, body)
            except RefusedRequest as error:
                await _error(send, 400, "INVALID_PARAMETER_VALUE", " ".join(str(error).split())[:MOST_MESSAGE])
                return
        cleaner = _Cleaner(send)
        try:
            await self._application(scope, _replay(content, receive), cleaner.send)
        except Exception as error:
            logger.exception("a request failed")
            if cleaner.begun:
                raise RuntimeError(f"the answer broke off: {type(error).__name__}") from None
            await _error(send, 500, "INTERNAL_ERROR", "the server could not answer; its log says why")

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None of one that is too large, which is read to its end where that is near.

        Whoever still sends when the connection closes does not read the answer.
        """
        stated = _headers(scope).get("content-length", "")
        if stated.isdigit() and int(stated) > DRAINED * self._most:
            return None
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= DRAINED * self._most:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= self._most:
                parts.append(part)
            more = message["type"] == "http.request" and message.get("more_body", False)
        return b"".join(parts) if size <= self._most else None


def _plain(scope: Scope, body: bytes) -> tuple[Scope, bytes]:
    """The request with its rows in the form that MLflow cannot misread.

    Raises:
        RefusedRequest: its rows cannot be read.
    """
    media, _, parameters = _headers(scope).get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=")
    plain = plain_request(body, media.strip().lower()) if charset in ("", "utf-8") else None
    if plain is None:
        return scope, body
    kept = [pair for pair in scope["headers"] if pair[0].lower() not in (b"content-type", b"content-length")]
    written = [(b"content-type", b"application/json"), (b"content-length", str(len(plain)).encode())]
    return {**scope, "headers": [*kept, *written]}, plain


class _Cleaner:
    """Lets good answers through; an error is held back until it is whole, and rewritten."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status, self._held = 200, b""
        self.begun = False  # something has left

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take one message of the application."""
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
        if self._status < 400:
            self.begun = True
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._held += message.get("body", b"")
            if not message.get("more_body", False):
                self.begun = True
                await _error(self._send, self._status, *_cleaned(self._held))


def _cleaned(body: bytes) -> tuple[str, str]:
    """Code and message of one of MLflow's errors, without stack trace, input, or hints at other releases."""
    text = body.decode("utf-8", "replace")
    code = "BAD_REQUEST"
    try:
        found = json.loads(text)
        code, text = str(found["error_code"]), str(found["message"])
    except (ValueError, KeyError, TypeError):
        pass  # plain text, or FastAPI's own
    if text.startswith("Failed to predict data"):
        text = text.rpartition("\nError: ")[2] or "the input could not be predicted"
    for tail in ("\nInput:", "IMPORTANT: ", "Traceback (most recent call last)"):
        text = text.partition(tail)[0]
    return code, " ".join(text.split())[:MOST_MESSAGE]


def _refusal(scope: Scope) -> tuple[int, str, str] | None:
    """Status, code and message of a request that goes no further."""
    headers = _headers(scope)
    origin = headers.get("origin")
    if _host(f"//{headers.get('host', '')}") not in LOOPBACK_NAMES:
        return 403, "FORBIDDEN", "expected a request to 127.0.0.1 or localhost, found another Host"
    if origin is not None and _host(origin) not in LOOPBACK_NAMES:
        return 403, "FORBIDDEN", "expected no request of a web page of another origin, found one"
    method = OPEN.get(scope["path"])
    if method is None:
        return 404, "NOT_FOUND", f"expected one of {', '.join(OPEN)}"
    if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
        return 405, "METHOD_NOT_ALLOWED", f"expected {method}"
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and media not in MEDIA:
        return 415, "UNSUPPORTED_MEDIA_TYPE", f"expected a Content-Type of {', '.join(MEDIA)}"
    return None


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again, for the application; then whatever comes, which is that the caller went away."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return replayed


async def _error(send: Send, status: int, code: str, message: str) -> None:
    await _answer(send, status, {"error_code": code, "message": message})


async def _answer(send: Send, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
