"""Text in columns: aligned by what a terminal shows, where a kanji is as wide as two Latin letters.

What cannot be seen is written out, so that one line of a table stays one line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence

CUT = "…"


def width(text: str) -> int:
    """Columns that a text takes in a terminal: East Asian wide characters two, combining marks none."""
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text with spaces behind it (right: before it) up to so many columns."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space


def fit(text: str, columns: int) -> str:
    """The text on one line of at most so many columns, invisible characters written out, `…` where cut."""
    shown, used = [], 0
    for char in text:
        one = visible(char)
        used += width(one)
        shown.append(one)
        if used > columns:
            while used > columns - 1:
                used -= width(shown.pop())
            return "".join(shown) + CUT
    return "".join(shown)


def fit_end(text: str, columns: int) -> str:
    """Like `fit`, but the end is what stays: of a path that is what tells it from others."""
    return fit(visible(text)[::-1], columns)[::-1]


def visible(text: str) -> str:
    """The text with line ends as ⏎ and other characters that show nothing as <U+200B>; spaces stay."""
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char.isprintable() or char == "\u3000":
        return char
    return "⏎" if char == "\n" else f"<{code(char)}>"


def code(char: str) -> str:
    """The code point of a character as people write it: U+3042."""
    return f"U+{ord(char):04X}"


def named(char: str) -> str:
    """A character for a list of characters: itself and its code, or its code and name where it shows
    nothing."""
    shows = char.isprintable() and char != " " and unicodedata.category(char)[0] != "M"
    if shows:
        return f"{char} {code(char)}"
    controls = {"\n": "line end", "\t": "tab", "\r": "carriage return"}
    name = controls[char] if char in controls else unicodedata.name(char, "")
    return f"{code(char)} {name.lower()}".rstrip()


def table(rows: Sequence[Sequence[str]], right: Container[int] = (), gap: str = "  ") -> str:
    """Rows of equal length as aligned lines; `right`: the columns that are aligned at their right side."""
    widths = [max(width(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            pad(cell, size, right=at in right)
            for at, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(gap.join(cells).rstrip())
    return "\n".join(lines)
