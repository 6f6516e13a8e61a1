"""Scripts: every character is of one kind, and the kinds are what a reader would say."""

from __future__ import annotations

import gzip
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tane.text.japanese import SCRIPTS, japanese_share, kind, scripts


def only(text: str) -> str:
    """The one script of all characters of a text."""
    found = [name for name, count in scripts(text).items() if count]
    assert len(found) == 1, f"{text!r}: {found}"
    return found[0]


@given(st.text())
def test_every_character_is_counted_once(text: str) -> None:
    counts = scripts(text)
    assert tuple(counts) == SCRIPTS
    assert sum(counts.values()) == len(text)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("ひらがなぁゝゞゟ゛か\u3099\U0001b001", "hiragana"),
        ("カタカナァーヽヾㇰｱｶﾞｰﾟ\U0001b000", "katakana"),
        ("漢字々〆〇〻㐀豈⽊\U00020000\U0002f800", "kanji"),
        ("abcXYZａＺéßŁ", "latin"),
        ("0129０９①½Ⅳ", "digits"),
        (".,!?:;'\"()[]-/%、。「」『』（）！？・…—〜～~《》", "punctuation"),
        ("+=<>|$^`＋＝€￥←■○♪☎〒😀#&*@_\\※•", "symbols"),
        (" \t\n\r\u3000\u00a0\u2003\u2028\x85", "space"),
        ("ЯжΩ한글\u0301\u200b\u200d\ufeff\x00\x1c\ufffd\ue000\U000e0000", "other"),
    ],
)
def test_scripts_of_known_characters(text: str, script: str) -> None:
    assert only(text) == script


@pytest.mark.parametrize(
    "char", ["\x00", "\x1b", "\x7f", "\ufffd", "\ue000", "\uffff", "\U0010fffd", "\u0378"]
)
def test_unprintable(char: str) -> None:
    assert kind(char) == "unprintable"


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        (" \n\u3000", 0.0),
        ("日本語の文章です。", 1.0),
        ("コーヒー、「お茶」！", 1.0),
        ("日本 Japan", 2 / 7),
        ("plain English", 0.0),
        ("한국어", 0.0),
    ],
)
def test_japanese_share(text: str, share: float) -> None:
    assert japanese_share(text) == pytest.approx(share)


def test_real_japanese_is_japanese(real_data: Path) -> None:
    text = gzip.decompress((real_data / "ja/aozora-a.txt.gz").read_bytes()).decode()
    assert japanese_share(text) > 0.97
    assert japanese_share(unicodedata.normalize("NFD", text)) > 0.97
    counts = scripts(text)
    assert counts["hiragana"] > counts["kanji"] > counts["katakana"] > counts["latin"]
    assert japanese_share((real_data / "en/wikitext-2/valid.txt").read_text()) < 0.001
