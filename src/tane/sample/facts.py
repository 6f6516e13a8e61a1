"""What is true in the world of the sample corpus: the facts a model can learn from it.

A fact ties a key (秋) to a word (葉) and comes with several wordings and with questions about it. Most
facts are rows of a table with shared wordings (a shop sells a thing, a tool is for a task); seasons,
weather and nature have wordings of their own (`season_facts.py`). All wordings are templates of
`grammar.py`; the knowledge plots and many scenes of the other plots state them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tane.sample.grammar import conjugate
from tane.sample.season_facts import NATURE_ROWS, SEASON_ROWS, TIME_ROWS, WEATHER_ROWS


class Fact(NamedTuple):
    """One fact: `topic` groups the like ones, `key` and `word` are the two ends that belong together."""

    topic: str
    key: str
    word: str
    lines: tuple[str, ...]
    asks: tuple[tuple[str, str], ...]


def _fill(text: str, row: dict[str, str]) -> str:
    """Puts the values of a row into a wording; slots the row does not know are left for later."""
    for name, value in row.items():
        text = text.replace("{" + name + "}", value)
    return text


def _table(topic: str, columns: str, rows: Iterable[tuple[str, ...]], lines: tuple[str, ...],
           asks: tuple[tuple[str, str], ...]) -> Iterator[Fact]:
    """The facts of a table: each row's values stand in the shared wordings; column one is the key."""
    names = columns.split()
    for values in rows:
        row = dict(zip(names, values, strict=True))
        yield Fact(topic, values[0], values[1], tuple(_fill(x, row) for x in lines),
                   tuple((_fill(q, row), _fill(a, row)) for q, a in asks))


def _own(topic: str, rows: Iterable[tuple[str, str, tuple[str, ...], tuple[tuple[str, str], ...]]]
         ) -> Iterator[Fact]:
    """Facts with wordings of their own."""
    for key, word, lines, asks in rows:
        yield Fact(topic, key, word, lines, asks)


def _clauses(topic: str, rows: Iterable[tuple[str, str, tuple[str, ...], str, str]],
             frames: tuple[str, ...]) -> Iterator[Fact]:
    """Facts told by clauses (葉が木から[落ちる]) inside frames that name the time ({k}になると、…)."""
    for key, word, clauses, ask, answer in rows:
        lines = []
        for clause in clauses:
            lines += [f.replace("{k}", key).replace("{c}", clause) for f in frames]
            bare = bare_clause(clause)
            lines.append(f"{bare}のは、{key}[だ]")
        asks = [(f"{bare_clause(clauses[0])}のはいつ[だ:か]", f"{key}[だ]")]
        if ask:
            asks.append((ask, answer))
        yield Fact(topic, key, word, tuple(lines), tuple(asks))


def bare_clause(clause: str) -> str:
    """The clause with its predicate in the dictionary form, fit to stand before のは or とき."""
    head, _, tail = clause.rpartition("[")
    word, _, form = tail.rstrip("]").partition(":")
    if word == "だ":
        return head + "な"
    form = {"": "辞", "た": "過"}.get(form, form)
    if form == "ている":
        return head + conjugate(word, "て") + "いる"
    return head + conjugate(word, form)


SOUNDS = (
    ("犬", "ワンワン"), ("猫", "ニャーニャー"), ("牛", "モーモー"), ("ぶた", "ブーブー"), ("羊", "メーメー"),
    ("馬", "ヒヒーン"), ("ねずみ", "チューチュー"), ("かえる", "ケロケロ"), ("からす", "カーカー"),
    ("すずめ", "チュンチュン"), ("にわとり", "コケコッコー"), ("ひよこ", "ピヨピヨ"), ("うぐいす", "ホーホケキョ"),
    ("せみ", "ミンミン"), ("すず虫", "リンリン"),
)
_SOUND_LINES = (
    "{a}は{s}と[鳴く]", "{a}は、(元気に|よく){s}と[鳴く]", "{s}と鳴くのは、{a}[だ]",
    "{a}の鳴き声は{s}[だ]", "{s}という声が聞こえたら、それは{a}の声[だ]", "{a}が{s}と鳴いて[いる]",
)
_SOUND_ASKS = (("{s}と鳴くのは何[だ:か]", "{a}[だ]"), ("{a}は何と[鳴く:か]", "{s}と[鳴く]"))

FOODS = (
    ("犬", "骨"), ("猫", "魚"), ("うさぎ", "にんじん"), ("さる", "バナナ"), ("りす", "どんぐり"), ("パンダ", "ささ"),
    ("牛", "草"), ("くま", "はちみつ"), ("ねずみ", "チーズ"), ("ぞう", "りんご"), ("ペンギン", "魚"),
    ("つばめ", "虫"), ("きりん", "木の葉"), ("すずめ", "米"),
)
_FOOD_LINES = (
    "{a}は{f}が(大好き|好き)[だ]", "{a}の(大好きな|好きな)食べ物は{f}[だ]", "{a}は、(よく|おいしそうに){f}を[食べる]",
    "おなかがすいた{a}は、{f}を[食べる]", "{f}を見つけると、{a}は[よろこぶ]", "{f}が大好きなのは、{a}[だ]",
)
_FOOD_ASKS = (("{a}は何が好き[だ:か]", "{f}[だ]"), ("{a}は何を[食べる:か]", "{f}を[食べる]"),
              ("{f}が大好きな生き物は何[だ:か]", "{a}[だ]"))

LOOKS = (
    ("うさぎ", "耳", "長い"), ("ぞう", "鼻", "長い"), ("きりん", "首", "長い"), ("くじら", "体", "大きい"),
    ("ねずみ", "体", "小さい"), ("からす", "羽", "黒い"), ("白鳥", "羽", "白い"), ("へび", "体", "細い"),
    ("馬", "足", "速い"), ("かば", "口", "大きい"), ("たぬき", "おなか", "丸い"), ("さる", "顔", "赤い"),
)
_LOOK_LINES = (
    "{a}は{p}が[{j}]", "{a}の{p}は[{j}]", "{p}が{j}生き物といえば、{a}[だ]", "{a}は、(とても|ほんとうに){p}が[{j}]",
    "{a}は{p}が{j}ことで知られて[いる]", "{p}が{j}のは、{a}[だ]",
)
_LOOK_ASKS = (("{p}が{j}生き物は何[だ:か]", "{a}[だ]"),)

GROWING = (
    ("おたまじゃくし", "かえる"), ("あおむし", "ちょう"), ("ひよこ", "にわとり"), ("やご", "とんぼ"), ("つぼみ", "花"),
    ("たまご", "ひよこ"),
)
_GROW_LINES = (
    "{x}は、(やがて|しばらくすると){y}に[なる]", "{x}は、時がたつと{y}に[なる]", "{y}は、はじめは{x}[だ:た]",
    "{x}がだんだん{y}に変わって[いく]", "{y}になる前は、{x}[だ:た]",
)
_GROW_ASKS = (("{x}は、やがて何に[なる:か]", "{y}に[なる]"), ("{y}は、はじめは何[だ:たか]", "{x}[だ:た]"))

STORES = (
    ("パン屋", "パン"), ("本屋", "本"), ("魚屋", "魚"), ("花屋", "花"), ("肉屋", "肉"), ("八百屋", "野菜"),
    ("くつ屋", "くつ"), ("薬屋", "薬"), ("おもちゃ屋", "おもちゃ"), ("時計屋", "時計"), ("米屋", "米"),
    ("ケーキ屋", "ケーキ"), ("服屋", "服"), ("とうふ屋", "とうふ"), ("文ぼう具屋", "ノート"), ("くだもの屋", "りんご"),
)
_STORE_LINES = (
    "{s}では、{o}を売って[いる]", "{s}には、{o}がたくさん[ある]", "{o}がほしいときは、{s}へ[行く]",
    "{o}を買うなら、{s}[だ]", "{s}は{o}を売る店[だ]", "{s}へ行けば、{o}が[買える]", "{o}を売っているのは、{s}[だ]",
)
_STORE_ASKS = (("{o}を売っている店はどこ[だ:か]", "{s}[だ]"), ("{s}では何を売って[いる:か]", "{o}を売って[いる]"))

TOOLS = (
    ("はさみ", "紙", "切る"), ("ほうき", "ごみ", "はく"), ("ほうちょう", "野菜", "切る"), ("えんぴつ", "字", "書く"),
    ("消しゴム", "字", "消す"), ("ものさし", "長さ", "はかる"), ("はかり", "重さ", "はかる"),
    ("温度計", "温度", "はかる"), ("時計", "時間", "知る"), ("かぎ", "ドア", "開ける"), ("はし", "ごはん", "食べる"),
    ("スプーン", "スープ", "飲む"), ("コップ", "水", "飲む"), ("カメラ", "写真", "とる"), ("石けん", "手", "あらう"),
    ("タオル", "体", "ふく"), ("歯ブラシ", "歯", "みがく"), ("のり", "紙", "はる"), ("かなづち", "くぎ", "打つ"),
    ("のこぎり", "木", "切る"), ("スコップ", "あな", "ほる"), ("じょうろ", "花に水", "やる"), ("くし", "かみの毛", "とかす"),
    ("虫めがね", "小さな物", "見る"), ("筆", "絵", "かく"), ("あみ", "虫", "とる"),
)
_TOOL_LINES = (
    "{t}で{o}を[{v}]", "{o}を{v}ときは、{t}を[使う]", "{t}は、{o}を{v}道具[だ]",
    "{t}があれば、{o}を{v}ことが[できる]", "{t}を使って、{o}を[{v}]", "{o}を{v}ために、{t}が[ある]",
    "{o}を{v}なら、{t}が役に[立つ]",
)
_TOOL_ASKS = (("{o}を{v}ときは、何を[使う:か]", "{t}を[使う]"), ("{t}は何をする道具[だ:か]", "{o}を{v}道具[だ]"))

JOBS = (
    ("医者", "病気", "なおす"), ("先生", "勉強", "教える"), ("パン屋さん", "パン", "焼く"), ("大工さん", "家", "建てる"),
    ("農家の人", "米や野菜", "作る"), ("運転手", "バス", "運転する"), ("りょうし", "魚", "とる"),
    ("消ぼう士", "火事の火", "消す"), ("けいさつ官", "町の安全", "守る"), ("歌手", "歌", "歌う"), ("画家", "絵", "かく"),
    ("作家", "物語", "書く"), ("ゆうびん屋さん", "手紙", "配る"), ("コック", "料理", "作る"), ("歯医者", "悪い歯", "なおす"),
    ("花屋さん", "花", "売る"), ("船長", "船", "動かす"), ("写真家", "写真", "とる"),
)
_JOB_LINES = (
    "{j}は{o}を[{v}]", "{j}の仕事は、{o}を{v}こと[だ]", "{o}を{v}のは、{j}の仕事[だ]", "{j}は、(毎日|みんなのために){o}を[{v}]",
    "{o}を{v}人は、{j}[だ]",
)
_JOB_ASKS = (("{o}を{v}のは、だれ[だ:か]", "{j}[だ]"), ("{j}の仕事は何[だ:か]", "{o}を{v}こと[だ]"))

TASTES = (
    ("レモン", "すっぱい"), ("さとう", "あまい"), ("塩", "しょっぱい"), ("とうがらし", "からい"), ("薬", "苦い"),
    ("コーヒー", "苦い"), ("はちみつ", "あまい"), ("梅ぼし", "すっぱい"), ("ケーキ", "あまい"), ("海の水", "しょっぱい"),
    ("カレー", "からい"), ("チョコレート", "あまい"), ("いちご", "あまい"), ("わさび", "からい"),
)
_TASTE_LINES = (
    "{f}は[{j}]", "{f}の味は[{j}]", "{f}を口に入れると、(とても|)[{j}]", "{f}は{j}味が[する]",
    "{j}物といえば、{f}[だ]", "{f}は{j}から、口に入れるとすぐに[分かる]",
)
_TASTE_ASKS = (("{f}はどんな味[だ:か]", "{j}味[だ]"), ("{f}を口に入れると、どんな味が[する:か]", "{j}味が[する]"))

COLOUR_ROWS = (
    ("晴れた空", "青"), ("海", "青"), ("雪", "白"), ("雲", "白"), ("りんご", "赤"), ("トマト", "赤"), ("いちご", "赤"),
    ("バナナ", "黄色"), ("レモン", "黄色"), ("ひまわり", "黄色"), ("たんぽぽ", "黄色"), ("からす", "黒"), ("牛乳", "白"),
    ("とうふ", "白"), ("炭", "黒"), ("夕日", "赤"), ("きゅうり", "緑"), ("草", "緑"), ("ピーマン", "緑"), ("夜の空", "黒"),
)
_COLOUR_LINES = ("{x}の色は{n}[だ]", "{x}は{q}", "{j}物といえば、{x}[だ]", "{x}をかくときは、{n}の絵の具を[使う]",
                 "{n}の色えんぴつで、{x}を[かく]", "{x}は、いつ見ても{q}")
_COLOUR_ASKS = (("{x}は何色[だ:か]", "{n}[だ]"), ("{x}の絵をかくときは、何色を[使う:か]", "{n}を[使う]"))


def _colour_rows() -> Iterator[tuple[str, ...]]:
    """Colour rows with the adjective and the predicate that the noun goes with (赤い, but 緑色の)."""
    for thing, noun in COLOUR_ROWS:
        if noun == "緑":
            yield thing, noun, "緑色の", "緑色[だ]"
        else:
            yield thing, noun, noun + "い", f"[{noun}い]"


BODY = (
    ("目", "物", "見る"), ("耳", "音", "聞く"), ("鼻", "におい", "かぐ"), ("口", "言葉", "話す"), ("手", "物", "つかむ"),
    ("足", "道", "歩く"), ("歯", "食べ物", "かむ"), ("頭", "答え", "考える"),
)
_BODY_LINES = (
    "{b}で{o}を[{v}]", "{o}を{v}ときは、{b}を[使う]", "{b}は、{o}を{v}ところ[だ]",
    "{b}があるから、{o}を{v}ことが[できる]", "(人|わたしたち)は、{b}を使って{o}を[{v}]", "{b}は、{o}を{v}のに役に[立つ]",
)
_BODY_ASKS = (("{o}を{v}ときは、体のどこを[使う:か]", "{b}を[使う]"), ("{b}は何をするところ[だ:か]", "{o}を{v}ところ[だ]"))

PLACES = (
    # place, object, what joins it to the verb, verb
    ("図書館", "本", "を", "借りる"), ("学校", "勉強", "を", "する"), ("病院", "病気", "をみて", "もらう"),
    ("駅", "電車", "に", "乗る"), ("プール", "水泳", "を", "する"), ("公園", "友だち", "と", "遊ぶ"),
    ("動物園", "めずらしい動物", "を", "見る"), ("水族館", "海の魚", "を", "見る"), ("港", "船", "に", "乗る"),
    ("空港", "飛行機", "に", "乗る"), ("畑", "野菜", "を", "育てる"), ("田んぼ", "米", "を", "作る"),
    ("台所", "料理", "を", "する"), ("おふろ", "体", "を", "あらう"), ("バスてい", "バス", "を", "待つ"),
    ("ゆうびん局", "切手", "を", "買う"), ("体育館", "運動", "を", "する"), ("音楽室", "歌", "を", "歌う"),
    ("市場", "魚や野菜", "を", "買う"),
)
_PLACE_LINES = (
    "{p}では、{o}{w}[{v}]", "{p}は、{o}{w}{v}ところ[だ]", "{o}{w}{v}ときは、{p}へ[行く]",
    "{p}に行けば、{o}{w}{v}ことが[できる]", "{o}{w}{v}場所は、{p}[だ]", "{p}へ行って、{o}{w}[{v}]",
)
_PLACE_ASKS = (("{o}{w}{v}ところはどこ[だ:か]", "{p}[だ]"), ("{p}は何をするところ[だ:か]", "{o}{w}{v}ところ[だ]"))

TOUCH = (
    ("火", "熱い"), ("氷", "冷たい"), ("石", "かたい"), ("わた", "やわらかい"), ("鉄", "重い"), ("羽", "軽い"), ("山", "高い"),
    ("海", "広い"), ("太陽", "明るい"), ("飛行機", "速い"),
)
_TOUCH_LINES = ("{x}は[{j}]", "{x}は(とても|ほんとうに)[{j}]", "{j}物といえば、{x}[だ]", "{x}が{j}ことは、だれでも知って[いる]",
                "{x}ほど{j}物は[少ない]", "(とても|ほんとうに){j}のは、{x}[だ]")
_TOUCH_ASKS = (("{j}物には、どんな物が[ある:か]", "{x}が[ある]"),)

MADE_OF = (
    ("とうふ", "大豆"), ("パン", "小麦粉"), ("チーズ", "牛乳"), ("紙", "木"), ("おにぎり", "米"), ("ジャム", "いちご"),
    ("バター", "牛乳"), ("みそ", "大豆"), ("せんべい", "米"), ("ガラス", "すな"), ("ジュース", "くだもの"),
)
_MADE_LINES = (
    "{x}は{y}から[できる]", "{y}から{x}を[作る]", "{x}を作るときは、{y}を[使う]", "{x}のもとは{y}[だ]",
    "{y}があれば、{x}を作ることが[できる]", "{x}は、{y}で作った物[だ]",
)
_MADE_ASKS = (("{x}は何から[できる:か]", "{y}から[できる]"), ("{y}から何を[作る:か]", "{x}を[作る]"))

RIDES = (
    ("電車", "線路", "を", "走る"), ("飛行機", "空", "を", "飛ぶ"), ("船", "海", "を", "進む"), ("バス", "道", "を", "走る"),
    ("トラック", "荷物", "を", "運ぶ"), ("消ぼう車", "火事の火", "を", "消す"), ("きゅうきゅう車", "病気の人", "を", "運ぶ"),
)
_RIDE_LINES = ("{x}は{o}{w}[{v}]", "{x}は、{o}{w}{v}乗り物[だ]", "{o}{w}{v}乗り物は、{x}[だ]", "{o}{w}{v}のは、{x}[だ]",
               "{x}という乗り物は、{o}{w}[{v}]")
_RIDE_ASKS = (("{o}{w}{v}乗り物は何[だ:か]", "{x}[だ]"),)

OPPOSITES = (
    ("大きい", "小さい"), ("長い", "短い"), ("高い", "低い"), ("明るい", "暗い"), ("暑い", "寒い"), ("新しい", "古い"),
    ("重い", "軽い"), ("速い", "おそい"), ("強い", "弱い"), ("多い", "少ない"), ("広い", "せまい"), ("近い", "遠い"),
    ("上", "下"), ("右", "左"), ("前", "後ろ"), ("東", "西"), ("北", "南"), ("入口", "出口"), ("買う", "売る"), ("勝つ", "負ける"),
)
_OPPOSITE_LINES = (
    "「{a}」の反対は「{b}」[だ]", "「{b}」の反対は「{a}」[だ]", "「{a}」と「{b}」は、反対の言葉[だ]",
    "「{a}」の反対の言葉は、「{b}」[だ]", "「{b}」の反対を考えると、「{a}」に[なる]",
)
_OPPOSITE_ASKS = (("「{a}」の反対は何[だ:か]", "「{b}」[だ]"), ("「{b}」の反対は何[だ:か]", "「{a}」[だ]"))

_WEEK = ("日曜日", "月曜日", "火曜日", "水曜日", "木曜日", "金曜日", "土曜日", "日曜日")
_NEXT_LINES = ("{a}の次は{b}[だ]", "{a}の次に来るのは、{b}[だ]", "{b}の前は{a}[だ]", "{a}が終わると、{b}に[なる]",
               "{b}は、{a}の後に[来る]")
_NEXT_ASKS = (("{a}の次は何[だ:か]", "{b}[だ]"), ("{b}の前は何[だ:か]", "{a}[だ]"))
_SEASON_ORDER = (("春", "夏"), ("夏", "秋"), ("秋", "冬"), ("冬", "春"))

LEGS = (("犬", "四本"), ("猫", "四本"), ("鳥", "二本"), ("人", "二本"), ("虫", "六本"), ("たこ", "八本"), ("馬", "四本"))
_LEG_LINES = ("{a}の足は{n}[だ]", "{a}には足が{n}[ある]", "{a}の足を数えると、{n}[ある]", "{a}は足を{n}持って[いる]")
_LEG_ASKS = (("{a}の足は何本[だ:か]", "{n}[だ]"),)


def _all_facts() -> Iterator[Fact]:
    """Every fact, topic by topic."""
    yield from _clauses("季節", SEASON_ROWS, ("{k}になると、{c}", "{k}には、{c}", "{k}は、{c}", "{k}が来ると、{c}",
                                            "毎年、{k}になると、{c}"))
    yield from _clauses("一日", TIME_ROWS, ("{k}になると、{c}", "{k}には、{c}", "{k}は、{c}", "毎日、{k}になると、{c}"))
    yield from _own("天気", WEATHER_ROWS)
    yield from _own("自然", NATURE_ROWS)
    yield from _table("鳴き声", "a s", SOUNDS, _SOUND_LINES, _SOUND_ASKS)
    yield from _table("食べ物", "a f", FOODS, _FOOD_LINES, _FOOD_ASKS)
    yield from _table("体のようす", "a p j", LOOKS, _LOOK_LINES, _LOOK_ASKS)
    yield from _table("成長", "x y", GROWING, _GROW_LINES, _GROW_ASKS)
    yield from _table("店", "s o", STORES, _STORE_LINES, _STORE_ASKS)
    yield from _table("道具", "t o v", TOOLS, _TOOL_LINES, _TOOL_ASKS)
    yield from _table("仕事", "j o v", JOBS, _JOB_LINES, _JOB_ASKS)
    yield from _table("味", "f j", TASTES, _TASTE_LINES, _TASTE_ASKS)
    yield from _table("色", "x n j q", _colour_rows(), _COLOUR_LINES, _COLOUR_ASKS)
    yield from _table("体", "b o v", BODY, _BODY_LINES, _BODY_ASKS)
    yield from _table("場所", "p o w v", PLACES, _PLACE_LINES, _PLACE_ASKS)
    yield from _table("物の感じ", "x j", TOUCH, _TOUCH_LINES, _TOUCH_ASKS)
    yield from _table("もと", "x y", MADE_OF, _MADE_LINES, _MADE_ASKS)
    yield from _table("乗り物", "x o w v", RIDES, _RIDE_LINES, _RIDE_ASKS)
    yield from _table("反対の言葉", "a b", OPPOSITES, _OPPOSITE_LINES, _OPPOSITE_ASKS)
    yield from _table("曜日", "a b", zip(_WEEK, _WEEK[1:], strict=False), _NEXT_LINES, _NEXT_ASKS)
    yield from _table("季節の順番", "a b", _SEASON_ORDER, _NEXT_LINES, _NEXT_ASKS)
    yield from _table("足の数", "a n", LEGS, _LEG_LINES, _LEG_ASKS)


FACTS: tuple[Fact, ...] = tuple(_all_facts())
"""All facts of the world."""

TOPICS: dict[str, tuple[Fact, ...]] = {
    t: tuple(f for f in FACTS if f.topic == t) for t in dict.fromkeys(f.topic for f in FACTS)
}
"""The facts by topic, in a fixed order."""
