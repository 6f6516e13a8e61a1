"""Readers with faults, which the harness must see: one that raises, hangs, grows, dies, and so on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tane.errors import InputError, IntegrityError
from tests.fuzz.reader import Reader, written

GOOD = b"good"
HELD: list[bytearray] = []


def _fault(path: Path) -> bool:
    """Whether the file is a damaged one, and not the good one with which every run begins."""
    return path.read_bytes() != GOOD


def raises(path: Path) -> None:
    if _fault(path):
        raise KeyError("text")


def hangs(path: Path) -> None:
    while _fault(path):
        time.sleep(0.01)


def swallows(path: Path) -> None:
    """Turns the alarm into an error of its own, as `except BaseException` would."""
    end = time.monotonic() + 0.5
    while _fault(path) and time.monotonic() < end:
        try:
            time.sleep(0.5)
        except BaseException:
            continue


def deaf(path: Path) -> None:
    """Does not hear the alarm, as a loop in C would not."""
    if _fault(path):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)


def grows(path: Path) -> None:
    if _fault(path):
        HELD.append(bytearray(os.urandom(1 << 20) * 15))


def dies(path: Path) -> None:
    if _fault(path):
        os.kill(os.getpid(), signal.SIGSEGV)


def runs(path: Path) -> None:
    if _fault(path):
        os.system("true")


def nameless(path: Path) -> None:
    if _fault(path):
        raise InputError("it is damaged")


def wrong_end(path: Path) -> None:
    if _fault(path):
        raise IntegrityError(f"{path} is damaged")


def sound(path: Path) -> None:
    if _fault(path):
        raise InputError(f"{path} is damaged")


def _reader(read: object) -> Reader:
    return Reader("faulty", (written("f.txt", GOOD),), read, (), seconds=0.3)  # type: ignore[arg-type]


RAISES, HANGS, SWALLOWS, DEAF = map(_reader, (raises, hangs, swallows, deaf))
GROWS, DIES, RUNS = map(_reader, (grows, dies, runs))
NAMELESS, WRONG_END, SOUND = map(_reader, (nameless, wrong_end, sound))
