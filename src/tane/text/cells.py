"""Cells to records: what every format with rows and columns shares.

A row is a document for each chosen column, in the order in which the columns were named. A cell without text
is counted, never passed over; one that holds something else than text stops the reading, or is counted with
`on_bad: skip`.
"""

from __future__ import annotations

import difflib
import itertools
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tane.errors import InputError
from tane.text.plausible import MARK
from tane.text.sources import Reading, Record
from tane.text.split import pieces
from tane.text.units import SPLITTERS, Block

TEXT = "text"  # the column that is taken when none is named and there are several
ALL = ("\ud800",)  # in the place of names: every column; no name that `choose` sees holds such a character
SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 40  # characters of a name in a message
COMPARED = 1_000  # names among which the nearest one is looked for


def choose(names: Sequence[str], reading: Reading, *, likely: Sequence[str] = ()) -> list[int]:
    """Places of the columns to read among the names that a file has; notes them in `reading.found`.

    likely: the names of the columns that can hold text at all (default: every one). Where `reading.columns`
    is ALL every place is chosen. Raises InputError that lists what is there.
    """
    names = [SURROGATE.sub("\ufffd", name) for name in names]
    candidates = [SURROGATE.sub("\ufffd", name) for name in likely] or names
    wanted, name = tuple(names) if reading.columns == ALL else reading.columns, reading.raw.name
    listed = ", ".join(repr(_short(n)) for n in names[:12]) or "no names at all"
    listed += f" and {len(names) - 12:,} more" if len(names) > 12 else ""
    if not wanted and reading.columns != ALL:
        if len(candidates) == 1:
            wanted = (candidates[0],)
        elif TEXT in candidates:
            wanted = (TEXT,)
        else:
            raise InputError(
                f"{name} has {len(names):,} columns, and none is called {TEXT!r}: {listed}",
                f"name the one with the text: --corpus.column {_typed(candidates)}",
            )
    places = []
    for column in wanted:
        count = names.count(column)
        if count > 1:
            raise InputError(
                f"{name} has {count} columns called {column!r}", "give each column a name of its own"
            )
        if not count:
            near = difflib.get_close_matches(column, [n for n in names[:COMPARED] if 0 < len(n) <= SHOWN], 1)
            raise InputError(
                f"{name} has no column {column!r}; it has: {listed}",
                f"{'did you mean' if near else 'name one of them'}: "
                f"--corpus.column {_typed(near or candidates)}",
            )
        places.append(names.index(column))
    reading.found["columns"] = list(wanted)
    return places


def _short(name: str) -> str:
    return name if len(name) <= SHOWN else f"{name[:SHOWN]}..."


def _typed(names: Sequence[str]) -> str:
    """The first name that one can type, as one types it."""
    name = next((n for n in names if n.strip() and n.isprintable() and len(n) <= SHOWN), "NAME")
    return name if re.fullmatch(r"\w+", name) else f"'{name}'" if "'" not in name else f'"{name}"'


def records(cells: Iterable[tuple[int, Any]], reading: Reading, *, place: str = "row") -> Iterator[Record]:
    """Records of cells given as (position, value); books all that is not yielded, and what is read.

    place: what a position counts, for messages. Raises InputError for a value that is no text, unless such
    are to be left out.
    """
    if reading.unit == "file":
        parts = SPLITTERS["file"](_joined(cells, reading, place), reading)
    else:
        parts = _parts(cells, reading, place)
    for text, position in parts:
        if len(text) <= reading.fragment:
            yield Record(text, position)
        else:
            for piece in pieces(text, reading.fragment):
                yield Record(piece, position)


def _parts(cells: Iterable[tuple[int, Any]], reading: Reading, place: str) -> Iterator[tuple[str, int]]:
    """Each cell as one text, or split into its lines or paragraphs."""
    split = SPLITTERS.get(reading.unit)
    for position, value in cells:
        text = _text(position, value, reading, place)
        if text is None:
            continue
        if split is None:
            yield text, position
        else:
            lines = text.split("\n")
            block: Block = (itertools.repeat(position, len(lines)), lines, False)
            yield from split([block], reading)


def _joined(cells: Iterable[tuple[int, Any]], reading: Reading, place: str) -> Iterator[Block]:
    """All cells as the lines of one text; the line end after each is ours, and booked as added."""
    for position, value in cells:
        text = _text(position, value, reading, place)
        if text is not None:
            lines = text.split("\n")
            reading.ledger.change["cells_joined"] -= 1
            yield itertools.repeat(position, len(lines)), lines, True


def _text(position: int, value: Any, reading: Reading, place: str) -> str | None:
    """The text of a cell, booked as read; None for one without."""
    ledger = reading.ledger
    if value is None or value == "":
        ledger.found += 1
        ledger.drop("no_text", 0)
        return None
    if not isinstance(value, str):
        if reading.on_bad != "skip":
            raise InputError(
                f"{reading.raw.name}, {place} {position:,}: expected text, found {described(value)}",
                "choose another --corpus.column, or leave out such rows, counted: --corpus.on_bad skip",
            )
        ledger.found += 1
        ledger.drop("not_text", 0)
        return None
    ledger.read += len(value)
    if reading.on_bad == "skip" and MARK in value:
        ledger.found += 1
        ledger.drop("undecodable", len(value))
        return None
    if not value.isascii() and (count := len(SURROGATE.findall(value))):
        ledger.notes["lone_surrogates"] += count
        value = SURROGATE.sub("\ufffd", value)
    if "\0" in value:
        ledger.notes["nul_characters"] += value.count("\0")
    if "\r" in value:
        before = len(value)
        value = value.replace("\r\n", "\n")
        ledger.change["newlines"] += before - len(value)
        value = value.replace("\r", "\n")
    return value


def described(value: Any) -> str:
    """What a value is, for a message: its kind and the beginning of it."""
    if value is None:
        return "null"
    names = {
        str: "text", bool: "true or false", int: "a number", float: "a number",
        list: "a list", dict: "an object", bytes: "bytes",
    }  # fmt: skip
    return f"{names.get(type(value), type(value).__name__)} ({reprlib.repr(value)[:SHOWN]})"
