"""Where words start in prepared data: one bit a token of the shards, beside them in a folder of its own.

Objectives that mask whole words ask for it; the shards are the same without. A tokenizer that cuts words
itself has them in the spelling of its pieces, so a table over the ids is enough; for any other one the texts
are encoded once more, and each token is held against the words of MeCab or Sudachi, or against the changes of
script. `SPLIT-PART.bits` has the bits of `SPLIT-PART.bin`, eight tokens a byte, the first one highest; an EOS
counts as a word.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tane import files, progress, signals
from tane.errors import InputError, IntegrityError
from tane.text.corpus import Corpus, Part
from tane.text.words import MECAB, SCRIPT, SUDACHI, insides, sudachi_type, version
from tane.tokens.encoder import Encoder
from tane.tokens.places import Inside
from tane.tokens.shards import SPLITS, Shards, token_dtype
from tane.tokens.tasks import Writer, added, make_all, make_share, make_slice, part_name
from tane.tokens.tokenise import open_encoder

VERSION = 1  # of what is written for the same shards and dictionary
COUNTS = ("tokens", "starts")
AUTO = "auto"  # the tokenizer's own words where it has some, else ipadic's
OWN = "tokenizer"  # the tokenizer's own words
CHOICES = (AUTO, *MECAB, "sudachi", *(f"sudachi-{kind}" for kind in SUDACHI), SCRIPT)
CHUNK = 1 << 22  # tokens looked at at once; a multiple of 8
_insides = functools.lru_cache(maxsize=1)(insides)  # one a process, however many slices it is given


def resolve(asked: str, encoder: Encoder) -> str:
    """Whose words are meant: the tokenizer's own wherever it has some, else a dictionary or the scripts.

    asked: one of CHOICES. Raises InputError for another, or where no dictionary of Sudachi is installed.
    """
    if asked not in CHOICES:
        raise InputError(f"objective.words is {asked!r}", f"choose one of: {', '.join(CHOICES)}")
    if encoder.word_table is not None:
        return OWN
    if asked == AUTO:
        return "ipadic"
    return f"sudachi-{sudachi_type(asked)}" if asked.startswith("sudachi") else asked


class WordStarts:
    """Where words start in the shards of `DATA/shards`: the task of finding it, and its stage `DATA/words`.

    dictionary: as `resolve` says; fingerprint: of what the stage is made from.
    """

    kind, doing, suffix = "starts", "finding words", ".starts"
    child = "tane.tokens.words:find_slice"

    def __init__(self, asked: str, corpus: Corpus, encoder: Encoder, data: Path) -> None:
        self.corpus, self.encoder, self.data = corpus, encoder, data
        self.dictionary = resolve(asked, encoder)
        self.shards = files.Manifest.read(data / "shards", "shards")
        self.version = "" if self.dictionary == OWN else version(self.dictionary)
        self.fingerprint = files.digest([self.shards.fingerprint, self.dictionary, self.version, VERSION])
        self.job = {"words": self.dictionary, "corpus": str(corpus.folder), "tokenizer": encoder.name}
        self.job["data"] = str(data)

    @property
    def can_be_divided(self) -> bool:
        """Whether texts are encoded once more, which takes time."""
        return self.dictionary != OWN

    def write(self) -> files.Manifest:
        """Publish `DATA/words`; what earlier calls with the same fingerprint finished is reused.

        Raises IntegrityError where the tokenizer does not give the tokens of the shards.
        """
        folder = self.data / "words"
        if self.can_be_divided:
            return make_all(self, "words", folder, self.fingerprint, self._meta)
        return files.publish(folder, "words", self._write_own)

    def write_share(self, part: int, parts: int) -> None:
        """Do part `part` (from 1) of `parts` of the work, for a later `write`."""
        make_share(self, self.data / "words", self.fingerprint, part, parts)

    def changes(self, meta: dict[str, Any]) -> list[str]:
        """What differs from an older stage with this meta, for the person."""
        if meta["dictionary"] != self.dictionary:
            return [f"objective.words: {meta['dictionary']} -> {self.dictionary}"]
        if meta["version"] != self.version:
            return [f"its words are those of {meta['version']}, and here is {self.version}"]
        return []

    def writer(self, folder: Path, name: str) -> Writer:
        """A writer of one byte a token, 1 where a word starts."""
        return _StartsWriter(folder, name, self.encoder, _insides(self.dictionary))

    def finish(self, folder: Path, part: Part, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Hold one part's tokens against those of the shards, and pack eight bytes into one."""
        for split in SPLITS:
            path = folder / f"{split}-{part_name(part)}{self.suffix}"
            self._compare(split, part, [result[split] for result in results])
            if path.stat().st_size:
                with open(path, "rb") as file, open(path.with_suffix(".bits"), "wb") as out:
                    while chunk := file.read(CHUNK):
                        out.write(np.packbits(np.frombuffer(chunk, dtype=np.uint8)).tobytes())
            path.unlink()
        return added(results, COUNTS)

    def _compare(self, split: str, part: Part, results: list[dict[str, Any]]) -> None:
        """Raise IntegrityError unless one part's tokens are those of the shards."""
        path = self.data / "shards" / f"{split}-{part_name(part)}.bin"
        width = token_dtype(self.encoder.vocab_size).itemsize
        equal = sum(result["tokens"] for result in results) * width == (
            path.stat().st_size if path.exists() else 0
        )
        if equal and path.exists():
            with open(path, "rb") as file:
                equal = all(_digest(file, r["tokens"] * width) == r["sha256"] for r in results)
        if not equal:
            raise IntegrityError(
                f"{path}: the tokenizer does not give these tokens for the texts of the corpus",
                "run the same command with --rebuild to make the data anew",
            )

    def _meta(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint, "shards": self.shards.fingerprint,
            "dictionary": self.dictionary, "version": self.version, "splits": added(parts, COUNTS),
        }  # fmt: skip

    def _write_own(self, folder: Path) -> dict[str, Any]:
        """Write the bits of all shards by the table of a tokenizer that cuts words itself."""
        table, eos = self.encoder.word_table, self.encoder.eos_id
        assert table is not None
        counts = {split: dict.fromkeys(COUNTS, 0) for split in SPLITS}
        total = sum(len(Shards(self.data / "shards", split)) for split in SPLITS)
        with progress.bar(total, self.doing, "token") as bar:
            for name in sorted(name for name in self.shards.files if name.endswith(".bin")):
                tokens = np.memmap(self.data / "shards" / name, self.shards.meta["dtype"], mode="r")
                count = counts[name.partition("-")[0]]
                with open((folder / name).with_suffix(".bits"), "wb") as out:
                    for start in range(0, len(tokens), CHUNK):
                        signals.poll(f"{self.doing} is not finished")
                        # with the token before: the first of a text starts a word, however it is spelled
                        ids = np.concatenate(
                            [tokens[start - 1 : start] if start else [eos], tokens[start : start + CHUNK]]
                        )
                        starts = table[ids[1:]] | (ids[:-1] == eos)
                        out.write(np.packbits(starts).tobytes())
                        count["tokens"] += len(starts)
                        count["starts"] += int(starts.sum())
                        bar.update(len(starts))
        return self._meta([counts])


class _StartsWriter:
    """Writes where words start in some documents of one part, and counts and digests their tokens."""

    def __init__(self, folder: Path, name: str, encoder: Encoder, inside: Inside) -> None:
        self.encoder, self.inside, self.dtype = encoder, inside, token_dtype(encoder.vocab_size)
        self.files = {split: open(folder / f"{split}-{name}.starts", "wb") for split in SPLITS}  # noqa: SIM115
        self.digests = {split: hashlib.sha256() for split in SPLITS}
        self.counts = {split: dict.fromkeys(COUNTS, 0) for split in SPLITS}

    def write(self, batch: list[tuple[str, str, bool]]) -> None:
        found = self.encoder.encode_words([text for _, text, _ in batch], self.inside)
        eos, one = np.array([self.encoder.eos_id]), np.array([True])
        for split in SPLITS:
            rows = [row for (name, _, _), row in zip(batch, found, strict=True) if name == split]
            if rows:
                ids = np.concatenate([part for row in rows for part in (row[0], eos)])
                starts = np.concatenate([part for row in rows for part in (row[1], one)])
                self.digests[split].update(ids.astype(self.dtype).tobytes())
                self.files[split].write(starts.tobytes())
                self.counts[split]["tokens"] += len(ids)
                self.counts[split]["starts"] += int(starts.sum())

    def close(self) -> dict[str, Any]:
        for file in self.files.values():
            file.close()
        return {split: {**self.counts[split], "sha256": self.digests[split].hexdigest()} for split in SPLITS}


def find_slice(job: dict[str, Any], advance: Callable[[int], object]) -> dict[str, Any]:
    """Find the words of one slice of a part, in another process."""
    corpus, encoder = Corpus.open(job["corpus"]), open_encoder(job["tokenizer"])
    return make_slice(WordStarts(job["words"], corpus, encoder, Path(job["data"])), job, advance)


def _digest(file: Any, size: int) -> str:
    """SHA-256 of the next `size` bytes of a file."""
    found = hashlib.sha256()
    while size and (chunk := file.read(min(size, CHUNK))):
        found.update(chunk)
        size -= len(chunk)
    return found.hexdigest()


def describe(manifest: files.Manifest) -> str:
    """One line for the person: whose words, and how many start in each split."""
    whose = "the tokenizer's own" if manifest.meta["dictionary"] == OWN else manifest.meta["dictionary"]
    counts = "; ".join(f"{name}: {c['starts']:,}" for name, c in manifest.meta["splits"].items())
    return f"words ({whose}): {counts}"
