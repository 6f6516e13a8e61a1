"""draft"""
from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tane.sample.grammar import PLAIN, POLITE, render
from tane.sample.pair_kinds import BOYS, GIRLS, KINDS, Kind

SAME, DIFFERENT = "同じ", "違う"
Fact = tuple  # one row per column


class Pair(NamedTuple):
    sentence1: str
    sentence2: str
    label: str
    kind: str
    how: str
    facts: tuple


def key(kind: Kind, fact):
    rows = [r for c, r in enumerate(fact)]
    return (kind.name, *sorted(v for r in rows for v in r))


def draw(kind, rng):
    while True:
        fact = [rng.choice(c.rows) for c in kind.columns]
        if len(set(fact)) == len(fact):
            return fact


def other(kind, fact, rng, swap):
    i, j = kind.ends
    if i != j and swap:
        out = list(fact); out[i], out[j] = out[j], out[i]
        return out
    while True:
        out = list(fact)
        c = rng.choice(kind.changes)
        out[c] = rng.choice(kind.columns[c].rows)
        if len(set(out)) == len(out) and key(kind, out) != key(kind, fact):
            return out


def say(kind, fact, n, style, rng):
    slots = {"d": "です" if style == POLITE else ""}
    for column, row in zip(kind.columns, fact, strict=True):
        for s, v in zip(column.slots, row, strict=True):
            if style == POLITE:
                v += "さん" if v in GIRLS else "くん" if v in BOYS else ""
            slots[s] = v
    return render(kind.wordings[n], slots, rng, style) + "。"


def first(kind, n):
    i, j = kind.ends
    if i == j: return True
    w = kind.wordings[n]
    return w.index("{" + kind.columns[i].slots[0] + "}") < w.index("{" + kind.columns[j].slots[0] + "}")


def wordings(kind, rng):
    n = len(kind.wordings)
    keep = rng.random() < 0.5
    while True:
        a, b = rng.sample(range(n), 2)
        if kind.ends[0] == kind.ends[1] or (first(kind, a) == first(kind, b)) == keep:
            return a, b


SWAP = 0.6
def pairs_of(kind, count, rng, used) -> Iterator[Pair]:
    for label in [SAME, DIFFERENT] * (count // 2):
        while True:
            fact = draw(kind, rng)
            swap = rng.random() < SWAP
            second = fact if label == SAME else other(kind, fact, rng, swap)
            keys = {key(kind, fact), key(kind, second)}
            if not keys & used:
                break
        used |= keys
        a, b = wordings(kind, rng)
        style = rng.choice((POLITE, PLAIN))
        how = label if label == SAME else "swap" if len(keys) == 1 else "change"
        yield Pair(say(kind, fact, a, style, rng), say(kind, second, b, style, rng), label, kind.name, how, tuple(keys))


def pairs(counts=(250, 34, 34), seed=0):
    used = set()
    out = []
    rng = Random(seed)
    for count in counts:
        split = [p for kind in KINDS for p in pairs_of(kind, count, rng, used)]
        rng.shuffle(split)
        out.append(split)
    return out
