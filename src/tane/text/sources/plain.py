r"""Plain text: lines, paragraphs between blank lines, or whole files; streamed, lines of any length.

Lines end at \n, \r\n or \r and nowhere else: U+2028, U+0085, \f and \v are characters of a text. Inside a
document the lines stay joined by \n. A byte order mark at the start of a line (files put together with `cat`)
is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator

from tane.errors import InputError
from tane.text import normalize
from tane.text.encoding import MARK, Decoder
from tane.text.sources import Reading, Record, Unit
from tane.text.split import cut
from tane.text.units import SPLITTERS, Block, by_paragraph

BOM = "\ufeff"
LARGEST_WORK = 50_000_000  # characters of one file that a whole-file normaliser takes at once


class Plain:
    """Text files; the default document is a paragraph."""

    suffixes: tuple[str, ...] = (".txt", ".text", ".md")
    unit: Unit = "paragraph"

    def records(self, reading: Reading) -> Iterator[Record]:
        """Documents of the asked unit; `record` means paragraph here."""
        split = SPLITTERS.get(reading.unit, by_paragraph)
        if reading.normalize in normalize.WHOLE_FILE:
            blocks, meta = _whole(reading)
        else:
            blocks, meta = _blocks(reading), None
        for text, position in split(blocks, reading):
            yield Record(text, position, meta)


# ------------------------------------------------------------------------------------------ bytes to lines


def _texts(reading: Reading) -> Iterator[str]:
    """Decoded text in pieces, line ends as \\n, byte order marks at line starts gone; both booked."""
    ledger = reading.ledger
    decoder = Decoder(reading.raw.name, reading.encoding, reading.on_bad, unpacked=bool(reading.raw.packing))
    held, at_start = "", True
    for text, last in _decoded(reading, decoder):
        ledger.read += len(text)
        if "\0" in text:
            ledger.notes["nul_characters"] += text.count("\0")
        text, held = held + text, ""
        if "\r" in text:
            if text.endswith("\r") and not last:  # a \n may follow in the next piece
                text, held = text[:-1], "\r"
            before = len(text)
            text = text.replace("\r\n", "\n")
            ledger.change["newlines"] += before - len(text)
            text = text.replace("\r", "\n")
        if BOM in text:
            before = len(text)
            if at_start:
                text = text.lstrip(BOM)
            while "\n" + BOM in text:
                text = text.replace("\n" + BOM, "\n")
            ledger.change["bom"] += before - len(text)
            if not text:
                continue
        if text:
            at_start = text.endswith("\n")
            yield text
    reading.found["encoding"] = decoder.found


def _decoded(reading: Reading, decoder: Decoder) -> Iterator[tuple[str, bool]]:
    for chunk in reading.raw.chunks():
        yield decoder.feed(chunk), False
    yield decoder.finish(), True


def _blocks(reading: Reading) -> Iterator[Block]:
    """Lines in blocks; a line over `fragment` characters comes in several, only the last of them ended."""
    limit = reading.fragment
    carry: list[str] = []
    size, number = 0, 1
    for text in _texts(reading):
        carry.append(text)
        size += len(text)
        if size <= limit and "\n" not in text:
            continue
        lines = "".join(carry).split("\n")
        if size > limit:
            group: list[str] = []
            for line in lines:
                while len(line) > limit:
                    if group:
                        yield _block(reading, number, group, True)
                        number += len(group)
                        group = []
                    place = cut(line[: limit + 1], limit)
                    yield _block(reading, number, [line[:place]], False)
                    line = line[place:]
                group.append(line)
            lines = group
        carry = [lines.pop()]
        size = len(carry[0])
        if lines:
            yield _block(reading, number, lines, True)
            number += len(lines)
    if size:
        yield _block(reading, number, ["".join(carry)], False)


def _block(reading: Reading, number: int, lines: list[str], ended: bool) -> Block:
    """Take out the lines that hold undecodable bytes (with their line ends), if they are to be skipped."""
    if reading.on_bad != "skip":
        return range(number, number + len(lines)), lines, ended
    out: list[str | None] = list(lines)
    for index, line in enumerate(lines):
        if MARK in line:
            reading.ledger.drop("undecodable", len(line) + ended, 0)
            reading.ledger.notes["undecodable_lines"] += 1
            out[index] = None
    return range(number, number + len(lines)), out, ended


def _whole(reading: Reading) -> tuple[Iterator[Block], dict[str, str] | None]:
    """The file read as one by its normaliser; undecodable lines are left out before."""
    from tane.text.aozora import clean

    kept: list[str] = []
    size = 0
    for _, lines, ended in _blocks(reading):
        for line in lines:
            if line is not None:
                kept.append(line + "\n" if ended else line)
                size += len(line)
        if size > LARGEST_WORK:
            raise InputError(
                f"{reading.raw.name}: normalize {reading.normalize} takes a file as one work, "
                f"and this one has over {LARGEST_WORK:,} characters",
                "give each work as a file of its own, or choose another normalize for this input",
            )
    cleaned = clean("".join(kept))
    ledger = reading.ledger
    ledger.change.update(cleaned.removed)
    if cleaned.unresolved:
        ledger.notes["gaiji_unresolved"] += cleaned.unresolved
    lines = cleaned.lines
    return iter([(cleaned.numbers, lines, False)]) if lines else iter([]), cleaned.meta or None
