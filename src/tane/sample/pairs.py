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


STYLES = (POLITE, PLAIN)


def draw(kind: Kind, same, group, rng):
    style = rng.choice(STYLES)
    scene, rows = group
    slots = dict(ENDS[style])
    for (names, _), row in zip(kind.columns, rows, strict=True):
        for s, v in zip(names.split(), row, strict=True):
            slots[s] = v + ("" if style == PLAIN else "さん" if v in GIRLS else "くん" if v in BOYS else "")
    s, t = rng.sample(range(len(kind.states)), 2)
    if same: t = s
    one, two = kind.states[s], kind.states[t]
    places = rng.sample(range(min(len(one), len(two))), 2)
    out = []
    for z in (one[places[0]], two[places[1]]):
        out.append(render(rng.choice(scene).replace("{z}", z), slots, rng, style) + "。")
    return out


def pairs(share=1.0, seed=0):
    from itertools import product
    rng = Random(seed); splits = ([], [], [])
    for name, (kinds, weight) in KINDS.items():
        groups = [(k, g) for k in kinds for g in product(k.scenes, product(*(r for _, r in k.columns)))]
        rng.shuffle(groups); cut = len(groups) // 10
        parts = (groups[2 * cut:], groups[:cut], groups[cut:2 * cut])
        for split, part, n in zip(splits, parts, (weight * share, weight * .13, weight * .13)):
            seen = set()
            for k in range(2 * round(n / 2)):
                for _ in range(500):
                    kind, group = rng.choice(part)
                    a, b = draw(kind, k % 2, group, rng)
                    if frozenset((a, b)) not in seen: break
                else: print("exhausted", name, k); break
                seen.add(frozenset((a, b)))
                split.append(Pair(a, b, SAME if k % 2 else DIFFERENT, name, kind.name, group))
    for s in splits: rng.shuffle(s)
    return splits
