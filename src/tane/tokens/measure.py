"""What a tokenizer does to a text: how few tokens it takes, what it cannot write, what does not come back."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tane import signals
from tane.progress import bar
from tane.tokens.describe import Spelling
from tane.tokens.encoder import Encoder

BATCH = 1000  # documents that are encoded at a time
LISTED = 20  # characters of a list, the most frequent first
VISIBLE = re.compile(r"\S")


def measure(encoder: Encoder, texts: Sequence[str]) -> dict[str, Any]:
    """Figures of a tokenizer on texts, JSON-like. A list of characters is [[character, count], ...].

    documents, characters, bytes (UTF-8), tokens (no special ones are added); characters_per_token,
    bytes_per_token, tokens_per_document; unknown_tokens, unknown_share (of the tokens), unknown_characters (a
    list: those behind the unknown tokens); byte_tokens, byte_share: tokens that are bytes and no whole
    character, or stand for a character without a piece; pieces_used, used_share (of the vocabulary);
    exact: documents that decoding gives back as they were; exact_normalized: as the tokenizer's own
    normaliser left them; normalized_characters (a list: those that it replaces); lost_characters, lost (a
    list: after normalising, what decoding does not give back), added_characters, added (what it gives
    besides); lossy: whether anything is unknown or lost; seconds (encoding alone), characters_per_second,
    megabytes_per_second.
    """
    trial = _Trial(encoder)
    with signals.caught(), bar(len(texts), "tokenising", "doc") as progress:
        for start in range(0, len(texts), BATCH):
            some = list(texts[start : start + BATCH])
            trial.add(some)
            progress.update(len(some))
            signals.poll("the tokenizer was being tried")
    return trial.figures()


class _Trial:
    """Counts over the texts that were tried."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.spelling = Spelling(encoder.tokenizer)
        if self.spelling.backend is not None:
            self.spelling.backend.encode_special_tokens = True  # as the encoder does
            self.spelling.backend.no_truncation()
            self.spelling.backend.no_padding()
        self.seconds = 0.0
        self.documents = self.characters = self.bytes = self.exact = self.exact_normalized = 0
        self.used = np.zeros(encoder.vocab_size, dtype=np.int64)
        self.unknown: Counter[str] = Counter()
        self.normalized: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.added: Counter[str] = Counter()

    def add(self, texts: list[str]) -> None:
        """Try some texts."""
        start = time.perf_counter()
        encoded = self.encoder.encode_batch(texts)
        self.seconds += time.perf_counter() - start
        for text, ids in zip(texts, encoded, strict=True):
            self.documents += 1
            self.characters += len(text)
            self.bytes += len(text.encode())
            self._compare(text, ids)
        self.used += np.bincount(np.concatenate(encoded), minlength=len(self.used))

    def _compare(self, text: str, ids: np.ndarray) -> None:
        """What of one text is changed, unknown, lost or added."""
        unknown = ids == self.encoder.unk_id if self.encoder.unk_id is not None else np.zeros(len(ids), bool)
        back = self.encoder.decode(ids)
        normal = self.spelling.normalized(text)
        if normal != text:
            self.normalized.update(differences(text, normal)[0])
        lost, added = differences(normal, back)
        if unknown.any():
            self.unknown.update(self._behind_unknown(text, lost))
        self.exact += back == text and not unknown.any()
        self.exact_normalized += back == normal and not unknown.any()
        self.lost.update(lost)
        self.added.update(added)

    def _behind_unknown(self, text: str, lost: Counter[str]) -> Counter[str]:
        """The characters that unknown tokens stand for; without the library's offsets all that were lost."""
        backend = self.spelling.backend
        if backend is None:
            return Counter({char: count for char, count in lost.items() if not char.isspace()})
        encoding = backend.encode(text, add_special_tokens=False)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        parts = (text[first:last] for number, (first, last) in spans if number == self.encoder.unk_id)
        return Counter("".join(parts))

    def figures(self) -> dict[str, Any]:
        """See `measure`."""
        tokens = int(self.used.sum())
        unknown = 0 if self.encoder.unk_id is None else int(self.used[self.encoder.unk_id])
        byte = int(self.used[self.spelling.byte_pieces].sum())
        pieces = int((self.used > 0).sum())
        lost, added = self.lost.total(), self.added.total()
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "tokens": tokens,
            "characters_per_token": self.characters / max(1, tokens),
            "bytes_per_token": self.bytes / max(1, tokens),
            "tokens_per_document": tokens / max(1, self.documents),
            "unknown_tokens": unknown,
            "unknown_share": unknown / max(1, tokens),
            "unknown_characters": _listed(self.unknown),
            "byte_tokens": byte,
            "byte_share": byte / max(1, tokens),
            "pieces_used": pieces,
            "used_share": pieces / len(self.used),
            "exact": self.exact,
            "exact_normalized": self.exact_normalized,
            "normalized_characters": _listed(self.normalized),
            "lost_characters": lost,
            "lost": _listed(self.lost),
            "added_characters": added,
            "added": _listed(self.added),
            "lossy": bool(unknown or lost),
            "seconds": self.seconds,
            "characters_per_second": self.characters / max(1e-9, self.seconds),
            "megabytes_per_second": self.bytes / 1e6 / max(1e-9, self.seconds),
        }


def _listed(counts: Counter[str]) -> list[list[Any]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [[char, count] for char, count in ranked[:LISTED]]


def differences(text: str, back: str) -> tuple[Counter[str], Counter[str]]:
    """(characters of `text` that `back` lacks, characters that it has besides), with their counts.

    Where both show the same characters, their white space is compared place by place, so that a lost space
    does not make up for one that was added elsewhere; else the whole texts are compared by counts. No
    tokenizer moves characters about.
    """
    lost: Counter[str] = Counter()
    added: Counter[str] = Counter()
    if text == back:
        return lost, added
    pairs = [(text, back)]
    if "".join(text.split()) == "".join(back.split()):
        pairs = list(zip(VISIBLE.split(text), VISIBLE.split(back), strict=True))
    for here, there in pairs:
        if here != there:
            lost.update(Counter(here) - Counter(there))
            added.update(Counter(there) - Counter(here))
    return lost, added
