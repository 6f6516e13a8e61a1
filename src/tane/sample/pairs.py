"""Labelled sentence pairs to fine-tune a small model on: do the two say the same (同じ), or not (違う)?

A pair is two wordings of one fact, or of two facts that differ in one thing: who gave and who was given,
before and after, opened and shut, which animal. Which characters the two share tells little: sentences that
differ are worded as those that agree are, and each sentence by itself is as likely in both. To tell them
apart takes the words' meaning: what the corpus teaches (a dog barks, a doctor cures), and how it is put.

    pairs(seed)            the pairs of each split, with their kind and the fact they are about
    write_pairs(folder)    the same as train.csv, valid.csv and test.csv
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from pathlib import Path
from random import Random
from typing import NamedTuple

from tane.files import make_folder
from tane.sample.grammar import PLAIN, render
from tane.sample.output import write_whole
from tane.sample.pair_kinds import KINDS, Kind, Row

SAME, DIFFERENT = "同じ", "違う"
SPLITS = {"train": 552, "valid": 44, "test": 44}
"""The splits, and how many pairs of each kind they hold; half of them say the same."""


class Pair(NamedTuple):
    """One example. `fact` is what it is about, as one of the ways to tell it; no two splits share a fact."""

    sentence1: str
    sentence2: str
    label: str
    kind: str
    fact: str


_Choice = tuple[str, str]
"""A wording and a phrase for its {z}."""


class _Case(NamedTuple):
    """What is told: a scene of a kind, and the rows of its columns."""

    kind: Kind
    scene: Row
    rows: tuple[Row, ...]

    def say(self, choice: _Choice, rng: Random) -> str:
        """The sentence of a wording and a phrase."""
        wording, phrase = choice
        slots = {
            slot: value
            for column, row in zip(self.kind.columns, self.rows, strict=True)
            for slot, value in zip(column.slots.split(), row, strict=True)
        }
        return render(wording.replace("{z}", phrase), slots, rng, PLAIN) + "。"


def _cases(kinds: Sequence[Kind]) -> list[_Case]:
    """Every case of some kinds, in a fixed order."""
    return [
        _Case(kind, scene, rows)
        for kind in kinds
        for scene in kind.scenes
        for rows in product(*(column.rows for column in kind.columns))
    ]


def _ways(case: _Case, same: bool) -> Iterator[tuple[_Case, _Choice, _Choice]]:
    """Every way to say a case twice, of one state or of two.

    The phrases stand at different places of their states, be it one state or two: two sentences that agree
    are worded just as differently as two that do not.
    """
    states = case.kind.states
    for one, two in zip(states, states, strict=True) if same else permutations(states, 2):
        for i, j in permutations(range(len(one)), 2):
            for first, second in product(case.scene, repeat=2):
                yield case, (first, one[i]), (second, two[j])


def _draw(name: str, cases: Sequence[_Case], count: int, rng: Random) -> Iterator[Pair]:
    """`count` pairs about the cases, half of them of either label; none comes twice, in either order."""
    for label in (SAME, DIFFERENT):
        ways = [way for case in cases for way in _ways(case, label == SAME)]
        rng.shuffle(ways)
        seen: set[frozenset[str]] = set()
        for case, one, two in ways:
            fact = case.say((case.scene[0], case.kind.states[0][0]), rng)
            pair = Pair(case.say(one, rng), case.say(two, rng), label, name, fact)
            if frozenset(pair[:2]) not in seen:
                seen.add(frozenset(pair[:2]))
                yield pair
            if len(seen) == count // 2:
                break
        else:
            raise RuntimeError(f"{name} has only {len(seen)} pairs of {count // 2} with the label {label}")


def pairs(seed: int = 0) -> dict[str, list[Pair]]:
    """The pairs of each split, mixed; equal seeds give equal pairs.

    A fact (who does what with something, whatever that be) belongs to one split, where it may come in
    several pairs; the words and what they mean (はさみ is 紙を切る道具) are the same in all splits.
    """
    rng = Random(seed)
    splits: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for name, kinds in KINDS.items():
        cases = _cases(kinds)
        rng.shuffle(cases)
        start, held = 0, -(-len(cases) // 10)
        for split, count in SPLITS.items():
            end = start + (len(cases) - 2 * held if split == "train" else held)
            splits[split] += _draw(name, cases[start:end], count, rng)
            start = end
    for examples in splits.values():
        rng.shuffle(examples)
    return splits


def write_pairs(folder: str | os.PathLike[str], seed: int = 0) -> dict[str, Path]:
    """Writes train.csv, valid.csv and test.csv (UTF-8, LF; sentence1, sentence2, label); returns their paths.

    The folder is made where it is missing; files of those names are replaced. Equal seeds give equal files.
    Raises ResourceError where that cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)  # before the work
    paths = {}
    for split, examples in pairs(seed).items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Pair._fields[:3])
        writer.writerows(pair[:3] for pair in examples)
        paths[split] = folder / f"{split}.csv"
        write_whole(paths[split], [text.getvalue()])
    return paths
