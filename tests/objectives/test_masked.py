"""Masks: as many as there should be, where they may be, as evenly as chance has it, and repeatable."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tane.errors import InputError
from tane.objectives.masked import Masked
from tane.recipe import Recipe
from tane.text.corpus import Corpus
from tane.tokens.encoder import Encoder
from tane.tokens.order import key
from tane.tokens.segments import SegmentBlocks, segment_blocks
from tane.tokens.shards import Shards
from tane.types import IGNORE, Batch, Block, Vocabulary
from tests.tokens.test_segments import CLS, FIRST, MASK, PAD, SEP, UNK, prepare_masked, prepare_snow

V = 45  # pieces; the model has 64 rows
VOCABULARY = Vocabulary(V, SEP, PAD, MASK, CLS, SEP, (PAD, UNK, CLS, SEP, MASK))


def block_of(texts: list[list[int]], starts: list[list[bool]] | None = None) -> Block:
    """A block of segments; starts: of each text's tokens and of what comes after it."""
    ids = [token for text in texts for token in (CLS, *text, SEP)]
    segments = [number for number, text in enumerate(texts) for _ in range(len(text) + 2)]
    positions = [place for text in texts for place in range(len(text) + 2)]
    bits = None if starts is None else np.array([bit for row in starts for bit in (True, *row)])
    return Block(
        np.array(ids, dtype=np.int64), np.array(segments, dtype=np.int32),
        np.array(positions, dtype=np.int32), len(ids), bits,
    )  # fmt: skip


def random_blocks(seed: int, count: int, size: int, *, words: bool, unknown: float = 0.1) -> list[Block]:
    """Blocks of segments of any length, with unknown tokens, words of any length and words that are cut."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        texts: list[list[int]] = []
        starts = []
        room = size
        while room >= 3 and (not texts or rng.random() < 0.9):
            length = int(rng.integers(1, min(room - 2, 24) + 1))
            text = rng.integers(FIRST, V, length)
            text[rng.random(length) < unknown] = UNK
            text[rng.integers(length)] = FIRST  # one may be a target
            texts.append(text.tolist())
            starts.append((rng.random(length + 1) < rng.choice([0.1, 0.5, 0.9])).tolist())
            room -= length + 2
        found.append(block_of(texts, starts if words else None))
    return found


def keys_of(count: int, name: str = "test") -> list[int]:
    return [key(name, number) for number in range(count)]


def segments_of(block: Block, vocabulary: Vocabulary = VOCABULARY) -> list[range]:
    """The places of the tokens between [CLS] and [SEP] of each segment."""
    ends = np.flatnonzero(block.ids == vocabulary.sep_id).tolist()
    return [range(a + 2, b) for a, b in zip([-1, *ends], ends, strict=False)]


def units_of(block: Block, segment: range, *, words: bool) -> list[list[int]]:
    """What may be hidden in a segment: whole words of known tokens, or, where it has none, known tokens."""
    known = [[place] for place in segment if block.ids[place] != UNK]
    if not words:
        return known
    assert block.starts is not None
    groups: list[list[int]] = []
    for place in segment:
        if block.starts[place] or not groups:
            groups.append([])
        groups[-1].append(place)
    whole = [group for group in groups if all(block.ids[place] != UNK for place in group)]
    if not block.starts[segment.start] and groups[0] in whole:
        whole.remove(groups[0])  # it began in the segment before
    if not block.starts[segment.stop] and groups[-1] in whole:
        whole.remove(groups[-1])  # it goes on in the next one
    return whole or known


def check(objective: Masked, blocks: Sequence[Block], batch: Batch, vocabulary: Vocabulary) -> None:
    """All that holds for every batch, by looking at each segment."""
    inputs, labels = batch.inputs["input_ids"].numpy(), batch.labels.numpy()
    segments, positions = batch.segments, batch.inputs["position_ids"].numpy()
    assert segments is not None
    assert batch.num_segments == sum(1 + int((row[1:] != row[:-1]).sum()) for row in segments)
    shape = len(blocks), objective.block_size
    assert inputs.shape == labels.shape == positions.shape == tuple(segments.shape) == shape
    assert inputs.dtype == labels.dtype == positions.dtype == np.int64 and segments.dtype == torch.int32
    assert batch.num_targets == (labels != IGNORE).sum()
    assert batch.num_tokens == sum(block.length for block in blocks)
    for row, block in enumerate(blocks):
        n = block.length
        target = labels[row] != IGNORE
        assert not target[n:].any() and (inputs[row, n:] == vocabulary.pad_id).all()
        assert (segments[row, n:] == -1).all() and positions[row, n:].tolist() == list(range(shape[1] - n))
        assert segments[row, :n].tolist() == block.segments.tolist()
        assert positions[row, :n].tolist() == block.positions.tolist()
        assert (labels[row][target] == block.ids[target[:n].nonzero()[0]]).all()
        assert (inputs[row, :n] == block.ids)[~target[:n]].all(), "what is no target is shown as it is"
        assert not np.isin(labels[row][target], vocabulary.special_ids).any()
        drawn = inputs[row][target & (inputs[row] != MASK)]
        assert not np.isin(drawn, vocabulary.special_ids).any() and (drawn < vocabulary.size).all()
        for segment in segments_of(block):
            chosen = {place for place in segment if target[place]}
            units = units_of(block, segment, words=objective.whole_word)
            taken = [unit for unit in units if chosen.issuperset(unit)]
            assert sorted(place for unit in taken for place in unit) == sorted(chosen), "whole units alone"
            budget = max(1, round(objective.mask_prob * sum(block.ids[p] != UNK for p in segment)))
            if len(chosen) > budget:
                assert taken == [min(taken, key=len)] and len(taken[0]) == min(map(len, units))
                continue
            assert chosen, "no segment without a target"
            left = [unit for unit in units if unit not in taken]
            assert all(len(unit) > budget - len(chosen) for unit in left), "no more would have fitted"
            assert objective.whole_word or len(chosen) == budget


PROBABILITIES = (1e-6, 0.05, 0.15, 0.4, 0.5, 0.99)


@pytest.mark.parametrize("probability", PROBABILITIES)
@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("span", [None, 1.0, 3.0])
def test_each_segment_has_its_share_of_targets(probability: float, words: bool, span: float | None) -> None:
    objective = Masked(block_size=60, mask_prob=probability, whole_word=words, span=span)
    blocks = random_blocks(int(probability * 1e6), 60, 60, words=words)
    check(objective, blocks, objective.batch(blocks, keys_of(60), VOCABULARY), VOCABULARY)


@pytest.mark.parametrize("words", [False, True])
def test_segments_of_one_token_and_blocks_of_one_segment(words: bool) -> None:
    objective = Masked(block_size=12, whole_word=words)
    texts = [[[FIRST]], [[FIRST]] * 4, [[UNK, FIRST, UNK]], [[FIRST] * 10]]
    blocks = [block_of(t, [[True] * (len(row) + 1) for row in t] if words else None) for t in texts]
    batch = objective.batch(blocks, keys_of(4), VOCABULARY)
    check(objective, blocks, batch, VOCABULARY)
    assert (batch.labels != IGNORE).sum(1).tolist() == [1, 4, 1, 2]


def test_padding_is_never_a_target_even_where_it_is_no_special_token() -> None:
    vocabulary = VOCABULARY._replace(special_ids=(UNK, CLS, SEP, MASK))
    blocks = [block_of([[FIRST] * 3])] * 50
    batch = Masked(block_size=40, whole_word=False).batch(blocks, keys_of(50), vocabulary)
    assert (batch.labels[:, 5:] == IGNORE).all() and batch.num_targets == 50


WORDS = {
    # tokens of the text, whether a word starts at each and after them, and the words that may be hidden
    "plain words": ([6, 7, 8, 9], [1, 0, 1, 0, 1], [{1, 2}, {3, 4}]),
    "the first word began before": ([6, 7, 8, 9], [0, 0, 1, 0, 1], [{3, 4}]),
    "the last word goes on": ([6, 7, 8, 9], [1, 0, 1, 0, 0], [{1, 2}]),
    "a piece of a word is unknown": ([6, UNK, 8, 9], [1, 0, 1, 0, 1], [{3, 4}]),
    "its first piece is": ([UNK, 7, 8, 9], [1, 0, 1, 0, 1], [{3, 4}]),
    "its middle one is": ([6, UNK, 8, 9], [1, 0, 0, 1, 1], [{4}]),
    "what is unknown is a word": ([6, UNK, 8, 9], [1, 1, 1, 0, 1], [{1}, {3, 4}]),
    "all of it is one cut word": ([6, 7, 8, 9], [0, 0, 0, 0, 1], [{1}, {2}, {3}, {4}]),
    "the same, cut at both ends": ([6, UNK, 8, 9], [0, 0, 0, 0, 0], [{1}, {3}, {4}]),
    "no word is whole": ([6, UNK, 8, 9], [0, 0, 1, 0, 0], [{1}, {3}, {4}]),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_are_hidden_as_wholes(name: str) -> None:
    text, starts, words = WORDS[name]
    objective = Masked(block_size=12, mask_prob=0.01)  # one word, or one token
    block = block_of([text, [FIRST]], [[bool(bit) for bit in starts], [True, True]])
    assert units_of(block, segments_of(block)[0], words=True) == [sorted(word) for word in words]
    batch = objective.batch([block] * 200, keys_of(200), VOCABULARY)
    found = [frozenset(np.flatnonzero(row[:6] != IGNORE).tolist()) for row in batch.labels.numpy()]
    shortest = min(map(len, words))
    assert set(found) == {frozenset(word) for word in words if len(word) == shortest}


# ------------------------------------------------------------------------------------------------ chance


def chi_square(counts: Any, expected: Any) -> float:
    """How many standard deviations Pearson's statistic lies above what chance gives."""
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    expected = expected * counts.sum() / expected.sum()
    free = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - free) / np.sqrt(2 * free))


@pytest.fixture(scope="module")
def many() -> tuple[list[Block], Batch]:
    """120,000 targets in segments of 20 tokens."""
    rng = np.random.default_rng(0)
    blocks = [block_of(rng.integers(FIRST, V, (5, 20)).tolist()) for _ in range(8000)]
    return blocks, Masked(block_size=112, whole_word=False).batch(blocks, keys_of(8000), VOCABULARY)


def test_four_in_five_are_hidden_and_one_in_ten_is_replaced(many: tuple[list[Block], Batch]) -> None:
    batch = many[1]
    target = batch.labels != IGNORE
    shown, true = batch.inputs["input_ids"][target], batch.labels[target]
    assert len(true) == batch.num_targets == 120_000
    masked, same = shown == MASK, shown == true
    counts = [int(masked.sum()), int(same.sum()), int((~masked & ~same).sum())]
    chance = 0.1 / (V - FIRST)  # that a random token is the true one
    assert abs(chi_square(counts, [0.8, 0.1 + chance, 0.1 - chance])) < 4
    # what is done to one target tells nothing of the next one
    pairs = masked[:-1].long() * 2 + masked[1:].long()
    assert chi_square(np.bincount(pairs, minlength=4), [0.04, 0.16, 0.16, 0.64]) < 4


def test_every_position_and_token_is_as_likely_a_target(many: tuple[list[Block], Batch]) -> None:
    blocks, batch = many
    target = (batch.labels != IGNORE).numpy()
    places = np.stack([block.positions for block in blocks])[target[:, :110]]
    assert chi_square(np.bincount(places, minlength=22)[1:21], [1] * 20) < 4
    segments = np.stack([block.segments for block in blocks])[target[:, :110]]
    assert np.bincount(segments).tolist() == [3 * 8000] * 5
    occurring = np.bincount(np.concatenate([block.ids for block in blocks]), minlength=V)[FIRST:]
    targets = np.bincount(batch.labels[batch.labels != IGNORE], minlength=V)[FIRST:]
    assert chi_square(targets, occurring) < 4


def test_every_pair_of_positions_is_as_likely() -> None:
    objective = Masked(block_size=8, mask_prob=1 / 3, whole_word=False)
    batch = objective.batch([block_of([[FIRST] * 6])] * 30_000, keys_of(30_000), VOCABULARY)
    chosen = (batch.labels.numpy() != IGNORE)[:, 1:7]
    assert (chosen.sum(1) == 2).all()
    numbers = {pair: number for number, pair in enumerate(combinations(range(6), 2))}
    found = [numbers[a, b] for a, b in np.nonzero(chosen)[1].reshape(-1, 2).tolist()]
    assert chi_square(np.bincount(found, minlength=15), [1] * 15) < 4


@pytest.mark.parametrize("special", [(0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 17, 44), (0, 1, 2, 3, 4, 60)])
def test_replacements_are_drawn_from_all_of_the_real_vocabulary(special: tuple[int, ...]) -> None:
    vocabulary = VOCABULARY._replace(special_ids=special)
    objective = Masked(block_size=64, mask_share=0, random_share=1, mask_prob=0.5, whole_word=False)
    blocks = [block_of([[FIRST] * 60])] * 3500
    batch = objective.batch(blocks, keys_of(3500), vocabulary)
    counts = np.bincount(batch.inputs["input_ids"][batch.labels != IGNORE], minlength=64)
    real = [number for number in range(V) if number not in special]
    assert counts.sum() == 105_000 == counts[real].sum(), "never a special one, never a padded row"
    assert chi_square(counts[real], [1] * len(real)) < 4


@pytest.mark.parametrize(("mask", "random"), [(1.0, 0.0), (0.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_other_shares(mask: float, random: float) -> None:
    objective = Masked(block_size=64, mask_share=mask, random_share=random, whole_word=False)
    batch = objective.batch([block_of([[FIRST] * 60])] * 2000, keys_of(2000), VOCABULARY)
    shown = batch.inputs["input_ids"][batch.labels != IGNORE]
    assert (shown == MASK).float().mean() == pytest.approx(mask, abs=0.02)
    assert (shown == FIRST).float().mean() == pytest.approx(1 - mask - random * 39 / 40, abs=0.02)


def test_shares_that_exceed_one_are_refused() -> None:
    values = {"objective": {"name": "masked", "mask_share": 0.8, "random_share": 0.3}}
    with pytest.raises(InputError, match="mask_share and random_share are more than 1 together"):
        Recipe.from_mapping(values)


# ------------------------------------------------------------------------------------------------- spans


def runs(batch: Batch) -> list[int]:
    """Lengths of the runs of neighbouring targets."""
    found = []
    for row in (batch.labels.numpy() != IGNORE).astype(np.int8):
        edges = np.flatnonzero(np.diff(row, prepend=0, append=0))
        found += (edges[1::2] - edges[::2]).tolist()
    return found


@pytest.mark.parametrize("words", [False, True])
def test_spans_are_longer_and_of_the_same_number_of_tokens(words: bool) -> None:
    text, starts = [[FIRST] * 98], [[True, *[False, True] * 49]]
    blocks = [block_of(text, starts if words else None)] * 400
    means, totals = [], []
    for span in (None, 1.0, 2.0, 4.0, 10.0):
        objective = Masked(block_size=100, span=span, whole_word=words)
        batch = objective.batch(blocks, keys_of(400), VOCABULARY)
        means.append(np.mean(runs(batch)))
        totals.append(batch.num_targets)
    assert len(set(totals)) == 1 and totals[0] == 400 * (14 if words else 15)
    assert means[0] == means[1] and all(b > 1.2 * a for a, b in pairwise(means[1:]))
    assert means[2] == pytest.approx(2 * (2 if words else 1), rel=0.25)


def test_a_span_ends_with_its_segment_and_its_budget() -> None:
    objective = Masked(block_size=64, span=10.0, whole_word=False, mask_prob=0.4)
    blocks = [block_of([[FIRST] * 5] * 8)] * 100
    batch = objective.batch(blocks, keys_of(100), VOCABULARY)
    check(objective, blocks, batch, VOCABULARY)
    chosen = (batch.labels.numpy() != IGNORE)[:, :56].reshape(-1, 7)[:, 1:6]
    together = (chosen[:, :-1] & chosen[:, 1:]).any(1).mean()
    assert (chosen.sum(1) == 2).all() and together > 0.75, "0.4 of the pairs are neighbours by chance"


# --------------------------------------------------------------------------------------------- repeatable


@pytest.mark.parametrize("span", [None, 3.0])
@pytest.mark.parametrize("words", [False, True])
def test_a_row_depends_on_its_block_and_key_alone(words: bool, span: float | None) -> None:
    objective = Masked(block_size=60, whole_word=words, span=span)
    blocks, keys = random_blocks(5, 32, 60, words=words), keys_of(32)
    whole = objective.batch(blocks, keys, VOCABULARY)
    for rows in (1, 5, 32):
        parts = [
            objective.batch(blocks[i : i + rows], keys[i : i + rows], VOCABULARY) for i in range(0, 32, rows)
        ]
        assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
        for name, values in whole.inputs.items():
            assert torch.equal(torch.cat([part.inputs[name] for part in parts]), values)
        assert sum(part.num_targets for part in parts) == whole.num_targets
    order = list(range(32))
    random.Random(1).shuffle(order)
    shuffled = objective.batch([blocks[i] for i in order], [keys[i] for i in order], VOCABULARY)
    assert torch.equal(shuffled.labels, whole.labels[order])
    other = objective.batch(blocks, keys_of(32, "other"), VOCABULARY)
    assert ((other.labels != whole.labels).any(1)).sum() >= 30


# ---------------------------------------------------------------------------------- words of real sentences

SENTENCES = 10_000


def inside_words(text: str) -> list[bool]:
    """Whether each place of a text, its end too, lies inside a word of MeCab."""
    words = tagger().parse(text).split()
    inside, place = [False] * (len(text) + 1), 0
    for word in words:
        place = text.index(word, place)
        inside[place + 1 : place + len(word)] = [True] * (len(word) - 1)
        place += len(word)
    return inside


@cache
def tagger() -> Any:
    import fugashi
    import ipadic

    return fugashi.GenericTagger(f"{ipadic.MECAB_ARGS} -Owakati")


def places_of(tokenizer: Any, text: str, ids: list[int]) -> list[tuple[int, int]]:
    """Where each token of a text begins and ends, by transformers."""
    if tokenizer.is_fast:
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert found["input_ids"] == ids
        return found["offset_mapping"]
    places, at = [], 0
    for piece in tokenizer.convert_ids_to_tokens(ids):
        letters = piece.removeprefix("##")
        begin = text.index(letters, at)
        assert not text[at:begin].strip()
        at = begin + len(letters)
        places.append((begin, at))
    return places


KINDS = {"mecab-wordpiece": 2500, "unigram": 4000}  # few pieces, so that many words have several


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> dict[str, Path]:
    """Data folders of some more sentences than are looked at, for each kind of tokenizer."""
    corpus = Corpus.open(prepare_snow(tmp_path_factory.getbasetemp(), real_data) / "corpus")
    folder = tmp_path_factory.mktemp("sentences")
    path = folder / "sentences.txt"
    path.write_text("\n".join(islice(corpus.texts("train"), 12_000)) + "\n", encoding="utf-8")
    return {
        kind: prepare_masked(folder / kind, kind, pieces, inputs=[str(path)], unit="line", valid_fraction=0.1)
        for kind, pieces in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_mask_on_real_sentences_is_a_union_of_whole_words(
    sentences: dict[str, Path], kind: str
) -> None:
    look = Look(sentences[kind])
    hidden, faults = look.count(whole_word=True, sentences=SENTENCES)
    assert faults == 0 and hidden > 300
    hidden, faults = look.count(whole_word=False, sentences=1000)
    assert faults > 100, "the same look at tokens chosen one by one finds parted words"


class Look:
    """Sentences with the places of their tokens and words, found without tane's own means."""

    def __init__(self, data: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer")
        self.vocabulary = Encoder(data / "tokenizer").vocabulary
        self.shards = Shards(data / "shards", "train", data / "words")
        texts = Corpus.open(data / "corpus").texts("train")
        # one text of those that have the same tokens
        rows = zip(self.shards.documents(), texts, strict=True)
        self.texts = {tuple(ids[:-1].tolist()): text for ids, text in rows}

    def count(self, *, whole_word: bool, sentences: int) -> tuple[int, int]:
        """(pairs of neighbours that are hidden, places where hidden and shown tokens part a word)."""
        objective = Masked(block_size=128, whole_word=whole_word)
        blocks = segment_blocks(self.shards, 128, self.vocabulary, words=whole_word)
        assert isinstance(blocks, SegmentBlocks)
        seen = together = faults = number = 0
        while seen < sentences:
            block = blocks[number]
            batch = objective.batch([block], [key(0, "mask", 0, number)], self.vocabulary)
            target = (batch.labels[0] != IGNORE).numpy()
            for segment in segments_of(block, self.vocabulary):
                ids = block.ids[segment.start : segment.stop].tolist()
                text = self.texts.get(tuple(ids))
                if text is None or not set(ids).isdisjoint(self.vocabulary.special_ids):
                    continue  # a part of a longer text, or one with an unknown token
                hidden = target[segment.start : segment.stop]
                assert hidden.any()
                faults += self.parted(text, ids, np.flatnonzero(hidden[1:] != hidden[:-1]) + 1)
                together += int((hidden[1:] & hidden[:-1]).sum())
                seen += 1
            number += 1
        return together, faults

    def parted(self, text: str, ids: list[int], borders: np.ndarray) -> int:
        """At how many of the borders before tokens a word or a character is parted."""
        places, inside = places_of(self.tokenizer, text, ids), inside_words(text)
        return sum(places[i][0] < places[i - 1][1] or inside[places[i][0]] for i in borders.tolist())


def test_words_that_a_block_cuts_are_left_alone(sentences: dict[str, Path]) -> None:
    data = sentences["mecab-wordpiece"]
    vocabulary = Encoder(data / "tokenizer").vocabulary
    assert vocabulary.special_ids == VOCABULARY.special_ids and vocabulary.sep_id == SEP
    blocks = segment_blocks(Shards(data / "shards", "valid", data / "words"), 9, vocabulary, words=True)
    assert isinstance(blocks, SegmentBlocks)
    rows = [blocks[number] for number in range(len(blocks))]
    ends = [bit for row in rows if row.starts is not None for bit in row.starts[row.ids == SEP].tolist()]
    assert ends.count(False) > 20
    objective = Masked(block_size=9, mask_prob=0.4)
    check(objective, rows, objective.batch(rows, keys_of(len(rows)), vocabulary), vocabulary)
