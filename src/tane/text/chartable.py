"""Characters looked up by the million: a text as an array of code points, a small number for each of them.

A Python loop over characters reads a few megabytes a second; an array of code points and a table of one byte
for each character of Unicode read hundreds. The table is filled as characters are met, so a rule for one
character is written as a plain function of that character.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

UNKNOWN = 255  # not met yet; a rule gives numbers below it
UNICODE = 0x110000  # code points
FACTOR = 0x9E3779B97F4A7C15  # odd, its bits without pattern: 2**64 divided by the golden ratio
SCATTER = 0xD6E8FEB86659FD93  # odd: spreads what the low bits tell over all bits


def codepoints(text: str) -> np.ndarray:
    """The characters of a text as numbers (N,) uint32."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def ngrams(codes: np.ndarray, length: int) -> np.ndarray:
    """One 64-bit hash for each run of `length` characters (N - length + 1,) uint64; none in a shorter text.

    The same on every machine: it depends on the characters alone.
    """
    import numpy as np

    if not 0 < length <= len(codes):
        return np.zeros(0, dtype=np.uint64)
    return scattered(np.correlate(codes.astype(np.uint64), _powers(length), "valid"))


@cache
def _powers(length: int) -> np.ndarray:
    """The factors of a run's characters (length,) uint64, as of the digits of a number."""
    import numpy as np

    return np.array([pow(FACTOR, length - 1 - place, 2**64) for place in range(length)], dtype=np.uint64)


def scattered(keys: np.ndarray) -> np.ndarray:
    """64-bit numbers (N,) uint64 mixed in place, so that all their bits depend on one another."""
    import numpy as np

    keys ^= keys >> np.uint64(32)
    keys *= np.uint64(SCATTER)
    keys ^= keys >> np.uint64(32)
    return keys


class CharTable:
    """A rule that gives each character a number from 0 to 254, as a table."""

    def __init__(self, rule: Callable[[str], int]) -> None:
        self._rule = rule
        self._table: np.ndarray | None = None

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """The numbers (N,) uint8 of characters given as code points (N,) uint32."""
        import numpy as np

        if self._table is None:
            self._table = np.full(UNICODE, UNKNOWN, dtype=np.uint8)
        found = self._table[codes]
        if found.max(initial=0) == UNKNOWN:
            for code in np.unique(codes[found == UNKNOWN]).tolist():
                self._table[code] = self._rule(chr(code))
            found = self._table[codes]
        return found
