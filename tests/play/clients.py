"""HTTP as one writes it by hand: each byte that reaches the playground is the test's own."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from tane.play.server import Playground


class Answer(NamedTuple):
    """What came back until the connection was closed; status 0: nothing."""

    status: int
    headers: dict[str, str]
    body: bytes

    def lines(self) -> list[dict[str, Any]]:
        """The events of a stream."""
        return [json.loads(line) for line in self.body.splitlines()]

    def json(self) -> Any:
        """The body as one JSON value."""
        return json.loads(self.body)


def head(
    playground: Playground,
    path: str,
    changes: Mapping[str, str | None] | None = None,
    *,
    method: str = "POST",
    version: str = "1.1",
) -> bytes:
    """The head of a request as the page sends it, with some headers changed or (None) left out."""
    own = f"127.0.0.1:{playground.port}"
    headers: dict[str, str | None] = {
        "Host": own, "Origin": f"http://{own}", "X-Tane-Token": playground.token,
        "Content-Type": "application/json", "Connection": "close", **(changes or {}),
    }  # fmt: skip
    lines = [f"{method} {path} HTTP/{version}", *(f"{k}: {v}" for k, v in headers.items() if v is not None)]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def post(
    playground: Playground,
    path: str,
    body: Any,
    changes: Mapping[str, str | None] | None = None,
    **more: str,
) -> Answer:
    """Send a whole request, of which `changes` are headers that differ."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    length = {"Content-Length": str(len(data))}
    return exchange(playground, head(playground, path, {**length, **(changes or {})}, **more) + data)


def connected(playground: Playground, timeout: float = 20.0) -> socket.socket:
    """A connection to it."""
    return socket.create_connection(("127.0.0.1", playground.port), timeout)


def exchange(playground: Playground, data: bytes) -> Answer:
    """Send bytes, and read until the other side closes."""
    with connected(playground) as line:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            line.sendall(data)
        return received(line)


def received(line: socket.socket) -> Answer:
    """What comes on a connection until it is closed."""
    found = b""
    try:
        while more := line.recv(1 << 16):
            found += more
    except ConnectionResetError:
        pass
    return parsed(found)


def parsed(data: bytes) -> Answer:
    """A response, its chunks put together."""
    before, _, body = data.partition(b"\r\n\r\n")
    first, *rest = before.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    if headers.get("transfer-encoding") == "chunked":
        body = _joined(body)
    return Answer(int(first.split()[1]) if first else 0, headers, body)


def _joined(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        found, body = found + rest[:count], rest[count + 2 :] if count else b""
    return found
