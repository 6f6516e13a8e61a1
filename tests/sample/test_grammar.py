"""Conjugation, templates, and the cutting of sentences."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from random import Random

import pytest

import tane.sample
from tane.sample.grammar import (
    ADJECTIVES,
    GODAN,
    ICHIDAN,
    NDA,
    PLAIN,
    POLITE,
    YO,
    conjugate,
    render,
    split_sentences,
)

FORMS = [
    ("行く", "た", "行きました", "行った"),
    ("書く", "ない", "書きません", "書かない"),
    ("泳ぐ", "ていた", "泳いでいました", "泳いでいた"),
    ("話す", "た", "話しました", "話した"),
    ("待つ", "よう", "待ちましょう", "待とう"),
    ("飛ぶ", "ている", "飛んでいます", "飛んでいる"),
    ("読む", "たい", "読みたいです", "読みたい"),
    ("帰る", "なかった", "帰りませんでした", "帰らなかった"),
    ("買う", "ない", "買いません", "買わない"),
    ("食べる", "なかった", "食べませんでした", "食べなかった"),
    ("見る", "よう", "見ましょう", "見よう"),
    ("する", "た", "しました", "した"),
    ("勉強する", "ない", "勉強しません", "勉強しない"),
    ("来る", "なかった", "来ませんでした", "来なかった"),
    ("くる", "ない", "きません", "こない"),
    ("ある", "ない", "ありません", "ない"),
    ("ある", "なかった", "ありませんでした", "なかった"),
    ("赤い", "", "赤いです", "赤い"),
    ("赤い", "ない", "赤くありません", "赤くない"),
    ("楽しい", "た", "楽しかったです", "楽しかった"),
    ("いい", "た", "よかったです", "よかった"),
    ("ない", "た", "ありませんでした", "なかった"),
    ("だ", "", "です", "だ"),
    ("だ", "た", "でした", "だった"),
    ("だ", "ない", "ではありません", "ではない"),
    ("のだ", "", "のです", "のだ"),
]


@pytest.mark.parametrize(("word", "form", "polite", "plain"), FORMS)
def test_conjugation(word: str, form: str, polite: str, plain: str) -> None:
    assert conjugate(word, form, POLITE) == polite
    assert conjugate(word, form, PLAIN) == plain


@pytest.mark.parametrize(
    ("word", "yo", "nda"),
    [("落ちる", "落ちるよ", "落ちるんだよ"), ("赤い", "赤いよ", "赤いんだよ"), ("だ", "だよ", "なんだよ")],
)
def test_spoken_styles(word: str, yo: str, nda: str) -> None:
    assert conjugate(word, "", YO) == yo
    assert conjugate(word, "", NDA) == nda


def test_questions_bring_their_end_mark() -> None:
    assert conjugate("食べる", "か", POLITE) == "食べますか。"
    assert conjugate("食べる", "か", YO) == "食べるの？"
    assert conjugate("だ", "か", YO) == "？"


def test_a_word_outside_the_tables_is_an_error() -> None:
    with pytest.raises(KeyError, match="さいころる"):
        conjugate("さいころる", "た", PLAIN)
    with pytest.raises(KeyError):
        conjugate("食べる", "たり", PLAIN)


def test_tables_do_not_overlap() -> None:
    assert not ICHIDAN & GODAN
    assert all(word[-1] == "る" and word[-2] not in "あうおかくこさすそ" for word in ICHIDAN)
    assert all(word[-1] in "うくぐすつぬぶむる" for word in GODAN)
    assert all(word[-1] == "い" for word in ADJECTIVES)


def test_every_predicate_of_the_templates_is_known() -> None:
    known = ICHIDAN | GODAN | ADJECTIVES | {"だ", "のだ", "いい", "来る", "くる"}
    for path in glob.glob(str(Path(tane.sample.__file__).parent / "**" / "*.py"), recursive=True):
        if path.endswith("grammar.py"):
            continue
        for word in re.findall(r"\[([ぁ-んァ-ヴ一-鿿々ー]+)(?::[^\]]*)?\]", Path(path).read_text("utf-8")):
            assert word in known or word.endswith("する"), (word, path)


def test_render() -> None:
    rng = Random(0)
    slots = {"H": "ゆいさん", "thing": "{col}かさ", "col": "赤い"}
    assert render("{H}は{thing}を[さす:た]", slots, rng, POLITE) == "ゆいさんは赤いかさをさしました"
    assert render("{H}は{thing}を[さす:た]", slots, rng, PLAIN) == "ゆいさんは赤いかさをさした"
    drawn = {render("((とても|少し)大きな|小さな|)犬[だ]", {}, rng, PLAIN) for _ in range(200)}
    assert drawn == {"とても大きな犬だ", "少し大きな犬だ", "小さな犬だ", "犬だ"}


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("雨だ。かさをさす。", ["雨だ。", "かさをさす。"]),
        ("「行こう。早く！」と言った。行った。", ["「行こう。早く！」と言った。", "行った。"]),
        ("何だろう？犬だ！", ["何だろう？", "犬だ！"]),
        ("犬がいた。それは", ["犬がいた。", "それは"]),
        ("「待って。と言った。走った。", ["「待って。", "と言った。", "走った。"]),
    ],
)
def test_split_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences
