"""Japanese conjugation and the small template language of the sample corpus.

A template is a sentence with three kinds of marks:
    {slot}         replaced by the value of a slot (which may hold marks itself);
    (a|b|c)        one of the alternatives, drawn at random; (|a) makes `a` optional;
    [word:form]    a predicate, conjugated in the style of the story ([word] is the present).
One template therefore serves polite and plain stories alike, and two ways of explaining aloud.
Every predicate must stand in one of the tables below: an unknown word is an error, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from random import Random

POLITE, PLAIN, YO, NDA = "polite", "plain", "yo", "nda"
"""The styles: です・ます, だ・である, and the two spoken ones (…よ, …んだよ)."""


def _words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


ICHIDAN = _words(
    """
    あきらめる あげる あわてる いる うえる かくれる かける かたづける くれる さしかける さめる
    しめる しらべる そろえる たしかめる つかまえる つける できる とける とどける とれる ながめる
    なでる ぬれる ねる はねる ふえる ほえる まちがえる みる むかえる やめる ゆれる 並べる 乗れる
    借りる 入れる 出る 始める 建てる 教える 数える 決める 流れる 温める 生きられる 生まれる 着る
    知らせる 答える 続ける 考える 聞かせる 聞こえる 育てる 落ちる 見える 見せる 見つける 見る
    見上げる 覚える 負ける 買える 起きる 開ける 集める 食べる
    """
)
GODAN = _words(
    """
    あがる あやまる あらう ある いく うかぶ うごく うなずく うむ えらぶ おどる おどろく かかる
    かがやく かく かくす かぐ かざる かす かぶる かむ かわく がんばる くらす こまる さがす さす
    さます しずむ しまう すう すごす すわる たたく たのむ だく つかむ つなぐ つもる とかす とどく
    とまる とる なおす なおる ならぶ なる にぎる ねむる のぞく のぼる はかる はく はさむ はる ひく
    ひびく ひろう ふく ふる ほす ほる まく まよう みがく むすぶ もぐる もらう やむ やる ゆずる よぶ
    よろこぶ わたす わらう 上がる 下がる 乗る 休む 会う 住む 作る 使う 働く 光る 入る 写す 出す
    分かる 切る 勝つ 合う 向かう 向く 咲く 回る 始まる 守る 帰る 広がる 引っこす 当たる 待つ
    思いつく 思い出す 思う 手伝う 打つ 持つ 書く 歌う 止まる 歩く 残る 気づく 決まる 泣く 泳ぐ 消す
    焼く 照らす 着く 知る 祝う 立ち上がる 立つ 続く 習う 聞く 育つ 行く 見つかる 言う 話す 読む 買う
    走り出す 走る 起こす 転ぶ 返す 追いはらう 追う 送る 通う 進む 遊ぶ 運ぶ 配る 開く 降る 集まる
    願う 飛び出す 飛び立つ 飛ぶ 飲む 鳴く 鳴る
    """
)
ADJECTIVES = _words(
    """
    あたたかい あまい うれしい おいしい おもしろい かたい からい かわいい こわい さびしい しょっぱい
    すずしい すっぱい ない むずかしい やわらかい 丸い 冷たい 大きい 寒い 小さい 少ない 広い 強い
    悪い 悲しい 暑い 暗い 楽しい 熱い 白い 美しい 苦い 赤い 軽い 速い 長い 青い 高い 黄色い 黒い
    """
)

# Row of a godan ending: negative, polite, volitional stem; て form; た form.
_ROWS = {
    "う": ("わ", "い", "お", "って", "った"),
    "く": ("か", "き", "こ", "いて", "いた"),
    "ぐ": ("が", "ぎ", "ご", "いで", "いだ"),
    "す": ("さ", "し", "そ", "して", "した"),
    "つ": ("た", "ち", "と", "って", "った"),
    "ぬ": ("な", "に", "の", "んで", "んだ"),
    "ぶ": ("ば", "び", "ぼ", "んで", "んだ"),
    "む": ("ま", "み", "も", "んで", "んだ"),
    "る": ("ら", "り", "ろ", "って", "った"),
}


def _verb(word: str) -> dict[str, str] | None:
    """The forms of a verb, or None where the word is no verb of the tables."""
    if word.endswith("する"):
        s = word[:-2]
        return {"nai": s + "し", "masu": s + "し", "vol": s + "しよう", "te": s + "して", "ta": s + "した"}
    if word in ("来る", "くる"):
        k, o = ("来", "来") if word == "来る" else ("き", "こ")
        return {"nai": o, "masu": k, "vol": o + "よう", "te": k + "て", "ta": k + "た"}
    if word in ICHIDAN:
        s = word[:-1]
        return {"nai": s, "masu": s, "vol": s + "よう", "te": s + "て", "ta": s + "た"}
    if word in GODAN:
        a, i, o, te, ta = _ROWS[word[-1]]
        s = word[:-1]
        if word.endswith(("行く", "いく")):
            te, ta = "って", "った"
        nai = "" if word == "ある" else s + a
        return {"nai": nai, "masu": s + i, "vol": s + o + "う", "te": s + te, "ta": s + ta}
    return None


def _spoken(plain: str, style: str, noun: bool = False) -> str:
    """Closes a plain predicate in one of the styles that are not polite."""
    if style == YO:
        return plain + ("だよ" if noun else "よ")
    if style == NDA:
        return plain + ("なんだよ" if noun else "んだよ")
    return plain + ("だ" if noun else "")


def _verb_form(word: str, f: dict[str, str], form: str, style: str) -> str:
    """One form of a verb in a style."""
    fixed = {"て": f["te"], "辞": word, "過": f["ta"], "連": f["masu"], "ず": f["nai"] + "ないで"}
    if form in fixed:
        return fixed[form]
    if form == "か":
        return f["masu"] + "ますか。" if style == POLITE else word + "の？"
    if form == "よう":
        return f["masu"] + "ましょう" if style == POLITE else f["vol"]
    polite = {
        "": f["masu"] + "ます",
        "た": f["masu"] + "ました",
        "ない": f["masu"] + "ません",
        "なかった": f["masu"] + "ませんでした",
        "ている": f["te"] + "います",
        "ていた": f["te"] + "いました",
        "たい": f["masu"] + "たいです",
        "たかった": f["masu"] + "たかったです",
    }
    plain = {
        "": word,
        "た": f["ta"],
        "ない": f["nai"] + "ない",
        "なかった": f["nai"] + "なかった",
        "ている": f["te"] + "いる",
        "ていた": f["te"] + "いた",
        "たい": f["masu"] + "たい",
        "たかった": f["masu"] + "たかった",
    }
    if form == "ているか":
        return f["te"] + ("いますか。" if style == POLITE else "いるの？")
    return polite[form] if style == POLITE else _spoken(plain[form], style)


def _adjective_form(word: str, form: str, style: str) -> str:
    """One form of an い-adjective in a style."""
    s = word[:-1]
    fixed = {"く": s + "く", "て": s + "くて", "辞": word, "過": s + "かった", "さ": s + "さ"}
    if form in fixed:
        return fixed[form]
    if form == "か":
        return word + ("ですか。" if style == POLITE else "の？")
    if style == POLITE:
        return {"": word + "です", "た": s + "かったです", "ない": s + "くありません"}[form]
    return _spoken({"": word, "た": s + "かった", "ない": s + "くない"}[form], style)


_COPULA = {
    "": ("です", ""),
    "た": ("でした", "だった"),
    "ない": ("ではありません", "ではない"),
    "か": ("ですか。", "？"),
    "たか": ("でしたか。", "だったの？"),
    "う": ("でしょう", "だろう"),
}


def _copula_form(form: str, style: str) -> str:
    """です・だ in a style."""
    polite, plain = _COPULA[form]
    if style == POLITE:
        return polite
    if form == "":
        return _spoken("", style, noun=True)
    return plain if form in ("か", "たか", "う") else _spoken(plain, style)


@cache
def conjugate(word: str, form: str = "", style: str = POLITE) -> str:
    """The `form` of a predicate in a style; a KeyError for a word or a form that is not known."""
    if word == "だ":
        return _copula_form(form, style)
    if word == "のだ":
        return "の" + {"": ("です", "だ"), "た": ("でした", "だった")}[form][style != POLITE]
    if word == "いい" and form == "":
        return "いいです" if style == POLITE else _spoken("いい", style)
    if word == "いい":
        return _adjective_form("よい", form, style)
    if word == "ない" and style == POLITE and form in ("", "た"):
        return "ありませんでした" if form else "ありません"
    if word in ADJECTIVES:
        return _adjective_form(word, form, style)
    forms = _verb(word)
    if forms is None:
        raise KeyError(f"no such predicate in the tables: {word}")
    return _verb_form(word, forms, form, style)


_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")
_PREDICATE = re.compile(r"\[([^\[\]:]+)(?::([^\[\]]*))?\]")


def render(template: str, slots: Mapping[str, str], rng: Random, style: str) -> str:
    """The sentence that a template stands for: choices drawn, slots filled, predicates conjugated."""
    text = template
    while True:
        if "(" in text:
            text = _CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), text)
        elif "{" in text:
            text = _SLOT.sub(lambda m: slots[m.group(1)], text)
        else:
            break
    return _PREDICATE.sub(lambda m: conjugate(m.group(1), m.group(2) or "", style), text)


def split_sentences(text: str) -> list[str]:
    """Cuts a paragraph after 。！？; what stands inside 「…」 belongs to the sentence around it.

    A last piece without an end mark is returned as it is. A 「 that is never closed cuts nothing off.
    """
    out: list[str] = []
    start = pos = 0
    while pos < len(text):
        char = text[pos]
        if char == "「":
            close = text.find("」", pos)
            pos = pos + 1 if close < 0 else close + 1
            continue
        pos += 1
        if char in "。！？":
            out.append(text[start:pos])
            start = pos
    if start < len(text):
        out.append(text[start:])
    return out
