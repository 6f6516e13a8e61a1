"""Which scripts a text is written in, and how much of it is Japanese.

Each character belongs to one kind. Full-width and half-width forms count with what they stand for (Ａ is
latin, ｱ katakana), 々 〆 〇 with the kanji, ー with the katakana.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from tane.text.chartable import CharTable, codepoints

if TYPE_CHECKING:
    import numpy as np

SCRIPTS = ("hiragana", "katakana", "kanji", "latin", "digits", "punctuation", "symbols", "space", "other")
# Finer kinds for those who need them: Japanese punctuation 、。「」・！ counts under punctuation; unprintable
# (control, unassigned, private use and surrogate characters, U+FFFD) and all else counts under other.
KINDS = (*SCRIPTS, "japanese punctuation", "unprintable")
COARSE = {"japanese punctuation": "punctuation", "unprintable": "other"}
JAPANESE = ("hiragana", "katakana", "kanji", "japanese punctuation")
SPACE = KINDS.index("space")
# Unicode files these under punctuation, but sentences do without them.
SIGNS = frozenset("#&*@\\_＃＆＊＠＼＿§¶†‡•‣※⁂")
BLOCKS = (  # first and last code point, kind: kana and kanji, where the general category is a letter or sign
    (0x2E80, 0x2FDF, "kanji"), (0x3005, 0x3007, "kanji"), (0x303B, 0x303B, "kanji"),
    (0x3400, 0x4DBF, "kanji"), (0x4E00, 0x9FFF, "kanji"), (0xF900, 0xFAFF, "kanji"),
    (0x20000, 0x3FFFF, "kanji"), (0x3041, 0x309F, "hiragana"), (0x30A1, 0x30FF, "katakana"),
    (0x31F0, 0x31FF, "katakana"), (0xFF66, 0xFF9F, "katakana"), (0x1AFF0, 0x1B000, "katakana"),
    (0x1B001, 0x1B11F, "hiragana"), (0x1B120, 0x1B122, "katakana"), (0x1B132, 0x1B152, "hiragana"),
    (0x1B155, 0x1B167, "katakana"),
)  # fmt: skip
WIDE = ((0x3000, 0x303F), (0x30A0, 0x30FF), (0xFF00, 0xFF65))  # punctuation here is Japanese


def kind(char: str) -> str:
    """The kind of one character: one of KINDS."""
    category, code = unicodedata.category(char), ord(char)
    if category[0] == "Z" or char in "\t\n\v\f\r\x85":
        return "space"
    if category in ("Cc", "Cn", "Co", "Cs") or char == "\ufffd":
        return "unprintable"
    if category[0] == "P" or char in "~～":  # the tilde stands for the wave dash
        wide = any(first <= code <= last for first, last in WIDE)
        return "symbols" if char in SIGNS else "japanese punctuation" if wide else "punctuation"
    for first, last, name in BLOCKS:
        if first <= code <= last:
            return name
    if category[0] == "N":
        return "digits"
    if category[0] == "S":
        return "symbols"
    latin = category[0] == "L" and unicodedata.name(char, "").startswith(("LATIN ", "FULLWIDTH LATIN "))
    return "latin" if latin else "other"


@cache
def _table() -> Callable[[np.ndarray], np.ndarray]:
    return CharTable(lambda char: KINDS.index(kind(char)))


def kinds(codes: np.ndarray) -> np.ndarray:
    """The kinds of characters given as code points (N,) uint32: places in KINDS (N,) uint8."""
    return _table()(codes)


def census(found: np.ndarray) -> dict[str, int]:
    """How many of the characters whose kinds (N,) are given are of each kind."""
    import numpy as np

    counts = np.bincount(found, minlength=len(KINDS)).tolist()
    return dict(zip(KINDS, counts, strict=True))


def scripts(text: str) -> dict[str, int]:
    """Characters by script (the names of SCRIPTS, also where there are none); their sum is len(text)."""
    counts = census(kinds(codepoints(text)))
    for fine, coarse in COARSE.items():
        counts[coarse] += counts.pop(fine)
    return counts


def japanese_share(text: str) -> float:
    """Kana, kanji and Japanese punctuation over all characters that are not white space; 0 if there are
    none."""
    return share(census(kinds(codepoints(text))), *JAPANESE)


def share(counts: dict[str, int], *names: str) -> float:
    """The share of some kinds in a census, white space left out; 0 where there is nothing else."""
    total = sum(counts.values()) - counts["space"]
    return sum(counts[name] for name in names) / total if total else 0.0
