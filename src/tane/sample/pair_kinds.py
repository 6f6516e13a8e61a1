"""Kinds of sentence pairs: scenes, and the two ways in which each of their states can be said.

A kind has columns (who, what, when), which a scene is drawn from; scenes, each a group of wordings that
say the same of {z}; and states of {z}. A state is written on two sides, and all phrases of a state, on
either side, say the same: "パン屋" and "パンを売っている店", or "I gave her" and "she was given by me". A pair
takes one sentence from each side: of one state, and they say the same; of two states, and they do not.
Phrases and wordings are templates of `grammar.py`. The facts of the definitions are those of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tane.sample import fact_tables as tables
from tane.sample.facts import bare_clause
from tane.sample.season_facts import SEASON_ROWS, TIME_ROWS
from tane.sample.world import FAMILY, WEEKDAYS

Row = tuple[str, ...]
State = tuple[Row, Row]


class Kind(NamedTuple):
    """One kind of pairs; see the module's header. `columns` are (names of slots, rows of values)."""

    name: str
    columns: tuple[tuple[str, tuple[Row, ...]], ...]
    scenes: tuple[Row, ...]
    states: tuple[State, ...]


# Names that MeCab cuts off whole, whatever stands next to them: girls, then boys.
GIRLS = ("さくら", "あおい", "めい", "ちひろ", "みさき", "なつみ", "まなみ", "ゆうな")
BOYS = ("りく", "たくみ", "しんじ", "ひろし", "はると", "ゆうと", "こうた", "かいと")


def _rows(*values: str) -> tuple[Row, ...]:
    return tuple((value,) for value in values)


_A = ("a", _rows(*GIRLS, *BOYS, *FAMILY))
_DAY = ("e", _rows(*WEEKDAYS))
_ME = ("w", _rows("わたし", "ぼく"))


def _defined(rows: Iterable[tuple[str, str]]) -> tuple[State, ...]:
    """States of a name and its descriptions, from rows (name, description)."""
    found: dict[str, list[str]] = {}
    for name, description in rows:
        found.setdefault(name, []).append(description)
    return tuple(((name,), tuple(descriptions)) for name, descriptions in found.items())


def _scenes(*rows: str) -> tuple[Row, ...]:
    """Wordings of "someone did something with {z}", from rows of particle, past and predicate."""
    out = []
    for row in rows:
        particle, past, verb = row.split()
        out.append(
            (
                f"{{a}}は、{{e}}に{{z}}{particle}[{verb}:た]",
                f"{{e}}に{{z}}{particle}{past}のは、{{a}}[だ]",
                f"{{a}}が{{e}}に{past}のは、{{z}}[だ]",
            )
        )
    return tuple(out)


STORES = Kind("店", (_A, _DAY), _scenes("へ 行った 行く"), _defined((s, f"{o}を売っている店") for s, o in tables.STORES))
PLACES = Kind(
    "場所",
    (_A, _DAY),
    _scenes("へ 行った 行く"),
    _defined((p, f"{o}{w}{v}ところ") for p, o, w, v in tables.PLACES if p not in ("学校", "体育館")),
)
TOOLS = Kind(
    "道具", (_A, _DAY), _scenes("を 使った 使う", "を さがした さがす", "を 借りた 借りる"), _defined((t, f"{o}を{v}道具") for t, o, v in tables.TOOLS)
)
JOBS = Kind("仕事", (_A, _DAY), _scenes("に 会った 会う"), _defined((j, f"{o}を{v}人") for j, o, v in tables.JOBS))
RIDES = Kind("乗り物", (_A, _DAY), _scenes("を 見た 見る", "に 乗った 乗る"), _defined((x, f"{o}{w}{v}乗り物") for x, o, w, v in tables.RIDES))
ANIMALS = Kind(
    "動物",
    (_A, _DAY),
    _scenes("を 見た 見る", "を かいた かく"),
    _defined(
        [(a, f"{s}と鳴く生き物") for a, s in tables.SOUNDS]
        + [(a, f"{f}が好きな生き物") for a, f in tables.FOODS]
        + [(a, f"{p}が{j}生き物") for a, p, j in tables.LOOKS]
    ),
)
SEASONS = Kind(
    "季節",
    (_A, ("p", _rows("海", "山", "動物園", "森", "おばあさんの家", "南の島", "北の町"))),
    (
        ("{a}は、{z}に生まれ{ta}", "{a}が生まれたのは、{z}[だ]"),
        ("{a}は、{z}に{p}へ[行く:た]", "{a}が{p}へ行ったのは、{z}[だ]", "{z}に{p}へ行ったのは、{a}[だ]"),
    ),
    _defined((k, bare_clause(c) + "ころ") for k, w, cs, _, _ in SEASON_ROWS for c in cs[:1]),
)
TIMES = Kind(
    "時間",
    (_A, ("p", _rows("駅", "学校", "家", "公園", "港", "本屋", "図書館"))),
    (("{a}は、{z}に{p}に[着く:た]", "{a}が{p}に着いたのは、{z}[だ]", "{z}に{p}に着いたのは、{a}[だ]"),),
    _defined((k, bare_clause(c).replace("(みんな|子どもたち)", "みんな") + "ころ") for k, w, cs, _, _ in TIME_ROWS for c in cs[:1]),
)
WEEK = Kind(
    "曜日",
    (_A, ("p", _rows("駅", "海", "公園", "港", "本屋", "図書館", "動物園", "病院", "花屋"))),
    (("{a}は、{z}に{p}へ[行く:た]", "{a}が{p}へ行ったのは、{z}[だ]", "{z}に{p}へ行ったのは、{a}[だ]"),),
    _defined(
        [(b, f"{a}の次の日") for a, b in zip(tables.WEEK, tables.WEEK[1:], strict=False)]
        + [(a, f"{b}の前の日") for a, b in zip(tables.WEEK, tables.WEEK[1:], strict=False)]
    ),
)
COLOURS = Kind(
    "色",
    (_A, ("x", _rows("かさ", "ぼうし", "ボール", "くつ", "ふくろ", "マフラー", "かばん")), _DAY),
    (("{a}は、{e}に{z}{x}を[買う:た]", "{a}が{e}に買ったのは、{z}{x}[だ]", "{e}に{z}{x}を買ったのは、{a}[だ]"),),
    _defined((j, f"{x}と同じ色の") for x, n, j, q in tables.colour_rows()),
)

_GIFTS = _rows("本", "ボール", "絵の具", "時計", "ぼうし", "図かん", "手ぶくろ", "花", "りんご", "みかん", "絵本", "クッキー")
_LOANS = _rows("本", "かさ", "ボール", "なわとび", "ノート", "虫めがね", "はさみ", "自転車", "タオル", "カメラ", "えんぴつ")
_SKILLS = _rows("歌", "ピアノ", "水泳", "おどり", "なわとび", "おりがみ", "料理", "花の名前", "星の名前", "クッキーの作り方")
_CHORES = _rows("仕事", "買い物", "料理", "部屋のそうじ", "庭のそうじ", "畑の仕事", "せんたく", "本だなのそうじ")
_GAMES = _rows("かけっこ", "水泳", "なわとび", "クイズ", "なぞなぞ", "テスト", "ボール投げ")


def _given(name: str, things: tuple[Row, ...], p: str, give: str, kureru: str, get: str, kara: str) -> Kind:
    """Giving and getting between the teller and another; the verbs as past and predicate."""
    g, gv = give.split()
    k, kv = kureru.split()
    t, tv = get.split()
    return Kind(
        name,
        (_ME, _A, ("x", things)),
        (("{z}",),),
        (
            (
                (f"{{w}}は、{{a}}{p}{{x}}を{gv}", f"{{a}}{p}{{x}}を{g}のは、{{w}}[だ]"),
                (f"{{a}}は、{{w}}{kara}{{x}}を{tv}", f"{{w}}{kara}{{x}}を{t}のは、{{a}}[だ]"),
            ),
            (
                (f"{{a}}は、{{w}}{p}{{x}}を{kv}", f"{{w}}{p}{{x}}を{k}のは、{{a}}[だ]"),
                (f"{{w}}は、{{a}}{kara}{{x}}を{tv}", f"{{a}}{kara}{{x}}を{t}のは、{{w}}[だ]"),
            ),
        ),
    )


GIVING = (
    _given("あげる", _GIFTS, "に", "あげた [あげる:た]", "くれた [くれる:た]", "もらった [もらう:た]", "から"),
    _given("かす", _LOANS, "に", "かした [かす:た]", "かしてくれた かして[くれる:た]", "借りた [借りる:た]", "から"),
    _given("教える", _SKILLS, "に", "教えた [教える:た]", "教えてくれた 教えて[くれる:た]", "習った [習う:た]", "から"),
    _given("手伝う", _CHORES, "の", "手伝った [手伝う:た]", "手伝ってくれた 手伝って[くれる:た]", "手伝ってもらった 手伝って[もらう:た]", "に"),
)


def _turned(first: tuple[str, str], second: tuple[str, str]) -> tuple[State, ...]:
    """Two states that differ in who is who: sentences about {w} and {a}, and the same with the two exchanged."""

    def swap(text: str) -> str:
        return text.replace("{w}", "{?}").replace("{a}", "{w}").replace("{?}", "{a}")

    return (first, second), (tuple(map(swap, first)), tuple(map(swap, second)))


WINNING = Kind(
    "勝つ",
    (_ME, _A, ("x", _GAMES)),
    (("{z}",),),
    _turned(
        ("{w}は、{x}で{a}に[勝つ:た]", "{x}で{a}に勝ったのは、{w}[だ]"),
        ("{a}は、{x}で{w}に[負ける:た]", "{x}で{w}に負けたのは、{a}[だ]"),
    ),
)
COMPARING = Kind(
    "くらべる",
    (
        _ME,
        _A,
        (
            "x j k",
            (
                ("せ", "高い", "低い"),
                ("足", "速い", "おそい"),
                ("かみ", "長い", "短い"),
                ("手", "大きい", "小さい"),
                ("荷物", "重い", "軽い"),
                ("くつ", "新しい", "古い"),
                ("部屋", "広い", "せまい"),
                ("声", "大きい", "小さい"),
            ),
        ),
    ),
    (("{z}",),),
    _turned(
        ("{w}は、{a}より{x}が{j}{d}", "{a}より{w}のほうが、{x}が{j}{d}"),
        ("{a}は、{w}より{x}が{k}{d}", "{w}より{a}のほうが、{x}が{k}{d}"),
    ),
)
_ACTS = (
    ("手を", "あらう"),
    ("本を", "読む"),
    ("絵を", "かく"),
    ("歌を", "歌う"),
    ("水を", "飲む"),
    ("手紙を", "書く"),
    ("花に水を", "やる"),
    ("犬と", "遊ぶ"),
    ("公園を", "歩く"),
    ("ピアノを", "習う"),
    ("部屋を", "かたづける"),
    ("友だちに", "会う"),
)
ORDER = Kind(
    "前と後",
    (_A, ("o v", _ACTS)),
    (("{z}",),),
    (
        (
            ("{a}は、夕ごはんの前に{o}[{v}:た]", "{a}が{o}[{v}:過]のは、夕ごはんの前[だ:た]"),
            ("{a}は、{o}[{v}:て]から夕ごはんを[食べる:た]", "{a}が夕ごはんを食べたのは、{o}[{v}:過]後[だ:た]"),
        ),
        (
            ("{a}は、夕ごはんの後で{o}[{v}:た]", "{a}が{o}[{v}:過]のは、夕ごはんの後[だ:た]"),
            ("{a}は、{o}[{v}:辞]前に夕ごはんを[食べる:た]", "{a}が夕ごはんを食べたのは、{o}[{v}:辞]前[だ:た]"),
        ),
    ),
)
_TOWN = _rows("図書館", "公園", "駅", "本屋", "花屋", "パン屋", "魚屋", "病院", "体育館", "プール", "池", "橋", "神社", "広場", "畑", "動物園", "八百屋", "田んぼ", "港", "川", "森", "山")


def _side(n: str, s: str) -> State:
    return (
        (f"{{p}}は、学校の{n}に[ある]", f"学校の{n}には、{{p}}が[ある]", f"学校の{n}にあるのは、{{p}}[だ]"),
        (f"学校は、{{p}}の{s}に[ある]", f"{{p}}の{s}には、学校が[ある]", f"{{p}}の{s}にあるのは、学校[だ]"),
    )


SIDES = Kind(
    "方角",
    (("p", _TOWN),),
    (("{z}",),),
    (_side("北", "南"), _side("南", "北"), _side("東", "西"), _side("西", "東")),
)
ABLE = Kind(
    "できる",
    (
        _A,
        (
            "o g v",
            (
                ("海で", "泳げ", "泳ぐ"),
                ("自転車に", "乗れ", "乗る"),
                ("ピアノを", "ひけ", "ひく"),
                ("むずかしい字を", "読め", "読む"),
                ("カレーを", "作れ", "作る"),
                ("高い木に", "登れ", "登る"),
                ("速く", "走れ", "走る"),
                ("上手に", "歌え", "歌う"),
                ("高く", "とべ", "とぶ"),
                ("一人で", "行け", "行く"),
            ),
        ),
    ),
    (("{a}は、{z}", "今、{a}は{z}"),),
    (
        (("{o}{g}{ru}",), ("{o}{v}ことが[できる]",)),
        (("{o}{g}{nai}",), ("{o}{v}ことが[できる:ない]",)),
    ),
)
OPPOSITE = (
    Kind(
        "反対",
        (_A, ("p", _rows("部屋", "台所", "家", "店", "教室", "車"))),
        (("{a}の{p}のまどは、{z}", "今、{a}の{p}のまどは{z}"),),
        (
            (("[開く:ている]", "しまって[いる:ない]"), ("開けて[ある]", "しめて[ある:ない]")),
            (("しまって[いる]", "開いて[いる:ない]"), ("しめて[ある]", "開けて[ある:ない]")),
        ),
    ),
    Kind(
        "反対",
        (_A, ("p", _rows("部屋", "二階", "バスの中", "家", "電車の中", "ベンチ"))),
        (("{a}は、{p}で{z}", "{p}で、{a}は{z}"),),
        (
            (("起きて[いる]", "ねむって[いる:ない]"), ("目をさまして[いる]", "ねて[いる:ない]")),
            (("ねむって[いる]", "起きて[いる:ない]"), ("ねて[いる]", "目をさまして[いる:ない]")),
        ),
    ),
    Kind(
        "反対",
        (_A, _DAY),
        (("{a}は、{e}に{z}", "{e}に、{a}は{z}"),),
        (
            (("学校に[来る:た]", "学校を[休む:なかった]"), ("学校に[行く:た]", "学校を休みに[する:なかった]")),
            (("学校を[休む:た]", "学校に[来る:なかった]"), ("学校を休みに[する:た]", "学校に[行く:なかった]")),
        ),
    ),
)
KINDS: dict[str, tuple[tuple[Kind, ...], int]] = {
    "店": ((STORES,), 10),
    "場所": ((PLACES,), 10),
    "道具": ((TOOLS,), 10),
    "仕事": ((JOBS,), 10),
    "乗り物": ((RIDES,), 5),
    "動物": ((ANIMALS,), 12),
    "季節": ((SEASONS,), 10),
    "時間": ((TIMES,), 6),
    "曜日": ((WEEK,), 6),
    "色": ((COLOURS,), 6),
    "やりもらい": (GIVING, 20),
    "勝つ": ((WINNING,), 6),
    "くらべる": ((COMPARING,), 10),
    "前と後": ((ORDER,), 8),
    "方角": ((SIDES,), 0),
    "できる": ((ABLE,), 6),
    "反対": (OPPOSITE, 12),
}
