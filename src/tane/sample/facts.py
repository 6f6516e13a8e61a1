"""What is true in the world of the sample corpus: the facts a model can learn from it.

A fact ties a key (秋) to a word (葉) and comes with several wordings and with questions about it. Most
facts are rows of a table with shared wordings (a shop sells a thing, a tool is for a task); seasons,
weather and nature have wordings of their own (`season_facts.py`). All wordings are templates of
`grammar.py`; the knowledge plots and many scenes of the other plots state them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tane.sample import fact_tables as tables
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


def _table(
    topic: str,
    columns: str,
    rows: Iterable[tuple[str, ...]],
    lines: tuple[str, ...],
    asks: tuple[tuple[str, str], ...],
) -> Iterator[Fact]:
    """The facts of a table: each row's values stand in the shared wordings; column one is the key."""
    names = columns.split()
    for values in rows:
        row = dict(zip(names, values, strict=True))
        yield Fact(
            topic,
            values[0],
            values[1],
            tuple(_fill(x, row) for x in lines),
            tuple((_fill(q, row), _fill(a, row)) for q, a in asks),
        )


def _own(
    topic: str, rows: Iterable[tuple[str, str, tuple[str, ...], tuple[tuple[str, str], ...]]]
) -> Iterator[Fact]:
    """Facts with wordings of their own."""
    for key, word, lines, asks in rows:
        yield Fact(topic, key, word, lines, asks)


def _clauses(
    topic: str, rows: Iterable[tuple[str, str, tuple[str, ...], str, str]], frames: tuple[str, ...]
) -> Iterator[Fact]:
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


def _all_facts() -> Iterator[Fact]:
    """Every fact, topic by topic."""
    yield from _clauses(
        "季節",
        SEASON_ROWS,
        ("{k}になると、{c}", "{k}には、{c}", "{k}は、{c}", "{k}が来ると、{c}", "毎年、{k}になると、{c}"),
    )
    yield from _clauses(
        "一日", TIME_ROWS, ("{k}になると、{c}", "{k}には、{c}", "{k}は、{c}", "毎日、{k}になると、{c}")
    )
    yield from _own("天気", WEATHER_ROWS)
    yield from _own("自然", NATURE_ROWS)
    yield from _table("鳴き声", "a s", tables.SOUNDS, tables.SOUND_LINES, tables.SOUND_ASKS)
    yield from _table("食べ物", "a f", tables.FOODS, tables.FOOD_LINES, tables.FOOD_ASKS)
    yield from _table("体のようす", "a p j", tables.LOOKS, tables.LOOK_LINES, tables.LOOK_ASKS)
    yield from _table("成長", "x y", tables.GROWING, tables.GROW_LINES, tables.GROW_ASKS)
    yield from _table("店", "s o", tables.STORES, tables.STORE_LINES, tables.STORE_ASKS)
    yield from _table("道具", "t o v", tables.TOOLS, tables.TOOL_LINES, tables.TOOL_ASKS)
    yield from _table("仕事", "j o v", tables.JOBS, tables.JOB_LINES, tables.JOB_ASKS)
    yield from _table("味", "f j", tables.TASTES, tables.TASTE_LINES, tables.TASTE_ASKS)
    yield from _table("色", "x n j q", tables.colour_rows(), tables.COLOUR_LINES, tables.COLOUR_ASKS)
    yield from _table("体", "b o v", tables.BODY, tables.BODY_LINES, tables.BODY_ASKS)
    yield from _table("場所", "p o w v", tables.PLACES, tables.PLACE_LINES, tables.PLACE_ASKS)
    yield from _table("物の感じ", "x j", tables.TOUCH, tables.TOUCH_LINES, tables.TOUCH_ASKS)
    yield from _table("もと", "x y", tables.MADE_OF, tables.MADE_LINES, tables.MADE_ASKS)
    yield from _table("乗り物", "x o w v", tables.RIDES, tables.RIDE_LINES, tables.RIDE_ASKS)
    yield from _table("反対の言葉", "a b", tables.OPPOSITES, tables.OPPOSITE_LINES, tables.OPPOSITE_ASKS)
    yield from _table(
        "曜日", "a b", zip(tables.WEEK, tables.WEEK[1:], strict=False), tables.NEXT_LINES, tables.NEXT_ASKS
    )
    yield from _table("季節の順番", "a b", tables.SEASON_ORDER, tables.NEXT_LINES, tables.NEXT_ASKS)
    yield from _table("足の数", "a n", tables.LEGS, tables.LEG_LINES, tables.LEG_ASKS)


FACTS: tuple[Fact, ...] = tuple(_all_facts())
"""All facts of the world."""

TOPICS: dict[str, tuple[Fact, ...]] = {
    t: tuple(f for f in FACTS if f.topic == t) for t in dict.fromkeys(f.topic for f in FACTS)
}
"""The facts by topic, in a fixed order."""
