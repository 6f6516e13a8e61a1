"""A packed block as training sees it: which tokens are hidden, how, and where one text ends.

tane.show_masks(recipe)          # the last line of a notebook's cell: in colour
print(tane.show_masks(recipe))   # as plain text
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from tane.errors import InputError
from tane.recipe import Recipe
from tane.tokens.encoder import Encoder
from tane.tokens.mix import mixed
from tane.tokens.order import global_batch, key
from tane.tokens.shards import Shards
from tane.tokens.tokenizer import load_tokenizer
from tane.types import IGNORE

Kind = Literal["plain", "special", "masked", "replaced", "kept"]

# the kinds of targets: colour, line under it (seen without colours too), and what a legend says
LOOKS: dict[str, tuple[str, str, str]] = {
    "masked": ("#ffd591", "solid", "shown as [MASK]"),
    "replaced": ("#ffadd2", "double", "shown as a random token"),
    "kept": ("#b7eb8f", "dashed", "shown as it is"),
}
PAGE = (
    "background:#fff;color:#222;padding:.6em;border:1px solid #ccc;line-height:2.6;max-width:56em;"
    "overflow-wrap:anywhere"
)
ABOVE = "font-size:75%;color:#555"
SEGMENT = "border-left:4px solid #91caff;margin:.3em 0;padding-left:.6em"


class Shown(NamedTuple):
    """One position of a block: what the model sees there, what was there, and how it was hidden.

    A position of a kind that is no target ("plain", "special") shows what was there.
    """

    seen: str
    truth: str
    kind: Kind


@dataclass(frozen=True)
class MaskedBlock:
    """A block with its masks: `segments`, each a tuple of positions. A notebook shows it in colour.

    epoch, number: which block it is; free: positions of the block that hold nothing.
    """

    epoch: int
    number: int
    segments: tuple[tuple[Shown, ...], ...]
    free: int

    @property
    def counts(self) -> dict[str, int]:
        """Positions of each kind."""
        found: Counter[str] = Counter(shown.kind for segment in self.segments for shown in segment)
        return {kind: found[kind] for kind in ("plain", "special", *LOOKS)}

    def _title(self) -> str:
        counts = self.counts
        targets = sum(counts[kind] for kind in LOOKS)
        return (
            f"block {self.number:,}, epoch {self.epoch:,}; segments: {len(self.segments):,}; "
            f"hidden: {targets:,} of {targets + counts['plain']:,} tokens; free positions: {self.free:,}"
        )

    def __str__(self) -> str:
        """One segment a line; a target stands in brackets: [what was there → what the model sees],
        or [what was there] where it is shown as it is."""
        return "\n".join([self._title(), *(" ".join(map(_plain, segment)) for segment in self.segments)])

    def _repr_html_(self) -> str:
        counts = self.counts
        legend = " ".join(
            f"{_marked(kind, says)} {counts[kind]:,}&emsp;" for kind, (_, _, says) in LOOKS.items()
        )
        rows = (f"<div style='{SEGMENT}'>{' '.join(map(_html, segment))}</div>" for segment in self.segments)
        title = f"<div style='line-height:1.6'>{escape(self._title())}<br>{legend}</div>"
        return f"<div style='{PAGE}'>{title}{''.join(rows)}</div>"


def _plain(shown: Shown) -> str:
    if shown.kind == "kept":
        return f"[{shown.truth}]"
    return shown.seen if shown.kind in ("plain", "special") else f"[{shown.truth} → {shown.seen}]"


def _html(shown: Shown) -> str:
    if shown.kind == "plain":
        return escape(shown.seen)
    if shown.kind == "special":
        return f"<span style='color:#999;font-size:80%'>{escape(shown.seen)}</span>"
    # ruby: what was there stands above what the model sees
    seen = _marked(shown.kind, shown.seen)
    return f"<ruby style='ruby-align:center'>{seen}<rt style='{ABOVE}'>{escape(shown.truth)}</rt></ruby>"


def _marked(kind: str, text: str) -> str:
    colour, line, _ = LOOKS[kind]
    style = f"background:{colour};color:#222;border-bottom:3px {line} #555;padding:0 .15em;white-space:nowrap"
    return f"<span style='{style}'>{escape(text)}</span>"


def show_masks(recipe: Recipe, number: int | None = None, *, epoch: int = 0) -> MaskedBlock:
    """A block of the training text with its masks, exactly as training with this recipe sees it.

    number: of the block in its epoch, a negative one from behind, where the shortest texts are; None: the one
    that the epoch begins with. The same block has other masks in each epoch. Raises InputError for another
    objective, where the data has not been prepared, and where there is no such block.
    """
    objective, data, seed = recipe.objective, recipe.data_path, recipe.seed
    if objective.scores_all_text:
        raise InputError(f"the objective {objective.name} hides no tokens", "take objective.name=masked")
    if epoch < 0:
        raise InputError(f"epoch: expected 0 or more, found {epoch}")
    if not (data / "shards").is_dir():
        raise InputError(f"{data} has no shards yet", "call tane.prepare(recipe) first")
    vocabulary = Encoder(data / "tokenizer").vocabulary
    words = data / "words" if objective.word_starts else None
    blocks = objective.blocks(mixed(Shards(data / "shards", "train", words), seed), vocabulary)
    sizes = blocks.sizes
    count = sizes if isinstance(sizes, int) else sizes[epoch]
    if number is None:
        first = epoch * sizes if isinstance(sizes, int) else sizes.begin(epoch)
        number = int(global_batch(first, 1, sizes, seed)[1][0])
    if not -count <= number < count:
        raise InputError(f"there is no block {number:,}: epoch {epoch:,} has {count:,}, from 0 on")
    number %= count
    block = blocks.at(epoch)[number]
    batch = objective.batch([block], [key(seed, "mask", epoch, number)], vocabulary)
    rows = (block.ids, batch.inputs["input_ids"][0].numpy(), batch.labels[0].numpy())
    shown = list(_positions(load_tokenizer(data / "tokenizer"), set(vocabulary.special_ids), *rows))
    borders = [0, *(np.flatnonzero(np.diff(block.segments[: block.length])) + 1).tolist(), block.length]
    segments = tuple(tuple(shown[a:b]) for a, b in pairwise(borders))
    return MaskedBlock(epoch, number, segments, objective.block_size - block.length)


def _positions(
    tokenizer: Any, special: set[int], ids: np.ndarray, inputs: np.ndarray, labels: np.ndarray
) -> Iterator[Shown]:
    """The positions of a block: ids (L,) as they are, inputs and labels (T,) as the model gets them."""
    mask = tokenizer.mask_token_id
    for true, seen, label in zip(ids.tolist(), inputs.tolist(), labels.tolist(), strict=False):
        kind: Kind = "special" if true in special else "plain"
        if label != IGNORE:
            kind = "masked" if seen == mask else "kept" if seen == true else "replaced"
        yield Shown(_spelled(tokenizer, seen), _spelled(tokenizer, true), kind)


def _spelled(tokenizer: Any, number: int) -> str:
    """A piece as one reads it; a part of a character, and white space, as the tokenizer writes it."""
    text = tokenizer.decode([number])
    if "\ufffd" in text or not text.strip():
        return str(tokenizer.convert_ids_to_tokens(number))
    return str(text)
