"""What normalising changed and how often: Ａ to A 1,204 times, か + U+3099 to が 31 times, ① to 1 twice.

Unicode's normal forms work segment by segment: a text may be cut before every character that never joins what
stands before it, and each segment normalises alone (Unicode Standard Annex 15, section 9.1, "stable code
points"). So the segments that change are all that changes, and counting them accounts for every character.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from tane.text.chartable import CharTable, codepoints
from tane.text.normalize import FORMS

if TYPE_CHECKING:
    import numpy as np

ROWS = 20_000  # kept; at twice as many, the rarest go to `other`
LONGEST = 24  # characters of a segment that gets a row: text can stack marks without end
STAYS, CHANGES, JOINS = range(3)  # what a form does to a character
HANGUL = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))  # vowels and finals that join what they follow


class Changes:
    """Counts of the segments that one normaliser (nfc or nfkc) changed, over many texts.

    other: [segments, characters taken away] of those that have no row: the very long, and the rarest where
    there are more than ROWS.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.other = [0, 0]
        self._rows: Counter[tuple[str, str]] = Counter()

    def add(self, before: str, after: str) -> None:
        """Count what changed in one text; `after` is its normal form.

        Raises RuntimeError where the segments do not account for the change in length: our fault.
        """
        form = FORMS[self.name]
        removed = len(before) - len(after)
        for segment, count in segments(before, self.name).items():
            done = unicodedata.normalize(form, segment)
            if done == segment:
                continue
            away = (len(segment) - len(done)) * count
            removed -= away
            if len(segment) <= LONGEST:
                self._rows[segment, done] += count
            else:
                self._book(count, away)
        if removed:
            raise RuntimeError(f"{self.name}: {removed:+,} characters of a change are unaccounted for")
        self._bound()

    def merge(self, other: Changes) -> None:
        """Take another's counts into this one."""
        for row, count in other._rows.items():
            self._rows[row] += count
        self._book(*other.other)
        self._bound()

    def rows(self, limit: int | None = None) -> list[tuple[str, str, int]]:
        """(before, after, count), the most frequent first, at most `limit` of them."""
        ranked = sorted(self._rows.items(), key=lambda item: (-item[1], item[0]))
        return [(before, after, count) for (before, after), count in ranked[:limit]]

    def removed(self) -> int:
        """Characters taken away by all changes (negative: added)."""
        rows = self._rows.items()
        return self.other[1] + sum((len(before) - len(after)) * count for (before, after), count in rows)

    def json(self) -> dict[str, Any]:
        """The form that the manifest keeps."""
        return {"name": self.name, "rows": [list(row) for row in self.rows()], "other": list(self.other)}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Changes:
        """The counts that a manifest keeps."""
        changes = cls(kept["name"])
        changes._rows.update({(before, after): count for before, after, count in kept["rows"]})
        changes._book(*kept["other"])
        return changes

    def table(self, limit: int = 20) -> str:
        """The most frequent changes for the person: count, code points, characters, what they became."""
        rows = self.rows(limit)
        cells = [(f"{count:,}", *_side(before), *_side(after)) for before, after, count in rows]
        widths = [max((len(cell[place]) for cell in cells), default=0) for place in (0, 1)]
        lines = [
            f"{count:>{widths[0]}}  {codes:<{widths[1]}}  {glyphs} -> {into} {became}"
            for count, codes, glyphs, into, became in cells
        ]
        rest = sum(self._rows.values()) - sum(count for _, _, count in rows) + self.other[0]
        return "\n".join([*lines, *([f"{rest:,} other changes"] if rest else [])])

    def _book(self, segments: int, removed: int) -> None:
        self.other = [self.other[0] + segments, self.other[1] + removed]

    def _bound(self) -> None:
        if len(self._rows) < 2 * ROWS:
            return
        for before, after, count in self.rows()[ROWS:]:
            del self._rows[before, after]
            self._book(count, (len(before) - len(after)) * count)


def segments(text: str, name: str) -> Counter[str]:
    """The segments of a text that a normaliser may change, each with its count; the rest stays as it is."""
    import numpy as np

    codes = codepoints(text)
    kinds = _table(name)(codes)
    found: Counter[str] = Counter()
    joins = np.flatnonzero(kinds == JOINS)
    if len(joins):
        for start, end in _joined(joins):
            found[text[start:end]] += 1
            kinds[start:end] = STAYS
    changed, counts = np.unique(codes[kinds == CHANGES], return_counts=True)
    for code, count in zip(changed.tolist(), counts.tolist(), strict=True):
        found[chr(code)] += count
    return found


def _joined(joins: np.ndarray) -> Iterator[tuple[int, int]]:
    """(start, end) of each segment with joining characters, from their places: a run and what it follows."""
    import numpy as np

    breaks = np.flatnonzero(np.diff(joins) > 1)
    firsts = np.concatenate((joins[:1], joins[breaks + 1]))
    lasts = np.concatenate((joins[breaks], joins[-1:]))
    return zip(np.maximum(firsts - 1, 0).tolist(), (lasts + 1).tolist(), strict=True)


def joins(char: str, name: str) -> bool:
    """Whether a character may join what stands before it when a text is normalised."""
    decomposed = unicodedata.normalize("NFKD" if name == "nfkc" else "NFD", char)
    return unicodedata.combining(decomposed[0]) != 0 or decomposed[0] in _seconds()


@cache
def _seconds() -> frozenset[str]:
    """Characters that Unicode may compose with one before them."""
    found = {chr(code) for code in HANGUL}
    for code in range(0xC0, 0x20000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            found.add(chr(int(parts[1], 16)))
    return frozenset(found)


@cache
def _table(name: str) -> Callable[[np.ndarray], np.ndarray]:
    form = FORMS[name]

    def rule(char: str) -> int:
        if joins(char, name):
            return JOINS
        return STAYS if unicodedata.is_normalized(form, char) else CHANGES

    return CharTable(rule)


def _side(text: str) -> tuple[str, str]:
    """(code points, characters) of one side of a row; names where the characters could not be seen."""
    codes = " ".join(f"U+{ord(char):04X}" for char in text)
    lone = bool(text) and unicodedata.combining(text[0]) != 0
    if text.isprintable() and text.strip() == text and text and not lone:
        return codes, text
    return codes, f"({', '.join(unicodedata.name(char, 'no name') for char in text)})"
