"""Causal language modelling: predict each token from those before it.

A block carries T + 1 tokens; inputs are the first T, labels the last T. This is the one place where they are
shifted: the model never sees labels, so nothing can shift a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch

from tane.settings import Settings, option
from tane.tokens.blocks import Blocks, MixedBlocks
from tane.tokens.mix import Mix, TokenStream
from tane.tokens.specials import CAUSAL, Specials
from tane.types import IGNORE, Batch, Block, Vocabulary


class Causal(Settings):
    """Settings of causal language modelling, and how its batches are made."""

    auto_model: ClassVar[str] = "AutoModelForCausalLM"
    default_preset: ClassVar[str] = "gpt2-tiny"
    specials: ClassVar[Specials] = CAUSAL
    scores_all_text: ClassVar[bool] = True
    packs_segments: ClassVar[bool] = False
    word_starts: ClassVar[None] = None
    draws: ClassVar[bool] = False  # whether a batch depends on its blocks' keys

    name: Literal["causal"] = option("causal", "the objective: predict each token from those before it")
    block_size: int = option(256, "positions T of a block", ge=2, le=1_000_000)
    isolate_documents: bool = option(False, "documents packed into one block do not see each other")

    @property
    def least_tokens(self) -> int:
        """Tokens of text without which there is nothing to train on: one block."""
        return self.block_size + 1

    def blocks(self, tokens: TokenStream | Mix, vocabulary: Vocabulary) -> Blocks | MixedBlocks:
        """Blocks of T + 1 tokens, neighbours overlapping by one."""
        if isinstance(tokens, Mix):
            return MixedBlocks(tokens, self.block_size, isolate=self.isolate_documents)
        return Blocks(tokens, self.block_size, isolate=self.isolate_documents)

    def rows_batch(self, rows: np.ndarray) -> Batch:
        """A batch of whole blocks (B, T + 1), all at once."""
        inputs, labels = (torch.from_numpy(part.astype(np.int64)) for part in (rows[:, :-1], rows[:, 1:]))
        return Batch({"input_ids": inputs}, labels, num_targets=labels.numel(), num_tokens=labels.numel())

    def batch(self, blocks: Sequence[Block], keys: Sequence[int], vocabulary: Vocabulary) -> Batch:
        """Inputs (B, T) and labels (B, T); rows shorter than T are padded on the right and carry no labels
        there.

        With isolated documents `position_ids` restart in each segment; given those, no mask and no cache,
        transformers keeps attention inside the segments (its packed-sequence detection).
        """
        rows, length = len(blocks), self.block_size
        full = all(b.length == length + 1 for b in blocks)
        if full:
            ids = np.stack([b.ids for b in blocks])
            inputs, labels = ids[:, :-1], ids[:, 1:]
        else:
            inputs = np.full((rows, length), vocabulary.pad_id, dtype=np.int64)
            labels = np.full((rows, length), IGNORE, dtype=np.int64)
            for row, block in enumerate(blocks):
                inputs[row, : block.length - 1] = block.ids[:-1]
                labels[row, : block.length - 1] = block.ids[1:]
        tensors = {"input_ids": torch.from_numpy(np.ascontiguousarray(inputs))}
        if self.isolate_documents:
            positions = np.tile(np.arange(length, dtype=np.int64), (rows, 1))
            for row, block in enumerate(blocks):
                positions[row, : block.length - 1] = block.positions[:-1]
                # padding restarts too: a segment of its own, so that nothing real shares a segment with it
                positions[row, block.length - 1 :] = np.arange(length - block.length + 1)
            tensors["position_ids"] = torch.from_numpy(positions)
        real = sum(b.length - 1 for b in blocks)
        return Batch(
            tensors, torch.from_numpy(np.ascontiguousarray(labels)), num_targets=real, num_tokens=real
        )
