"""What a run was trained on: where every character went, lengths of texts, scripts, the commonest tokens."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from tane import signals
from tane.errors import InputError, IntegrityError
from tane.files import Manifest
from tane.reporting.gather import Run
from tane.text import japanese
from tane.text.corpus import Corpus
from tane.tokens.shards import Shards

DOCUMENTS = 20_000  # whose characters are looked at, from the first on
CHARACTERS = 20_000_000  # of them at most
TOKENS = 20_000_000  # that are counted, from the first on
COMMONEST = 30
BINS = 30


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, of which there is one more; mean and median of the lengths themselves."""

    edges: list[float]
    counts: list[int]
    mean: float
    median: float


@dataclass(frozen=True)
class Text:
    """flow: (what, characters, documents or None), from what was read to what is trained on; inputs: a line
    each; characters, tokens: lengths of documents; looked: how many documents scripts and characters are of;
    common: (token, times, share of the tokens counted)."""

    flow: list[tuple[str, int, int | None]]
    inputs: list[dict[str, Any]]
    splits: dict[str, dict[str, int]]
    looked: int
    characters: Histogram | None
    tokens: Histogram | None
    scripts: list[tuple[str, float]]
    common: list[tuple[str, int, float]]
    pieces: int
    used: int  # pieces that occur among the tokens counted
    counted: int


def text_of(run: Run) -> Text | None:
    """None where the prepared data is gone, or the run has a task and no text of its own."""
    data = run.data
    if run.kind == "task" or not (data / "corpus").is_dir() or not (data / "shards").is_dir():
        return None
    try:
        corpus = Corpus.open(data / "corpus")
        meta = Manifest.read(data / "shards", "shards").meta
        shards = Shards(data / "shards", "train")
        lengths, scripts, looked = _look(corpus)
    except (IntegrityError, InputError):
        return None
    found, counted = _commonest(shards, data)
    splits = {
        name: {key: value for key, value in counts.items() if key in ("documents", "characters", "tokens")}
        for name, counts in meta["splits"].items()
    }
    total = sum(scripts.values()) or 1
    return Text(
        flow=_flow(corpus),
        inputs=[{key: r.get(key) for key in ("path", "bytes", "ledger")} for r in list(corpus.inputs())[:20]],
        splits=splits,
        looked=looked,
        characters=_histogram(np.array(lengths)),
        tokens=_histogram(shards.lengths - 1),
        scripts=[(name, count / total) for name, count in scripts.most_common() if count],
        common=[(_spelled(p), n, n / max(1, counted)) for p, n in found.most_common(COMMONEST)],
        pieces=int(meta["vocab_size"]),
        used=len(found),
        counted=counted,
    )  # fmt: skip


def _flow(corpus: Corpus) -> list[tuple[str, int, int | None]]:
    from tane.text.ledger import Ledger

    ledger = Ledger.from_json(corpus.meta["ledger"])
    rows: list[tuple[str, int, int | None]] = [("read", ledger.read, ledger.found)]
    rows += [(f"changed by {name}", -count, None) for name, count in ledger.change.items() if count]
    rows += [("line ends between documents", -ledger.separators, None)] if ledger.separators else []
    for reason, count in ledger.dropped_characters.most_common():
        rows.append((f"left out: {reason.replace('_', ' ')}", -count, -ledger.dropped_documents[reason]))
    rows.append(("kept", ledger.kept_characters, ledger.kept_documents))
    for split, count in corpus.meta["characters"].items():
        rows.append((f"of that {split}", count, corpus.meta["documents"][split]))
    return rows


def _look(corpus: Corpus) -> tuple[list[int], Counter[str], int]:
    """(characters of each document, characters by script, documents looked at)."""
    lengths: list[int] = []
    scripts: Counter[str] = Counter()
    held: list[str] = []
    size = total = 0
    for text in corpus.texts("train"):
        lengths.append(len(text))
        held.append(text)
        size, total = size + len(text), total + len(text)
        if size > 1 << 18:
            scripts.update(japanese.scripts("".join(held)))
            held, size = [], 0
            signals.poll("the report was being made")
        if len(lengths) >= DOCUMENTS or total >= CHARACTERS:
            break
    scripts.update(japanese.scripts("".join(held)))
    return lengths, scripts, len(lengths)


def _histogram(lengths: np.ndarray) -> Histogram | None:
    """Bins of equal width on a logarithmic axis; of few different lengths one each."""
    lengths = lengths[lengths > 0]
    if not len(lengths):
        return None
    low, high = int(lengths.min()), int(lengths.max()) + 1
    count = max(1, min(BINS, high - low))
    edges = np.unique(np.round(np.geomspace(low, high, count + 1)))
    counts, _ = np.histogram(lengths, edges)
    middle = float(np.median(lengths))
    return Histogram(edges.tolist(), counts.tolist(), float(lengths.mean()), middle)


def _commonest(shards: Shards, data: Any) -> tuple[Counter[str], int]:
    """(piece -> times, tokens counted), the ends of texts left out."""
    from tane.tokens.encoder import Encoder

    encoder = Encoder(data / "tokenizer")
    counts = np.zeros(len(encoder.tokenizer), dtype=np.int64)
    total = min(len(shards), TOKENS)
    for start in range(0, total, 1 << 20):
        part = np.asarray(shards.read(start, min(total, start + (1 << 20))))
        counts += np.bincount(part, minlength=len(counts))[: len(counts)]
        signals.poll("the report was being made")
    counts[encoder.eos_id] = 0
    there = np.flatnonzero(counts).tolist()
    pieces = encoder.tokenizer.convert_ids_to_tokens(there)
    found = Counter({_letters(encoder, p, n): int(counts[n]) for n, p in zip(there, pieces, strict=True)})
    return found, int(counts.sum())


def _letters(encoder: Any, piece: str, number: int) -> str:
    """A piece as one reads it: byte-level letters as what they stand for, where that is text."""
    text = str(encoder.tokenizer.decode([number]))
    if "\ufffd" in text or not text.strip() or piece.startswith(("##", "▁")):
        return piece
    return text


def _spelled(piece: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in piece)


def rounded(count: float) -> str:
    """A large count in few digits: 1.44 M."""
    if count < 10_000:
        return f"{count:,.0f}"
    power = int(math.log10(count)) // 3
    return f"{count / 1000**power:.3g} {('', 'k', 'M', 'G', 'T')[power]}"
