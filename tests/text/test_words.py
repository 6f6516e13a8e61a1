"""Words: those of transformers' own word tokenizers, nothing lost at NUL or in long texts, clear errors."""

from __future__ import annotations

import gzip
import importlib.util
import sys
import unicodedata
from importlib import metadata
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


def shown(dictionary: str, text: str) -> str:
    """A text with a bar before each character that is not inside a word."""
    found = words.insides(dictionary)(text)
    assert found.dtype == bool and found.shape == (len(text),)
    return "".join(char if inside else f"|{char}" for char, inside in zip(text, found, strict=True))


@given(st.lists(st.one_of(ANY, KANA), max_size=4).map("".join))
@settings(max_examples=150, deadline=None)
@example("a\0あ\0\0い\0")
@example("㍿ｶﾞの ")
def test_places_are_those_of_the_words_of_the_text_as_it_is(
    pair: tuple[words.Segmenter, Any], text: str
) -> None:
    ours, their = pair
    found = ours.inside(text)
    assert found.shape == (len(text),) and found.dtype == bool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unicodedata, "normalize", lambda form, given: given)
        expected = visible(their.tokenize(text.replace("\0", " ")))
    place = 0
    for word in expected:
        place = text.index(word, place)
        assert found[place : place + len(word)].tolist() == [False] + [True] * (len(word) - 1)
        place += len(word)
    assert found.sum() == sum(len(word) - 1 for word in expected), "no blank is inside a word"


def test_places_in_long_texts(pair: tuple[words.Segmenter, Any]) -> None:
    sentence = "これは長い文です。\n"
    found = pair[0].inside(sentence * 3000)
    assert found.tolist() == pair[0].inside(sentence).tolist() * 3000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("私は学校へ行きました。", "|私は|学校へ|行きました|。"),
        ("これはペンだ", "|これは|ペン|だ"),
        ("コンピューターでらーめん", "|コンピューター|でらーめん"),
        ("人々がいすゞとバナヽを", "|人々がいすゞと|バナヽ|を"),
        ("か\u3099の木カ\u3099", "|か\u3099の|木|カ\u3099"),
        ("ｶﾞｷﾞは", "|ｶﾞｷﾞ|は"),
        ("「山」……ー", "|「|山|」|…|…ー"),
        ("GPT-2を2024年に", "|GPT|-|2|を|2024|年に"),
        ("Ａb c\u3000 \0d\n", "|Ａb| |c|\u3000| |\0|d|\n"),
        (" ー\u3099あ", "| |ー\u3099|あ"),
        ("🙂👨\u200d👩は", "|🙂|👨\u200d|👩|は"),
        ("Приветмир한국", "|Приветмир한국"),
        ("", ""),
    ],
)
def test_words_by_the_scripts(text: str, expected: str) -> None:
    assert shown("script", text) == expected


@given(ANY)
@settings(max_examples=100, deadline=None)
def test_the_scripts_cut_any_text(text: str) -> None:
    found = words.inside_scripts(text)
    assert found.shape == (len(text),) and not found[:1].any()
    assert not any(inside for char, inside in zip(text, found, strict=True) if char.isspace())


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


def test_a_version_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    with pytest.raises(InputError, match="the words of ipadic need a package") as caught:
        words.version("ipadic")
    assert caught.value.remedy == "pip install fugashi"
    assert words.version("script").startswith("script 1, Unicode ")


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
