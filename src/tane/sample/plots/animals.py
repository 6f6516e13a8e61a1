"""Plots among the animals of the forest: help, a race, a strange sound, the moon, a birthday.

An animal helps by what its kind does best; those that sleep through the winter are not met in it.
"""

from __future__ import annotations

from tane.sample import world
from tane.sample.fact_tables import SOUNDS
from tane.sample.teller import Teller, plot

GLAD = (
    "{H}と{F}は、前よりもっと仲よく[なる:た]",
    "{Hは}、友だちっていいなと[思う:た]",
    "その夜、{Hは}うれしくて、なかなかねむることが[できる:なかった]",
    "森には、(楽しい|明るい)わらい声が[ひびく:た]",
    "{H}と{F}は、顔を見合わせて[わらう:た]",
    "それから、二人は毎日いっしょに[遊ぶ:た]",
)
"""Ways to end."""

_SLEEPERS = ("くま", "かめ")
"""They sleep through the winter."""


def animals(
    t: Teller, winter: bool = False, without: tuple[str, ...] = ()
) -> tuple[world.Animal, world.Animal]:
    """Casts two animals of different kinds: {H} the hero with {HK} (うさぎのミミ), {F} the friend."""
    if winter or t.season == "冬":
        without += _SLEEPERS
    awake = [a for a in world.ANIMALS if a.kind not in without]
    one, two = t.rng.sample(awake, 2)
    for slot, animal in (("H", one), ("F", two)):
        name = t.pick(animal.names)
        t.name(slot, name)
        t.put(
            **{
                slot + "K": f"{animal.kind}の{name}",
                slot + "kind": animal.kind,
                slot + "food": animal.food,
                slot + "home": animal.home,
            }
        )
    t.put(old=t.pick(("昔", "ある所に", "ある森に", "山のふもとの森に")))
    return one, two


def opening(t: Teller, dated: bool = True) -> None:
    """Introduces the hero, in some wordings with a day."""
    days = (
        "ある{S}の日、{HK}は(森|山|野原|川のそば)を歩いて[いる:た]",
        "{S}の(ある|)朝、{HK}は早く[起きる:た]",
    )
    t.say(
        *(days if dated else ()),
        "{old}、{HK}が(住んで|くらして)[いる:た]",
        "{Hhome}に、{HK}が住んで[いる:た]",
        "{HK}は、{Hhome}でくらして[いる:た]",
        "(しずかな|美しい){S}の森に、{HK}が住んで[いる:た]",
    )


@plot(weight=1.3)
def helping_friend(t: Teller) -> None:
    """One animal is in trouble and another helps by what it does best."""
    hero, _ = animals(t)
    opening(t)
    t.scene(0.6, wild=True)
    trouble = t.pick(hero.trouble)
    t.say(
        "見ると、{FK}が、" + trouble,
        "大きな木の下で、{FK}が、" + trouble,
        "(森の中|道のとちゅう)で、{FK}が、" + trouble,
    )
    t.say(
        "「どうしたの。」と{Hは}[聞く:た]",
        "{Hは}、心配して、{F}のそばへ[行く:た]",
        "「何があったの。」と{H}が[聞く:た]",
    )
    t.say(
        "「いっしょにやろう。」と{Hは}[言う:た]",
        "「ちょっと待っていてね。」と{Hは}[言う:た]",
        "「だいじょうぶ、まかせて。」と{Hは}[言う:た]",
    )
    t.say(*hero.help)
    t.say(
        "「ありがとう、{H}。」と{F}が[言う:た]",
        "{Fは}、お礼に{Hfood}を[くれる:た]",
        "{Fは}、「{H}は、ほんとうにやさしいね。」と[言う:た]",
    )
    t.maybe(
        0.6,
        "{Hkind}は、{Hfood}が大好き[だ]",
        "{Hは}、大好きな{Hfood}をもらって、とても[よろこぶ:た]",
        "二人は、{Hfood}と{Ffood}を半分ずつ[食べる:た]",
    )
    t.maybe(0.7, *GLAD)


@plot(weight=1.0)
def race(t: Teller) -> None:
    """A race that is not about winning."""
    animals(t, without=("ふくろう", "かめ"))
    t.put(goal=t.pick(("大きな木", "山の上", "川の岸", "赤い花の咲くおか", "池のまわりの石")))
    opening(t)
    t.say(
        "「{goal}まで、かけっこをしよう。」と{FK}が[言う:た]",
        "ある日、{FK}が、「どちらが速いかな。」と[言う:た]",
        "{H}と{FK}は、{goal}まで走ることに[する:た]",
    )
    t.scene(0.5, wild=True)
    t.say(
        "「よーい、ドン。」と、(ふくろう|すずめ|からす|りす)が[言う:た]",
        "二人は、いっしょに[走り出す:た]",
        "{Hは}、風のように[走る:た]",
    )
    t.say(
        "はじめは、{F}のほうがずっと[速い:た]",
        "{Hは}、すぐに{F}より前に[出る:た]",
        "{Fは}、ゆっくりだけれど、休まないで[進む:た]",
    )
    t.say(
        "とちゅうで、{F}が石につまずいて[転ぶ:た]",
        "すると、道のまん中で、小さなひよこがピヨピヨと鳴いて[いる:た]",
        "とちゅうの川に、橋が[ない:た]",
        "急に、雨が降って[くる:た]",
    )
    t.say(
        "{Hは}、{goal}へ行くのをやめて、もどって[くる:た]",
        "{Hは}、「だいじょうぶ？」と聞いて、手を[出す:た]",
        "{Hは}、走るのをやめて、{F}を[待つ:た]",
    )
    t.say(
        "二人は、手をつないで、{goal}に[着く:た]",
        "さいごは、二人ならんで{goal}まで[歩く:た]",
        "{goal}には、二人いっしょに[着く:た]",
    )
    t.say(
        "「今日は、二人とも一番だね。」と{F}が[言う:た]",
        "「いっしょのほうが楽しいね。」と{H}が[言う:た]",
        "見ていた動物たちも、手を[たたく:た]",
    )
    t.maybe(0.5, *GLAD)


@plot(weight=1.3)
def strange_sound(t: Teller) -> None:
    """Who makes the sound in the forest?"""
    animals(t)
    able = [
        (a, s)
        for a, s in SOUNDS
        if a
        not in (
            "せみ",
            "すず虫",
            "うぐいす",
            "かえる" if t.season == "冬" else "",
            t.slots["Hkind"],
            t.slots["Fkind"],
        )
    ]
    who, sound = t.pick(able)
    t.put(who=who, sound=sound, wrong=t.pick([a for a, _ in able if a != who]))
    opening(t, dated=False)
    t.say(
        "ある日、どこかで「{sound}。」という声が[する:た]",
        "ある日、「{sound}。」と、聞いたことのない声が[聞こえる:た]",
        "ある朝、「{sound}、{sound}。」と、何かが鳴いて[いる:た]",
    )
    t.say(
        "「今の声は、何だろう。」と{Hは}[思う:た]",
        "{Hは}、おどろいて、木の後ろに[かくれる:た]",
        "「だれの声だろう。」と{Hは}[考える:た]",
    )
    t.say(
        "{Hは}、こわくなって、{FK}を[よぶ:た]",
        "そこへ、{FK}が[来る:た]",
        "{Hは}、近くに住む{FK}の家へ[走る:た]",
    )
    t.say(
        "「{wrong}の声かな。」と{F}が[言う:た]",
        "「{wrong}なら、{sound}とは鳴かないよ。」と{F}が[言う:た]",
        "{Fは}、「おばけかもしれない。」と[言う:た]",
    )
    t.say(
        "二人は、(手をつないで|そっと|少しずつ)、声のするほうへ[行く:た]",
        "二人は、草の間から、そっと[のぞく:た]",
        "声は、だんだん大きく[なる:た]",
    )
    t.say(
        "そこにいたのは、小さな{who}[だ:た]",
        "何と、{who}が一人で鳴いて[いる:た]",
        "草の中から、{who}が出て[くる:た]",
    )
    t.say(
        "「{who}は、{sound}と鳴くんだね。」と{Hは}[言う:た]",
        "{sound}と鳴いていたのは、{who}だった[のだ]",
        "「{sound}というのは、{who}の声だよ。」と{F}が[言う:た]",
    )
    t.say(
        "{who}は、「道が分からなくなったの。」と[言う:た]",
        "{who}は、友だちをさがして[いる:た]",
        "「いっしょに遊ぼうよ。」と{who}が[言う:た]",
    )
    t.maybe(
        0.8,
        "三人は、すぐに友だちに[なる:た]",
        "三人は、夕方までいっしょに[遊ぶ:た]",
        "{Hは}、{who}を家まで[送る:た]",
        "もう、その声は少しもこわく[ない:た]",
    )


@plot("秋夏", 0.9)
def moon_pond(t: Teller) -> None:
    """The moon in the pond."""
    animals(t)
    t.put(wise="かえる" if "ふくろう" in (t.slots["Hkind"], t.slots["Fkind"]) else "ふくろう")
    opening(t)
    t.say(
        "夜になって、空に丸い月が[出る:た]",
        "ある夜、空に丸い月が[出る:た]",
        "その夜は、月がとても明るく光って[いる:た]",
    )
    t.say(
        "{H}が池を見ると、水の中に月が[ある:た]",
        "池の水に、月がうつって[いる:た]",
        "「たいへんだ、月が池に落ちた。」と{Hは}[言う:た]",
    )
    t.say(
        "{Hは}、急いで{FK}を[よぶ:た]",
        "{FK}も来て、「ほんとうだ。」と[言う:た]",
        "「助けてあげよう。」と{FK}が[言う:た]",
    )
    t.say(
        "二人は、長いえだで月を取ろうと[する:た]",
        "{Hは}、水の中に手を[入れる:た]",
        "{Fは}、大きなあみを持って[くる:た]",
    )
    t.say(
        "ところが、水がゆれて、月は見えなく[なる:た]",
        "すると、月はいくつにも分かれて、きらきらと[光る:た]",
        "手を入れるたびに、月はにげて[しまう:た]",
    )
    t.say(
        "そこへ、{wise}が来て、「空を見てごらん。」と[言う:た]",
        "「上を見て。」と{F}が[言う:た]",
        "ふと空を見上げると、月はちゃんと空に[ある:た]",
    )
    t.say(
        "「なんだ、月は空にいたんだね。」と{H}が[言う:た]",
        "水の中の月は、空の月がうつった物だった[のだ]",
        "二人は、大きな声で[わらう:た]",
    )
    t.maybe(
        0.7,
        "二人は、{Hfood}を食べながら、月を[見る:た]",
        "暗い夜も、月と星があると明るいと、{Hは}[思う:た]",
        "月は、二人の帰る道を明るく[照らす:た]",
    )


@plot(weight=1.3)
def animal_birthday(t: Teller) -> None:
    """A friend's birthday: what does it like best?"""
    animals(t)
    t.put(wrong=t.pick([a.food for a in world.ANIMALS if a.food != t.slots["Ffood"]]))
    t.say(
        "{S}のある日、{HK}は、{FK}のたん生日のことを[思い出す:た]",
        "明日は{FK}のたん生日だと、{HK}は[思い出す:た]",
        "「{FK}のたん生日に、何をあげようかな。」と、{HK}は[考える:た]",
    )
    t.scene(0.6, wild=True)
    t.say(
        "「{wrong}はどうかな。」と{Hは}[考える:た]",
        "{Hは}、はじめ、{wrong}を[さがす:た]",
        "{H}の大好きな食べ物は、{Hfood}[だ]",
    )
    t.say(
        "(すずめ|からす|ふくろう)が、「{Fkind}が好きなのは、{Ffood}だよ。」と[教える:た]",
        "「{Fkind}は、{Ffood}が大好きだよ。」と(すずめ|からす)が[教える:た]",
        "{Hは}、{Fkind}の大好きな{Ffood}をさがしに[行く:た]",
    )
    t.say(
        "{Hは}、(森じゅうを|山の上まで|川のむこうまで)歩いて、{Ffood}を[見つける:た]",
        "日がしずむまで歩いて、{Hは}やっと{Ffood}を[見つける:た]",
        "{Hは}、かごいっぱいに{Ffood}を[集める:た]",
    )
    t.say(
        "「たん生日おめでとう。」と{Hは}[言う:た]",
        "次の日、{Hは}{Ffood}を持って、{F}の家へ[行く:た]",
        "{Hは}、花といっしょに、{Ffood}を[わたす:た]",
    )
    t.say(
        "「わあ、{Ffood}だ。」と{F}が[言う:た]",
        "{Ffood}を見て、{Fは}とび[上がる:た]",
        "{Fは}、おいしそうに{Ffood}を[食べる:た]",
    )
    t.maybe(0.7, "{Fは}、{H}に{Hfood}を[くれる:た]", *GLAD)
