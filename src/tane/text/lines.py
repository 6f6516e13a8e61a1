"""Decoded lines of formats whose rows are lines: streamed, bounded, byte order marks at their starts gone."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from tane.errors import InputError
from tane.text.encoding import Decoder
from tane.text.sources import Reading

BOM = "\ufeff"
LONGEST = 64_000_000  # characters of one line


def texts(reading: Reading) -> Iterator[str]:
    """The decoded text of a file in pieces; notes its encoding in `reading.found`."""
    raw = reading.raw
    decoder = Decoder(raw.name, reading.encoding, reading.on_bad, unpacked=bool(raw.packing))
    for chunk in raw.chunks():
        if text := decoder.feed(chunk):
            yield text
    text = decoder.finish()
    reading.found["encoding"] = decoder.found
    if text:
        yield text


def lines(pieces: Iterable[str], reading: Reading, newline: str) -> Iterator[str]:
    r"""The lines with their ends as they stand; `newline` as in `open`: "\n" ends them, or "" any of three.

    A byte order mark at the start of a line (files put together with `cat`) is taken away and booked. Raises
    InputError for a line over LONGEST characters.
    """
    held: list[str] = []
    size = number = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if "\n" in piece or (not newline and "\r" in piece):
            ready = list(io.StringIO("".join(held), newline))
            rest = "" if ready[-1].endswith("\n") else ready.pop()  # after \r, a \n may follow
            held, size = [rest], len(rest)
            number += len(ready)
            yield from _without_marks(ready, reading)
        if size > LONGEST:
            raise InputError(
                f"{reading.raw.name}: line {number + 1:,} has over {LONGEST:,} characters",
                "rows must be lines of their own: look at how the file was written",
            )
    yield from _without_marks(list(io.StringIO("".join(held), newline)), reading)


def _without_marks(ready: list[str], reading: Reading) -> list[str]:
    for index, line in enumerate(ready):
        if line.startswith(BOM):
            ready[index] = line.lstrip(BOM)
            count = len(line) - len(ready[index])
            reading.ledger.read += count
            reading.ledger.change["bom"] += count
    return ready
