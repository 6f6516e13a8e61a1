"""Small random masked models with tokenizers of tane's own kinds, in folders that transformers opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tane import registry
from tane.tokens import kinds
from tane.tokens.specials import CAUSAL, MASKED, Specials

SPREAD = 0.3  # of the weights: large enough that predictions differ from place to place
PADDED_ROWS = 24  # of the head, beyond the tokenizer's pieces
POSITIONS = 64


def train_tokenizer(kind: str, folder: Path, text: str, specials: Specials = MASKED) -> int:
    """A tokenizer of about 1,000 pieces; returns how many they are."""
    folder.mkdir(parents=True)
    job = kinds.Job(
        folder, vocab_size=1000, coverage=0.9995, dictionary="ipadic", specials=specials, memory=10**9
    )
    registry.find(kinds.KIND, kind)().train([text], job)
    from transformers import AutoTokenizer

    return len(AutoTokenizer.from_pretrained(folder))


def save_bert(folder: Path, pieces: int, seed: int = 0, **config: Any) -> Path:
    """A random BERT of 2 layers. Special tokens and the padded rows of its head have a high bias."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(seed)
    small: dict[str, Any] = {
        "vocab_size": pieces + PADDED_ROWS, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0,
        "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": POSITIONS,
        "initializer_range": SPREAD,
    }  # fmt: skip
    model = BertForMaskedLM(BertConfig(**{**small, **config}))
    with torch.no_grad():
        model.cls.predictions.bias[:5] += 3
        model.cls.predictions.bias[pieces:] += 3
    model.save_pretrained(folder)
    return folder


def save_gpt2(folder: Path, text: str) -> Path:
    """A random GPT-2 of one layer with a unigram tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    pieces = train_tokenizer("unigram", folder, text, CAUSAL)
    config = GPT2Config(vocab_size=pieces, n_layer=1, n_embd=16, n_head=2, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
