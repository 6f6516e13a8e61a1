"""Filters: documents that are left out, each for a reason with a name.

Every filter is off until its setting is given. They look at the normalised text and come in a fixed order,
the cheap ones first; the first that drops a document names the reason, so each document is counted once.
All shares are of the characters that are not white space.

Repetition is the duplicate n-gram character fraction of the Gopher rules (Rae et al. 2021, arXiv:2112.11446,
section A.1.1 and table A1), with 10 characters in place of words, which Japanese does not part: the share of
characters that stand in a run of 10 characters which came before in the document. First occurrences do not
count, nor overlaps twice: a text written k times has (k - 1) / k or a little less.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import model_validator

from tane.settings import Settings, option
from tane.text import japanese
from tane.text.chartable import codepoints, ngrams

if TYPE_CHECKING:
    import numpy as np

RULES = "1"  # changes when the same text would get another verdict
VERSION = f"{RULES}, Unicode {unicodedata.unidata_version}"
NGRAM = 10  # characters
URLS = re.compile(
    r"(?:(?i:https?|ftp)://|www\.)[!#-;=?-\[\]_a-z~%]+"  # ASCII only: Japanese may follow without a space
    # a name before @ is looked for only where one begins: else a long run without @ takes quadratic time
    r"|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
)
REASONS = {  # in the order of the filters
    "too_short": "fewer characters than corpus.filters.min_chars",
    "too_long": "more characters than corpus.filters.max_chars",
    "too_little_japanese": "a smaller share of kana, kanji and Japanese punctuation than "
    "corpus.filters.min_japanese",
    "unprintable": "a larger share of control, private use, unassigned and replacement characters than "
    "corpus.filters.max_unprintable",
    "too_many_symbols": "a larger share of symbols than corpus.filters.max_symbols",
    "too_many_urls": "a larger share of web and mail addresses than corpus.filters.max_urls",
    "too_repetitive": "a larger share of repeated text than corpus.filters.max_repetition",
}


class FilterSettings(Settings):
    """Which documents are left out; none: the filter is off."""

    min_chars: int | None = option(None, "drop documents with fewer characters (normalised); none: off", ge=0)
    max_chars: int | None = option(None, "drop documents with more characters (normalised); none: off", ge=1)
    min_japanese: float | None = option(
        None, "drop documents with a smaller share of kana, kanji and Japanese punctuation, such as 0.5; "
        "none: off", ge=0, le=1,
    )  # fmt: skip
    max_unprintable: float | None = option(
        None, "drop documents with a larger share of control, private use, unassigned and replacement "
        "characters, such as 0.01; none: off", ge=0, le=1,
    )  # fmt: skip
    max_symbols: float | None = option(
        None, "drop documents with a larger share of symbols (no letters, digits or punctuation), such as "
        "0.2; none: off", ge=0, le=1,
    )  # fmt: skip
    max_urls: float | None = option(
        None, "drop documents with a larger share of characters in web and mail addresses, such as 0.2; "
        "none: off", ge=0, le=1,
    )  # fmt: skip
    max_repetition: float | None = option(
        None, "drop documents with a larger share of characters in runs of 10 that came before in them; 0.3 "
        "leaves prose alone; none: off", ge=0, le=1,
    )  # fmt: skip

    @model_validator(mode="after")
    def _some_length_is_left(self) -> FilterSettings:
        if self.min_chars is not None and self.max_chars is not None and self.min_chars > self.max_chars:
            raise ValueError(f"expected min_chars up to max_chars ({self.max_chars}), found {self.min_chars}")
        return self

    def active(self) -> bool:
        """Whether any filter is on."""
        return any(getattr(self, name) is not None for name in type(self).model_fields)

    def reason(self, text: str) -> str | None:
        """The name (a key of REASONS) of the first filter that drops this normalised text, or None."""
        if self.min_chars is not None and len(text) < self.min_chars:
            return "too_short"
        if self.max_chars is not None and len(text) > self.max_chars:
            return "too_long"
        measures = Measures(text)
        if self.min_japanese is not None and measures.japanese < self.min_japanese:
            return "too_little_japanese"
        if self.max_unprintable is not None and measures.unprintable > self.max_unprintable:
            return "unprintable"
        if self.max_symbols is not None and measures.symbols > self.max_symbols:
            return "too_many_symbols"
        if self.max_urls is not None and measures.urls > self.max_urls:
            return "too_many_urls"
        if self.max_repetition is not None and measures.repetition > self.max_repetition:
            return "too_repetitive"
        return None


class Measures:
    """What the filters compare with their settings: shares from 0 to 1, each worked out when asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _codes(self) -> np.ndarray:
        """Code points (N,) uint32."""
        return codepoints(self.text)

    @cached_property
    def _kinds(self) -> np.ndarray:
        """Places in japanese.KINDS (N,) uint8."""
        return japanese.kinds(self._codes)

    @cached_property
    def _census(self) -> dict[str, int]:
        return japanese.census(self._kinds)

    @property
    def japanese(self) -> float:
        """Kana, kanji and Japanese punctuation."""
        return japanese.share(self._census, *japanese.JAPANESE)

    @property
    def unprintable(self) -> float:
        """Control, private use, unassigned and replacement characters."""
        return japanese.share(self._census, "unprintable")

    @property
    def symbols(self) -> float:
        """Symbols: emoji, arrows, currency, mathematics, # & * @ and the like."""
        return japanese.share(self._census, "symbols")

    @property
    def urls(self) -> float:
        """Characters that are part of a web or mail address."""
        text = self.text
        if "://" not in text and "www." not in text and "@" not in text:
            return 0.0
        total = len(text) - self._census["space"]
        return sum(map(len, URLS.findall(text))) / total if total else 0.0

    @property
    def repetition(self) -> float:
        """Characters in runs of NGRAM characters that came before in the text."""
        return _repetition(self._codes[self._kinds != japanese.SPACE])


def _repetition(codes: np.ndarray) -> float:
    """The duplicate n-gram character fraction of code points (N,) uint32."""
    import numpy as np

    keys = ngrams(codes, NGRAM)
    ranked = np.sort(keys)
    if not (ranked[1:] == ranked[:-1]).any():  # most documents; a plain sort is several times faster
        return 0.0
    order = np.argsort(keys)
    ranked = keys[order]
    runs = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    again = np.ones(len(keys), dtype=bool)  # whether the n-gram that begins here came before
    again[np.minimum.reduceat(order, runs)] = False
    edges = np.zeros(len(codes), dtype=np.int32)
    edges[: len(keys)] += again
    edges[NGRAM:] -= again[: len(codes) - NGRAM]
    return int(np.count_nonzero(np.cumsum(edges))) / len(codes)
