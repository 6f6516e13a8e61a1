"""`tane play`: a page on this machine to try models: generate, fill, label, look at tokens, compare two.

It is served on 127.0.0.1 alone, and nothing lets it listen elsewhere. The address that is printed holds a
token of this start; the page keeps it in its own tab and sends it with each request.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import secrets
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from tane import progress
from tane.errors import InputError, ResourceError, TaneError
from tane.play.app import PATHS, application
from tane.play.guard import Guard, Limits
from tane.play.jobs import Jobs
from tane.play.models import open_player
from tane.play.protocol import strict_protocol
from tane.types import Result

HOST, PORT = "127.0.0.1", 7860
NEAR = 10  # ports that are tried from PORT on before any free one is taken
MOST_MODELS = 2
HEAD_BYTES = 16 << 10  # of a request's head
IDLE_SECONDS = 5  # in which a connection without a request is closed


class Playground:
    """One or two models, served. port: None takes 7860 or a free one, 0 a free one.

    Raises InputError for a model that cannot be opened, and where the extra `play` is not installed;
    ResourceError for a port that is taken. decoding: the queue, which counts what was decoded.
    """

    def __init__(
        self, models: Sequence[str], *, port: int | None = None, device: str = "auto",
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        limits = limits or Limits()
        _require_extra()
        if not 1 <= len(models) <= MOST_MODELS:
            raise InputError(f"expected one model, or two to compare, found {len(models)}")
        self.socket = _listen(port)  # before the models are read, which may take a while
        try:
            self.players = [open_player(name, device) for name in models]
        except BaseException:
            self.socket.close()
            raise
        self.port = int(self.socket.getsockname()[1])
        self.token = secrets.token_urlsafe(24)
        self.decoding, self.cutting = Jobs("decode", limits.waiting), Jobs("cut", limits.waiting)
        app = application(self.players, self.decoding, self.cutting)
        self.guard = Guard(app, self.port, self.token, PATHS, limits)
        self.server = _server(self.guard, limits)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.socket]}, name="tane-play-http", daemon=True
        )

    @property
    def origin(self) -> str:
        """Where it is served."""
        return f"http://{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """What is opened in a browser: the token makes it this start's."""
        return f"{self.origin}/?token={self.token}"

    def start(self) -> None:
        """Serve, in a thread."""
        self.thread.start()
        while not self.server.started:
            if not self.thread.is_alive():
                raise TaneError("the server did not start")
            time.sleep(0.01)

    def wait(self) -> None:
        """Return when it no longer serves; a signal interrupts the wait."""
        while self.thread.is_alive():
            self.thread.join(0.5)

    def close(self) -> None:
        """Stop at once: open replies end, what is decoded is cancelled."""
        self.server.should_exit = self.server.force_exit = True
        self.decoding.close()
        self.cutting.close()
        if self.thread.is_alive():
            self.thread.join(5)
        self.socket.close()


def play(models: Sequence[str], *, port: int | None = None, device: str = "auto") -> Result:
    """Serve until Ctrl-C or SIGTERM, which is how it ends: no error. `metrics`: {url, models, requests,
    decoded, refused, seconds}. The address is printed on stderr, also where all else is silenced."""
    begin = time.monotonic()
    progress.say(f"opening {', '.join(models)}")
    playground = Playground(models, port=port, device=device)
    if port is None and playground.port != PORT:
        progress.say(f"port {PORT} is in use: taking {playground.port}")
    with progress.silenced(), contextlib.suppress(KeyboardInterrupt):
        try:
            playground.start()
            print(f"open {playground.address}\n(Ctrl-C ends it)", file=sys.stderr, flush=True)
            playground.wait()
        finally:
            playground.close()
    return Result(
        None,
        {
            "url": f"{playground.origin}/", "models": [player.name for player in playground.players],
            "requests": playground.server.server_state.total_requests,
            "decoded": playground.decoding.started, "refused": playground.guard.refused,
            "seconds": round(time.monotonic() - begin, 3),
        },
    )  # fmt: skip


def _require_extra() -> None:
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"tane play needs {name}, which is not installed", "pip install 'tane[play]'")


def _listen(port: int | None) -> socket.socket:
    """A socket that listens on this machine alone."""
    if port is not None and not 0 <= port <= 65535:
        raise InputError(f"--port: expected 0 (a free one) to 65535, found {port}")
    choices = [*range(PORT, PORT + NEAR), 0] if port is None else [port]
    for number in choices:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform != "win32":  # there it would share the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((HOST, number))
            made.listen(128)
            return made
        except OSError as error:
            made.close()
            if number == choices[-1] or error.errno != errno.EADDRINUSE:
                taken = error.errno == errno.EADDRINUSE
                why = "another program uses it" if taken else str(error.strerror)
                raise ResourceError(f"cannot serve on port {number}: {why}", "--port 0") from None
    raise AssertionError("a port was found or an error raised")


def _server(app: Any, limits: Limits) -> Any:
    """uvicorn's server, silent, without what it would believe of proxies."""
    import uvicorn

    config = uvicorn.Config(
        app, http=strict_protocol(limits.head_seconds, limits.connections), ws="none", lifespan="off",
        loop="asyncio", log_config=None, log_level="critical", access_log=False, proxy_headers=False,
        server_header=False, h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=IDLE_SECONDS,
        limit_concurrency=limits.connections,
    )  # fmt: skip
    return uvicorn.Server(config)
