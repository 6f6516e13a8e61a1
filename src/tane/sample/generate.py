"""Stories from a seed, and the corpus file.

One story is one plot told once: the season, the style and the people are drawn first, then the plot runs.
Everything comes from one `random.Random(seed)`, so equal seeds give equal bytes in every process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tane.errors import InputError
from tane.sample.cloze import held_out_in
from tane.sample.output import write_whole
from tane.sample.plots import PLOTS
from tane.sample.teller import FactDeck, Teller

DEFAULT = 8400
"""Stories of the default corpus."""

_SHORTEST, _LONGEST = 4, 9
_KEEP = 100
"""Redraws before the generator gives up on finding another new story."""


def _tell(rng: Random, deck: FactDeck, weights: list[float]) -> Teller:
    """One story, whatever its length."""
    _, plot = rng.choices(PLOTS, cum_weights=weights)[0]
    teller = Teller(rng, rng.choice(plot.seasons), polite=rng.random() < 0.55, deck=deck)
    teller.cast()
    plot.tell(teller)
    return teller


def stories(seed: int = 0, count: int = DEFAULT) -> Iterator[str]:
    """Yields `count` short stories, each of 4 to 9 sentences in one line; no story comes twice.

    Equal seeds give equal stories. The sentences of `CLOZE`, filled in, never stand among them. Raises
    InputError when no more new ones come.
    """
    if count < 0:
        raise ValueError(f"count must not be negative: {count}")
    rng = Random(seed)
    deck = FactDeck(rng)
    weights: list[float] = []
    for _, plot in PLOTS:
        weights.append(plot.weight + (weights[-1] if weights else 0.0))
    seen: set[str] = set()
    for _ in range(count):
        for _ in range(_KEEP):
            teller = _tell(rng, deck, weights)
            text = teller.story()
            if _SHORTEST <= len(teller.lines) <= _LONGEST and text not in seen and not held_out_in(text):
                break
        else:
            raise InputError(f"no new story in {_KEEP} attempts after {len(seen):,} of them", "ask for fewer")
        seen.add(text)
        yield text


def write_corpus(path: str | os.PathLike[str], seed: int = 0, count: int = DEFAULT) -> int:
    """Writes the stories to `path` (UTF-8, LF, a blank line between stories); returns how many.

    The file appears whole or not at all, its folder is made where it is missing. Raises ResourceError where
    that cannot be written.
    """
    told = (f"{story}\n" if n == 0 else f"\n{story}\n" for n, story in enumerate(stories(seed, count)))
    write_whole(Path(path), told)
    return count
