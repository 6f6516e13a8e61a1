"""What the playground answers: a few fixed files, and six questions as JSON.

A decode is long and there is one at a time, so its jobs wait in one queue; cutting a text into words or
tokens is short and has a queue of its own. A reply watches whether its client is still there, and cancels the
job when it has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tane.errors import InputError
from tane.play import requests
from tane.play.guard import App, Receive, Send
from tane.play.jobs import Busy, Job, Jobs
from tane.play.models import Player

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/asking.js": ("asking.js", "text/javascript"),
    "/texts.js": ("texts.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}
QUESTIONS = ("models", "generate", "fill", "label", "tokens", "words")
PATHS = {
    **{path.encode(): "GET" for path in FILES},
    **{f"/api/{question}".encode(): "POST" for question in QUESTIONS},
}

Work = Callable[[Player, Any, Job], dict[str, Any]]


def application(players: Sequence[Player], decoding: Jobs, cutting: Jobs) -> App:
    """The application behind the guard; decoding and cutting are the queues of long and short jobs."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    about = {"models": [player.about() for player in players]}
    folder = Path(__file__).parent / "assets"

    def file(path: str) -> Route:
        name, kind = FILES[path]
        content = (folder / name).read_bytes()

        async def given(request: Request) -> Response:
            return Response(content, media_type=kind)

        return Route(path, given)

    async def models(request: Request) -> Response:
        return _json(about)

    def question(name: str, kind: type[requests.Asked], jobs: Jobs, work: Work) -> Route:
        async def answered(request: Request) -> Any:
            try:
                asked = requests.read(kind, await request.body())
                if asked.model >= len(players):
                    raise InputError(f"model: there is no model {asked.model}")
                player = players[asked.model]
                if name in ("generate", "fill", "label") and player.does != name:
                    raise InputError(f"{player.name} does not {name}")
            except InputError as error:
                status = 413 if isinstance(error, requests.TooLong) else 400
                return _json({"error": error.message, "remedy": error.remedy}, status)
            reply = Reply(jobs, lambda job: work(player, asked, job), stream=name == "generate")
            return reply if reply.queued else _busy(jobs)

        return Route(f"/api/{name}", answered, methods=["POST"])

    def answer(player: Player, asked: Any, job: Job) -> dict[str, Any]:
        return player.answer(asked, job)

    return Starlette(
        routes=[
            *map(file, FILES),
            Route("/api/models", models, methods=["POST"]),
            question("generate", requests.Generate, decoding, answer),
            question("fill", requests.Fill, decoding, answer),
            question("label", requests.Label, decoding, answer),
            question("tokens", requests.Text, cutting, lambda p, a, _: {"tokens": p.cutter.tokens(a.text)}),
            question("words", requests.Text, cutting, lambda p, a, _: {"parts": p.cutter.parts(a.text)}),
        ]
    )


class Reply:
    """An answer that comes from a job: as lines of JSON while it comes (stream), or as one JSON object.

    queued: whether the job got a place in the queue; it must be made in the event loop.
    """

    def __init__(self, jobs: Jobs, work: Callable[[Job], dict[str, Any]], *, stream: bool) -> None:
        loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def tell(event: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self.events.put_nowait, event)

        self.jobs, self.stream, self.job = jobs, stream, Job(work, tell)
        self.before = 0
        try:
            self.before = jobs.add(self.job)
            self.queued = True
        except Busy:
            self.queued = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send what the job tells until it is over or the client has left."""
        told = asyncio.create_task(self._told(send) if self.stream else self._told_once(send))
        left = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({told, left}, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                told.result()
        finally:
            self.jobs.cancel(self.job)
            told.cancel()
            left.cancel()

    async def _told(self, send: Send) -> None:
        headers = [(b"content-type", b"application/x-ndjson; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        event: dict[str, Any] = {"waiting": self.before}
        while True:
            body = _bytes(event) + b"\n"
            over = "done" in event or "error" in event
            await send({"type": "http.response.body", "body": body, "more_body": not over})
            if over:
                return
            event = await self.events.get()

    async def _told_once(self, send: Send) -> None:
        event = await self.events.get()
        status = event.get("status", 200)
        body = _bytes(event["done"] if status == 200 else event)
        headers = [
            (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")


def _json(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(_bytes(value), status, media_type="application/json")


def _busy(jobs: Jobs) -> Response:
    found = _json({"error": f"busy: {jobs.most} requests wait already", "remedy": "try again"}, 429)
    found.headers["retry-after"] = "1"
    return found
