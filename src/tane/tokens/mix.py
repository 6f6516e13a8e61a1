"""Inputs by weight: which documents an epoch holds, how often, and where; a pure function of (seed, epoch).

Weight w = n + f: each document comes n times an epoch, and a share f of the documents of that weight comes
once more. The shares go round a keyed ranking of those documents, each epoch taking the next ranks, so that
after E epochs every document has come floor(w E) or ceil(w E) times.

An epoch is cut into laps, and a lap holds the same part of what each weight has to give: a small input that
comes ten times is spread over the whole epoch instead of standing ten times in a row. Between two copies of a
document lies at least one lap. Within a weight the order of the shards is kept.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Protocol

import numpy as np

from tane.errors import IntegrityError
from tane.tokens.order import key, permute
from tane.tokens.shards import Shards

LAPS = 4  # an epoch for each whole pass of the heaviest weight


class TokenStream(Protocol):
    """A row of N tokens made of documents: `Shards`, or one epoch of a mix."""

    split: str

    @property
    def ends(self) -> np.ndarray:
        """(D,) one past each document's EOS, rising."""

    def __len__(self) -> int:
        """Number of tokens N."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop), start < stop."""

    def read_starts(self, start: int, stop: int) -> np.ndarray:
        """Which of the tokens [start, stop) start a word (n,) bool; ValueError where that is not known."""


class Portion:
    """The documents of one weight, and which of them an epoch takes once more."""

    def __init__(self, weight: Fraction, documents: np.ndarray, lengths: np.ndarray, seed: int) -> None:
        self.documents = documents  # (d,) their numbers in the shards, rising
        self.passes = weight.numerator // weight.denominator  # whole ones an epoch
        self.share = weight % 1
        self.tokens = int(lengths[documents].sum())
        # an extra copy keeps half a pass away from the copies of the whole passes
        self._shift = (len(documents) + 1) // 2 if self.passes else 0
        if self.share:
            ranked = permute(np.arange(len(documents)), len(documents), key(seed, "share", str(weight)))
            self._ranked = ranked.astype(documents.dtype)  # (d,) places in `documents` by rank
            self._before = np.zeros(len(documents) + 1, dtype=np.int64)  # tokens of the ranks before
            np.cumsum(lengths[documents[ranked]], out=self._before[1:])

    def _ranks_before(self, epochs: np.ndarray) -> np.ndarray:
        """How many ranks all epochs before each of the given ones take: share * d * epoch, rounded."""
        # Python's integers, as the product may exceed 64 bits
        twice = 2 * self.share.numerator * len(self.documents) * epochs.astype(object)
        return ((twice + self.share.denominator) // (2 * self.share.denominator)).astype(np.int64)

    def tokens_before(self, epochs: np.ndarray) -> np.ndarray:
        """How many tokens all epochs before each of the given ones take (E,)."""
        whole = self.passes * self.tokens * epochs
        if not self.share:
            return whole
        rounds, ranks = np.divmod(self._ranks_before(epochs), len(self.documents))
        return whole + rounds * self.tokens + self._before[ranks]

    def extra(self, epoch: int) -> np.ndarray:
        """Where in a pass the epoch's extra copies stand, rising."""
        if not self.share:
            return np.zeros(0, dtype=np.int64)
        start, stop = self._ranks_before(np.array([epoch, epoch + 1]))
        chosen = self._ranked[np.arange(start, stop) % len(self.documents)].astype(np.int64)
        return np.sort((chosen + self._shift) % len(self.documents))

    def lap(self, number: int, laps: int, extra: np.ndarray) -> np.ndarray:
        """The documents of one lap: its part of the passes laid end to end, then its part of `extra`."""
        total = max(1, self.passes) * len(self.documents)
        start, stop = total * number // laps, total * (number + 1) // laps
        first, last = np.searchsorted(extra, (start, stop))
        whole = np.arange(start, stop if self.passes else start)
        return self.documents.take(np.concatenate([whole, extra[first:last] - self._shift]), mode="wrap")


class MixedStream:
    """One epoch of a mix: runs of documents that stand side by side in the shards (R,), one after another."""

    def __init__(self, shards: Shards, first: np.ndarray, stop: np.ndarray) -> None:
        self.split = shards.split
        self._shards, self._first, self._stop = shards, first, stop
        self._run_ends = np.cumsum(shards.ends[stop - 1] - self._begins(first))  # (R,) in tokens of the mix

    def _begins(self, documents: np.ndarray) -> np.ndarray:
        return self._shards.ends[documents] - self._shards.lengths[documents]

    def __len__(self) -> int:
        """Number of tokens N."""
        return int(self._run_ends[-1]) if len(self._run_ends) else 0

    @property
    def documents(self) -> np.ndarray:
        """The numbers in the shards of the documents in order (D,) int64, a copy counting as a document."""
        counts = self._stop - self._first
        return np.repeat(self._stop - np.cumsum(counts), counts) + np.arange(counts.sum())

    @cached_property
    def ends(self) -> np.ndarray:
        """One past each document's EOS, a copy of a document counting as a document."""
        return np.cumsum(self._shards.lengths[self.documents])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop), start < stop; a view where they lie in one run and one file."""
        pieces = [self._shards.read(a, b) for a, b in self._places(start, stop)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def read_starts(self, start: int, stop: int) -> np.ndarray:
        """Which of the tokens [start, stop) start a word (n,) bool."""
        return np.concatenate([self._shards.read_starts(a, b) for a, b in self._places(start, stop)])

    def _places(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Where in the shards each stretch of the tokens [start, stop) lies."""
        first = int(np.searchsorted(self._run_ends, start, side="right"))
        last = int(np.searchsorted(self._run_ends, stop)) + 1
        begins = self._begins(self._first[first:last])
        stops = self._shards.ends[self._stop[first:last] - 1]
        begins[0] = stops[0] - (self._run_ends[first] - start)
        stops[-1] -= self._run_ends[last - 1] - stop
        return list(zip(begins.tolist(), stops.tolist(), strict=True))


class Mix:
    """The endless row of epochs that weights make of shards: how long each is, and its stream."""

    def __init__(self, shards: Shards, weights: np.ndarray, seed: int) -> None:
        self.shards = shards
        numbers = np.arange(len(weights), dtype=np.int32 if len(weights) < 2**31 else np.int64)
        # as it was typed: 0.1 is a tenth, not the nearest binary fraction
        self.portions = [
            Portion(Fraction(str(float(weight))), numbers[weights == weight], shards.lengths, seed)
            for weight in np.unique(weights)
        ]
        self.varies = any(portion.share for portion in self.portions)  # whether epochs differ
        self.mean_tokens = float(sum((p.passes + p.share) * p.tokens for p in self.portions))

    def tokens(self, epochs: np.ndarray) -> np.ndarray:
        """The numbers of tokens of the given epochs (E,), without making their streams."""
        return sum(p.tokens_before(epochs + 1) - p.tokens_before(epochs) for p in self.portions)

    def stream(self, epoch: int) -> MixedStream:
        """The tokens of one epoch; keeps 24 bytes a run of documents, and 8 a document once `ends` is
        asked for."""
        laps = LAPS * max(1, *(portion.passes for portion in self.portions))
        extras = [(portion, portion.extra(epoch)) for portion in self.portions]
        runs = [_runs(portion.lap(i, laps, extra)) for i in range(laps) for portion, extra in extras]
        first, stop = np.concatenate(runs, axis=1)
        return MixedStream(self.shards, first, stop)


def _runs(documents: np.ndarray) -> np.ndarray:
    """Runs of neighbours in a row of document numbers: (2, R) int64, their first and one past their last."""
    cuts = np.flatnonzero(np.diff(documents) != 1)
    first = documents[np.concatenate([[0], cuts + 1])] if len(documents) else documents
    last = documents[np.concatenate([cuts, [-1]])] if len(documents) else documents
    return np.stack([first, last + 1]).astype(np.int64)


def mixed(shards: Shards, seed: int) -> Shards | Mix:
    """The shards by the weights in their manifest; the shards themselves where every weight is 1.

    Raises IntegrityError where the weights are not those of the documents.
    """
    runs = shards.meta.get("weights") or []
    if shards.split != "train" or all(weight == 1 for weight, _ in runs):
        return shards
    weights = np.repeat([float(weight) for weight, _ in runs], [count for _, count in runs])
    if len(weights) != len(shards.lengths):
        raise IntegrityError(
            f"the manifest of the shards has weights for {len(weights):,} documents, "
            f"and they hold {len(shards.lengths):,}"
        )
    return Mix(shards, weights, seed)
