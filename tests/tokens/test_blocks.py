"""Blocks: every token but the first is a target once, nothing is dropped, documents can stay apart."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.tokens.blocks import Blocks

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=25).filter(lambda v: sum(v) >= 2)
SIZES = st.integers(1, 40)


def stream(lengths: list[int], dtype: type = np.uint16) -> Any:
    """Something like Shards in memory: token i is 100 + i, so that a token tells its position."""
    tokens = np.arange(100, 100 + sum(lengths), dtype=dtype)
    found = SimpleNamespace(
        split="train", ends=np.cumsum(lengths), read=lambda start, stop: tokens[start:stop]
    )
    return type("Row", (SimpleNamespace,), {"__len__": lambda _: len(tokens)})(**vars(found))


@given(LENGTHS, SIZES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_token_but_the_first_is_a_target_once(lengths: list[int], size: int, isolate: bool) -> None:
    total = sum(lengths)
    blocks = Blocks(stream(lengths), size, isolate=isolate)
    found = [blocks[i] for i in range(len(blocks))]
    targets = [token for block in found for token in block.ids[1:].tolist()]
    inputs = [token for block in found for token in block.ids[:-1].tolist()]
    assert targets == list(range(101, 100 + total)), "each once, in order"
    assert inputs == list(range(100, 99 + total))
    assert len(blocks) == -(-(total - 1) // size)
    assert sum(block.length - 1 for block in found) == total - 1


@given(LENGTHS, SIZES)
@settings(max_examples=100, deadline=None)
def test_neighbours_overlap_by_one_and_only_the_last_is_short(lengths: list[int], size: int) -> None:
    blocks = Blocks(stream(lengths), size)
    found = [blocks[i] for i in range(len(blocks))]
    for one, after in pairwise(found):
        assert one.ids[-1] == after.ids[0]
        assert one.length == len(one.ids) == size + 1
    last = found[-1]
    assert 2 <= last.length == len(last.ids) <= size + 1
    assert last.ids[-1] == 99 + sum(lengths), "nothing is dropped at the end"


def slow_segments(ends: list[int], start: int, stop: int) -> tuple[list[int], list[int]]:
    """Segments and positions of the tokens [start, stop) of documents with the given ends."""
    eos = {end - 1 for end in ends}
    segments: list[int] = []
    positions: list[int] = []
    for place in range(start, stop):
        opens = place in eos  # the EOS of a document opens the segment of the next one
        if not segments:
            segments.append(int(opens))
            positions.append(0)
        elif opens:
            segments.append(segments[-1] + 1)
            positions.append(0)
        else:
            segments.append(segments[-1])
            positions.append(positions[-1] + 1)
    return segments, positions


@given(LENGTHS, SIZES)
@settings(max_examples=200, deadline=None)
def test_segments_and_positions_equal_a_slow_reference(lengths: list[int], size: int) -> None:
    blocks = Blocks(stream(lengths), size, isolate=True)
    for i in range(len(blocks)):
        expected = slow_segments(
            np.cumsum(lengths).tolist(), i * size, min(i * size + size + 1, sum(lengths))
        )
        assert (blocks[i].segments.tolist(), blocks[i].positions.tolist()) == expected


@given(LENGTHS, SIZES)
@settings(max_examples=50, deadline=None)
def test_without_isolation_a_block_is_one_segment(lengths: list[int], size: int) -> None:
    blocks = Blocks(stream(lengths), size)
    for i in range(len(blocks)):
        block = blocks[i]
        assert block.segments.tolist() == [0] * block.length
        assert block.positions.tolist() == list(range(block.length))


@given(LENGTHS, SIZES, st.booleans())
@settings(max_examples=50, deadline=None)
def test_types_and_purity(lengths: list[int], size: int, isolate: bool) -> None:
    blocks = Blocks(stream(lengths), size, isolate=isolate)
    for i in (len(blocks) - 1, 0):
        one, again = blocks[i], blocks[i]
        assert (one.ids.dtype, one.segments.dtype, one.positions.dtype) == (np.int64, np.int32, np.int32)
        assert len(one.ids) == len(one.segments) == len(one.positions) == one.length
        one.ids[:] = 0  # a block is the caller's own
        assert np.array_equal(blocks[i].ids, again.ids)


@given(LENGTHS, SIZES, st.data())
@settings(max_examples=100, deadline=None)
def test_tokens_of_counts_real_inputs(lengths: list[int], size: int, data: st.DataObject) -> None:
    blocks = Blocks(stream(lengths), size)
    ids = np.array(data.draw(st.lists(st.integers(0, len(blocks) - 1), max_size=20)), dtype=np.int64)
    assert blocks.tokens_of(ids) == sum(blocks[int(i)].length - 1 for i in ids)


def test_the_blocks_of_one_stream_are_those_of_every_epoch() -> None:
    blocks = Blocks(stream([10, 3]), 4)
    assert blocks.at(0) is blocks.at(7) is blocks and blocks.sizes == len(blocks) == 3


def test_numbers_outside_are_refused() -> None:
    blocks = Blocks(stream([10]), 4)
    assert len(blocks) == 3
    for i in (-1, 3, 100):
        with pytest.raises(IndexError):
            blocks[i]


def test_too_few_tokens() -> None:
    with pytest.raises(InputError, match="the train split has 1 tokens; a block needs at least 2"):
        Blocks(stream([1]), 4)


def test_ids_above_the_range_of_int16_keep_their_value() -> None:
    row = stream([3])
    row.read = lambda start, stop: np.array([65_499, 40_000, 0], dtype=np.uint16)[start:stop]
    assert Blocks(row, 8)[0].ids.tolist() == [65_499, 40_000, 0]
