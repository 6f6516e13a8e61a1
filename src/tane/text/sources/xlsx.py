"""Workbooks (.xlsx, .xlsm): one sheet as a table; its first row that is not blank names the columns.

A text column may hold what Excel made of what was typed: 2020 became a number, "true" a boolean, 1/7 a date.
Such a cell is read as Excel shows it and counted in the notes (numbers_as_text and so on); formats that only
dress a number up (1,234.50) are not followed, and dates come as 2020-01-07. An error (#N/A) and a formula
whose value was never stored are no text: counted, and left out. Of merged cells the first holds the value;
hidden sheets, rows and columns are read as any others, but a hidden sheet is never taken by default.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import BinaryIO

from tane.errors import InputError
from tane.text import cells
from tane.text.raw import MAGIC
from tane.text.sheet import LARGEST_TEXT, Cell, Row
from tane.text.sources import Reading, Record, Unit
from tane.text.workbook import AS_CSV, Sheet, Workbook

ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
HEAD = 100  # rows whose cells are looked at before the column is chosen
ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
WHOLE = re.compile("-?[0-9]{1,15}")
KINDS = {"n": "numbers_as_text", "date": "dates_as_text", "d": "dates_as_text", "b": "booleans_as_text"}
NO_TEXT = {"e": "error_cells", "formula": "formulas_without_value"}


class Xlsx:
    """Excel's workbooks; the default document is a row."""

    suffixes: tuple[str, ...] = (".xlsx", ".xlsm")
    unit: Unit = "record"
    place = "row"  # what a position counts

    def records(self, reading: Reading) -> Iterator[Record]:
        """Records of the chosen columns of one sheet; positions are row numbers as Excel shows them."""
        yield from cells.records(self.cells(reading), reading)

    def cells(self, reading: Reading) -> Iterator[tuple[int, str | None]]:
        """(row, what its cell shows) of the chosen columns, row by row in the order of the columns."""
        with reading.raw.seekable() as file:
            _require_zip(file, reading.raw.name)
            book = Workbook(file, reading.raw.name)
            rows = book.rows(_sheet(book, reading))
            header = next(rows, None)
            if header is None:
                return
            head = list(itertools.islice(rows, HEAD))
            columns = _columns(header, head, book, reading)
            last, notes = header[0], reading.ledger.notes
            for some in (head, rows):
                for number, row in some:
                    notes["rows"] += 1
                    notes["blank_rows"] += max(0, number - last - 1)
                    last = number
                    if reading.columns == cells.ALL:
                        notes["cells_without_a_name"] += len(row.keys() - columns)
                    for column in columns:
                        yield number, _text(row.get(column), book, reading)


# ------------------------------------------------------------------------------------- file, sheet, columns


def _require_zip(file: BinaryIO, name: str) -> None:
    """Raise InputError where the first bytes are not those of a zip file, with what they are."""
    head = file.read(8)
    if head.startswith(ZIP):
        return
    if head == OLE:  # the container of old Office files, and of new ones with a password
        found = _first_of(file, ("EncryptedPackage", "Workbook", "Book", "WordDocument"))
        if found == "EncryptedPackage":
            raise InputError(f"{name} has a password", "open it, and save it without one")
        what = "an old .xls" if found in ("Workbook", "Book") else "an old Office file"
        raise InputError(f"{name} is {what}; expected a workbook (.xlsx)", "save it as .xlsx")
    what, remedy = next(((w, r) for magic, w, r in MAGIC if head.startswith(magic)), ("", ""))
    if not what:
        shown = head.hex(" ") or "nothing"
        what, remedy = f"no workbook (it begins with {shown})", "rename it to what it is, such as .csv"
    raise InputError(f"{name} is {what}; expected a workbook (.xlsx)", remedy)


def _first_of(file: BinaryIO, names: tuple[str, ...]) -> str | None:
    """The first of the names of streams that stands in an OLE container."""
    wanted = {name: f"\0{name}\0".encode("utf-16-le")[1:] for name in names}
    found, tail = set(), b""
    while chunk := file.read(1 << 20):
        found |= {name for name, mark in wanted.items() if mark in tail + chunk}
        tail = chunk[-64:]
    return next((name for name in names if name in found), None)


def _sheet(book: Workbook, reading: Reading) -> Sheet:
    name, sheets = reading.raw.name, book.sheets
    listed = ", ".join(repr(sheet.name) for sheet in sheets[:12])
    listed += f" and {len(sheets) - 12:,} more" if len(sheets) > 12 else ""
    if not sheets:
        raise InputError(f"{name} has no sheet with cells", "look at it in Excel or LibreOffice")
    if reading.sheet is None:
        sheet = next((sheet for sheet in sheets if not sheet.hidden), sheets[0])
    else:
        found = [sheet for sheet in sheets if sheet.name == reading.sheet]
        if not found:
            raise InputError(
                f"{name} has no sheet {reading.sheet!r}; it has: {listed}",
                f"name one of them: {{path: {name}, sheet: {sheets[0].name!r}}}",
            )
        sheet = found[0]
    reading.found["sheet"] = sheet.name
    return sheet


def _columns(header: Row, head: list[Row], book: Workbook, reading: Reading) -> list[int]:
    """Places of the chosen columns; those can be meant whose first values are text more often than not."""
    names: dict[int, str] = {}
    size = 0
    for column, cell in sorted(header[1].items()):
        names[column] = _shown(cell, book)[0]
        size += len(names[column])
        if size > LARGEST_TEXT:
            raise InputError(
                f"{reading.raw.name}: row {header[0]:,} is too long for names of columns", AS_CSV
            )
    likely = []
    for column, name in names.items():
        kinds = [row[column].kind in ("s", "str", "inlineStr") for _, row in head if column in row]
        if 2 * sum(kinds) > len(kinds):
            likely.append(name)
    places = list(names)
    return [places[at] for at in cells.choose(list(names.values()), reading, likely=likely)]


# ---------------------------------------------------------------------------------------- what a cell shows


def _text(cell: Cell | None, book: Workbook, reading: Reading) -> str | None:
    """The text of a cell, None for one without; what was no text is noted."""
    if cell is None:
        return None
    text, kind = _shown(cell, book)
    if kind in KINDS:
        reading.ledger.notes[KINDS[kind]] += 1
    elif kind in NO_TEXT:
        reading.ledger.notes[NO_TEXT[kind]] += 1
        return None
    return text


def _shown(cell: Cell, book: Workbook) -> tuple[str, str]:
    """(what Excel shows for a cell, its kind, where numbers in a date's format are "date")."""
    kind, _, content = cell
    if kind == "s":
        return _unescaped(book.string(cell)), kind
    if kind == "n":
        if not book.is_date(cell):
            return _number(content), kind
        shown = _date(content, book.epoch)
        return (_number(content), kind) if shown is None else (shown, "date")
    if kind == "b":
        return "FALSE" if content.strip() == "0" else "TRUE", kind
    if kind == "d":
        return content.strip().removesuffix("T00:00:00").replace("T", " "), kind
    return _unescaped(content), kind


def _unescaped(text: str) -> str:
    """Text in which Excel's _x000D_ stands for the character that XML cannot hold."""
    if "_x" not in text:
        return text
    text = ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")  # pairs become one


def _number(content: str) -> str:
    """A number as Excel shows it without a format: up to 15 digits, 2020.0 as 2020."""
    content = content.strip()
    if WHOLE.fullmatch(content):
        return content
    try:
        return f"{float(content):.15g}".upper()
    except ValueError:
        return content


def _date(content: str, epoch: datetime) -> str | None:
    """2020-01-07, 2020-01-07 12:30:00 or 12:30:00 for a count of days; None for one that is no date."""
    try:
        days = float(content)
        if days < 0:
            return None
        early = days < 61 and epoch.year == 1899  # before Excel's 29 February 1900, which never was
        seconds = round((days + early) * 86_400)
        moment = epoch + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
    if days < 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d %H:%M:%S}" if seconds % 86_400 else f"{moment:%Y-%m-%d}"
