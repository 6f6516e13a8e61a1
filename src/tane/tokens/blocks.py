"""From a token stream to training examples, with nothing lost.

A causal block of T positions reads T + 1 tokens and overlaps its neighbour by one, so every token but the
stream's first is a target exactly once an epoch. The last block is shorter and keeps its length. A block is a
pure function of (shards, T, isolate): no state, no iteration.
"""

from __future__ import annotations

import numpy as np

from tane.errors import InputError
from tane.tokens.shards import Shards
from tane.types import Block


class Blocks:
    """The blocks of one split: `len(blocks)`, `blocks[i]`.

    isolate: True makes each document a segment of its own. The EOS that ends a document opens the next
    segment, so a document's first token is still a target (predicted from EOS alone) and every token stays a
    target.
    """

    def __init__(self, shards: Shards, block_size: int, *, isolate: bool = False) -> None:
        if len(shards) < 2:
            raise InputError(f"the {shards.split} split has {len(shards)} tokens; a block needs at least 2")
        self.shards, self.block_size, self.isolate = shards, block_size, isolate
        self._ends = shards.ends - 1  # positions of the EOS tokens, where a new segment opens

    def __len__(self) -> int:
        """ceil((N - 1) / T)."""
        return -(-(len(self.shards) - 1) // self.block_size)

    def __getitem__(self, i: int) -> Block:
        """Block i: ids (L,) with L = T + 1, or less for the last one."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        start = i * self.block_size
        ids = self.shards.read(start, min(start + self.block_size + 1, len(self.shards))).astype(np.int64)
        length = len(ids)
        if not self.isolate:
            return Block(ids, np.zeros(length, np.int32), np.arange(length, dtype=np.int32), length)
        first, last = np.searchsorted(self._ends, (start, start + length))
        opens = self._ends[first:last] - start
        segments = np.zeros(length, np.int32)
        segments[opens] = 1
        segments = np.cumsum(segments, dtype=np.int32)
        begins = np.zeros(length, np.int32)
        begins[opens] = opens
        positions = np.arange(length, dtype=np.int32) - np.maximum.accumulate(begins)
        return Block(ids, segments, positions, length)

    def tokens_of(self, ids: np.ndarray) -> int:
        """Real input positions in the blocks of the given numbers."""
        tail = len(self.shards) - 1 - (len(self) - 1) * self.block_size
        return int(
            len(ids) * self.block_size - (np.asarray(ids) == len(self) - 1).sum() * (self.block_size - tail)
        )
