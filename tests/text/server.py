"""A server on the loopback that behaves as it is told, request by request, also badly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """How one request is answered.

    cut: the connection ends after so many bytes of the body, reset (what was sent last may be lost) or not;
    silent: it is left open there, and nothing more is sent until the test ends; announced: Content-Length,
    other than the truth; extra: sent after the body; ranges: whether Range is obeyed; range_as: its
    Content-Range, other than the truth ({start}: what was asked for); range_from: where the part begins
    instead of there; headers: further ones; farewell: over TLS, the end is announced (close_notify).
    """

    content: bytes = b""
    status: int = 200
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    range_as: str = ""
    range_from: int | None = None
    cut: int | None = None
    reset: bool = True
    silent: int | None = None
    announced: int | None = None
    length: bool = True
    chunked: bool = False
    extra: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    farewell: bool = False


@dataclass
class Server:
    """Answers in their order, the last one for ever; requests: (path, headers) of what was asked."""

    url: str
    port: int
    answers: list[Answer]
    requests: list[tuple[str, Message]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def ranges(self) -> list[str | None]:
        """The Range headers of all requests."""
        return [headers["Range"] for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Server

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self.told.requests.append((self.path, self.headers))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._answer(self.told.next_answer())

    do_CONNECT = do_GET

    def _answer(self, answer: Answer) -> None:
        body, status, asked = answer.content, answer.status, self.headers["Range"]
        vouched = self.headers["If-Range"] in (None, answer.etag or answer.modified)
        if asked and answer.ranges and status == 200 and (vouched or answer.range_as):
            start, size = int(asked.removeprefix("bytes=").rstrip("-")), len(body)
            start = start if answer.range_from is None else answer.range_from
            given = f"bytes {start}-{size - 1}/{size}" if start < size else f"bytes */{size}"
            given = answer.range_as.format(start=start) or given
            answer = replace(answer, headers=(*answer.headers, ("Content-Range", given)))
            body, status = body[start:], 206 if start < size else 416
        self.send_response(status)
        if answer.etag:
            self.send_header("ETag", answer.etag)
        if answer.modified:
            self.send_header("Last-Modified", answer.modified)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.length:
            self.send_header(
                "Content-Length", str(len(body) if answer.announced is None else answer.announced)
            )
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        stop = answer.cut if answer.cut is not None else answer.silent
        self._send(body[:stop], answer)
        if answer.silent is not None:
            self.told.closing.wait(30)
        elif answer.cut is not None and answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif answer.cut is None:
            self.wfile.write((b"0\r\n\r\n" if answer.chunked else b"") + answer.extra)
        if answer.farewell and isinstance(self.connection, ssl.SSLSocket):
            self.connection.unwrap()

    def _send(self, data: bytes, answer: Answer) -> None:
        for at in range(0, len(data), 50_000):
            piece = data[at : at + 50_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)


@contextlib.contextmanager
def serving(*answers: Answer, certificate: Path | None = None, port: int = 0) -> Iterator[Server]:
    """A server in a thread; certificate: a PEM file with key, for TLS; port: 0 takes a free one."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if certificate else "http"
    port = server.server_address[1]
    told = Server(f"{scheme}://127.0.0.1:{port}", port, list(answers))
    handler.told = told  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
