"""Where sentences end, and that cutting loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tane.text.split import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("犬が鳴く。猫も鳴く。", ["犬が鳴く。", "猫も鳴く。"]),
        (
            "「分かった、ちょうだ。」と言いました。次です。",
            ["「分かった、ちょうだ。」と言いました。", "次です。"],
        ),
        ("え！？本当？　うん！", ["え！？", "本当？　", "うん！"]),
        ("（注。）円周率は３．１４です．終わり", ["（注。）円周率は３．１４です．", "終わり"]),
        ("「開いたまま。次。", ["「開いたまま。", "次。"]),
        ("終わりの印がない", ["終わりの印がない"]),
        ("", []),
    ],
)
def test_a_sentence_ends_at_its_mark_but_not_inside_a_quotation(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


@given(st.text(alphabet="「」『』（）()。！？．あ1 　\u0301", max_size=60))
def test_sentences_joined_are_the_text(text: str) -> None:
    found = list(sentences(text))
    assert "".join(found) == text and all(found)


@pytest.mark.parametrize("text", ["「" * 30_000, "「あ" * 30_000, "（「" * 20_000 + "。", "あ" * 300_000])
def test_open_brackets_and_long_lines_take_no_longer(text: str) -> None:
    assert "".join(sentences(text)) == text
