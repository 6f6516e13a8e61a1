"""Where tokens stand in their text, and which of them start a word.

A token starts a word unless its first character stands inside one, or belongs to the token before it too (the
bytes of one character, a space put before the text, what one character was normalised to). So the characters
from one start to the next are whole words with the white space around them, even where a piece crosses the
border of two words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from tane.errors import InputError
from tane.tokens import soundness

Inside = Callable[[str], np.ndarray]  # where a text's words go on (N,) bool: one of text.words.insides
Placed = tuple[np.ndarray, np.ndarray, np.ndarray]  # ids, begins, ends: (n,) int64 each


class Backend:
    """A tokenizer of the `tokenizers` library, which takes all text as text and as it is."""

    def __init__(self, library: Any) -> None:
        self.library = library
        library.encode_special_tokens = True
        library.no_truncation()
        library.no_padding()

    @cached_property
    def byte_ids(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the bytes that begin a character in UTF-8, and of those that go on."""
        found: tuple[list[int], list[int]] = [], []
        for byte in range(256):
            number = self.library.token_to_id(f"<0x{byte:02X}>")
            if number is not None:
                found[0x80 <= byte < 0xC0].append(number)
        return np.array(found[0], np.int64), np.array(found[1], np.int64)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """Ids of each text."""
        return [np.array(e.ids, dtype=np.int64) for e in self._call("encode_batch_fast", texts)]

    def encode_places(self, texts: list[str]) -> list[Placed]:
        """Ids of each text, and where the characters of each token begin and end in it."""
        found = []
        for e in self._call("encode_batch", texts):
            ids = np.array(e.ids, dtype=np.int64)
            places = np.fromiter(chain.from_iterable(e.offsets), np.int64, 2 * len(ids))
            found.append((ids, *spread_bytes(ids, places[::2], places[1::2], *self.byte_ids)))
        return found

    def joined(self, parts: list[str]) -> Placed:
        """`encode_places` of a text given in parts, each encoded by itself."""
        before = np.cumsum([0, *map(len, parts)]).tolist()
        found = self.encode_places(parts)
        moved = [(ids, begins + n, ends + n) for (ids, begins, ends), n in zip(found, before, strict=False)]
        ids, begins, ends = map(np.concatenate, zip(*moved, strict=True))
        return ids, begins, ends

    def _call(self, name: str, texts: list[str]) -> list[Any]:
        try:
            return getattr(self.library, name)(texts, add_special_tokens=False)
        except BaseException as error:
            if not soundness.is_panic(error):
                raise
            raise InputError(
                f"the tokenizer cannot encode this text: {str(error).splitlines()[0]}",
                "its tokenizer.json is faulty: take another",
            ) from None


def with_starts(
    texts: Sequence[str], found: Sequence[Placed], inside: Inside
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids (n,) of each text, and which of them start a word (n,) bool."""
    return [
        (ids, starts_of(begins, ends, inside(text)))
        for text, (ids, begins, ends) in zip(texts, found, strict=True)
    ]


def starts_of(begins: np.ndarray, ends: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Which tokens start a word (n,) bool; the first one always does.

    begins, ends (n,): the characters of each token; inside (N,) bool: the characters inside a word.
    """
    found = ~np.append(inside, False)[begins]
    found[1:] &= begins[1:] >= np.maximum.accumulate(ends)[:-1]
    found[:1] = True
    return found


def spread_bytes(
    ids: np.ndarray, begins: np.ndarray, ends: np.ndarray, first: np.ndarray, later: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """begins and ends (n,) with each byte at its own character, where a run of them was given as one.

    A unigram model takes neighbours that it does not know for one unknown piece before it falls back to
    bytes. first, later: the ids of the bytes that begin a character in UTF-8, and of those that go on.
    """
    same = (begins[1:] == begins[:-1]) & (ends[1:] == ends[:-1]) & (ends[1:] - begins[1:] > 1)
    if not same.any():
        return begins, ends
    opens = np.append(True, ~same)
    run = np.cumsum(opens) - 1  # (n,) which run a token is of; most are runs of one
    heads = np.isin(ids, first)
    others = ~heads & ~np.isin(ids, later)
    counts = np.bincount(run, weights=heads)
    # what was normalised to another number of characters stays together
    fits = (counts == (ends - begins)[opens]) & (np.bincount(run, weights=others) == 0)
    passed = np.cumsum(heads)
    place = begins + passed - (passed - heads)[opens][run] - 1
    return np.where(fits[run], place, begins), np.where(fits[run], place + 1, ends)


def starts_of_pieces(pieces: Sequence[str], unknown: str | None, text: str, inside: Inside) -> np.ndarray:
    """The same for a tokenizer that tells no places: its pieces are followed along the text in NFKC.

    Where that fails, a piece without "##" starts a word.
    """
    plain = unicodedata.normalize("NFKC", text)
    for form in (plain, plain.lower()):
        places = _follow(pieces, unknown, form)
        if places is not None:
            return starts_of(*places, inside(form))
    return np.array([not n or not piece.startswith("##") for n, piece in enumerate(pieces)], dtype=bool)


def _follow(pieces: Sequence[str], unknown: str | None, text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Where pieces begin and end (n,) in a text that they spell, or None.

    What is unknown reaches to where the next known piece is found.
    """
    begins: list[int] = []
    ends: list[int] = []
    place = waiting = 0
    for piece in pieces:
        while place < len(text) and text[place].isspace():
            place += 1
        letters = "" if piece == unknown else piece.removeprefix("##").replace("▁", " ").strip()
        begin = text.find(letters, place) if waiting else place
        if begin < 0 or not text.startswith(letters, begin):
            return None
        if letters:
            ends[len(ends) - waiting :] = [begin] * waiting
            place, waiting = begin + len(letters), 0
        elif waiting or piece == unknown:
            waiting += 1
        begins.append(begin)
        ends.append(place)
    ends[len(ends) - waiting :] = [len(text)] * waiting
    return np.array(begins, dtype=np.int64), np.array(ends, dtype=np.int64)
