"""What stands before the playground: only its own page may ask, and only as much as is due.

A page of another site can make a browser send requests to this machine. So each request must name this host
and port exactly (else a name that was rebound would do), and one that asks for something must come from the
same origin, as JSON, with the token that was printed at the start. Nothing is ever answered that would let
another origin read. Bodies are counted as they come, and must be whole in time.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

TOKEN = b"x-tane-token"  # the header that carries the token: a foreign page cannot send it unasked
CONTENT_POLICY = (
    "default-src 'self'; img-src data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = [
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),  # the first address holds the token
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
LINGER = 2.0  # seconds, and bytes, that are still taken of a refused body: else the reply may be lost
LINGER_BYTES = 8 << 20

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What one client may take. body: bytes; *_seconds: in which the head and the body of a request must have
    come; waiting: jobs in the queue; connections: at a time."""

    body: int = 1 << 20
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    waiting: int = 8
    connections: int = 128


class Refusal(NamedTuple):
    """Why a request is not answered, and whether its body may still be read."""

    status: int
    message: str
    patient: bool = True


class Guard:
    """An ASGI application before another one. paths: path as it is sent -> "GET" or "POST"."""

    def __init__(self, app: App, port: int, token: str, paths: Mapping[bytes, str], limits: Limits) -> None:
        self.app, self.paths, self.limits = app, paths, limits
        self.token = token.encode()
        self.hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        if port == 80:  # which browsers leave out
            self.hosts |= {b"127.0.0.1", b"localhost"}
        self.refused = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        found = self._judge(scope)
        if found is None and scope["method"] == "POST":
            body = await self._body(receive)
            if isinstance(body, bytes):
                await self.app(scope, _again(body, receive), guarded)
                return
            found = body
        if found is None:
            await self.app(scope, receive, guarded)
            return
        self.refused += 1
        await _refuse(found, scope, receive, guarded)

    def _judge(self, scope: Any) -> Refusal | None:
        """Look at the head of a request."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        host, origin = _only(headers, b"host"), _only(headers, b"origin")
        if host not in self.hosts:
            return Refusal(403, "this page has another address: open the one that was printed at the start")
        same = origin == b"http://" + host
        if _has(headers, b"origin") and not same:
            return Refusal(403, "this request comes from another site")
        method = self.paths.get(scope["raw_path"])
        if method is None:
            return Refusal(404, "there is no such page")
        if scope["method"] not in (("GET", "HEAD") if method == "GET" else (method,)):
            return Refusal(405, f"expected {method}")
        if method == "GET":
            return None
        if not same or _only(headers, b"sec-fetch-site") not in (None, b"same-origin"):
            return Refusal(403, "this request does not come from the playground's own page")
        if not hmac.compare_digest(_only(headers, TOKEN) or b"", self.token):
            return Refusal(403, "this page was opened by an earlier start: open the address printed last")
        kind = _only(headers, b"content-type") or b""
        if kind.partition(b";")[0].strip().lower() != b"application/json":
            return Refusal(403, "expected application/json")
        if int(_only(headers, b"content-length") or b"0") > self.limits.body:
            return self._too_large
        return None

    @property
    def _too_large(self) -> Refusal:
        return Refusal(413, f"the request is too large: at most {self.limits.body:,} bytes are taken")

    async def _body(self, receive: Receive) -> bytes | Refusal:
        """The whole body of a request."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return Refusal(400, "the request was not finished", patient=False)
                    size += len(message.get("body", b""))
                    more = bool(message.get("more_body", False))
                    if size > self.limits.body:
                        return self._too_large._replace(patient=more)
                    parts.append(message.get("body", b""))
                    if not more:
                        return b"".join(parts)
        except TimeoutError:
            return Refusal(408, "the request did not come in time", patient=False)


def _has(headers: list[tuple[bytes, bytes]], name: bytes) -> bool:
    return any(key == name for key, _ in headers)


def _only(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header, None where it is missing or stands there twice."""
    found = [value for key, value in headers if key == name]
    return found[0] if len(found) == 1 else None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body at first, then what comes after it."""
    given = False

    async def received() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _refuse(found: Refusal, scope: Any, receive: Receive, send: Send) -> None:
    """Reply, then take what still comes for a moment, so that the client gets to read the reply."""
    body = json.dumps({"error": found.message}).encode()
    headers = [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    left = LINGER_BYTES
    # who asks first whether to send (Expect) has sent nothing, and receiving would tell it to begin
    if found.patient and not _has(scope["headers"], b"expect"):
        try:
            async with asyncio.timeout(LINGER):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
