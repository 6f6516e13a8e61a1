"""Plots that tell facts: lessons, questions, quizzes, riddles, books and essays.

They draw their facts from the deck of the corpus (every fact gets its turn) and tell each in one of its
wordings: as narration, as the words of a teacher or of a child, or as a question with its answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from tane.sample.facts import Fact
from tane.sample.grammar import NDA, PLAIN, POLITE, YO
from tane.sample.teller import Teller, plot

LABELS = {
    "一日": "朝や夜",
    "天気": "天気",
    "自然": "身の回りのふしぎ",
    "鳴き声": "生き物の声",
    "食べ物": "動物の食べ物",
    "体のようす": "動物の体",
    "成長": "生き物の育ち方",
    "店": "町の店",
    "道具": "道具",
    "仕事": "仕事",
    "味": "味",
    "色": "色",
    "体": "人の体",
    "場所": "町のいろいろな場所",
    "物の感じ": "いろいろな物",
    "もと": "物の作り方",
    "乗り物": "乗り物",
    "反対の言葉": "反対の言葉",
    "曜日": "曜日",
    "季節の順番": "四つの季節",
    "足の数": "生き物の足",
}

RIDDLES = {
    "うさぎ": ("耳が[長い]", "にんじんが大好き[だ]", "ぴょんぴょんと[はねる]"),
    "ぞう": ("鼻が[長い]", "りんごが大好き[だ]", "体がとても[大きい]"),
    "犬": ("ワンワンと[鳴く]", "骨が大好き[だ]", "足が四本[ある]", "家を[守る]"),
    "猫": ("ニャーと[鳴く]", "魚が大好き[だ]", "ねずみを[追う]"),
    "きりん": ("首が[長い]", "木の葉を[食べる]", "せがとても[高い]"),
    "牛": ("モーモーと[鳴く]", "草を[食べる]", "牛乳を[出す]"),
    "さる": ("顔が[赤い]", "バナナが大好き[だ]", "木に登るのが上手[だ]"),
    "かえる": ("ケロケロと[鳴く]", "はじめは、おたまじゃくし[だ:た]", "虫を[食べる]"),
    "せみ": ("夏に[鳴く]", "ミンミンと[鳴く]", "木に[とまる]"),
    "にわとり": ("コケコッコーと[鳴く]", "たまごを[うむ]", "子どもはひよこ[だ]"),
    "雪": ("冬に空から[降る]", "色は白[だ]", "とても[冷たい]"),
    "かさ": ("雨の日に[使う]", "開いて[使う]", "雨にぬれないように[する]"),
    "時計": ("時間を[教える]", "かべにかかって[いる]", "カチカチと音を[出す]"),
    "はさみ": ("紙を[切る]", "工作で[使う]", "手に持って[使う]"),
    "レモン": ("黄色い色をして[いる]", "とても[すっぱい]", "くだもの[だ]"),
    "医者": ("病院で[働く]", "病気を[なおす]", "薬のことをよく知って[いる]"),
    "つばめ": ("春に南の国から[来る]", "家ののきに巣を[作る]", "虫を[食べる]"),
    "太陽": ("朝、東から[のぼる]", "夕方、西に[しずむ]", "昼を明るく[する]"),
    "月": ("夜に空に[出る]", "丸くなったり、細くなったり[する]", "夜道を[照らす]"),
    "ちょう": ("はじめは、あおむし[だ:た]", "花のみつを[すう]", "春の野原を[飛ぶ]"),
    "図書館": ("本がたくさん[ある]", "しずかにするところ[だ]", "本を借りることが[できる]"),
    "パン屋": ("パンを売って[いる]", "朝早くから、いいにおいが[する]"),
    "くま": ("はちみつが大好き[だ]", "冬は、あなの中で[ねむる]", "体が[大きい]"),
    "電車": ("線路を[走る]", "駅に[止まる]", "たくさんの人を[運ぶ]"),
}

_AND = ("また、", "それから、", "そして、")


def facts_of(t: Teller, count: int) -> list[Fact]:
    """Some facts of one topic, in turn; sets {label} to what they are about."""
    facts = t.deck.draw(count)
    topic = facts[0].topic
    t.put(label=facts[0].key if topic == "季節" else LABELS[topic])
    return facts


def told(t: Teller, facts: list[Fact]) -> Iterator[Fact]:
    """The facts one by one, as long as the story has room for a question, its answer and an end."""
    for fact in facts:
        if len(t.lines) <= 6:
            yield fact


def _unquoted(text: str) -> str:
    """The text without its quotation marks, fit to stand inside others."""
    return text.replace("「", "").replace("」", "")


def spoken(t: Teller, fact: Fact, style: str) -> str:
    """One wording of the fact as somebody says it; quotation marks inside the speech are dropped."""
    return _unquoted(t.text(t.pick(fact.lines), style))


def asked(t: Teller, fact: Fact, style: str, answer_style: str) -> tuple[str, str]:
    """A question about the fact and its answer."""
    question, answer = t.pick(fact.asks)
    return _unquoted(t.text(question, style)), _unquoted(t.text(answer, answer_style))


def state(t: Teller, fact: Fact, joined: bool = True) -> None:
    """Tells the fact as narration, often joined to the one before (また、…)."""
    free = [a for a in _AND if a not in t.lines[-1] and (len(t.lines) < 2 or a not in t.lines[-2])]
    joint = t.pick(free) if free and joined and t.chance(0.45) else ""
    t.say(*(joint + line for line in fact.lines))


@plot(weight=5.0)
def lesson(t: Teller) -> None:
    """A teacher explains."""
    t.school_month()
    facts = facts_of(t, t.pick((3, 4, 5)))
    t.say(
        "{schoolday}、{T}が、{label}の話を[する:た]",
        "「今日は、{label}について勉強しましょう。」と{T}が[言う:た]",
        "{schoolday}、{H}のクラスでは、{label}について[勉強する:た]",
        "{M}のある日の(二|三|四|五)時間目に、{T}が{label}の話を[始める:た]",
    )
    for fact in told(t, facts):
        kind = t.rng.random()
        if kind < 0.35:
            t.put(x=spoken(t, fact, POLITE))
            t.say(
                "「{x}。」と{T}が[言う:た]",
                "「{x}。」と{T}が[教える:た]",
                "{Tは}、「{x}。」と[話す:た]",
                "「{x}。」と、{T}は絵を見せながら[話す:た]",
            )
        elif kind < 0.7:
            q, a = asked(t, fact, POLITE, POLITE)
            t.put(
                q=q, a=a, x=spoken(t, fact, POLITE), who=t.pick(("{H}", "{F}", "クラスのみんな", "一人の子"))
            )
            t.say("「{q}」と{T}が[聞く:た]", "{Tは}、「{q}」と[聞く:た]", "「では、{q}」と{T}が[聞く:た]")
            t.say(
                "「{a}。」と{who}が[答える:た]",
                "{who}は、「{a}。」と[答える:た]",
                "「はい、{a}。」と{who}が[言う:た]",
                "「{a}。{x}。」と{who}が[答える:た]",
            )
        elif kind < 0.9:
            state(t, fact, joined=fact is not facts[0])
        else:
            t.put(x=spoken(t, fact, PLAIN))
            t.say("{Hは}、ノートに「{x}。」と[書く:た]", "{T}は、黒板に「{x}。」と[書く:た]")
    t.maybe(
        0.7,
        "{Hは}、もっと{label}のことを知りたいと[思う:た]",
        "家に帰って、{Hは}その話を{A}に[する:た]",
        "「よくできました。」と{T}が[言う:た]",
        "{Hは}、{label}の勉強が好きに[なる:た]",
    )


@plot(weight=5.0)
def child_asks(t: Teller) -> None:
    """A child asks one of the family."""
    facts = facts_of(t, t.pick((3, 4)))
    t.say(
        "{day}、{Hは}{A}といっしょに町を[歩く:た]",
        "夕ごはんの後、{Hは}{A}のとなりに[すわる:た]",
        "{day}、{Hは}{A}と{label}の話を[する:た]",
        "{Hは}、知らないことがあると、すぐに{A}に[聞く]",
        "{holiday}、{Hは}{A}と本を読んで[いる:た]",
    )
    for fact in told(t, facts):
        q, a = asked(t, fact, YO, YO)
        t.put(q=q, a=a, x=spoken(t, fact, t.pick((NDA, YO))))
        if t.chance(0.65):
            t.say(
                "「{q}」と{Hは}[聞く:た]", "「ねえ、{q}」と{Hは}{A}に[聞く:た]", "{Hは}、「{q}」と[聞く:た]"
            )
            t.say(
                "「{a}。{x}。」と{A}が[答える:た]",
                "「{a}。」と{A}が[答える:た]",
                "「{a}。」と{A}が[教える:た]",
                "{Aは}、「{a}。{x}。」と教えて[くれる:た]",
            )
        else:
            t.say(
                "「{x}。」と{A}が[言う:た]",
                "{Aは}、「{x}。」と教えて[くれる:た]",
                "「{Hcall}、{x}。」と{A}が[言う:た]",
            )
    t.maybe(
        0.6,
        "「(知らなかった|そうなんだ|おもしろいね)。」と{Hは}[言う:た]",
        "{A}は、何でも知って[いる]",
        "{Hは}、明日{F}にも教えようと[思う:た]",
        "{Hは}、また一つ、新しいことを[覚える:た]",
    )


@plot(weight=4.0)
def quiz(t: Teller) -> None:
    """Children ask one another."""
    facts = facts_of(t, 3)
    t.say(
        "{day}、{H}と{F}は、{label}のクイズを[する:た]",
        "「クイズをしよう。」と{F}が[言う:た]",
        "雨の日に、{H}と{F}は教室でクイズを[する:た]",
        "休み時間、{Fは}{H}に{label}のクイズを[出す:た]",
        "{H}と{F}は、{label}のクイズが好き[だ]",
    )
    for fact in told(t, facts):
        q, a = asked(t, fact, t.pick((YO, POLITE)), YO)
        t.put(q=q, a=a, x=spoken(t, fact, YO))
        t.say("「{q}」と{F}が[聞く:た]", "{Fは}、「{q}」と[聞く:た]", "「では、{q}」と{F}が[言う:た]")
        t.say(
            "「{a}。」と{Hは}[答える:た]",
            "{Hは}、すぐに「{a}。」と[答える:た]",
            "「{a}。{x}。」と{Hは}[答える:た]",
            "少し考えて、{Hは}「{a}。」と[言う:た]",
        )
        t.put(x=spoken(t, fact, YO))
        t.maybe(
            0.3,
            "「当たり。」と{F}が[わらう:た]",
            "「よく知っているね。」と{F}が[言う:た]",
            "「そう、{x}。」と{F}が[言う:た]",
        )
    t.say(
        "{Hは}、全部当てることが[できる:た]",
        "「次は、{Hme}が聞くよ。」と{Hは}[言う:た]",
        "二人は、昼休みが終わるまで[続ける:た]",
        "「明日もクイズをしよう。」と{F}が[言う:た]",
    )


@plot(weight=2.0)
def riddle(t: Teller) -> None:
    """Who am I? Two or three clues and the answer."""
    t.say(
        "{day}、{A}が、{H}になぞなぞを[出す:た]",
        "{H}と{F}は、なぞなぞが大好き[だ]",
        "{day}、{Fは}{H}に、なぞなぞを[出す:た]",
        "「なぞなぞをしよう。」と{F}が[言う:た]",
        "{T}は、ときどき、みんなになぞなぞを[出す]",
    )
    for key in t.rng.sample(list(RIDDLES), t.pick((1, 2, 2))):
        clues = [
            t.text(c, POLITE) for c in t.rng.sample(RIDDLES[key], min(len(RIDDLES[key]), t.pick((2, 3))))
        ]
        what = "だれ" if key == "医者" else "何"
        t.put(key=key, clues="。".join(clues), one=clues[0], what=what)
        t.say(
            "「{clues}。わたしは{what}でしょう。」という問題[だ:た]",
            "問題は、「{clues}。わたしは{what}でしょう。」[だ:た]",
            "「{clues}。さあ、わたしは{what}でしょう。」というなぞなぞ[だ:た]",
        )
        t.say(
            "「分かった、{key}だ。」と{Hは}[言う:た]",
            "答えは、{key}[だ:た]",
            "{Hは}、すぐに「{key}。」と[答える:た]",
            "しばらく考えて、{Hは}「{key}だね。」と[言う:た]",
        )
        fact = [f for f in t.deck.facts if key in (f.key, f.word)]
        if fact:
            state(t, t.pick(fact), joined=False)
    t.say(
        "「当たり。」という声を聞いて、{Hは}にっこりと[わらう:た]",
        "{Hは}、家でもなぞなぞを出してみようと[思う:た]",
        "「もう一つ出して。」と{Hは}[言う:た]",
        "みんな、大きな声で[わらう:た]",
    )


@plot(weight=5.0)
def book(t: Teller) -> None:
    """The hero reads about it in a book."""
    facts = facts_of(t, t.pick((4, 5, 6)))
    t.say(
        "{day}、{Hは}図書館で、{label}の本を[借りる:た]",
        "{holiday}、{Hは}{label}の本を読んで[いる:た]",
        "{Hは}、{A}から{label}の本を[もらう:た]",
        "{Hは}、本屋で{label}の本を[見つける:た]",
    )
    for fact in told(t, facts):
        t.put(x=spoken(t, fact, POLITE), y=spoken(t, fact, PLAIN))
        if t.chance(0.45):
            state(t, fact, joined=fact is not facts[0])
        else:
            t.say(
                "本には、「{x}。」と書いて[ある:た]",
                "{Hは}、「{y}。」というところを、声に出して[読む:た]",
                "次のページには、「{x}。」と書いて[ある:た]",
                "{Hは}、「{y}。」という文を、えんぴつでノートに[写す:た]",
                "絵の下に、「{y}。」と書いて[ある:た]",
            )
    t.say(
        "{Hは}、おもしろくて、さいごまで一度に[読む:た]",
        "{Hは}、読んだことを{F}に[話す:た]",
        "「本を読むと、いろいろなことが分かるね。」と{Hは}[言う:た]",
        "{Hは}、この本がとても好きに[なる:た]",
    )


@plot(weight=6.0)
def essay(t: Teller) -> None:
    """A short text about one topic, fact by fact."""
    facts = facts_of(t, t.pick((5, 6, 7)))
    t.say(
        "{Hは}、{label}について作文を[書く:た]",
        "{label}について、{H}が知っていることを[書く]",
        "学校で、{Hは}{label}のことを[習う:た]",
        "{Hは}、{label}のことをよく知って[いる]",
        "{label}の話を[する:よう]",
    )
    for fact in told(t, facts):
        state(t, fact, joined=fact is not facts[0])
    t.maybe(
        0.6,
        "{Hは}、{label}のことを考えるのが好き[だ]",
        "{Hは}、このことを{G}にも[話す:た]",
        "{label}の話は、知れば知るほど[おもしろい]",
    )


@plot(weight=3.5)
def little_one(t: Teller) -> None:
    """The hero teaches a smaller child."""
    facts = facts_of(t, 3)
    t.put(
        B=t.pick(("妹", "弟", "小さな妹", "小さな弟", "となりの家の子")),
        sis="お姉さん" if t.slots["Hme"] == "わたし" else "お兄さん",
    )
    t.say(
        "{day}、{H}の{B}が、{label}のことを[聞く:た]",
        "{H}には、何でも聞きたがる{B}が[いる]",
        "{day}、{Hは}{B}に絵本を読んで[いる:た]",
        "{day}、{Hは}{B}と庭で遊んで[いる:た]",
    )
    for fact in told(t, facts):
        q, a = asked(t, fact, YO, YO)
        t.put(q=q, a=a, x=spoken(t, fact, t.pick((YO, NDA))))
        t.say("「{q}」と{B}が[聞く:た]", "{B}が、「{q}」と[聞く:た]", "「ねえ、{sis}、{q}」と{B}が[聞く:た]")
        t.say(
            "「{a}。」と{Hは}[答える:た]",
            "「{a}。{x}。」と{Hは}[教える:た]",
            "{Hは}、「{a}。{x}。」と[答える:た]",
        )
    t.maybe(
        0.7,
        "「すごい、{sis}は何でも知っているね。」と{B}が[言う:た]",
        "{B}は、うれしそうに[うなずく:た]",
        "{Hは}、少し{sis}らしくなった気が[する:た]",
        "教えるのは、自分が習うより[むずかしい]",
    )
