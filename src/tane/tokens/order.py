"""Position = step: which block stands where in an epoch, and every random key, as pure functions.

An epoch's order is a keyed permutation of the block numbers, computed by a Feistel network with cycle walking
(Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): O(1) memory, any position at once. Nothing
iterates and nothing is stored, so a run resumes at step 1,000,000 for free and on any number of processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

ROUNDS = 6
CHUNK = 1 << 18  # positions that are permuted at a time
STRETCH = 1 << 12  # positions of an epoch whose places are worked out together and kept for the next steps


def key(*parts: int | str) -> int:
    """A 63-bit key from numbers and names, the same on every machine."""
    text = "\x1f".join(str(p) for p in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def _mix(x: np.ndarray, salt: np.uint64 | np.ndarray) -> np.ndarray:
    # splitmix64's finalizer (Steele, Lea, Flood 2014); uint64 arithmetic wraps, as it should
    x = (x ^ salt) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def noise(keys: Sequence[int], count: int, stream: int) -> np.ndarray:
    """Numbers in [0, 1) from one key a row, (len(keys), count) float64: a function of key, place and stream.

    stream: a number for each use, so that two draws of one row are independent.
    """
    rows = np.asarray(keys, dtype=np.uint64)[:, None]
    places = np.arange(count, dtype=np.uint64)[None] + (np.uint64(stream) << np.uint64(32))
    bits = _mix(_mix(np.broadcast_to(rows, (len(rows), count)), places), np.uint64(stream + 1))
    return (bits >> np.uint64(11)) * 2.0**-53


def permute(positions: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Images of `positions` (any shape, values in [0, n)) under the permutation of [0, n) keyed by `seed`."""
    salts = [np.uint64(key(seed, r)) for r in range(ROUNDS)]
    places = np.asarray(positions)
    found = np.empty(places.size, dtype=np.int64)
    for start in range(0, places.size, CHUNK):  # each needs several arrays of its size on the way
        found[start : start + CHUNK] = _permuted(places.reshape(-1)[start : start + CHUNK], n, salts)
    return found.reshape(places.shape)


def _permuted(positions: np.ndarray, n: int, salts: list[np.uint64]) -> np.ndarray:
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    x = positions.astype(np.uint64)
    todo = np.ones(x.shape, dtype=bool)
    while todo.any():
        left, right = x[todo] >> half, x[todo] & mask
        for salt in salts:
            left, right = right, left ^ (_mix(right, salt) & mask)
        x[todo] = (left << half) | right
        todo &= x >= np.uint64(n)
    return x


class Sizes:
    """How many blocks each epoch has, where epochs differ: a table of where they begin that grows on demand.

    count: numbers of epochs (E,) -> how many blocks they have (E,); some epoch has a block again and again.
    """

    def __init__(self, count: Callable[[np.ndarray], np.ndarray]) -> None:
        self._count = count
        self._begins = np.zeros(1, dtype=np.int64)  # of the epochs known so far, and of the next one

    def _extend(self) -> None:
        known = len(self._begins) - 1
        ends = np.cumsum(self._count(np.arange(known, known + min(max(known, 64), 1 << 16))))
        self._begins = np.concatenate([self._begins, self._begins[-1] + ends])

    def begin(self, epoch: int) -> int:
        """The position of an epoch's first block in the endless row of blocks."""
        while len(self._begins) <= epoch:
            self._extend()
        return int(self._begins[epoch])

    def __getitem__(self, epoch: int) -> int:
        """Blocks of one epoch."""
        return self.begin(epoch + 1) - self.begin(epoch)

    def locate(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (B,) in the endless row -> (epochs, places in them), both (B,) int64."""
        while self._begins[-1] <= positions.max():
            self._extend()
        epochs = np.searchsorted(self._begins, positions, side="right") - 1
        return epochs, positions - self._begins[epochs]


def mean_size(sizes: int | Sizes, epochs: float) -> float:
    """Mean number of blocks of the first `epochs` epochs, a part of one counting as that part of it.

    At least one block in all; the mean of the first 100,000 epochs stands for more.
    """
    if isinstance(sizes, int):
        return sizes
    epochs = min(epochs, 100_000.0)
    whole = int(epochs)
    return max(1.0, sizes.begin(whole) + (epochs - whole) * sizes[whole]) / epochs


@lru_cache(maxsize=8)
def _stretch(number: int, size: int, seed: int) -> np.ndarray:
    """The places of one stretch of an epoch's positions; to permute a few at a time takes as long."""
    return permute(np.arange(number * STRETCH, min(size, (number + 1) * STRETCH)), size, seed)


def _ordered(places: np.ndarray, size: int, seed: int) -> np.ndarray:
    """`permute` of rising neighbours."""
    numbers = range(int(places[0]) // STRETCH, int(places[-1]) // STRETCH + 1)
    parts = [_stretch(number, size, seed) for number in numbers]
    first = int(places[0]) - numbers[0] * STRETCH
    return np.concatenate(parts)[first : first + len(places)]


def global_batch(step: int, batch: int, sizes: int | Sizes, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The global batch of one step (0-based): (epochs, block ids), both (batch,) int64.

    sizes: how many blocks an epoch has. Positions run on over the epochs' ends, so no block is dropped and
    none is seen twice in an epoch.
    """
    positions = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
    if isinstance(sizes, int):
        epochs, places = np.divmod(positions, sizes)
    else:
        epochs, places = sizes.locate(positions)
    ids = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(epochs).tolist():
        chosen = epochs == epoch
        size = sizes if isinstance(sizes, int) else sizes[epoch]
        ids[chosen] = _ordered(places[chosen], size, key(seed, "order", epoch))
    return epochs, ids
