r"""JSON lines: one object a line, its keys are the columns; streamed, and read strictly.

Lines end at \n and nowhere else, so U+2028 inside a string is text; blank lines are passed over. What JSON
does not know (NaN, a key twice in one object, two values on a line) is an error with its line, or counted as
`bad_line` with `on_bad: skip`. A file whose first character is `[` is one array, whatever its suffix: the
content leaves no doubt, and the items then count instead of the lines; it is held in memory, so its size is
capped. Lines (or items) that are plain strings are texts themselves and have no column. A key that a row
lacks is a cell without text; one that no row has is an error.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from tane.errors import InputError
from tane.text import cells
from tane.text.lines import BOM, lines, texts
from tane.text.plausible import MARK
from tane.text.sources import Reading, Record, Unit

LARGEST_ARRAY = 100_000_000  # characters of a file that is one array
HEAD = 100  # rows whose keys are looked at before the column is chosen,
HEAD_CHARACTERS = 1_000_000  # or as many as stand in these
NAMED = 10_000  # rows after which a column that none of them has is an error; keys that are remembered
BLANK = re.compile(r"[ \t\n\r]*")  # JSON's white space
SKIP = "mend it, or leave such lines out, counted: --corpus.on_bad skip"


class Jsonl:
    """Lines of JSON objects or strings, or one array of them; the default document is a record."""

    suffixes: tuple[str, ...] = (".jsonl", ".ndjson", ".json")
    unit: Unit = "record"
    place = "line"  # what a position counts; "item" in a file that is one array, once its cells are asked for

    def records(self, reading: Reading) -> Iterator[Record]:
        """Records of the chosen columns; positions are lines, or items of an array, from 1."""
        values = self.cells(reading)
        yield from cells.records(values, reading, place=self.place)

    def cells(self, reading: Reading) -> Iterator[tuple[int, Any]]:
        """(position, value) of every chosen key of every row, or of every string; None where a row lacks it.

        Of all columns each key that any row has is one, so that the rows are held in memory then.
        """
        first, pieces = _opening(texts(reading))
        self.place = "item" if first == "[" else "line"
        rows = _items(_whole(pieces, reading), reading) if first == "[" else _lines(pieces, reading)
        return _cells(rows, reading, self.place)


class _Row(NamedTuple):
    """A parsed value, its line or item, and how many characters it was written with."""

    position: int
    value: Any
    size: int


# ------------------------------------------------------------------------------------------ text to values


class _Refused(ValueError):
    """What Python's parser would take, but JSON does not know."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"the key {twice[:40]!r} stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise _Refused(f"it holds {name}")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _value(text: str, start: int = 0) -> tuple[Any, int]:
    """(the value that begins at `start`, where it ends); raises _Refused with the reason."""
    try:
        return DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        reason = error.msg[0].lower() + error.msg[1:].removesuffix(" at").removesuffix(" starting")
        raise _Refused(f"{reason} at character {error.pos - start + 1:,}") from None
    except _Refused:
        raise
    except RecursionError:
        raise _Refused("it is nested too deeply") from None
    except ValueError:  # Python's limit against numbers that take minutes to convert
        raise _Refused("it holds a number of thousands of digits") from None


def _opening(pieces: Iterator[str]) -> tuple[str, Iterator[str]]:
    """(the first character that is not blank, all pieces); "" where the first million are blank."""
    held: list[str] = []
    first, size = "", 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        first = piece.lstrip(BOM + " \t\n\r")[:1]
        if first or size > HEAD_CHARACTERS:
            break
    return first, itertools.chain(held, pieces)


def _lines(pieces: Iterator[str], reading: Reading) -> Iterator[_Row]:
    name = reading.raw.name
    first = True
    for number, line in enumerate(lines(pieces, reading, "\n"), 1):
        text = line.strip(" \t\n\r")
        if not text:
            continue
        try:
            value, end = _value(text)
            if end != len(text):
                raise _Refused(f"more follows its value at character {end + 1:,}")
        except _Refused as reason:
            if first and text[0] == "{" and text[-1] in "{[,":
                raise InputError(
                    f"{name} is one JSON object over several lines; expected an object a line",
                    "turn it into lines: jq -c . FILE, or jq -c '.data[]' FILE for the list under a key",
                ) from None
            cut = "" if line.endswith("\n") else " (the last, without a line end: is the file cut?)"
            kind = "undecodable" if MARK in line else "bad_line"
            _bad(reading, f"line {number:,}{cut} is no JSON: {reason}", len(line), kind)
        else:
            yield _Row(number, value, len(line))
        first = False


def _bad(reading: Reading, what: str, size: int, reason: str = "bad_line") -> None:
    """Raise InputError, or book a line of `size` characters as left out."""
    if reading.on_bad != "skip":
        raise InputError(f"{reading.raw.name}: {what}", SKIP)
    reading.ledger.read += size
    reading.ledger.found += 1
    reading.ledger.drop(reason, size)


def _whole(pieces: Iterator[str], reading: Reading) -> str:
    """The text of a file that is one array, without byte order marks before it."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > LARGEST_ARRAY:
            raise InputError(
                f"{reading.raw.name} is one JSON array of over {LARGEST_ARRAY:,} characters",
                "turn it into lines: jq -c '.[]' FILE > FILE.jsonl",
            )
    text = "".join(held)
    whole = text.lstrip(BOM)
    reading.ledger.read += len(text) - len(whole)
    reading.ledger.change["bom"] += len(text) - len(whole)
    return whole


def _items(text: str, reading: Reading) -> Iterator[_Row]:
    """The items of an array one after the other, so that only one is held; a fault in it always stops."""
    number, place = 0, text.index("[") + 1
    more = not text.startswith("]", _after_blank(text, place))
    try:
        while more:
            number += 1
            place = _after_blank(text, place)
            value, end = _value(text, place)
            yield _Row(number, value, end - place)
            place = _after_blank(text, end)
            more = text.startswith(",", place)
            place += more
        place = _after_blank(text, place)
        if not text.startswith("]", place):
            raise _Refused("expected , or ] after it; is the file cut?")
        place = _after_blank(text, place + 1)
        if place != len(text):
            raise _Refused("more follows the array; expected one array, or an object a line")
    except _Refused as reason:
        line = text.count("\n", 0, place) + 1
        raise InputError(
            f"{reading.raw.name}: item {number:,} of its array (line {line:,}): {reason}",
            "mend it, or turn it into lines: jq -c '.[]' FILE > FILE.jsonl",
        ) from None


def _after_blank(text: str, place: int) -> int:
    found = BLANK.match(text, place)
    return found.end() if found else place


# ----------------------------------------------------------------------------------------- values to cells


def _cells(rows: Iterator[_Row], reading: Reading, place: str) -> Iterator[tuple[int, Any]]:
    """(position, value) of every chosen key of every row, or of every string."""
    head = _head(rows)
    if not head:
        return
    kind = next((type(row.value) for row in head if isinstance(row.value, (dict, str))), None)
    if kind is None:
        raise InputError(
            f"{reading.raw.name}, {place} {head[0].position:,}: expected an object, "
            f"found {cells.described(head[0].value)}",
            'write a JSON object a line, such as {"text": ...}',
        )
    if kind is dict and len(head) == 1:
        _refuse_nested(head[0].value, reading)
    good = _of_kind(kind, itertools.chain(head, rows), reading, place)
    if kind is dict and reading.columns == cells.ALL:
        yield from _every(good, reading)
    elif kind is dict:
        yield from _objects([row.value for row in head if isinstance(row.value, dict)], good, reading)
    elif reading.columns not in ((), cells.ALL):
        raise InputError(
            f"{reading.raw.name} holds plain texts, so it has no column {reading.columns[0]!r}",
            "leave corpus.column out for this file",
        )
    else:
        yield from ((row.position, row.value) for row in good)


def _head(rows: Iterator[_Row]) -> list[_Row]:
    """The first rows: one only where there are no more."""
    head: list[_Row] = []
    size = 0
    for row in rows:
        head.append(row)
        size += row.size
        if len(head) > 1 and (size > HEAD_CHARACTERS or len(head) >= HEAD):
            break
    return head


def _of_kind(kind: type, rows: Iterator[_Row], reading: Reading, place: str) -> Iterator[_Row]:
    for row in rows:
        if isinstance(row.value, kind):
            reading.ledger.notes["rows"] += 1
            yield row
        else:
            expected = "an object" if kind is dict else "text"
            found = cells.described(row.value)
            what = f"{place} {row.position:,}: expected {expected} as before, found {found}"
            _bad(reading, what, row.size)


def _objects(head: list[dict[str, Any]], rows: Iterator[_Row], reading: Reading) -> Iterator[tuple[int, Any]]:
    """The chosen keys of each object; a chosen key may come as late as row NAMED for the first time."""
    names = {key: None for one in head for key in one}
    columns, missing = list(reading.columns), set(reading.columns) - names.keys()
    if not missing:
        keys = list(names)
        columns = [keys[at] for at in cells.choose(keys, reading, likely=_textual(head))]
    for count, row in enumerate(rows, 1):
        for column in columns:
            yield row.position, row.value.get(column)
        if missing:
            names.update(dict.fromkeys(row.value if len(names) < NAMED else missing & row.value.keys()))
            missing -= row.value.keys()
            if not missing or count == NAMED:
                cells.choose(list(names), reading)
    if missing:
        cells.choose(list(names), reading)


def _every(rows: Iterator[_Row], reading: Reading) -> Iterator[tuple[int, Any]]:
    """All keys of each object, also those that only a later one has."""
    held = list(rows)
    keys = list(dict.fromkeys(key for row in held for key in row.value))
    cells.choose(keys, reading)
    for row in held:
        for key in keys:
            yield row.position, row.value.get(key)


def _textual(head: list[dict[str, Any]]) -> list[str]:
    """The keys that can hold text: some value of theirs is text, or none is anything."""
    kinds: dict[str, set[bool]] = {}
    for one in head:
        for key, value in one.items():
            kinds.setdefault(key, set()).update([] if value is None else [isinstance(value, str)])
    return [key for key, found in kinds.items() if True in found or not found]


def _refuse_nested(only: dict[str, Any], reading: Reading) -> None:
    """Raise InputError where the only object of a file is a shell around a list of the true ones."""
    columns = reading.columns or (cells.TEXT,)
    if all(isinstance(only.get(column), str) for column in columns):
        return
    for key, value in only.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            path = f".{key}[]" if re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII) else '.["KEY"][]'
            raise InputError(
                f"{reading.raw.name} is one JSON object, with a list of {len(value):,} under {key[:40]!r}; "
                "expected an object a line",
                f"turn the list into lines: jq -c '{path}' FILE > FILE.jsonl",
            )
