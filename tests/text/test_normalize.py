"""Normalisers: what they make of a text, and that each character they take away is counted."""

from __future__ import annotations

import gzip
import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.text import normalize
from tane.text.aozora import GETA, clean, gaiji
from tane.text.normalize import VERSIONS, version

DATA = os.environ.get("TANE_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TANE_TEST_DATA names no folder of real text")
RULE = "-" * 55
LEGEND = f"{RULE}\n【テキスト中に現れる記号について】\n\n《》：ルビ\n（例）下人《げにん》\n{RULE}\n"


def line(text: str) -> str:
    """One line through the aozora normaliser, the law checked on the way."""
    done = clean(text)
    assert len(text) == len(done.text) + sum(done.removed.values())
    return done.text


# ---------------------------------------------------------------------- Unicode's forms


def test_t15_decomposed_and_half_width() -> None:
    assert normalize.normalize("か\u3099ｶﾞ", "nfkc") == ("がガ", {"nfkc": 2})
    assert normalize.normalize("か\u3099ｶﾞ", "nfc") == ("がｶﾞ", {"nfc": 1})
    assert normalize.normalize("か\u3099ｶﾞ", "none") == ("か\u3099ｶﾞ", {})
    assert normalize.normalize("㌔", "nfkc") == ("キロ", {"nfkc": -1})
    assert normalize.normalize("Ａ①　～", "nfkc") == ("A1 ~", {})


@given(st.text(), st.sampled_from(["none", "nfc", "nfkc", "aozora"]))
@settings(max_examples=150, deadline=None)
def test_what_is_taken_away_is_counted(text: str, name: str) -> None:
    after, removed = normalize.normalize(text.replace("\r", ""), name)
    assert len(text.replace("\r", "")) == len(after) + sum(removed.values())
    if name in ("nfc", "nfkc"):
        assert after == unicodedata.normalize(name.upper(), text.replace("\r", ""))  # type: ignore[arg-type]


def test_versions_name_the_unicode_tables() -> None:
    assert set(VERSIONS) == {"none", "nfc", "nfkc", "aozora"}
    assert version("nfkc") == {"name": "nfkc", "version": "1", "unidata": unicodedata.unidata_version}
    assert "unidata" not in version("none")


# ---------------------------------------------------------------------- Aozora Bunko


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一人の下人《げにん》が、", "一人の下人が、"),
        ("所々｜丹塗《にぬり》の剥《は》げた", "所々丹塗の剥げた"),
        ("※［＃「目＋匡」、第3水準1-88-81］《まぶた》の赤くなった", "眶の赤くなった"),
        ("無理に※［＃「てへん＋丑」、第4水準2-12-93］じ倒した", "無理に扭じ倒した"),
        ("※［＃「てへん＋劣」、第3水準1-84-77］ぎ", "挘ぎ"),
        ("※［＃「口＋世」、U+546D、120-3］", "呭"),
        ("僕《ぼく》※［＃小書き平仮名ん、168-12］とこ", "僕んとこ"),
        ("※［＃「さんずい＋謎」、12-3］という字", "〓という字"),
        ("※［＃始め二重山括弧、1-1-52］引用※［＃終わり二重山括弧、1-1-53］だ", "《引用》だ"),
        ("※［＃縦線、1-1-35］《》", "｜"),
        ("これは［＃「これは」に傍点］大事", "これは大事"),
        ("字［＃「※［＃「てへん＋劣」、第3水準1-84-77］」に傍点］だ", "字だ"),
        ("字《※［＃小書き片仮名ヱ、1-2-3］》だ", "字だ"),
        ("［＃３字下げ］一、午后《ごご》の授業［＃「一、午后の授業」は中見出し］", "一、午后の授業"),
        ("〔e'tude〕を弾く", "étudeを弾く"),
        (
            "〔A` la carte, franc,ais, Go:del, Tromso/, cha^teau, an~o〕",
            "À la carte, français, Gödel, Tromsø, château, año",
        ),
        ("〔L'e'te' et l'ami〕", "L'été et l'ami"),
        ("〔ae&gis, coeur〕", "ægis, coeur"),
        ("〔二十分停車〕と〔don't panic〕", "〔二十分停車〕と〔don't panic〕"),
        ("《題のように》行の初めの括弧", "《題のように》行の初めの括弧"),
        ("「《引用》」閉じない《括弧と［＃注記", "「《引用》」閉じない《括弧と［＃注記"),
        ("縦｜線だけと※米印", "縦｜線だけと※米印"),
        ("", ""),
    ],
)
def test_one_line_of_annotation(text: str, expected: str) -> None:
    assert line(text) == expected


def test_gaiji() -> None:
    assert gaiji("二の字点、1-2-22") == "〻"
    assert gaiji("「弓＋椁のつくり」、第3水準1-84-22") == "弴"
    assert gaiji("半濁点付き片仮名カ、1-5-87") == "カ゚"  # two code points, one character
    for note in ("「あ」、第3水準1-95-1", "U+D800", "U+0000", "なにか", "168-12", "「い」、120-3-4-5", ""):
        assert gaiji(note) == GETA
    assert clean("※［＃謎］※［＃謎］").unresolved == 2


def test_header_colophon_and_meta() -> None:
    body = "\n　本文《ほんぶん》です。\n\n次の段落。\n\n\n"
    tail = "底本：「全集」書房\n　　　1986年\n底本の親本：「古い全集」\n入力：誰か\n"
    text = f"題名\n副題\n著者名\n訳者名訳\n\n{LEGEND}{body}{tail}"
    done = clean(text)
    assert done.text == "\n　本文です。\n\n次の段落。\n\n"
    assert done.meta == {"title": "題名", "subtitle": "副題", "author": "著者名", "translator": "訳者名訳"}
    assert done.removed["aozora.colophon"] == len(tail) + 1  # and the line end before it
    assert done.removed["aozora.header"] == len(text) - len(body) - len(tail)
    assert len(text) == len(done.text) + sum(done.removed.values())
    first = text.split("\n").index("　本文《ほんぶん》です。") + 1
    assert done.numbers[done.lines.index("　本文です。")] == first


def test_a_file_without_a_legend() -> None:
    done = clean("題名\n著者\n\n\n本文。\n\n底本：「本」\n")
    assert done.text.strip() == "本文。" and done.meta == {"title": "題名", "author": "著者"}
    plain = clean("ただの文章。\n二行目。\n\n三行目《さん》。")
    assert plain.text == "ただの文章。\n二行目。\n\n三行目。" and plain.meta == {}
    assert clean("底本：だけ\n").text == "" and line("底本：だけ\n") == ""
    assert (
        line("［＃改ページ］") == "" and line("［＃ここから２字下げ］") == "" and line("\n［＃注］\n") == "\n"
    )


def test_several_colophons_and_a_word_in_the_text() -> None:
    text = (
        "題\n人\n\n底本：ではじまる行が本文に。\n" + "本文。\n" * 60 + "\n底本：「一」\n入力\n底本：「二」\n"
    )
    done = clean(text)
    assert "底本：ではじまる" in done.text and "「一」" not in done.text


def test_notes_alone_in_a_line_leave_no_blank_line() -> None:
    assert line("前。\n［＃ここから２字下げ］\n中。\n［＃ここで字下げ終わり］\n後。") == "前。\n中。\n後。"
    assert line("前。\n［＃改ページ］\n後。") == "前。\n\n後。"


def test_a_long_line_of_open_brackets_ends() -> None:
    for opening in ("［＃", "《", "｜", "〔"):
        assert line(opening * 3000) == opening * 3000  # nothing closes: it is text


AOZORA = st.lists(
    st.sampled_from(
        [
            "漢字",
            "かな",
            "《",
            "》",
            "｜",
            "［＃",
            "］",
            "※",
            "〔",
            "〕",
            "e'",
            "底本：",
            "\n",
            "　",
            RULE,
            "第3水準1-84-77",
            "【テキスト中に現れる記号について】",
            "か\u3099",
            "改ページ",
            "U+546D",
            "「",
            "」",
        ]
    ),
    max_size=60,
).map("".join)


@given(AOZORA)
@settings(max_examples=300, deadline=None)
def test_any_mixture_of_marks_adds_up(text: str) -> None:
    done = clean(text)
    assert len(text) == len(done.text) + sum(done.removed.values())
    assert len(done.lines) == len(done.numbers) and done.numbers == sorted(set(done.numbers))


# ---------------------------------------------------------------------- real files


def work(name: str) -> str:
    return (Path(str(DATA)) / "raw" / name).read_bytes().decode("cp932").replace("\r\n", "\n")


@needs_data
@pytest.mark.parametrize(
    ("name", "title", "first", "last"),
    [
        (
            "rashomon_127_ruby_150.txt",
            "羅生門",
            "　ある日の暮方の事である。一人の下人が、羅生門の下で雨やみを待っていた。",
            "　下人の行方は、誰も知らない。\n（大正四年九月）",
        ),
        ("kokoro_773_ruby_5968.txt", "こころ", "上　先生と私", "すべてを腹の中にしまっておいて下さい。」"),
        (
            "ginga_tetsudo_456_ruby_145.txt",
            "銀河鉄道の夜",
            "一、午后の授業",
            "もう一目散に河原を街の方へ走りました。",
        ),
    ],
)
def test_works_are_read_right(name: str, title: str, first: str, last: str) -> None:
    text = work(name)
    done = clean(text)
    assert done.meta["title"] == title
    assert done.text.strip("\n").split("\n")[0] == first
    assert done.text.strip("\n").endswith(last)
    assert not re.search("[《》｜※〓]|［＃|底本|記号について", done.text)
    assert done.unresolved == 0 and len(text) == len(done.text) + sum(done.removed.values())


@needs_data
def test_gaiji_of_real_works() -> None:
    assert "挘" in clean(work("kokoro_773_ruby_5968.txt")).text
    rashomon = clean(work("rashomon_127_ruby_150.txt")).text
    assert "扭じ倒し" in rashomon and "眶の赤く" in rashomon
    assert "僕んとこへ来なかった" in clean(work("ginga_tetsudo_456_ruby_145.txt")).text


@needs_data
def test_kokoro_agrees_with_an_independent_reading() -> None:
    lines = {text.strip() for text in clean(work("kokoro_773_ruby_5968.txt")).lines}
    corpus = gzip.decompress((Path(str(DATA)) / "ja/aozora-a.txt.gz").read_bytes()).decode().split("\n\n")
    theirs = next(d for d in corpus if "私はその人を常に先生と呼んでいた" in d).split("\n")
    assert (
        len(theirs) > 1000 and [text for text in theirs if text.strip() and text.strip() not in lines] == []
    )
