"""What training gets, spelled out: packed blocks with masks, labels and borders of documents, and examples of
a task. The blocks, their order and their masks are those of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from tane.errors import InputError
from tane.recipe import Recipe
from tane.tasks.examples import Encoded
from tane.text.columns import visible
from tane.tokens.describe import SPACE
from tane.tokens.encoder import Encoder
from tane.tokens.mix import mixed
from tane.tokens.order import global_batch, key
from tane.tokens.shards import Shards
from tane.tokens.tokenizer import load_tokenizer
from tane.training.finetuning import Finetuning
from tane.types import IGNORE
from tane.use import block_page

Kind = Literal["plain", "special", "masked", "replaced", "kept", "next", "labelled"]


class Shown(NamedTuple):
    """One position of a block: what the model sees there, what it must say, and of what kind it is.

    What it must say is what was there, where that is hidden; the token after it, of the kind "next"; the
    label of the word that begins there, of the kind "labelled". A position that is no target ("plain",
    "special") has what the model sees.
    """

    seen: str
    truth: str
    kind: Kind


Segments = tuple[tuple[Shown, ...], ...]


@dataclass(frozen=True)
class ShownBlock:
    """A block as training gets it: `segments`, each a tuple of positions. A notebook shows it in colour, and
    `print` as plain text.

    epoch, number: which block it is; free: positions of the block that hold nothing.
    """

    epoch: int
    number: int
    segments: Segments
    free: int
    between: ClassVar[str] = "|"  # of two positions
    kinds: ClassVar[tuple[str, ...]] = ("special", "next")

    @property
    def counts(self) -> dict[str, int]:
        """Positions of each kind that there may be."""
        found: Counter[str] = Counter(shown.kind for segment in self.segments for shown in segment)
        return {kind: found[kind] for kind in self.kinds}

    @property
    def title(self) -> str:
        """What the block is, in figures."""
        counts = self.counts
        return (
            f"block {self.number:,}, epoch {self.epoch:,}; documents: {len(self.segments):,}; "
            f"tokens: {sum(counts.values()):,}; free positions: {self.free:,}"
        )

    @property
    def answer(self) -> str:
        """What the whole of it is labelled with, "" for none."""
        return ""

    def told(self) -> dict[str, Any]:
        """As a plan's `blocks` have it: a position is [seen, truth, kind]."""
        return {
            "title": self.title, "between": self.between, "answer": self.answer,
            "segments": [[list(shown) for shown in segment] for segment in self.segments],
        }  # fmt: skip

    def __str__(self) -> str:
        return "\n".join(block_page.plain(self.told()))

    def _repr_html_(self) -> str:
        return block_page.html([self.told()])


class MaskedBlock(ShownBlock):
    """A block with its masks. As text, a target stands in brackets: [what was there → what the model sees],
    or [what was there] where it is shown as it is."""

    between = " "
    kinds = ("plain", "special", *block_page.HIDDEN)

    @property
    def title(self) -> str:
        """What the block is, in figures."""
        counts = self.counts
        targets = sum(counts[kind] for kind in block_page.HIDDEN)
        return (
            f"block {self.number:,}, epoch {self.epoch:,}; segments: {len(self.segments):,}; "
            f"hidden: {targets:,} of {targets + counts['plain']:,} tokens; free positions: {self.free:,}"
        )


@dataclass(frozen=True)
class ShownExample(ShownBlock):
    """An example of a task: each input row is a segment. label: its answer in words, "" where words have
    theirs; cut: whether text was lost."""

    label: str
    cut: bool
    between = " "
    kinds = ("plain", "special", "labelled")

    @property
    def title(self) -> str:
        """What the example is, in figures."""
        rows = f"{len(self.segments):,} rows, " if len(self.segments) > 1 else ""
        tokens = max(len(segment) for segment in self.segments)
        return f"example {self.number:,}; {rows}tokens: {tokens:,}{', cut' if self.cut else ''}"

    @property
    def answer(self) -> str:
        """Its label."""
        return self.label


# ---------------------------------------------------------------------------------------------------- text


class Prepared:
    """The prepared text of a recipe, as training reads it. Raises InputError where there is none, and
    IntegrityError where it is not whole."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, data = recipe, recipe.data_path
        if not (data / "shards").is_dir():
            raise InputError(f"{data} has no shards yet", "call tane.prepare(recipe) first")
        self.vocabulary = Encoder(data / "tokenizer").vocabulary
        self.tokenizer = load_tokenizer(data / "tokenizer")
        words = data / "words" if recipe.objective.word_starts else None
        shards = Shards(data / "shards", "train", words)
        self.blocks = recipe.objective.blocks(mixed(shards, recipe.seed), self.vocabulary)
        self.sizes = self.blocks.sizes

    def count(self, epoch: int) -> int:
        """Blocks of an epoch."""
        return self.sizes if isinstance(self.sizes, int) else self.sizes[epoch]

    def first(self, epoch: int, count: int) -> list[int]:
        """The numbers of the first blocks of an epoch in its order, at most so many."""
        count = min(count, self.count(epoch))
        begin = epoch * self.sizes if isinstance(self.sizes, int) else self.sizes.begin(epoch)
        if not count:
            return []
        places = np.concatenate([
            global_batch(begin + at, 1, self.sizes, self.recipe.seed)[1] for at in range(count)
        ])  # fmt: skip
        return places.tolist()

    def show(self, epoch: int, number: int) -> ShownBlock:
        """One block, with the masks of its epoch."""
        objective = self.recipe.objective
        block = self.blocks.at(epoch)[number]
        batch = objective.batch(
            [block], [key(self.recipe.seed, "mask", epoch, number)], self.vocabulary
        )  # fmt: skip
        inputs, labels = batch.inputs["input_ids"][0].numpy(), batch.labels[0].numpy()
        if objective.scores_all_text:
            length = block.length - 1  # the last token is a label alone
            shown = list(self._next(inputs[:length], labels[:length]))
            after = np.flatnonzero(inputs[: max(0, length - 1)] == self.vocabulary.eos_id) + 1
            segments = _cut(shown, after.tolist(), length)
            return ShownBlock(epoch, number, segments, objective.block_size - length)
        shown = list(self._hidden(block.ids, inputs, labels))
        after = np.flatnonzero(np.diff(block.segments[: block.length])) + 1
        segments = _cut(shown, after.tolist(), block.length)
        return MaskedBlock(epoch, number, segments, objective.block_size - block.length)

    def _next(self, inputs: np.ndarray, labels: np.ndarray) -> Iterator[Shown]:
        """Positions of which each must say the next; inputs, labels (n,)."""
        for seen, label in zip(inputs.tolist(), labels.tolist(), strict=True):
            kind: Kind = "special" if seen in self.vocabulary.special_ids else "next"
            yield Shown(spelled(self.tokenizer, seen), spelled(self.tokenizer, label), kind)

    def _hidden(self, ids: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> Iterator[Shown]:
        """The positions of a block: ids (L,) as they are, inputs and labels (T,) as the model gets them."""
        special, mask = set(self.vocabulary.special_ids), self.vocabulary.mask_id
        for true, seen, label in zip(ids.tolist(), inputs.tolist(), labels.tolist(), strict=False):
            kind: Kind = "special" if true in special else "plain"
            if label != IGNORE:
                kind = "masked" if seen == mask else "kept" if seen == true else "replaced"
            yield Shown(spelled(self.tokenizer, seen), spelled(self.tokenizer, true), kind)


def _cut(shown: Sequence[Shown], after: list[int], length: int) -> Segments:
    return tuple(tuple(shown[a:b]) for a, b in pairwise([0, *after, length]))


def first_blocks(recipe: Recipe, count: int) -> list[ShownBlock]:
    """The first blocks of the first step, at most so many; of a text that is prepared."""
    prepared = Prepared(recipe)
    return [prepared.show(0, number) for number in prepared.first(0, count)]


# --------------------------------------------------------------------------------------------------- tasks


def first_examples(work: Finetuning, tokenizer: Any, count: int) -> list[ShownExample]:
    """The first examples of the first step of a task, at most so many, with their labels."""
    special = set(tokenizer.all_special_ids)
    found = []
    for number in work.ids(0)[:count]:
        one = work.train[number]
        segments = tuple(tuple(_row(tokenizer, special, one, ids, work.names)) for ids in one.ids)
        by_word = isinstance(one.label, np.ndarray)
        label = "" if by_word else _label(one.label, work.names)
        found.append(ShownExample(0, number, segments, 0, label, one.cut))
    return found


def _row(
    tokenizer: Any, special: set[int], one: Encoded, ids: np.ndarray, names: Sequence[str]
) -> Iterator[Shown]:
    labels = one.label.tolist() if isinstance(one.label, np.ndarray) else [IGNORE] * len(ids)
    for number, label in zip(ids.tolist(), labels, strict=True):
        seen = spelled(tokenizer, number)
        if label != IGNORE:
            yield Shown(seen, names[label], "labelled")
        else:
            yield Shown(seen, seen, "special" if number in special else "plain")


def _label(label: Any, names: Sequence[str]) -> str:
    return names[label] if names and isinstance(label, int) else f"{label:g}"


def spelled(tokenizer: Any, number: int) -> str:
    """A piece as one reads it, on one line: spaces as ▁ and line ends as ⏎ where it has nothing else, a part
    of a character as the tokenizer writes it."""
    text = str(tokenizer.decode([number]))
    if not text.strip():
        text = visible(text.replace(" ", SPACE))
    if "\ufffd" in text or not text.strip():
        text = str(tokenizer.convert_ids_to_tokens(number))
    return visible(text)
