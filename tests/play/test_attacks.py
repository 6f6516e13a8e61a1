"""Requests that no page of ours would send, byte by byte: all refused, and nothing decoded.

Rows 36, 37 and 39 of the list of faults: other sites, too large, too slow, other paths.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import pytest

from tane.play.guard import Limits
from tane.play.server import Playground
from tests.play.clients import Answer, connected, exchange, head, post, received
from tests.play.conftest import Serve

ASKED = {"prompt": "", "max_new_tokens": 2}
PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1 << 20


def refused(answer: Answer, *statuses: int) -> None:
    """The answer refuses, and lets no other origin read even that."""
    assert answer.status in statuses, answer
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def changed(playground: Playground, changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Headers with the port put in."""
    return {k: v and v.format(port=playground.port) for k, v in changes.items()}


# ------------------------------------------------------------------------------- 36: requests of other sites


OTHERS: dict[str, dict[str, str | None]] = {
    "another origin": {"Origin": "http://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "another scheme": {"Origin": "https://127.0.0.1:{port}"},
    "the other name of this host": {"Origin": "http://localhost:{port}"},
    "a longer name": {"Origin": "http://127.0.0.1:{port}.evil.example"},
    "no origin": {"Origin": None},
    "a sandbox's origin": {"Origin": "null"},
    "as the browser tells it": {"Sec-Fetch-Site": "cross-site"},
    "as the browser tells it of a subdomain": {"Sec-Fetch-Site": "same-site"},
    "plain text": {"Content-Type": "text/plain"},
    "plain text that names JSON": {"Content-Type": "text/plain; application/json"},
    "no content type": {"Content-Type": None},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "a form with files": {"Content-Type": "multipart/form-data; boundary=x"},
    "no token": {"X-Tane-Token": None},
    "an empty token": {"X-Tane-Token": ""},
    "another token": {"X-Tane-Token": "A" * 32},
    "another host": {"Host": "evil.example"},
    "another host with our port, as after rebinding": {"Host": "evil.example:{port}"},
    "a name that is rebound, and its origin": {
        "Host": "evil.example:{port}", "Origin": "http://evil.example:{port}",
    },
    "a name that begins like ours": {"Host": "localhost.evil.example:{port}"},
    "ours without a port": {"Host": "127.0.0.1"},
    "ours with another port": {"Host": "127.0.0.1:1"},
    "ours with a dot": {"Host": "localhost.:{port}"},
    "another address of this machine": {"Host": "127.0.0.2:{port}"},
    "any address": {"Host": "0.0.0.0:{port}"},
    "IPv6": {"Host": "[::1]:{port}"},
    "IPv6 that holds IPv4": {"Host": "[::ffff:127.0.0.1]:{port}"},
    "an empty host": {"Host": ""},
    "capitals": {"Host": "LOCALHOST:{port}"},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_come_from_our_page_is_refused(writers: Playground, name: str) -> None:
    before = writers.decoding.started
    refused(post(writers, "/api/generate", ASKED, changed(writers, OTHERS[name])), 403)
    assert writers.decoding.started == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_same_request_of_our_page_is_answered(writers: Playground, host: str) -> None:
    before = writers.decoding.started
    own = f"{host}:{writers.port}"
    more = {"Host": own, "Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}
    answer = post(writers, "/api/generate", ASKED, more)
    assert answer.status == 200 and answer.lines()[-1]["done"]["tokens"] == 2
    assert writers.decoding.started == before + 1
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_request_without_a_host_or_with_two(writers: Playground) -> None:
    before = writers.decoding.started
    length = {"Content-Length": "2"}
    old = head(writers, "/api/generate", {**length, "Host": None}, version="1.0") + b"{}"
    refused(exchange(writers, old), 403)
    # of HTTP/1.1 the parser itself answers: RFC 9112 asks for 400
    new = head(writers, "/api/generate", {**length, "Host": None}) + b"{}"
    refused(exchange(writers, new), 400)
    two = head(writers, "/api/generate", {**length, "host": "evil.example"}) + b"{}"
    refused(exchange(writers, two), 400)
    twice = head(writers, "/api/generate", {**length, "origin": "http://evil.example"}) + b"{}"
    refused(exchange(writers, twice), 403)
    assert writers.decoding.started == before


def test_a_browser_that_asks_first_gets_no_leave(writers: Playground) -> None:
    asks = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST", "X-Tane-Token": None}
    refused(exchange(writers, head(writers, "/api/generate", asks, method="OPTIONS")), 403)
    own = head(writers, "/api/generate", {"Access-Control-Request-Method": "POST"}, method="OPTIONS")
    refused(exchange(writers, own), 405)
    got = head(writers, "/api/generate?prompt=x", method="GET")
    refused(exchange(writers, got), 405)
    socket_asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://evil.example"}
    refused(exchange(writers, head(writers, "/api/generate", socket_asked, method="GET")), 403)


def test_each_reply_says_that_it_is_of_this_page_alone(writers: Playground) -> None:
    for path in ("/", "/app.js", "/style.css", "/nothing"):
        answer = exchange(writers, head(writers, path, {"Origin": None}, method="GET"))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
        assert writers.token.encode() not in answer.body


# ---------------------------------------------------------------------------------- 37: too large, too slow


def resident() -> int:
    """Bytes of memory that this process, and so the server in it, has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def pour(line: socket.socket, piece: bytes, total: int) -> int:
    """Send pieces up to a number of bytes, or until the other side has enough; how many were sent."""
    sent = 0
    try:
        while sent < total:
            line.sendall(piece)
            sent += len(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
@pytest.mark.parametrize("framed", ["by its length", "in chunks"])
def test_a_body_of_a_gigabyte_is_refused_and_takes_no_memory(writers: Playground, framed: str) -> None:
    before, memory = writers.decoding.started, resident()
    zeros = b"0" * (1 << 18)
    chunk = b"%x\r\n%s\r\n" % (len(zeros), zeros)
    told = {"Content-Length": str(1 << 30)} if framed == "by its length" else {"Transfer-Encoding": "chunked"}
    with connected(writers) as line:
        line.sendall(head(writers, "/api/generate", told))
        sent = pour(line, zeros if framed == "by its length" else chunk, 1 << 30)
        answer = received(line)
    assert sent < 64 * MEGABYTE
    refused(answer, 413)
    assert writers.decoding.started == before and resident() - memory <= 20 * MEGABYTE


def test_a_body_a_little_too_large_is_refused_and_the_reply_arrives(writers: Playground) -> None:
    prompt = "あ" * 400_000  # 1.2 MB
    refused(post(writers, "/api/generate", {"prompt": prompt}), 413)
    chunked = {"Transfer-Encoding": "chunked", "Content-Length": None}
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (MEGABYTE + 1, b" " * (MEGABYTE + 1))
    refused(post(writers, "/api/generate", body, chunked), 413)
    waits = {"Content-Length": str(1 << 30), "Expect": "100-continue"}
    refused(exchange(writers, head(writers, "/api/generate", waits)), 413)


def test_a_body_in_trickles_is_given_up(serve: Serve, short: str) -> None:
    playground = serve(short, limits=Limits(body_seconds=0.5))
    with connected(playground) as line:
        line.sendall(head(playground, "/api/generate", {"Content-Length": "1000"}))
        line.settimeout(0.02)
        for _ in range(200):
            try:
                line.sendall(b" ")
                line.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
        line.settimeout(5)
        refused(received(line), 408)
    assert playground.decoding.started == 0


@pytest.mark.parametrize("first", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_in_trickles_is_given_up(serve: Serve, short: str, first: bytes) -> None:
    playground = serve(short, limits=Limits(head_seconds=0.4))
    with connected(playground) as line:
        line.sendall(first)
        line.settimeout(0.02)
        for _ in range(200):
            try:
                if first:
                    line.sendall(b"a")
                line.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
        line.settimeout(5)
        assert received(line).status == 408
    assert post(playground, "/api/models", {}).status == 200


def test_a_second_head_on_a_connection_must_be_whole_in_time_too(serve: Serve, short: str) -> None:
    playground = serve(short, limits=Limits(head_seconds=0.4))
    with connected(playground) as line:
        line.sendall(head(playground, "/style.css", {"Connection": None, "Origin": None}, method="HEAD"))
        found = b""
        while b"\r\n\r\n" not in found:
            found += line.recv(1 << 16)
        line.settimeout(5)
        line.sendall(b"GET / HTTP/1.1\r\nX")
        assert received(line).status == 408


def test_a_head_that_never_ends_is_refused(writers: Playground) -> None:
    for data in (
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"\x16\x03\x01 no HTTP at all\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ):  # fmt: skip
        with connected(writers) as line:
            pour(line, data, len(data))
            answer = received(line)
        refused(answer, 0, 400)


def test_a_crowd_of_connections_leaves_room(serve: Serve, short: str) -> None:
    playground = serve(short, limits=Limits(connections=8, head_seconds=0.5))
    crowd = [connected(playground) for _ in range(40)]
    until = time.monotonic() + 10
    while post(playground, "/api/models", {}).status != 200:
        assert time.monotonic() < until, "the crowd was not sent away"
        time.sleep(0.05)
    for line in crowd:
        line.close()


# ------------------------------------------------------------------------------------------- 39: other paths


def paths() -> list[str]:
    """Paths that are none of ours: upwards, absolute, coded once or twice, with other signs between."""
    ups = ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%00", "..;", "...", "%c0%ae%c0%ae", "\\.."]
    parts = ["/", "//", "%2f", "%5c", "\\"]
    files = ["etc/passwd", "app.py", "server.py", "config.json", "assets/app.js"]
    found = [f"/{up}{part}{up}{part}{name}" for up in ups for part in parts for name in files[:3]]
    found += [f"/{up}/app.js" for up in ups] + [f"/assets/{up}/{name}" for up in ups for name in files[3:]]
    found += [
        "//", "///etc/passwd", "/app.js/", "/app.js/..", "/./app.js", "//app.js", "/app.js%00", "/%61pp.js",
        "/APP.JS", "/app.py", "/index.html", "/assets/index.html", "/api", "/api/", "/api/generate/",
        "/API/generate", "/api//generate", "/favicon.ico", "/.git/config", "/app.js;x", "/%2e/app.js",
        "http://evil.example/", "http://127.0.0.1/app.js", "file:///etc/passwd", "*", "/app%2ejs", "/~root",
        "/?x/../../etc/passwd".replace("?", "%3f"), "/app.js\u3000", "/日本", "/app.js#", "/C:/Windows",
    ]  # fmt: skip
    return found


def test_only_the_files_of_the_page_are_given(writers: Playground) -> None:
    assert len(paths()) >= 200
    own = {exchange(writers, head(writers, p, method="GET")).body for p in ("/", "/app.js", "/style.css")}
    assert len(own) == 3
    before, served = writers.decoding.started, []
    for path in paths():
        for method in ("GET", "POST"):
            answer = post(writers, path, {}, method=method)
            # 400: no path at all for the parser, as with control signs and letters beyond ASCII
            refused(answer, 404, 400)
            served += [path] if answer.body in own or b"root:" in answer.body else []
    assert not served and writers.decoding.started == before


def test_signs_that_end_a_path_elsewhere(writers: Playground) -> None:
    for sign in (b"\0", b"\n", b"\r", b"\t", b"\x7f", b"\xff"):
        data = head(writers, "/app.jsX/../../etc/passwd", method="GET").replace(b"X", sign, 1)
        refused(exchange(writers, data), 400, 404)


def test_it_listens_on_this_machine_alone(writers: Playground) -> None:
    assert writers.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", writers.port), 1).close()
