"""From a corpus to token files: the tokenizer over every document, on all cores, a part at a time.

One corpus part gives one pair of files a split. How the work is divided, kept and put together is in
tasks.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tane import files, progress
from tane.errors import InputError, IntegrityError
from tane.text.corpus import REMEDY, Corpus, Part
from tane.tokens.by_lines import ByLines
from tane.tokens.encoder import Encoder
from tane.tokens.shards import SPLITS, token_dtype, write_index
from tane.tokens.tasks import Writer, added, make_all, make_slice, part_name

VERSION = 1  # of what is written for the same corpus and tokenizer
COUNTS = ("documents", "tokens", "characters", "unknown", "checked", "changed_by_round_trip")
open_encoder = functools.lru_cache(maxsize=1)(Encoder)  # one a process, however many slices it is given


class Tokens:
    """The task of `write_shards`: ids of every document, with their index."""

    kind, doing, suffix = "shard", "tokenising", ".bin"
    child = "tane.tokens.tokenise:encode_slice"

    def __init__(self, corpus: Corpus, encoder: Encoder, *, fast: bool = True) -> None:
        self.corpus, self.encoder, self.fast = corpus, encoder, fast
        self.job = {"corpus": str(corpus.folder), "tokenizer": encoder.name}

    def writer(self, folder: Path, name: str) -> Writer:
        """A writer of token files."""
        return _TokenWriter(folder, name, self.encoder, self.encoder.lines if self.fast else None)

    def finish(self, folder: Path, part: Part, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Write the indexes of one part's files, leave out empty ones, and add the counts up."""
        if any(result["differ"] for result in results):
            results = [self._again(folder, part)]
        for split in SPLITS:
            lengths = [length for result in results for length in result["lengths"][split]]
            path = folder / f"{split}-{part_name(part)}.bin"
            if lengths:
                dtype = token_dtype(self.encoder.vocab_size)
                write_index(path.with_suffix(".idx"), np.array(lengths, np.int64), dtype)
            else:
                path.unlink()
        return added([result["counts"] for result in results], COUNTS)

    def _again(self, folder: Path, part: Part) -> dict[str, Any]:
        """Write one part's files anew, all by the tokenizer's `tokenizer.json`."""
        progress.say(
            f"warning: part {part_name(part)}: the fast way to encode differs from tokenizer.json; "
            "the part is encoded again without it"
        )
        every = {
            "part": part.number, "first": 0, "last": part.counts["documents"],
            "folder": str(folder), "name": part_name(part),
        }  # fmt: skip
        return make_slice(Tokens(self.corpus, self.encoder, fast=False), every, lambda size: None)


class _TokenWriter:
    """Writes the tokens of some documents of one part, a file a split, and counts them.

    lines: the encoder's faster road, if it is to be taken. Its ids are proven to be those of the encoder, and
    yet a sample of documents, the first among them, is compared: libraries change.
    """

    def __init__(self, folder: Path, name: str, encoder: Encoder, lines: ByLines | None) -> None:
        self.encoder, self.dtype = encoder, token_dtype(encoder.vocab_size)
        self.lines, self.begun, self.differ = lines, False, False
        self.files = {split: open(folder / f"{split}-{name}.bin", "wb") for split in SPLITS}  # noqa: SIM115
        self.lengths: dict[str, list[int]] = {split: [] for split in SPLITS}
        self.counts = {split: dict.fromkeys(COUNTS, 0) for split in SPLITS}

    def write(self, batch: list[tuple[str, str, bool]]) -> None:
        texts = [text for _, text, _ in batch]
        encoded = (self.lines or self.encoder).encode_batch(texts)
        if self.lines is not None:
            looked = [
                number for number, (_, _, check) in enumerate(batch) if check or not (self.begun or number)
            ]
            exact = self.encoder.encode_batch([texts[number] for number in looked])
            self.begun = True
            if not all(np.array_equal(encoded[n], ids) for n, ids in zip(looked, exact, strict=True)):
                self.differ, self.lines = True, None  # what is written by then is written again by `finish`
        eos = np.array([self.encoder.eos_id], dtype=np.int64)
        rows: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
        for (split, text, check), ids in zip(batch, encoded, strict=True):
            rows[split] += [ids, eos]
            self.lengths[split].append(len(ids) + 1)
            counts = self.counts[split]
            counts["characters"] += len(text)
            if check:
                counts["checked"] += 1
                counts["changed_by_round_trip"] += self.encoder.decode(ids) != text
        for split, arrays in rows.items():
            if arrays:
                tokens = np.concatenate(arrays)
                self.files[split].write(tokens.astype(self.dtype).tobytes())
                counts = self.counts[split]
                counts["documents"] += len(arrays) // 2
                counts["tokens"] += len(tokens)
                if self.encoder.unk_id is not None:
                    # not the ends of texts between them, which some tokenizers call unknown too
                    counts["unknown"] += sum(int((ids == self.encoder.unk_id).sum()) for ids in arrays[::2])

    def close(self) -> dict[str, Any]:
        for file in self.files.values():
            file.close()
        return {"counts": self.counts, "lengths": self.lengths, "differ": self.differ}


def encode_slice(job: dict[str, Any], advance: Callable[[int], object]) -> dict[str, Any]:
    """Tokenise one slice of a part, in another process."""
    return make_slice(Tokens(Corpus.open(job["corpus"]), open_encoder(job["tokenizer"])), job, advance)


def write_shards(corpus: Corpus, encoder: Encoder, folder: Path, fingerprint: str) -> files.Manifest:
    """Tokenise a corpus into `folder`; what earlier calls with the same fingerprint finished is reused."""

    def meta(parts: list[dict[str, Any]]) -> dict[str, Any]:
        counts = added(parts, COUNTS)
        if not counts["train"]["tokens"]:
            raise InputError("the corpus gave no tokens for training")
        for split in SPLITS:
            for what in ("documents", "characters"):
                found, due = counts[split][what], corpus.meta[what][split]
                if found != due:
                    told = f"{found:,} {what} of {split} were read, and its manifest says {due:,}"
                    raise IntegrityError(f"{corpus.folder}: {told}", REMEDY)
        weights = corpus.meta["weights"]
        return {
            "fingerprint": fingerprint,
            "eos_id": encoder.eos_id,
            "vocab_size": encoder.vocab_size,
            "dtype": str(token_dtype(encoder.vocab_size)),
            "splits": counts,
            **({"weights": weights} if weights else {}),
        }

    return make_all(Tokens(corpus, encoder), "shards", folder, fingerprint, meta)


def describe(manifest: files.Manifest) -> str:
    """One line for the person: tokens and documents of each split."""
    splits = manifest.meta["splits"]
    text = "; ".join(
        f"{k}: {v.get('tokens', 0):,} tokens, {v.get('documents', 0):,} documents" for k, v in splits.items()
    )
    changed = sum(v.get("changed_by_round_trip", 0) for v in splits.values())
    checked = sum(v.get("checked", 0) for v in splits.values())
    unknown = sum(v.get("unknown", 0) for v in splits.values())
    notes = f"; {unknown:,} unknown tokens" if unknown else ""
    if changed:
        notes += f"; {changed} of {checked} documents looked at do not decode back to their text"
    return text + notes
