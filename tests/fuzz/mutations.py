"""Damage to a good file, repeatable: what every reader must survive with records or an InputError."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tane.errors import InputError

SECONDS = 5.0  # no small file, however damaged, may take longer to read
TELLING = (  # bytes that mean something to one format or another
    b"\0", b"\xff", b"\x80", b"\x7f", b"\n", b"\r", b'"', b"'", b",", b"\t", b";", b"\\", b"{", b"}", b"[",
    b"]", b":", b"\\u", b"\\ud800", b"NaN", b"\x1b$B", b"\xef\xbb\xbf", b"\xe3\x81", b"\xff\xff\xff\xff",
    b"\0\0\0\x80", b"9" * 5_000, b"[" * 5_000,
)  # fmt: skip


def mutate(data: bytes, number: int) -> bytes:
    """The data with one to three kinds of damage: bytes flipped, cut, inserted, removed, repeated or swapped.

    The same `number` damages the same data in the same way.
    """
    chance = random.Random(number)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = _once(data, chance)
    return data


def _once(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((1, 2, 4, 16, 64, 256)))
    match chance.randrange(7):
        case 0 if data:  # one bit
            place = chance.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        case 1:  # the end is missing
            return data[:start]
        case 2:
            return data[:start] + chance.choice(TELLING) + data[start:]
        case 3:  # some bytes become others
            return data[:start] + chance.randbytes(end - start) + data[end:]
        case 4:
            return data[:start] + data[end:]
        case 5:  # a part stands twice, the second time anywhere
            place = chance.randrange(len(data) + 1)
            return data[:place] + data[start:end] + data[place:]
        case _:  # two parts change places
            middle = chance.randrange(start, end + 1)
            return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def survives(read: Callable[[Path], object], path: Path, good: bytes, number: int) -> bool:
    """Write the damaged file to `path` and read it: True for records, False for an InputError.

    Any other exception goes on to the test, and so does a reading that takes over SECONDS.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"mutation {number} took over {SECONDS} s")

    path.write_bytes(mutate(good, number))
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        read(path)
    except InputError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return True
