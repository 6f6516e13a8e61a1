"""The parts of an .xlsx workbook as streams: sheets, rows, stored cells; memory flat but for shared strings.

A workbook is a zip file of XML parts (ECMA-376). It is read with Python's own zip and XML parsers and not by
a faster library, because those build the whole grid first: two cells at far corners of a sheet, or one long
shared string that many cells name, then ask for more memory than there is, and the process ends without a
word. Here a row exists only while it is read, and only the cells that are wanted become text.

Nothing is unpacked to the disk, so the names in the zip file do not matter. What could grow without bound is
capped: the size of a part (its declared size, which the zip reader never exceeds), XML entities (refused),
nesting, the length of one tag, the number of different names, rows and columns.
"""

from __future__ import annotations

import contextlib
import posixpath
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, BinaryIO, NamedTuple
from xml.parsers import expat

from tane import signals
from tane.errors import InputError
from tane.text.packing import FREE_OUTPUT, MAX_RATIO
from tane.text.sheet import Cell, Grid, Row, local, shows_date

LARGEST_STRINGS = 400 << 20  # bytes of the part with the shared strings, which memory must hold
LARGEST_LISTING = 16 << 20  # bytes of the zip file's list of its parts
CHUNK = 1 << 16  # bytes of XML parsed at a time
LONGEST_TAG = 1 << 22  # bytes; a longer one would be parsed again and again while it comes
DEPTH = 100  # of nested tags
NAMES = 10_000  # different names of tags and attributes in one part
AS_CSV = "save the sheet as .csv (UTF-8) and name that file"
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, LookupError, OverflowError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # number formats that are built in


class Sheet(NamedTuple):
    """A sheet: its name, its part in the zip file, and whether Excel hides it."""

    name: str
    part: str
    hidden: bool


class Workbook:
    """An open workbook. sheets: in their order; epoch: day 0 of its dates.

    file: its bytes; name: how it is called in messages. Raises InputError for what is no sound workbook.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.sheets: list[Sheet] = []
        self.epoch = datetime(1899, 12, 30)
        self._strings, self._ends = bytearray(), array("Q")
        self._dates: set[str] = set()
        with self._damage("its zip file"):
            self._size = self._sized(file)
            self._zip = zipfile.ZipFile(file)
            self._parts = {info.filename.lower(): info for info in self._zip.infolist()}
        book = next((part for kind, part in self._relations("").values() if kind == "officeDocument"), "")
        if "workbook" not in book or book.endswith(".bin"):
            kinds = {"word": "a Word document", "ppt": "a presentation", "xl": "a binary workbook (.xlsb)"}
            what = kinds.get(book.partition("/")[0], "a zip file without a workbook")
            raise InputError(f"{name} is {what}; expected an .xlsx workbook", "save its text as .txt or .csv")
        relations = self._relations(book)
        self._of_kind = {kind: part for kind, part in relations.values()}
        self._read_book(book, relations)

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """(number from 1, {column from 0: cell}) of each row that is not blank."""
        for kind, read in (("styles", self._read_styles), ("sharedStrings", self._read_strings)):
            part = self._of_kind.get(kind, "")
            if part.lower() in self._parts:
                read(part)
        grid = Grid(self._refuse)
        for _ in self._parse(sheet.part, grid.start, grid.end, grid.text):
            self._require_shallow(grid, sheet.part)
            yield from grid.rows
            grid.rows.clear()

    def string(self, cell: Cell) -> str:
        """The shared string that a cell of kind "s" names."""
        number, count = cell.content.strip(), len(self._ends)
        if not (number.isdecimal() and len(number) < 12 and int(number) < count):
            raise self._refuse(f"a cell names the shared string {number[:20]!r}; there are {count:,}")
        place = int(number)
        start = self._ends[place - 1] if place else 0
        return self._strings[start : self._ends[place]].decode()

    def is_date(self, cell: Cell) -> bool:
        """Whether the format of a number shows it as a date or time."""
        return cell.style in self._dates

    # ------------------------------------------------------------------------------------ the zip file

    def _refuse(self, what: str) -> InputError:
        return InputError(f"{self.name}: {what}", f"open it in Excel or LibreOffice; {AS_CSV}")

    @contextlib.contextmanager
    def _damage(self, what: str) -> Iterator[None]:
        try:
            yield
        except DAMAGE as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise self._refuse(f"{what} is damaged: {reason}") from None

    def _sized(self, file: BinaryIO) -> int:
        """The size of the zip file; raises InputError where its list of parts would fill the memory."""
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 17)))
        tail = file.read()
        end, larger = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")  # the latter: of zip files over 4 GiB
        listing = struct.unpack_from("<I", tail, end + 12)[0] if end >= 0 else 0
        if larger >= 0:
            listing = max(listing % 0xFFFFFFFF, struct.unpack_from("<Q", tail, larger + 40)[0])
        if listing > LARGEST_LISTING:
            raise self._refuse(f"its zip file lists its parts in {listing:,} bytes, over {LARGEST_LISTING:,}")
        return size

    @contextlib.contextmanager
    def _open(self, part: str) -> Iterator[IO[bytes]]:
        info = self._parts.get(part.lower())
        if info is None:
            raise self._refuse(f"it lacks its part {part!r}")
        if info.flag_bits & 1:
            raise InputError(f"{self.name} has a password", "save it without one")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._refuse(f"{part} is packed by method {info.compress_type}; expected deflate")
        if info.file_size > FREE_OUTPUT and info.file_size > MAX_RATIO * self._size:
            raise InputError(
                f"{self.name}: {part} unpacks to {info.file_size:,} bytes, over {MAX_RATIO} times the size "
                "of the file: a decompression bomb?",
                f"if you trust it: {AS_CSV}",
            )
        with self._zip.open(info) as stream:
            yield stream

    def _parse(
        self, part: str, start: Callable[[str, dict[str, str]], object],
        end: Callable[[str], object] | None = None, text: Callable[[str], object] | None = None,
    ) -> Iterator[None]:  # fmt: skip
        """Parse a part; yields after each chunk, so that what the handlers gathered can be taken."""

        def refuse(*_: object) -> None:
            raise self._refuse(f"{part} declares a document type (XML entities), which no workbook does")

        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = refuse
        fed, more = 0, True
        with self._damage(part), self._open(part) as stream:
            while more:
                signals.poll("the text was being read; nothing of the corpus is written yet")
                chunk = stream.read(CHUNK)
                fed, more = fed + len(chunk), bool(chunk)
                try:
                    parser.Parse(chunk, not more)
                except expat.ExpatError as error:
                    raise self._refuse(f"{part} is damaged: {error}") from None
                if fed - parser.CurrentByteIndex > LONGEST_TAG or len(parser.intern) > NAMES:
                    raise self._refuse(f"{part} holds an endless tag, or over {NAMES:,} different ones")
                yield

    # -------------------------------------------------------------------------------------- small parts

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Id -> (kind, part) of the parts that a part refers to; "" stands for the file itself."""
        folder, base = posixpath.split(part)
        place = posixpath.join(folder, "_rels", f"{base}.rels")
        found: dict[str, tuple[str, str]] = {}

        def start(tag: str, of: dict[str, str]) -> None:
            if local(tag) == "Relationship" and of.get("TargetMode") != "External":
                target = of.get("Target", "").replace("\\", "/")
                target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                found[of.get("Id", "")] = of.get("Type", "").rpartition("/")[2], target

        if part or place in self._parts:
            for _ in self._parse(place, start):
                pass
        return found

    def _read_book(self, book: str, relations: dict[str, tuple[str, str]]) -> None:
        def start(tag: str, of: dict[str, str]) -> None:
            tag = local(tag)
            if tag == "workbookPr" and of.get("date1904") in ("1", "true"):
                self.epoch = datetime(1904, 1, 1)
            elif tag == "sheet":
                key = next((value for key, value in of.items() if local(key) == "id"), "")
                kind, part = relations.get(key, ("", ""))
                if kind == "worksheet":  # no chart, dialog or macro sheet
                    hidden = of.get("state", "visible") != "visible"
                    self.sheets.append(Sheet(of.get("name", ""), part, hidden))

        for _ in self._parse(book, start):
            pass

    def _read_styles(self, part: str) -> None:
        dates, styles, inside = {str(number) for number in DATES}, 0, False

        def start(tag: str, of: dict[str, str]) -> None:
            nonlocal styles, inside
            tag = local(tag)
            if tag == "numFmt" and shows_date(of.get("formatCode", "")):
                dates.add(of.get("numFmtId", ""))
            elif tag == "cellXfs":
                inside = True
            elif tag == "xf" and inside:
                if of.get("numFmtId") in dates:
                    self._dates.add(str(styles))
                styles += 1

        def end(tag: str) -> None:
            nonlocal inside
            inside = inside and local(tag) != "cellXfs"

        for _ in self._parse(part, start, end):
            pass

    def _read_strings(self, part: str) -> None:
        """Keep the shared strings as UTF-8, one after the other: less than Python's strings would take."""
        info = self._parts.get(part.lower())
        if info is not None and info.file_size > LARGEST_STRINGS:
            raise InputError(
                f"{self.name} holds {info.file_size:,} bytes of strings, more than {LARGEST_STRINGS:,}",
                AS_CSV,
            )
        grid = Grid(self._refuse)
        for _ in self._parse(part, grid.start, grid.end, grid.text):
            self._require_shallow(grid, part)
            for string in grid.strings:
                self._strings += string.encode()
                self._ends.append(len(self._strings))
            grid.strings.clear()

    def _require_shallow(self, grid: Grid, part: str) -> None:
        if grid.depth > DEPTH:
            raise self._refuse(f"{part} has tags nested over {DEPTH} deep")
