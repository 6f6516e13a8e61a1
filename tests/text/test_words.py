"""Words: those of transformers' own word tokenizers, nothing lost at NUL or in long texts, clear errors."""

from __future__ import annotations

import gzip
import importlib.util
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.text import words

DICTIONARIES = ("ipadic", "unidic-lite", "sudachi")
ODD = [
    "", " ", "\n\n", "  二つ の\u3000空白 ", "a\x1cb\x1f", "あ\x85い\u2028う", "タブ\tと\r\n復帰", "\ufeff印",
    "🙂👨‍👩‍👧‍👦と🇯🇵", "ｶﾞｷﾞｸﾞ ㍿ ①", "が", "[MASK]と[UNK]</s>", "a" * 300, "12,345.6円",
    "\U000f0000x", "\x01\x7f",
]  # fmt: skip
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
KANA = st.text(st.sampled_from("あいうねこのはがをに。、「」山川大小食べ走 ーカナ\n\ta1"), max_size=40)


def theirs(dictionary: str) -> Any:
    """The word tokenizer inside transformers' BertJapaneseTokenizer."""
    from transformers.models.bert_japanese import tokenization_bert_japanese as their

    if dictionary == "sudachi":
        kind = words.sudachi_type("sudachi")
        return their.SudachiTokenizer(sudachi_split_mode="A", sudachi_dict_type=kind)
    return their.MecabTokenizer(mecab_dic=words.MECAB[dictionary])


@pytest.fixture(scope="module", params=DICTIONARIES)
def pair(request: pytest.FixtureRequest) -> tuple[words.Segmenter, Any]:
    pytest.importorskip("sudachipy" if request.param == "sudachi" else words.MECAB[request.param])
    return words.segmenter(request.param), theirs(request.param)


def visible(found: list[str]) -> list[str]:
    """Without white space, as WordPiece takes them."""
    return [part for word in found for part in word.split()]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts(pair: tuple[words.Segmenter, Any], text: str) -> None:
    ours, their = pair
    assert ours.words(text) == visible(their.tokenize(text))


@given(st.lists(st.one_of(ANY, KANA), max_size=4).map("".join))
@settings(max_examples=150, deadline=None)
@example("すもももももももものうち")
def test_any_text(pair: tuple[words.Segmenter, Any], text: str) -> None:
    ours, their = pair
    assert ours.words(text) == visible(their.tokenize(text))


def test_real_text(pair: tuple[words.Segmenter, Any], real_data: Path) -> None:
    ours, their = pair
    with gzip.open(real_data / "ja" / "debian-docs-a.txt.gz", "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[::20]
    assert [ours.words(line) for line in lines] == [visible(their.tokenize(line)) for line in lines]


def test_words_are_the_text(pair: tuple[words.Segmenter, Any], sample_text: Path) -> None:
    text = sample_text.read_text(encoding="utf-8")[:5000]
    found = pair[0].words(text)
    assert "".join(found) == "".join(unicodedata.normalize("NFKC", text).split()) and len(found) > 1000


def test_nothing_is_lost_at_nul(pair: tuple[words.Segmenter, Any]) -> None:
    assert pair[0].words("ねこ\0いぬ") == ["ねこ", "いぬ"], "MeCab itself stops at NUL"
    assert pair[0].words("\0") == []


def test_long_texts_are_cut_for_the_library(pair: tuple[words.Segmenter, Any]) -> None:
    sentence = "これは長い文です。"
    text = sentence * 10_000
    found = pair[0].words(text)
    assert found == pair[0].words(sentence) * 10_000, "cut at the ends of sentences"
    without = "あ" * 100_000
    assert "".join(pair[0].words(without)) == without


@pytest.mark.parametrize("dictionary", DICTIONARIES)
def test_versions_and_sizes(dictionary: str) -> None:
    assert words.version(dictionary).count(" ") == 3
    assert 10**7 < words.mapped_bytes(dictionary) < 10**9


@pytest.mark.parametrize(
    ("dictionary", "package", "remedy"),
    [
        ("ipadic", "ipadic", "pip install ipadic"),
        ("unidic-lite", "unidic_lite", "pip install unidic-lite"),
        ("ipadic", "fugashi", "pip install fugashi"),
        ("sudachi", "sudachipy", "pip install sudachipy"),
    ],
)
def test_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, dictionary: str, package: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"the words of {dictionary} need a package") as caught:
        words.segmenter(dictionary)
    assert remedy in caught.value.remedy


def test_no_dictionary_of_sudachi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        words.segmenter("sudachi")
    assert caught.value.remedy == "pip install sudachipy sudachidict-core"
    with pytest.raises(InputError) as caught:
        words.segmenter("sudachi-full")
    assert caught.value.remedy == "pip install sudachipy sudachidict-full"
