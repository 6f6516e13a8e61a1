"""Cells to records: what every format with rows and columns shares.

A row is a document for each chosen column, in the order in which the columns were named. A cell without text
is counted, never passed over; one that holds something else than text stops the reading, or is counted with
`on_bad: skip`.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tane.errors import InputError
from tane.text.plausible import MARK
from tane.text.sources import Reading, Record
from tane.text.split import pieces
from tane.text.units import SPLITTERS, Block

TEXT = "text"  # the column that is taken when none is named and there are several
SURROGATE = re.compile("[\ud800-\udfff]")


def choose(names: Sequence[str], reading: Reading, *, likely: Sequence[str] = ()) -> list[int]:
    """Places of the columns to read among the names that a file has; notes them in `reading.found`.

    likely: the names of the columns that can hold text at all (default: every one). Raises InputError that
    lists what is there.
    """
    wanted, name = reading.columns, reading.raw.name
    listed = ", ".join(map(repr, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    if not wanted:
        candidates = list(likely or names)
        if len(candidates) == 1:
            wanted = (candidates[0],)
        elif TEXT in candidates:
            wanted = (TEXT,)
        else:
            raise InputError(
                f"{name} has {len(names)} columns, and none is called {TEXT!r}: {listed or 'no names at all'}",
                f"name the one with the text: --corpus.column {_quoted((candidates or ['NAME'])[0])}",
            )
    places = []
    for column in wanted:
        count = list(names).count(column)
        if count > 1:
            raise InputError(
                f"{name} has {count} columns called {column!r}", "give each column a name of its own"
            )
        if not count:
            near = difflib.get_close_matches(column, [n for n in names if n], 1)
            hint = near[0] if near else (likely or names or ["NAME"])[0]
            raise InputError(
                f"{name} has no column {column!r}; it has: {listed or 'none'}",
                f"{'did you mean' if near else 'name one of them'}: --corpus.column {_quoted(hint)}",
            )
        places.append(list(names).index(column))
    reading.found["columns"] = list(wanted)
    return places


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else f'"{name}"'


def records(cells: Iterable[tuple[int, Any]], reading: Reading) -> Iterator[Record]:
    """Records of cells given as (position, value); books all that is not yielded, and what is read."""
    if reading.unit == "file":
        for text, position in SPLITTERS["file"](_joined(cells, reading), reading):
            yield Record(text, position)
        return
    split = SPLITTERS.get(reading.unit)
    for position, value in cells:
        text = _text(position, value, reading)
        if text is None:
            continue
        if split is not None:
            block: Block = (itertools.repeat(position, text.count("\n") + 1), text.split("\n"), False)
            for part, _ in split([block], reading):
                yield Record(part, position)
        elif len(text) > reading.fragment:
            for part in pieces(text, reading.fragment):
                yield Record(part, position)
        else:
            yield Record(text, position)


def _joined(cells: Iterable[tuple[int, Any]], reading: Reading) -> Iterator[Block]:
    """All cells as the lines of one text; the line end after each is ours, and booked as added."""
    for position, value in cells:
        text = _text(position, value, reading)
        if text is not None:
            lines = text.split("\n")
            reading.ledger.change["cells_joined"] -= 1
            yield itertools.repeat(position, len(lines)), lines, True


def _text(position: int, value: Any, reading: Reading) -> str | None:
    """The text of a cell, booked as read; None for one without."""
    ledger = reading.ledger
    if value is None or value == "":
        ledger.found += 1
        ledger.drop("no_text", 0)
        return None
    if not isinstance(value, str):
        if reading.on_bad != "skip":
            raise InputError(
                f"{reading.raw.name}, row {position:,}: expected text, found {_kind(value)}",
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


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object",
             bytes: "bytes"}  # fmt: skip
    shown = repr(value)
    return f"{names.get(type(value), type(value).__name__)} ({shown[:40]}{'...' if len(shown) > 40 else ''})"
