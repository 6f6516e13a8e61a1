"""Encodings: found rightly on real text, refused where the bytes do not tell, never passed over silently."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from tane.errors import InputError
from tane.text import encoding as enc
from tane.text.encoding import MARK, Decoder, codec_name, detect, line_ends

FOUR = ("utf-8", "cp932", "euc_jp", "iso2022_jp")
DATA = os.environ.get("TANE_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TANE_TEST_DATA names no folder of real text")


def decode(
    data: bytes, encoding: str = "auto", on_bad: str = "stop", chunk: int = 1 << 20
) -> tuple[str, str | None]:
    decoder = Decoder("f.txt", encoding, on_bad)
    text = "".join(decoder.feed(data[i : i + chunk]) for i in range(0, len(data), chunk)) + decoder.finish()
    return text, decoder.found


def refused(data: bytes, encoding: str = "auto", chunk: int = 1 << 20) -> str:
    with pytest.raises(InputError) as error:
        decode(data, encoding, chunk=chunk)
    return str(error.value)


# ---------------------------------------------------------------------- one row, one test


def test_t1_windows_characters_are_cp932() -> None:
    text = "①髙Ⅲ～ を含む文です。株式会社﨑"
    assert decode(text.encode("cp932")) == (text, "cp932")


def test_t2_a_header_of_twenty_bytes_is_enough() -> None:
    text = "番号,氏名,住所,電話\n"
    assert len(text.encode("cp932")) == 20
    assert decode(text.encode("cp932")) == (text, "cp932")


def test_t3_t4_euc_jp_and_iso_2022_jp() -> None:
    text = "吾輩は猫である。名前はまだ無い。\n"
    for codec in ("euc_jp", "iso2022_jp"):
        assert decode(text.encode(codec)) == (text, codec)


@pytest.mark.parametrize("codec", ["euc_jp", "iso2022_jp"])
def test_windows_characters_in_euc_jp_and_iso_2022_jp(codec: str) -> None:
    circled = b"\x2d\x21"  # row 13 of NEC, which the plain standards lack
    kana = "あ".encode("euc_jp")
    data = kana * 9 + bytes(b | 0x80 for b in circled) + kana
    if codec == "iso2022_jp":
        data = b"\x1b$B" + bytes(b & 0x7F for b in data) + b"\x1b(B"
    assert decode(data) == ("あ" * 9 + "①あ", codec)
    assert decode(b"ab" + data, codec)[0] == "ab" + "あ" * 9 + "①あ"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_t5_t6_byte_order_marks_decide(codec: str) -> None:
    text, found = decode("日本語 and ASCII\n".encode(codec))
    assert (
        text == "\ufeff日本語 and ASCII\n"
    )  # the mark is a character here; the reader takes it away and counts it
    assert found is not None and found.startswith(codec[:5])


def test_t6_both_byte_orders() -> None:
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        assert decode("\ufeff漢字かな\n".encode(codec))[1] == codec


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["これは日本語の文章です。\n改行もある。\n", "plain ASCII text\n", "ひらがなだけのぶん"]
)
def test_t7_utf16_without_a_mark_is_named(codec: str, text: str) -> None:
    message = refused(text.encode(codec))
    assert codec in message and f"--corpus.encoding {codec}" in message and "{path: ..., encoding:" in message
    assert decode(text.encode(codec), codec) == (text, codec)


def test_t8_a_file_cut_inside_a_character_says_where() -> None:
    message = refused("一行目\n二行目です".encode()[:-1])
    assert "ends inside a character at byte 22 (line 2)" in message and "e3 81" in message
    assert "ends inside" in refused(("日本語の文です。" * 50).encode("cp932")[:-1], "cp932")


def test_t9_one_bad_byte_far_into_a_file() -> None:
    good = ("日本語の行です。\n" * 20_000).encode()
    for chunk in (1 << 20, 999):
        message = refused(good + b"ab\xff\n" + good, chunk=chunk)
        assert (
            f"byte {len(good) + 2:,} (line 20,001)" in message
            and "ff" in message
            and "on_bad skip" in message
        )
    text, _ = decode(good + b"ab\xff\n" + good, on_bad="skip")
    assert text.count(MARK) == 1 and text.split("\n")[20_000] == "ab" + MARK


@pytest.mark.parametrize("lines", [3, 200_000])
def test_t10_utf8_with_a_cp932_tail_is_refused(lines: int) -> None:
    head = ("日本語の行です。\n" * lines).encode()
    message = refused(head + "ここから別の文字コード。\n".encode("cp932") * 3)
    assert f"{len(head):,}" in message  # the place up to which it is UTF-8


def test_t10_cp932_with_a_utf8_tail_is_refused() -> None:
    head = "日本語の行です。これはシフトJISです。\n" * 300
    message = refused(head.encode("cp932") + "こちらはユーティーエフエイトなのです。\n".encode())
    assert "mixes encodings" in message or "cannot be read" in message
    rare = "縺れた糸と繧繝錦。縺れ合う。" * 50
    assert decode(rare.encode("cp932")) == (rare, "cp932")


def test_t11_a_nul_is_text() -> None:
    assert decode("ある\0いう\n".encode() * 9)[1] == "utf-8"


def test_t12_lone_surrogates_are_refused() -> None:
    assert "cannot be read as utf-8: ed a0 80" in refused("日本語です。\n".encode() * 3 + b"\xed\xa0\x80")
    refused(b"abc\xed\xa0\x80\xed\xb0\x80")
    refused("\ufeff日本".encode("utf-16-le") + b"\x00\xd8")


def test_t16_wave_dash() -> None:
    assert decode(b"\x81\x60" + "波ダッシュの文です。".encode("cp932"))[0][0] == "\uff5e"
    assert (
        codec_name("shift_jis")
        == codec_name("sjis")
        == codec_name("Shift-JIS")
        == codec_name("ms932")
        == "cp932"
    )


@pytest.mark.parametrize("kana", ["これは日本語です。\n", "漢字とカタカナ\n"])
@pytest.mark.parametrize("codec", FOUR)
def test_ten_megabytes_of_ascii_before_the_first_kana(codec: str, kana: str) -> None:
    ascii_part = b"plain text in English\n" * 480_000
    for chunk in (1 << 20, 777_777):
        text, found = decode(ascii_part + kana.encode(codec) * 3, chunk=chunk)
        assert found == codec and text.endswith(kana * 3) and len(text) == len(ascii_part) + 3 * len(kana)


def test_evidence_over_a_chunk_border() -> None:
    for codec in FOUR:
        for at in range(-6, 3):
            data = b"x" * ((1 << 20) + at) + ("日本語の文章です。" * 2).encode(codec)
            text, found = decode(data)
            assert found == codec and text.endswith("日本語の文章です。" * 2), (codec, at)


def test_pure_ascii_is_ascii_and_terminal_codes_are_no_iso_2022_jp() -> None:
    assert decode(b"plain\n") == ("plain\n", "ascii")
    assert decode(b"\x1b(B\x1b[m red \x1b[31m\n")[1] == "ascii"
    assert decode(b"") == ("", "ascii")


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 40,
        random.Random(0).randbytes(5000),
        b"\0\1\2\3" * 500,
        "Café déjà vu, une fête à l'été".encode("latin1"),
        "한국어 텍스트입니다. 안녕하세요".encode("euc_kr"),
        "这是中文文本，今天天气很好。我们去公园玩吧。".encode("gbk"),
        "這是中文文本，今天天氣很好。我們去公園玩吧。".encode("big5"),
        "Это русский текст, который надо назвать.".encode("koi8-r"),
    ],
)
def test_what_is_not_japanese_is_refused_with_what_to_type(data: bytes) -> None:
    assert "-> " in refused(data)


def test_half_width_kana() -> None:
    text = "ﾔﾏﾀﾞ ﾀﾛｳ\nｽｽﾞｷ ｲﾁﾛｳ\nｶﾌﾞｼｷｶﾞｲｼｬ\n"
    assert decode(text.encode("cp932")) == (text, "cp932")
    kanji = "山田太郎\n日本電気\n"
    assert decode(kanji.encode("euc_jp")) == (kanji, "euc_jp")


def test_a_given_encoding_is_taken_strictly() -> None:
    assert decode("日本語".encode("euc_jp"), "euc-jp") == ("日本語", "euc_jp")
    assert decode(b"caf\xe9", "latin-1")[0] == "café"
    assert "cannot be read as utf-8: 93 fa" in refused("日本語".encode("cp932"), "utf-8")
    assert "utf-16-le" in refused("日本".encode("utf-16-le"), "utf-16")
    assert decode("日本".encode("utf-16"), "utf-16")[0] == "\ufeff日本"
    for name in ("base64", "rot13", "utf-7", "idna", "unicode_escape", "nothing"):
        with pytest.raises(ValueError, match="such as utf-8"):
            codec_name(name)


def test_skip_marks_one_place_a_bad_sequence() -> None:
    text, _ = decode("よい行です。\n".encode() * 9 + b"a\xe3\x81b\xff\xfe\n", on_bad="skip")
    assert text.endswith(f"a{MARK}b{MARK}{MARK}\n")
    text, _ = decode("よい行です。\n".encode("cp932") * 9 + b"a\x82\nb\n", on_bad="skip")
    assert text.endswith(f"a{MARK}\nb\n")  # the line end after half a character survives


def test_line_ends() -> None:
    assert [line_ends(t) for t in ("", "a", "a\n", "a\r\nb\rc\n", "\u2028\x85\f\v")] == [0, 0, 1, 3, 0]


# ---------------------------------------------------------------------- real text


def paragraphs() -> list[str]:
    """The paragraphs of the blog corpus, joined until each has 20 characters."""
    lines = (Path(str(DATA)) / "ja/knbc-blogs-a.txt").read_text(encoding="utf-8").split("\n")
    joined, now = [], ""
    for line in lines:
        now += line
        if len(now) >= 20:
            joined.append(now)
            now = ""
    return joined


@needs_data
@pytest.mark.parametrize("codec", FOUR)
def test_paragraphs_of_real_text_are_told_apart(codec: str) -> None:
    right = total = 0
    for text in paragraphs():
        try:
            data = text.encode("cp932" if codec == "cp932" else codec)
        except UnicodeEncodeError:
            continue
        if data.isascii() and codec != "iso2022_jp":
            continue
        total += 1
        try:
            found = detect(data)
        except enc.Undecided:
            found = "undecided"
        right += (found or "").removesuffix("_ext") == codec
    assert total > 1000
    assert right / total >= 0.995, f"{right} of {total}"


@needs_data
@pytest.mark.parametrize("codec", FOUR)
@pytest.mark.parametrize(
    "name", ["ja/knbc-blogs-a.txt", "ja/wikipedia-jsquad-valid.txt", "raw/rashomon_127_ruby_150.txt"]
)
def test_whole_files_come_back_as_they_were(codec: str, name: str) -> None:
    data = (Path(str(DATA)) / name).read_bytes()
    text = data.decode("cp932" if name.startswith("raw") else "utf-8")
    text = "".join(c for c in text if _fits(c, codec))
    assert decode(text.encode(codec), chunk=10_007) == (text, codec)


@needs_data
def test_all_prose_and_raw_files_are_found() -> None:
    for path in sorted((Path(str(DATA)) / "ja").glob("*.txt")):
        assert decode(path.read_bytes())[1] == "utf-8"
    for path in sorted((Path(str(DATA)) / "raw").glob("*.txt")):
        assert decode(path.read_bytes())[1] == "cp932"


_FITS: dict[tuple[str, str], bool] = {}


def _fits(char: str, codec: str) -> bool:
    if (char, codec) not in _FITS:
        try:
            _FITS[char, codec] = char.encode(codec).decode(codec) == char and not re.match(
                "[\x80-\xff]", char
            )
        except UnicodeEncodeError:
            _FITS[char, codec] = False
    return _FITS[char, codec]
