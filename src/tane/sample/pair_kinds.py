"""The kinds of sentence pairs: who does what, and the phrases that say the same.

A kind has columns (who, what) that a fact takes one row of each from; scenes, each a group of wordings
that tell the same of {z}; and states, of which {z} is one. All phrases of a state say the same: 図書館 and
本を借りるところ, わたしは、りくに本をあげた and りくは、わたしから本をもらった. Phrases at the same place of
two states differ in what they say and in little else. Wordings and phrases are templates of `grammar.py`;
the definitions (動物, 場所, 道具, 仕事, 季節) are facts that the corpus states.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tane.sample import fact_tables as tables

Row = tuple[str, ...]


class Column(NamedTuple):
    """A part of a fact: the names of the slots, parted by blanks, and the rows of values for them."""

    slots: str
    rows: tuple[Row, ...]


class Kind(NamedTuple):
    """What pairs of a kind are made of; see the module's header. All states have as many phrases."""

    columns: tuple[Column, ...]
    scenes: tuple[Row, ...]
    states: tuple[Row, ...]


def _column(slot: str, values: str) -> Column:
    """A column of one slot; the values are parted by blanks."""
    return Column(slot, tuple((value,) for value in values.split()))


# Names that ipadic cuts off whole, whatever particle follows, so that a model can tell them apart.
_WHO = _column("a", "さくら めい みさき なつみ りく たくみ しんじ ひろし お母さん お父さん")
_ALONE = (("{z}",),)
"""The scene of kinds whose phrases are whole sentences."""


def _did(*deeds: tuple[str, str]) -> tuple[Row, ...]:
    """Scenes in which someone does something with {z}, from particles and verbs."""
    return tuple(
        (f"{{a}}は、{{z}}{particle}[{verb}:た]", f"{{z}}{particle}[{verb}:過]のは、{{a}}[だ]")
        for particle, verb in deeds
    )


def _defined(keys: str, definitions: Iterable[tuple[str, str]]) -> tuple[Row, ...]:
    """States of a name and its definition, for the names in `keys`."""
    known = dict(definitions)
    return tuple((key, known[key]) for key in keys.split())


ANIMALS = Kind(
    (_WHO,),
    _did(("を", "見る"), ("を", "さがす"), ("の絵を", "かく")),
    (
        *_defined("犬 猫 牛 羊 かえる", ((animal, f"{cry}と鳴く生き物") for animal, cry in tables.SOUNDS)),
        *_defined("さる くま", ((animal, f"{food}が好きな生き物") for animal, food in tables.FOODS)),
        *_defined("うさぎ", ((animal, f"{part}が{look}生き物") for animal, part, look in tables.LOOKS)),
    ),
)
PLACES = Kind(
    (_WHO,),
    _did(("へ", "行く"), ("に", "着く"), ("の前で", "待つ")),
    _defined(
        "図書館 病院 駅 プール 動物園 港 空港 田んぼ",
        ((place, f"{thing}{joint}{verb}ところ") for place, thing, joint, verb in tables.PLACES),
    ),
)
TOOLS = Kind(
    (_WHO,),
    _did(("を", "使う"), ("を", "さがす"), ("を", "借りる")),
    _defined(
        "はさみ ほうき えんぴつ ものさし 時計 かぎ カメラ じょうろ",
        ((tool, f"{thing}を{verb}道具") for tool, thing, verb in tables.TOOLS),
    ),
)
JOBS = Kind(
    (_WHO,),
    _did(("に", "会う"), ("と", "話す"), ("を", "よぶ")),
    _defined(
        "医者 先生 大工さん 運転手 りょうし 歌手 画家 作家",
        ((job, f"{thing}を{verb}人") for job, thing, verb in tables.JOBS),
    ),
)
SEASONS = Kind(
    (_WHO, _column("p", "海 山 森 動物園 おばあさんの家 南の島 北の町")),
    (("{a}は、{z}に{p}へ[行く:た]", "{z}に{p}へ行ったのは、{a}[だ]"),),
    (
        ("春", "桜の花が咲くころ", "つばめが来るころ"),
        ("夏", "ひまわりの花が咲くころ", "せみが鳴くころ"),
        ("秋", "木から葉が落ちるころ", "すず虫が鳴くころ"),
        ("冬", "空から雪が降るころ", "息が白くなるころ"),
    ),
)
GIVING = Kind(
    (
        _WHO,
        _column("x", "本 ボール 絵の具 時計 ぼうし 図かん 手ぶくろ 花 りんご みかん 絵本 クッキー"),
    ),
    _ALONE,
    (
        (
            "わたしは、{a}に{x}を[あげる:た]",
            "{a}は、わたしから{x}を[もらう:た]",
            "{a}に{x}をあげたのは、わたし[だ]",
        ),
        (
            "{a}は、わたしに{x}を[くれる:た]",
            "わたしは、{a}から{x}を[もらう:た]",
            "わたしに{x}をくれたのは、{a}[だ]",
        ),
    ),
)
LENDING = Kind(
    (
        _WHO,
        _column("x", "本 かさ ボール なわとび ノート 虫めがね はさみ 自転車 タオル カメラ えんぴつ"),
    ),
    _ALONE,
    (
        (
            "わたしは、{a}に{x}をかして[あげる:た]",
            "{a}は、わたしから{x}を[借りる:た]",
            "{a}に{x}をかしてあげたのは、わたし[だ]",
        ),
        (
            "{a}は、わたしに{x}をかして[くれる:た]",
            "わたしは、{a}から{x}を[借りる:た]",
            "わたしに{x}をかしてくれたのは、{a}[だ]",
        ),
    ),
)
COMPARING = Kind(
    (
        _WHO,
        Column(
            "x j h k",
            (
                ("せ", "高い", "高く", "低い"),
                ("足", "速い", "速く", "おそい"),
                ("かみ", "長い", "長く", "短い"),
                ("手", "大きい", "大きく", "小さい"),
                ("声", "大きい", "大きく", "小さい"),
                ("荷物", "重い", "重く", "軽い"),
                ("自転車", "新しい", "新しく", "古い"),
                ("部屋", "広い", "広く", "せまい"),
            ),
        ),
    ),
    _ALONE,
    (
        ("わたしのほうが、{a}より{x}が{j}", "{a}は、わたしより{x}が{k}", "{a}は、わたしほど{x}が{h}ない"),
        ("{a}のほうが、わたしより{x}が{j}", "わたしは、{a}より{x}が{k}", "わたしは、{a}ほど{x}が{h}ない"),
    ),
)
ORDER = Kind(
    (
        _WHO,
        Column(
            "o v",
            (
                ("手を", "あらう"),
                ("本を", "読む"),
                ("絵を", "かく"),
                ("歌を", "歌う"),
                ("水を", "飲む"),
                ("手紙を", "書く"),
                ("花に水を", "やる"),
                ("犬と", "遊ぶ"),
                ("公園を", "歩く"),
                ("部屋を", "かたづける"),
                ("友だちに", "会う"),
            ),
        ),
    ),
    _ALONE,
    (
        (
            "{a}は、夕ごはんの前に{o}[{v}:た]",
            "{a}は、{o}[{v}:て]から夕ごはんを[食べる:た]",
            "{a}が{o}[{v}:過]のは、夕ごはんを食べる前[だ:た]",
        ),
        (
            "{a}は、夕ごはんの後で{o}[{v}:た]",
            "{a}は、{o}[{v}:辞]前に夕ごはんを[食べる:た]",
            "{a}が{o}[{v}:過]のは、夕ごはんを食べた後[だ:た]",
        ),
    ),
)
SHUT = Kind(
    (_WHO, _column("x", "部屋のまど 部屋のドア 家のまど 家の門 かばん 箱")),
    (("{a}の{x}は、{z}",),),
    (
        ("[開く:ている]", "開けて[ある]", "しまって[いる:ない]"),
        ("しまって[いる]", "しめて[ある]", "開いて[いる:ない]"),
    ),
)
ASLEEP = Kind(
    (_WHO, _column("x", "犬 猫 うさぎ 妹 弟 友だち")),
    (("{a}の{x}は、{z}",),),
    (
        ("起きて[いる]", "目をさまして[いる]", "ねむって[いる:ない]"),
        ("ねむって[いる]", "ねて[いる]", "起きて[いる:ない]"),
    ),
)
KINDS: dict[str, tuple[Kind, ...]] = {
    "動物": (ANIMALS,),
    "場所": (PLACES,),
    "道具": (TOOLS,),
    "仕事": (JOBS,),
    "季節": (SEASONS,),
    "やりもらい": (GIVING, LENDING),
    "くらべる": (COMPARING,),
    "前と後": (ORDER,),
    "反対": (SHUT, ASLEEP),
}
"""The kinds of a data set, by name; each is given as many pairs."""
