"""Characters as numbers: code points, hashes of their runs, and rules kept as tables."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tane.text.chartable import FACTOR, SCATTER, CharTable, codepoints, ngrams


@given(st.text(st.characters()))
def test_codepoints_are_those_of_the_characters(text: str) -> None:
    assert codepoints(text).tolist() == [ord(char) for char in text]


@given(st.text("あい"), st.integers(1, 6))
def test_equal_runs_and_no_others_have_equal_hashes(text: str, length: int) -> None:
    keys = ngrams(codepoints(text), length).tolist()
    runs = [text[start : start + length] for start in range(len(text) - length + 1)]
    assert len(keys) == len(runs)
    assert [keys.index(key) for key in keys] == [runs.index(run) for run in runs]


def test_hashes_are_the_same_everywhere() -> None:
    key = 0
    for char in "日本語の文":
        key = (key * FACTOR + ord(char)) % 2**64
    key = ((key ^ key >> 32) * SCATTER) % 2**64
    assert ngrams(codepoints("日本語の文"), 5).tolist() == [key ^ key >> 32] == [5538906752342957692]


def test_a_rule_is_asked_once_for_each_character() -> None:
    asked: list[str] = []

    def rule(char: str) -> int:
        asked.append(char)
        return ord(char) % 7

    table = CharTable(rule)
    for text in ("", "abcab", "cab\U0010ffff"):
        found = table(codepoints(text))
        assert found.dtype == np.uint8
        assert found.tolist() == [ord(char) % 7 for char in text]
    assert sorted(asked) == ["a", "b", "c", "\U0010ffff"]
