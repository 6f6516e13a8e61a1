"""Segments and blocks: nothing lost, nothing twice, packed as tightly as best fit can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane import files
from tane.errors import InputError
from tane.recipe import Recipe, prepare
from tane.tokens import segments as module
from tane.tokens.encoder import Encoder
from tane.tokens.mix import Mix, mixed
from tane.tokens.order import Sizes, global_batch
from tane.tokens.segments import (
    MixedSegmentBlocks,
    SegmentBlocks,
    Segments,
    count_blocks,
    pack,
    segment_blocks,
)
from tane.tokens.shards import Shards, write_index
from tane.types import Vocabulary

PAD, UNK, CLS, SEP, MASK, FIRST = range(6)  # FIRST: the first id that a text may have
VOCABULARY = Vocabulary(100_000, SEP, PAD, MASK, CLS, SEP, (PAD, UNK, CLS, SEP, MASK))
Documents = list[list[int]]
Make = Callable[..., Shards]


def write(
    folder: Path, documents: Documents, starts: list[list[bool]] | None = None, *, weights: Any = None,
    split: str = "train",
) -> Shards:  # fmt: skip
    """Shards in two files of documents without their ends; starts: where words start in each, also at its
    end."""
    cut = len(documents) // 2
    bits: dict[str, bytes] = {}

    def fill(temporary: Path) -> dict[str, Any]:
        for number, part in enumerate((slice(0, cut), slice(cut, None))):
            rows = [[*document, SEP] for document in documents[part]]
            tokens = np.array([token for row in rows for token in row], dtype=np.int32)
            (temporary / f"{split}-{number:05d}.bin").write_bytes(tokens.tobytes())
            lengths = np.array([len(row) for row in rows], int)
            write_index(temporary / f"{split}-{number:05d}.idx", lengths, np.dtype(np.int32))
            if starts is not None:
                flat = np.array([start for row in starts[part] for start in row], dtype=bool)
                bits[f"{split}-{number:05d}.bits"] = np.packbits(flat).tobytes()
        unknown = sum(document.count(UNK) for document in documents)
        meta = {"eos_id": SEP, "splits": {split: {"unknown": unknown}}}
        return {**meta, "weights": weights} if weights is not None else meta

    def fill_words(temporary: Path) -> dict[str, Any]:
        for name, raw in bits.items():
            (temporary / name).write_bytes(raw)
        return {"shards": shards.fingerprint}

    shards = files.publish(folder / "shards", "shards", fill)
    if starts is None:
        return Shards(folder / "shards", split)
    files.publish(folder / "words", "words", fill_words)
    return Shards(folder / "shards", split, folder / "words")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make(documents, starts, weights=...): shards in a folder of their own."""
    return lambda *given, **named: write(tmp_path_factory.mktemp("segments"), *given, **named)


def numbered(lengths: list[int]) -> Documents:
    """Documents of the given lengths in which every token occurs once, so that it tells its place."""
    ends = np.cumsum([0, *lengths]).tolist()
    return [list(range(FIRST + a, FIRST + b)) for a, b in pairwise(ends)]


def plain_blocks(shards: Shards, size: int, words: bool = False) -> SegmentBlocks:
    found = segment_blocks(shards, size, VOCABULARY, words=words)
    assert isinstance(found, SegmentBlocks)
    return found


def texts_of(blocks: SegmentBlocks) -> list[list[int]]:
    """The tokens of each segment, block by block; fails where a block is not what it should be."""
    found = []
    for number in range(len(blocks)):
        block = blocks[number]
        ids = block.ids.tolist()
        assert block.ids.dtype == np.int64 and block.segments.dtype == block.positions.dtype == np.int32
        assert len(ids) == len(block.segments) == len(block.positions) == block.length <= blocks.block_size
        begin = 0
        for segment in range(int(block.segments[-1]) + 1):
            end = ids.index(SEP, begin) + 1
            assert ids[begin] == CLS and end - begin >= 3
            assert block.segments[begin:end].tolist() == [segment] * (end - begin)
            assert block.positions[begin:end].tolist() == list(range(end - begin))
            found.append(ids[begin + 1 : end - 1])
            begin = end
        assert begin == block.length
    return found


def naive_segments(documents: Documents, room: int) -> Documents:
    return [document[i : i + room] for document in documents for i in range(0, len(document), room)]


# ----------------------------------------------------------------------------------------------- packing


def best_fit(lengths: list[int], size: int) -> list[list[int]]:
    """Best fit decreasing, one by one: the longest first, each to the fullest block in which it fits."""
    blocks: list[list[int]] = []
    for length in sorted(lengths, reverse=True):
        fitting = [block for block in blocks if sum(block) + length <= size]
        if fitting:
            max(fitting, key=sum).append(length)
        else:
            blocks.append([length])
    return blocks


def check_pack(lengths: list[int], size: int) -> None:
    order, ends = pack(np.array(lengths, dtype=np.int64), size)
    assert sorted(order.tolist()) == list(range(len(lengths))), "each segment in exactly one block"
    assert (np.diff(ends, prepend=0) > 0).all() and ends[-1:].sum() == len(lengths)
    packed = [[lengths[i] for i in part] for part in np.split(order, ends[:-1])] if len(ends) else []
    expected = best_fit(lengths, size)
    assert Counter(map(sum, packed)) == Counter(map(sum, expected))
    assert max(map(sum, packed), default=0) <= size
    counts = np.bincount(np.array(lengths, dtype=np.int64), minlength=size + 1)
    assert count_blocks(counts, size) == len(ends) == len(expected)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_packing_is_best_fit_decreasing(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    check_pack(data.draw(st.lists(st.integers(1, size), max_size=120)), size)


@pytest.mark.parametrize("seed", range(6))
def test_packing_of_many_segments_as_texts_have_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.rint(rng.lognormal(2.4, 0.7, 600)), 3, 64).astype(int).tolist()
    check_pack([*lengths, *[64] * 20, *[3] * 50], 64)


def test_which_segments_share_a_block_is_fixed_and_spread(make: Make) -> None:
    shards = make(numbered([8] * 600))
    one, two = plain_blocks(shards, 60), plain_blocks(shards, 60)
    assert all(one[i].ids.tolist() == two[i].ids.tolist() for i in range(len(one)))
    begins = np.array([text[0] for text in texts_of(one)]).reshape(-1, 6)
    assert (np.abs(np.diff(begins, axis=1)) > 8).mean() > 0.95, "neighbours in the text stand apart"


# --------------------------------------------------------------------------------- from documents to blocks


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60).filter(any), st.integers(4, 30))
@settings(max_examples=60, deadline=None)
def test_every_token_of_the_text_is_in_one_segment_in_order(
    make: Make, lengths: list[int], size: int
) -> None:
    documents = numbered(lengths)
    shards = make(documents)
    blocks = plain_blocks(shards, size)
    expected = naive_segments(documents, size - 2)
    found = texts_of(blocks)
    assert sorted(found) == expected, "tokens in are tokens out; empty documents have no segment"
    assert blocks.num_segments == len(expected) and blocks.sizes == len(blocks) and blocks.at(7) is blocks
    used = sum(block.length for block in (blocks[i] for i in range(len(blocks))))
    assert blocks.filled == pytest.approx(used / (len(blocks) * size))
    table = Segments(shards, size - 2, VOCABULARY)
    assert table.dropped == 0 and len(table.first) == len(documents) + 1
    for number, document in enumerate(documents):
        mine = table.of(np.array([number]))
        rows = [
            shards.read(b, b + n).tolist() for b, n in zip(table.begin[mine], table.length[mine], strict=True)
        ]
        assert rows == naive_segments([document], size - 2)


def test_a_block_outside_the_row_is_an_error(make: Make) -> None:
    blocks = plain_blocks(make(numbered([5, 6])), 8)
    for number in (-1, len(blocks)):
        with pytest.raises(IndexError):
            blocks[number]


@pytest.mark.parametrize("scan", [1, 7, 1 << 24])
def test_segments_of_unknown_tokens_alone_are_left_out_and_counted(
    make: Make, monkeypatch: pytest.MonkeyPatch, scan: int
) -> None:
    monkeypatch.setattr(module, "SCAN", scan)
    rng = np.random.default_rng(scan)
    documents = numbered(rng.integers(0, 14, 120).tolist())
    documents = [[UNK if rng.random() < 0.6 else token for token in document] for document in documents]
    documents[0], documents[60], documents[-1] = [UNK] * 9, [UNK], [UNK, UNK, 99]
    expected = naive_segments(documents, 4)
    usable = [text for text in expected if set(text) != {UNK}]
    shards = make(documents)
    blocks = plain_blocks(shards, 6)
    assert sorted(texts_of(blocks)) == sorted(usable)
    assert blocks.table.dropped == len(expected) - len(usable) > 10
    for number, document in enumerate(documents):
        mine = blocks.table.of(np.array([number]))
        assert len(mine) == sum(set(text) != {UNK} for text in naive_segments([document], 4))


def test_text_without_a_known_token_is_refused(make: Make) -> None:
    with pytest.raises(InputError, match="the train split has no text with a known token"):
        plain_blocks(make([[UNK] * 5, [], [UNK]]), 8)


@pytest.mark.parametrize("weight", [2, 0.5])
def test_a_mix_without_a_known_token_is_refused(make: Make, weight: float) -> None:
    mix = mixed(make([[UNK] * 5, [UNK]], weights=[[weight, 2]]), 0)
    assert isinstance(mix, Mix)
    with pytest.raises(InputError, match="no text with a known token"):
        segment_blocks(mix, 8, VOCABULARY, words=False)


@pytest.mark.parametrize("missing", ["cls_id", "sep_id", "mask_id"])
def test_a_tokenizer_without_a_needed_token_is_refused(make: Make, missing: str) -> None:
    name = {"cls_id": r"\[CLS\]", "sep_id": r"\[SEP\]", "mask_id": r"\[MASK\]"}[missing]
    with pytest.raises(InputError, match=f"the tokenizer has no {name} token"):
        segment_blocks(make([[7]]), 8, VOCABULARY._replace(**{missing: None}), words=False)


def test_starts_come_with_their_tokens_and_a_sep_tells_whether_the_word_goes_on(make: Make) -> None:
    rng = np.random.default_rng(0)
    documents = numbered([13, 4, 1, 0, 30, 8])
    starts = [[True, *(rng.random(len(d) - 1) < 0.5).tolist(), True] if d else [True] for d in documents]
    starts[4][6] = False  # the second segment begins inside a word
    truth = {
        token: bit
        for d, row in zip(documents, starts, strict=True)
        for token, bit in zip(d, row, strict=False)
    }
    blocks = plain_blocks(make(documents, starts), 8, words=True)
    cut = 0
    for number in range(len(blocks)):
        block = blocks[number]
        assert block.starts is not None and block.starts.dtype == bool and len(block.starts) == block.length
        for place, token in enumerate(block.ids.tolist()):
            last = int(block.ids[place - 1])
            # no two documents touch in their numbers: the next token of the text is in it, or none is
            goes_on = any(last in d and last != d[-1] for d in documents)
            expected = truth[token] if token >= FIRST else True
            if token == SEP and goes_on:
                expected = truth[last + 1]
                cut += not expected
            assert block.starts[place] == expected, (number, place)
    assert cut > 1
    assert plain_blocks(make(documents), 8)[0].starts is None


# -------------------------------------------------------------------------------------------------- mixes


def mixed_blocks(shards: Shards, size: int, seed: int = 0) -> MixedSegmentBlocks:
    found = segment_blocks(mixed(shards, seed), size, VOCABULARY, words=False)
    assert isinstance(found, MixedSegmentBlocks)
    return found


def test_documents_of_a_mix_come_as_often_as_their_weight_says(make: Make) -> None:
    lengths = [1 + (7 * i + i * i) % 19 for i in range(40)]
    documents = numbered(lengths)
    blocks = mixed_blocks(make(documents, weights=[[1, 10], [2, 8], [0.5, 12], [2.25, 10]]), 9)
    weights = np.repeat([1, 2, 0.5, 2.25], [10, 8, 12, 10])
    assert isinstance(blocks.sizes, Sizes)
    seen: Counter[tuple[int, ...]] = Counter()
    for epoch in range(8):
        now = Counter(map(tuple, texts_of(blocks.at(epoch))))
        assert blocks.sizes[epoch] == len(blocks.at(epoch))
        for document, weight in zip(documents, weights, strict=True):
            counts = {now[tuple(text)] for text in naive_segments([document], 7)}
            assert len(counts) == 1 and counts <= {int(np.floor(weight)), int(np.ceil(weight))}
        seen.update(now)
    for document, weight in zip(documents, weights, strict=True):
        assert {seen[tuple(text)] for text in naive_segments([document], 7)} == {int(8 * weight)}
    assert sum(seen.values()) == sum(
        8 * w * len(naive_segments([d], 7)) for d, w in zip(documents, weights, strict=True)
    )


def test_whole_weights_have_epochs_of_one_size(make: Make) -> None:
    blocks = mixed_blocks(make(numbered([5] * 20), weights=[[1, 10], [3, 10]]), 16)
    assert blocks.sizes == len(blocks.at(0)) and blocks.at(0) is blocks.at(5)
    assert Counter(Counter(map(tuple, texts_of(blocks.at(0)))).values()) == {1: 10, 3: 10}


def test_the_last_two_epochs_of_a_mix_are_kept_and_are_the_same_when_made_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = make(numbered([3 + i % 9 for i in range(60)]), weights=[[0.5, 60]])
    blocks = mixed_blocks(shards, 16)
    first = {epoch: texts_of(blocks.at(epoch)) for epoch in range(3)}
    assert first[0] != first[1]
    made: list[int] = []
    original = Mix.stream
    monkeypatch.setattr(Mix, "stream", lambda self, epoch: (made.append(epoch), original(self, epoch))[1])
    assert blocks.at(2) is blocks.at(2) and blocks.at(1) is blocks.at(1) and made == []
    assert texts_of(blocks.at(0)) == first[0] and made == [0]
    other = mixed_blocks(shards, 16, seed=1)
    assert texts_of(other.at(0)) != first[0]


def test_every_block_of_a_mix_is_seen_once_an_epoch(make: Make) -> None:
    blocks = mixed_blocks(make(numbered([3 + i % 9 for i in range(60)]), weights=[[0.5, 31], [1, 29]]), 16)
    assert isinstance(blocks.sizes, Sizes)
    row: list[tuple[int, int]] = []
    while not row or row[-1][0] < 3:
        row += zip(*(a.tolist() for a in global_batch(len(row) // 7, 7, blocks.sizes, 0)), strict=True)
    for epoch in range(3):
        assert sorted(i for e, i in row if e == epoch) == list(range(len(blocks.at(epoch))))


# --------------------------------------------------------------------------------------------- real sentences


def prepare_masked(folder: Path, kind: str, pieces: int, **corpus: Any) -> Path:
    """The data folder of a masked model with words of its own."""
    values = {
        "run_dir": str(folder / "run"), "data_dir": str(folder / "data"), "corpus": corpus,
        "tokenizer": {"kind": kind, "vocab_size": pieces},
        "objective": {"name": "masked", "block_size": 128, "whole_word": True},
    }  # fmt: skip
    prepare(Recipe.from_mapping(values))
    return folder / "data"


@cache
def prepare_snow(root: Path, real_data: Path) -> Path:
    """40,000 short sentences with their words, made once for all test files."""
    source = str(real_data / "short" / "snow-t15-shared.xlsx")
    return prepare_masked(
        root / "snow", "mecab-wordpiece", 8000, inputs=[source], column="#やさしい日本語", valid_fraction=0.05
    )


@pytest.fixture(scope="session")
def snow(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    return prepare_snow(tmp_path_factory.getbasetemp(), real_data)


def test_short_sentences_fill_their_blocks(snow: Path) -> None:
    vocabulary = Encoder(snow / "tokenizer").vocabulary
    for split, share in (("train", 0.995), ("valid", 0.97)):
        shards = Shards(snow / "shards", split, snow / "words")
        blocks = segment_blocks(shards, 128, vocabulary, words=True)
        assert isinstance(blocks, SegmentBlocks)
        assert blocks.filled >= share
        assert blocks.num_segments + blocks.table.dropped == (shards.lengths > 1).sum()
        tokens = sum(
            block.length - 2 * (int(block.segments[-1]) + 1)
            for block in (blocks[i] for i in range(len(blocks)))
        )
        assert tokens == blocks.table.length.sum()
