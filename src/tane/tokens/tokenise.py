"""From a corpus to token files: the tokenizer over every document, on all cores, a part at a time.

One corpus part gives one pair of files a split; a finished part is kept when the work is cut off, and parts
may be made on several machines. The bytes are the same however the work is divided.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tane import files, progress, signals, workers
from tane.errors import InputError, IntegrityError, Interrupted, Stopped
from tane.text.corpus import Corpus, Part
from tane.tokens.encoder import Encoder
from tane.tokens.shards import SPLITS, token_dtype, write_index

VERSION = 1  # of what is written for the same corpus and tokenizer
COUNTS = ("documents", "tokens", "characters", "unknown", "checked", "changed_by_round_trip")
BATCH_CHARS = 500_000  # characters handed to the tokenizer at once: bounds the memory
ALONE = 4_000_000  # characters that one process tokenises before others have started
MOST = 6  # processes, of about 120 MB each; on more cores each has several threads
CHECK_EVERY = 1000  # one document in so many is decoded back and compared (R16)
AGAIN = "run the same command again"


class _Writer:
    """Writes the tokens of some documents of one part, a file a split, and counts them."""

    def __init__(self, folder: Path, name: str, encoder: Encoder) -> None:
        self.encoder, self.dtype = encoder, token_dtype(encoder.vocab_size)
        self.files = {split: open(folder / f"{split}-{name}.bin", "wb") for split in SPLITS}  # noqa: SIM115
        self.lengths: dict[str, list[int]] = {split: [] for split in SPLITS}
        self.counts = {split: dict.fromkeys(COUNTS, 0) for split in SPLITS}

    def write(self, batch: list[tuple[str, str, bool]], encoded: list[np.ndarray]) -> None:
        """Add documents, given as (split, text, whether to decode it back and compare), and their ids."""
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
                    counts["unknown"] += int((tokens == self.encoder.unk_id).sum())

    def close(self) -> dict[str, Any]:
        """End the files; returns {"counts", "lengths"} by split."""
        for file in self.files.values():
            file.close()
        return {"counts": self.counts, "lengths": self.lengths}


def _encode(
    corpus: Corpus, part: Part, encoder: Encoder, folder: Path, name: str, first: int, last: int,
    progress: Callable[[int], object],
) -> dict[str, Any]:  # fmt: skip
    """Tokenise the documents of a part whose numbers are in [first, last)."""
    writer = _Writer(folder, name, encoder)
    batch: list[tuple[str, str, bool]] = []
    size = 0

    def flush() -> None:
        nonlocal size
        signals.poll("the text was being tokenised")
        writer.write(batch, encoder.encode_batch([text for _, text, _ in batch]))
        progress(size)
        batch.clear()
        size = 0

    for number, split, document in corpus.part(part, first, last):
        batch.append((split, document.text, number % CHECK_EVERY == 0))
        size += len(document.text)
        if size >= BATCH_CHARS:
            flush()
    flush()
    return writer.close()


def encode_slice(job: dict[str, Any], progress: Callable[[int], object]) -> dict[str, Any]:
    """Tokenise one slice of a part, in another process; what a part's slices wrote is put together after."""
    corpus = Corpus.open(job["corpus"])
    part = corpus.parts()[job["part"]]
    return _encode(
        corpus, part, _encoder(job["tokenizer"]), Path(job["folder"]), job["name"], job["first"], job["last"],
        progress,
    )  # fmt: skip


_encoder = functools.lru_cache(maxsize=1)(Encoder)  # one a process, however many slices it is given


def write_shards(corpus: Corpus, encoder: Encoder, folder: Path, fingerprint: str) -> files.Manifest:
    """Tokenise a corpus into `folder`; what earlier calls with the same fingerprint finished is reused."""
    work = _work(folder, fingerprint)
    for stale in folder.parent.glob(".parts-*"):
        if stale != work:
            shutil.rmtree(stale, ignore_errors=True)
    files.sweep(work)
    parts = corpus.parts()
    done = _make(corpus, encoder, parts, work)
    counts = {split: {n: sum(state[split][n] for state in done) for n in COUNTS} for split in SPLITS}
    if not counts["train"]["tokens"]:
        raise InputError("the corpus gave no tokens for training")

    def gather(temporary: Path) -> dict[str, Any]:
        for part in parts:
            for path in (work / part_folder(part)).glob("*-*.*"):
                _link(path, temporary / path.name)
        weights = corpus.meta["weights"]
        return {
            "fingerprint": fingerprint,
            "eos_id": encoder.eos_id,
            "vocab_size": encoder.vocab_size,
            "dtype": str(token_dtype(encoder.vocab_size)),
            "splits": counts,
            **({"weights": weights} if weights else {}),
        }

    manifest = files.publish(folder, "shards", gather)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def write_share(
    corpus: Corpus, encoder: Encoder, folder: Path, fingerprint: str, part: int, parts: int
) -> None:
    """Tokenise part `part` (from 1) of `parts` of a corpus, for a later `write_shards` of the same folder."""
    _make(corpus, encoder, corpus.parts()[part - 1 :: parts], _work(folder, fingerprint))


def _work(folder: Path, fingerprint: str) -> Path:
    work = folder.parent / f".parts-{fingerprint[:16]}"
    files.make_folder(work)
    return work


def _make(corpus: Corpus, encoder: Encoder, mine: list[Part], work: Path) -> list[dict[str, Any]]:
    """Make those parts that are not finished; returns the counts of all in order."""
    done: dict[int, dict[str, Any]] = {}
    with progress.bar(sum(part.counts["characters"] for part in mine), "tokenising", "char") as bar:
        for part in mine:
            state = _finished(work / part_folder(part))
            if state is not None:
                done[part.number] = state
                bar.update(part.counts["characters"])
        todo = [part for part in mine if part.number not in done]
        try:
            _write_parts(corpus, encoder, todo, work, done, bar.update)
        except Interrupted as error:
            raise Stopped(f"{error.message}; {len(done)} of {len(mine)} parts are kept", AGAIN) from None
    return [done[part.number] for part in mine]


def _write_parts(
    corpus: Corpus, encoder: Encoder, todo: list[Part], work: Path, done: dict[int, dict[str, Any]],
    advance: Callable[[int], object],
) -> None:  # fmt: skip
    """Make and publish the parts of `todo` one after another, noting each in `done`.

    Processes share a part, each with one thread and documents of its own: threads of one process would wait
    for Python while ids become arrays.
    """
    cores = workers.cores()
    slices = 1 if sum(part.counts["characters"] for part in todo) < ALONE else min(cores, MOST)
    if slices == 1:
        for part in todo:

            def write(place: Path, part: Part = part) -> dict[str, Any]:
                every = part.counts["documents"]
                state = _encode(corpus, part, encoder, place, _name(part), 0, every, advance)
                return _end(place, part, encoder, [state])

            done[part.number] = files.publish(work / part_folder(part), "shard", write).meta
        return
    threads = {"RAYON_NUM_THREADS": str(-(-cores // slices))}
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=work) as place:
        jobs: list[dict[str, Any]] = []
        for part in todo:
            documents = part.counts["documents"]
            for number in range(slices):
                jobs.append({
                    "corpus": str(corpus.folder), "tokenizer": encoder.name, "part": part.number,
                    "folder": place, "name": f"{_name(part)}-{number}", "first": documents * number // slices,
                    "last": documents * (number + 1) // slices,
                })  # fmt: skip
        found: dict[int, list[Any]] = {part.number: [None] * slices for part in todo}
        by_number = {part.number: part for part in todo}
        for job, result in workers.run_jobs(
            "tane.tokens.tokenise:encode_slice",
            jobs,
            slices,
            progress=advance,
            what="tokenising",
            environment=threads,
        ):
            part = by_number[jobs[job]["part"]]
            found[part.number][job % slices] = result
            if all(found[part.number]):
                target = work / part_folder(part)
                done[part.number] = files.publish(
                    target, "shard", partial(_together, Path(place), part, encoder, found.pop(part.number))
                ).meta


def _together(
    slices: Path, part: Part, encoder: Encoder, results: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """Put the slices of one part together."""
    for split in SPLITS:
        with open(folder / f"{split}-{_name(part)}.bin", "wb") as out:
            for number in range(len(results)):
                path = slices / f"{split}-{_name(part)}-{number}.bin"
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, out, 1 << 20)
                path.unlink()
    return _end(folder, part, encoder, results)


def _end(folder: Path, part: Part, encoder: Encoder, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the indexes of one part's files, leave out empty ones, and add the counts up."""
    for split in SPLITS:
        lengths = [length for result in results for length in result["lengths"][split]]
        path = folder / f"{split}-{_name(part)}.bin"
        if lengths:
            write_index(
                path.with_suffix(".idx"), np.array(lengths, np.int64), token_dtype(encoder.vocab_size)
            )
        else:
            path.unlink()
    counts = [result["counts"] for result in results]
    return {split: {name: sum(c[split][name] for c in counts) for name in COUNTS} for split in SPLITS}


def _name(part: Part) -> str:
    return f"{part.number:05d}"


def part_folder(part: Part) -> str:
    """The name of the folder of one part's tokens, while the shards are being made."""
    return f"part-{_name(part)}"


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _finished(folder: Path) -> dict[str, Any] | None:
    try:
        return files.check(folder, "shard").meta
    except IntegrityError:
        if folder.exists():
            files.delete(folder)
        return None


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
