"""What stands before the first step of a run: its model and blocks, and how its attention is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tane import progress
from tane.errors import InputError
from tane.model.attention import (
    Attention,
    Way,
    keeps_documents_apart,
    keeps_segments_apart,
    sees_ahead,
    usual_way,
)
from tane.model.build import build_model, freeze
from tane.tokens.encoder import Encoder
from tane.tokens.mix import Mix, mixed
from tane.tokens.shards import Shards
from tane.training.settings import Sections
from tane.types import Vocabulary


@dataclass
class Built:
    """All that stands before the first step."""

    model: Any
    vocabulary: Vocabulary
    train_shards: Shards
    valid_shards: Shards | None
    train_blocks: Any
    valid_blocks: Any
    encoder: Encoder | None = None  # None: nothing is shown of what the model says
    corpus: Path | None = None  # the text itself; None: there is none


def build(sections: Sections, data_dir: Path) -> Built:
    """Model and blocks; raises InputError where the text is too short for one step."""
    objective, size = sections.objective, sections.objective.block_size
    encoder = Encoder(data_dir / "tokenizer")
    vocabulary = encoder.vocabulary
    words = data_dir / "words" if objective.word_starts else None
    train, valid = (Shards(data_dir / "shards", split, words) for split in ("train", "valid"))
    source = mixed(train, sections.seed)
    tokens, told = len(train), ""
    if isinstance(source, Mix):
        tokens, told = int(source.mean_tokens), " an epoch by its weights"
    if tokens < objective.least_tokens:
        raise InputError(
            f"the training text gives {tokens:,} tokens{told}, fewer than one block of "
            f"{objective.least_tokens:,}",
            "give more text, or a smaller --objective.block_size",
        )
    blocks = objective.blocks(source, vocabulary)
    valid_blocks = None
    if len(valid) >= 2:
        try:
            valid_blocks = objective.blocks(valid, vocabulary)
        except InputError as error:  # too little of it, or nothing that the tokenizer knows
            progress.say(f"warning: {error.message}: nothing is evaluated")
    if sections.train.batch_tokens < size:
        raise InputError(
            f"train.batch_tokens is {sections.train.batch_tokens}, less than one block of {size}",
            f"--train.batch_tokens {8 * size}",
        )
    model = build_model(
        sections.model, objective.auto_model, size, vocabulary, sections.seed,
        default_preset=objective.default_preset, tokenizer_dir=data_dir / "tokenizer",
    )  # fmt: skip
    freeze(model, sections.train.freeze)
    return Built(
        model, vocabulary, train, valid if valid_blocks else None, blocks, valid_blocks, encoder,
        data_dir / "corpus",
    )  # fmt: skip


def characters_of(built: Built, targets: int) -> float:
    """Characters of the first `targets` targets of the validation text, EOS among them; of the last document
    as many as its share of tokens."""
    from tane.text.corpus import Corpus

    assert built.valid_shards is not None and built.corpus is not None
    total, left = 0.0, targets + 1  # the stream's first token is no target
    texts = Corpus.open(built.corpus).texts("valid")
    for text, tokens in zip(texts, built.valid_shards.lengths.tolist(), strict=False):
        if tokens >= left:
            return total + len(text) * left / tokens
        total, left = total + len(text), left - tokens
    return total


def choose_attention(sections: Sections, model: Any, vocabulary: Vocabulary) -> Attention:
    """How attention is computed: the wanted way, or the fastest that is right for this model.

    Raises InputError where the wanted way, or for isolated documents the only one, is not right.
    """
    train, objective, name = sections.train, sections.objective, type(model).__name__
    length, size = objective.block_size, vocabulary.size
    usual = usual_way(train.device, train.precision, objective.packs_segments, length)
    if not objective.packs_segments:
        if train.attention not in ("auto", "sdpa", "eager"):
            raise InputError(
                f"train.attention {train.attention} is for packed texts, which the objective "
                f"{objective.name} has not",
                "--train.attention auto",
            )
        attention = Attention(model, usual if train.attention == "auto" else train.attention)
        if sees_ahead(model, size):
            raise InputError(
                f"{name} sees what follows a token, so predicting it would be copying",
                "take gpt2 or llama as model.config.model_type, or --objective.name masked",
            )
        if getattr(objective, "isolate_documents", False) and not keeps_documents_apart(model, length, size):
            raise InputError(
                f"{name} does not keep packed documents apart", "--objective.isolate_documents false"
            )
        return attention
    ways: tuple[Way, ...] = (usual, "sdpa", "eager", "separate")
    for way in dict.fromkeys(ways if train.attention == "auto" else (train.attention,)):
        attention = Attention(model, way)
        if keeps_segments_apart(model, attention, length, size):
            if way == "separate" and train.attention == "auto":
                progress.say(f"{name} does not keep packed texts apart: each gets a row of its own")
            return attention
    if train.attention in ("auto", "separate"):
        raise InputError(
            f"{name} lets padding and other texts into a text's own predictions",
            "take another kind of model, such as bert, roberta or modernbert",
        )
    raise InputError(
        f"{name} does not keep packed texts apart with train.attention {train.attention}",
        "--train.attention auto",
    )
