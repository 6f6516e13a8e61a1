"""Position = step: which block stands where in an epoch, and every random key, as pure functions.

An epoch's order is a keyed permutation of the block numbers, computed by a Feistel network with cycle walking
(Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): O(1) memory, any position at once. Nothing
iterates and nothing is stored, so a run resumes at step 1,000,000 for free and on any number of processes.
"""

from __future__ import annotations

import hashlib

import numpy as np

ROUNDS = 6


def key(*parts: int | str) -> int:
    """A 63-bit key from numbers and names, the same on every machine."""
    text = "\x1f".join(str(p) for p in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def _mix(x: np.ndarray, salt: np.uint64) -> np.ndarray:
    # splitmix64's finalizer (Steele, Lea, Flood 2014); uint64 arithmetic wraps, as it should
    x = (x ^ salt) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def permute(positions: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Images of `positions` (any shape, values in [0, n)) under the permutation of [0, n) keyed by `seed`."""
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    salts = [np.uint64(key(seed, r)) for r in range(ROUNDS)]
    x = np.asarray(positions, dtype=np.uint64).copy()
    todo = np.ones(x.shape, dtype=bool)
    while todo.any():
        left, right = x[todo] >> half, x[todo] & mask
        for salt in salts:
            left, right = right, left ^ (_mix(right, salt) & mask)
        x[todo] = (left << half) | right
        todo &= x >= np.uint64(n)
    return x.astype(np.int64)


def global_batch(step: int, batch: int, blocks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The global batch of one step (0-based): (epochs, block ids), both (batch,) int64.

    Positions run on over the epochs' ends, so no block is dropped and none is seen twice in an epoch.
    """
    positions = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
    epochs, places = np.divmod(positions, blocks)
    ids = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        ids[chosen] = permute(places[chosen], blocks, key(seed, "order", int(epoch)))
    return epochs, ids
