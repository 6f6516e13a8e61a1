"""Lines to documents: sentence, line, paragraph, or the whole; streamed, every separator booked.

A block is (numbers, lines, ended): the lines with their numbers; None stands for a line that was left out and
booked; `ended` says whether a line end that was read follows the last line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tane.text.sources import Reading
from tane.text.split import sentences

Block = tuple[Iterable[int], Sequence[str | None], bool]


def by_line(blocks: Iterable[Block], reading: Reading) -> Iterator[tuple[str, int]]:
    """Each line that is not blank; empty lines are separators, lines of white space are dropped as empty."""
    ledger = reading.ledger
    for numbers, lines, ended in blocks:
        ledger.separators += len(lines) - (not ended)
        for number, line in zip(numbers, lines, strict=True):
            if not line:
                if line is None:
                    ledger.separators -= ended  # booked with the line
            elif line.isspace():
                ledger.found += 1
                ledger.drop("empty", len(line))
            else:
                yield line, number


def by_sentence(blocks: Iterable[Block], reading: Reading) -> Iterator[tuple[str, int]]:
    """Each sentence of each line that is not blank."""
    for line, number in by_line(blocks, reading):
        for sentence in sentences(line):
            yield sentence, number


def by_paragraph(blocks: Iterable[Block], reading: Reading) -> Iterator[tuple[str, int]]:
    """The text between blank lines (white space counts as blank); blank lines are separators."""
    ledger = reading.ledger
    lines: list[str] = []
    size = first = 0
    for numbers, block, ended in blocks:
        ledger.separators += len(block) - (not ended)
        for number, line in zip(numbers, block, strict=True):
            if line is None:
                ledger.separators -= ended  # booked with the line
                continue
            blank = not line or line.isspace()
            if lines and (blank or size + len(line) > reading.fragment):
                ledger.separators -= len(lines) - 1  # these line ends stand inside the document
                yield "\n".join(lines), first
                lines, size = [], 0
            if blank:
                ledger.separators += len(line)
                continue
            first = first if lines else number
            lines.append(line)
            size += len(line) + 1
        if lines and not ended:  # a part of a line too long to hold, or the end of the file
            ledger.separators -= len(lines) - 1
            yield "\n".join(lines), first
            lines, size = [], 0
    if lines:
        ledger.separators -= len(lines) - 1
        yield "\n".join(lines), first


def whole(blocks: Iterable[Block], reading: Reading) -> Iterator[tuple[str, int]]:
    """The whole file as one document without blank lines around it; over `fragment` it is cut at lines."""
    ledger = reading.ledger
    lines: list[str] = []
    blanks: list[str] = []  # blank lines of which it is not yet known whether text follows
    size = waiting = first = 0
    for numbers, block, ended in blocks:
        ledger.separators += len(block) - (not ended)
        for number, line in zip(numbers, block, strict=True):
            if line is None:
                ledger.separators -= ended
                continue
            blank = not line or line.isspace()
            if lines and size + waiting + len(line) > reading.fragment:
                ledger.separators -= len(lines) - 1
                yield "\n".join(lines), first
                lines, blanks, size, waiting = [], [], 0, 0
            if blank:
                ledger.separators += len(line)
                if lines:
                    blanks.append(line)
                    waiting += len(line) + 1
                continue
            ledger.separators -= sum(map(len, blanks))  # they stand inside the document
            first = first if lines else number
            lines += [*blanks, line]
            size += waiting + len(line) + 1
            blanks, waiting = [], 0
        if lines and not ended:
            ledger.separators -= len(lines) - 1
            yield "\n".join(lines), first
            lines, blanks, size, waiting = [], [], 0, 0
    if lines:
        ledger.separators -= len(lines) - 1
        yield "\n".join(lines), first


SPLITTERS: dict[str, Callable[[Iterable[Block], Reading], Iterator[tuple[str, int]]]] = {
    "sentence": by_sentence, "line": by_line, "paragraph": by_paragraph, "file": whole,
}  # fmt: skip
