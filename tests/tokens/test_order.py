"""Order: a bijection at every size, another for every seed and epoch, no pattern; keys never change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.tokens.order import Sizes, global_batch, key, mean_size, permute

SIZES = sorted({1, 2, 3, 5, 6, 7, 1000, *(2**e + d for e in range(2, 13) for d in (-1, 0, 1))})
SEEDS = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize("n", SIZES)
def test_a_permutation_is_a_bijection(n: int) -> None:
    for seed in (0, 1, 2**63 - 1):
        found = permute(np.arange(n), n, seed)
        assert found.dtype == np.int64 and np.array_equal(np.sort(found), np.arange(n))


@given(st.integers(1, 3000), SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_permutation_is_a_bijection_at_any_size(n: int, seed: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(n), n, seed)), np.arange(n))


@given(st.integers(1, 2**40), SEEDS, st.data())
@settings(max_examples=60, deadline=None)
def test_any_position_alone_gives_what_it_gives_among_others(n: int, seed: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
    whole = permute(np.array(places), n, seed)
    assert whole.min() >= 0 and whole.max() < n
    assert [int(permute(np.array([p]), n, seed)[0]) for p in places] == whole.tolist()
    assert len(set(whole.tolist())) == len(set(places))
    square = np.array([places, places])
    assert np.array_equal(permute(square, n, seed), [whole, whole]), "any shape"


def test_the_positions_given_are_not_changed() -> None:
    places = np.arange(10)
    permute(places, 10, 1)
    assert np.array_equal(places, np.arange(10))
    assert permute(np.array([], dtype=np.int64), 10, 1).shape == (0,)


def test_another_seed_is_another_order() -> None:
    n = 2000
    orders = [permute(np.arange(n), n, seed) for seed in range(20)]
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            assert (one == other).sum() < 10  # 1 is expected


def test_small_sets_reach_every_order() -> None:
    for n, count in ((2, 2), (3, 6), (4, 24)):
        found = {tuple(permute(np.arange(n), n, seed).tolist()) for seed in range(60 * count)}
        assert len(found) == count


def chi_square(table: np.ndarray) -> float:
    """Chi-square of a table against equal cells, in standard deviations from what chance gives."""
    expected = table.sum() / table.size
    value = ((table - expected) ** 2 / expected).sum()
    freedom = table.size - 1
    return float((value - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("n", [64, 1000, 1025])
def test_where_a_position_lands_shows_no_pattern(n: int) -> None:
    cells, seeds = 16, 400
    table = np.zeros((cells, cells))
    steps = np.zeros(cells)
    parity = np.zeros((2, 2))
    for seed in range(seeds):
        found = permute(np.arange(n), n, key("test", seed))
        np.add.at(table, (np.arange(n) * cells // n, found * cells // n), 1)
        np.add.at(steps, (np.diff(found) % n) * cells // n, 1)  # neighbours keep no distance
        np.add.at(parity, (np.arange(n) % 2, found % 2), 1)
    rows = np.bincount(np.arange(n) * cells // n, minlength=cells)
    expected = np.outer(rows, rows) / n * seeds
    value = ((table - expected) ** 2 / expected).sum()
    freedom = (cells - 1) ** 2
    assert abs(value - freedom) / np.sqrt(2 * freedom) < 5
    if n % 2 == 0:
        assert chi_square(parity) < 5
    if n == 1000:
        lengths = np.bincount(np.arange(1, n) * cells // n, minlength=cells) / (n - 1) * steps.sum()
        assert ((steps - lengths) ** 2 / lengths).sum() < cells + 5 * np.sqrt(2 * cells)


def test_a_position_of_a_small_set_lands_everywhere_equally_often() -> None:
    n, seeds = 5, 4000
    table = np.zeros((n, n))
    for seed in range(seeds):
        table[np.arange(n), permute(np.arange(n), n, seed)] += 1
    value = ((table - seeds / n) ** 2 / (seeds / n)).sum()
    freedom = (n - 1) ** 2
    assert abs(value - freedom) / np.sqrt(2 * freedom) < 5


# ------------------------------------------------------------------------------------------ global batches


def slow_stream(blocks: int, seed: int, epochs: int) -> list[tuple[int, int]]:
    """All (epoch, block) in order, epoch after epoch."""
    return [
        (epoch, int(block))
        for epoch in range(epochs)
        for block in permute(np.arange(blocks), blocks, key(seed, "order", epoch))
    ]


@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_batches_are_slices_of_the_epochs_one_after_another(blocks: int, batch: int, seed: int) -> None:
    stream = slow_stream(blocks, seed, 4)
    for step in range(4 * blocks // batch):
        epochs, ids = global_batch(step, batch, blocks, seed)
        assert epochs.dtype == ids.dtype == np.int64 and epochs.shape == ids.shape == (batch,)
        pairs = list(zip(epochs.tolist(), ids.tolist(), strict=True))
        assert pairs == stream[step * batch : (step + 1) * batch]


@pytest.mark.parametrize(("blocks", "batch"), [(10, 10), (10, 3), (7, 16), (1, 4), (100, 9)])
def test_no_block_twice_in_an_epoch_and_none_left_out(blocks: int, batch: int) -> None:
    steps = 5 * blocks  # so that whole epochs are used up
    seen: dict[int, list[int]] = {}
    for step in range(steps):
        for epoch, block in zip(*(a.tolist() for a in global_batch(step, batch, blocks, 3)), strict=True):
            seen.setdefault(epoch, []).append(block)
    assert sorted(seen) == list(range(5 * batch))
    assert all(sorted(found) == list(range(blocks)) for found in seen.values())


def test_epochs_have_orders_of_their_own() -> None:
    blocks = 500
    orders = [global_batch(epoch, blocks, blocks, 0)[1] for epoch in range(5)]
    assert all((a == b).sum() < 10 for i, a in enumerate(orders) for b in orders[:i])
    assert not np.array_equal(orders[0], global_batch(0, blocks, blocks, 1)[1])


def test_a_step_far_out_costs_no_more_than_the_first() -> None:
    epochs, ids = global_batch(10**12, 8, 1_000_003, 0)
    assert epochs.tolist() == [8 * 10**12 // 1_000_003] * 8 and len(set(ids.tolist())) == 8


# --------------------------------------------------------------------------------- epochs of different sizes


def sizes_of(pattern: list[int]) -> Sizes:
    """Epochs whose sizes follow a pattern over and over."""
    return Sizes(lambda epochs: np.array(pattern)[epochs % len(pattern)])


PATTERNS = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


@given(PATTERNS, st.integers(1, 80), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_batches_run_on_over_epochs_of_different_sizes(pattern: list[int], batch: int, seed: int) -> None:
    stream = [
        (epoch, int(block))
        for epoch in range(300)
        for size in [pattern[epoch % len(pattern)]]
        for block in permute(np.arange(size), size, key(seed, "order", epoch))
    ]
    sizes = sizes_of(pattern)
    steps = [*range(len(stream) // batch)]
    for step in steps[:3] + steps[-1:] + steps[5:6]:  # no step needs those before it
        epochs, ids = global_batch(step, batch, sizes, seed)
        assert epochs.dtype == ids.dtype == np.int64 and epochs.shape == ids.shape == (batch,)
        pairs = list(zip(epochs.tolist(), ids.tolist(), strict=True))
        assert pairs == stream[step * batch : (step + 1) * batch]


@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_epochs_that_happen_to_be_equal_give_what_a_number_gives(blocks: int, batch: int, step: int) -> None:
    one, other = global_batch(step, batch, blocks, 5), global_batch(step, batch, sizes_of([blocks]), 5)
    assert np.array_equal(one, other)


@given(PATTERNS, st.lists(st.integers(0, 500), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_an_epoch_begins_after_those_before_it(pattern: list[int], epochs: list[int]) -> None:
    sizes = sizes_of(pattern)
    for epoch in epochs:
        assert sizes[epoch] == pattern[epoch % len(pattern)]
        assert sizes.begin(epoch) == sum(pattern[e % len(pattern)] for e in range(epoch))


def test_the_mean_size_counts_whole_epochs_exactly_and_parts_of_one_in_part() -> None:
    sizes = sizes_of([7, 4, 10])
    assert [mean_size(sizes, e) * e for e in (0.5, 1, 1.25, 2, 3, 300)] == [3.5, 7, 8, 11, 21, 2100]
    assert mean_size(sizes, 1e15) == pytest.approx(7, rel=1e-4)
    assert mean_size(sizes_of([0, 4]), 1) == 1, "never nothing"
    assert mean_size(12, 2.5) == 12


# ---------------------------------------------------------------------------------------------------- keys


def test_keys_are_pinned() -> None:
    assert key(0, "order", 0) == 1370560536841482319
    assert key("tokenizer", 12) == 7216875783415097057


def test_batches_are_pinned() -> None:
    assert [a.tolist() for a in global_batch(1, 4, 6, 0)] == [[0, 0, 1, 1], [0, 5, 2, 4]]


@given(st.lists(st.one_of(st.integers(-(10**30), 10**30), st.text(max_size=5)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_keys_fit_63_bits_and_do_not_run_together(parts: list[int | str]) -> None:
    found = key(*parts)
    assert 0 <= found < 2**63 and found == key(*parts)
    assert found != key(*parts, 0)


def test_parts_of_a_key_do_not_run_together() -> None:
    assert len({key(1, 23), key(12, 3), key("123"), key(123, ""), key("", 123)}) == 5
    values = np.array([key("uniform", i) for i in range(20_000)], dtype=np.float64) / 2**63
    assert chi_square(np.histogram(values, bins=64, range=(0, 1))[0].astype(float)) < 5


@pytest.mark.parametrize("size", [5, 4096, 4097, 20_000])
def test_the_order_that_is_kept_for_the_next_steps_is_the_permutation(size: int) -> None:
    for batch in (1, 7, *(min(rows, 200 * size) for rows in (4096, 9000))):
        for step in (0, 1, 3):
            epochs, ids = global_batch(step, batch, size, 11)
            places = np.arange(step * batch, (step + 1) * batch) % size
            for epoch in np.unique(epochs).tolist():
                chosen = epochs == epoch
                assert np.array_equal(ids[chosen], permute(places[chosen], size, key(11, "order", epoch)))
