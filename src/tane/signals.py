"""Stopping on request: SIGTERM and SIGINT set a flag, and long work asks for it at safe points.

A first signal lets the work save and leave; a second one leaves at once. Nothing is ever written by a
handler.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tane.errors import Interrupted, Stopped

GO_ON = "run the same command again to go on"
_received: list[str] = []


def _note(number: int, _frame: FrameType | None) -> None:
    if _received:
        os._exit(130)
    _received.append(signal.Signals(number).name)


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """While this is open, SIGTERM and SIGINT only set the flag. Nested uses and other threads change
    nothing."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is _note:
        yield
        return
    _received.clear()
    before = {number: signal.signal(number, _note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()


def requested() -> str | None:
    """The name of the signal that asks us to stop, or None."""
    return _received[0] if _received else None


def poll(what: str, *, resumable: bool = False) -> None:
    """Raise Interrupted when a stop was asked for, or where the same command goes on Stopped; `what` says
    what is left unfinished."""
    if not _received:
        return
    message = f"stopped by {_received[0]}: {what}"
    raise Stopped(message, GO_ON) if resumable else Interrupted(message)


@contextlib.contextmanager
def kept(*places: Path) -> Iterator[None]:
    """Make an Interrupted a Stopped where one of these places is there, from which the same command goes
    on."""
    try:
        yield
    except Interrupted as error:
        if not any(place.exists() for place in places):
            raise
        stopped = Stopped(error.message, GO_ON)
        stopped.silent = error.silent
        raise stopped from None


def die_with_parent(parent: int) -> None:
    """For a child process of the process `parent`: die when it dies, however it dies, also when it is dead
    already (where the system is not Linux, only then)."""
    die_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def die_with(parent: int) -> None:
    """Let this process die when the process `parent` that started it does, and now where it has."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the system was asked to tell
        os._exit(1)
