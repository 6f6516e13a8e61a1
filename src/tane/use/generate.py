"""`tane generate`: let a causal model go on from prompts.

A prompt follows the end-of-text token, as every document did in training; an empty prompt starts a new text.
Sampling is transformers' own. Each prompt has its own seed, so a text does not depend on its neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from tane import progress, signals
from tane.errors import InputError
from tane.model.build import find_model, hushed, open_model, positions
from tane.model.folder import check_rows, running
from tane.tokens.encoder import Encoder
from tane.tokens.order import key
from tane.training.runtime import choose_device
from tane.types import Result
from tane.use.given import require_unicode

MOST_CHARACTERS = 1_000_000  # of a prompt; its ids take some 300 bytes a character


def generate(
    model: str | os.PathLike[str],
    prompts: str | Sequence[str] = ("",),
    *,
    num: int = 1,
    max_new_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 0.95,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    seed: int = 0,
    greedy: bool = False,
    device: str = "auto",
) -> Result:
    """Texts that begin with the prompts: `metrics["texts"]`, in the order of the prompts, `num` of each
    together.

    top_k 0 and top_p 1 switch these off; greedy ignores all sampling settings. stop: a text ends before the
    first of these strings. A text never grows past the model's positions.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    _check(num, max_new_tokens, temperature, top_k, top_p, repetition_penalty, greedy)
    require_unicode("--prompt", prompts)
    for number, prompt in enumerate(prompts):
        if len(prompt) > MOST_CHARACTERS:
            raise InputError(
                f"prompt {number + 1} has {len(prompt):,} characters; expected at most {MOST_CHARACTERS:,}",
                "give its end alone: no model reads more",
            )
    folder = find_model(model)
    encoder = Encoder(folder)
    network = open_model(folder).to(choose_device(device)).eval()
    check_rows(folder, network, encoder.vocab_size)
    encoded = [[encoder.eos_id, *ids.tolist()] for ids in encoder.encode_batch(prompts)]
    longest = positions(network)
    if longest is not None:
        encoded = [_fit(ids, longest, number) for number, ids in enumerate(encoded)]
    settings: dict[str, Any] = {"do_sample": not greedy, "repetition_penalty": repetition_penalty}
    if not greedy:
        settings |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    texts = []
    with signals.caught(), hushed(), progress.bar(len(prompts), "generating", "prompt") as bar:
        for number, (prompt, ids) in enumerate(zip(prompts, encoded, strict=True)):
            signals.poll("generating")
            torch.manual_seed(key(seed, "generate", number))
            room = max_new_tokens if longest is None else min(max_new_tokens, longest - len(ids))
            inputs = torch.tensor([ids], device=network.device)
            with torch.no_grad(), running(folder):
                rows = network.generate(
                    input_ids=inputs,
                    attention_mask=torch.ones_like(inputs),
                    max_new_tokens=room,
                    num_return_sequences=1 if greedy else num,
                    eos_token_id=encoder.eos_id,
                    pad_token_id=network.config.pad_token_id
                    if network.config.pad_token_id is not None
                    else encoder.eos_id,
                    **settings,
                )
            found = [prompt + _until(encoder.decode(row[len(ids) :]), stop) for row in rows.tolist()]
            texts += found * (num if greedy else 1)
            bar.update(1)
    return Result(str(folder), {"texts": texts})


def _check(
    num: int, max_new_tokens: int, temperature: float, top_k: int, top_p: float, penalty: float, greedy: bool
) -> None:
    rules = (
        (num >= 1, "--num", "at least 1", num),
        (max_new_tokens >= 1, "--max-new-tokens", "at least 1", max_new_tokens),
        (greedy or 0 < temperature < 100, "--temperature", "above 0 (or --greedy)", temperature),
        (top_k >= 0, "--top-k", "0 (off) or more", top_k),
        (0 < top_p <= 1, "--top-p", "above 0, at most 1 (off)", top_p),
        (0 < penalty < 100, "--repetition-penalty", "above 0; 1 is off", penalty),
    )
    for good, name, expected, found in rules:
        if not good:
            raise InputError(f"{name}: expected {expected}, found {found}")


def _fit(ids: list[int], longest: int, number: int) -> list[int]:
    """Keep a prompt inside the model's positions with room for one token at least: its end is what counts."""
    if len(ids) < longest:
        return ids
    kept = longest // 2
    progress.say(
        f"warning: prompt {number + 1} has {len(ids):,} tokens and the model {longest:,} positions: "
        "only its last "
        f"{kept:,} tokens are read"
    )
    return ids[-kept:]


def _until(text: str, stop: Sequence[str]) -> str:
    places = [text.index(s) for s in stop if s and s in text]
    return text[: min(places)] if places else text
