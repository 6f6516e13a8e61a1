"""Token files in Megatron-LM's indexed layout.

`NAME.bin` holds the tokens one after another (uint16 below 65,500 pieces, else int32), each document ended by
EOS; `NAME.idx` holds the document lengths and pointers (Megatron-LM,
megatron/core/datasets/indexed_dataset.py), so engines that read that layout read ours as it is. One corpus
part gives one pair of files a split. Beside them, in a folder of their own, there may be files of one bit a
token that tell where a word starts (words.py makes them). Nothing here knows of blocks or objectives.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tane import files
from tane.errors import IntegrityError

MAGIC = b"MMIDIDX\x00\x00"
# Megatron's numbers of the types that we write
CODES: dict[np.dtype, int] = {np.dtype(np.int32): 4, np.dtype(np.uint16): 8}
SPLITS = ("train", "valid")


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
    count, documents = struct.unpack_from("<QQ", raw, header)
    types = {v: k for k, v in CODES.items()}
    whole = documents == count + 1 and len(raw) == header + 16 + 12 * count + 8 * documents
    if version != 1 or code not in types or not whole:
        raise IntegrityError(f"{path}: unknown version or token type, or the file is cut")
    lengths = np.frombuffer(raw, dtype=np.int32, count=count, offset=header + 16).astype(np.int64)
    if (lengths < 1).any():
        raise IntegrityError(f"{path} is damaged: a document has no token, not even its end")
    return lengths, types[code]


class Shards:
    """The token stream of one split: all its files as one row of N tokens, mapped, never copied as a
    whole.

    words: the folder of the bits that tell where words start, for `read_starts`. Raises IntegrityError where
    files are missing or do not fit one another.
    """

    def __init__(self, folder: Path | str, split: str, words: Path | str | None = None) -> None:
        folder = Path(folder)
        self.split = split
        manifest = files.Manifest.read(folder, "shards")
        self.meta = manifest.meta
        self.eos_id: int = _noted(folder, self.meta, "eos_id", int)
        self._parts: list[np.ndarray] = []
        self._bits: list[np.ndarray] | None = None if words is None else []
        if words is not None:
            made_for = _noted(Path(words), files.Manifest.read(Path(words), "words").meta, "shards", str)
            if made_for != manifest.fingerprint:
                raise IntegrityError(f"{words} was made for other tokens than those of {folder}")
        names = (n for n in manifest.files if n.startswith(f"{split}-") and n.endswith(".idx"))
        self._indexes = [folder / name for name in sorted(names, key=lambda name: (len(name), name))]
        for path in self._indexes:
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
                if self._bits is not None and words is not None:
                    self._bits.append(_bits(Path(words) / f"{path.stem}.bits", len(self._parts[-1])))
        self._starts = np.cumsum([0, *(len(p) for p in self._parts)])

    def __len__(self) -> int:
        """Number of tokens N."""
        return int(self._starts[-1])

    def lengths_by_file(self) -> Iterator[np.ndarray]:
        """The tokens of each document with its EOS (d,) int64, of one file after another: of millions of
        documents, those of one file are held at a time."""
        for path in self._indexes:
            yield read_index(path)[0]

    @cached_property
    def lengths(self) -> np.ndarray:
        """The same of all documents (D,) int64; not read before it is asked for."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self.lengths_by_file()])

    @cached_property
    def ends(self) -> np.ndarray:
        """One past each document's EOS (D,) int64."""
        return np.cumsum(self.lengths)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop) as they are stored; a view where they lie in one file."""
        pieces = [self._parts[part][a:b] for part, a, b in self._places(start, stop)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray | None:
        """Tokens [a, a + length) for each start (B,), as (B, length); None where one reaches into another
        file."""
        part = int(np.searchsorted(self._starts, starts.min(), side="right")) - 1
        if starts.max() + length > self._starts[part + 1]:
            return None
        tokens = np.asarray(self._parts[part])  # a memmap's own indexing costs several times as much
        return np.lib.stride_tricks.sliding_window_view(tokens, length)[starts - self._starts[part]]

    def read_starts(self, start: int, stop: int) -> np.ndarray:
        """Which of the tokens [start, stop) start a word (n,) bool; an EOS does."""
        if self._bits is None:
            raise ValueError("these shards were opened without the folder of their words")
        pieces = [
            np.unpackbits(self._bits[part][a // 8 : -(-b // 8)], count=b - a // 8 * 8)[a % 8 :].view(bool)
            for part, a, b in self._places(start, stop)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def take(self, places: np.ndarray) -> np.ndarray:
        """The tokens at places of the stream (n,), in any order."""
        return self._at(self._parts, places, lambda part, at: part[at])

    def take_starts(self, places: np.ndarray) -> np.ndarray:
        """Which of the tokens at places (n,) start a word (n,) bool."""
        if self._bits is None:
            raise ValueError("these shards were opened without the folder of their words")
        return self._at(
            self._bits, places, lambda bits, at: (bits[at >> 3] >> (7 - (at & 7)) & 1).astype(bool)
        )

    def _at(
        self,
        parts: list[np.ndarray],
        places: np.ndarray,
        look: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        if len(parts) == 1:
            return look(parts[0], places)
        owner = np.searchsorted(self._starts, places, side="right") - 1
        pieces = [(owner == part, part) for part in np.unique(owner).tolist()]
        found = [(mine, look(parts[part], places[mine] - self._starts[part])) for mine, part in pieces]
        values = np.empty(len(places), dtype=found[0][1].dtype)
        for mine, part_values in found:
            values[mine] = part_values
        return values

    def _places(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """(file, first, one past the last) of each stretch of the tokens [start, stop) in one file."""
        part = int(np.searchsorted(self._starts, start, side="right")) - 1
        found = [(part, start - self._starts[part], min(stop, self._starts[part + 1]) - self._starts[part])]
        while stop > self._starts[part + 1]:
            part += 1
            found.append((part, 0, min(stop, self._starts[part + 1]) - self._starts[part]))
        return found

    def documents(self) -> Iterator[np.ndarray]:
        """Each document's tokens with its EOS."""
        start = 0
        for end in self.ends.tolist():
            yield self.read(start, end)
            start = end


def _noted(folder: Path, meta: Any, key: str, kind: type) -> Any:
    """What a folder's manifest says of itself under a key. Raises IntegrityError where it does not."""
    if not isinstance(meta, dict) or type(meta.get(key)) is not kind:
        raise IntegrityError(f"{folder / files.MANIFEST} does not say its {key}: it was not written by tane")
    return meta[key]


def _bits(path: Path, tokens: int) -> np.ndarray:
    """The mapped bits of one file, eight tokens a byte."""
    if not path.exists():
        raise IntegrityError(f"{path} is missing")
    if path.stat().st_size != -(-tokens // 8):
        raise IntegrityError(f"{path} does not have one bit for each of the {tokens:,} tokens")
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
