"""`tane generate`: let a causal model go on from prompts.

A prompt follows the end-of-text token, as every document did in training; an empty prompt starts a new text.
Sampling is transformers' own. Each prompt has its own seed, so a text does not depend on its neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

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


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. greedy ignores temperature, top_k and top_p; top_k 0 and top_p 1 are off.

    Raises InputError for values with which nothing can be drawn.
    """

    max_new_tokens: int = 100
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.95
    repetition_penalty: float = 1.0
    seed: int = 0
    greedy: bool = False

    def __post_init__(self) -> None:
        rules = (
            (self.max_new_tokens >= 1, "--max-new-tokens", "at least 1", self.max_new_tokens),
            (
                self.greedy or 0 < self.temperature < 100,
                "--temperature", "above 0 (or --greedy)", self.temperature,
            ),
            (self.top_k >= 0, "--top-k", "0 (off) or more", self.top_k),
            (0 < self.top_p <= 1, "--top-p", "above 0, at most 1 (off)", self.top_p),
            (
                0 < self.repetition_penalty < 100,
                "--repetition-penalty", "above 0; 1 is off", self.repetition_penalty,
            ),
        )  # fmt: skip
        for good, name, expected, found in rules:
            if not good:
                raise InputError(f"{name}: expected {expected}, found {found}")

    def arguments(self) -> dict[str, Any]:
        """What transformers' `generate` is told."""
        told = {"do_sample": not self.greedy, "repetition_penalty": 1.0}  # see `Writer.go_on`
        if self.greedy:
            return told
        return {**told, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}


class Prompt(NamedTuple):
    """What a model reads of a prompt: its ids behind the end-of-text token; total: tokens that it has in all,
    more than the ids where only its end is read."""

    ids: list[int]
    total: int


class Writer:
    """A causal model that is open, to go on from many prompts. longest: its positions, None: no limit."""

    def __init__(self, model: str | os.PathLike[str], device: str = "auto") -> None:
        self.folder = find_model(model)
        self.encoder = Encoder(self.folder)
        self.network = open_model(self.folder).to(choose_device(device)).eval()
        check_rows(self.folder, self.network, self.encoder.vocab_size)
        self.longest = positions(self.network)

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """The prompts of texts. One that leaves no room for a token is cut: its end is what counts."""
        found = []
        for ids in self.encoder.encode_batch(texts):
            read = [self.encoder.eos_id, *ids.tolist()]
            kept = read
            if self.longest is not None and len(read) >= self.longest:
                kept = read[-(self.longest // 2) :]
            found.append(Prompt(kept, len(read)))
        return found

    def go_on(
        self,
        prompt: Prompt,
        how: Sampling,
        *,
        number: int = 0,
        num: int = 1,
        watch: Callable[[list[int]], bool] | None = None,
    ) -> list[list[int]]:
        """The new ids behind a prompt, `num` times (greedy: once), the end-of-text token included.

        number: of the prompt, which has its own seed. watch: called after each token with the new ids of the
        first row; it ends all of them by returning True.
        """
        from transformers import RepetitionPenaltyLogitsProcessor, StoppingCriteriaList

        start = len(prompt.ids)
        # the end of a text that stands before each prompt is no word that was said
        leading = int(prompt.ids[0] == self.encoder.eos_id)
        penalty = RepetitionPenaltyLogitsProcessor(float(how.repetition_penalty), leading)

        def stop(ids: Tensor, scores: Any, **_: Any) -> Tensor:
            ended = watch is not None and watch(ids[0, start:].tolist())
            return torch.full((len(ids),), ended, dtype=torch.bool, device=ids.device)

        torch.manual_seed(key(how.seed, "generate", number))
        most = how.max_new_tokens
        inputs = torch.tensor([prompt.ids], device=self.network.device)
        config = self.network.config
        with torch.no_grad(), hushed(), running(self.folder):
            rows = self.network.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=most if self.longest is None else min(most, self.longest - start),
                num_return_sequences=1 if how.greedy else num,
                eos_token_id=self.encoder.eos_id,
                pad_token_id=self.encoder.eos_id if config.pad_token_id is None else config.pad_token_id,
                stopping_criteria=StoppingCriteriaList([stop] if watch else []),
                logits_processor=[penalty] if how.repetition_penalty != 1 else [],
                **how.arguments(),
            )
        return [row[start:] for row in rows.tolist()]


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
    if num < 1:
        raise InputError(f"--num: expected at least 1, found {num}")
    how = Sampling(max_new_tokens, temperature, top_k, top_p, repetition_penalty, seed, greedy)
    require_prompts(prompts)
    writer = Writer(model, device)
    encoded = writer.prompts(prompts)
    for number, prompt in enumerate(encoded, 1):
        if prompt.total > len(prompt.ids):
            progress.say(
                f"warning: prompt {number} has {prompt.total:,} tokens and the model {writer.longest:,} "
                f"positions: only its last {len(prompt.ids):,} tokens are read"
            )
    texts = []
    with signals.caught(), progress.bar(len(prompts), "generating", "prompt") as bar:
        for number, (text, prompt) in enumerate(zip(prompts, encoded, strict=True)):
            signals.poll("generating")
            rows = writer.go_on(prompt, how, number=number, num=num)
            found = [text + _until(writer.encoder.decode(row), stop) for row in rows]
            texts += found * (num if greedy else 1)
            bar.update(1)
    return Result(str(writer.folder), {"texts": texts})


def require_prompts(prompts: Sequence[str]) -> None:
    """Raise InputError for a prompt that is no valid Unicode, or longer than any model reads."""
    require_unicode("--prompt", prompts)
    for number, prompt in enumerate(prompts, 1):
        if len(prompt) > MOST_CHARACTERS:
            raise InputError(
                f"prompt {number} has {len(prompt):,} characters; expected at most {MOST_CHARACTERS:,}",
                "give its end alone: no model reads more",
            )


def _until(text: str, stop: Sequence[str]) -> str:
    places = [text.index(s) for s in stop if s and s in text]
    return text[: min(places)] if places else text
