"""Near duplicates: documents whose character sequences are mostly those of an earlier document.

A document is the set of its 5-grams of characters, white space left out. The share that two sets have in
common (their Jaccard similarity) is estimated by MinHash (Broder 1997): of PERMUTATIONS minima, the share
that agrees, with a standard error of 0.035 at a similarity of 0.8. The minima are Rensa's R-MinHash, an
adaptation of Fast Similarity Sketching (Dahlgaard et al. 2017, arXiv:1704.04370). Pairs worth comparing are
found by banding (Leskovec et al., Mining of Massive Datasets, 3.4): the minima are divided into bands of
rows, and documents that agree in all rows of a band share a bucket. With a similarity s, two documents share
one with the probability 1 - (1 - s ** rows) ** bands; at the default threshold of 0.8, 18 bands of 7 rows:

    s            0.3    0.5    0.6    0.7    0.75   0.8    0.85   0.9
    probability  0.004  0.13   0.40   0.79   0.92   0.986  0.999  1.000

The law: documents are taken in order. A document is dropped if at least `threshold` of its minima are those
of an earlier document that is kept and is among the first FIRST kept documents of a bucket that both share;
else it is kept. FIRST bounds the work where thousands share a bucket and yet differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tane import signals
from tane.errors import InputError
from tane.progress import bar
from tane.text.chartable import codepoints, ngrams, scattered

if TYPE_CHECKING:
    import numpy as np

RULES = "1"  # changes when the same texts would be dropped otherwise
NGRAM = 5  # characters
PERMUTATIONS = 128
SEED = 42
FOUND = 0.98  # of the pairs whose similarity is the threshold must share a bucket
FIRST = 8  # kept documents of a bucket that later ones are compared with
CHUNK = 1 << 15  # documents whose signatures are read at a time
SLAB = 1 << 18  # documents whose buckets are in memory at a time
BUDGET = 192 << 20  # bytes of bucket numbers that are sorted in one pass over the signatures
UNFINISHED = "near duplicates were being looked for; nothing of the corpus is written yet"


def version() -> str:
    """What identifies the rule, with Rensa's version of its minima. Raises InputError where it is missing."""
    return f"{RULES}, rensa {getattr(_rensa().RMinHash, 'ALGORITHM_VERSION', 1)}"


def signature(text: str) -> np.ndarray:
    """The minima (PERMUTATIONS,) uint32 of a normalised text, the same in every process and run.

    A text of fewer than NGRAM characters is its own only element. Raises InputError where Rensa is missing.
    """
    import numpy as np

    codes = codepoints("".join(text.split()))
    keys = ngrams(codes, min(NGRAM, len(codes)))
    sketch = _rensa().RMinHash.digest_matrix_from_flat_token_hashes(keys, [0, len(keys)], PERMUTATIONS, SEED)
    return np.array(sketch.to_rows()[0], dtype=np.uint32)


def _rensa() -> Any:
    try:
        import rensa
    except ImportError:
        raise InputError(
            "near duplicates need the library rensa, which is not installed", "pip install 'tane[near]'"
        ) from None
    return rensa


def banding(threshold: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """(bands, rows): the most rows, so the fewest vain comparisons, with which FOUND of the pairs whose
    similarity is the threshold share a bucket."""
    best = permutations, 1
    for rows in range(2, permutations + 1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= FOUND:
            best = bands, rows
    return best


def duplicates(signatures: np.ndarray, alive: np.ndarray, threshold: float) -> np.ndarray:
    """Which documents are dropped (D,) bool, by the law above; those not alive (D,) bool do not take part.

    signatures: (D, P) uint32, such as a memmap: read in chunks. Takes less than 500 MB for 10 million
    documents. Raises Interrupted when a stop was asked for.
    """
    import numpy as np

    signatures = np.asarray(signatures)  # a plain view of a memmap is several times faster to index
    search = _Search(signatures, threshold)
    dropped = np.zeros(len(signatures), dtype=bool)
    shared = search.shared(alive)
    total = int(np.count_nonzero(shared))
    with bar(total, "near duplicates", " documents") as progress:
        for start, docs in _slabs(shared):
            search.drop(docs, shared[:start] & ~dropped[:start], dropped)
            progress.update(len(docs))
    return dropped


def _slabs(shared: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first, numbers) of SLAB documents at a time that share a bucket with another."""
    import numpy as np

    docs = np.flatnonzero(shared).astype(np.uint32)
    for start in range(0, len(docs), SLAB):
        yield int(docs[start]), docs[start : start + SLAB].astype(np.int64)


class _Search:
    """Buckets and comparisons over one matrix of signatures."""

    def __init__(self, signatures: np.ndarray, threshold: float) -> None:
        self.signatures = signatures
        permutations = signatures.shape[1]
        self.bands, self.rows = banding(threshold, permutations)
        self.need = math.ceil(threshold * permutations - 1e-9)  # minima that must agree

    def buckets(self, docs: np.ndarray | slice, first: int = 0, last: int | None = None) -> np.ndarray:
        """The buckets (bands, D) uint64 of some documents in bands first to last: hashes of a band's rows."""
        import numpy as np

        last = self.bands if last is None else last
        columns = slice(first * self.rows, last * self.rows)
        minima = np.ascontiguousarray(self.signatures[docs, columns].T).astype(np.uint64)
        found = np.empty((last - first, minima.shape[1]), dtype=np.uint64)
        for band in range(last - first):
            keys = minima[band * self.rows].copy()
            for row in range(1, self.rows):
                keys = scattered(keys)
                keys += minima[band * self.rows + row]
            found[band] = scattered(keys)
        return found

    def shared(self, alive: np.ndarray) -> np.ndarray:
        """Which documents (D,) bool share a bucket with another; a few more, by chance.

        The hash of a bucket and the document's number are packed into one number of 64 bits, so that they
        are sorted in place; of 10 million documents the hash keeps 40 bits.
        """
        import numpy as np

        count = len(self.signatures)
        bits = np.uint64(max(1, count - 1).bit_length())
        low = (np.uint64(1) << bits) - np.uint64(1)
        found = np.zeros(count, dtype=bool)
        number = int(np.count_nonzero(alive))
        together = max(1, min(self.bands, BUDGET // max(1, 8 * number)))
        packed = np.empty((together, number), dtype=np.uint64)
        for first in range(0, self.bands, together):
            last = min(first + together, self.bands)
            place = 0
            for start in range(0, count, CHUNK):
                signals.poll(UNFINISHED)
                docs = np.flatnonzero(alive[start : start + CHUNK]) + start
                keys = self.buckets(slice(start, start + CHUNK), first, last)[:, docs - start]
                packed[: last - first, place : place + len(docs)] = (keys & ~low) | docs.astype(np.uint64)
                place += len(docs)
            for band in packed[: last - first]:
                signals.poll(UNFINISHED)
                band.sort()
                for start in range(0, number - 1, CHUNK):
                    some = band[start : start + CHUNK + 1]
                    same = (some[1:] ^ some[:-1]) <= low
                    found[some[1:][same] & low] = True
                    found[some[:-1][same] & low] = True
        return found

    def drop(self, docs: np.ndarray, before: np.ndarray, dropped: np.ndarray) -> None:
        """Apply the law to a slab of documents (n,), marking `dropped` (D,).

        before: which of the documents before the slab are kept and share a bucket with any.
        """
        import numpy as np

        keys = np.concatenate(
            [self.buckets(docs[start : start + CHUNK]) for start in range(0, len(docs), CHUNK)], axis=1
        )
        known: list[np.ndarray] = []  # of each band, its buckets in order
        places = np.empty((len(docs), self.bands), dtype=np.int64)  # of each document, its buckets' numbers
        total = 0
        for band, row in enumerate(keys):
            distinct, inverse = np.unique(row, return_inverse=True)
            known.append(distinct)
            places[:, band] = inverse + total
            total += len(distinct)
        heads = np.full((total, FIRST), -1, dtype=np.int32)  # of each bucket, its first kept documents
        filled = np.zeros(total, dtype=np.uint8)
        self._enter(before, known, heads, filled)
        size = np.bincount(places.ravel(), minlength=total)
        busy = ((size[places] > 1) | (filled[places] > 0)).any(axis=1)
        for turn, place in enumerate(np.flatnonzero(busy).tolist()):
            if turn % 1024 == 0:
                signals.poll(UNFINISHED)
            doc, mine = docs[place], places[place]
            others = heads[mine]
            others = others[others >= 0]
            if len(others):
                agree = np.count_nonzero(self.signatures[others] == self.signatures[doc], axis=1)
                if agree.max() >= self.need:
                    dropped[doc] = True
                    continue
            mine = mine[filled[mine] < FIRST]
            heads[mine, filled[mine]] = doc
            filled[mine] += 1

    def _enter(
        self, before: np.ndarray, known: list[np.ndarray], heads: np.ndarray, filled: np.ndarray
    ) -> None:
        """Put the kept documents before a slab (D,) bool into the slab's buckets, in order, FIRST in each."""
        import numpy as np

        for start in range(0, len(before), CHUNK):
            signals.poll(UNFINISHED)
            docs = np.flatnonzero(before[start : start + CHUNK]) + start
            if not len(docs):
                continue
            offset = 0
            for keys, distinct in zip(self.buckets(docs), known, strict=True):
                at = np.minimum(np.searchsorted(distinct, keys), len(distinct) - 1)
                hit = np.flatnonzero(distinct[at] == keys)
                order = hit[np.argsort(at[hit], kind="stable")]  # by bucket, within it by document
                bucket = at[order] + offset
                runs = np.flatnonzero(np.diff(bucket, prepend=-1))  # where each bucket begins
                lengths = np.diff(runs, append=len(bucket))
                slot = filled[bucket] + (np.arange(len(bucket)) - np.repeat(runs, lengths))
                room = slot < FIRST
                heads[bucket[room], slot[room]] = docs[order[room]]
                filled[bucket[runs]] = np.minimum(filled[bucket[runs]] + lengths, FIRST)
                offset += len(distinct)
