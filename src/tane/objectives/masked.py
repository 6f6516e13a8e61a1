"""Masked language modelling: hide some tokens of each segment, and predict them from the rest.

Devlin et al., "BERT" (2019): of the chosen targets 80 % are shown as [MASK], 10 % as a random token, 10 % as
they are. Each segment has exactly max(1, round(p n)) targets of its n tokens, drawn without replacement;
special tokens, unknown ones and padding are never chosen. With `whole_word` the words of the text are chosen
as wholes, at most so many tokens and at least one word; with `span` neighbours are chosen together (Joshi et
al., "SpanBERT", 2020). All of it is a function of one key a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import model_validator

from tane.settings import Settings, option
from tane.tokens.mix import Mix, TokenStream
from tane.tokens.order import noise
from tane.tokens.segments import MixedSegmentBlocks, SegmentBlocks, segment_blocks
from tane.tokens.specials import MASKED, Specials
from tane.types import IGNORE, Batch, Block, Vocabulary

ORDER, SHOWN, REPLACEMENT, LENGTH = range(4)  # the uses of a block's key
LONGEST_SPAN = 10  # words or tokens, as in SpanBERT


class Masked(Settings):
    """Settings of masked language modelling, and how its batches are made."""

    auto_model: ClassVar[str] = "AutoModelForMaskedLM"
    # BERT with rotary positions: from scratch it learns from whole documents where BERT waits for long
    default_preset: ClassVar[str] = "roformer-tiny"
    specials: ClassVar[Specials] = MASKED
    scores_all_text: ClassVar[bool] = False
    packs_segments: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    name: Literal["masked"] = option("masked", "the objective: predict hidden tokens from those around them")
    block_size: int = option(128, "positions of a block, which holds several short texts", ge=4, le=1_000_000)
    mask_prob: float = option(0.15, "share of a text's tokens that are targets", gt=0, lt=1)
    mask_share: float = option(0.8, "share of the targets shown as [MASK]", ge=0, le=1)
    random_share: float = option(0.1, "share of the targets shown as a random token", ge=0, le=1)
    whole_word: bool = option(True, "words are hidden as wholes")
    words: Literal[
        "auto", "ipadic", "unidic-lite", "sudachi", "sudachi-core", "sudachi-small", "sudachi-full", "script"
    ] = option("auto", "whose words; auto: the tokenizer's own, else ipadic's; script: changes of script")
    span: float | None = option(None, "mean length of hidden spans, in words or tokens; none: 1", ge=1, le=10)

    @model_validator(mode="after")
    def _shares(self) -> Masked:
        if self.mask_share + self.random_share > 1 + 1e-9:
            raise ValueError("mask_share and random_share are more than 1 together")
        return self

    @property
    def word_starts(self) -> str | None:
        """Whose words the prepared data must know; None: none."""
        return self.words if self.whole_word else None

    @property
    def least_tokens(self) -> int:
        """Tokens of text without which there is nothing to train on."""
        return 1

    def blocks(self, tokens: TokenStream | Mix, vocabulary: Vocabulary) -> SegmentBlocks | MixedSegmentBlocks:
        """Packed segments, each in [CLS] and [SEP]."""
        return segment_blocks(tokens, self.block_size, vocabulary, words=self.whole_word)

    def batch(self, blocks: Sequence[Block], keys: Sequence[int], vocabulary: Vocabulary) -> Batch:
        """Inputs (B, T) with masks, labels at the targets, segments; padding is a segment of its own, -1."""
        assert vocabulary.mask_id is not None  # `blocks` has looked
        shape = len(blocks), self.block_size
        ids = np.full(shape, vocabulary.pad_id, dtype=np.int64)
        segments = np.full(shape, -1, dtype=np.int32)
        positions = np.tile(np.arange(self.block_size, dtype=np.int64), (len(blocks), 1))
        starts = np.ones(shape, dtype=bool)
        for row, block in enumerate(blocks):
            ids[row, : block.length] = block.ids
            segments[row, : block.length] = block.segments
            positions[row, : block.length] = block.positions
            positions[row, block.length :] -= block.length  # padding restarts too
            if block.starts is not None:
                starts[row, : block.length] = block.starts
        targets = self.targets(ids, segments, starts, keys, vocabulary)
        shown, size = noise(keys, self.block_size, SHOWN), self.block_size
        inputs = np.where(targets & (shown < self.mask_share), vocabulary.mask_id, ids)
        real = _real(vocabulary)
        drawn = real[(noise(keys, size, REPLACEMENT) * len(real)).astype(np.int64)]
        replaced = targets & (shown >= self.mask_share) & (shown < self.mask_share + self.random_share)
        inputs = np.where(replaced, drawn, inputs)
        return Batch(
            {"input_ids": torch.from_numpy(inputs), "position_ids": torch.from_numpy(positions)},
            torch.from_numpy(np.where(targets, ids, IGNORE)),
            num_targets=int(targets.sum()),
            num_tokens=sum(block.length for block in blocks),
            segments=torch.from_numpy(segments),
            num_segments=int(_opens(segments).sum()),
        )

    def targets(
        self, ids: np.ndarray, segments: np.ndarray, starts: np.ndarray, keys: Sequence[int],
        vocabulary: Vocabulary,
    ) -> np.ndarray:  # fmt: skip
        """Which tokens are to be predicted, (B, T) bool."""
        size = ids.shape[1]
        text = ~np.isin(ids, vocabulary.special_ids) & (segments >= 0)
        units = _Units.of(text, segments, starts)
        order = noise(keys, size, ORDER).reshape(-1)[units.begin]
        lengths = np.ones(len(units.begin), dtype=np.int64)
        if self.span is not None and self.span > 1:
            drawn = noise(keys, size, LENGTH).reshape(-1)[units.begin]
            geometric = np.floor(np.log1p(-drawn) / np.log1p(-1 / self.span)).astype(np.int64) + 1
            lengths = np.minimum(geometric, LONGEST_SPAN)
        wanted = np.maximum(1, np.rint(self.mask_prob * units.tokens)).astype(np.int64)
        taken = _choose(units, order, lengths, wanted)
        chosen = np.zeros(ids.size, dtype=bool)
        chosen[units.members] = np.repeat(taken, units.size)
        return chosen.reshape(ids.shape)


@lru_cache(maxsize=4)
def _real(vocabulary: Vocabulary) -> np.ndarray:
    """The ids that a text may have."""
    return np.setdiff1d(np.arange(vocabulary.size), vocabulary.special_ids)


class _Units:
    """What is hidden or shown as a whole, words or tokens, in the order of the text.

    begin (U,) place of its first token in the flat batch; size (U,) tokens; segment (U,) rising; members: the
    places of all its tokens, unit by unit; tokens (S,) of each segment that has units.
    """

    def __init__(
        self,
        begin: np.ndarray,
        size: np.ndarray,
        segment: np.ndarray,
        members: np.ndarray,
        tokens: np.ndarray,
    ) -> None:
        self.begin, self.size, self.segment, self.members, self.tokens = begin, size, segment, members, tokens
        self.counts = np.bincount(segment, minlength=len(tokens))  # (S,) units
        self.first = np.cumsum(self.counts) - self.counts  # (S,)

    @classmethod
    def of(cls, text: np.ndarray, segments: np.ndarray, starts: np.ndarray) -> _Units:
        """text (B, T): the tokens that may be targets; the other arrays as in a batch.

        A word counts only as a whole: one with an unknown token in it, or one that a segment's end cuts, is
        left alone. A segment without a whole word is taken token by token.
        """
        # a row's end parts segments too; numbers run on over the rows
        opens = _opens(segments)
        number = np.cumsum(opens.reshape(-1)) - 1
        text, starts = text.reshape(-1), starts.reshape(-1)
        # the place after a segment's first token ([CLS]) and its last one ([SEP]) carry bits of the text
        heads = starts | ~text
        after_special = np.concatenate([[True], ~text[:-1]])
        group = np.cumsum(heads | after_special) - 1
        groups = int(group[-1]) + 1
        # a word is cut where it begins after a special token without a start, or goes on beyond the end:
        # then the token after it ([SEP], or an unknown one) is no start
        begins_cut = text & after_special & ~starts
        goes_on = np.concatenate([text[:-1] & ~text[1:] & ~starts[1:], [False]])
        cut = np.zeros(groups, dtype=bool)
        cut[group[begins_cut | goes_on]] = True
        whole = text & ~cut[group]
        tokens = np.bincount(number[text], minlength=number[-1] + 1)
        has_whole = np.bincount(number[whole], minlength=len(tokens)) > 0
        alone = text & ~has_whole[number]
        members = np.flatnonzero(whole | alone)
        opener = np.diff(group[members], prepend=-1) != 0
        opener |= alone[members]
        begin = members[opener]
        sizes = np.diff(np.append(np.flatnonzero(opener), len(members)))
        used = tokens > 0
        renumber = np.cumsum(used) - 1
        return cls(begin, sizes, renumber[number[begin]], members, tokens[used])


def _opens(segments: np.ndarray) -> np.ndarray:
    """Where a segment begins, (B, T) bool."""
    return np.diff(segments, axis=1, prepend=-2) != 0


def _choose(units: _Units, order: np.ndarray, lengths: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which units are taken, (U,) bool: in each segment in rising `order`, each with the `lengths` - 1 that
    follow it, as long as `wanted` tokens are not exceeded; where none fits, the shortest.

    All segments take their next turn at once.
    """
    ranked = np.lexsort((order, units.segment))
    taken = np.zeros(len(ranked), dtype=bool)
    room, turn = wanted.copy(), 0
    last = units.first + units.counts
    open_ = np.arange(len(wanted))
    while len(open_):
        unit = ranked[units.first[open_] + turn]
        left = lengths[unit].copy()
        segment = open_
        while len(unit):  # a unit, then its neighbours
            fits = (units.size[unit] <= room[segment]) & ~taken[unit]
            unit, segment, left = unit[fits], segment[fits], left[fits] - 1
            taken[unit] = True
            room[segment] -= units.size[unit]
            more = (left > 0) & (unit + 1 < last[segment])
            unit, segment, left = unit[more] + 1, segment[more], left[more]
        turn += 1
        open_ = open_[(room[open_] > 0) & (turn < units.counts[open_])]
    none = np.flatnonzero(room == wanted)
    if len(none):
        shortest = np.lexsort((order, units.size, units.segment))
        taken[shortest[units.first[none]]] = True
    return taken
