"""draft 3"""
from __future__ import annotations
from typing import NamedTuple
from tane.sample import fact_tables as tables
from tane.sample.facts import bare_clause
from tane.sample.season_facts import SEASON_ROWS, TIME_ROWS
from tane.sample.world import FAMILY

Row = tuple[str, ...]


class Kind(NamedTuple):
    name: str
    columns: tuple
    scenes: tuple
    states: tuple


GIRLS = ("さくら", "あおい", "めい", "ちひろ", "みさき", "なつみ", "まなみ", "ゆうな")
BOYS = ("りく", "たくみ", "しんじ", "ひろし", "はると", "ゆうと")


def _rows(*values):
    return tuple((v,) for v in values)


_A = ("a", _rows(*GIRLS, *BOYS, *FAMILY))


def _defined(rows):
    found = {}
    for name, d in rows:
        found.setdefault(name, []).append(d)
    return tuple((n, *d) for n, d in found.items())


def _did(*rows):
    out = []
    for row in rows:
        p, past, verb = row.split()
        out.append((f"{{a}}は、{{z}}{p}[{verb}:た]", f"{{z}}{p}{past}のは、{{a}}[だ]"))
    return tuple(out)


STORES = Kind("店", (_A,), _did("へ 行った 行く", "で 働いた 働く"), _defined((s, f"{o}を売っている店") for s, o in tables.STORES))
PLACES = Kind("場所", (_A,), _did("へ 行った 行く", "に 着いた 着く"), _defined((p, f"{o}{w}{v}ところ") for p, o, w, v in tables.PLACES if p not in ("学校", "体育館", "公園")))
TOOLS = Kind("道具", (_A,), _did("を 使った 使う", "を さがした さがす", "を 借りた 借りる"), _defined((t, f"{o}を{v}道具") for t, o, v in tables.TOOLS))
JOBS = Kind("仕事", (_A,), _did("に 会った 会う", "と 話した 話す"), _defined((j, f"{o}を{v}人") for j, o, v in tables.JOBS))
RIDES = Kind("乗り物", (_A,), _did("を 見た 見る", "に 乗った 乗る","を かいた かく"), _defined((x, f"{o}{w}{v}乗り物") for x, o, w, v in tables.RIDES))
ANIMALS = Kind("動物", (_A,), _did("を 見た 見る", "を かいた かく"), _defined([(a, f"{s}と鳴く生き物") for a, s in tables.SOUNDS] + [(a, f"{f}が好きな生き物") for a, f in tables.FOODS if a in ("うさぎ","さる","りす","くま","ぞう","つばめ","きりん")]))
SEASONS = Kind("季節", (_A,("p", _rows("海", "山", "動物園", "森", "おばあさんの家", "南の島", "北の町"))),
    (("{a}は、{z}に{p}へ[行く:た]", "{z}に{p}へ行ったのは、{a}[だ]"),),
    _defined((k, bare_clause(c) + "ころ") for k, w, cs, _, _ in SEASON_ROWS for c in cs[:1]))
_GIFTS = _rows("本", "ボール", "絵の具", "時計", "ぼうし", "図かん", "手ぶくろ", "花", "りんご", "みかん", "絵本", "クッキー")
_LOANS = _rows("本", "かさ", "ボール", "なわとび", "ノート", "虫めがね", "はさみ", "自転車", "タオル", "カメラ", "えんぴつ")
_SKILLS = _rows("歌", "ピアノ", "水泳", "おどり", "なわとび", "おりがみ", "料理", "花の名前", "星の名前", "クッキーの作り方")
_SELF = (("{z}",),)
GIVE = Kind("あげる", (_A, ("x", _GIFTS)), _SELF, (
    ("わたしは、{a}に{x}を[あげる:た]", "{a}は、わたしから{x}を[もらう:た]", "{a}に{x}をあげたのは、わたし[だ]"),
    ("{a}は、わたしに{x}を[くれる:た]", "わたしは、{a}から{x}を[もらう:た]", "わたしに{x}をくれたのは、{a}[だ]")))
LEND = Kind("かす", (_A, ("x", _LOANS)), _SELF, (
    ("わたしは、{a}に{x}をかして[あげる:た]", "{a}は、わたしから{x}を[借りる:た]", "{a}に{x}をかしてあげたのは、わたし[だ]"),
    ("{a}は、わたしに{x}をかして[くれる:た]", "わたしは、{a}から{x}を[借りる:た]", "わたしに{x}をかしてくれたのは、{a}[だ]")))
TEACH = Kind("教える", (_A, ("x", _SKILLS)), _SELF, (
    ("わたしは、{a}に{x}を教えて[あげる:た]", "{a}は、わたしから{x}を[習う:た]", "{a}に{x}を教えてあげたのは、わたし[だ]"),
    ("{a}は、わたしに{x}を教えて[くれる:た]", "わたしは、{a}から{x}を[習う:た]", "わたしに{x}を教えてくれたのは、{a}[だ]")))
COMPARE = Kind("くらべる", (_A, ("x j k", (("せ", "高い", "低い"), ("足", "速い", "おそい"), ("かみ", "長い", "短い"), ("手", "大きい", "小さい"), ("荷物", "重い", "軽い"), ("くつ", "新しい", "古い"), ("部屋", "広い", "せまい"), ("声", "大きい", "小さい"), ))), _SELF, (
    ("わたしは、{a}より{x}が{j}{d}", "{a}より、わたしのほうが{x}が{j}{d}", "{a}は、わたしより{x}が{k}{d}"),
    ("{a}は、わたしより{x}が{j}{d}", "わたしより、{a}のほうが{x}が{j}{d}", "わたしは、{a}より{x}が{k}{d}")))
_ACTS = (("手を", "あらう"), ("本を", "読む"), ("絵を", "かく"), ("歌を", "歌う"), ("水を", "飲む"), ("手紙を", "書く"), ("花に水を", "やる"), ("犬と", "遊ぶ"), ("公園を", "歩く"), ("部屋を", "かたづける"), ("友だちに", "会う"))
ORDER = Kind("前と後", (_A, ("o v", _ACTS)), _SELF, (
    ("{a}は、夕ごはんの前に{o}[{v}:た]", "{a}は、{o}[{v}:て]から夕ごはんを[食べる:た]", "{a}が{o}[{v}:過]のは、夕ごはんを食べる前[だ:た]"),
    ("{a}は、夕ごはんの後で{o}[{v}:た]", "{a}は、{o}[{v}:辞]前に夕ごはんを[食べる:た]", "{a}が{o}[{v}:過]のは、夕ごはんを食べた後[だ:た]")))
WINDOW = Kind("まど", (_A, ("p", _rows("部屋", "台所", "家", "店", "教室", "車"))), (("{a}の{p}のまどは、{z}", "{p}のまどは、{a}が見ると{z}")[:1],), (
    ("[開く:ている]", "開けて[ある]", "しまって[いる:ない]"), ("しまって[いる]", "しめて[ある]", "開いて[いる:ない]")))
ASLEEP = Kind("ねむる", (_A, ("p", _rows("部屋", "二階", "バスの中", "家", "電車の中", "ベンチ"))), (("{a}は、{p}で{z}", "{p}で、{a}は{z}"),), (
    ("起きて[いる]", "目をさまして[いる]", "ねむって[いる:ない]"), ("ねむって[いる]", "ねて[いる]", "起きて[いる:ない]")))
SCHOOL = Kind("休む", (_A, ("p", _rows("月曜日", "火曜日", "水曜日", "木曜日", "金曜日"))), (("{a}は、{p}に{z}", "{p}に、{a}は{z}"),), (
    ("学校に[来る:た]", "学校に[行く:た]", "学校を[休む:なかった]"), ("学校を[休む:た]", "学校を休みに[する:た]", "学校に[来る:なかった]")))
KINDS = {
    "店": ((STORES,), 10), "場所": ((PLACES,), 9), "道具": ((TOOLS,), 12), "仕事": ((JOBS,), 10),
    "動物": ((ANIMALS,), 14), "季節": ((SEASONS,), 10), "乗り物": ((RIDES,), 6),
    "やりもらい": ((GIVE, LEND, TEACH), 20), "くらべる": ((COMPARE,), 10), "前と後": ((ORDER,), 10), "反対": ((WINDOW, ASLEEP), 10),
}
