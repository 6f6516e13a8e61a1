"""The teller of one story: its hero, season and style, and the sentences said so far.

A plot is a function that is given a teller and tells the story by it: `say` draws one of several
wordings, renders it in the style of the story and keeps it. A wording that would repeat a sentence of
the story, or give away a held-out sentence of `cloze.py`, is drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from tane.sample import world
from tane.sample.cloze import held_out_in
from tane.sample.facts import FACTS, Fact
from tane.sample.grammar import PLAIN, POLITE, render
from tane.sample.season_facts import SCENES

T = TypeVar("T")

_HOLIDAY = (
    "ある{S}の日曜日",
    "{M}の(ある|さいごの|はじめの|)日曜日",
    "(よく晴れた|ある){S}の土曜日",
    "{M}の(ある|)土曜日",
    "{S}のある(休みの|晴れた)日",
)
_SCHOOL = (
    "ある{S}の{D}",
    "{M}の(ある|はじめの|){D}",
    "{M}のある日",
    "ある{S}の日",
    "{M}の中ごろ",
    "{S}のある日",
)
_ANY = (
    "ある{S}の日",
    "{M}のある日",
    "{S}のある日",
    "{M}の(はじめ|中ごろ|終わり)",
    "ある{S}の{D}",
    "{M}の{D}",
)


_TAME = ("手ぶくろ", "ぼうし", "屋根", "庭", "公園", "田んぼ", "道", "朝顔", "ひまわり")
"""What stands only where people live: no scenery for the animals of the forest."""


_OFTEN = {"季節": 3, "一日": 2}
"""Topics that get more than one turn a fact; what the demo asks for first must be learnt well."""


class FactDeck:
    """Deals the facts by turns, so that over a corpus each is told about equally often."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.facts = FACTS
        self._groups: dict[tuple[str, str], list[Fact]] = {}
        for fact in FACTS:
            key = fact.key if fact.topic == "季節" else ""
            self._groups.setdefault((fact.topic, key), []).append(fact)
        self._left: dict[tuple[str, str], list[Fact]] = {}
        self._turns: list[tuple[str, str]] = []

    def draw(self, count: int) -> list[Fact]:
        """`count` facts of one topic, of one season where the topic is the seasons."""
        if not self._turns:
            for group, facts in self._groups.items():
                self._turns += [group] * (len(facts) * _OFTEN.get(group[0], 1))
            self._rng.shuffle(self._turns)
        group = self._turns.pop()
        drawn: list[Fact] = []
        while len(drawn) < min(count, len(self._groups[group])):
            left = self._left.setdefault(group, [])
            if not left:
                left += self._rng.sample(self._groups[group], len(self._groups[group]))
            fact = left.pop()
            if fact not in drawn:
                drawn.append(fact)
        return drawn


class Teller:
    """Tells one story; see the module's header.

    Slots that every plot of everyday life can use, once `cast` has run:
        {H} hero, {F} friend, {P} parent, {G} grandparent, {A} another of the family, {T} teacher;
        {Hは} the hero as topic, {Hme} as the hero says "I", {Hcall} as others call the hero, {Hname} bare;
        {S} season, {M} month, {D} weekday; {day}, {holiday}, {schoolday} a day to begin with.
    """

    def __init__(self, rng: Random, season: str, polite: bool, deck: FactDeck) -> None:
        self.rng = rng
        self.deck = deck
        self.season = season
        self.style = POLITE if polite else PLAIN
        self.slots: dict[str, str] = {
            "S": season,
            "M": rng.choice(world.MONTHS[season]),
            "D": rng.choice(world.WEEKDAYS),
        }
        self.lines: list[str] = []

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return self.rng.choice(options)

    def chance(self, share: float) -> bool:
        """True in `share` of the calls."""
        return self.rng.random() < share

    def put(self, **slots: str) -> None:
        """Sets slots for the templates to come."""
        self.slots.update(slots)

    def text(self, template: str, style: str | None = None) -> str:
        """A template rendered, in the style of the story unless another is asked for."""
        return render(template, self.slots, self.rng, style or self.style)

    def say(self, *wordings: str) -> None:
        """Says one of the wordings; a full stop is added where the wording has no end mark."""
        sentence = ""
        for _ in range(8):
            sentence = self.text(self.rng.choice(wordings))
            if sentence[-1] not in "。！？":
                sentence += "。"
            if sentence not in self.lines and not held_out_in(sentence):
                break
        self.lines.append(sentence)

    def maybe(self, share: float, *wordings: str) -> None:
        """Says one of the wordings in `share` of the stories."""
        if self.chance(share):
            self.say(*wordings)

    def scene(self, share: float = 1.0, wild: bool = False) -> None:
        """Shows the season in passing; `wild` leaves out what only stands where people live."""
        if self.chance(share):
            scenes = SCENES[self.season]
            self.say(*(s for s in scenes if not wild or not any(w in s for w in _TAME)))

    def name(self, slot: str, narrated: str, pronoun: str = "", call: str = "") -> None:
        """Names a person: {X} in the narration, {Xは} with the topic, {Xme} and {Xcall} in speech."""
        self.put(
            **{
                slot: narrated,
                slot + "は": narrated + "は",
                slot + "me": pronoun or narrated,
                slot + "call": call or narrated,
            }
        )

    def story(self) -> str:
        """The story so far, in one line."""
        return "".join(self.lines)

    def cast(self) -> None:
        """Chooses the people of a story of everyday life: hero {H}, friend {F}, family, teacher."""
        girl, friend_girl = self.chance(0.5), self.chance(0.5)
        first_person = self.chance(0.4 if self.style == PLAIN else 0.15)
        hero = self.pick(world.GIRLS if girl else world.BOYS)
        friend = self.pick([n for n in (world.GIRLS if friend_girl else world.BOYS) if n != hero])
        me, fme = ("わたし" if girl else "ぼく"), ("わたし" if friend_girl else "ぼく")
        title, ftitle = ("さん" if girl else "くん"), ("さん" if friend_girl else "くん")
        bare = self.style == PLAIN and not first_person
        self.name("H", me if first_person else hero + ("" if bare else title), me, hero + title)
        self.name("F", friend + ("" if bare else ftitle), fme, friend + ftitle)
        parent, grand = self.pick(world.PARENTS), self.pick(world.GRAND)
        self.name("P", parent)
        self.name("G", grand)
        self.name("A", self.pick([who for who in world.FAMILY if who not in (parent, grand)]))
        self.name("T", self.pick(world.TEACHERS))
        self.put(Hname=hero, Fname=friend)
        self.put(
            holiday=self.text(self.pick(_HOLIDAY)),
            schoolday=self.text(self.pick(_SCHOOL)),
            day=self.text(self.pick(_ANY)),
        )

    def school_month(self) -> None:
        """Keeps the month out of the school holidays."""
        self.put(M=self.pick(world.SCHOOL_MONTHS[self.season]))
        self.put(schoolday=self.text(self.pick(_SCHOOL)))


class Plot(NamedTuple):
    """A plot: what tells it, the seasons it can be set in, and how often it is drawn."""

    tell: Callable[[Teller], None]
    seasons: str
    weight: float


def plot(seasons: str = "春夏秋冬", weight: float = 1.0) -> Callable[[Callable[[Teller], None]], Plot]:
    """Marks a function as a plot."""
    return lambda tell: Plot(tell, seasons, weight)
