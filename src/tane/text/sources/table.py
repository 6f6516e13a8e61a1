r"""Tables as text (csv, tsv): the first row names the columns, each further row is a document; streamed.

What parts the fields: the character that a first line such as `sep=;` names; the tab in tsv; else the one of
comma, semicolon and tab by which the first rows have the same number of fields. The file's name tells csv
from tsv, or `format`. Quotes are as in RFC 4180, so a field may hold line ends and the separator; `quoting:
none` makes them plain characters. Lines end at \n, \r\n or \r.

A file without a header is read by number: `--corpus.column 2` is the second column, and the first row is text
then. In a first row that is all numbers such a number is a name; in any other it would be a riddle, and is
refused.

Nothing is mended by guessing. A row with more or fewer fields than the header, and a quote that is closed in
the middle of a text, stop with their line; with `on_bad: skip` they are left out and counted as `ragged` and
`bad_line`. A quote that is never closed always stops: nobody knows where the rows behind it begin.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tane.errors import InputError
from tane.text import cells
from tane.text.encoding import line_ends
from tane.text.lines import lines, texts
from tane.text.packing import PACKINGS
from tane.text.plausible import MARK
from tane.text.sources import Reading, Record, Unit

LARGEST_ROW = 16_000_000  # characters; more is the work of a quote that is not closed
SAMPLE_LINES = 50  # lines that tell the separator,
SAMPLE_CHARACTERS = 1_000_000  # or as many as stand in these
SEPARATORS = ",;\t"  # those that are tried
SEP_LINE = re.compile(r'"?sep=([,;\t|:~^])"?[\r\n]*', re.IGNORECASE)  # Excel writes and reads such a line
NUMBER = re.compile(r"[1-9][0-9]{0,5}")
LONG_NAME = 60  # characters of a column's name from which on it looks like text
PLAIN_QUOTES = "where quotes are plain characters: {path: ..., quoting: none}"
LEAVE_OUT = "to leave such rows out, counted: --corpus.on_bad skip"


class Table:
    """Rows of csv or tsv; the default document is a record."""

    suffixes: tuple[str, ...] = (".csv", ".tsv", ".tab")
    unit: Unit = "record"
    place = "line"  # what a position counts

    def records(self, reading: Reading) -> Iterator[Record]:
        """Records of the chosen columns; positions are the lines on which rows begin, from 1."""
        yield from cells.records(self.cells(reading), reading, place=self.place)

    def cells(self, reading: Reading) -> Iterator[tuple[int, str]]:
        """(line, field) of the chosen columns of every row, row by row in the order of the columns."""
        # the limit is the process's; it is only ever raised, so no other reader can trip over a lower one
        csv.field_size_limit(max(csv.field_size_limit(), LARGEST_ROW))
        source = lines(texts(reading), reading, "")
        sample = _sample(source)
        found = SEP_LINE.fullmatch(sample[0]) if sample else None
        separator = found[1] if found else _separator(sample, reading)
        reading.found["delimiter"] = separator
        rows = _Rows(itertools.chain(sample, source), reading, separator)
        if found:
            rows.skip_line()
        first = next(rows, None)
        if first is None:
            return
        places, named = _places(first[1], reading)
        width = len(first[1])
        for line, row in rows if named else itertools.chain([first], rows):
            if len(row) != width:
                if row == [""] or (len(row) == 1 and row[0].isspace()):
                    continue
                _ragged(line, row, width, reading)
                continue
            reading.ledger.notes["rows"] += 1
            for place in places:
                yield line, row[place]


def _ragged(line: int, row: list[str], width: int, reading: Reading) -> None:
    """Raise InputError for a row whose fields do not match the columns, or book it as left out."""
    if reading.on_bad != "skip":
        raise InputError(
            f"{reading.raw.name}, line {line:,}: fields: {len(row):,}, expected {width:,} as in the first",
            f"mend the row; {PLAIN_QUOTES}; {LEAVE_OUT}",
        )
    size = sum(map(len, row))
    reading.ledger.read += size
    reading.ledger.found += 1
    reading.ledger.drop("ragged", size)


# ------------------------------------------------------------------------------------------------- columns


def _places(first: list[str], reading: Reading) -> tuple[list[int], bool]:
    """(places of the chosen columns, whether the first row names them)."""
    name, wanted = reading.raw.name, reading.columns
    names = [field.strip() for field in first]
    numbers = bool(wanted) and all(NUMBER.fullmatch(column) for column in wanted)
    both = [column for column in wanted if numbers and column in names]
    if both and not all(n.isdecimal() for n in names if n):
        raise InputError(
            f"{name}: is {both[0]!r}, which stands in the first row, the name of a column, or is there no "
            f"header, and column {both[0]} is meant?",
            "give the file a first row with names",
        )
    if numbers and not both:
        for column in wanted:
            if int(column) > len(names):
                raise InputError(
                    f"{name} has {len(names):,} columns, so there is no column {column}",
                    "count from 1, or give its name in the first row",
                )
        reading.found["columns"] = list(wanted)
        return [int(column) - 1 for column in wanted], False
    unnamed = len(names) == 1 and wanted in ((), cells.ALL)
    if unnamed and (len(names[0]) > LONG_NAME or names[0][-1:] in tuple("。．！？!?")):
        raise InputError(
            f"{name} has one column, and its first row looks like text, not like a name",
            "without a header: --corpus.column 1; with this one: {path: ..., column: NAME}"
            if not wanted
            else "give it a first row with the name of the column, or end its name in .txt",
        )
    if wanted == cells.ALL:
        return cells.choose(names, reading), True
    try:
        return cells.choose(names, reading), True
    except InputError as error:
        remedy = f"{error.remedy}; the second column of a file without a header: --corpus.column 2"
        raise InputError(error.message, remedy) from None


# ----------------------------------------------------------------------------------------------- separator


def _sample(source: Iterator[str]) -> list[str]:
    """The first lines of a file, not more than needed to tell how it is written."""
    taken: list[str] = []
    size = 0
    for line in source:
        taken.append(line)
        size += len(line)
        if len(taken) >= SAMPLE_LINES or size > SAMPLE_CHARACTERS:
            break
    return taken


def _separator(sample: list[str], reading: Reading) -> str:
    path = reading.raw.path
    inner = Path(path.stem) if path.suffix.lower() in PACKINGS else path
    if (reading.format or inner.suffix.lower().removeprefix(".")) in ("tsv", "tab"):
        return "\t"
    ranked = [(_agreement(sample, separator, reading), separator) for separator in SEPARATORS]
    return max(ranked, key=lambda one: one[0])[1]  # the first of equals: the comma


def _agreement(sample: list[str], separator: str, reading: Reading) -> tuple[float, int]:
    """(share of the rows with as many fields as the first, how many these are); (0, 0) for one field."""
    parser = csv.reader(
        (line[:SAMPLE_CHARACTERS] for line in sample), delimiter=separator, quoting=_quoting(reading)
    )
    counts = [len(row) for row in parser if row]
    if not counts or counts[0] < 2:
        return 0.0, 0
    whole = counts[:-1] if len(counts) > 2 else counts  # the last may be cut
    return sum(count == counts[0] for count in whole) / len(whole), counts[0]


def _quoting(reading: Reading) -> Literal[0, 3]:
    return csv.QUOTE_NONE if reading.quoting == "none" else csv.QUOTE_MINIMAL


# ---------------------------------------------------------------------------------------------------- rows


class _Rows:
    """The rows of a table as (the line on which it begins, its fields), blank lines passed over.

    Raises InputError where a quote is not closed, or closed in the middle of a text. With `on_bad: skip` the
    latter costs only the first line of its row, and the lines behind it are read again as rows of their own;
    but not in the file's first row, which says what the others are.
    """

    def __init__(self, source: Iterator[str], reading: Reading, separator: str) -> None:
        self.source, self.reading, self.separator = source, reading, separator
        self.line = 0  # the line that the parser was given last
        self.held: list[str] = []  # the lines of the row in work,
        self.size = 0  # and their characters
        self.again: list[str] = []  # lines to be read once more, the next one last
        self.patience = 5 * LARGEST_ROW  # characters that may be read again
        self.begun = self.ended = False
        self.parser = csv.reader(self._feed(), delimiter=separator, quoting=_quoting(reading), strict=True)

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        while True:
            first = self.line + 1
            self.held.clear()
            self.size = 0
            try:
                row = next(self.parser)
            except csv.Error as error:
                self._bad(first, str(error))
                continue
            if row:
                self.begun = True
                return first, row

    def skip_line(self) -> None:
        """Pass over a line that is no row."""
        next(self.source)
        self.line += 1

    def _feed(self) -> Iterator[str]:
        while True:
            line = self.again.pop() if self.again else next(self.source, None)
            if line is None:
                self.ended = True
                return
            self.line += 1
            self.size += len(line)
            self.held.append(line)
            if self.size > LARGEST_ROW and len(self.held) == 1:
                raise InputError(
                    f"{self.reading.raw.name}: line {self.line:,} has over {LARGEST_ROW:,} characters",
                    "rows must be lines of their own: look at how the file was written",
                )
            if self.size > LARGEST_ROW:
                raise self._unclosed(f"within {LARGEST_ROW:,} characters")
            yield line

    def _bad(self, first: int, reason: str) -> None:
        """Raise InputError for what the parser refuses, or leave its first line out and go on behind it."""
        if self.ended:
            raise self._unclosed("up to the end of the file")
        if self.reading.on_bad != "skip" or not self.begun or self.patience < 0:
            opened = self._opened()
            where = f"on line {self.line:,}" if opened != self.line else "there"
            raise InputError(
                f"{self.reading.raw.name}: the quote that opens on line {opened:,} closes {where} "
                f"in the middle of a text ({reason})",
                f"mend the row (a quote inside quotes is written twice); {PLAIN_QUOTES}; {LEAVE_OUT}",
            )
        line, *behind = self.held
        self.reading.ledger.read += len(line)
        self.reading.ledger.found += 1
        self.reading.ledger.drop("undecodable" if MARK in line else "bad_line", len(line))
        self.again += reversed(behind)
        self.patience -= self.size - len(line)
        self.line = first

    def _unclosed(self, reach: str) -> InputError:
        return InputError(
            f"{self.reading.raw.name}: the quote that opens on line {self._opened():,} is not closed {reach}",
            f"close it; {PLAIN_QUOTES}",
        )

    def _opened(self) -> int:
        """The line on which the last quoted field of the row in work opens."""
        text = "".join(self.held)
        opened = place = 0
        while 0 <= place < len(text):
            if text[place] == '"':
                opened = place
                place = text.find('"', place + 1)
                while place >= 0 and text.startswith('""', place):
                    place = text.find('"', place + 2)
                if place < 0 or not text.startswith(self.separator, place + 1):
                    break
            place = text.find(self.separator, place) + 1 or -1
        return self.line - len(self.held) + 1 + line_ends(text[:opened])
