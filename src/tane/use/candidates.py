"""Which pieces may stand where a mask stands, and how likely each of them is."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tane import progress, signals
from tane.errors import Interrupted

BATCH_TOKENS, BATCH_LOGITS = 8192, 1 << 26  # of one forward pass at most, padding included
CONTINUES = "##"
SPACES = " ▁"  # what pieces begin with that stand behind a space
NO_LETTERS = frozenset("PSZC")  # Unicode's punctuation, symbols, separators, control characters

Row = tuple[list[int], list[int]]  # an input's ids, and the places that are asked about


class Pieces:
    """A tokenizer's pieces: which ones a mask may become. Each set is a bool tensor (V,).

    ordinary: all but special tokens. For whole words, where pieces that go on with a word are marked (##):
    beginnings are those without the mark, openings (of words of several pieces) those without punctuation,
    continuations those with the mark. Elsewhere beginnings are all, openings are made of letters and digits,
    and so are continuations, which do not stand behind a space either.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.ordinary = torch.ones(len(tokenizer), dtype=torch.bool)
        added = (number for number, token in tokenizer.added_tokens_decoder.items() if token.special)
        self.ordinary[sorted({*tokenizer.all_special_ids, *added})] = False

    @cached_property
    def _spellings(self) -> list[str]:
        numbers = list(range(len(self.tokenizer)))
        spelled = [piece or "" for piece in self.tokenizer.convert_ids_to_tokens(numbers)]
        if self.tokenizer.is_fast and "ByteLevel" in type(self.tokenizer.backend_tokenizer.decoder).__name__:
            return self.tokenizer.batch_decode(
                [[number] for number in numbers]
            )  # its letters stand for bytes
        return spelled

    @cached_property
    def marked(self) -> bool:
        """Whether the pieces that go on with a word are marked."""
        if self.tokenizer.is_fast:
            return type(self.tokenizer.backend_tokenizer.model).__name__ == "WordPiece"
        return any(piece.startswith(CONTINUES) for piece in self._spellings)

    def _chosen(self, which: list[bool]) -> Tensor:
        return self.ordinary & torch.tensor(which)

    @cached_property
    def beginnings(self) -> Tensor:
        """Pieces that may be a whole word."""
        return self._chosen([not (self.marked and _continues(piece)) for piece in self._spellings])

    @cached_property
    def openings(self) -> Tensor:
        """Pieces with which a word of several pieces may begin."""
        return self.beginnings & self._chosen(
            [_of_letters(p.lstrip("".join(SPACES))) for p in self._spellings]
        )

    @cached_property
    def continuations(self) -> Tensor:
        """Pieces that may go on with a word."""
        if self.marked:
            return self._chosen([_continues(piece) for piece in self._spellings])
        return self._chosen([_of_letters(piece) for piece in self._spellings])

    def spelled(self, numbers: Sequence[int]) -> str:
        """Pieces as text, as transformers decodes them."""
        return self.tokenizer.decode(list(numbers))

    def without_mark(self, token: str) -> str:
        """A piece as it stands in a text."""
        return token[len(CONTINUES) :] if self.marked and _continues(token) else token


def _continues(piece: str) -> bool:
    return piece.startswith(CONTINUES) and len(piece) > len(CONTINUES)


def _of_letters(piece: str) -> bool:
    return bool(piece) and not any(unicodedata.category(letter)[0] in NO_LETTERS for letter in piece)


class Candidates:
    """A masked model that is asked for the likeliest pieces. left: whether nobody wants them any more."""

    def __init__(self, network: Any, tokenizer: Any, left: Callable[[], bool]) -> None:
        self.network = network
        self.left = left
        self.columns = int(network.config.vocab_size)
        known = tokenizer.pad_token_id
        self.padding = known if known is not None else tokenizer.mask_token_id

    @torch.no_grad()
    def best(self, rows: Sequence[Row], allowed: Tensor, count: int) -> list[list[tuple[int, float]]]:
        """For each place, over all rows in order, up to `count` (piece, log probability), likeliest first.

        allowed: (V,) bool, the pieces that may come. Probabilities are over all rows of the model's head.
        """
        found: dict[int, list[list[tuple[int, float]]]] = {}
        allowed = allowed[: self.columns].to(self.network.device)
        count = min(count, int(allowed.sum()))
        with progress.bar(len(rows), "filling", "text") as bar:
            for batch in self._batches(rows):
                signals.poll("filling masks")
                if self.left():
                    raise Interrupted("nobody waits for the fills any more")
                logits = self._logits([rows[number] for number in batch])
                logs = logits.float().log_softmax(-1)[:, : len(allowed)]
                top = logs.masked_fill(~allowed, float("-inf")).topk(count)
                pairs = [
                    list(zip(numbers, values, strict=True))
                    for numbers, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
                ]
                for number in batch:
                    places = len(rows[number][1])
                    found[number], pairs = pairs[:places], pairs[places:]
                bar.update(len(batch))
        return [pairs for number in range(len(rows)) for pairs in found[number]]

    def _batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Numbers of rows that go through the model together, of about one length."""
        most = max(1, min(BATCH_TOKENS, BATCH_LOGITS // self.columns))
        batches: list[list[int]] = []
        width = 0
        for number in sorted(range(len(rows)), key=lambda number: -len(rows[number][0])):
            if not batches or (len(batches[-1]) + 1) * width > most:
                batches.append([])
                width = len(rows[number][0])
            batches[-1].append(number)
        return batches

    def _logits(self, batch: Sequence[Row]) -> Tensor:
        """(all places of the rows in order, V)."""
        width = max(len(ids) for ids, _ in batch)
        inputs = torch.full((len(batch), width), self.padding)
        attention = torch.zeros((len(batch), width), dtype=torch.long)
        for row, (ids, _) in enumerate(batch):
            inputs[row, : len(ids)] = torch.tensor(ids)
            attention[row, : len(ids)] = 1
        device = self.network.device
        logits = self.network(input_ids=inputs.to(device), attention_mask=attention.to(device)).logits
        numbers = [row for row, (_, places) in enumerate(batch) for _ in places]
        return logits[numbers, [place for _, places in batch for place in places]]
