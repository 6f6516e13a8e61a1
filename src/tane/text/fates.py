"""What becomes of each document: training, validation, or dropped as a duplicate; decided on digests alone.

Documents are numbered in the order in which they were read. Of equal ones the first stays. The rule sorts
digests a range at a time, so memory stays bounded however many documents there are (about 60 bytes for each
of at most LIMIT documents, and one byte for every document).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np

from tane.text.pieces import ROW

LIMIT = 4_000_000  # documents whose digests are sorted at a time


class Fate(IntEnum):
    """One byte a document in a corpus."""

    TRAIN = 0
    VALID = 1
    CUT = 2  # its one half is for training, the other for validation (a corpus of few documents)
    DUPLICATE = 3
    IN_VALIDATION = 4
    NEAR_DUPLICATE = 5


REASONS = {
    Fate.DUPLICATE: "duplicate", Fate.IN_VALIDATION: "in_validation", Fate.NEAR_DUPLICATE: "near_duplicate",
}  # fmt: skip


def rows_of(path: Path) -> np.ndarray:
    """The rows (D,) of one piece: digest as two numbers, and length in characters."""
    return np.memmap(path, dtype=ROW, mode="r") if path.stat().st_size else np.zeros(0, dtype=ROW)


def decide(rows: Sequence[np.ndarray], valid: int, share: float, *, exact: bool, fates: np.ndarray) -> None:
    """Fill `fates` (D,) uint8 for documents whose rows come piece by piece.

    valid: so many documents at the start were given for validation; what equals one of them is not trained
    on. share: of the others, that for validation, by digest. exact: drop all but the first of those whose
    keys are equal.
    """
    count = sum(map(len, rows))
    fates[:] = Fate.TRAIN
    fates[:valid] = Fate.VALID
    border = np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    start = 0
    for piece in rows:
        high = piece["high"].astype(np.uint64)
        chosen = (high < border) & (np.arange(start, start + len(piece)) >= valid)
        fates[start : start + len(piece)][chosen] = Fate.VALID
        start += len(piece)
    for first, last in _ranges(count) if valid else ():
        ordinals, again, leader = _repeated(rows, ("high", "low"), first, last)
        fates[ordinals[again & (leader < valid) & (ordinals >= valid)]] = Fate.IN_VALIDATION
    for first, last in _ranges(count) if exact else ():
        ordinals, again, _ = _repeated(rows, ("key_high", "key_low"), first, last)
        copies = ordinals[again]
        fates[copies[fates[copies] != Fate.IN_VALIDATION]] = Fate.DUPLICATE


def _ranges(count: int) -> Iterator[tuple[int, int]]:
    """Ranges of digests that hold about LIMIT documents each."""
    ranges = max(1, -(-count // LIMIT))
    for number in range(ranges):
        yield number * 2**64 // ranges, (number + 1) * 2**64 // ranges - 1


def _repeated(
    rows: Sequence[np.ndarray], fields: tuple[str, str], first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the documents whose digest begins in [first, last]: numbers, whether an equal one came before,
    and the number of the first equal one."""
    found_high: list[np.ndarray] = []
    found_low: list[np.ndarray] = []
    found: list[np.ndarray] = []
    start = 0
    for piece in rows:
        high: np.ndarray = piece[fields[0]].astype(np.uint64)
        places = np.flatnonzero((high >= np.uint64(first)) & (high <= np.uint64(last)))
        found_high.append(high[places])
        found_low.append(piece[fields[1]][places].astype(np.uint64))
        found.append(places + start)
        start += len(piece)
    high, low, ordinals = np.concatenate(found_high), np.concatenate(found_low), np.concatenate(found)
    order = np.lexsort((low, high))  # stable: equal digests stay in the order of reading
    high, low, ordinals = high[order], low[order], ordinals[order]
    again = np.zeros(len(ordinals), dtype=bool)
    again[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    heads = np.maximum.accumulate(np.where(again, 0, np.arange(len(ordinals))))
    return ordinals, again, ordinals[heads]


def nearest(rows: Sequence[np.ndarray], fates: np.ndarray, fate: Fate, *, lowest: bool) -> int:
    """The number of the document with a given fate whose digest is the lowest (or highest)."""
    best: tuple[int, int] | None = None
    start = 0
    for piece in rows:
        places = np.flatnonzero(fates[start : start + len(piece)] == fate)
        if len(places):
            high = piece["high"][places].astype(np.uint64)
            at = int(high.argmin() if lowest else high.argmax())
            found = int(high[at]), start + int(places[at])
            if best is None or (found[0] < best[0] if lowest else found[0] > best[0]):
                best = found
        start += len(piece)
    assert best is not None
    return best[1]


def totals(rows: Sequence[np.ndarray], fates: np.ndarray) -> dict[Fate, tuple[int, int]]:
    """(documents, characters) of each fate."""
    documents, characters = np.zeros(len(Fate), np.int64), np.zeros(len(Fate), np.int64)
    start = 0
    for piece in rows:
        mine = fates[start : start + len(piece)]
        documents += np.bincount(mine, minlength=len(Fate))
        for fate in np.unique(mine):
            characters[fate] += piece["characters"][mine == fate].sum(dtype=np.int64)
        start += len(piece)
    return {fate: (int(documents[fate]), int(characters[fate])) for fate in Fate}


def first_of(fates: np.ndarray, fate: Fate, count: int) -> list[int]:
    """The numbers of the first documents with a fate."""
    return np.flatnonzero(fates == fate)[:count].tolist()


def runs(values: Iterator[tuple[float, int]]) -> list[list[float]]:
    """[value, count] with neighbours of equal value put together; empty runs left out."""
    found: list[list[float]] = []
    for value, count in values:
        if not count:
            continue
        if found and found[-1][0] == value:
            found[-1][1] += count
        else:
            found.append([value, count])
    return found
