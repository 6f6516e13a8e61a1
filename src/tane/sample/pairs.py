"""draft"""
from __future__ import annotations

from random import Random
from typing import NamedTuple

from tane.sample.grammar import PLAIN, POLITE, render
from tane.sample.pair_kinds import BOYS, GIRLS, KINDS, Kind

SAME, DIFFERENT = "同じ", "違う"


class Pair(NamedTuple):
    sentence1: str
    sentence2: str
    label: str
    kind: str
    how: str
    fact: tuple


ENDS = {POLITE: {"d": "です", "ru": "ます", "nai": "ません", "ta": "ました"}, PLAIN: {"d": "", "ru": "る", "nai": "ない", "ta": "た"}}


def draw(kind: Kind, same, rng):
    style = rng.choice((POLITE, PLAIN))
    scene = rng.randrange(len(kind.scenes))
    slots = dict(ENDS[style])
    fact = [kind.name, str(scene)]
    for names, rows in kind.columns:
        row = rng.choice(rows)
        fact += row
        for s, v in zip(names.split(), row, strict=True):
            slots[s] = v + ("" if style == PLAIN else "さん" if v in GIRLS else "くん" if v in BOYS else "")
    s, t = rng.sample(range(len(kind.states)), 2)
    if same: t = s
    if len(kind.states) > 2: fact.append(kind.states[s][0])
    one, two = kind.states[s], kind.states[t]
    places = rng.sample(range(min(len(one), len(two))), 2)
    out = []
    for z in (one[places[0]], two[places[1]]):
        w = rng.choice(kind.scenes[scene])
        out.append(render(w.replace("{z}", z), slots, rng, style) + "。")
    return out, tuple(fact)


def pairs(counts=(3000, 400, 400), seed=0):
    used = set(); rng = Random(seed); out = []
    total = sum(n for _, n in KINDS.values())
    for count in counts:
        split = []
        for name, (kinds, weight) in KINDS.items():
            for k in range(2 * round(count * weight / total / 2)):
                for _ in range(300):
                    kind = rng.choice(kinds)
                    (a, b), fact = draw(kind, k % 2, rng)
                    if fact not in used and min(len(a), len(b)) >= 8 and max(len(a), len(b)) <= 40: break
                else: print("exhausted", name, k); break
                used.add(fact)
                split.append(Pair(a, b, SAME if k % 2 else DIFFERENT, name, kind.name, fact))
        rng.shuffle(split); out.append(split)
    return out
