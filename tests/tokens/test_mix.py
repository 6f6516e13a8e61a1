"""Mixing: documents come whole, as often as their weights say; each token of an epoch is a target once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tane import files
from tane.errors import InputError, IntegrityError
from tane.tokens.blocks import Blocks, MixedBlocks
from tane.tokens.mix import Mix, MixedStream, mixed
from tane.tokens.order import Sizes, global_batch, key, mean_size, permute
from tane.tokens.shards import Shards, write_index

from .test_blocks import slow_segments

Runs = list[tuple[float, int]]  # (weight, how many documents)
Make = Callable[..., Shards]


def write(
    folder: Path, lengths: list[int], weights: Any = None, *, split: str = "train", words: bool = False
) -> Shards:
    """Shards in two files whose token i is i, so that a token tells its document; words: one starts at every
    third token."""
    cut = len(lengths) // 2
    bits: dict[str, bytes] = {}

    def fill(temporary: Path) -> dict[str, Any]:
        begin = 0
        for number, part in enumerate((lengths[:cut], lengths[cut:])):
            tokens = np.arange(begin, begin + sum(part), dtype=np.int32)
            begin += sum(part)
            bits[f"{split}-{number:05d}.bits"] = np.packbits(tokens % 3 == 0).tobytes()
            (temporary / f"{split}-{number:05d}.bin").write_bytes(tokens.tobytes())
            write_index(temporary / f"{split}-{number:05d}.idx", np.array(part, int), np.dtype(np.int32))
        return {"eos_id": 0, "weights": weights} if weights is not None else {"eos_id": 0}

    def fill_words(temporary: Path) -> dict[str, Any]:
        for name, raw in bits.items():
            (temporary / name).write_bytes(raw)
        return {"shards": shards.fingerprint}

    shards = files.publish(folder, "shards", fill)
    if not words:
        return Shards(folder, split)
    files.publish(folder.parent / "words", "words", fill_words)
    return Shards(folder, split, folder.parent / "words")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make(lengths, weights): shards in a folder of their own."""
    return lambda *given, **named: write(tmp_path_factory.mktemp("mix") / "shards", *given, **named)


@pytest.fixture(scope="module")
def four(make: Make) -> Mix:
    """Four weights, one of them in two runs."""
    runs = [(1, 11), (2, 5), (0.5, 8), (2.25, 9), (0.5, 7)]
    return mix_of(make, runs, seed=0)


def lengths_of(runs: Runs, longest: int = 9) -> list[int]:
    return [1 + (7 * i + i * i) % longest for i in range(sum(count for _, count in runs))]


def mix_of(make: Make, runs: Runs, seed: int, longest: int = 9) -> Mix:
    found = mixed(make(lengths_of(runs, longest), [list(run) for run in runs]), seed)
    assert isinstance(found, Mix)
    return found


def documents(stream: MixedStream, shards: Shards) -> list[int]:
    """Numbers of the documents of a stream in its order; fails where one is not whole."""
    begins = [0, *stream.ends[:-1].tolist()]
    tokens = stream.read(0, len(stream))
    numbers = np.searchsorted(shards.ends, tokens[begins], side="right").tolist()
    whole = [shards.read(int(shards.ends[i] - shards.lengths[i]), int(shards.ends[i])) for i in numbers]
    assert tokens.tolist() == np.concatenate(whole).tolist()
    return numbers


# --------------------------------------------------------------------------- how often a document comes

ODD = [0.001, 0.1, 1 / 3, 0.5, 0.75, 0.999, 1, 1.5, 2, 2.25, 3.2, 7]
RUNS = st.lists(st.tuples(st.sampled_from(ODD), st.integers(1, 12)), min_size=1, max_size=5)


def check_appearances(mix: Mix, runs: Runs, epochs: int) -> None:
    weights = np.repeat([w for w, _ in runs], [n for _, n in runs])
    seen = np.zeros(len(weights), dtype=int)
    for epoch in range(epochs):
        stream = mix.stream(epoch)
        if not len(stream):
            continue
        now = np.bincount(documents(stream, mix.shards), minlength=len(weights))
        assert (np.floor(weights) <= now).all() and (now <= np.ceil(weights)).all()
        seen += now
        for weight in set(weights.tolist()):
            expected = Fraction(str(weight)) * (epoch + 1)
            mine = seen[weights == weight]
            assert set(mine.tolist()) <= {math.floor(expected), math.ceil(expected)}
            assert abs(mine.sum() - expected * len(mine)) <= Fraction(1, 2), "rounded over all epochs at once"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counts", [(11, 5, 8, 9), (1, 1, 1, 1), (40, 3, 17, 2)])
def test_after_some_epochs_a_document_has_come_weight_times_epochs(
    make: Make, seed: int, counts: tuple[int, ...]
) -> None:
    runs = list(zip((1.0, 2.0, 0.5, 2.25), counts, strict=True))
    mix = mix_of(make, runs, seed)
    check_appearances(mix, runs, 8)
    total = Counter(i for epoch in range(8) for i in documents(mix.stream(epoch), mix.shards))
    a, b, c, d = (range(sum(counts[:i]), sum(counts[: i + 1])) for i in range(4))
    assert [{total[i] for i in part} for part in (a, b, c, d)] == [{8}, {16}, {4}, {18}]


@given(RUNS.filter(lambda runs: any(w != 1 for w, _ in runs)), st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_the_law_holds_for_any_weights(make: Make, runs: Runs, seed: int) -> None:
    check_appearances(mix_of(make, runs, seed), runs, 7)


def test_a_weight_means_what_was_typed_and_not_the_nearest_binary_fraction(make: Make) -> None:
    mix = mix_of(make, [(0.1, 13), (1.1, 7)], seed=1)
    seen = Counter(i for epoch in range(10) for i in documents(mix.stream(epoch), mix.shards))
    assert [seen[i] for i in range(20)] == [1] * 13 + [11] * 7
    assert len(mix_of(make, [(0.3, 5)], seed=0, longest=1).stream(0)) == 2, "1.5 rounded up, not 1.4999"


def test_far_epochs_do_not_overflow(make: Make) -> None:
    [portion] = mix_of(make, [(1 / 3, 12)], seed=0, longest=1).portions
    for epoch in (10, 10**6, 10**12, 10**15):
        expected = Fraction(str(1 / 3)) * 12 * epoch
        assert portion.tokens_before(np.array([epoch]))[0] == math.floor(expected + Fraction(1, 2))
        assert len(portion.extra(epoch)) == 4


def test_epochs_and_seeds_choose_other_shares_and_a_choice_stays(make: Make) -> None:
    shards = make(lengths_of([(0.5, 60)]), [[0.5, 60]])
    chosen = [
        [frozenset(documents(Mix(shards, np.full(60, 0.5), seed).stream(e), shards)) for e in range(4)]
        for seed in (0, 1, 0)
    ]
    assert chosen[0] == chosen[2] and chosen[0][0] != chosen[1][0]
    assert chosen[0][0] == chosen[0][2] and chosen[0][0] | chosen[0][1] == set(range(60))
    assert not chosen[0][0] & chosen[0][1]
    assert chosen[0][0] not in ({*range(30)}, {*range(30, 60)}, {*range(0, 60, 2)}, {*range(1, 60, 2)})


def test_a_choice_is_pinned(make: Make) -> None:
    mix = mix_of(make, [(1, 2), (1.5, 6)], seed=0)
    assert [documents(mix.stream(epoch), mix.shards) for epoch in (0, 1)] == [
        [2, 5, 0, 3, 4, 6, 7, 5, 1, 6, 7],
        [2, 0, 3, 4, 5, 2, 1, 6, 7, 3, 4],
    ]


# --------------------------------------------------------------------------------- no weights, whole ones


@pytest.mark.parametrize("weights", [None, [[1, 20]], [[1.0, 4], [1, 16]], []])
def test_weights_of_one_leave_the_shards_alone(make: Make, weights: Any) -> None:
    shards = make(lengths_of([(1, 20)]), weights)
    assert mixed(shards, 3) is shards
    blocks = Blocks(shards, 8)
    assert blocks.at(5) is blocks and blocks.sizes == len(blocks) == -(-(len(shards) - 1) // 8)
    assert np.shares_memory(shards.read(2, 9), shards._parts[0]), "read in place"


@pytest.mark.parametrize("weight", [1, 3, 4.0])
def test_a_whole_weight_for_all_is_so_many_passes(make: Make, weight: float) -> None:
    shards = make(lengths_of([(weight, 23)]), [[weight, 23]])
    mix = Mix(shards, np.full(23, float(weight)), 0)
    whole = shards.read(0, len(shards)).tolist()
    for epoch in (0, 1, 10**6):
        assert mix.stream(epoch).read(0, len(mix.stream(epoch))).tolist() == whole * int(weight)
    blocks = MixedBlocks(mix, 8)
    assert blocks.sizes == -(-(len(shards) * weight - 1) // 8) and blocks.at(0) is blocks.at(10**12)


def test_other_splits_are_never_weighted(make: Make) -> None:
    shards = make([3, 4], [[2, 7]], split="valid")
    assert mixed(shards, 0) is shards


@pytest.mark.parametrize("weights", [[[2, 4]], [[2, 3], [1, 3]]])
def test_weights_of_other_documents_are_refused(make: Make, weights: Any) -> None:
    with pytest.raises(IntegrityError, match=r"weights for \d documents, and they hold 5"):
        mixed(make([3, 4, 5, 6, 7], weights), 0)


# ------------------------------------------------------------------------------------------ reading a stream


@given(RUNS.filter(lambda runs: any(w != 1 for w, _ in runs)), st.integers(0, 3), st.data())
@settings(max_examples=80, deadline=None)
def test_reading_equals_a_naive_concatenation(
    make: Make, runs: Runs, epoch: int, data: st.DataObject
) -> None:
    mix = mix_of(make, runs, seed=7)
    stream = mix.stream(epoch)
    assert len(stream) == mix.tokens(np.array([epoch]))[0]
    if not len(stream):
        return
    rows = [
        mix.shards.read(int(mix.shards.ends[i] - mix.shards.lengths[i]), int(mix.shards.ends[i]))
        for i in documents(stream, mix.shards)
    ]
    whole = np.concatenate(rows)
    assert stream.ends.tolist() == np.cumsum([len(row) for row in rows]).tolist()
    for _ in range(10):
        start = data.draw(st.integers(0, len(stream) - 1))
        stop = data.draw(st.integers(start + 1, len(stream)))
        assert stream.read(start, stop).tolist() == whole[start:stop].tolist()


def test_the_starts_of_words_come_with_their_tokens(make: Make) -> None:
    runs = [[1, 11], [2, 5], [0.5, 8], [2.25, 9]]
    mix = mixed(make([5] * 33, runs, words=True), 0)
    assert isinstance(mix, Mix)
    rng = np.random.default_rng(3)
    for epoch in range(4):
        stream = mix.stream(epoch)
        assert stream.documents.tolist() == documents(stream, mix.shards)
        for start, stop in [(0, len(stream)), *np.sort(rng.integers(0, len(stream), (60, 2))).tolist()]:
            if start < stop:
                starts = stream.read_starts(start, stop)
                assert starts.dtype == bool
                assert starts.tolist() == (stream.read(start, stop) % 3 == 0).tolist()


def test_the_order_of_the_shards_is_kept_within_a_weight(four: Mix) -> None:
    for epoch in range(4):
        order = documents(four.stream(epoch), four.shards)
        assert [i for i in order if i < 11] == list(range(11))
        assert [i for i in order if 11 <= i < 16] == [*range(11, 16)] * 2
        halves = [i for i in order if 16 <= i < 24 or i >= 33]
        assert halves == sorted(halves)


@pytest.mark.parametrize("runs", [
    [(1, 600), (10, 30)], [(100, 3), (1, 3000)], [(1, 300), (2.25, 50), (0.5, 100)], [(1.01, 400)],
    [(3.5, 200)], [(6, 8), (10, 3), (1, 900)],
])  # fmt: skip
def test_two_copies_of_a_document_are_never_in_one_block(make: Make, runs: Runs) -> None:
    mix = mix_of(make, runs, seed=0, longest=40)
    for epoch in range(2):
        stream = mix.stream(epoch)
        order = np.array(documents(stream, mix.shards))
        begins = np.concatenate([[0], stream.ends[:-1]])
        for document in set(order.tolist()):
            places = np.flatnonzero(order == document)
            for one, other in pairwise(places.tolist()):
                assert begins[other] - stream.ends[one] > 64, (document, one, other)


# ----------------------------------------------------------------------------------------------------- blocks


def row_of(blocks: MixedBlocks, seed: int, batch: int, count: int) -> list[tuple[int, int]]:
    """The first `count` (epoch, block) of training in batches of the given size."""
    row: list[tuple[int, int]] = []
    for step in range(-(-count // batch)):
        epochs, ids = global_batch(step, batch, blocks.sizes, seed)
        row += zip(epochs.tolist(), ids.tolist(), strict=True)
    return row[:count]


@pytest.mark.parametrize("size", [1, 5, 16])
def test_every_token_of_an_epoch_but_its_first_is_a_target_once(four: Mix, size: int) -> None:
    blocks = MixedBlocks(four, size)
    assert isinstance(blocks.sizes, Sizes)
    count = blocks.sizes.begin(4)
    row = row_of(blocks, 9, 7, count)
    assert [epoch for epoch, _ in row] == sorted(epoch for epoch, _ in row)
    for epoch in range(4):
        mine = [i for e, i in row if e == epoch]
        assert sorted(mine) == list(range(len(blocks.at(epoch)))) and len(mine) == blocks.sizes[epoch]
        targets = [token for i in mine for token in blocks.at(epoch)[i].ids[1:].tolist()]
        stream = four.stream(epoch)
        assert Counter(targets) == Counter(stream.read(1, len(stream)).tolist())
        assert mine == permute(np.arange(len(mine)), len(mine), key(9, "order", epoch)).tolist()
    assert len({blocks.sizes[epoch] for epoch in range(4)}) > 1 or size == 16, "epochs differ in length"


def test_the_row_of_blocks_does_not_depend_on_batches_or_processes(four: Mix) -> None:
    blocks = MixedBlocks(four, 4)
    expected = row_of(blocks, 0, 1, 500)
    for batch in (7, 64):
        fresh = MixedBlocks(four, 4)
        assert row_of(fresh, 0, batch, 500) == expected
        step = 400 // batch
        resumed = global_batch(step, batch, MixedBlocks(four, 4).sizes, 0)  # knows no earlier step
        pairs = list(zip(*(a.tolist() for a in resumed), strict=True))
        assert pairs == expected[step * batch : (step + 1) * batch]
    dealt = [global_batch(step, 64, blocks.sizes, 0) for step in range(7)]
    ranks = [[(e, i) for epochs, ids in dealt for e, i in zip(epochs[r::4], ids[r::4], strict=True)]
             for r in range(4)]  # fmt: skip
    assert sorted(pair for rank in ranks for pair in rank) == sorted(expected[: 7 * 64])


@given(RUNS.filter(lambda runs: any(w > 1 for w, _ in runs)), st.integers(2, 30), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_segments_and_positions_go_on_over_passes(make: Make, runs: Runs, size: int, epoch: int) -> None:
    mix = mix_of(make, runs, seed=2)
    assume(mix.mean_tokens >= 2)
    blocks, stream = MixedBlocks(mix, size, isolate=True).at(epoch), mix.stream(epoch)
    ends = np.cumsum(mix.shards.lengths[documents(stream, mix.shards)]).tolist()
    for i in range(len(blocks)):
        expected = slow_segments(ends, i * size, min(i * size + size + 1, len(stream)))
        assert (blocks[i].segments.tolist(), blocks[i].positions.tolist()) == expected


def test_the_last_two_epochs_are_kept(four: Mix, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Mix.stream
    monkeypatch.setattr(Mix, "stream", lambda self, epoch: (made.append(epoch), original(self, epoch))[1])
    blocks = MixedBlocks(four, 4)
    for epoch in (0, 0, 1, 0, 1, 2, 1, 2, 0):
        assert np.array_equal(blocks.at(epoch)[3].ids, Blocks(original(four, epoch), 4)[3].ids)
    assert made == [0, 1, 2, 0]


def test_finding_a_place_far_out_makes_no_stream(four: Mix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mix, "stream", None)
    blocks = MixedBlocks(four, 4)
    assert isinstance(blocks.sizes, Sizes)
    epochs, ids = global_batch(100_000, 8, blocks.sizes, 0)
    mean = mean_size(blocks.sizes, 4)  # all shares have come round after 4 epochs
    assert blocks.sizes.begin(4 * 5000) == 4 * 5000 * mean
    assert blocks.sizes.begin(int(epochs[0])) <= 800_000 < blocks.sizes.begin(int(epochs[-1]) + 1)
    assert (ids < [blocks.sizes[epoch] for epoch in epochs.tolist()]).all()


def test_epochs_without_a_block_are_passed_over(make: Make) -> None:
    mix = mix_of(make, [(0.25, 1)], seed=0, longest=1)
    with pytest.raises(InputError, match=r"an epoch has 0\.25 tokens by its weights"):
        MixedBlocks(mix, 4)
    shards = make([1, 40], [[0.25, 2]])  # the document of one token alone gives no block
    blocks = MixedBlocks(Mix(shards, np.full(2, 0.25), 0), 8)
    assert isinstance(blocks.sizes, Sizes)
    sizes = [blocks.sizes[epoch] for epoch in range(8)]
    assert sorted(sizes) == [0] * 6 + [5] * 2
    epochs, _ = global_batch(0, 10, blocks.sizes, 0)
    assert epochs.tolist() == [sizes.index(5)] * 5 + [sizes.index(5) + 4] * 5
