"""The fast road from texts to ids and back, with the ids that the saved folder gives in transformers.

Special tokens are never added, and text that looks like one stays text. How a folder is read is in roads.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tane.errors import InputError
from tane.tokens import by_lines, taken
from tane.tokens.places import Inside
from tane.tokens.roads import open_road
from tane.types import Vocabulary

BATCH_CHARS = 250_000  # characters encoded at once: `tokenizers` takes about 100 bytes for each meanwhile,
DOCUMENT = 20  # and as much for each text as for so many


class Encoder:
    """Texts to ids and back: the ids of the folder's tokenizer, without special tokens.

    name: the folder or hub id; parallel: whether a batch keeps all cores busy by itself; eos_id: that of EOS,
    else of [SEP]; unk_id: the id for what is unknown, or None; vocab_size: V; word_table: of each id whether
    it starts a word (V,) bool, where the tokenizer cuts words itself, else None.
    """

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.name = str(name)
        self._road = open_road(name)
        self.parallel = self._road.parallel
        self.vocab_size = self._road.vocab_size
        self.unk_id = self._road.specials["unk"]
        self.word_table = self._road.word_table

    @cached_property
    def eos_id(self) -> int:
        """The id that ends a text. Raises InputError where the tokenizer has none."""
        found = (self._road.specials[role] for role in ("eos", "sep"))
        eos = next((number for number in found if number is not None), None)
        if eos is None:
            raise InputError(
                f"the tokenizer {self.name} has no end-of-text token",
                "give one with eos_token in tokenizer_config.json",
            )
        return eos

    @property
    def eos_token(self) -> str:
        """The spelling of the token that ends a text."""
        return self._road.token(self.eos_id)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What an objective must know of it. Raises InputError where no token ends a text."""
        ids, eos = self._road.specials, self.eos_id
        pad = ids["pad"] if ids["pad"] is not None else eos
        return Vocabulary(
            self.vocab_size, eos, pad, ids["mask"], ids["cls"], ids["sep"], self._road.special_ids
        )

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer in transformers' own class."""
        return taken.load(self.name)

    @cached_property
    def lines(self) -> by_lines.ByLines | None:
        """A faster road to the same ids, for much text; None where the tokenizer has none."""
        plain = self._road.plain
        return None if plain is None else by_lines.open_lines(plain, self.encode_batch)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids (n,) of each text, int64."""
        return [ids for batch in _batches(texts) for ids in self._road.encode(batch)]

    def encode_words(self, texts: Sequence[str], inside: Inside) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same ids (n,) of each text, and which of them start a word (n,) bool.

        inside: where a text's words go on, one of `text.words.insides`; not asked by a tokenizer that cuts
        words itself.
        """
        return [found for batch in _batches(texts) for found in self._road.encode_words(batch, inside)]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of ids, special tokens left out."""
        return self._road.decode([int(i) for i in ids])


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text) + DOCUMENT
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
