"""Token files in Megatron-LM's indexed layout, and how they are made from a corpus.

`NAME.bin` holds the tokens one after another (uint16 below 65,500 pieces, else int32), each document ended by
EOS; `NAME.idx` holds the document lengths and pointers (Megatron-LM,
megatron/core/datasets/indexed_dataset.py), so engines that read that layout read ours as it is. One corpus
part gives one pair of files; a finished pair is kept when the work is cut off. Nothing here knows of blocks
or objectives.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tane import files, progress, signals
from tane.errors import InputError, IntegrityError, Stopped
from tane.text.corpus import Corpus
from tane.text.parts import read_part
from tane.tokens.tokenizer import Encoder

VERSION = 1  # of what is written for the same corpus and tokenizer
MAGIC = b"MMIDIDX\x00\x00"
# Megatron's numbers of the types that we write
CODES: dict[np.dtype, int] = {np.dtype(np.int32): 4, np.dtype(np.uint16): 8}
SPLITS = ("train", "valid")
BATCH_CHARS = 2_000_000  # characters handed to the tokenizer at once: bounds the memory
CHECK_EVERY = 1000  # one document in so many is decoded back and compared (R16)


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest type of Megatron's that holds the ids."""
    return np.dtype(np.uint16 if vocab_size < 65_500 else np.int32)


def write_index(path: Path, lengths: np.ndarray, dtype: np.dtype) -> None:
    """Write `NAME.idx` for documents of the given lengths in tokens (D,)."""
    pointers = np.zeros(len(lengths), dtype=np.int64)
    np.cumsum(lengths[:-1] * dtype.itemsize, out=pointers[1:])
    with open(path, "wb") as file:
        file.write(MAGIC + struct.pack("<QB", 1, CODES[dtype]))
        file.write(struct.pack("<QQ", len(lengths), len(lengths) + 1))
        file.write(lengths.astype(np.int32).tobytes())
        file.write(pointers.tobytes())
        file.write(np.arange(len(lengths) + 1, dtype=np.int64).tobytes())


def read_index(path: Path) -> tuple[np.ndarray, np.dtype]:
    """Document lengths (D,) int64 and token type from `NAME.idx`. Raises IntegrityError for another
    layout."""
    raw = path.read_bytes()
    header = len(MAGIC) + 9
    if raw[: len(MAGIC)] != MAGIC or len(raw) < header + 16:
        raise IntegrityError(f"{path} is no Megatron index")
    version, code = struct.unpack_from("<QB", raw, len(MAGIC))
    count, _ = struct.unpack_from("<QQ", raw, header)
    types = {v: k for k, v in CODES.items()}
    if version != 1 or code not in types or len(raw) < header + 16 + 4 * count:
        raise IntegrityError(f"{path}: unknown version or token type, or the file is cut")
    return np.frombuffer(raw, dtype=np.int32, count=count, offset=header + 16).astype(np.int64), types[code]


def _encode_part(part: Path, folder: Path, *, name: str, encoder: Encoder, bar: Any) -> dict[str, Any]:
    dtype = token_dtype(encoder.vocab_size)
    lengths: list[int] = []
    state = {
        "documents": 0,
        "tokens": 0,
        "characters": 0,
        "unknown": 0,
        "checked": 0,
        "changed_by_round_trip": 0,
    }

    def flush(texts: list[str], out: Any) -> None:
        for text, ids in zip(texts, encoder.encode_batch(texts), strict=True):
            row = np.empty(len(ids) + 1, dtype=dtype)
            row[:-1], row[-1] = ids, encoder.eos_id
            out.write(row.tobytes())
            lengths.append(len(row))
            state["characters"] += len(text)
            if encoder.unk_id is not None:
                state["unknown"] += int((row == encoder.unk_id).sum())
            if state["documents"] % CHECK_EVERY == 0:
                state["checked"] += 1
                state["changed_by_round_trip"] += encoder.decode(ids) != text
            state["documents"] += 1
            state["tokens"] += len(row)
        bar.update(sum(map(len, texts)))

    with open(folder / f"{name}.bin", "wb") as out:
        texts, size = [], 0
        for document in read_part(part):
            texts.append(document.text)
            size += len(document.text)
            if size >= BATCH_CHARS:
                flush(texts, out)
                texts, size = [], 0
                if signals.requested():
                    raise Stopped(
                        f"stopped by {signals.requested()} while tokenising", "run the same command again"
                    )
        flush(texts, out)
    write_index(folder / f"{name}.idx", np.array(lengths, dtype=np.int64), dtype)
    return state


def write_shards(corpus: Corpus, encoder: Encoder, folder: Path, fingerprint: str) -> files.Manifest:
    """Tokenise a corpus into `folder`; what an interrupted call with the same fingerprint finished is
    reused."""
    work = folder.parent / f".parts-{fingerprint[:16]}"
    for stale in folder.parent.glob(".parts-*"):
        if stale != work:
            shutil.rmtree(stale, ignore_errors=True)
    files.make_folder(work)
    files.sweep(work)
    characters = sum(corpus.manifest.meta["characters"].values())
    counts: dict[str, dict[str, int]] = {}
    done: list[Path] = []
    with progress.bar(characters, "tokenising", "char") as bar:
        for split in SPLITS:
            total: dict[str, int] = {}
            for number, part in enumerate(corpus.parts(split)):
                name = f"{split}-{number:05d}"
                state = _finished(work / name)
                if state is None:
                    write = partial(_encode_part, part, name=name, encoder=encoder, bar=bar)
                    state = files.publish(work / name, "shard", write).meta
                else:
                    bar.update(state["characters"])
                done += [work / name / f"{name}.bin", work / name / f"{name}.idx"]
                total = {k: total.get(k, 0) + v for k, v in state.items()}
            counts[split] = total
    if not counts["train"].get("tokens"):
        raise InputError("the corpus gave no tokens for training")

    def gather(temporary: Path) -> dict[str, Any]:
        for path in done:
            try:
                os.link(path, temporary / path.name)
            except OSError:  # a file system without links
                shutil.copyfile(path, temporary / path.name)
        return {
            "fingerprint": fingerprint,
            "eos_id": encoder.eos_id,
            "vocab_size": encoder.vocab_size,
            "dtype": str(token_dtype(encoder.vocab_size)),
            "splits": counts,
        }

    manifest = files.publish(folder, "shards", gather)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def _finished(folder: Path) -> dict[str, Any] | None:
    try:
        return files.check(folder, "shard").meta
    except IntegrityError:
        if folder.exists():
            files.delete(folder)
        return None


class Shards:
    """The token stream of one split: all its files as one row of N tokens, mapped, never copied as a
    whole."""

    def __init__(self, folder: Path | str, split: str) -> None:
        folder = Path(folder)
        self.split = split
        manifest = files.Manifest.read(folder, "shards")
        self.meta = manifest.meta
        self.eos_id: int = self.meta["eos_id"]
        self._parts: list[np.ndarray] = []
        lengths = []
        for name in sorted(n for n in manifest.files if n.startswith(f"{split}-") and n.endswith(".idx")):
            path = folder / name
            try:
                documents, dtype = read_index(path)
                size = path.with_suffix(".bin").stat().st_size
            except FileNotFoundError as error:
                raise IntegrityError(f"{error.filename} is missing") from None
            if size != documents.sum() * dtype.itemsize:
                raise IntegrityError(
                    f"{path.with_suffix('.bin')} does not have the length that {path.name} states"
                )
            if size:
                self._parts.append(np.memmap(path.with_suffix(".bin"), dtype=dtype, mode="r"))
            lengths.append(documents)
        self.lengths = np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.int64)  # (D,)
        self.ends = np.cumsum(self.lengths)  # (D,) one past each document's EOS
        self._starts = np.cumsum([0, *(len(p) for p in self._parts)])

    def __len__(self) -> int:
        """Number of tokens N."""
        return int(self._starts[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop) as they are stored; a view where they lie in one file."""
        part = int(np.searchsorted(self._starts, start, side="right")) - 1
        base = self._starts[part]
        if stop <= self._starts[part + 1]:
            return self._parts[part][start - base : stop - base]
        pieces = []
        while start < stop:
            end = min(stop, self._starts[part + 1])
            pieces.append(self._parts[part][start - self._starts[part] : end - self._starts[part]])
            start, part = end, part + 1
        return np.concatenate(pieces)

    def documents(self) -> Iterator[np.ndarray]:
        """Each document's tokens with its EOS."""
        start = 0
        for end in self.ends.tolist():
            yield self.read(start, end)
            start = end


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
