"""Bare tokenizer files made into folders: GPT-2's two files, and vocabularies of WordPieces."""

from __future__ import annotations

import json
import sys
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertJapaneseTokenizer

from tane.errors import InputError
from tane.tokens import taken
from tane.tokens.encoder import Encoder
from tests.tokens import make_bad_tokenizers as bad
from tests.tokens.models import TEXTS, config_of, plain, take


@pytest.fixture(scope="module")
def lines(sample_text: Path) -> list[str]:
    return sample_text.read_text(encoding="utf-8").split("\n")[:300]


# -------------------------------------------------------------------------------------------- byte-level BPE


@cache
def byte_letters() -> dict[int, str]:
    """GPT-2's letter for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in kept]
    return {b: chr(b) for b in kept} | {b: chr(256 + i) for i, b in enumerate(moved)}


class SlowBpe:
    """GPT-2's encoding as its paper and code describe it, word by word and merge by merge."""

    def __init__(self, vocabulary: Path, merges: Path) -> None:
        self.ids = json.loads(vocabulary.read_text(encoding="utf-8"))
        pairs = [
            tuple(line.split(" ")) for line in merges.read_text(encoding="utf-8").split("\n")[1:] if line
        ]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}

    def encode(self, text: str) -> list[int]:
        return [number for word in self.words(text) for number in self.word(word)]

    def words(self, text: str) -> list[str]:
        """Contractions, letters, digits and others, each with one space before; then the remaining spaces."""
        found, place = [], 0
        while place < len(text):
            start = place
            for short in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
                if text.startswith(short, place):
                    place += len(short)
                    break
            else:
                place += text[place] == " " and place + 1 < len(text) and not text[place + 1].isspace()
                kind = self.kind(text[place])
                while place < len(text) and self.kind(text[place]) == kind:
                    place += 1
                if kind == "space" and place < len(text) and place - start > 1:
                    place -= 1  # the last one goes to the word behind it
            found.append(text[start:place])
        return found

    @staticmethod
    def kind(letter: str) -> str:
        names = {"L": "letter", "N": "digit"}
        category = unicodedata.category(letter)[0]
        return "space" if letter.isspace() else names.get(category, "other")

    def word(self, word: str) -> list[int]:
        parts = [byte_letters()[b] for b in word.encode()]
        while True:
            pairs = set(pairwise(parts)) & self.ranks.keys()
            if not pairs:
                return [self.ids[part] for part in parts]
            best = min(pairs, key=self.ranks.__getitem__)
            joined, place = [], 0
            while place < len(parts):
                both = tuple(parts[place : place + 2]) == best
                joined.append("".join(best) if both else parts[place])
                place += 1 + both
            parts = joined


@pytest.fixture(scope="module")
def gpt2(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, SlowBpe]:
    source = real_data / "tokenizers" / "gpt2"
    auto = take(source, tmp_path_factory.mktemp("gpt2") / "taken")
    return auto, SlowBpe(source / "encoder.json", source / "vocab.bpe")


def test_gpt2s_known_ids(gpt2: tuple[Any, SlowBpe]) -> None:
    auto, _ = gpt2
    assert auto("Hello world")["input_ids"] == [15496, 995]
    assert (auto.eos_token, auto.eos_token_id, len(auto), auto.pad_token) == (
        "<|endoftext|>",
        50256,
        50257,
        None,
    )
    spelled = auto("a<|endoftext|>b")["input_ids"]
    assert 50256 not in spelled and auto.decode(spelled) == "a<|endoftext|>b", "text stays text"


def test_gpt2s_ids_on_text(gpt2: tuple[Any, SlowBpe], real_data: Path) -> None:
    auto, slow = gpt2
    english = (real_data / "en" / "wikitext-2" / "test.txt").read_text(encoding="utf-8").split("\n")[:300]
    japanese = (real_data / "ja" / "wikipedia-jsquad-valid.txt").read_text(encoding="utf-8").split("\n")[:60]
    for text in [*TEXTS[:-1], *english, *japanese]:
        ids = auto(text)["input_ids"]
        assert ids == slow.encode(text), text
        assert auto.decode(ids) == text


@given(st.text(st.sampled_from("ab c'sltdre1Ａあ\u3000#$ \n\t\u00e9"), max_size=30))
@settings(max_examples=200, deadline=None)
def test_gpt2s_ids_on_any_text(gpt2: tuple[Any, SlowBpe], text: str) -> None:
    auto, slow = gpt2
    assert auto(text)["input_ids"] == slow.encode(text) and auto.decode(slow.encode(text)) == text


def test_all_names_of_the_two_files(tmp_path: Path) -> None:
    ids = []
    for names in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        place = tmp_path / names[0]
        place.mkdir()
        (place / names[0]).write_text(json.dumps(bad.byte_level()), "utf-8")
        (place / names[1]).write_text("#version: 0.2\na b\n", "utf-8")
        for name in (place, place / names[0], place / names[1]):
            auto = take(name, tmp_path / f"taken{len(ids)}")
            ids.append(auto("abba <|endoftext|>")["input_ids"])
            assert auto.eos_token_id == len(auto) - 1
        (place / names[1]).unlink()
        with pytest.raises(InputError, match=f"{names[0]} needs {names[1]} beside it"):
            taken.take(place / names[0], tmp_path)
    assert ids == [ids[0]] * 6 and ids[0][0] == bad.byte_level()["ab"]


@pytest.mark.parametrize("mask", [None, "<mask>"])
def test_a_mask_is_found_in_a_text_but_never_in_one_that_is_trained_on(
    tmp_path: Path, mask: str | None
) -> None:
    special = ["</s>", *([mask] if mask else [])]
    pieces = [piece for piece in bad.byte_level() if piece != "<|endoftext|>"] + special
    bad.pair({piece: number for number, piece in enumerate(pieces)}, "a b\n")(tmp_path / "source")
    auto = take(tmp_path / "source", tmp_path / "taken")
    assert config_of(tmp_path / "taken").get("split_special_tokens") is (None if mask else True)
    assert auto.mask_token == mask
    text = "a<mask>b</s>"
    assert (auto.mask_token_id in auto(text)["input_ids"]) == (mask is not None)
    ids = Encoder(tmp_path / "taken").encode_batch([text])[0]
    assert not {*auto.all_special_ids} & {*ids.tolist()} and auto.decode(ids) == text


def test_a_mask_of_wordpieces_too(tmp_path: Path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "[", "]", "mask", "x"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    auto = take(tmp_path, tmp_path / "taken")
    assert auto("a [MASK] x")["input_ids"] == [2, 5, 4, 9, 3]
    assert Encoder(tmp_path / "taken").encode_batch(["a [MASK] x"])[0].tolist() == [5, 6, 8, 7, 9]


def test_a_vocabulary_without_all_bytes_is_refused(tmp_path: Path) -> None:
    bad.pair({"a": 0, "b": 1, "ab": 2}, "a b\n")(tmp_path / "source")
    with pytest.raises(
        InputError, match="no vocabulary of a byte-level BPE like GPT-2's: it lacks 254 bytes"
    ):
        take(tmp_path / "source", tmp_path / "taken")


# ------------------------------------------------------------------------------------------------ WordPiece

MECAB = {"ipadic": "ipadic", "unidic-lite": "unidic_lite"}


@pytest.mark.parametrize("dictionary", [*MECAB, "sudachi"])
def test_a_japanese_vocabulary(real_data: Path, tmp_path: Path, lines: list[str], dictionary: str) -> None:
    vocabulary = real_data / "tokenizers" / "bert-base-japanese-v3-vocab.txt"
    auto = take(vocabulary, tmp_path / "taken", dictionary=dictionary)
    assert type(auto) is BertJapaneseTokenizer and config_of(tmp_path / "taken")["do_lower_case"] is False
    if dictionary == "sudachi":
        kinds = config_of(tmp_path / "taken")["sudachi_kwargs"]
        words: dict[str, Any] = {"word_tokenizer_type": "sudachi", "sudachi_kwargs": kinds}
    else:
        words = {"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": MECAB[dictionary]}}
    by_hand = BertJapaneseTokenizer(str(vocabulary), subword_tokenizer_type="wordpiece", **words)
    texts = [*TEXTS, *lines[:100]]
    assert [auto(text)["input_ids"] for text in texts] == [by_hand(text)["input_ids"] for text in texts]
    assert len(auto) == 32768 and auto.mask_token_id == by_hand.mask_token_id
    assert auto("猫", "犬")["token_type_ids"] == [0, 0, 0, 1, 1], "which parts the texts of a pair"
    again = take(tmp_path / "taken", tmp_path / "again")
    assert [again(text)["input_ids"] for text in texts] == [auto(text)["input_ids"] for text in texts]
    assert again("猫", "犬")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_a_japanese_vocabulary_needs_a_dictionary(real_data: Path, tmp_path: Path) -> None:
    vocabulary = real_data / "tokenizers" / "bert-base-japanese-v3-vocab.txt"
    with pytest.raises(InputError, match=r"holds Japanese .* but does not say who cuts words") as caught:
        take(vocabulary, tmp_path / "taken")
    assert "--tokenizer.dictionary unidic-lite" in caught.value.remedy


def test_a_dictionary_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "猫"]), "utf-8"
    )
    monkeypatch.setitem(sys.modules, "unidic_lite", None)
    with pytest.raises(InputError, match="not installed") as caught:
        take(tmp_path, tmp_path / "taken", dictionary="unidic-lite")
    assert "pip install" in caught.value.remedy and "unidic-lite" in caught.value.remedy


@pytest.mark.parametrize(("piece", "lower", "ids"), [("hello", True, [5, 5]), ("Hello", False, [1, 5])])
def test_an_english_vocabulary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], piece: str, lower: bool, ids: list[int]
) -> None:
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        piece,
        "##s",
        *(f"x{i}" for i in range(20)),
        "の",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    auto = take(tmp_path, tmp_path / "taken")
    assert plain(auto, ["hello Hello"]) == [ids] and plain(auto, [piece + "s"]) == [[5, 6]]
    assert config_of(tmp_path / "taken")["do_lower_case"] is lower
    assert ("in lower case" if lower else "as it is") in capsys.readouterr().err


def test_a_text_file_is_no_vocabulary(tmp_path: Path) -> None:
    for data, match in (
        (b"a\nb\n", r"has no \[PAD\] and no \[UNK\]"),
        (b"\xff\xfe\n", "is not UTF-8: byte 0"),
    ):
        (tmp_path / "notes.txt").write_bytes(data)
        with pytest.raises(InputError, match=match):
            taken.take(tmp_path / "notes.txt", tmp_path)
