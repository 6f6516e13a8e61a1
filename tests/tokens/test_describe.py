"""What a tokenizer is: every kind of spelling is read, and the pieces are counted by script."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Regex, normalizers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tane.tokens import spm
from tane.tokens.describe import Spelling, _letters, describe
from tane.tokens.encoder import Encoder
from tane.tokens.tokenizer import load_tokenizer
from tests.tokens import small


def test_a_character_tokenizer(tmp_path: Path) -> None:
    found = describe(load_tokenizer(small.characters(tmp_path, "あいア漢1a。 ")))
    assert json.loads(json.dumps(found)) == found
    assert (found["kind"], found["vocabulary"]) == ("WordLevel", 10)
    assert found["special_tokens"] == [
        {"token": "[UNK]", "id": 0, "roles": ["unk"]}, {"token": "</s>", "id": 1, "roles": ["eos"]},
    ]  # fmt: skip
    assert found["scripts"] == {
        "special": 0.2, "hiragana": 0.2, "katakana": 0.1, "kanji": 0.1, "digits": 0.1, "latin": 0.1,
        "punctuation": 0.1, "space": 0.1,
    }  # fmt: skip
    assert found["normalizer"] == "none" and found["pre_tokenizer"] == "1 pattern"
    assert not found["byte_level"] and not found["byte_fallback"]


def test_pieces_are_read_without_their_marks(tmp_path: Path) -> None:
    words = Spelling(load_tokenizer(small.wordpiece(tmp_path / "words", ["東京", "##都", "##"])))
    assert [words.text(n) for n in range(2, 5)] == ["東京", "都", "##"]
    unigrams = Spelling(load_tokenizer(small.byte_fallback(tmp_path / "bytes", ["▁東京", "都▁", "▁"])))
    assert unigrams.byte_fallback and not unigrams.byte_level
    assert unigrams.text(2 + 0xE3) is None and unigrams.shown(2 + 0xE3) == "<E3>"
    assert [unigrams.text(n) for n in range(258, 261)] == [" 東京", "都 ", " "]
    assert [unigrams.shown(n) for n in range(258, 261)] == ["▁東京", "都▁", "▁"]
    assert unigrams.byte_pieces.sum() == 256 and not unigrams.byte_pieces[[0, 1, 258]].any()
    scripts = describe(unigrams.tokenizer)["scripts"]
    assert scripts == {"bytes": 256 / 261, "special": 2 / 261, "kanji": 2 / 261, "space": 1 / 261}


def test_byte_level_pieces_are_text_where_they_are_whole_characters(tmp_path: Path) -> None:
    assert _letters() == {letter: byte for byte, letter in bytes_to_unicode().items()}
    tokenizer = load_tokenizer(small.byte_level(tmp_path))
    spelling = Spelling(tokenizer)
    numbers = {piece: number for piece, number in tokenizer.get_vocab().items()}
    assert spelling.text(numbers["ãģĤ"]) == "あ" and spelling.text(numbers["Ġ"]) == " "
    assert spelling.text(numbers["ãģ"]) is None and spelling.shown(numbers["ãģ"]) == "<E3 81>"
    assert spelling.text(numbers["é"]) is None
    special = Spelling(load_tokenizer(small.byte_level(tmp_path, "<é>")))
    assert special.text(0) == "<é>" and special.byte_pieces.sum() == 129
    assert spelling.byte_pieces.sum() == 128 + 1  # half of the bytes, and the half of あ


def test_a_tokenizer_of_transformers_own(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(small.japanese_bert(tmp_path, ["東京", "##都", "abc"], do_lower_case=True))
    found = describe(tokenizer)
    assert found["kind"] == found["class"] == "BertJapaneseTokenizer"
    assert found["normalizer"] == "NFKC, lower case" and found["pre_tokenizer"].startswith("mecab (ipadic)")
    assert Spelling(tokenizer).text(6) == "都" and Spelling(tokenizer).normalized("ＡｱB") == "aアb"
    assert {"mask", "sep"} <= {role for token in found["special_tokens"] for role in token["roles"]}


def test_normalising_is_the_tokenizers_own(tmp_path: Path) -> None:
    spelling = Spelling(load_tokenizer(small.byte_fallback(tmp_path, ["あ"])))
    assert spelling.normalized("ｱ〜 ①") == "ア~ 1"
    assert spelling.normalizer == "NFKC, Replace '〜' '~'"


def test_a_normaliser_is_told_in_a_line(tmp_path: Path) -> None:
    rules = [normalizers.Replace(Regex("[あ-ん]"), "か"), normalizers.Replace("\u200b", "")]
    steps = [normalizers.NFC(), *rules, normalizers.Prepend("▁"), normalizers.Lowercase()]
    spelling = Spelling(load_tokenizer(small.characters(tmp_path, "あ", normalizers.Sequence(steps))))
    assert spelling.normalizer == "NFC, Prepend '▁', Lowercase, 2 patterns"


def test_a_trained_unigram_tokenizer(real_data: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copyfile(real_data / "tokenizers/wiki-ja-albert-32000.model", model)
    spm.save(model, tmp_path)
    found = describe(Encoder(tmp_path).tokenizer)
    assert found["kind"] == "Unigram" and found["vocabulary"] == pytest.approx(32000, abs=3)
    assert found["longest"][0] == "の世帯数と人口は以下の通りである" and len(found["longest"]) == 10
    assert sum(found["scripts"].values()) == pytest.approx(1) and found["scripts"]["kanji"] > 0.4
    assert not found["byte_fallback"]  # it has no pieces for bytes
