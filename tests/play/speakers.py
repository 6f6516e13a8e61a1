"""Models whose every word is known: GPT-2s that say a given text whatever they are asked, and long ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tokens.small import byte_level


def speaker(folder: Path, text: str) -> Path:
    """A GPT-2 with a token a byte that says one text and ends, from wherever its first token stands.

    A prompt of n bytes makes it begin with the n-th token of the text, so that it is asked without one.
    """
    from transformers import AutoTokenizer, GPT2LMHeadModel

    byte_level(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    model = GPT2LMHeadModel(_config(len(tokenizer), positions=len(said) + 8, n_embd=len(said) + 8))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0.0)
        model.transformer.wpe.weight.copy_(10 * torch.eye(len(said) + 8))  # a place is a direction
        for place, token in enumerate(said):
            model.lm_head.weight[token, place] = 10.0
    model.save_pretrained(folder)
    return folder


def talker(folder: Path, positions: int = 4096) -> Path:
    """A random GPT-2 that never ends by itself, but at its last position."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    byte_level(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(_config(len(tokenizer), positions=positions, n_embd=16))
    model.generation_config.suppress_tokens = [tokenizer.eos_token_id]
    model.save_pretrained(folder)
    return folder


def _config(pieces: int, *, positions: int, n_embd: int) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=pieces, n_layer=1, n_head=1, n_embd=n_embd, n_inner=8, n_positions=positions,
        tie_word_embeddings=False, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
