"""How generated text is measured against the corpus."""

from __future__ import annotations

import dataclasses

import pytest

from tane.sample import StoryCheck, check_stories

CORPUS = ["犬が走る。「行こう。」と言った。", "猫が魚を食べる。"]


def test_all_copied() -> None:
    assert check_stories(["犬が走る。猫が魚を食べる。"], CORPUS) == StoryCheck(2, 1.0, 0.0)


def test_recombined_words_are_not_outside() -> None:
    found = check_stories(["犬が魚を食べる。"], CORPUS)
    assert found == StoryCheck(1, 0.0, 0.0)


def test_unknown_words_are_outside() -> None:
    # 犬 が 空 を 走る 。 : one of six words is not in the corpus
    found = check_stories(["犬が空を走る。"], CORPUS)
    assert found.outside_share == pytest.approx(1 / 6)


def test_an_unfinished_end_counts_for_words_only() -> None:
    found = check_stories(["犬が走る。猫が空"], CORPUS)
    assert found.sentences == 1
    assert found.verbatim_share == 1.0
    assert found.outside_share == pytest.approx(1 / 7)


def test_speech_is_part_of_its_sentence() -> None:
    assert check_stories(["「行こう。」と言った。"], CORPUS) == StoryCheck(1, 1.0, 0.0)
    assert check_stories(["「行こう。」と走る。"], CORPUS).verbatim_share == 0.0


def test_lines_and_blanks() -> None:
    assert check_stories(["犬が走る。\n\n 猫が魚を食べる。\n"], CORPUS).sentences == 2


def test_nothing_at_all() -> None:
    assert check_stories([], CORPUS) == StoryCheck(0, 0.0, 0.0)
    assert check_stories([""], []) == StoryCheck(0, 0.0, 0.0)


def test_the_corpus_may_be_an_iterator() -> None:
    assert check_stories(["犬が走る。"], iter(CORPUS)).verbatim_share == 1.0


def test_the_line_to_print() -> None:
    line = str(StoryCheck(40, 0.25, 0.0125))
    assert line == (
        "40 finished sentences: 25.0% stand word for word in the corpus; "
        "1.2% of all words do not occur in it."
    )
    assert "\n" not in line


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        StoryCheck(1, 0.0, 0.0).sentences = 2  # type: ignore[misc]
