"""Many clients at once, half of whom leave: one decode at a time, a short queue, nothing left over (38)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tane.play.jobs import Busy, Job, Jobs
from tane.play.server import Playground
from tane.use.generate import Writer
from tests.play.clients import connected, head, post
from tests.play.conftest import Serve

LONG = 4000  # tokens that nobody waits for


def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that comes soon."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each generation came to, in their order."""
    found: list[int] = []
    inner = Writer.go_on

    def counted(self: Writer, *given: Any, **more: Any) -> list[list[int]]:
        rows = inner(self, *given, **more)
        found.append(len(rows[0]))
        return rows

    monkeypatch.setattr(Writer, "go_on", counted)
    return found


async def client(playground: Playground, stays: bool, seen: list[int]) -> int:
    """Ask until there is room; stay to the end, or leave after the first words. How often it was busy."""
    body = json.dumps({"prompt": "", "max_new_tokens": 4 if stays else LONG, "seed": 1}).encode()
    busy = 0
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", playground.port)
        writer.write(head(playground, "/api/generate", {"Content-Length": str(len(body))}) + body)
        status = int((await reader.readline()).split()[1])
        seen.append(playground.decoding.waiting)
        if status == 200:
            break
        assert status == 429
        busy += 1
        writer.close()
        await asyncio.sleep(0.02)
    while line := await reader.readline():
        if b'"text"' in line and (not stays or b'"done"' in line):
            break
    assert line, "the reply ended before its end"
    writer.transport.abort() if not stays else writer.close()
    return busy


def test_fifty_clients_of_whom_half_leave(serve: Serve, talks: Path, decoded: list[int]) -> None:
    playground = serve(talks)
    seen: list[int] = []

    async def crowd() -> list[int]:
        return await asyncio.gather(*(client(playground, n % 2 == 0, seen) for n in range(50)))

    busy = asyncio.run(crowd())
    jobs = playground.decoding
    until(lambda: jobs.started == jobs.ended)
    assert jobs.running is None and jobs.waiting == 0
    assert jobs.started == len(decoded) == 50  # each was answered once, those who were turned away came again
    assert sum(busy) > 0 and max(seen) <= 8
    assert decoded.count(4) >= 25 and max(decoded) < LONG / 2


def test_decoding_stops_with_the_token_in_which_the_client_leaves(talks: Path) -> None:
    from tane.play.models import Author
    from tane.play.requests import Generate

    author, told = Author(str(talks), "cpu"), []

    def tell(event: dict[str, Any]) -> None:
        told.append(event)
        if event.get("tokens", 0) >= 5:
            job.cancel()

    job = Job(lambda job: author.answer(Generate(max_new_tokens=LONG), job), tell)
    job.run()
    left = next(event["tokens"] for event in told if event["tokens"] >= 5)
    assert told[-1]["done"]["tokens"] == left and told[-1]["done"]["end"] == "stopped"


@pytest.mark.parametrize("leave", ["closed", "half closed", "reset"])
def test_a_client_that_leaves_ends_its_generation(serve: Serve, talks: Path, leave: str) -> None:
    import socket
    import struct

    playground = serve(talks)
    body = json.dumps({"prompt": "", "max_new_tokens": LONG}).encode()
    line = connected(playground)
    line.sendall(head(playground, "/api/generate", {"Content-Length": str(len(body))}) + body)
    while b'"text"' not in line.recv(1 << 16):
        pass
    if leave == "half closed":
        line.shutdown(socket.SHUT_WR)
    elif leave == "reset":
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if leave != "half closed":
        line.close()
    until(lambda: playground.decoding.ended == 1)
    line.close()


def test_a_client_that_waits_and_leaves_is_never_begun(serve: Serve, talks: Path) -> None:
    playground = serve(talks)
    jobs, asked = playground.decoding, {"prompt": "", "max_new_tokens": LONG}
    body = json.dumps(asked).encode()
    lines = []
    for number in range(9):  # one runs, and as many as may wait do
        lines.append(connected(playground))
        lines[-1].sendall(head(playground, "/api/generate", {"Content-Length": str(len(body))}) + body)
        until(lambda number=number: jobs.started == 1 and jobs.waiting == number)
    full = post(playground, "/api/generate", asked)
    assert full.status == 429 and full.headers["retry-after"] == "1"
    assert post(playground, "/api/tokens", {"text": "猫"}).status == 200  # which waits for no decode
    for line in lines[1:]:
        line.close()
    until(lambda: jobs.waiting == 0)
    assert jobs.started == 1 and jobs.running is not None
    lines[0].close()
    until(lambda: jobs.ended == 1)
    assert jobs.started == 1


def test_the_end_of_the_playground_ends_what_runs(serve: Serve, talks: Path) -> None:
    playground = serve(talks)
    body = json.dumps({"prompt": "", "max_new_tokens": LONG}).encode()
    with connected(playground) as line:
        line.sendall(head(playground, "/api/generate", {"Content-Length": str(len(body))}) + body)
        while b'"text"' not in line.recv(1 << 16):
            pass
        playground.close()
        assert not playground.thread.is_alive() and playground.decoding.running is None


# ---------------------------------------------------------------------------------------- the queue itself


def test_jobs_are_done_in_their_order_and_a_fault_ends_only_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tane.errors import InputError

    jobs, told = Jobs("test", 8), []

    def work(number: int) -> Callable[[Job], dict[str, Any]]:
        def worked(job: Job) -> dict[str, Any]:
            if number == 1:
                raise ZeroDivisionError("one")
            if number == 2:
                raise InputError("two", "three")
            if number == 3:
                raise MemoryError
            return {"number": number}

        return worked

    for number in range(5):
        jobs.add(Job(work(number), told.append))
    until(lambda: jobs.ended == 5)
    jobs.close()
    assert told[0] == {"done": {"number": 0}} and told[4] == {"done": {"number": 4}}
    assert told[1]["status"] == 500 and "ZeroDivisionError: one" in told[1]["error"]
    assert told[2] == {"error": "two", "remedy": "three", "status": 400}
    assert told[3]["status"] == 503 and "out of memory" in told[3]["error"]
    assert "unforeseen error: ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(Busy):
        jobs.add(Job(work(0), told.append))
