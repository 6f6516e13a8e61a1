"""Each sentence of a model card has its Japanese, with the same things filled in."""

import re
from pathlib import Path

import pytest

from tane.use import card
from tane.use.card_words import ENGLISH, JAPANESE, TABLE


@pytest.mark.parametrize("english", TABLE)
def test_both_languages_fill_in_the_same(english: str) -> None:
    places = [sorted(re.findall(r"{(\w+)}", text)) for text in (english, TABLE[english])]
    assert places[0] == places[1] and re.search("[ぁ-んァ-ヶ一-龠{]", TABLE[english])


def test_english_stands_as_it_is() -> None:
    assert ENGLISH("{count} examples of {file}", count=3, file="a{b}.csv") == "3 examples of a{b}.csv"
    assert ENGLISH.heading("Limits") == "## Limits" and JAPANESE.heading("Limits") == "### 限界"


def test_what_has_no_japanese_is_an_error() -> None:
    with pytest.raises(KeyError):
        JAPANESE("nobody translated this")


def test_no_translation_is_of_a_sentence_that_is_gone() -> None:
    """Whole sentences stand in card.py as they are, others in two parts around what is chosen."""
    source = Path(card.__file__).read_text(encoding="utf-8")
    for english in TABLE:
        parts = re.split(r"repeats what its training text says|answers as the examples of its training do"
                         r"|masked token|token\b|A {type} model.*|The Python above.*", english)  # fmt: skip
        assert all(part.strip("(). ") in source for part in parts), english
