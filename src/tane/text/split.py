"""Where a text may be cut: after a sentence or a line, never inside a character that is built of several.

Used for documents over `max_document_chars`, for lines too long to hold, and for the last resort of
validation. Cutting loses nothing: the pieces joined are the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

ENDS = "。！？!?．｡\n"
CLOSING = ENDS + "」』）)］]】〉》〕”’\"'"
JOINER = "\u200d"
VOICED_MARKS = "\uff9e\uff9f"  # half-width marks: NFKC joins them to the letter before


def cut(text: str, limit: int) -> int:
    """How many characters the first piece of a text longer than `limit` gets: 1 <= cut <= limit.

    The last sentence or line end in the second half of the limit, with the closing brackets after it; where
    there is none, the limit itself, moved back where it would part a character from its combining marks.
    """
    low = limit // 2
    best = max(text.rfind(end, low, limit) for end in ENDS) + 1
    if best > 0:
        while best < limit and text[best] in CLOSING:
            best += 1
        if not _inside(text, best):
            return best
    place = limit
    while place > max(low, 1) and _inside(text, place):
        place -= 1
    return place if place > low else limit


def _inside(text: str, place: int) -> bool:
    after = text[place] if place < len(text) else "\n"
    return (
        unicodedata.combining(after) != 0
        or after == JOINER
        or text[place - 1] == JOINER
        or "\ufe00" <= after <= "\ufe0f"  # variation selectors
        or after in VOICED_MARKS
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\U000e0100" <= after <= "\U000e01ef"
    )


def pieces(text: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most `limit` characters."""
    start = 0
    while len(text) - start > limit:
        window = text[start : start + limit + 1]
        size = cut(window, limit)
        yield window[:size]
        start += size
    yield text[start:]


# a quotation belongs to the sentence in which it stands, and a full stop between digits is no end
_SENTENCE = re.compile(
    r"""(?: 「[^「」]{0,400}」 | 『[^『』]{0,400}』 | （[^（）]{0,400}） | \([^()]{0,400}\)
          | [^。！？!?．｡] | ．(?=[0-9０-９]) )*
        (?: [。！？!?．｡]+ [」』）)］\]】〉》〕”’"']* | $ ) \s*""",
    re.VERBOSE,
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a line, each with its ends, closing brackets and the white space after it; joined they
    are the text."""
    for found in _SENTENCE.finditer(text):
        if found[0]:
            yield found[0]


def shares(text: str, wanted: int, *, tail: bool) -> tuple[str, str] | None:
    """(what stays, what goes): about `wanted` characters go, from the end (tail) or start; neither is blank.

    None for a text of fewer than two visible characters.
    """
    first, last = len(text) - len(text.lstrip()) + 1, len(text.rstrip()) - 1
    if first > last:
        return None
    limit = min(max(len(text) - wanted if tail else wanted, first), last)
    start = max(0, limit - 400)  # cut() looks back from its limit, but not further than this
    place = min(max(start + cut(text[start : limit + 1], limit - start), first), last)
    return (text[:place], text[place:]) if tail else (text[place:], text[:place])
