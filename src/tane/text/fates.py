"""What becomes of each document: training, validation, or dropped as a duplicate; decided on digests alone.

Documents are numbered in the order in which they were read. Of equal ones the first stays. Memory stays
bounded however many documents there are, and however many of them are equal: their rows are read STEP at a
time, and digests are compared a range at a time, which holds about LIMIT of them (100 bytes for each). Where
there are more, they are first dealt out to ranges in a nameless file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tane.text.pieces import ROW

STEP = 250_000  # rows that are held at a time
LIMIT = 500_000  # different digests that are compared at a time, about
ENTRY = np.dtype([("high", "<u8"), ("low", "<u8"), ("number", "<i8")])  # a digest and its document


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


class Rows:
    """The rows of documents in files, one after another, as arrays (n,) of at most STEP of them.

    They are read, not mapped: pages of a mapped file count as memory of the process.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.count = sum(path.stat().st_size for path in paths) // np.dtype(ROW).itemsize

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            with open(path, "rb") as file:
                while len(rows := np.fromfile(file, ROW, STEP)):
                    yield rows


def decide(
    rows: Iterable[np.ndarray],
    valid: int,
    share: float,
    *,
    exact: bool,
    fates: np.ndarray,
    place: Path | None = None,
) -> None:
    """Fill `fates` (D,) uint8 for documents whose rows come some at a time, each time they are asked for.

    valid: so many documents at the start were given for validation; what equals one of them is not trained
    on. share: of the others, that for validation, by digest. exact: drop all but the first of those whose
    keys are equal. place: the folder of temporary files.
    """
    border = np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    start = 0
    for some in rows:
        mine = fates[start : start + len(some)]
        mine[:] = np.where(some["high"] < border, Fate.VALID, Fate.TRAIN)
        mine[: max(0, valid - start)] = Fate.VALID
        start += len(some)
    if valid:
        for copies, leaders in _repeated(rows, ("high", "low"), len(fates), place):
            fates[copies[(leaders < valid) & (copies >= valid)]] = Fate.IN_VALIDATION
    if exact:
        for copies, _ in _repeated(rows, ("key_high", "key_low"), len(fates), place):
            fates[copies[fates[copies] != Fate.IN_VALIDATION]] = Fate.DUPLICATE


def _repeated(
    rows: Iterable[np.ndarray], fields: tuple[str, str], count: int, place: Path | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of the documents whose digest came before: their numbers, and those of the first with their digest."""
    for entries in _ranges(rows, fields, count, place):
        known = np.zeros(0, dtype=ENTRY)  # the first of each digest, in the digests' order
        held: list[np.ndarray] = [known]
        size = 0
        for some in entries:
            held.append(some)
            size += len(some)
            if size >= LIMIT:
                copies, leaders, known = _compared(np.concatenate(held))
                yield copies, leaders
                held, size = [known], 0
        if size:
            yield _compared(np.concatenate(held))[:2]


def _compared(entries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(numbers of those whose digest came before, of the first with it; the firsts) of entries (n,) of which
    equal ones stand in the order of reading."""
    entries = entries[np.lexsort((entries["low"], entries["high"]))]  # stable
    again = np.zeros(len(entries), dtype=bool)
    again[1:] = (entries["high"][1:] == entries["high"][:-1]) & (entries["low"][1:] == entries["low"][:-1])
    firsts = entries[~again]
    leaders = firsts["number"][np.cumsum(~again) - 1]
    return entries["number"][again], leaders[again], firsts


def _entries(rows: Iterable[np.ndarray], fields: tuple[str, str]) -> Iterator[np.ndarray]:
    """The digests of documents with their numbers, some at a time."""
    start = 0
    for some in rows:
        found = np.empty(len(some), dtype=ENTRY)
        found["high"], found["low"] = some[fields[0]], some[fields[1]]
        found["number"] = np.arange(start, start + len(some))
        yield found
        start += len(some)


def _ranges(
    rows: Iterable[np.ndarray], fields: tuple[str, str], count: int, place: Path | None
) -> Iterator[Iterator[np.ndarray]]:
    """The digests by ranges of about LIMIT: a power of two of them, so that a digest's first bits tell its
    own. Each row is read twice and written once, whatever their number."""
    bits = max(0, -(-count // LIMIT) - 1).bit_length()
    if not bits:
        yield _entries(rows, fields)
        return
    shift = np.uint64(64 - bits)
    sizes = np.zeros(1 << bits, dtype=np.int64)
    for some in rows:
        sizes += np.bincount((some[fields[0]] >> shift).astype(np.int64), minlength=len(sizes))
    ends = np.cumsum(sizes)
    begins = ends - sizes
    with tempfile.TemporaryFile(dir=place) as file:
        free = begins.copy()  # where the next one of each range goes
        for found in _entries(rows, fields):
            mine = (found["high"] >> shift).astype(np.int64)
            found = found[np.argsort(mine, kind="stable")]
            counts = np.bincount(mine, minlength=len(sizes))
            for number, few in enumerate(np.split(found, np.cumsum(counts)[:-1])):
                if len(few):
                    _write_at(file, few.tobytes(), int(free[number]) * ENTRY.itemsize)
            free += counts
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            yield _read_from(file, begin, end)


def _write_at(file: BinaryIO, data: bytes, place: int) -> None:
    while data:
        done = os.pwrite(file.fileno(), data, place)
        data, place = data[done:], place + done


def _read_from(file: BinaryIO, begin: int, end: int) -> Iterator[np.ndarray]:
    file.seek(begin * ENTRY.itemsize)
    while begin < end:
        found = np.frombuffer(file.read(min(STEP, end - begin) * ENTRY.itemsize), dtype=ENTRY)
        yield found
        begin += len(found)


def nearest(rows: Iterable[np.ndarray], fates: np.ndarray, fate: Fate, *, lowest: bool) -> int:
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


def totals(rows: Iterable[np.ndarray], fates: np.ndarray) -> dict[Fate, tuple[int, int]]:
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
    found: list[int] = []
    for start in range(0, len(fates), STEP):
        if len(found) >= count:
            break
        found += (np.flatnonzero(fates[start : start + STEP] == fate) + start).tolist()
    return found[:count]


def trained(fates: np.ndarray) -> int:
    """How many of some documents are for training."""
    steps = (fates[start : start + STEP] for start in range(0, len(fates), STEP))
    return sum(int(np.count_nonzero((some == Fate.TRAIN) | (some == Fate.CUT))) for some in steps)


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
