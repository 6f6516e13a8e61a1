"""The XML of a workbook's sheets and strings: tags to rows of stored cells, in one pass, under caps."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tane.errors import InputError

ROWS, COLUMNS = 1_048_576, 16_384  # of a sheet, by the standard
LARGEST_TEXT = 1 << 24  # characters of one string or one row (Excel itself allows 32,767 a cell)
DIGITS = "0123456789"
LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|general|e[+-]')  # what is no code in a number format

Refuse = Callable[[str], InputError]  # what is wrong -> the error that says where


class Cell(NamedTuple):
    """A cell as it is stored.

    kind: the type that the standard gives it (n, s, str, inlineStr, b, e, d), or "formula" where no value was
    stored with one; style: the place of its format; content: as written.
    """

    kind: str
    style: str
    content: str


Row = tuple[int, dict[int, Cell]]  # its number from 1; column from 0 -> cell


def local(tag: str) -> str:
    """A name without its prefix: some programs write x:row for row."""
    return tag.rpartition(":")[2]


def shows_date(code: str) -> bool:
    """Whether a number format such as yyyy/m/d shows a date or time."""
    return re.search("[ymdhsg]", LITERAL.sub("", code.lower())) is not None


class Grid:
    """The handlers that Python's expat parser calls for a sheet, or for the shared strings.

    rows, strings: what was found since they were last cleared; depth: how many tags are open.
    """

    def __init__(self, refuse: Refuse) -> None:
        self.rows: list[Row] = []
        self.strings: list[str] = []
        self.depth = 0
        self._refuse = refuse
        self._held: list[str] = []  # the texts of a value, one for each run of its own format
        self._size = 0  # characters of the row or string so far
        self._wanted = self._reading = False
        self._places: dict[str, int] = {}  # letters of a column -> its place
        self._cells: dict[int, Cell] = {}
        self._row, self._column = 0, -1
        self._kind = self._style = ""
        self._formula = False

    def start(self, tag: str, of: dict[str, str]) -> None:
        """A tag opens. Raises InputError for a place that no sheet has."""
        self.depth += 1
        if tag == "c":
            place = of.get("r")
            self._column = self._column + 1 if place is None else self._place(place)
            if self._column >= COLUMNS:
                raise self._refuse(f"row {self._row:,} has over {COLUMNS:,} columns")
            self._kind, self._style = of.get("t", "n"), of.get("s", "0")
            self._formula = False
            self._held.clear()  # what stood between cells
        elif tag in ("v", "t"):
            self._wanted = not self._reading
        elif tag == "row":
            number = of.get("r", str(self._row + 1))
            self._row = int(number) if number.isdecimal() and len(number) < 8 else 0
            if not 0 < self._row <= ROWS:
                raise self._refuse(f"it has a row {number[:20]!r}; expected 1 to {ROWS:,}")
            self._column, self._size, self._cells = -1, 0, {}
        elif tag == "f":
            self._formula = True
        elif tag == "rPh":  # a reading (furigana) beside the text, not text
            self._reading = True
        elif tag == "si":
            self._size = 0
            self._held.clear()
        elif ":" in tag:
            self.depth -= 1
            self.start(local(tag), of)

    def end(self, tag: str) -> None:
        """A tag closes: a cell with content joins its row, a row with cells joins the others."""
        self.depth -= 1
        if tag == "c":
            if self._held:
                self._cells[self._column] = Cell(self._kind, self._style, "".join(self._held))
            elif self._formula:
                self._cells[self._column] = Cell("formula", self._style, "")
        elif tag in ("v", "t"):
            self._wanted = False
        elif tag == "row":
            if self._cells:
                self.rows.append((self._row, self._cells))
        elif tag == "rPh":
            self._reading = False
        elif tag == "si":
            self.strings.append("".join(self._held))
        elif ":" in tag:
            self.depth += 1
            self.end(local(tag))

    def text(self, text: str) -> None:
        """Characters between tags."""
        if self._wanted:
            self._size += len(text)
            if self._size > LARGEST_TEXT:
                raise self._refuse(f"it holds a string or row of over {LARGEST_TEXT:,} characters")
            self._held.append(text)

    def _place(self, place: str) -> int:
        """The place from 0 of the column that a reference such as AB12 names."""
        letters = place.rstrip(DIGITS)
        found = self._places.get(letters)
        if found is None:
            if not (1 <= len(letters) <= 3 and letters.isascii() and letters.isalpha()):
                raise self._refuse(f"it has a cell {place[:20]!r}; expected a place such as A1")
            found = -1
            for letter in letters.upper():
                found = (found + 1) * 26 + ord(letter) - ord("A")
            self._places[letters] = found
        return found
