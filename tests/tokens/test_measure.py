"""What a tokenizer does to a text: every figure counted by hand on tiny ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from tane.tokens.encoder import Encoder
from tane.tokens.measure import differences, measure
from tests.tokens import small

LETTERS = "あいう漢\n 1"


def figures(folder: Path, *texts: str) -> dict[str, Any]:
    found = measure(Encoder(folder), texts)
    assert json.loads(json.dumps(found)) == found
    return found


def test_a_character_is_a_token(tmp_path: Path) -> None:
    found = figures(small.characters(tmp_path, LETTERS), "あいう\n漢 1", "あ")
    assert (found["documents"], found["characters"], found["tokens"]) == (2, 8, 8)
    assert found["bytes"] == 3 * 3 + 1 + 3 + 1 + 1 + 3
    assert found["characters_per_token"] == 1 and found["bytes_per_token"] == 18 / 8
    assert found["tokens_per_document"] == 4
    assert (found["pieces_used"], found["used_share"]) == (7, 7 / 9)
    assert found["exact"] == found["exact_normalized"] == 2 and not found["lossy"]
    assert found["lost"] == found["added"] == found["unknown_characters"] == []
    assert found["byte_tokens"] == 0 and found["characters_per_second"] > 0


def test_unknown_characters_are_counted_and_named(tmp_path: Path) -> None:
    found = figures(small.characters(tmp_path, LETTERS), "あ髙い髙", "うＡ", "あ")
    assert (found["unknown_tokens"], found["unknown_share"]) == (3, 3 / 7)
    assert found["unknown_characters"] == found["lost"] == [["髙", 2], ["Ａ", 1]]
    assert (found["lost_characters"], found["exact"], found["lossy"]) == (3, 1, True)


def test_what_the_normaliser_replaces_is_told_apart_from_what_is_lost(tmp_path: Path) -> None:
    folder = small.characters(tmp_path, LETTERS, normalizers.Sequence([normalizers.NFKC()]))
    found = figures(folder, "①あ", "１①髙", "あ")
    assert found["normalized_characters"] == [["①", 2], ["１", 1]]
    assert found["lost"] == [["髙", 1]] and found["unknown_characters"] == [["髙", 1]]
    assert (found["exact"], found["exact_normalized"]) == (1, 2)


def test_bytes_stand_for_what_has_no_piece(tmp_path: Path) -> None:
    found = figures(small.byte_fallback(tmp_path, ["▁", "あ", "い"]), "あ髙い", "あ い")
    assert found["byte_tokens"] == 3 and found["tokens"] == (1 + 1 + 3 + 1) + (1 + 1 + 1 + 1)
    assert found["byte_share"] == 3 / 10 and found["unknown_tokens"] == 0
    assert found["exact"] == 2 and not found["lossy"]


def test_the_space_that_is_put_before_the_first_word_is_no_change(tmp_path: Path) -> None:
    folder = small.byte_fallback(tmp_path, ["▁", "あ", "い"], llama=True)
    found = figures(folder, "あ い", " あ", "①")
    assert (found["exact"], found["exact_normalized"], found["lost"], found["added"]) == (2, 3, [], [])
    assert found["normalized_characters"] == [["①", 1]]


@pytest.mark.parametrize("llama", [False, True])
def test_a_mark_of_the_text_that_comes_back_as_a_space_is_lost(tmp_path: Path, llama: bool) -> None:
    found = figures(small.byte_fallback(tmp_path, ["▁", "あ", "い"], llama=llama), "あ▁い あ")
    assert (found["exact"], found["lost"], found["added"]) == (0, [["▁", 1]], [[" ", 1]])


def test_a_space_before_the_text_may_be_lost(tmp_path: Path) -> None:
    found = figures(small.byte_fallback(tmp_path, ["▁", "あ"]), " あ", "あ")
    assert (found["exact"], found["lost"]) == (1, [[" ", 1]])


def test_parts_of_characters_are_byte_tokens(tmp_path: Path) -> None:
    found = figures(small.byte_level(tmp_path), "ああa", "漢")
    assert found["tokens"] == 3 + 3 and found["byte_tokens"] == 3 and found["exact"] == 2


def test_words_lose_their_spaces_and_unknown_words_whole(tmp_path: Path) -> None:
    found = figures(small.wordpiece(tmp_path, ["東京", "##都", "へ"]), "東京都\nへ", "東京  へ", "東京髙 へ")
    assert found["tokens"] == 3 + 2 + 2 and found["unknown_tokens"] == 1
    assert found["unknown_characters"] == [["京", 1], ["東", 1], ["髙", 1]]
    assert ["\n", 1] in found["lost"] and found["added"] == [[" ", 1]]
    assert found["exact"] == 0


def test_a_tokenizer_without_offsets_names_what_is_lost(tmp_path: Path) -> None:
    folder = small.japanese_bert(tmp_path, ["東京", "へ", "行く", "。"])
    found = figures(folder, "東京へ行く。", "東京へ帰る。")
    assert found["unknown_tokens"] == 1 and found["unknown_characters"] == [["る", 1], ["帰", 1]]
    assert found["lost_characters"] == 2 and found["added"] == [[" ", 5]]


def test_special_spellings_in_a_text_are_text(tmp_path: Path) -> None:
    found = figures(small.characters(tmp_path, "あ</s>"), "あ</s>")
    assert found["tokens"] == 5 and found["exact"] == 1
    found = figures(small.characters(tmp_path, "[UNK]"), "[UNK]髙")
    assert found["unknown_tokens"] == 1 and found["unknown_characters"] == [["髙", 1]]


SPACED = st.text(st.sampled_from("あいう \n\u3000"), max_size=20)


@given(SPACED, SPACED)
def test_differences_account_for_every_character(text: str, back: str) -> None:
    lost, added = differences(text, back)
    assert Counter(text) - lost + added == Counter(back)
    assert (not lost and not added) or text != back
    assert differences(back, text) == (added, lost)


@pytest.mark.parametrize(
    ("text", "back", "lost", "added"),
    [
        ("あ  いう", "あ い う", " ", " "),
        ("\nあ", "あ ", "\n", " "),
        ("あ", "い", "あ", "い"),
    ],
)
def test_white_space_is_compared_place_by_place(text: str, back: str, lost: str, added: str) -> None:
    assert differences(text, back) == (Counter(lost), Counter(added))
