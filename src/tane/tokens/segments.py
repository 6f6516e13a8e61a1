"""Short texts without padding: segments of documents, packed into blocks.

A segment is [CLS] tokens [SEP]: a whole document, or a part of one that is longer than a block. Segments are
packed by best fit, the longest first, worked out on their histogram instead of one by one (Krell et al.,
"Efficient sequence packing without cross-contamination", 2021); which of equally long ones share a block is
chosen by a fixed key, so that neighbours in the text are spread. Nothing is dropped but segments in which no
token could be a target. All of it is derived from the shards in a moment, so it is neither stored nor cached.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tane import progress
from tane.errors import InputError
from tane.tokens.mix import Mix, TokenStream
from tane.tokens.order import Sizes, key, permute
from tane.tokens.shards import Shards
from tane.types import Block, Vocabulary

FRAME = 2  # [CLS] and [SEP]
SCAN = 1 << 24  # tokens looked through at once for segments without a target


class Segments:
    """The segments of all documents of the shards: where they begin and how long they are.

    begin (S,) int64, length (S,) int32 in tokens of the text; first (D + 1,): document d has the segments
    first[d] to first[d + 1]; dropped: how many have only special or unknown tokens and are left out.
    """

    def __init__(self, shards: Shards, room: int, vocabulary: Vocabulary) -> None:
        begin, length, first = _cut_up(shards, room)
        usable = _usable(shards, begin, length, vocabulary)
        self.dropped = int(len(usable) - usable.sum())
        if self.dropped:
            before = np.concatenate([[0], np.cumsum(usable)])
            begin, length, first = begin[usable], length[usable], before[first]
        self.begin, self.length, self.first = begin, length, first

    def of(self, documents: np.ndarray) -> np.ndarray:
        """The segments of a row of documents, in its order."""
        counts = self.first[documents + 1] - self.first[documents]
        ends = np.cumsum(counts)
        return np.repeat(self.first[documents + 1] - ends, counts) + np.arange(ends[-1] if len(ends) else 0)


def _cut_up(shards: Shards, room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(begin, length, first) of all documents in parts of at most `room` tokens: see Segments."""
    begins, lengths, counts = [], [], []
    place = 0  # in tokens of the shards
    for full in shards.lengths_by_file():
        plain = full - 1  # without the token that ends a document
        parts = -(-plain // room)  # an empty document has none
        within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        within *= room
        begins.append(np.repeat(place + np.cumsum(full) - full, parts) + within)
        lengths.append(np.minimum(np.repeat(plain, parts) - within, room).astype(np.int32))
        counts.append(parts)
        place += int(full.sum())
    begin = np.concatenate([np.zeros(0, dtype=np.int64), *begins])
    del begins
    length = np.concatenate([np.zeros(0, dtype=np.int32), *lengths])
    return begin, length, np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), *counts]))


def _usable(shards: Shards, begin: np.ndarray, length: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Which segments hold a token that may be a target, (S,) bool; begin rises."""
    usable = np.ones(len(begin), dtype=bool)
    if not shards.meta["splits"].get(shards.split, {}).get("unknown", 0):
        return usable  # the only special token that a text may have
    row = 0
    while row < len(begin):
        last = max(row + 1, int(np.searchsorted(begin, begin[row] + SCAN)))
        tokens = shards.read(int(begin[row]), int(begin[last - 1] + length[last - 1]))
        good = np.concatenate([[0], np.cumsum(~np.isin(tokens, vocabulary.special_ids))])
        at = begin[row:last] - begin[row]
        usable[row:last] = good[at + length[row:last]] > good[at]
        row = last
    return usable


def pack(lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack segments of the given lengths (S,), 1 to `size`, into blocks of `size` positions.

    Returns (order (S,), ends (blocks,)): block b holds the segments order[ends[b - 1]:ends[b]]. Best fit, the
    longest first: each goes to the fullest block in which it fits.
    """
    by_length = np.argsort(-lengths, kind="stable")
    block_of = np.empty(len(lengths), dtype=np.int32 if len(lengths) < 2**31 else np.int64)
    blocks = done = 0
    # by the room that is left; a new block is nothing but one with all of it
    open_blocks: list[list[np.ndarray]] = [[] for _ in range(size + 1)]
    for length, room, take, count in _fits(np.bincount(lengths, minlength=size + 1), size):
        if room == size:
            few = np.arange(blocks, blocks + count)
            blocks += count
        else:
            few = _take(open_blocks[room], count)
        block_of[by_length[done : done + take * count]] = np.repeat(few, take)
        open_blocks[room - take * length].append(few)
        done += take * count
    del by_length
    return np.argsort(block_of, kind="stable"), np.cumsum(np.bincount(block_of, minlength=blocks))


def count_blocks(counts: np.ndarray, size: int) -> int:
    """How many blocks `pack` makes of counts[l] segments of each length l."""
    return sum(count for _, room, _, count in _fits(counts, size) if room == size)


def _fits(counts: np.ndarray, size: int) -> Iterator[tuple[int, int, int, int]]:
    """The steps of the packing: (length, room, take, count): `count` blocks that have `room` left get `take`
    segments of this length each.

    Equally long ones go into one block until it is full, since that is the fullest one.
    """
    left = [0] * (size + 1)  # blocks by the room that is left
    for length in range(size, 0, -1):
        todo = int(counts[length])
        for room in range(length, size + 1):
            while todo and (left[room] or room == size):
                take = min(room // length, todo)
                count = todo // take if room == size else min(left[room], todo // take)
                yield length, room, take, count
                left[room] -= count if room < size else 0
                left[room - take * length] += count
                todo -= take * count


def _take(chunks: list[np.ndarray], count: int) -> np.ndarray:
    """Take `count` blocks out of a pile of them."""
    taken: list[np.ndarray] = []
    while count:
        top = chunks.pop()
        taken.append(top[:count])
        if len(top) > count:
            chunks.append(top[count:])
        count -= len(taken[-1])
    return np.concatenate(taken)


class SegmentBlocks:
    """The packed blocks of one stream: `len(blocks)`, `blocks[i]`; a pure function of stream and size.

    documents: which, in their order; None: all. words: whether blocks tell where words start, which the
    shards must know then.
    """

    def __init__(
        self, shards: Shards, table: Segments, documents: np.ndarray | None, size: int,
        vocabulary: Vocabulary, *, words: bool,
    ) -> None:  # fmt: skip
        self.shards, self.table, self.block_size, self.words = shards, table, size, words
        assert vocabulary.cls_id is not None and vocabulary.sep_id is not None
        self.cls_id, self.sep_id = vocabulary.cls_id, vocabulary.sep_id
        mine = np.arange(len(table.begin)) if documents is None else table.of(documents)
        mine = mine.astype(np.int32 if len(table.begin) < 2**31 else np.int64)
        mine = mine[permute(np.arange(len(mine)), len(mine), key("pack"))] if len(mine) else mine
        order, self._ends = pack(table.length[mine] + FRAME, size)
        self._order = mine[order]

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self._ends)

    @property
    def sizes(self) -> int:
        """Blocks of an epoch, the same for all."""
        return len(self)

    @property
    def num_segments(self) -> int:
        """Segments of an epoch."""
        return len(self._order)

    @property
    def filled(self) -> float:
        """The share of positions that hold a token."""
        used = int(self.table.length[self._order].sum()) + FRAME * len(self._order)
        return used / max(1, len(self) * self.block_size)

    def at(self, epoch: int) -> SegmentBlocks:
        """The blocks of an epoch: these."""
        return self

    def __getitem__(self, i: int) -> Block:
        """Block i: ids (L,) with [CLS] and [SEP] round each segment.

        starts at a [SEP] tells whether a word starts right after the segment, in the text: if not, the
        segment's last word goes on in the next one.
        """
        if not 0 <= i < len(self):
            raise IndexError(i)
        mine = self._order[self._ends[i - 1] if i else 0 : self._ends[i]]
        begins, lengths = self.table.begin[mine], self.table.length[mine]
        ends = np.cumsum(lengths + FRAME)
        length = int(ends[-1])
        heads = ends - lengths - FRAME  # of the [CLS]
        segments = np.repeat(np.arange(len(mine), dtype=np.int32), lengths + FRAME)
        positions = np.arange(length) - heads[segments]
        # the place in the shards of each position; that of [SEP] is the token after the segment
        places = positions + (begins - 1)[segments]
        inner = positions > 0
        ids = np.empty(length, np.int64)
        ids[inner] = self.shards.take(places[inner])
        ids[heads], ids[ends - 1] = self.cls_id, self.sep_id
        starts = np.ones(length, bool) if self.words else None
        if starts is not None:
            starts[inner] = self.shards.take_starts(places[inner])
        return Block(ids, segments, positions.astype(np.int32), length, starts)


class MixedSegmentBlocks:
    """The packed blocks of a mix, epoch by epoch; those of the last two epochs asked for are kept."""

    def __init__(self, mix: Mix, size: int, vocabulary: Vocabulary, *, words: bool) -> None:
        self.mix, self.block_size, self.vocabulary, self.words = mix, size, vocabulary, words
        self.table = Segments(mix.shards, size - FRAME, vocabulary)
        self.sizes: int | Sizes = Sizes(self._count) if mix.varies else int(self._count(np.zeros(1, int))[0])
        self._kept: dict[int, SegmentBlocks] = {}

    def _documents(self, epoch: int) -> np.ndarray:
        return self.mix.stream(epoch).documents

    def _count(self, epochs: np.ndarray) -> np.ndarray:
        found = []
        for epoch in epochs.tolist():
            lengths = self.table.length[self.table.of(self._documents(epoch))] + FRAME
            found.append(count_blocks(np.bincount(lengths, minlength=self.block_size + 1), self.block_size))
        return np.array(found, dtype=np.int64)

    def at(self, epoch: int) -> SegmentBlocks:
        """The blocks of one epoch."""
        epoch = epoch if self.mix.varies else 0
        if epoch not in self._kept:
            for older in list(self._kept)[:-1]:
                del self._kept[older]
            self._kept[epoch] = SegmentBlocks(
                self.mix.shards, self.table, self._documents(epoch), self.block_size, self.vocabulary,
                words=self.words,
            )  # fmt: skip
        return self._kept[epoch]


def segment_blocks(
    tokens: TokenStream | Mix, size: int, vocabulary: Vocabulary, *, words: bool
) -> SegmentBlocks | MixedSegmentBlocks:
    """The blocks of a stream of shards or of a mix. Raises InputError where the tokenizer has no [CLS],
    [SEP] or [MASK], and where no segment is left."""
    missing = [
        name
        for name, number in (
            ("[CLS]", vocabulary.cls_id),
            ("[SEP]", vocabulary.sep_id),
            ("[MASK]", vocabulary.mask_id),
        )
        if number is None
    ]
    if missing:
        raise InputError(
            f"the tokenizer has no {', '.join(missing)} token, which masked language models need",
            "take one that was made for such models, or train one with this recipe",
        )
    found: SegmentBlocks | MixedSegmentBlocks
    if isinstance(tokens, Mix):
        split, found = tokens.shards.split, MixedSegmentBlocks(tokens, size, vocabulary, words=words)
    else:
        assert isinstance(tokens, Shards)
        split, table = tokens.split, Segments(tokens, size - FRAME, vocabulary)
        found = SegmentBlocks(tokens, table, None, size, vocabulary, words=words)
    if found.table.dropped and split == "train":
        progress.say(f"{found.table.dropped:,} texts have no known token: they are left out")
    if not len(found.table.begin):
        remedy = "--corpus.valid-fraction 0" if split == "valid" else "give other text, or another tokenizer"
        raise InputError(f"the {split} split has no text with a known token", remedy)
    return found
