"""Scores of masked language models on text: the loss at hidden tokens, and pseudo-perplexity.

A document is cut into segments that fit into the model, each between [CLS] and [SEP]. What is hidden in a
segment is a function of its ids (and its words): models of one tokenizer are scored on the same masks,
whatever the batches and the order of the documents. Each hidden token is shown as [MASK].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from tane import progress, signals
from tane.errors import InputError
from tane.model.loss import Loss
from tane.objectives.masked import Masked
from tane.text import words
from tane.text.corpus import Corpus
from tane.tokens.encoder import Encoder
from tane.tokens.order import key, noise
from tane.types import IGNORE, Batch, Vocabulary

BATCH_TOKENS = 8192  # of one forward pass at most, padding included
BATCH_LOGITS = 1 << 26  # the same, where a model's logits are made whole
PSEUDO_TOKENS = 60_000  # input tokens that pseudo-perplexity may take
CHUNK_DOCUMENTS, CHUNK_CHARS = 1000, 1_000_000  # encoded at once at most, but for one longer document
DRAW = 1 << 16  # the stream of a segment's noise that chooses targets of pseudo-perplexity
MASK_PROB = 0.15


class Segment(NamedTuple):
    """ids (n,) with [CLS] and [SEP]; starts (n,) bool, where a word starts; key: a function of the ids."""

    ids: np.ndarray
    starts: np.ndarray
    key: int


@dataclass(frozen=True)
class Setup:
    """What is scored and how. length: positions of a segment at most; device: of the model."""

    loss: Loss
    encoder: Encoder
    length: int
    mask_prob: float
    whole_word: bool
    device: str

    @property
    def vocabulary(self) -> Vocabulary:
        """Of the model's tokenizer."""
        return self.encoder.vocabulary

    @property
    def batch_tokens(self) -> int:
        """Tokens of one forward pass at most; fewer where the logits of all of them are made."""
        whole = self.loss.base is None
        return min(BATCH_TOKENS, BATCH_LOGITS // self.loss.model.config.vocab_size) if whole else BATCH_TOKENS


def score(setup: Setup, corpus: Corpus) -> dict[str, Any]:
    """The metrics of a corpus: see `evaluate`. Raises InputError where no token can be hidden."""
    _require_specials(setup)
    nats, right, targets, chars, documents = 0.0, 0, 0, 0, 0
    pool = _Pool(setup.vocabulary)
    hiding, inside = _hiding(setup), _inside(setup)
    total = sum(part.counts["documents"] for part in corpus.parts())
    with progress.bar(total, "evaluating", "doc") as bar:
        for texts in _chunks(corpus.texts("train")):
            segments = list(_segments(setup, texts, inside))
            for rows in _batches(segments, setup.batch_tokens):
                signals.poll("evaluating")
                found, hits = setup.loss.predictions(_hidden(rows, hiding, setup))
                nats += found.double().sum().item()
                right += int(hits.sum())
                targets += len(found)
            pool.add(segments)
            chars += sum(map(len, texts))
            documents += len(texts)
            bar.update(len(texts))
    if not targets:
        raise InputError("the text has no token that could be hidden: the tokenizer knows none of it")
    pseudo, alone = _pseudo(setup, pool.chosen())
    return {
        "loss": nats / targets,
        "perplexity": math.exp(min(700.0, nats / targets)),
        "accuracy": right / targets,
        "bits_per_char": None,
        "bits_per_byte": None,
        "tokens": targets,
        "chars": chars,
        "documents": documents,
        "mask_prob": setup.mask_prob,
        "whole_word": setup.whole_word,
        "pseudo_perplexity": math.exp(min(700.0, pseudo / alone)),
        "pseudo_tokens": alone,
        "block_size": setup.length,
    }


def nats_by_text(setup: Setup, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(nats (D,) float64, hidden tokens (D,)) of each text: what `score` sums over all of them."""
    _require_specials(setup)
    hiding, inside = _hiding(setup), _inside(setup)
    owner: dict[int, int] = {}
    segments: list[Segment] = []
    for number, text in enumerate(texts):
        for segment in _segments(setup, [text], inside):
            owner[id(segment)] = number
            segments.append(segment)
    nats, hidden = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    for rows in _batches(segments, setup.batch_tokens):
        signals.poll("evaluating")
        batch = _hidden(rows, hiding, setup)
        found, _ = setup.loss.predictions(batch)
        counts = (batch.labels != IGNORE).sum(1).cpu().numpy()
        mine = [owner[id(segment)] for segment in rows]
        np.add.at(nats, np.repeat(mine, counts), found.double().cpu().numpy())
        np.add.at(hidden, mine, counts)
    return nats, hidden


def _hiding(setup: Setup) -> Masked:
    return Masked(
        block_size=setup.length, mask_prob=setup.mask_prob, whole_word=setup.whole_word,
        mask_share=1.0, random_share=0.0,
    )  # fmt: skip


def _require_specials(setup: Setup) -> None:
    found = setup.vocabulary
    if None in (found.cls_id, found.sep_id, found.mask_id):
        raise InputError(f"the tokenizer of {setup.encoder.name} lacks [CLS], [SEP] or [MASK]")
    if setup.length < 4:
        raise InputError(f"block_size: expected at least 4, found {setup.length}")


def _inside(setup: Setup) -> Callable[[str], np.ndarray]:
    """Where words go on: ipadic's, where words are asked for and the tokenizer has none itself."""
    if setup.whole_word and setup.encoder.word_table is None:
        return words.insides("ipadic")
    return lambda text: np.zeros(len(text), dtype=bool)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if len(held) >= CHUNK_DOCUMENTS or size >= CHUNK_CHARS:
            yield held
            held, size = [], 0
    if held:
        yield held


def _segments(setup: Setup, texts: Sequence[str], inside: Callable[[str], np.ndarray]) -> Iterator[Segment]:
    """The segments of texts: as many tokens as fit, one after another, between [CLS] and [SEP]."""
    room, found = setup.length - 2, setup.vocabulary
    if setup.whole_word:
        encoded = setup.encoder.encode_words(texts, inside)
    else:
        encoded = [(ids, np.ones(len(ids), dtype=bool)) for ids in setup.encoder.encode_batch(texts)]
    for ids, starts in encoded:
        after = np.append(starts, True)  # at [SEP]: whether a word ends with the segment
        for begin in range(0, len(ids), room):
            part = np.concatenate([[found.cls_id], ids[begin : begin + room], [found.sep_id]])
            marks = np.concatenate([[True], after[begin : begin + len(part) - 1]])
            yield Segment(part, marks, key("evaluate", part.astype("<i8").tobytes().hex()))


def _batches(segments: Sequence[Segment], most: int) -> Iterator[list[Segment]]:
    """Segments of about one length, at most so many tokens together, padding included."""
    rows: list[Segment] = []
    for segment in sorted(segments, key=lambda segment: -len(segment.ids)):
        if rows and (len(rows) + 1) * len(rows[0].ids) > most:
            yield rows
            rows = []
        rows.append(segment)
    if rows:
        yield rows


def _hidden(rows: Sequence[Segment], hiding: Masked, setup: Setup) -> Batch:
    """Segments as a batch, with what is to be predicted shown as [MASK]."""
    width = len(rows[0].ids)
    ids = np.full((len(rows), width), setup.vocabulary.pad_id, dtype=np.int64)
    real = np.zeros(ids.shape, dtype=bool)
    starts = np.ones(ids.shape, dtype=bool)
    for row, segment in enumerate(rows):
        ids[row, : len(segment.ids)] = segment.ids
        real[row, : len(segment.ids)] = True
        starts[row, : len(segment.ids)] = segment.starts
    parts = np.where(real, 0, -1)
    targets = hiding.targets(ids, parts, starts, [segment.key for segment in rows], setup.vocabulary)
    return _batch(ids, real, targets, setup)


def _batch(ids: np.ndarray, real: np.ndarray, targets: np.ndarray, setup: Setup) -> Batch:
    """All arrays (B, T). Padding is masked out of the attention, as transformers' users do it."""
    shown = ids.copy()
    shown[targets] = setup.vocabulary.mask_id
    inputs = {"input_ids": shown, "attention_mask": real.astype(np.int64)}
    return Batch(
        {name: torch.from_numpy(values).to(setup.device) for name, values in inputs.items()},
        torch.from_numpy(np.where(targets, ids, IGNORE)).to(setup.device),
        num_targets=int(targets.sum()),
        num_tokens=int(real.sum()),
    )


# ------------------------------------------------------------------------------------- pseudo-perplexity


class _Pool:
    """Tokens to be hidden alone, chosen by noise: those with the smallest numbers that PSEUDO_TOKENS allow.

    Each costs its segment's length. The choice does not depend on the order in which segments come.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.special = np.array(vocabulary.special_ids)
        self.rows: list[Segment] = []
        self.draws, self.places, self.row = (np.zeros(0, dtype) for dtype in (float, np.int64, np.int64))
        self.limit = 1.0

    def add(self, segments: Sequence[Segment]) -> None:
        """Take more segments into account."""
        kept = [(self.draws, self.places, self.row)]
        for segment in segments:
            places = np.flatnonzero(~np.isin(segment.ids, self.special))
            draws = noise([segment.key], len(segment.ids), DRAW)[0][places]
            good = draws < self.limit
            if good.any():
                kept.append((draws[good], places[good], np.full(good.sum(), len(self.rows))))
                self.rows.append(segment)
        self.draws, self.places, self.row = map(np.concatenate, zip(*kept, strict=True))
        self._drop()

    def _drop(self) -> None:
        """Forget what can no longer be chosen."""
        costs = np.array([len(segment.ids) for segment in self.rows], dtype=np.int64)[self.row]
        order = np.argsort(self.draws, kind="stable")
        spent = np.cumsum(costs[order])
        over = np.flatnonzero(spent > max(PSEUDO_TOKENS, spent[0] if len(spent) else 0))
        if not len(over):
            return
        self.limit = float(self.draws[order[over[0]]])
        good = self.draws < self.limit
        self.draws, self.places, self.row = self.draws[good], self.places[good], self.row[good]
        used, self.row = np.unique(self.row, return_inverse=True)
        self.rows = [self.rows[number] for number in used.tolist()]

    def chosen(self) -> list[tuple[Segment, int]]:
        """The segments, the longest first, and the place of the token that is hidden."""
        found = [
            (self.rows[row], place)
            for row, place in zip(self.row.tolist(), self.places.tolist(), strict=True)
        ]
        return sorted(found, key=lambda one: (-len(one[0].ids), one[0].key, one[1]))


def _pseudo(setup: Setup, chosen: Sequence[tuple[Segment, int]]) -> tuple[float, int]:
    """(summed nats, count) of tokens hidden alone (Salazar et al., "Masked Language Model Scoring", 2020)."""
    nats, done = 0.0, 0
    with progress.bar(len(chosen), "pseudo-perplexity", "token") as bar:
        while done < len(chosen):
            signals.poll("evaluating")
            width = len(chosen[done][0].ids)
            rows = chosen[done : done + max(1, setup.batch_tokens // width)]
            ids = np.full((len(rows), width), setup.vocabulary.pad_id, dtype=np.int64)
            real, targets = np.zeros(ids.shape, dtype=bool), np.zeros(ids.shape, dtype=bool)
            for row, (segment, place) in enumerate(rows):
                ids[row, : len(segment.ids)] = segment.ids
                real[row, : len(segment.ids)] = True
                targets[row, place] = True
            nats += setup.loss.per_target(_batch(ids, real, targets, setup)).double().sum().item()
            done += len(rows)
            bar.update(len(rows))
    return nats, done
