"""What becomes of each document: the rule in arrays beside the rule in words."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.text import fates
from tane.text.fates import Fate
from tane.text.pieces import ROW

Digest = tuple[int, int, int]  # high and low of the text, and the key by which duplicates are found


def rows_of(digests: list[Digest], cuts: list[int]) -> list[np.ndarray]:
    """Rows of documents of 10, 11, 12, ... characters, divided into pieces."""
    rows = np.array([(high, low, key, key, 10 + n) for n, (high, low, key) in enumerate(digests)], dtype=ROW)
    return np.split(rows, sorted(min(c, len(rows)) for c in cuts))


def told(digests: list[Digest], valid: int, share: float, exact: bool) -> list[Fate]:
    """The rule as one would say it."""
    seen: set[int] = set()
    given = {digest[:2] for digest in digests[:valid]}
    found = []
    for number, digest in enumerate(digests):
        if number >= valid and digest[:2] in given:
            found.append(Fate.IN_VALIDATION)
        elif exact and digest[2] in seen:
            found.append(Fate.DUPLICATE)
        else:
            chosen = number < valid or digest[0] < int(share * 2**64)
            found.append(Fate.VALID if chosen else Fate.TRAIN)
        seen.add(digest[2])
    return found


numbers = st.sampled_from([0, 1, 2**31, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1])


@given(
    st.lists(st.tuples(numbers, st.integers(0, 2), numbers), max_size=40),
    st.integers(0, 12), st.sampled_from([0.0, 0.02, 0.5, 0.999]), st.booleans(),
    st.lists(st.integers(0, 40), max_size=3), st.sampled_from([1, 3, 1000]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_rule(
    digests: list[Digest], valid: int, share: float, exact: bool, cuts: list[int], limit: int
) -> None:
    valid = min(valid, len(digests))
    share = 0.0 if valid else share
    found = np.empty(len(digests), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fates, "LIMIT", limit)
        rows = rows_of(digests, cuts)
        fates.decide(rows, valid, share, exact=exact, fates=found)
    assert [Fate(int(f)) for f in found] == told(digests, valid, share, exact)
    counts = fates.totals(rows, found)
    for fate in Fate:
        places = [n for n, f in enumerate(found) if f == fate]
        assert counts[fate] == (len(places), sum(10 + n for n in places))
        assert fates.first_of(found, fate, 2) == places[:2]
        if places:
            by_digest = sorted(places, key=lambda n: (digests[n][0], n))
            assert digests[fates.nearest(rows, found, fate, lowest=True)][0] == digests[by_digest[0]][0]
            assert digests[fates.nearest(rows, found, fate, lowest=False)][0] == digests[by_digest[-1]][0]


def test_runs_put_neighbours_together() -> None:
    values = iter([(1.0, 2), (1.0, 3), (2.0, 0), (1.0, 1), (0.5, 4), (1.0, 1)])
    assert fates.runs(values) == [[1.0, 6], [0.5, 4], [1.0, 1]]


@pytest.mark.parametrize("distinct", [1, 1000, 400_000])
def test_memory_is_bounded_however_many_documents_are_equal(
    distinct: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fates, "STEP", 5_000)
    monkeypatch.setattr(fates, "LIMIT", 10_000)
    rows = np.zeros(400_000, dtype=ROW)
    numbers = np.arange(len(rows), dtype=np.uint64) % np.uint64(distinct)
    rows["high"] = rows["key_high"] = numbers * np.uint64(0x9E3779B97F4A7C15)
    for number, some in enumerate(np.split(rows, [100_000, 100_001])):
        some.tofile(tmp_path / f"{number}.bin")
    told = fates.Rows([tmp_path / f"{number}.bin" for number in range(3)])
    assert told.count == len(rows) and max(map(len, told)) <= 5_000
    found = np.empty(len(rows), dtype=np.uint8)
    del rows, numbers
    tracemalloc.start()
    try:
        fates.decide(told, 0, 0.0, exact=True, fates=found, place=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000, "10,000 digests take about 100 bytes each, and 5,000 rows as much"
    assert (found[:distinct] == Fate.TRAIN).all() and (found[distinct:] == Fate.DUPLICATE).all()
    assert fates.totals(told, found)[Fate.TRAIN][0] == distinct
    assert len(list(tmp_path.iterdir())) == 3, "the temporary file has no name"
