"""From a token stream to training examples, with nothing lost.

A causal block of T positions reads T + 1 tokens and overlaps its neighbour by one, so every token but the
stream's first is a target exactly once an epoch. The last block is shorter and keeps its length. A block is a
pure function of (stream, T, isolate): no state, no iteration.

Training asks by epoch: `blocks.sizes` tells how many blocks an epoch has, `blocks.at(epoch)[i]` gives one.
Without weights every epoch is the one stream of the shards; with weights each is a stream of its own.
"""

from __future__ import annotations

import numpy as np

from tane.errors import InputError
from tane.tokens.mix import Mix, TokenStream
from tane.tokens.order import Sizes
from tane.types import Block


class Blocks:
    """The blocks of one stream: `len(blocks)`, `blocks[i]`.

    isolate: True makes each document a segment of its own. The EOS that ends a document opens the next
    segment, so a document's first token is still a target (predicted from EOS alone) and every token stays a
    target.
    """

    def __init__(self, stream: TokenStream, block_size: int, *, isolate: bool = False) -> None:
        if len(stream) < 2:
            raise InputError(f"the {stream.split} split has {len(stream)} tokens; a block needs at least 2")
        self.stream, self.block_size, self.isolate = stream, block_size, isolate

    def __len__(self) -> int:
        """ceil((N - 1) / T)."""
        return -(-(len(self.stream) - 1) // self.block_size)

    @property
    def sizes(self) -> int:
        """Blocks of an epoch, the same for all."""
        return len(self)

    def at(self, epoch: int) -> Blocks:
        """The blocks of an epoch: these."""
        return self

    def __getitem__(self, i: int) -> Block:
        """Block i: ids (L,) with L = T + 1, or less for the last one."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        start = i * self.block_size
        ids = self.stream.read(start, min(start + self.block_size + 1, len(self.stream))).astype(np.int64)
        length = len(ids)
        if not self.isolate:
            return Block(ids, np.zeros(length, np.int32), np.arange(length, dtype=np.int32), length)
        # an EOS stands one before its document's end, and there a new segment opens
        first, last = np.searchsorted(self.stream.ends, (start + 1, start + length + 1))
        opens = self.stream.ends[first:last] - 1 - start
        segments = np.zeros(length, np.int32)
        segments[opens] = 1
        segments = np.cumsum(segments, dtype=np.int32)
        begins = np.zeros(length, np.int32)
        begins[opens] = opens
        positions = np.arange(length, dtype=np.int32) - np.maximum.accumulate(begins)
        return Block(ids, segments, positions, length)

    def rows(self, ids: np.ndarray) -> np.ndarray | None:
        """The tokens of whole blocks (B, T + 1) at once, as they are stored; None where they are not all
        whole and in one file, so that they must be asked for one by one."""
        windows = getattr(self.stream, "windows", None)  # a mix has none
        if self.isolate or windows is None or int(ids.max()) >= len(self) - 1:
            return None
        found: np.ndarray | None = windows(ids * self.block_size, self.block_size + 1)
        return found

    def tokens_of(self, ids: np.ndarray) -> int:
        """Real input positions in the blocks of the given numbers."""
        tail = len(self.stream) - 1 - (len(self) - 1) * self.block_size
        return int(
            len(ids) * self.block_size - (np.asarray(ids) == len(self) - 1).sum() * (self.block_size - tail)
        )


class MixedBlocks:
    """The blocks of a mix, epoch by epoch; those of the last two epochs that were asked for are kept."""

    def __init__(self, mix: Mix, block_size: int, *, isolate: bool = False) -> None:
        if mix.mean_tokens < 2:
            raise InputError(f"an epoch has {mix.mean_tokens:.2g} tokens by its weights; a block needs 2")
        self.mix, self.block_size, self.isolate = mix, block_size, isolate
        self.sizes: int | Sizes = Sizes(self._count) if mix.varies else int(self._count(np.zeros(1, int))[0])
        self._kept: dict[int, Blocks] = {}

    def _count(self, epochs: np.ndarray) -> np.ndarray:
        # an epoch of a tiny text may have no or one token, and no block then
        return -(-np.maximum(self.mix.tokens(epochs) - 1, 0) // self.block_size)

    def at(self, epoch: int) -> Blocks:
        """The blocks of one epoch that has any."""
        epoch = epoch if self.mix.varies else 0
        if epoch not in self._kept:
            stream = self.mix.stream(epoch)
            for older in list(self._kept)[:-1]:
                del self._kept[older]
            self._kept[epoch] = Blocks(stream, self.block_size, isolate=self.isolate)
        return self._kept[epoch]
