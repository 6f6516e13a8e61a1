"""What a model says while it learns: fixed beginnings continued, fixed hidden words filled, now and again.

Everything is taken from the first validation documents or blocks and stays the same for the whole run, so
that one sees the model learn. Nothing here touches the state of training: the draws have generators of their
own, and the model is called as an evaluation calls it, on all processes alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tane.tokens.encoder import Encoder
from tane.tokens.order import key
from tane.tokens.shards import Shards
from tane.types import IGNORE, Batch

COUNT = 3  # texts that are shown
PROMPT, NEW = 12, 24  # tokens of a beginning, and of its continuation
SHORTEST = PROMPT + 8  # tokens of a document whose beginning is taken
CANDIDATES, TEMPERATURE = 40, 0.8  # a continuation is drawn from the likeliest (Fan et al. 2018)
FILLS = 3  # shown for each hidden token
LONGEST, MOST = 80, 6  # tokens of a text with hidden ones, and of these, where there is such a text
HIDDEN = "＿"
BETWEEN = re.compile(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])")  # spaces that decoding puts between words

Likeliest = Callable[[Batch, int], tuple[Tensor, Tensor]]  # see `Loss.likeliest`


class Continued:
    """Beginnings of validation documents, and what the model makes of them."""

    def __init__(self, encoder: Encoder, valid: Shards, room: int, seed: int) -> None:
        self.encoder, self.seed = encoder, seed
        self.length = min(room, 1 + PROMPT + NEW)  # the end of a text before each document counts
        self.prompts: list[list[int]] = []
        if self.length <= PROMPT + 1:
            return
        for ids in valid.documents():
            if len(ids) > SHORTEST:
                self.prompts.append([encoder.eos_id, *ids[:PROMPT].tolist()])
            if len(self.prompts) == COUNT:
                break

    def look(self, likeliest: Likeliest) -> dict[str, Any]:
        """{texts: [{prompt, text}]}; the same draws at each call, so only the model makes a difference."""
        if not self.prompts:
            return {}
        rows = np.full((len(self.prompts), self.length), self.encoder.eos_id, dtype=np.int64)
        rows[:, : PROMPT + 1] = self.prompts
        draws = [torch.Generator().manual_seed(key(self.seed, "samples", n)) for n in range(len(rows))]
        for place in range(PROMPT + 1, self.length):
            labels = np.full(rows.shape, IGNORE, dtype=np.int64)
            labels[:, place - 1] = 0  # this position alone is asked
            ids = torch.from_numpy(rows.copy())
            batch = Batch({"input_ids": ids}, torch.from_numpy(labels), len(rows), rows.size)
            shares, pieces = likeliest(batch, CANDIDATES)
            for number, draw in enumerate(draws):
                chosen = torch.multinomial(shares[number].pow(1 / TEMPERATURE), 1, generator=draw)
                rows[number, place] = pieces[number, chosen]
        texts = []
        for row in rows:
            new = row[PROMPT + 1 :]
            ends = np.flatnonzero(new == self.encoder.eos_id)
            new = new[: ends[0]] if len(ends) else new
            prompt = self.encoder.decode(row[1 : PROMPT + 1])
            whole = self.encoder.decode(np.concatenate([row[1 : PROMPT + 1], new]))
            texts.append({"prompt": prompt, "text": whole.removeprefix(prompt)})
        return {"texts": texts}


class Filled:
    """Segments of the validation text with hidden tokens, and what the model puts there."""

    def __init__(self, encoder: Encoder, batch: Batch, borders: np.ndarray, truth: np.ndarray) -> None:
        self.encoder, self.batch, self.truth = encoder, batch, truth
        ids, labels = batch.inputs["input_ids"][0].numpy(), batch.labels[0].numpy()
        places = np.flatnonzero(labels != IGNORE)
        mask, special = encoder.vocabulary.mask_id, set(encoder.vocabulary.special_ids)
        found = []  # (pieces of a text, None where one is hidden; the numbers of these among all targets)
        for a, b in pairwise(borders.tolist()):
            hidden = [p for p in range(a, b) if labels[p] != IGNORE and ids[p] == mask]
            if hidden and b - a <= LONGEST:
                seen = [
                    None if p in hidden else int(truth[p]) for p in range(a, b) if truth[p] not in special
                ]
                found.append((seen, [int(np.searchsorted(places, p)) for p in hidden]))
        found.sort(key=lambda one: len(one[1]) > MOST)  # many are hard to read
        self.shown: list[tuple[list[Any], list[int]]] = found[:COUNT]
        self.wanted = truth[places]

    def look(self, likeliest: Likeliest) -> dict[str, Any]:
        """{probes: [{text, fills: [{truth, fills: [[token, probability], ...]}]}]}; ＿ is a hidden token."""
        if not self.shown:
            return {}
        shares, pieces = likeliest(self.batch, FILLS)
        probes = []
        for text, places in self.shown:
            fills = [
                {
                    "truth": self._spelled(self.wanted[place]),
                    "fills": [
                        [self._spelled(piece), round(share, 4)]
                        for piece, share in zip(pieces[place].tolist(), shares[place].tolist(), strict=True)
                    ],
                }
                for place in places
            ]
            probes.append({"text": self._written(text), "fills": fills})
        return {"probes": probes}

    def _spelled(self, piece: int) -> str:
        return self.encoder.decode([int(piece)]).strip() or str(
            self.encoder.tokenizer.convert_ids_to_tokens(int(piece))
        )

    def _written(self, pieces: list[Any]) -> str:
        """The pieces as text; each run of known ones is decoded as a whole."""
        written, run = "", []
        for piece in [*pieces, None]:
            if piece is not None:
                run.append(piece)
                continue
            text = self.encoder.decode(run) if run else ""
            written += BETWEEN.sub("", text) + HIDDEN
            run = []
        return written.removesuffix(HIDDEN)
