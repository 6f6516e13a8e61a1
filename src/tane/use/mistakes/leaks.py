"""How much of each validation text stands in a single training text: found in one pass over both.

A text is the set of its 5-grams of characters, white space left out, as for near duplicates (text/near.py).
Of each validation text the SKETCH grams with the smallest hashes are looked for, which are drawn by chance
and yet the same wherever the text stands (Broder, "On the resemblance and containment of documents", 1997).
The share of them that a training text holds estimates how much of the validation text it holds, with a
standard error of 0.06 at a share of 0.8. Unlike the similarity of two documents, this also finds a text that
stands inside a longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tane.text.chartable import codepoints, ngrams
from tane.text.near import NGRAM
from tane.use.mistakes.facts import Copies, Looked, Named

SKETCH = 48  # grams of a validation text that are looked for
CELLS = 4_000_000  # counters that are held at a time, one for each pair of texts
CHARACTERS = 200_000  # of training texts that are looked through at a time
BITS = 20  # of a gram's hash, by which almost all others are passed over
NEAR = 0.9  # of a validation text, from which on it is nearly the same
EXACT, LONG = 24, 60  # characters of a document, for a copy to tell something; for a near copy
BREAK = "\0"  # stands between texts, so that no gram reaches over two


class Overlap(NamedTuple):
    """For each of n validation texts: share (n,) of its sketch that one training text holds at most, and
    which one that is, place (n,); -1 where none holds any."""

    share: np.ndarray
    place: np.ndarray


def squeezed(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


def overlaps(valid: Sequence[str], train: Sequence[str]) -> Overlap:
    """How much of each validation text a single training text holds, both squeezed. A text of fewer than
    NGRAM characters has a share of 0."""
    found = Overlap(np.zeros(len(valid)), np.full(len(valid), -1, dtype=np.int64))
    sketches = [np.unique(ngrams(codepoints(text), NGRAM))[:SKETCH] for text in valid]
    sizes = np.array([len(sketch) for sketch in sketches], dtype=np.int64)
    if not sizes.sum():
        return found
    wanted = _Wanted(np.concatenate(sketches), np.repeat(np.arange(len(valid)), sizes))
    for start, texts in _some(train, max(1, CELLS // len(valid))):
        held = wanted.counts(texts, len(valid)) / np.maximum(sizes, 1)  # (texts, n)
        best = held.argmax(axis=0)
        share = held[best, np.arange(len(valid))]
        more = share > found.share
        found.share[more], found.place[more] = share[more], start + best[more]
    return found


class _Wanted:
    """The grams of all sketches, each with the validation texts that it is of."""

    def __init__(self, grams: np.ndarray, owners: np.ndarray) -> None:
        order = np.argsort(grams, kind="stable")
        self.owners = owners[order]
        self.grams, self.first, self.each = np.unique(grams[order], return_index=True, return_counts=True)
        self.mask = np.uint64((1 << BITS) - 1)
        self.likely = np.zeros(1 << BITS, dtype=bool)
        self.likely[self.grams & self.mask] = True

    def counts(self, texts: Sequence[str], valid: int) -> np.ndarray:
        """How many grams of each validation text's sketch each of some texts holds: (texts, valid)."""
        begins = np.cumsum([0, *(len(text) + 1 for text in texts)])
        keys = ngrams(codepoints(BREAK.join(texts)), NGRAM)
        at = np.flatnonzero(self.likely[keys & self.mask])
        number = np.minimum(np.searchsorted(self.grams, keys[at]), len(self.grams) - 1)
        hit = self.grams[number] == keys[at]
        text = np.searchsorted(begins, at[hit], side="right") - 1
        pairs = np.unique(text * len(self.grams) + number[hit])  # a gram counts once in a text
        text, number = np.divmod(pairs, len(self.grams))
        each = self.each[number]
        within = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        owner = self.owners[np.repeat(self.first[number], each) + within]
        cells = np.repeat(text, each) * valid + owner
        return np.bincount(cells, minlength=len(texts) * valid).reshape(len(texts), valid)


def _some(texts: Sequence[str], most: int) -> Iterator[tuple[int, Sequence[str]]]:
    """(number of the first, texts) of at most so many neighbours at a time, CHARACTERS long or a little
    more."""
    start = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size >= CHARACTERS or number + 1 - start == most or number + 1 == len(texts):
            yield start, texts[start : number + 1]
            start, size = number + 1, 0


def copies(looked: Looked) -> Copies:
    """The copies among the documents that were looked at. Inside longer ones only those of EXACT characters
    are looked for, since stock phrases come again anywhere; and near copies only of LONG ones, since
    sentences resemble one another: a tenth of those of the bundled text."""
    train = [squeezed(text) for _, text in looked.train]
    places = {text: place for place, text in enumerate(train)}
    exact: list[Named] = []
    near: list[Named] = []
    others: list[Named] = []
    for name, text in ((name, squeezed(text)) for name, text in looked.valid):
        if text in places:
            exact.append((name, looked.train[places[text]][0]))
        elif len(text) >= EXACT:
            others.append((name, text))
    found = overlaps([text for _, text in others], train)
    for number in np.flatnonzero(found.share >= NEAR).tolist():
        name, text = others[number]
        inside = int(found.place[number])
        if text in train[inside]:
            exact.append((name, looked.train[inside][0]))
        elif len(text) >= LONG:
            near.append((name, looked.train[inside][0]))
    return Copies(exact, near, sum(len(text) >= LONG for _, text in others))
