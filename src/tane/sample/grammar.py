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
from functools import lru_cache
from random import Random

POLITE, PLAIN, YO, NDA = "polite", "plain", "yo", "nda"
"""The styles: です・ます, だ・である, and the two spoken ones (…よ, …んだよ)."""

ICHIDAN = frozenset(
    """食べる 見る 見える 聞こえる 起きる ねる 出る 出かける 教える 見つける 見せる 落ちる 開ける しめる
    入れる 数える 考える 答える 着る 借りる 降りる 育てる 植える 始める やめる つける あげる くれる いる
    できる とける つかれる 生まれる わすれる 流れる とどける 助ける 集める 決める 走り続ける 続ける 温める
    かける なでる ゆれる ぬれる 晴れる 変える 分ける 伝える 並べる かえる 負ける にげる 投げる 受ける
    つれる 出会える 会える 食べられる 乗れる 泳げる とれる 行ける 帰れる 読める 話せる 見つけられる うかべる
    うれる もらえる ほめる まぜる 切れる すてる たずねる あわてる 落ち着ける かたづける 感じる 信じる 冷える
    聞かせる ためる 建てる なめる やける 焼ける 消える 折れる 作れる 登れる 立てる 上げる 下げる 取れる
    生きる 暮れる くずれる やせる かくれる はえる 止める 待てる 歌える むかえる つかまえる 見上げる ながめる
    かがやける 明ける 飛べる 届ける ふえる 増える あきらめる こえる のせる 着せる まける 投げかける ぬける
    こわれる よせる うえる わかれる 別れる 当てる 当てられる 遊べる 走れる やせる 見つめる そろえる なれる
    せめる たおれる 書ける 入れられる こたえる 覚える そめる つめる はげる やれる 見分ける 買える 生きられる さめる さしかける 知らせる しらべる 向ける まちがえる みる""".split()
)

GODAN = frozenset(
    """行く 書く 聞く 歩く 泳ぐ 急ぐ 話す 出す さす 消す 落とす 返す さがす なくす なおす 直す 動かす かくす
    待つ 持つ 立つ 勝つ 打つ 死ぬ 遊ぶ 飛ぶ 選ぶ 学ぶ よろこぶ 運ぶ よぶ ならぶ 飲む 読む 休む 住む 進む
    かむ たのむ つかむ 買う 言う 会う 思う 使う 歌う 習う 拾う もらう あらう 手伝う しまう わらう 笑う
    すう 向かう さそう あう 合う 作る 売る 帰る 入る 走る 知る 切る 乗る 登る 配る なる ある とる 取る
    やる 送る 終わる 始まる 光る 鳴る ふる 降る のぼる しずむ わかる 分かる 止まる 決まる 集まる 守る
    がんばる さわる 回る 曲がる 通る はる すわる ねむる まつる おどる くもる 上がる 下がる 見つかる
    かかる 助かる 温まる 変わる とまる もどる しぼる 帰ってくださる はかる けずる かじる にぎる ける すべる
    鳴く 咲く さく ふく 引く 働く 開く 着く 泣く 焼く はく おく 置く かく まく みがく おどろく うごく 動く
    かわく つく とどく かがやく すく だく 続く わく 近づく 気づく たたく むく かぐ こぐ さわぐ ぬぐ つなぐ
    こわす うつす 押す 冷やす とかす わたす 返す のばす ころがす 話し出す なげ出す 走り出す 歩き出す 泣き出す
    ふき出す 鳴き出す 食べ出す すごす ためす くらす もやす 見わたす 飛び出す 飛ばす ぬらす 思い出す 写す 照らす
    むすぶ うかぶ 飛び立つ 育つ 目立つ 役立つ あむ はさむ すむ こむ 飛びこむ ふくらむ よむ つむ 楽しむ
    かう はらう あじわう さそう そう 向き合う ちがう おう 追う ほる 祝う むかう ひろう 話し合う
    うつる 写る 広がる つながる 転がる ころがる 転ぶ 起こる おこる あやまる まざる 残る 帰る はねる もぐる
    ひかる しかる 見回る まがる つもる 積もる 当たる くばる こおる ちる 散る おくる へる 減る 太る
    拾い集める もぐりこむ なかよくなる はいる 語る 見守る 立ち上がる とび上がる とぶ くさる ぶつかる ゆずる
    こまる 困る よる 寄る ほえる くださる わたる 向く 散る うむ 起こす ほす かぶる あがる いく かざる うなずく 思いつく さます のぞく ひびく 願う えらぶ まよう やむ かす 引っこす 通う なおる ひく""".split()
) - {"帰ってくださる", "はねる", "ほえる", "拾い集める", "くださる"}

ICHIDAN |= {"はねる", "ほえる", "拾い集める", "にる", "きる", "ほうる"} - {"ほうる"}

ADJECTIVES = frozenset(
    """赤い 青い 白い 黒い 黄色い 長い 短い 大きい 小さい 高い 低い 新しい 古い 明るい 暗い 暑い 寒い 熱い
    冷たい 温かい あたたかい すずしい 重い 軽い 速い おそい 早い 強い 弱い 多い 少ない 近い 遠い 広い せまい
    深い 浅い 太い 細い あまい すっぱい からい 苦い しょっぱい おいしい 楽しい うれしい 悲しい さびしい こわい
    やさしい むずかしい おもしろい かわいい 美しい まぶしい いそがしい ない かたい やわらかい 丸い 安い
    すばらしい いたい ねむい くやしい はずかしい うまい しずかでない よわい 悪い なつかしい ほしい 親しい""".split()
) - {"しずかでない"}

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
        "": f["masu"] + "ます", "た": f["masu"] + "ました", "ない": f["masu"] + "ません",
        "なかった": f["masu"] + "ませんでした", "ている": f["te"] + "います", "ていた": f["te"] + "いました",
        "たい": f["masu"] + "たいです", "たかった": f["masu"] + "たかったです",
    }
    plain = {
        "": word, "た": f["ta"], "ない": f["nai"] + "ない", "なかった": f["nai"] + "なかった",
        "ている": f["te"] + "いる", "ていた": f["te"] + "いた", "たい": f["masu"] + "たい",
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
    "": ("です", ""), "た": ("でした", "だった"), "ない": ("ではありません", "ではない"),
    "か": ("ですか。", "？"), "たか": ("でしたか。", "だったの？"), "う": ("でしょう", "だろう"),
}


def _copula_form(form: str, style: str) -> str:
    """です・だ in a style."""
    polite, plain = _COPULA[form]
    if style == POLITE:
        return polite
    if form == "":
        return _spoken("", style, noun=True)
    return plain if form in ("か", "たか", "う") else _spoken(plain, style)


@lru_cache(maxsize=None)
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
