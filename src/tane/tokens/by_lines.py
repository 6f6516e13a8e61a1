"""The road of the shards for unigram tokenizers trained here: SentencePiece's library on parts of the text.

It gives the ids of the exported `tokenizer.json` and takes a quarter of its time. That holds by construction:

- The folder's `tokenizer.json` is compared with what its `spiece.model` exports to, entry by entry, so both
  libraries search with the same pieces, without rules that change the text.
- Both go through a text from left to right, keep the best sum of scores for each place, and replace it only
  by a greater one. So where they add the same numbers, they also choose alike between equal sums.
- SentencePiece adds in 32 bits, `tokenizers` in 64. The scores are multiples of STEP = 2^-8 (they are
  rounded at training), and so is the score of the unknown, the lowest less 10. A sum over at most `longest`
  characters stays within 2^16, for every piece takes a character at least. Multiples of 2^-8 up to 2^16 have
  24 significant bits, which a 32-bit float holds: no sum is rounded in either library.
- No piece holds a newline and anything else, so the best road through a text passes behind each newline, and
  the parts before and after may be looked for by themselves.

What is left is text that SentencePiece reads otherwise (its sign for a space; what spells a piece that no
text becomes) or that has no newline in `longest` characters. It is encoded by `tokenizer.json`, the whole
document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tane import workers
from tane.errors import InputError
from tane.tokens import spm
from tane.tokens.kinds import unigram
from tane.tokens.spm_model import BYTE, CONTROL, NORMAL, UNIGRAM, UNKNOWN, Model, read

BITS = 24  # significant ones of a 32-bit float
PENALTY = 10.0  # by which both libraries put the unknown below the lowest score
BATCH_CHARS = 250_000  # characters whose ids are Python's numbers at a time

EncodeBatch = Callable[[Sequence[str]], list[np.ndarray]]


class ByLines:
    """Ids of documents, those that `tokenizer.json` gives.

    model: the tokenizer's SentencePiece model; exact: the road of its `tokenizer.json`, for what this one
    leaves out. longest: characters of a stretch of text at most, for sums that are exact.
    """

    def __init__(self, model: Model, exact: EncodeBatch) -> None:
        self.processor, self.exact = model.processor(), exact
        lowest = min(_searched(model))
        self.longest = int(2.0**BITS * unigram.STEP / (PENALTY - lowest))  # 2,650 for a lowest of -14.7
        hidden = model.of_type(UNKNOWN, CONTROL)
        self.odd = (spm.SPACE, "\0", "<0x", *hidden)
        self.threads = int(os.environ.get("RAYON_NUM_THREADS") or 0) or workers.cores()

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids (n,) of each text, int64."""
        cut = [self.cut(text) for text in texts]
        stretches = [part for parts in cut if parts is not None for part in parts]
        ids, lengths = self._encode(stretches)
        others = iter(self.exact([text for text, parts in zip(texts, cut, strict=True) if parts is None]))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        found, first = [], 0
        for parts in cut:
            if parts is None:
                found.append(next(others))
            else:
                last = first + len(parts)
                found.append(ids[ends[first] : ends[last]])
                first = last
        return found

    def cut(self, text: str) -> list[str] | None:
        """A text in stretches of at most `longest` characters, each but the last with a newline at its end;
        None for a text that this road leaves out."""
        if any(sign in text for sign in self.odd):
            return None
        found, start = [], 0
        while len(text) - start > self.longest:
            end = text.rfind("\n", start, start + self.longest) + 1
            if not end:
                return None
            found.append(text[start:end])
            start = end
        return [*found, text[start:]]

    def _encode(self, stretches: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all stretches in a row, and of each stretch how many they are."""
        ids: list[np.ndarray] = [np.zeros(0, np.int64)]
        lengths: list[int] = []
        for batch in _batches(stretches):
            rows = self.processor.encode(batch, num_threads=self.threads)
            counts = [len(row) for row in rows]
            ids.append(np.fromiter(chain.from_iterable(rows), np.int64, sum(counts)))
            lengths += counts
        return np.concatenate(ids), np.array(lengths, np.int64)


def _batches(stretches: list[str]) -> Iterator[list[str]]:
    first, size = 0, 0
    for number, part in enumerate(stretches, 1):
        size += len(part)
        if size >= BATCH_CHARS or number == len(stretches):
            yield stretches[first:number]
            first, size = number, 0


def open_lines(folder: Path, exact: EncodeBatch) -> ByLines | None:
    """The road by lines of a tokenizer's folder; None where its ids are not proven to be the same.

    exact: ids by the folder's `tokenizer.json`, which alone must decide on them.
    """
    path = folder / "spiece.model"
    if not path.is_file():
        return None
    try:
        model = read(path)
        if not _suits(model):
            return None
        ours = unigram.with_plain_spaces(json.loads(spm.tokenizer_of(model).to_str()))
        theirs = json.loads((folder / "tokenizer.json").read_bytes())
    except (InputError, ValueError, OSError):  # a folder of somebody else's, read as any other
        return None
    if min(score for _, score in ours["model"]["vocab"]) < min(_searched(model)):
        return None  # the unknown has another score there
    if not isinstance(theirs, dict) or _what_decides(ours) != _what_decides(theirs):
        return None
    return ByLines(model, exact)


def _suits(model: Model) -> bool:
    """Whether a model is one as trained here, with scores whose sums are exact."""
    trainer, spec = model.proto.trainer_spec, model.proto.normalizer_spec
    plain = spec.escape_whitespaces and not (
        spec.precompiled_charsmap or spec.add_dummy_prefix or spec.remove_extra_whitespaces
    )
    return (
        trainer.model_type == UNIGRAM
        and model.byte_fallback
        and plain
        and {*model.types} <= {NORMAL, UNKNOWN, CONTROL, BYTE}
        and not any("\n" in piece and len(piece) > 1 for piece in model.pieces)
        and all(score <= 0 and (score / unigram.STEP).is_integer() for score in _searched(model))
        and min(_searched(model)) > -100
        and max(model.scores) <= 0
        and min(model.scores) >= min(_searched(model))
    )


def _searched(model: Model) -> list[float]:
    """The scores of the pieces that a text may become."""
    return [score for score, kind in zip(model.scores, model.types, strict=True) if kind == NORMAL]


def _what_decides(content: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json without what only concerns special tokens that are put around the ids."""
    return {key: value for key, value in content.items() if key != "post_processor"}
