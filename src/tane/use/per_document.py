"""A language model that is opened for scoring, and the nats of each document of a text.

Of a causal model the documents are one stream: each ends with EOS, the stream begins with one, and every
token is a target exactly once. What stands before a document in its block is context, the same for any model
whose blocks are as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tane import progress, signals
from tane.errors import InputError
from tane.model.build import find_model, hushed, open_model, positions
from tane.model.folder import check_rows
from tane.model.loss import Loss
from tane.tokens.encoder import Encoder
from tane.training.runtime import choose_device
from tane.types import IGNORE, Batch

BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Scorer:
    """loss: of the model, on `device`; length: positions of context."""

    folder: Path
    loss: Loss
    encoder: Encoder
    length: int
    device: str


def open_scorer(folder: Path, *, masked: bool, device: str = "auto", length: int | None = None) -> Scorer:
    """Open a model folder. length: positions of context; None takes the model's own. Raises InputError where
    the model has fewer."""
    encoder = Encoder(folder)
    network = open_model(folder, "AutoModelForMaskedLM" if masked else "AutoModelForCausalLM")
    check_rows(folder, network, encoder.vocab_size)
    chosen = choose_device(device)
    network.to(chosen).eval()
    longest = positions(network)
    if length is not None and longest is not None and length > longest:
        raise InputError(f"block_size is {length}, but the model has {longest} positions")
    return Scorer(folder, Loss(network), encoder, length or longest or 1024, chosen)


def causal_nats(model: str | Path, texts: Sequence[str], device: str = "auto") -> np.ndarray:
    """Nats of each text with its EOS, (D,) float64."""
    with hushed():
        scorer = open_scorer(find_model(model), masked=False, device=device)
        stream, ends = stream_of(texts, scorer.encoder)
        nats = np.concatenate([part for _, part in target_nats(scorer, stream)])
    return np.add.reduceat(nats, [0, *ends[:-1]])


def masked_nats(
    model: str | Path, texts: Sequence[str], device: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """(nats (D,) float64, tokens hidden (D,)) of each text; the same are hidden for models of one
    tokenizer."""
    from tane.use.evaluate_masked import MASK_PROB, Setup, nats_by_text

    with hushed():
        found = open_scorer(find_model(model), masked=True, device=device)
        setup = Setup(found.loss, found.encoder, found.length, MASK_PROB, False, found.device)
        return nats_by_text(setup, texts)


def stream_of(texts: Sequence[str], encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """EOS, then each document and its EOS: (N + 1,) int64, N targets; and the targets up to the end of each
    document (D,)."""
    eos = np.array([encoder.eos_id], dtype=np.int64)
    rows, sizes = [eos], []
    with progress.bar(len(texts), "tokenising", "doc") as bar:
        for start in range(0, len(texts), 1000):
            for ids in encoder.encode_batch(texts[start : start + 1000]):
                rows += [ids, eos]
                sizes.append(len(ids) + 1)
            bar.update(len(texts[start : start + 1000]))
            signals.poll("evaluating")
    return np.concatenate(rows), np.cumsum(sizes)


@torch.no_grad()
def target_nats(scorer: Scorer, stream: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first target, nats (n,) float64) of the targets of a stream, piece by piece, in blocks that overlap by
    one token."""
    length, eos, targets = scorer.length, scorer.encoder.eos_id, len(stream) - 1
    rows = max(1, BATCH_TOKENS // length)
    with progress.bar(targets, "evaluating", "token") as bar:
        for start in range(0, targets, rows * length):
            piece = stream[start : start + rows * length + 1]
            count = -(-(len(piece) - 1) // length)
            inputs = np.full((count, length), eos, dtype=np.int64)
            labels = np.full((count, length), IGNORE, dtype=np.int64)
            inputs.reshape(-1)[: len(piece) - 1] = piece[:-1]
            labels.reshape(-1)[: len(piece) - 1] = piece[1:]
            ids, wanted = torch.from_numpy(inputs), torch.from_numpy(labels)
            batch = Batch({"input_ids": ids.to(scorer.device)}, wanted.to(scorer.device), len(piece) - 1, 0)
            yield start, scorer.loss.per_target(batch).double().cpu().numpy()
            bar.update(len(piece) - 1)
            signals.poll("evaluating")
