"""Kinds of sentence pairs: what a fact is made of, and the wordings that all say that same fact.

A kind is a table with holes. A fact fills each column with a row of its table; every wording of the kind
then states that one fact, so two wordings of one fact say the same thing. The fact is broken in one of
two ways: two columns trade places (who gave and who was given), or one column gets another row. Wordings
are templates of `grammar.py`; {d} closes a sentence that ends in an adjective of the tables below.
"""

from __future__ import annotations

from typing import NamedTuple

from tane.sample.world import FAMILY, WEEKDAYS

Row = tuple[str, ...]


class Column(NamedTuple):
    """One part of a fact: the slots that it fills, and the rows they are filled from."""

    slots: tuple[str, ...]
    rows: tuple[Row, ...]


class Kind(NamedTuple):
    """A kind of fact and all that can be said of it.

    `ends` are the two columns that trade places in a fact of the other meaning; they draw from one table.
    `changes` are the columns that may get another row instead. Two of the `ends` are never equal.
    """

    name: str
    columns: tuple[Column, ...]
    ends: tuple[int, int]
    changes: tuple[int, ...]
    wordings: tuple[str, ...]


def _column(slots: str, rows: tuple[str, ...] | tuple[Row, ...]) -> Column:
    """A column; a row of one value may be written as that value."""
    return Column(tuple(slots.split()), tuple((r,) if isinstance(r, str) else r for r in rows))


# Names that a dictionary of Japanese cuts off rightly, whatever stands next to them: girls, then boys.
GIRLS = ("さくら", "あおい", "めい", "ちひろ", "みさき", "なつみ", "まなみ", "ゆうな")
BOYS = ("りく", "たくみ", "しんじ", "ひろし", "はると", "ゆうと", "こうた", "かいと")
PEOPLE = GIRLS + BOYS + FAMILY

PRESENTS = (
    "本",
    "ボール",
    "絵の具",
    "新しいくつ",
    "時計",
    "ぼうし",
    "図かん",
    "手ぶくろ",
    "色えんぴつ",
    "花",
    "りんご",
    "みかん",
    "クッキー",
    "絵本",
    "チューリップの球根",
    "きれいな石",
)
LOANS = (
    "本",
    "かさ",
    "えんぴつ",
    "消しゴム",
    "ボール",
    "なわとび",
    "ノート",
    "虫めがね",
    "図かん",
    "はさみ",
    "自転車",
    "タオル",
    "時計",
    "カメラ",
    "あみ",
)
SKILLS = (
    "歌",
    "ピアノ",
    "水泳",
    "おどり",
    "なわとび",
    "おりがみ",
    "料理",
    "花の名前",
    "星の名前",
    "野菜の育て方",
    "カレーの作り方",
    "クッキーの作り方",
    "たこの作り方",
    "はかりの使い方",
)
CHORES = (
    "宿題",
    "仕事",
    "買い物",
    "料理",
    "部屋のそうじ",
    "庭のそうじ",
    "畑の仕事",
    "せんたく",
    "本だなのそうじ",
    "花の水やり",
    "台所のかたづけ",
)
CONTESTS = (
    "かけっこ",
    "水泳",
    "なわとび",
    "クイズ",
    "すもう",
    "ボール投げ",
    "なぞなぞ",
    "算数のテスト",
    "カルタ",
    "木登り",
    "漢字のテスト",
)
TRAITS = (
    ("せ", "高い", "低い"),
    ("足", "速い", "おそい"),
    ("かみ", "長い", "短い"),
    ("声", "大きい", "小さい"),
    ("手", "大きい", "小さい"),
    ("荷物", "重い", "軽い"),
    ("かばん", "大きい", "小さい"),
    ("くつ", "新しい", "古い"),
    ("部屋", "広い", "せまい"),
    ("かさ", "長い", "短い"),
    ("家", "遠い", "近い"),
)
TRAITS += tuple((x, k, j) for x, j, k in TRAITS)
TOWN = (
    "学校",
    "図書館",
    "公園",
    "駅",
    "本屋",
    "花屋",
    "パン屋",
    "魚屋",
    "病院",
    "体育館",
    "プール",
    "池",
    "橋",
    "神社",
    "広場",
    "畑",
    "動物園",
    "八百屋",
)
SIDES = (("北", "南"), ("南", "北"), ("東", "西"), ("西", "東"), ("右", "左"), ("左", "右"))
ACTS = (
    ("手を", "あらう"),
    ("本を", "読む"),
    ("絵を", "かく"),
    ("歌を", "歌う"),
    ("りんごを", "食べる"),
    ("水を", "飲む"),
    ("手紙を", "書く"),
    ("花に水を", "やる"),
    ("部屋を", "かたづける"),
    ("犬と", "遊ぶ"),
    ("パンを", "買う"),
    ("公園を", "歩く"),
    ("字を", "習う"),
    ("クッキーを", "焼く"),
    ("まどを", "開ける"),
    ("歯を", "みがく"),
    ("池で", "泳ぐ"),
    ("友だちに", "会う"),
)
FOOD = ("りんご", "みかん", "トマト", "もも", "なし", "パン", "コロッケ", "ケーキ", "おにぎり", "かき")
NUMBERS = ("二つ", "三つ", "四つ", "五つ", "六つ", "七つ", "八つ")
GOT = (("買う", "買った"), ("もらう", "もらった"), ("食べる", "食べた"))
LIKED = (
    "犬",
    "猫",
    "うさぎ",
    "春",
    "夏",
    "秋",
    "冬",
    "海",
    "山",
    "本",
    "歌",
    "絵",
    "りんご",
    "みかん",
    "カレー",
    "音楽",
    "算数",
    "水泳",
)
FINDS = (
    "赤い花",
    "白い花",
    "青いボール",
    "白いボール",
    "黒い猫",
    "白い猫",
    "茶色の犬",
    "黒い犬",
    "丸い石",
    "黒い石",
    "古い本",
    "黄色いかさ",
    "赤いかさ",
    "青いぼうし",
    "白いぼうし",
)

_A, _B = _column("a", PEOPLE), _column("b", PEOPLE)

KINDS = (
    Kind(
        "あげる",
        (_A, _B, _column("x", PRESENTS)),
        (0, 1),
        (0, 1, 2),
        (
            "{a}は、{b}に{x}を[あげる:た]",
            "{b}は、{a}から{x}を[もらう:た]",
            "{b}に{x}をあげたのは、{a}[だ]",
            "{a}から{x}をもらったのは、{b}[だ]",
        ),
    ),
    Kind(
        "かす",
        (_A, _B, _column("x", LOANS)),
        (0, 1),
        (0, 1, 2),
        (
            "{a}は、{b}に{x}を[かす:た]",
            "{b}は、{a}から{x}を[借りる:た]",
            "{b}に{x}をかしたのは、{a}[だ]",
            "{a}から{x}を借りたのは、{b}[だ]",
        ),
    ),
    Kind(
        "教える",
        (_A, _B, _column("x", SKILLS)),
        (0, 1),
        (0, 1, 2),
        (
            "{a}は、{b}に{x}を[教える:た]",
            "{b}は、{a}から{x}を[習う:た]",
            "{b}に{x}を教えたのは、{a}[だ]",
            "{a}から{x}を習ったのは、{b}[だ]",
        ),
    ),
    Kind(
        "手伝う",
        (_A, _B, _column("x", CHORES)),
        (0, 1),
        (0, 1, 2),
        (
            "{a}は、{b}の{x}を[手伝う:た]",
            "{b}は、{a}に{x}を手伝って[もらう:た]",
            "{b}の{x}を手伝ったのは、{a}[だ]",
            "{a}に{x}を手伝ってもらったのは、{b}[だ]",
        ),
    ),
    Kind(
        "勝つ",
        (_A, _B, _column("x", CONTESTS)),
        (0, 1),
        (0, 1, 2),
        (
            "{a}は、{x}で{b}に[勝つ:た]",
            "{b}は、{x}で{a}に[負ける:た]",
            "{x}で{b}に勝ったのは、{a}[だ]",
            "{x}で{a}に負けたのは、{b}[だ]",
        ),
    ),
    Kind(
        "くらべる",
        (_A, _B, _column("x j k", TRAITS)),
        (0, 1),
        (0, 1),
        (
            "{a}は、{b}より{x}が{j}{d}",
            "{b}は、{a}より{x}が{k}{d}",
            "{b}より{a}のほうが、{x}が{j}{d}",
            "{a}より{b}のほうが、{x}が{k}{d}",
        ),
    ),
    Kind(
        "場所",
        (_column("p", TOWN), _column("q", TOWN), _column("n s", SIDES)),
        (0, 1),
        (0, 1, 2),
        (
            "{p}は、{q}の{n}に[ある]",
            "{q}は、{p}の{s}に[ある]",
            "{q}の{n}には、{p}が[ある]",
            "{p}の{s}には、{q}が[ある]",
            "{q}の{n}にあるのは、{p}[だ]",
            "{p}の{s}にあるのは、{q}[だ]",
        ),
    ),
    Kind(
        "順番",
        (_A, _column("o v", ACTS), _column("q w", ACTS)),
        (1, 2),
        (0, 1, 2),
        (
            "{a}は、{o}[{v}:て]から、{q}[{w}:た]",
            "{a}は、{q}[{w}:辞]前に、{o}[{v}:た]",
            "{a}は、{o}[{v}:過]後で、{q}[{w}:た]",
            "{a}が{q}[{w}:過]のは、{o}[{v}:過]後[だ:た]",
            "{a}が{o}[{v}:過]のは、{q}[{w}:辞]前[だ:た]",
        ),
    ),
    Kind(
        "数",
        (_A, _column("x", FOOD), _column("y", FOOD), _column("m", NUMBERS), _column("n", NUMBERS),
         _column("v t", GOT)),
        (3, 4),
        (0, 1, 2, 3, 4),
        (
            "{a}は、{x}を{m}、{y}を{n}[{v}:た]",
            "{a}は、{y}を{n}、{x}を{m}[{v}:た]",
            "{a}が{t}のは、{x}{m}と{y}{n}[だ]",
            "{a}が{t}のは、{y}{n}と{x}{m}[だ]",
            "{x}を{m}、{y}を{n}{t}のは、{a}[だ]",
            "{y}を{n}、{x}を{m}{t}のは、{a}[だ]",
        ),
    ),
    Kind(
        "好み",
        (_A, _B, _column("x", LIKED), _column("y", LIKED)),
        (0, 1),
        (0, 1, 2, 3),
        (
            "{a}は{x}が好きで、{b}は{y}が好き[だ]",
            "{b}は{y}が好きで、{a}は{x}が好き[だ]",
            "{a}が好きなのは{x}で、{b}が好きなのは{y}[だ]",
            "{b}が好きなのは{y}で、{a}が好きなのは{x}[だ]",
            "{x}が好きなのは{a}で、{y}が好きなのは{b}[だ]",
            "{y}が好きなのは{b}で、{x}が好きなのは{a}[だ]",
        ),
    ),
    Kind(
        "した人",
        (_A, _B, _column("o v", ACTS)),
        (0, 1),
        (0, 1, 2),
        (
            "{a}は{o}[{v}:た]が、{b}は[{v}:なかった]",
            "{b}は[{v}:なかった]が、{a}は{o}[{v}:た]",
            "{o}[{v}:過]のは{a}で、{b}は[{v}:なかった]",
            "{o}[{v}:過]のは、{b}ではなく{a}[だ]",
            "{b}ではなく{a}が、{o}[{v}:た]",
        ),
    ),
    Kind(
        "見つけた",
        (_A, _column("e", WEEKDAYS), _column("p", TOWN), _column("x", FINDS)),
        (0, 0),
        (0, 1, 2, 3),
        (
            "{a}は、{e}に{p}で{x}を[見つける:た]",
            "{e}に{p}で{x}を見つけたのは、{a}[だ]",
            "{a}が{p}で{x}を見つけたのは、{e}[だ]",
            "{p}で{a}が{e}に見つけたのは、{x}[だ]",
            "{e}、{p}で{x}を見つけたのは、{a}[だ:た]",
        ),
    ),
)
